"""Verbs on records, from a checked request to its answer. What they do, the subjects say (`engine.capabilities.desk`)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from engine.api import verbs
from engine.api.access import Caller
from engine.api.consequences import Consequences
from engine.api.door import Door
from engine.api.problems import Denied, not_found, snake
from engine.capabilities import subjects
from engine.capabilities.connections import port_of
from engine.capabilities.desk import DeskVerb, Foreseen, Refusal
from engine.capabilities.ports import ActionError
from engine.capabilities.records import RecordError
from engine.contract.common import CommandAnswer, Json
from engine.core import commands as core

DESK = subjects.verbs()
_STATUS = {"validation": 422, "authorization": 403, "configuration": 503, "unavailable": 503, "communication": 502}


class At:
    """The desk as one caller has it, for one request."""

    def __init__(self, door: Door, caller: Caller, request: verbs.Request) -> None:
        self._door, self._caller, self._request = door, caller, request
        self.person, self.roles = caller.person, caller.roles
        self.records, self.vault = door.keeper.for_asker(caller.actor(), request.id, scope=request.id)
        self._started = 0
        self._seq, self._events = 0, tuple[str, ...]()

    @property
    def made(self) -> tuple[int, tuple[str, ...]]:
        """The last event that came of this request (0: none), and what the events are called."""
        changed = ("RecordChanged",) if self.records.seq else ()
        return max(self._seq, self.records.seq), (*changed, *self._events)

    def now(self) -> float:
        return self._door.now()

    def port(self, capability: str) -> Any:
        return port_of(self._door.ports, capability)

    def policy(self, pack: str) -> dict[str, Json]:
        return self._door.pack(pack)

    async def start(
        self, workflow: str, inputs: Mapping[str, Json], attributes: Mapping[str, Json] | None = None
    ) -> str:
        answer = await self._door.host.start_run(
            workflow, dict(inputs), id=self._next_id(), actor=self._caller.actor(), attributes=dict(attributes or {})
        )
        self._note(answer)
        return str(answer.run)

    async def signal(self, run: str, event: str, data: Mapping[str, Json] | None = None) -> None:
        id_ = self._next_id()
        command = core.ReceiveEvent(event=event, id=id_, data=dict(data or {}), by=self.person)
        self._note(await self._door.host.submit(run, command, id=id_, actor=self._caller.actor()))

    async def publish(
        self,
        event: str,
        data: Mapping[str, Json],
        subject: str = "",
        *,
        source: str = "",
        id: str = "",
        cause: str = "",
    ) -> None:
        self._note(
            await self._door.host.publish(
                event,
                dict(data),
                id=id or self._next_id(),
                actor=self._caller.actor(),
                source=source or "/quarterdeck/desk",
                subject=subject,
                cause=cause,
            )
        )

    def refuse(self, code: str, reason: str, fix: str = "", field: str = "") -> NoReturn:
        raise Refusal(code, reason, fix=fix, field=field)

    def _next_id(self) -> str:
        self._started += 1
        return f"{self._request.id}/{self._started}"

    def _note(self, answer: Any) -> None:
        """What the host answered: a refusal ends it here, events are this request's."""
        if answer.refusal is not None:
            raise Refusal(answer.refusal.code, answer.refusal.reason, fix=answer.refusal.fix)
        self._events += answer.events
        if answer.events:
            self._seq = max(self._seq, answer.seq)


def target_of(door: Door, verb: DeskVerb, target: str) -> Any:
    """The record a verb is about. Call it in a thread. Raises `Denied` when there is none."""
    if not verb.kind:
        return None
    record = door.book.reads.get(verb.kind, target)
    if record is None:
        raise not_found(verb.kind.replace("_", " "), target[:100])
    return record


async def foreseen(
    door: Door, caller: Caller, verb: DeskVerb, request: verbs.Request, *, record: Any, args: Any
) -> Consequences:
    """What it would do, and the phrase for it."""
    if verb.foresee is None:
        return Consequences()
    try:
        said: Foreseen = await verb.foresee(At(door, caller, request), record, args)
    except (Refusal, ActionError) as error:
        raise denied(error) from error
    return Consequences(said.sentences, said.phrase)


async def carry_out(
    door: Door, caller: Caller, verb: DeskVerb, request: verbs.Request, *, record: Any, args: Any
) -> CommandAnswer:
    """Does it, and keeps the answer under the request's id."""
    desk = At(door, caller, request)
    try:
        result = await verb.do(desk, record, args)
    except (Refusal, ActionError) as error:
        raise denied(error) from error
    result = msgspec.to_builtins(result)
    seq, events = desk.made
    kept = await door.book.answered(request.id, result, seq=seq, events=events)
    made = str(result.get("id", "")) if isinstance(result, dict) else ""
    return CommandAnswer(
        id=request.id, verb=verb.name, target=request.target or made, seq=kept.seq, events=kept.events, result=result
    )


def denied(error: Exception) -> Denied:
    """A refusal of a subject, the book or a port as the door says it."""
    if isinstance(error, Refusal):
        status = {"not_found": 404, "forbidden": 403, "bad_input": 422}.get(error.code, 422 if error.field else 409)
        return Denied(status, error.code, error.reason, fix=error.fix, field=error.field)
    if isinstance(error, RecordError):
        status = 404 if error.error == "NoSuchRecord" else 422 if error.error == "BadField" else 409
        return Denied(status, snake(error.error), error.message, fix=error.fix, field=error.field)
    if isinstance(error, ActionError):
        return Denied(_STATUS.get(error.kind, 409), snake(error.error), error.message)
    raise error


async def record_for(door: Door, verb: DeskVerb, target: str) -> Any:
    return await asyncio.to_thread(target_of, door, verb, target)
