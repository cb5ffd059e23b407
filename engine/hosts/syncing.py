"""Keeps the mirror of remote objects in step with their owners: reads every feed on its schedule, and when it is asked to.

A system that does not answer is asked again ever more slowly; nothing is lost meanwhile (its cursor stays), and what is
older than its feed allows is STALE, told once and taken back once. What one reading does: `engine.hosts.mirroring`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

from engine.capabilities.ports import ActionError
from engine.capabilities.systems.ports import Feed
from engine.contract.systems import FeedView, SyncedFeed
from engine.hosts.clock import Clock
from engine.hosts.mirroring import Job, Mirroring, speed
from engine.store import mirror as sql
from engine.store.errors import StoreError
from engine.store.mirror import MirrorReads, SyncState
from engine.store.reading import Reading

if TYPE_CHECKING:
    from engine.hosts.embedded import Host

Json = Any
log = logging.getLogger("quarterdeck.syncing")
LEAST_S = 2.0
"""Real seconds between two pulls of a feed, however fast the sandbox's clock runs."""
SOON_S = 0.3
"""Real seconds within which a system that came is first read: not all of them in the same instant."""
BACK_OFF_CAP_S = 300.0
JITTER = 0.1
AT_ONCE = 4
"""Feeds that are read at the same time."""
SAVE_S = 60.0
"""Real seconds for which an unremarkable success is kept in memory only."""


