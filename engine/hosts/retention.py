"""What is only bookkeeping is let go in time: answers of old commands, delivered events, marks of what was taken in.

Rules: the history itself is never touched; nothing that still guards against doing something twice goes (keys of records,
the newest time of a cron line, events not yet delivered); a sweep goes in small commits, so that no run waits for it, and
says in the history what it let go.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from engine.capabilities.events.rules import Limits
from engine.store.errors import StoreError
from engine.store.loading import Loader

if TYPE_CHECKING:
    from engine.hosts.embedded import Host

log = logging.getLogger("quarterdeck.retention")
CHUNK = 1_000
"""Rows that go in one commit."""
LEAST_S = 60.0
"""Real seconds between sweeps, however fast the sandbox's clock runs."""

_OLD = {
    "commands": "select id from commands where at < ? and id not like 'record:%' limit ?",
    "outbox": "select seq from outbox where delivered = 1 and seq < ? order by seq limit ?",
    "inbox": (
        "select source, id from inbox i where at < ? and not (source like 'cron:%' and id = "
        "(select max(id) from inbox where source = i.source)) limit ?"
    ),
}
_LET_GO = {
    "commands": "delete from commands where id = ?",
    "outbox": "delete from outbox where seq = ? and delivered = 1",
    "inbox": "delete from inbox where source = ? and id = ?",
}


class Retention:
    """Sweeps for as long as the engine lives."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def run(self) -> None:
        every = self._host.triggers.limits.sweep_every
        while True:
            await asyncio.sleep(max(LEAST_S, self._host.clock.real_duration(every)))
            try:
                await self.sweep()
            except StoreError as error:
                log.warning("nothing was swept: %s", error)

    async def sweep(self) -> dict[str, int]:
        """Lets go what is past its time; how many rows of each table went."""
        limits: Limits = self._host.triggers.limits
        gone: dict[str, int] = {}
        for table, keep_s in limits.retention.items():
            cutoff: float = self._host.clock.now() - keep_s
            if table == "outbox":
                cutoff = await asyncio.to_thread(self._first_kept, cutoff)
            while rows := await asyncio.to_thread(self._old, table, cutoff):
                await self._delete(table, rows)
                gone[table] = gone.get(table, 0) + len(rows)
                if len(rows) < CHUNK:
                    break
        if gone:
            self._host.system.note("BookkeepingSwept", {"rows": gone})
        return gone

    def _old(self, table: str, cutoff: float) -> list[Any]:
        loader = Loader(self._host.journal.path)
        try:
            return loader.rows(_OLD[table], (cutoff, CHUNK))
        finally:
            loader.close()

    def _first_kept(self, cutoff: float) -> int:
        """Events up to here are old enough. Read from the newest backwards, so that it costs what is kept."""
        loader = Loader(self._host.journal.path)
        try:
            rows = loader.rows("select seq from event_threads where at < ? order by seq desc limit 1", (cutoff,))
        finally:
            loader.close()
        return int(rows[0][0]) + 1 if rows else 0

    async def _delete(self, table: str, rows: list[Any]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(commit: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self._host.system.write([(_LET_GO[table], rows)], done)
        await future
