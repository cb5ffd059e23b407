"""How long the event loop is kept by one callback, by its own work (CPU of its thread) and by the clock on the wall."""

from __future__ import annotations

import asyncio.events
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORST = 20


class Blocks:
    """Counts from creation on. A machine that is shared takes time that is nobody's fault here: both are kept."""

    def __init__(self, where: Callable[[], str], limit_s: float) -> None:
        self._where, self._limit_s = where, limit_s
        self.callbacks = self.over = self.over_wall = 0
        self.worst: list[tuple[float, float, str]] = []
        run, clock, own = asyncio.events.Handle._run, time.perf_counter, time.thread_time

        def timed(handle: Any) -> None:
            wall, cpu = clock(), own()
            run(handle)
            cpu = own() - cpu
            self.callbacks += 1
            if cpu > limit_s / 2:
                self._note(cpu, clock() - wall, handle)
            elif clock() - wall > limit_s:
                self.over_wall += 1

        asyncio.events.Handle._run = timed  # type: ignore[method-assign]

    def _note(self, cpu: float, wall: float, handle: Any) -> None:
        self.over += cpu > self._limit_s
        self.over_wall += wall > self._limit_s
        owner = getattr(handle._callback, "__self__", None)
        what = owner.get_name() if isinstance(owner, asyncio.Task) else getattr(handle._callback, "__qualname__", "")
        self.worst = sorted([*self.worst, (cpu, wall, f"{what or 'callback'} on {self._where()}")], reverse=True)[
            :WORST
        ]

    def restart(self) -> None:
        """From here on; what came before (starting, importing) is another number."""
        self.callbacks = self.over = self.over_wall = 0
        self.worst = []

    def write(self, path: Path) -> None:
        found = {"callbacks": self.callbacks, "over": self.over, "over_wall": self.over_wall, "worst": self.worst}
        path.with_suffix(".new").write_text(json.dumps(found))
        path.with_suffix(".new").replace(path)
