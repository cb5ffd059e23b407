"""Follows the history for what people should be told outside the console, and says so in one event: `qd.notice.wanted`.

Rules: a cursor in the database says how far it looked, so a crash leaves nothing out; an event it told twice is one event.
While nobody can tell people, nothing is looked at and nothing is made up for. What happened long ago is no news.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from engine.capabilities.notices.rules import GATES, NoticePolicy, Wanted, about_event, about_gate, channels_of
from engine.capabilities.ports import ActionError
from engine.store.errors import StoreError
from engine.store.queries import Queries
from engine.store.reading import Reading
from engine.store.records import Actor
from engine.store.threads import Threads

if TYPE_CHECKING:
    from engine.hosts.embedded import Host

Json = Any
log = logging.getLogger("quarterdeck.noticing")
WANTED = "qd.notice.wanted"
SOURCE = "/quarterdeck/notices"
WORKFLOW = "notices"
ACTOR = Actor(kind="policy", id="notices", via="engine")
LOOK_S, CHUNK = 1.0, 200
_KEEP = (
    "insert into mirror (system, kind, id, etag, at, data) values ('notices', 'cursor', 'cursor', ?, ?, x'') "
    "on conflict (system, kind, id) do update set etag = excluded.etag, at = excluded.at"
)
_KEPT = "select etag from mirror where system = 'notices' and kind = 'cursor' and id = 'cursor'"
_FACTS = (
    "select e.seq, e.type, e.at, coalesce(e.data, b.data) from events e left join blobs b on b.digest = e.digest "
    f"where e.seq > ? and e.seq <= ? and e.type in ({', '.join(repr(name) for name in GATES)}) order by e.seq limit {CHUNK}"
)
_TOLD = f"select seq, event from event_threads where seq > ? and seq <= ? order by seq limit {CHUNK}"


class Noticing:
    """One engine's loop. `pack` gives the policy as it stands."""

    def __init__(self, host: Host, ports: Mapping[str, Any], pack: Mapping[str, Json]) -> None:
        self._host, self._ports, self._policy = host, ports, NoticePolicy.of(pack)
        self._reading = Reading(host.journal.path)
        self._queries = Queries(host.journal.path, now=host.clock.now)
        self._threads = Threads(self._reading.all)
        self._after: int | None = None

    async def run(self) -> None:
        while True:
            try:
                await self.once()
            except (ActionError, StoreError) as error:
                log.warning("who is to be told waits: %s", error)
            await asyncio.sleep(LOOK_S)

    async def once(self) -> int:
        """Looks at what is new; how many messages are wanted."""
        head = self._host.journal.seq
        if "notify" not in self._ports:
            self._after = head
            return 0
        if self._after is None:
            kept = await asyncio.to_thread(self._reading.one, _KEPT)
            self._after = int(kept[0]) if kept else head
        if head <= self._after:
            return 0
        wanted, reached = await asyncio.to_thread(self._since, self._after, head)
        if wanted:
            every = await self._ports["notify"].channels()
            for seq, cause, one in wanted:
                await self._tell(one, every, seq, cause)
            await self._keep(reached)
        self._after = reached
        return len(wanted)

    # -- reading, in a thread ----------------------------------------------------------------------------------------

    def _since(self, after: int, head: int) -> tuple[list[tuple[int, str, Wanted]], int]:
        """(sequence, key of its cause, message) of what is new, and how far that goes."""
        facts = self._reading.all(_FACTS, (after, head))
        told = self._reading.all(_TOLD, (after, head))
        ends = [rows[-1][0] for rows in (facts, told) if len(rows) == CHUNK]
        reached = min([head, *ends])
        now, found = self._host.clock.now(), []
        for seq, fact, at, data in facts:
            if seq <= reached and now - at / 1e6 <= self._policy.not_older:
                found += [(seq, "", one) for one in self._of_gate(seq, fact, data)]
        rules = [rule for rule in self._policy.rules.values() if rule.channels]
        for seq, name in told:
            if seq <= reached and any(rule.fits(name) for rule in rules):
                found += self._of_event(seq, now)
        return sorted(found, key=lambda each: each[0]), reached

    def _of_gate(self, seq: int, fact: str, data: bytes | None) -> Sequence[Wanted]:
        name = str(msgspec.json.decode(data).get("gate") or "") if data else ""
        detail = self._queries.gate_detail(name) if name else None
        if detail is None or detail.gate.state != "open":
            return ()
        row = self._reading.one("select workflow from runs where id = ?", (detail.gate.run,))
        return () if row is not None and row[0] == WORKFLOW else about_gate(self._policy, fact, seq, detail)

    def _of_event(self, seq: int, now: float) -> list[tuple[int, str, Wanted]]:
        event = self._threads.event(seq)
        if event is None or now - event.at > self._policy.not_older:
            return []
        facts = {**(event.data or {}), "subject": event.subject, "seq": seq, "key": event.key, "run": event.run}
        return [(seq, event.key, one) for one in about_event(self._policy, event.event, facts)]

    # -- telling -----------------------------------------------------------------------------------------------------

    async def _tell(self, one: Wanted, every: Sequence[str], seq: int, cause: str) -> None:
        channels = channels_of(one.channels, every)
        if not channels:
            return
        data = {**msgspec.to_builtins(one), "channels": channels}
        await self._host.publish(
            WANTED, data, id=one.once, actor=ACTOR, source=SOURCE, subject=one.gate or one.run, cause=cause
        )

    async def _keep(self, after: int) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(commit: Any, error: BaseException | None) -> None:
            if not future.done():
                future.set_result(None) if error is None else future.set_exception(error)

        self._host.system.write([(_KEEP, [(str(after), self._host.clock.now())])], done)
        await future
