"""Time is a port. Nothing in the engine reads another clock than the one handed to it.

`now()` is UTC epoch seconds as the engine sees them: the wall clock, a faster one in the sandbox, or one that only a
test moves. `real_delay(due)` says how many seconds of the wall must pass until the engine's clock shows `due`, which
is what an alarm clock or an asyncio timeout needs. Real durations (fsync, lag) are measured with `time.monotonic`.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """What the engine asks about time."""

    def now(self) -> float:
        """UTC epoch seconds on the engine's clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds` of the engine's time."""
        ...

    def real_delay(self, due: float) -> float:
        """Wall seconds until `due`; zero or less when it has come."""
        ...

    def real_duration(self, seconds: float) -> float:
        """Wall seconds that `seconds` of the engine's time take."""
        ...


class RealClock:
    """The wall clock."""

    speed = 1.0

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    def real_delay(self, due: float) -> float:
        return due - time.time()

    def real_duration(self, seconds: float) -> float:
        return seconds


class ScaledClock:
    """Time that runs `speed` times faster than life; the same mapping in every process that knows the three numbers.

    At wall time `wall0` it shows `sim0`.
    """

    def __init__(self, sim0: float, wall0: float, speed: float) -> None:
        if not speed > 0:
            raise ValueError(f"a clock needs a speed above zero, not {speed}")
        self.sim0, self.wall0, self.speed = sim0, wall0, speed

    def now(self) -> float:
        return self.sim0 + (time.time() - self.wall0) * self.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds / self.speed))

    def real_delay(self, due: float) -> float:
        return (due - self.now()) / self.speed

    def real_duration(self, seconds: float) -> float:
        return seconds / self.speed


class VirtualClock:
    """A clock that stands still until `advance` is called. Sleepers wake in the order of their due times.

    `on_move` callbacks run after each advance: the host's alarm clock looks at its timers there, because no wall
    alarm can know when a test will move time.
    """

    speed = 1.0

    def __init__(self, now: float = 1_760_000_000.0) -> None:
        self._now = now
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0
        self.on_move: list[Callable[[], None]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._now + seconds, self._count, future))
        await future

    def real_delay(self, due: float) -> float:
        return 0.0 if due <= self._now else float("inf")

    def real_duration(self, seconds: float) -> float:
        return float("inf")

    def advance(self, seconds: float) -> None:
        """Moves time forward and wakes whoever is due."""
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
        for callback in list(self.on_move):
            callback()