class Syncing:
    """The feeds of all systems (`engine.capabilities.systems.live.Follower`). Made on the host's loop."""

    def __init__(self, host: Host, clock: Clock) -> None:
        self._host, self._clock = host, clock
        self._reads = MirrorReads(Reading(host.journal.path))
        self._mirroring = Mirroring(host, clock, self._reads)
        self._jobs: dict[tuple[str, str], Job] = {}
        self._room = asyncio.Semaphore(AT_ONCE)
        self._random = random.Random()
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )
        self._closed = False
        self.noticed: Callable[[str], None] = lambda system: None

    def close(self) -> None:
        self._closed = True
        for job in self._jobs.values():
            self._stop(job)
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    # -- what is followed --------------------------------------------------------------------------------------------

    def follow(self, system: str, ports: Sequence[Any]) -> None:
        """Mirrors the feeds of these implementations from now on; what was mirrored before goes on from where it was."""
        states = self._reads.states(system)
        wanted: dict[str, tuple[Feed, Any]] = {}
        for port in ports:
            for feed in port.feeds:
                wanted.setdefault(feed.kind, (feed, port))
        for job in [job for job in self._jobs.values() if job.system == system]:
            self._stop(job)
            states[job.feed.kind] = job.state
            del self._jobs[job.key]
        for kind, (feed, port) in wanted.items():
            job = Job(system, feed, port, states.get(kind, SyncState()), self._clock.now())
            self._jobs[job.key] = job
            self._soon(job)

    def pause(self, system: str) -> None:
        """Reads nothing of it until it is followed again. What it had stays as it was, and is not called STALE."""
        for job in self._jobs.values():
            if job.system == system:
                self._stop(job)
                job.suspended = True

    async def forget(self, system: str) -> None:
        """Drops everything that was mirrored of a system."""
        for job in [job for job in self._jobs.values() if job.system == system]:
            self._stop(job)
            async with job.lock:
                del self._jobs[job.key]
        await self._mirroring.write([(statement, [(system,)]) for statement in sql.FORGET])

    def nudge(self, system: str) -> None:
        """It answers again: feeds that wait to be asked again are read now."""
        for job in self._jobs.values():
            if job.system == system and job.state.failures and not job.syncing and not job.suspended:
                self._soon(job)

    def hint(self, system: str) -> None:
        """Something happened there: its feeds are read soon, however often it is said meanwhile."""
        for job in self._jobs.values():
            soon = self._clock.now() + 2 * LEAST_S * speed(self._clock)
            if job.system == system and not job.state.failures and not job.suspended and job.next_at > soon:
                self._plan(job, LEAST_S)

    async def sync(self, system: str, feed: str = "", *, full: bool = False) -> Sequence[SyncedFeed]:
        """Reads its feeds now, one after the other; what came of each. Raises ActionError `NoSuchFeed`."""
        jobs = [job for job in self._jobs.values() if job.system == system and feed in ("", job.feed.kind)]
        if feed and not jobs:
            known = ", ".join(job.feed.kind for job in self._jobs.values() if job.system == system) or "none"
            raise ActionError("NoSuchFeed", f"{system} has no feed {feed[:60]!r}; it has {known}", retryable=False)
        found = []
        for job in jobs:
            done = await self._turn(job, full=full)
            if not done.error:
                await self._mirroring.tell(
                    job,
                    [
                        self._mirroring.event(
                            job,
                            "qd.sync.completed",
                            f"manual/{self._clock.now():.6f}",
                            {"objects": done.objects, "changed": done.changed, "full": full, "first": False},
                        )
                    ],
                )
            found.append(done)
        return found

    def feeds(self, system: str) -> tuple[FeedView, ...]:
        """How each feed is. May be called in threads."""
        return tuple(self._view(job) for job in list(self._jobs.values()) if job.system == system)

    def _view(self, job: Job) -> FeedView:
        state, feed = job.state, job.feed
        word = "fresh" if state.synced_at else "new"
        if job.suspended:
            word = "suspended"
        elif self._is_stale(job):
            word = "stale"
        elif state.failures:
            word = "failing"
        elif job.syncing and not state.seeded:
            word = "syncing"
        return FeedView(
            kind=feed.kind, title=feed.title, state=word, objects=state.objects, every_s=feed.every_s,
            stale_s=self._stale_after(job), tried_at=state.tried_at, synced_at=state.synced_at, full_at=state.full_at,
            next_at=job.next_at, took_s=round(state.took_s, 3), changed=state.changed, failures=state.failures,
            error=state.error, skew_s=state.skew_s, late=state.late, stale_since=state.stale_since, doubt=state.doubt,
        )  # fmt: skip

    def _stale_after(self, job: Job) -> float:
        """Seconds of silence that are too many. In a sandbox a pull can't come as often as its clock would have it."""
        return max(job.feed.stale_s, 3 * job.feed.every_s, 3 * LEAST_S * speed(self._clock))

    def _is_stale(self, job: Job) -> bool:
        seen = job.state.synced_at or job.since
        return not job.suspended and self._clock.now() - seen > self._stale_after(job)

    # -- when --------------------------------------------------------------------------------------------------------

    def _plan(self, job: Job, real_s: float) -> None:
        """The next reading in so many real seconds; there is one plan per feed."""
        if self._closed or self._jobs.get(job.key) is not job or real_s == float("inf"):
            return
        if not self._scheduler.running:
            self._scheduler.start()
        self._unplan(job)
        job.next_at = self._clock.now() + real_s * speed(self._clock)
        job.id = f"{job.name}#{time.monotonic_ns()}"
        when = datetime.now(UTC) + timedelta(seconds=real_s)
        self._scheduler.add_job(self._due, DateTrigger(when), args=(job, job.id), id=job.id)

    def _soon(self, job: Job) -> None:
        if self._clock.real_duration(1.0) != float("inf"):  # time that only a test moves brings no reading about
            self._plan(job, self._random.uniform(0, SOON_S))

    def _unplan(self, job: Job) -> None:
        if job.id and self._scheduler.get_job(job.id) is not None:
            self._scheduler.remove_job(job.id)
        job.id = ""

    def _stop(self, job: Job) -> None:
        self._unplan(job)
        job.next_at = 0.0
        if job.task is not None:
            job.task.cancel()

    async def _due(self, job: Job, id_: str) -> None:
        if job.id != id_ or self._closed:
            return
        job.id = ""
        job.task = asyncio.ensure_future(self._turn(job))
        try:
            await job.task
        except asyncio.CancelledError:
            if not job.task.cancelled():
                raise
        finally:
            job.task = None

    def _wait_s(self, job: Job, retry_after: float | None = None) -> float:
        """Real seconds until the next reading: the feed's own pace, ever slower while its owner does not answer."""
        usual = max(LEAST_S, self._clock.real_duration(job.feed.every_s))
        wait = usual
        if job.state.failures:
            wait = min(max(usual, BACK_OFF_CAP_S), usual * 2.0 ** min(job.state.failures - 1, 10))
            wait = max(wait, retry_after or 0.0)
        elif job.full_next:
            wait = LEAST_S
        return wait * self._random.uniform(1 - JITTER, 1 + JITTER)

    # -- one reading -------------------------------------------------------------------------------------------------

    async def _turn(self, job: Job, *, full: bool = False) -> SyncedFeed:
        """Reads one feed to its end, and plans the next time."""
        retry_after: float | None = None
        async with job.lock, self._room:
            state, began = job.state, time.monotonic()
            state.tried_at, job.syncing = self._clock.now(), True
            try:
                changed = await self._mirroring.pull(job, full=full)
            except ActionError as error:
                retry_after = error.retry_after
                await self._failed(job, error.message)
            except StoreError as error:  # nothing was written, the cursor stands where it stood
                await self._failed(job, str(error))
            except Exception as error:
                log.exception("the feed %s could not be read", job.name)
                await self._failed(job, f"its connector failed: {type(error).__name__}")
            else:
                await self._succeeded(job, changed, time.monotonic() - began)
            finally:
                job.syncing = False
                self._plan(job, self._wait_s(job, retry_after))
                self._watch(job)
            return SyncedFeed(kind=job.feed.kind, objects=state.objects, changed=state.changed, error=state.error)

    # -- how it went -------------------------------------------------------------------------------------------------

    async def _succeeded(self, job: Job, changed: int, took_s: float) -> None:
        state, now, events = job.state, self._clock.now(), []
        first, failed = not state.seeded, state.failures
        away = now - (state.synced_at or job.since)
        if changed or first:
            state.objects = await asyncio.to_thread(self._reads.count, *job.key)
        state.seeded, state.synced_at, state.changed, state.took_s = True, now, changed, took_s
        state.failures, state.error = 0, ""
        if first:
            said: dict[str, Any] = {"objects": state.objects, "changed": changed, "full": True, "first": True}
            events.append(self._mirroring.event(job, "qd.sync.completed", f"first/{now:.6f}", said))
        if state.stale_since:
            said = {"away_s": round(away, 1), "changed": changed, "objects": state.objects}
            events.append(self._mirroring.event(job, "qd.sync.recovered", f"recovered/{state.stale_since:.6f}", said))
            state.stale_since = 0.0
        try:
            if events:
                await self._mirroring.tell(job, events)
            elif changed or failed or time.monotonic() - job.saved > SAVE_S:
                await self._mirroring.save(job)
        except StoreError as error:
            log.warning("%s: how far it is could not be written: %s", job.name, error)

    async def _failed(self, job: Job, error: str) -> None:
        state = job.state
        if error[:300] != state.error:
            log.warning("%s could not be read: %s", job.name, error)
        state.failures, state.error, state.changed = state.failures + 1, error[:300], 0
        if state.failures == 1:
            self.noticed(job.system)
        try:
            if not await self._stale_told(job) and state.failures == 1:
                await self._mirroring.save(job)
        except StoreError as refused:
            log.warning("%s: that it failed could not be written: %s", job.name, refused)

    async def _stale_told(self, job: Job) -> bool:
        """Says that a feed is STALE, when it has become so; whether it did."""
        state = job.state
        if state.stale_since or not self._is_stale(job):
            return False
        state.stale_since = self._clock.now()
        said = {"since": state.synced_at, "error": state.error, "objects": state.objects}
        await self._mirroring.tell(
            job, [self._mirroring.event(job, "qd.sync.stale", f"stale/{state.stale_since:.6f}", said)]
        )
        return True

    def _watch(self, job: Job) -> None:
        """Looks again at the moment at which the feed would be STALE: between two tries, or while one hangs."""
        real_s = self._clock.real_delay((job.state.synced_at or job.since) + self._stale_after(job)) + 0.05
        if job.state.stale_since or real_s == float("inf") or not self._scheduler.running or self._closed:
            return
        when = datetime.now(UTC) + timedelta(seconds=max(0.0, real_s))
        self._scheduler.add_job(
            self._grown_old, DateTrigger(when), args=(job,), id=f"stale:{job.name}", replace_existing=True
        )

    async def _grown_old(self, job: Job) -> None:
        if self._jobs.get(job.key) is job and not self._closed:
            try:
                await self._stale_told(job)
            except StoreError as refused:
                log.warning("%s: that it is stale could not be written: %s", job.name, refused)
