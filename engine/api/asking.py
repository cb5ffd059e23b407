"""Policy engines asked beside our own rules: verbs that the policy file names under `ask:` are done only when each of them
says yes, after the roles said so.

Rules:
1. Undefined, an error, a strange answer, no answer in time, no such system: all are no, and the refusal says which.
2. The decision stands in the history with its id before anything is done: `PolicyAsked` or `CommandRefused`.
3. A repeat of a command that was done is not asked about again; what makes things safer (`policy_file.NEVER_ASKED`) and a
   vote against are never asked about.
4. The question names who, what and where; arguments are part of it, the typed phrase is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import msgspec

from engine.api import verbs
from engine.api.access import Caller
from engine.api.door import Door
from engine.api.problems import Denied
from engine.capabilities.connections import port_of
from engine.capabilities.policy import Asked
from engine.capabilities.ports import ActionError
from engine.capabilities.systems.ports import Decision
from engine.contract.common import Json
from engine.store.errors import StoreError

log = logging.getLogger("quarterdeck.policy")
AGAINST = ("reject", "abort")
"""Answers at a gate that let nothing happen."""


async def ask(door: Door, caller: Caller, verb: verbs.Verb, request: verbs.Request, scope: dict[str, Json]) -> None:
    """Asks about a command. Raises `Denied` unless everyone who has to be asked allows it."""
    if not door.policy.asks(verb.name) or (verb.name == "gate.vote" and request.args.get("answer") in AGAINST):
        return
    if await asyncio.to_thread(door.host.answered, request.id) is None:
        await ask_about(door, caller, verb.name, request, says=verb.says, scope=scope)


async def ask_about(
    door: Door, caller: Caller, verb: str, request: verbs.Request, *, says: str, scope: dict[str, Json]
) -> None:
    """Asks about anything that is to be done under the name of a verb. Raises `Denied`."""
    question = question_of(door, caller, verb, request, scope)
    for one in door.policy.asks(verb):
        decision = await _decided(door, one, question)
        said = {
            "verb": verb,
            "by": caller.person,
            "target": request.target,
            "system": one.system or "decisions",
            "path": one.path,
            "decision": decision.id,
            "reason": decision.reason,
        }
        if decision.allow is not True:
            await _refuse(door, caller, says, request, said)
        if not request.preview:
            await door.records.record("PolicyAsked", {**said, "allow": True}, actor=caller.actor(), cause=request.id)


def question_of(
    door: Door, caller: Caller, verb: str, request: verbs.Request, scope: dict[str, Json]
) -> dict[str, Json]:
    """The `input` of the rule."""
    return {
        "verb": verb,
        "target": request.target,
        "person": caller.person,
        "roles": list(caller.roles),
        "groups": list(caller.groups),
        "via": caller.via,
        "scope": scope,
        "args": {name: value for name, value in request.args.items() if name != "phrase"},
        "preview": request.preview,
        "environment": door.settings.environment,
        "now": door.now(),
    }


async def _decided(door: Door, asked: Asked, question: dict[str, Json]) -> Decision:
    try:
        port = port_of(door.ports, f"decisions@{asked.system}" if asked.system else "decisions")
        async with asyncio.timeout(asked.within):
            found: Any = await port.decide(asked.path, question)
    except ActionError as error:
        return Decision(allow=False, reason=f"it could not be asked: {error.message[:300]}")
    except TimeoutError:
        return Decision(allow=False, reason=f"it did not answer within {asked.within:g} s")
    except Exception as error:
        log.exception("the policy engine %s failed", asked.system or "decisions")
        return Decision(allow=False, reason=f"it could not be asked: {type(error).__name__}")
    if not isinstance(found, Decision):
        return Decision(allow=False, reason="its answer is no decision")
    if found.allow is not True:
        return msgspec.structs.replace(found, allow=False, reason=found.reason[:300] or "it says no")
    return found


async def _refuse(door: Door, caller: Caller, says: str, request: verbs.Request, said: dict[str, Json]) -> None:
    name = said["system"]
    reason = f"{name} decides about {said['verb']} too, and {said['reason']}"
    if not request.preview:
        refused = {**said, "code": "policy_engine", "reason": reason}
        with contextlib.suppress(StoreError):
            await door.records.record("CommandRefused", refused, actor=caller.actor(), cause=request.id)
    fix = f"the rule is {said['path']} on {name}" + (f", its decision {said['decision']}" if said["decision"] else "")
    raise Denied(403, "policy_engine", f"{caller.person} may not {says}: {reason}", fix=fix)
