"""The routes. Reads go to threads, commands to the host; every refusal leaves as a `Problem`."""

from __future__ import annotations

import asyncio
import difflib
import logging
import re
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from engine.api import calendar, feed, history, past, search, secrets, terminals, views
from engine.api.access import Caller, caller_of, me
from engine.api.door import VERSION, Door
from engine.api.openapi import describe
from engine.api.perform import LARGEST, perform
from engine.api.problems import Denied, answer, not_found, refuse, snake
from engine.capabilities import subjects
from engine.capabilities.reads import Read as SubjectRead
from engine.capabilities.vault import VaultError
from engine.contract.calendar import CalendarView
from engine.contract.common import Problem
from engine.contract.fleet import CohortView, RobotPage, RobotRow
from engine.contract.gates import GateDetail, GatePage
from engine.contract.history import DiffView, Looker, Moment, PastView
from engine.contract.records import EvidenceText, RecordEvent, RecordPage, RecordView
from engine.contract.rollouts import RolloutDetail, RolloutPage
from engine.contract.runs import EventPage, RunDetail, RunPage, Waiting
from engine.contract.search import FoundPage
from engine.contract.system import EngineStatus, Me, VerifyReport, WatchSnapshot, WorkflowView

log = logging.getLogger("quarterdeck.api")
Query = dict[str, str]
Read = Callable[[Door, Caller, dict[str, str], Query], Any]
_MOST = 1000
_TEXT = 1 << 20


def _limit(query: Query, usual: int) -> int:
    limit = _number(query, "limit", usual)
    if limit < 1:
        raise Denied(422, "bad_input", f"limit is at least 1, not {limit}", field="limit")
    return min(_MOST, limit)


def _number(query: Query, name: str, usual: int) -> int:
    text = query.get(name, "")
    if not text:
        return usual
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise Denied(422, "bad_input", f"{name} is a whole number, not {text[:40]!r}", field=name)
    number = int(text)
    if number < 0 and name != "limit":
        raise Denied(422, "bad_input", f"{name} is not negative", field=name)
    return number


def _known(query: Query, known: Sequence[str]) -> None:
    """A misspelt filter would silently give everything."""
    for name, value in query.items():
        # a cursor is a name as it stands in the records, whatever a robot calls itself
        if name in known and name != "cursor" and any(unicodedata.category(char) in ("Cc", "Cs") for char in value):
            raise Denied(422, "bad_input", f"{name} holds control characters", field=name)
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            fix = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known) or 'none'}"
            raise Denied(422, "unknown_field", f"there is no parameter {name[:60]!r} here", fix=fix, field=name[:60])


def _blamed(query: Query, reason: str) -> str:
    """The parameter a read complained about: it names it, or there is only one."""
    named = [name for name in query if name in reason]
    return named[0] if named else next(iter(query)) if len(query) == 1 else ""


def _found(value: Any, what: str, name: str) -> Any:
    if value is None:
        raise not_found(what, name[:100])
    return value


def _runs(door: Door, caller: Caller, at: dict[str, str], q: Query) -> RunPage:
    kept = {name: q[name] for name in ("status", "workflow", "text", "sort", "cursor") if q.get(name)}
    return door.reads.run_page(**kept, limit=_limit(q, 50))


def _run(door: Door, caller: Caller, at: dict[str, str], q: Query) -> RunDetail:
    if then := _number(q, "at", 0):
        return past.run_at(door, at["run"], then)
    detail: RunDetail = _found(door.reads.run_detail(at["run"]), "run", at["run"])
    return detail


def _explain(door: Door, caller: Caller, at: dict[str, str], q: Query) -> tuple[Waiting, ...]:
    return _run(door, caller, at, q).waiting


def _events(door: Door, caller: Caller, at: dict[str, str], q: Query) -> EventPage:
    run = at.get("run", q.get("run", ""))
    if "run" in at and not door.reads.run_rows((run,)):
        raise not_found("run", run[:100])
    return views.events_page(door.reads.events(run=run, after=_number(q, "after", 0), limit=_limit(q, 200)))


