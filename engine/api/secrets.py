"""Secrets of remote systems, put into the keyring through the socket: the one way in for a console that holds none.

The value is the raw body of the request. It is in no event, no log, no answer and no argument of a process; that one was put
or taken away, and by whom, is recorded.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from engine.api import asking, verbs
from engine.api.access import Caller, forbidden
from engine.api.door import Door
from engine.api.problems import Denied, answer, snake
from engine.capabilities.ports import ActionError
from engine.contract.systems import SecretNames

VERB = "connector.secret"
LARGEST = 64 * 1024
"""Bytes a secret may hold: a private key with its chain does, a file somebody meant to upload does not."""
ENTRY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,126}")


class Keyring(Protocol):
    """`engine.capabilities.secrets.Secrets`."""

    @property
    def backend(self) -> str: ...
    def get(self, name: str) -> str: ...
    def set(self, name: str, value: str) -> None: ...
    def delete(self, name: str) -> None: ...
    def prepare(self) -> None: ...
    def names(self) -> tuple[str, ...]: ...


async def put(door: Door, request: Request, caller: Caller) -> Response:
    """Stores one. The last line break is not part of it: shells and editors add one."""
    entry = await _entry(door, request, caller, "store")
    value = await _value(request)
    keyring: Keyring = door.ports["secrets"]
    try:
        await asyncio.to_thread(_store, keyring, entry, value)
    except ActionError as error:
        raise Denied(503, snake(error.error), error.message) from error
    return await _noted(door, caller, "SecretStored", entry)


async def delete(door: Door, request: Request, caller: Caller) -> Response:
    """Takes one away."""
    entry = await _entry(door, request, caller, "delete")
    keyring: Keyring = door.ports["secrets"]
    users = door.ports["systems"].users(entry) if "systems" in door.ports else ()
    if users:
        raise Denied(409, "in_use", f"{entry} is the secret of {', '.join(users)}", fix="remove those systems first")
    try:
        await asyncio.to_thread(keyring.get, entry)
        await asyncio.to_thread(keyring.delete, entry)
    except ActionError as error:
        status = 404 if error.error == "SecretMissing" else 503
        raise Denied(status, snake(error.error), error.message) from error
    return await _noted(door, caller, "SecretDeleted", entry)


async def names(door: Door, request: Request, caller: Caller) -> Response:
    """What the entries are called, where the keyring can tell; never what they hold."""
    _may(door, caller, "list secrets")
    keyring: Keyring = door.ports["secrets"]
    try:
        found = await asyncio.to_thread(keyring.names)
    except ActionError as error:
        raise Denied(503, snake(error.error), error.message) from error
    return answer(SecretNames(names=found, backend=keyring.backend))


def _store(keyring: Keyring, entry: str, value: str) -> None:
    keyring.prepare()
    keyring.set(entry, value)


async def _entry(door: Door, request: Request, caller: Caller, act: str) -> str:
    _may(door, caller, f"{act} a secret")
    entry = str(request.path_params["entry"])
    if not ENTRY.fullmatch(entry):
        raise Denied(422, "bad_input", "an entry's name has letters, digits, dots, dashes", field="entry")
    command = verbs.Request(id=f"secret-{uuid.uuid4()}", target=entry, args={"do": act})
    await asking.ask_about(door, caller, VERB, command, says=f"{act} a secret", scope={})
    return entry


def _may(door: Door, caller: Caller, act: str) -> None:
    why = forbidden(door, caller, VERB, {})
    if why is not None:
        raise Denied(403, "forbidden", f"{caller.person} may not {act}: {why.reason}", fix=why.fix)


async def _value(request: Request) -> str:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST:
            raise Denied(413, "too_large", f"a secret holds at most {LARGEST} bytes", field="body")
        parts.append(part)
    try:
        value = b"".join(parts).decode("utf-8")
    except UnicodeDecodeError:
        raise Denied(422, "bad_input", "a secret is UTF-8 text", field="body") from None
    value = value.removesuffix("\n").removesuffix("\r")
    if not value:
        raise Denied(422, "bad_input", "an empty secret was sent; nothing was stored", field="body")
    return value


async def _noted(door: Door, caller: Caller, event: str, entry: str) -> Response:
    """In the history by its name; whoever uses it gets it at once."""
    used: tuple[str, ...] = ()
    if event == "SecretStored" and "systems" in door.ports:
        used = door.ports["systems"].secret_changed(entry)
    said: dict[str, Any] = {"entry": entry, "by": caller.person, "systems": list(used)}
    await door.records.record(event, said, actor=caller.actor(), cause=f"secret/{entry}")
    return answer(said)
