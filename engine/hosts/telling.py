"""Told events on to a configured sink: in order, each at least once, from where it stopped.

Rules: a cursor in the database says what was taken; a sink that does not answer is tried again for as long as it takes,
and holds up nothing but itself; an event it refuses for good is left out, and the history says so. A sink that is new
begins with what comes now.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from engine.capabilities.events.envelope import envelope
from engine.capabilities.ports import ActionError
from engine.store.reading import Reading
from engine.store.threads import Threads

if TYPE_CHECKING:
    from engine.hosts.embedded import Host

Json = Any
log = logging.getLogger("quarterdeck.telling")
LOOK_S, FIRST_S, CAP_S = 1.0, 2.0, 300.0
"""Real seconds: between looks, and between tries of a sink that does not answer."""
CHUNK = 200
_CURSOR = (
    "insert into mirror (system, kind, id, etag, at, data) values ('sink', 'cursor', ?, ?, ?, x'') "
    "on conflict (system, kind, id) do update set etag = excluded.etag, at = excluded.at"
)


class Sink(Protocol):
    """Where told events go. `send` raises ActionError; one that is not retryable means: never."""

    def wants(self, event: str) -> bool: ...
    async def send(self, envelope: Mapping[str, Json]) -> None: ...


class Telling:
    """One sink's loop. `name` keeps its cursor."""

    def __init__(self, host: Host, sink: Sink, name: str = "sink") -> None:
        self._host, self._sink, self._name = host, sink, name
        self._reading = Reading(host.journal.path)
        self._threads = Threads(self._reading.all)
        self._wait = FIRST_S

    async def run(self) -> None:
        after = await asyncio.to_thread(self._cursor)
        if after is None:
            after = self._host.journal.seq
            await self._keep(after)
        while True:
            try:
                after = await self.once(after)
                self._wait = FIRST_S
                await asyncio.sleep(LOOK_S)
            except ActionError as error:
                log.warning("events from %d on wait for the sink: %s", after + 1, error.message)
                await asyncio.sleep(error.retry_after or self._wait)
                self._wait = min(CAP_S, self._wait * 2)

    async def once(self, after: int) -> int:
        """Sends what was told since; where it stands now. Raises ActionError at the first that can't be sent now."""
        while rows := await asyncio.to_thread(self._told_since, after):
            for seq, name in rows:
                if self._sink.wants(name):
                    await self._send(seq)
                after = seq
                await self._keep(after)
            if len(rows) < CHUNK:
                break
        return after

    async def _send(self, seq: int) -> None:
        made = await asyncio.to_thread(self._envelope, seq)
        try:
            await self._sink.send(made)
        except ActionError as error:
            if error.retryable and error.kind not in ("validation",):
                raise
            said = {"event": seq, "sink": self._name, "reason": error.message[:500]}
            self._host.system.note("EventNotTaken", said)

    def _told_since(self, after: int) -> list[tuple[int, str]]:
        rows = self._reading.all(
            f"select seq, event from event_threads where seq > ? order by seq limit {CHUNK}", (after,)
        )
        return [(row[0], row[1]) for row in rows]

    def _envelope(self, seq: int) -> dict[str, Json]:
        found = self._threads.event(seq)
        if found is None:
            raise ActionError("Gone", f"event {seq} is no longer known", kind="validation", retryable=False)
        actor = self._reading.one("select actor from events where seq = ?", (seq,))
        cause = self._threads.key(found.cause)
        root = self._threads.root_key(found)
        return envelope(found, limits=self._host.triggers.limits, actor=actor[0], cause=cause, root=root)

    def _cursor(self) -> int | None:
        row = self._reading.one(
            "select etag from mirror where system = 'sink' and kind = 'cursor' and id = ?", (self._name,)
        )
        return int(row[0]) if row else None

    async def _keep(self, after: int) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(commit: Any, error: BaseException | None) -> None:
            if not future.done():
                future.set_result(None) if error is None else future.set_exception(error)

        self._host.system.write([(_CURSOR, [(self._name, str(after), self._host.clock.now())])], done)
        await future