def _gate(door: Door, caller: Caller, at: dict[str, str], q: Query) -> GateDetail:
    if then := _number(q, "at", 0):
        return past.gate_at(door, at["gate"], then)
    return views.gate_for(door, caller, _found(door.reads.gate_detail(at["gate"]), "gate", at["gate"]))


def _rollout(door: Door, caller: Caller, at: dict[str, str], q: Query) -> RolloutDetail:
    if then := _number(q, "at", 0):
        return past.rollout_at(door, at["rollout"], then)
    detail: RolloutDetail = _found(door.rollouts.rollout_detail(at["rollout"]), "rollout", at["rollout"])
    return detail


def _lookers(door: Door, caller: Caller, at: dict[str, str], q: Query) -> tuple[Looker, ...]:
    """`mine`: look (I have it on my screen), leave (I have not any more), or nothing: only asked."""
    mine = q.get("mine", "")
    if mine not in ("", "look", "leave"):
        raise Denied(422, "bad_input", f"mine is look or leave, not {mine[:20]!r}", field="mine")
    if mine == "leave":
        door.presence.leave("gate", at["gate"], caller.person)
    elif door.reads.gate_rows((at["gate"],)) == ():
        raise not_found("gate", at["gate"][:100])
    return door.presence.look("gate", at["gate"], caller.person if mine == "look" else "")


def _steps(query: Query, name: str) -> int:
    text = query.get(name, "") or "0"
    if not re.fullmatch(r"-?[0-9]{1,6}", text):
        raise Denied(422, "bad_input", f"{name} is a whole number, not {text[:40]!r}", field=name)
    return int(text)


def _then(door: Door, caller: Caller, at: dict[str, str], q: Query) -> PastView:
    where, step = _number(q, "at", 0), _steps(q, "step")
    return past.then(door, caller, at["kind"], at["id"], at=where, step=step, type_=q.get("type", ""))


def _diff(door: Door, caller: Caller, at: dict[str, str], q: Query) -> DiffView:
    steps = (_steps(q, "a_step"), _steps(q, "b_step"))
    return past.diff(door, caller, at["kind"], at["id"], a=_number(q, "a", 0), b=_number(q, "b", 0), steps=steps)


def _moments(door: Door, caller: Caller, at: dict[str, str], q: Query) -> tuple[Moment, ...]:
    return past.moments(door, at["kind"], at["id"], limit=_limit(q, 200))


def _gates(door: Door, caller: Caller, at: dict[str, str], q: Query) -> GatePage:
    return views.gate_page(door, caller, door.reads.gate_page(state=q.get("state", "open"), limit=_limit(q, 200)))


def _robots(door: Door, caller: Caller, at: dict[str, str], q: Query) -> RobotPage:
    return door.rollouts.robot_page(text=q.get("text", ""), cursor=q.get("cursor", ""), limit=_limit(q, _MOST))


def _records(door: Door, caller: Caller, at: dict[str, str], q: Query) -> RecordPage:
    kind, limit = at["kind"], _limit(q, 200)
    where: dict[str, str] = {}
    for pair in filter(None, q.get("where", "").split(",")):
        column, _, value = pair.partition(":")
        where[column] = value
    filters: dict[str, Any] = {
        "state": tuple(filter(None, q.get("state", "").split(","))),
        "where": where,
        "text": q.get("text", ""),
    }
    reads = door.book.reads
    rows = reads.find(kind, **filters, limit=limit, order=q.get("sort", "") or "-updated_at")
    return RecordPage(
        kind=kind, rows=tuple(rows), total=reads.count(kind, **filters), states=reads.states(kind), as_of=door.now()
    )


def _record(door: Door, caller: Caller, at: dict[str, str], q: Query) -> RecordView:
    if then := _number(q, "at", 0):
        found: RecordView = past.record_then(door, at["kind"], at["id"], then)
        return found
    record: RecordView = _found(door.book.reads.get(at["kind"], at["id"]), at["kind"], at["id"])
    return record


