"""Events between runs and from outside: who waits for one, and which workflow it starts.

An emitted event stands in the outbox since the commit that decided it; a published one in the inbox and the history.
Both are given to the waiting runs as commands with the event's id, which a run takes once, so that telling twice
(after a crash) changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from engine.capabilities.events.rules import Happened
from engine.core import commands as c
from engine.core import events as e
from engine.hosts.settings import Answer
from engine.store import statements as sql
from engine.store.causality import ROUTED
from engine.store.records import Actor, Commit

if TYPE_CHECKING:
    from engine.hosts.embedded import Host

Json = Any
log = logging.getLogger("quarterdeck.host")


class Publishing:
    """Delivers events to runs."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._offered: set[int] = set()
        self._coming: set[tuple[str, str]] = set()

    async def take_in(
        self,
        event: str,
        data: dict[str, Json],
        *,
        id: str,
        actor: Actor,
        source: str,
        subject: str = "",
        cause: str = "",
    ) -> Answer:
        """Records an outside event once per (source, id) and delivers it. `cause` is the key of the event it follows from."""
        host = self._host
        repeat = Answer(seq=host.journal.seq, run="", result={"event": event, "repeated": True}, repeated=True)
        if host.loader.seen(source, id) or (source, id) in self._coming:
            return repeat
        self._coming.add((source, id))
        try:
            row = (source, id, host.clock.now(), event)
            body = {"event": event, "id": id, "source": source, "data": data}
            more = {name: value for name, value in (("subject", subject), ("cause", cause)) if value}
            answer = await host.system.record(
                "EventPublished",
                {**body, **more},
                actor=actor,
                cause=f"{source}/{id}"[:200],
                extra=[(sql.INBOX, [row])],
                answer=Answer(seq=0, run="", events=("EventPublished",), result={"event": event}),
            )
        finally:
            self._coming.discard((source, id))
        self.recover()
        return answer

    def committed(self, events: Sequence[Any]) -> None:
        """After a commit: what was emitted is delivered from the outbox."""
        if any(isinstance(event, e.Emitted) for event in events):
            self.recover()

    def again(self) -> None:
        """The journal can be written again: what could not be handed on then is offered anew."""
        self._offered.clear()
        self.recover()

    def recover(self) -> None:
        """Delivers whatever stands undelivered in the outbox."""
        for seq in self._host.loader.undelivered():  # many may wait for quiet: only their numbers are read each time
            if seq not in self._offered and (told := self._host.loader.told(seq)) is not None:
                self._offered.add(seq)
                self._deliver(seq, told[0], msgspec.json.decode(told[1]))

    def _deliver(self, seq: int, run: str, body: dict[str, Json]) -> None:
        """Gives the event to every run that waits for it and to the triggers, then marks it delivered."""
        host = self._host
        event, data = body["type"], dict(body.get("data") or {})
        subject = body.get("subject") or ""
        if subject:
            data.setdefault("subject", subject)
        id_ = body["id"] if run else f"{body['source']}/{body['id']}"
        by = body["actor"]
        keys = {"", _key(data.get("correlate")), _key(subject or data.get("subject"))}
        given = dict.fromkeys(name for name, correlate in host.loader.waiting_for(event) if correlate in keys)

        def give(name: str) -> None:
            host.tell(name, c.ReceiveEvent(event=event, id=id_, data=data, by=by), f"event:{id_}"[:200])

        def attach(name: str) -> None:
            if name not in given:
                given[name] = None
                give(name)

        def done(outcomes: list[dict[str, str]]) -> None:
            rows = [(sql.OUTBOX_DONE, [(True, seq)])]
            if outcomes:
                host.system.note(ROUTED, {"event": seq, "name": event, "outcomes": outcomes}, extra=rows, then=marked)
            else:
                host.system.write(rows, marked)

        def marked(commit: Commit, error: BaseException | None) -> None:
            self._offered.discard(seq)
            if error is not None:
                log.warning("event %d was delivered but not marked so: it will be offered again (%s)", seq, error)

        for name in list(given):
            give(name)
        happened = Happened(
            seq=seq,
            event=event,
            key=id_,
            data=data,
            by=by,
            subject=subject,
            source=body["source"],
            time=body.get("time", ""),
            depth=host.loader.depth(seq),
        )
        host.triggers.offer(happened, done, attach)


def _key(value: Json) -> str:
    """A correlation key as the `waits` table has it."""
    return "" if value is None else value if isinstance(value, str) else msgspec.json.encode(value).decode()
