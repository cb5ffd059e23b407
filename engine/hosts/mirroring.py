"""One reading of one feed: what its owner has now is compared with what was mirrored, written, and told.

Rules:
1. Rows, the events that tell of them and the cursor that goes on behind them are one commit: an engine killed anywhere
   tells each difference once.
2. The first listing of everything is told as one event; from then on every difference is one, in the order of the owner's
   own times (within a page, where an owner has only lists and no changes to ask for).
3. What a listing no longer names is gone, unless that is most of it: then it is listed once more before it is believed.
4. A cursor its owner has forgotten is no loss: everything is listed, and compared with what was mirrored.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from engine.capabilities.ports import ActionError
from engine.capabilities.systems.ports import Feed, Pulled, RemoteObject
from engine.hosts.clock import Clock
from engine.store import mirror as sql
from engine.store.mirror import Fresh, Known, MirrorReads, SyncState
from engine.store.records import SYSTEM, Actor, Commit

if TYPE_CHECKING:
    from engine.hosts.embedded import Host

Json = Any
log = logging.getLogger("quarterdeck.syncing")
PAGE_S = 120.0
"""Real seconds a page may take."""
PAGES = 100_000
LATE_S = 30.0
"""Seconds by which a change may lag behind the pull that should have named it."""
SKEW_S = 5.0
"""Seconds that an owner's clock may be off before it is said; answers take time themselves."""
KEEP_GONE_S = 30 * 86_400.0
"""Seconds for which an object that is gone is known again when it comes back."""
MANY, MOST_OF_IT = 20, 0.5
"""A listing that lacks more than this many objects, and this share of them, is doubted once."""
TELL = 100
"""Events of one commit: what follows from them is worked out at once, and must not hold up everybody else."""
DATA_B = 8 * 1024
"""Bytes of an object's data that go with the event."""
EVENTS = "/quarterdeck/remote/"
"""What the sources of the events begin with."""


class Job:
    """One feed of one system."""

    def __init__(self, system: str, feed: Feed, port: Any, state: SyncState, now: float) -> None:
        self.system, self.feed, self.port, self.state = system, feed, port, state
        self.since = now
        self.lock = asyncio.Lock()
        self.syncing = self.suspended = False
        self.full_next = bool(state.doubt)
        self.next_at = 0.0
        self.saved = 0.0
        self.task: asyncio.Task[Any] | None = None
        self.id = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.system, self.feed.kind

    @property
    def name(self) -> str:
        return f"{self.system}/{self.feed.kind}"