def _record_history(door: Door, caller: Caller, at: dict[str, str], q: Query) -> tuple[RecordEvent, ...]:
    _record(door, caller, at, q)
    return tuple(door.book.reads.history(at["kind"], at["id"]))


def _evidence(door: Door, caller: Caller, at: dict[str, str], q: Query) -> EvidenceText:
    """Text of at most a mebibyte; what is no text shows its size and whether it still is what was kept."""
    try:
        path = door.vault.path(at["digest"])
        kept = door.vault.read(at["digest"], limit=_TEXT + 1)
    except VaultError as error:
        raise Denied(404, "not_found", str(error)) from error
    record = door.book.reads.get("evidence", at["digest"])
    try:
        text = kept[:_TEXT].decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    return EvidenceText(
        digest=at["digest"],
        media=record.media if record else "",
        size_b=path.stat().st_size,
        sound=door.vault.verify(at["digest"]),
        text=text,
        cut=len(kept) > _TEXT,
    )


class _Looking:
    """What a subject's read may use (`engine.capabilities.reads.Look`)."""

    def __init__(self, door: Door, caller: Caller) -> None:
        reads = door.book.reads
        self.person, self.vault, self.now, self.policy = caller.person, door.vault, door.now, door.pack
        self.get, self.find, self.all, self.one = reads.get, reads.find, reads.reading.all, reads.reading.one
        self.ports = door.ports


def _of_subject(read: SubjectRead) -> Read:
    named = read.path.rpartition("{")[2].partition("}")[0] or "answer"

    def give(door: Door, caller: Caller, at: dict[str, str], q: Query) -> Any:
        if read.path in _LOOKING_BACK and (then := _number(q, "at", 0)):
            return past.thing_at(door, caller, _LOOKING_BACK[read.path], at[named], then)
        return _found(read.give(_Looking(door, caller), at, q), named, at.get(named, ""))

    return give


_LOOKING_BACK = {path: kind for kind, path in past.SEEN.items()}

