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

from engine.core import commands as c
from engine.core import events as e
from engine.hosts.settings import Answer
from engine.store import statements as sql
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

    async def take_in(self, event: str, data: dict[str, Json], *, id: str, actor: Actor, source: str) -> Answer:
        """Records an outside event once per (source, id) and delivers it."""
        host = self._host
        if host.loader.seen(source, id):
            return Answer(seq=host.journal.seq, run="", result={"event": event, "repeated": True}, repeated=True)
        row = (source, id, host.clock.now(), event)
        body = {"event": event, "id": id, "source": source, "data": data}
        answer = await host.system.record(
            "EventPublished",
            body,
            actor=actor,
            cause=f"{source}/{id}",
            extra=[(sql.INBOX, [row])],
            answer=Answer(seq=0, run="", events=("EventPublished",), result={"event": event}),
        )
        self.deliver(0, event, data, f"{source}/{id}", actor.id)
        return answer

    def committed(self, events: Sequence[Any]) -> None:
        """After a commit: what was emitted is delivered from the outbox."""
        if any(isinstance(event, e.Emitted) for event in events):
            self.recover()

    def recover(self) -> None:
        """Delivers whatever stands undelivered in the outbox."""
        for seq, run, event, body in self._host.loader.undelivered():
            if seq in self._offered:
                continue
            data = msgspec.json.decode(body)
            self.deliver(seq, event, data.get("data") or {}, data["id"], f"run:{run}")

    def deliver(self, seq: int, event: str, data: dict[str, Json], id: str, by: str) -> None:
        """Gives the event to every run that waits for it, then marks it delivered (`seq` 0: not from the outbox)."""
        host = self._host
        for run in dict.fromkeys(run for run, _ in host.loader.waiting_for(event)):
            host.tell(run, c.ReceiveEvent(event=event, id=id, data=data, by=by), f"event:{id}"[:200])
        if not seq:
            return
        self._offered.add(seq)

        def marked(commit: Commit, error: BaseException | None) -> None:
            self._offered.discard(seq)
            if error is not None:
                log.warning("event %d was delivered but not marked so: it will be offered again (%s)", seq, error)

        host.system.write([(sql.OUTBOX_DONE, [(True, seq)])], marked)
