"""The alarm clock: wakes the host when a durable timer is due. The `timers` table is the truth, this only rings.

APScheduler with a memory store: one `async def` date job per timer that falls due within the horizon, under an id of
its own (a job that adds itself again under one id loses wakes), `misfire_grace_time=None`, `coalesce=True`. Timers
beyond the horizon stay in the table, which is read again at boot, every half horizon and after wakes; an alarm that
was lost, or a clock that jumped, costs at most that long. Engine time is turned into wall time when a job is made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import count

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from engine.hosts.clock import Clock
from engine.store.loading import TimerDue

Key = tuple[str, str, str, int, str]

logging.getLogger("apscheduler").setLevel(logging.WARNING)


def key_of(timer: TimerDue) -> Key:
    return (timer.run, timer.scope, timer.step, timer.fence, timer.purpose)


class Alarms:
    """Rings `fire(key)` for due timers. `read(until)` reads the table."""

    def __init__(
        self,
        clock: Clock,
        *,
        read: Callable[[float], Iterable[TimerDue]],
        fire: Callable[[Key], None],
        horizon_s: float = 60.0,
    ) -> None:
        self.clock, self.horizon = clock, horizon_s
        self._read, self._fire = read, fire
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )
        self._armed: dict[Key, str] = {}
        self._fired: set[Key] = set()
        self._anew: dict[Key, float] = {}
        self._named: dict[str, str] = {}
        self._ids = count(1)

    def start(self) -> None:
        self._scheduler.start()
        self._scheduler.add_job(
            self._sweep_job, IntervalTrigger(seconds=max(0.05, self.horizon / 2)), id="sweep", replace_existing=True
        )
        moved: list[Callable[[], None]] | None = getattr(self.clock, "on_move", None)
        if moved is not None:
            moved.append(self.sweep)
        self.sweep()

    def close(self) -> None:
        moved: list[Callable[[], None]] | None = getattr(self.clock, "on_move", None)
        if moved is not None and self.sweep in moved:
            moved.remove(self.sweep)
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def __len__(self) -> int:
        return len(self._armed)

    def arm(self, key: Key, due: float) -> None:
        """Rings at `due`, if that is within the horizon; the sweep finds it later otherwise."""
        if key in self._fired:  # armed anew by what its own ring led to: it stands once that is settled
            self._anew[key] = due
            return
        delay = self.clock.real_delay(due)
        if delay > self.horizon:
            return
        if key in self._armed:
            self.disarm(key)
        id_ = f"t{next(self._ids)}"
        self._armed[key] = id_
        when = datetime.now(UTC) + timedelta(seconds=max(0.0, delay))
        self._scheduler.add_job(self._ring, DateTrigger(when), args=(key, due), id=id_)

    def disarm(self, key: Key) -> None:
        """The timer no longer stands."""
        self._fired.discard(key)
        self._anew.pop(key, None)
        id_ = self._armed.pop(key, None)
        if id_ is not None and self._scheduler.get_job(id_) is not None:
            self._scheduler.remove_job(id_)

    def settled(self, key: Key, *, again: bool = False) -> None:
        """What a ring led to was recorded. `again`: it was not, the next sweep may ring once more."""
        self._fired.discard(key)
        due = self._anew.pop(key, None)
        if again:
            self._armed.pop(key, None)
        elif due is not None:
            self.arm(key, due)

    def sweep(self) -> None:
        """Reads the table up to the horizon and arms what is not armed."""
        horizon = self.clock.now() + self._engine_seconds(self.horizon)
        for timer in self._read(horizon):
            key = key_of(timer)
            if key not in self._armed and key not in self._fired:
                self.arm(key, timer.due)

    def at(self, name: str, due: float, call: Callable[[], None]) -> None:
        """Calls back at `due`, or at the horizon if that comes first: the caller plans anew then. One per name."""
        self.drop(name)
        delay = min(max(0.0, self.clock.real_delay(due)), self.horizon)
        id_ = f"a{next(self._ids)}"
        self._named[name] = id_

        async def ring() -> None:
            self._named.pop(name, None)
            call()

        when = datetime.now(UTC) + timedelta(seconds=delay)
        self._scheduler.add_job(ring, DateTrigger(when), id=id_)

    def drop(self, name: str) -> None:
        id_ = self._named.pop(name, None)
        if id_ is not None and self._scheduler.get_job(id_) is not None:
            self._scheduler.remove_job(id_)

    def _engine_seconds(self, real: float) -> float:
        one = self.clock.real_duration(1.0)
        return real if one in (0.0, float("inf")) else real / one

    async def _sweep_job(self) -> None:
        self.sweep()

    async def _ring(self, key: Key, due: float) -> None:
        self._armed.pop(key, None)
        if self.clock.real_delay(due) > 0.001:  # the wall clock was set back meanwhile: not yet
            self.arm(key, due)
            return
        self._fired.add(key)
        self._fire(key)