class Mirroring:
    """Reads feeds and writes what differs."""

    def __init__(self, host: Host, clock: Clock, reads: MirrorReads) -> None:
        self._host, self._clock, self._reads = host, clock, reads

    async def pull(self, job: Job, *, full: bool) -> int:
        """All there is now; how many objects differed. Raises ActionError, StoreError: what was written until then stands.

        Before everything is listed anew, what changed is asked for: that comes in the order of time.
        """
        state, now = job.state, self._clock.now()
        due = full or job.full_next or not state.seeded or 0 < job.feed.full_every_s <= now - state.full_at
        changed, listed = 0, False
        if not due or (state.cursor and state.seeded and not job.full_next):
            changed, listed = await self._read(job, state.cursor)
        if due and (full or not listed):
            more, listed = await self._read(job, "")
            changed += more
        if listed:
            state.full_at, job.saved = now, 0.0
        state.pulled_from = now
        return changed

    async def _read(self, job: Job, cursor: str) -> tuple[int, bool]:
        """The pages from `cursor` on: how many objects differed, and whether that was a listing of everything."""
        state, feed = job.state, job.feed
        listing, seen, changed, lost = True, set[str](), 0, False
        for _ in range(PAGES):
            try:
                async with asyncio.timeout(PAGE_S):
                    page = await job.port.pull(feed.kind, cursor)
            except TimeoutError:
                raise ActionError("TooSlow", f"a page of {feed.kind} took more than {PAGE_S:.0f} s") from None
            except ActionError as error:
                if error.error != "CursorLost" or lost or not cursor:
                    raise
                log.info("%s: its owner no longer knows where we were; everything is listed", job.name)
                cursor, lost, listing, seen = "", True, True, set()
                continue
            self._clocks(job, page)
            if page.unchanged:
                return changed, False
            listing = listing and page.full
            if listing:
                seen.update(one.id for one in page.objects)
            # within a listing nothing is kept of how far it is: one that was cut short begins anew
            changed += await self._take(job, page, state.cursor if listing else page.cursor)
            if not page.more:
                if listing:
                    changed += await self._gone(job, seen)
                state.cursor = page.cursor
                break
            if page.cursor == cursor:
                raise ActionError("NoEnd", f"{feed.kind}: the owner's pages lead nowhere", kind="validation")
            cursor = page.cursor
        return changed, listing

    async def _take(self, job: Job, page: Pulled, cursor: str) -> int:
        """Writes what differs on one page, tells it, and goes on behind it."""
        objects = sorted({one.id: one for one in page.objects}.values(), key=lambda one: one.changed_at)
        upserts, rows, events = await asyncio.to_thread(self._compared, job, objects)
        changed = len(upserts)
        while events and len(upserts) > TELL:  # the page's cursor goes with its last commit
            await self.tell(job, events[:TELL], [(sql.UPSERT, upserts[:TELL])])
            upserts, events = upserts[TELL:], events[TELL:]
        if upserts:
            rows.append((sql.UPSERT, upserts))
        for start in range(0, len(page.deleted), TELL):
            known = await asyncio.to_thread(self._reads.known, *job.key, page.deleted[start : start + TELL])
            there = [(id_, one.name, one.state, one.url) for id_, one in known.items() if not one.deleted_at]
            rows += self._gone_rows(job, there)
            events += self._gone_events(job, there)
            changed += len(there)
        was, job.state.cursor = job.state.cursor, cursor
        try:
            if rows or events:
                await self.tell(job, events if job.state.seeded else [], rows)
            elif was != cursor:
                await self.save(job)
        except BaseException:
            job.state.cursor = was  # what was not written is asked for again
            raise
        return changed

    def _compared(
        self, job: Job, objects: Sequence[RemoteObject]
    ) -> tuple[list[tuple[Any, ...]], list[Any], list[dict[str, Json]]]:
        """(rows that differ, further statements, what is told of each row) of a page. Runs in a thread."""
        known = self._reads.known(*job.key, [one.id for one in objects])
        upserts: list[tuple[Any, ...]] = []
        etags: list[tuple[Any, ...]] = []
        events: list[dict[str, Json]] = []
        now = self._clock.now()
        for remote in objects:
            old = known.get(remote.id)
            if old is not None and not old.deleted_at and remote.etag and remote.etag == old.etag:
                continue
            made = sql.fresh(remote)
            if old is not None and not old.deleted_at and made.digest == old.digest:
                if made.etag != old.etag:
                    etags.append((made.etag, *job.key, made.id))
                continue
            upserts.append(sql.row_of(*job.key, made, now))
            if job.state.seeded:
                events.append(self._difference(job, remote, made, old))
        return upserts, [(sql.ETAG, etags)] if etags else [], events

    def _difference(self, job: Job, remote: RemoteObject, made: Fresh, old: Known | None) -> dict[str, Json]:
        what, fields = "created", []
        if old is not None:
            what = "restored" if old.deleted_at else "renamed" if old.name != made.name else "changed"
            fields = [
                name for name in ("name", "state", "url", "changed_at") if getattr(old, name) != getattr(made, name)
            ]
            before = self._reads.data(*job.key, made.id)
            fields += sorted(k for k in {*before, *remote.data} if before.get(k) != remote.data.get(k))
        data: dict[str, Json] = {
            "id": made.id, "name": made.name, "state": made.state, "was": old.state if old is not None else "",
            "changed": fields, "url": made.url, "changed_at": made.changed_at, "late": self._late(job, made.changed_at),
            "data": remote.data if len(made.data) <= DATA_B else {},
        }  # fmt: skip
        if what == "renamed" and old is not None:
            data["was_name"] = old.name
        return self.event(job, f"qd.remote.{job.feed.kind}.{what}", f"{made.id}/{what}/{made.digest.hex()}", data)

    def _late(self, job: Job, changed_at: float) -> bool:
        """Whether an earlier pull should have named it already, by its owner's clock put right."""
        state = job.state
        late = 0 < changed_at - state.skew_s < state.pulled_from - LATE_S
        state.late += late
        return late

    async def _gone(self, job: Job, seen: set[str]) -> int:
        """What a whole listing did not name is gone; how many. A listing that lacks most of what there was is doubted once."""
        state = job.state
        missing = await asyncio.to_thread(self._reads.unseen, *job.key, seen)
        there = len(missing) + len(seen)
        if len(missing) > MANY and len(missing) > MOST_OF_IT * there and not state.doubt:
            state.doubt = f"the list lacks {len(missing)} of {there} objects; it is read again before that is believed"
            log.warning("%s: %s", job.name, state.doubt)
            job.full_next = True
            return 0
        state.doubt, job.full_next = "", False
        for start in range(0, len(missing), TELL):
            part = missing[start : start + TELL]
            await self.tell(job, self._gone_events(job, part) if state.seeded else [], self._gone_rows(job, part))
        await self.write([(sql.PURGE, [(*job.key, self._clock.now() - KEEP_GONE_S)])])
        return len(missing)

    def _gone_rows(self, job: Job, objects: Sequence[tuple[str, str, str, str]]) -> list[Any]:
        now = self._clock.now()
        return [(sql.GONE, [(now, now, *job.key, one[0]) for one in objects])] if objects else []

    def _gone_events(self, job: Job, objects: Sequence[tuple[str, str, str, str]]) -> list[dict[str, Json]]:
        now = self._clock.now()
        return [
            self.event(
                job,
                f"qd.remote.{job.feed.kind}.deleted",
                f"{id_}/deleted/{now:.6f}",
                {
                    "id": id_, "name": name, "state": "", "was": state, "changed": [], "url": url, "changed_at": 0.0,
                    "late": False,
                },
            )
            for id_, name, state, url in objects
        ]  # fmt: skip

    def _clocks(self, job: Job, page: Pulled) -> None:
        """How far the owner's clock is off: by what it says, else by changes that would lie in the future."""
        if speed(self._clock) != 1.0:
            return  # a sandbox's time is nobody else's
        now, state = self._clock.now(), job.state
        newest = max((one.changed_at for one in page.objects), default=0.0)
        skew = page.owner_now - now if page.owner_now else max(0.0, newest - now)
        was, state.skew_s = (
            state.skew_s,
            round(skew, 1) if abs(skew) > SKEW_S else 0.0 if page.owner_now else state.skew_s,
        )
        if state.skew_s and not was:
            log.warning("%s: the owner's clock is %+.0f s off", job.name, state.skew_s)

    # -- writing -----------------------------------------------------------------------------------------------------

    def event(self, job: Job, event: str, id_: str, data: Mapping[str, Json]) -> dict[str, Json]:
        about = f"{job.system}/{data['id']}" if event.startswith("qd.remote.") else job.system
        return {
            "type": "EventPublished",
            "event": event,
            "id": f"{job.feed.kind}/{id_}/{self._clock.now():.3f}",
            "source": f"{EVENTS}{job.system}",
            "subject": about[:200],
            "data": {"system": job.system, "kind": job.feed.kind, **data},
        }

    async def tell(self, job: Job, events: Sequence[Mapping[str, Json]], rows: Sequence[Any] = ()) -> None:
        """Rows, events and how far the feed is, in one commit."""
        extra = [*rows, self._state_row(job)]
        if not events:
            await self.write(extra)
            return
        host = self._host
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(commit: Commit, error: BaseException | None) -> None:
            if error is None:
                host.feed.push(commit)
            if not future.done():
                future.set_exception(error) if error is not None else future.set_result(None)

        host.journal.put(
            Commit(
                run=SYSTEM,
                before=0,
                events=(),
                types=["EventPublished"] * len(events),
                data=[msgspec.json.encode(each) for each in events],
                at=int(self._clock.now() * 1e6),
                actor=Actor(kind="connector", id=f"connector:{job.system}", via="sync"),
                cause=f"sync/{job.name}"[:200],
                done=done,
                extra=extra,
            )
        )
        await asyncio.shield(future)
        job.saved = time.monotonic()
        host.publishing.recover()

    async def save(self, job: Job) -> None:
        await self.write([self._state_row(job)])
        job.saved = time.monotonic()

    def _state_row(self, job: Job) -> tuple[str, list[tuple[Any, ...]]]:
        return sql.STATE, [(*job.key, self._clock.now(), msgspec.json.encode(job.state))]

    async def write(self, rows: Sequence[Any]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(commit: Commit, error: BaseException | None) -> None:
            if not future.done():
                future.set_exception(error) if error is not None else future.set_result(None)

        self._host.system.write([each for each in rows if each[1]], done)
        await asyncio.shield(future)


def speed(clock: Clock) -> float:
    """Seconds of the engine's clock in a real one."""
    return float(getattr(clock, "speed", 1.0))