# path -> (what it gives, what it is for, query parameters, how)
READS: dict[str, tuple[Any, str, tuple[str, ...], Read]] = {
    "/v1/status": (EngineStatus, "How the engine is.", (), lambda d, c, at, q: d.status()),
    "/v1/me": (Me, "Who the kernel says you are.", (), lambda d, c, at, q: me(d, c)),
    "/v1/watch": (WatchSnapshot, "All that the first screen needs.", (), lambda d, c, at, q: views.watch(d, c)),
    "/v1/search": (FoundPage, "Anything by id or a word of its name, best first.", search.QUERIES, search.find),
    "/v1/calendar": (
        CalendarView,
        "What lies ahead: windows, and whatever ends or is due.",
        calendar.QUERIES,
        lambda d, c, at, q: calendar.view(d.policy.calendar, _Looking(d, c), q),
    ),
    "/v1/runs": (RunPage, "Runs, newest first.", ("status", "workflow", "text", "sort", "cursor", "limit"), _runs),
    "/v1/runs/{run}": (RunDetail, "Everything about one run, now or after the event `at`.", ("at",), _run),
    "/v1/runs/{run}/events": (EventPage, "The events of one run.", ("after", "limit"), _events),
    "/v1/runs/{run}/explain": (tuple[Waiting, ...], "What it waits for, who can move it, until when.", (), _explain),
    "/v1/events": (EventPage, "All events, in order.", ("run", "after", "limit"), _events),
    "/v1/gates": (GatePage, "Questions to people, by deadline.", ("state", "limit"), _gates),
    "/v1/gates/{gate}/lookers": (tuple[Looker, ...], "Who else has it on their screen now.", ("mine",), _lookers),
    "/v1/gates/{gate}": (GateDetail, "One question with its evidence, now or after the event `at`.", ("at",), _gate),
    "/v1/rollouts": (
        RolloutPage,
        "Rollouts, newest first.",
        ("limit",),
        lambda d, c, at, q: d.rollouts.rollout_page(limit=_limit(q, 50)),
    ),
    "/v1/rollouts/{rollout}": (
        RolloutDetail,
        "One rollout: stages, signals, verdicts, robots; now or after the event `at`.",
        ("at",),
        _rollout,
    ),
    "/v1/robots": (RobotPage, "The fleet.", ("text", "cursor", "limit"), _robots),
    "/v1/robots/{robot}": (
        RobotRow,
        "One robot.",
        (),
        lambda d, c, at, q: _found(d.rollouts.robot(at["robot"]), "robot", at["robot"]),
    ),
    "/v1/cohorts": (tuple[CohortView, ...], "Frozen target lists.", (), lambda d, c, at, q: d.rollouts.cohorts()),
    "/v1/workflows": (tuple[WorkflowView, ...], "Registered workflows.", (), lambda d, c, at, q: d.reads.workflows()),
    "/v1/workflows/{name}": (
        WorkflowView,
        "One workflow with its text.",
        (),
        lambda d, c, at, q: _found(d.reads.workflow(at["name"]), "workflow", at["name"]),
    ),
    "/v1/records": (tuple[str, ...], "Kinds of records.", (), lambda d, c, at, q: tuple(d.book.catalogue.by_kind)),
    "/v1/records/{kind}": (
        RecordPage,
        "Records of a kind; `state` and `where` (column:value) take several, with commas.",
        ("state", "text", "where", "sort", "limit"),
        _records,
    ),
    "/v1/records/{kind}/{id}/history": (tuple[RecordEvent, ...], "Every change of it.", (), _record_history),
    "/v1/records/{kind}/{id}": (
        RecordView,
        "One record, in the shape of its kind, now or after the event `at`.",
        ("at",),
        _record,
    ),
    "/v1/evidence/{digest}": (EvidenceText, "What is kept under a digest.", (), _evidence),
    "/v1/history/{kind}/{id}/then": (
        PastView,
        "A thing `step` steps from where it was at the event `at`; `type`: back to the newest event of that type.",
        ("at", "step", "type"),
        _then,
    ),
    "/v1/history/{kind}/{id}/moments": (tuple[Moment, ...], "Its newest events that are steps.", ("limit",), _moments),
    "/v1/history/{kind}/{id}/diff": (
        DiffView,
        "What differs between the events `a` and `b`, each moved by its steps; 0 is now.",
        ("a", "b", "a_step", "b_step"),
        _diff,
    ),
    "/v1/history/verify": (VerifyReport, "Recomputes the whole hash chain.", (), lambda d, c, at, q: d.reads.verify()),
}


READS.update(
    {
        read.path: (
            read.shape,
            read.says,
            (*read.queries, *(("at",) if read.path in _LOOKING_BACK else ())),
            _of_subject(read),
        )
        for read in subjects.reads()
    }
)


