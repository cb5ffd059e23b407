"""The person's end of a session on a gateway: what is typed goes in, what is said comes out, over the engine's socket.

The session is opened by a verb (`gateway.open`), which judges and records. Here only its own person types, and only they
and who watches it on the record read.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from engine.api.access import Caller
from engine.api.door import Door
from engine.api.problems import Denied, answer, malformed
from engine.capabilities.ports import ActionError
from engine.contract.gateways import SshSession

TYPED = 64 * 1024
"""Bytes that may be typed in one request: a paste is several."""


class Size(Struct, frozen=True, forbid_unknown_fields=True):
    cols: int
    rows: int


def _session(door: Door, caller: Caller, id: str, *, to_type: bool) -> SshSession:
    record: SshSession | None = door.book.reads.get("ssh_session", id)
    if record is None:
        raise Denied(404, "not_found", f"there is no session {id[:60]}")
    if caller.person == record.person or (not to_type and caller.person in record.watchers):
        return record
    fix = "" if to_type else f"qd access watch {record.id}"
    raise Denied(403, "forbidden", f"{record.id} is {record.person}'s session", fix=fix)


async def output(door: Door, request: Request, caller: Caller) -> Response:
    """asciicast lines as they come; the last one says how it ended."""
    record = _session(door, caller, request.path_params["id"], to_type=False)
    terminals = door.ports["terminals"]
    if terminals.find(record.id) is None:
        raise Denied(409, "session_ended", f"{record.id} is {record.state}", fix=f"qd history play {record.id}")
    lines = terminals.output(record.id, owner=caller.person == record.person)
    return StreamingResponse(lines, media_type="application/x-asciicast", headers={"Cache-Control": "no-store"})


async def typed(door: Door, request: Request, caller: Caller) -> Response:
    record = _session(door, caller, request.path_params["id"], to_type=True)
    body = await request.body()
    if len(body) > TYPED:
        raise Denied(413, "too_large", f"at most {TYPED} bytes at once", field="body")
    try:
        await door.ports["terminals"].typed(record.id, body)
    except ActionError as error:
        raise Denied(409, "session_ended", error.message) from error
    return answer({"bytes": len(body)})


async def size(door: Door, request: Request, caller: Caller) -> Response:
    record = _session(door, caller, request.path_params["id"], to_type=True)
    try:
        wanted = msgspec.json.decode(await request.body(), type=Size)
    except msgspec.DecodeError as error:
        raise malformed(error) from error
    if not (0 < wanted.cols <= 1000 and 0 < wanted.rows <= 1000):
        raise Denied(422, "bad_input", "a terminal has 1 to 1000 columns and rows", field="cols")
    try:
        door.ports["terminals"].resized(record.id, wanted.cols, wanted.rows)
    except ActionError as error:
        raise Denied(409, "session_ended", error.message) from error
    return answer({})


async def leave(door: Door, request: Request, caller: Caller) -> Response:
    """Its own person hangs up."""
    record = _session(door, caller, request.path_params["id"], to_type=True)
    books, _ = door.keeper.for_asker(caller.actor(), f"leave {record.id}")
    try:
        await door.ports["terminals"].end(record.id, f"{caller.person} hung up", state="ended", records=books)
    except ActionError as error:
        raise Denied(409, "session_ended", error.message) from error
    return answer({})


ROUTES = (
    ("/v1/sessions/{id}/output", output, "GET"),
    ("/v1/sessions/{id}/input", typed, "POST"),
    ("/v1/sessions/{id}/size", size, "POST"),
    ("/v1/sessions/{id}/leave", leave, "POST"),
)