def application(door: Door) -> Starlette:
    """The ASGI application. No middleware of Starlette's base class stands in it: it buffers streams."""

    async def command(request: Request, caller: Caller) -> Response:
        return answer(await perform(door, caller, request.path_params["verb"], await body_of(request)))

    async def validate(request: Request, caller: Caller) -> Response:
        text = await body_of(request)
        try:
            findings = await asyncio.to_thread(door.validate, text.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise Denied(400, "malformed", f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
        return answer(findings)

    async def live(request: Request, caller: Caller) -> Response:
        query = dict(request.query_params)
        _known(query, ("mode", "run", "after"))
        last = request.headers.get("last-event-id", "")
        after = _number({"Last-Event-ID": last}, "Last-Event-ID", 0) if last else _number(query, "after", 0)
        mode = query.get("mode", "changes")
        if mode not in ("changes", "events"):
            raise Denied(422, "bad_input", f"the feed has no mode {mode[:40]!r}", fix="changes or events", field="mode")
        body = feed.events(door, after, query.get("run", "")) if mode == "events" else feed.changes(door, caller, after)
        return StreamingResponse(body, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def export(request: Request, caller: Caller) -> Response:
        query = dict(request.query_params)
        _known(query, ("run", "after"))
        rows = history.export(door, run=query.get("run", ""), after=_number(query, "after", 0))
        return StreamingResponse(rows, media_type="application/x-ndjson")

    async def openapi(request: Request, caller: Caller) -> Response:
        reads = {path: (kind, says, queries) for path, (kind, says, queries, _) in READS.items()}
        return answer(describe(reads, VERSION))

    def read(how: Read, known: tuple[str, ...]) -> Callable[[Request, Caller], Awaitable[Response]]:
        async def endpoint(request: Request, caller: Caller) -> Response:
            query = dict(request.query_params)
            _known(query, known)
            try:
                return answer(await asyncio.to_thread(how, door, caller, request.path_params, query))
            except ValueError as error:  # a filter that makes no sense, said by who knows what is right
                raise Denied(422, "bad_input", str(error)[:300], field=_blamed(query, str(error))) from error

        return endpoint

    def guarded(endpoint: Callable[[Request, Caller], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def route(request: Request) -> Response:
            try:
                return await endpoint(request, await caller_of(request, door))
            except Denied as denied:
                return refuse(denied)
            except Exception as error:  # noqa: BLE001 - the last net: said in words, logged in full
                return _failed(request, error)

        return route

    routes = [
        # an update server lets robots be called as they like, also with a slash
        Route(_open_ended(path), guarded(read(how, known)), methods=["GET"])
        for path, (_, _, known, how) in READS.items()
    ]

    async def secret(request: Request, caller: Caller) -> Response:
        return await (secrets.delete if request.method == "DELETE" else secrets.put)(door, request, caller)

    async def secret_names(request: Request, caller: Caller) -> Response:
        return await secrets.names(door, request, caller)

    routes += [
        Route("/v1/commands/{verb}", guarded(command), methods=["POST"]),
        Route("/v1/secrets/{entry}", guarded(secret), methods=["PUT", "DELETE"]),
        Route("/v1/secrets", guarded(secret_names), methods=["GET"]),
        *(Route(path, guarded(partial(each, door)), methods=[method]) for path, each, method in terminals.ROUTES),
        Route("/v1/workflows/validate", guarded(validate), methods=["POST"]),
        Route("/v1/history/export", guarded(export), methods=["GET"]),
        Route("/v1/feed", guarded(live), methods=["GET"]),
        Route("/v1/openapi.json", guarded(openapi), methods=["GET"]),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _http})


def _open_ended(path: str) -> str:
    """A robot or a record may be called as its owner likes: the name is what is left of the path."""
    return path.replace("{robot}", "{robot:path}").replace("{id}", "{id:path}")


async def body_of(request: Request) -> bytes:
    """The body, never more of it than a request may hold, whatever its header claims.

    A somewhat larger one is read to its end and thrown away: who is still sending would see a broken pipe instead of
    the answer.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > 16 * LARGEST:
                break
            if size > LARGEST:
                parts.clear()
            else:
                parts.append(part)
    except ClientDisconnect:
        raise Denied(400, "malformed", "the body was cut short") from None
    if size > LARGEST:
        raise Denied(413, "too_large", f"a request holds at most {LARGEST} bytes", field="body")
    return b"".join(parts)


async def _http(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    if status == 404:
        return refuse(
            Denied(404, "not_found", f"there is nothing at {request.url.path[:200]}", fix="see /v1/openapi.json")
        )
    if status == 405:
        return refuse(Denied(405, "bad_method", f"{request.method} is not for {request.url.path[:200]}"))
    return answer(Problem(code=f"http_{status}", reason=str(getattr(error, "detail", ""))), status)


def _failed(request: Request, error: Exception) -> Response:
    """What nobody foresaw, and a journal that can't write: said in words, without anything of the inside."""
    kind = type(error).__name__
    advice = getattr(error, "advice", "")
    if advice:  # the store's own errors say what was kept and what to do
        return refuse(Denied(503, snake(kind), str(error).removesuffix(f": {advice}"), fix=advice))
    log.exception("%s %s failed", request.method, request.url.path)
    return refuse(
        Denied(
            500, "internal", f"the engine failed on this request ({kind})", fix="see the engine's log: qd engine logs"
        )
    )
