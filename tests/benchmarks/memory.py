"""memory: what a console holds, at first and after a day's feed in quick motion, on Runs and on Watch."""

from __future__ import annotations

import time
from typing import Any

from tests.benchmarks.harness_terminal import Terminal, option
from tests.benchmarks.page import resident

LIMIT_MB = 120.0
FLAT_MB = 10.0
"""What the second half may add: caches that fill, no more."""
DAY = 432_000
"""Events of a busy day: five a second."""


def run(options: Any = None) -> dict[str, Any]:
    """`runs` run, `events` changes of them, as fast as the console takes them in; keys are pressed meanwhile. The
    harness's own copy of the runs is in the same process and counted.
    """
    runs = int(option(options, "runs", 25_000))
    events = int(option(options, "events", DAY))
    rate = int(option(options, "events_per_s", 12_000))
    with Terminal.console({"runs": runs, "events_per_s": rate, "start": ":runs"}, columns=160, rows=45) as terminal:
        terminal.read(30, until=f"{runs:,} runs".encode())
        terminal.read(3.0)
        samples = [resident(terminal.process.pid) / 1e6]
        steps = 12
        began = time.perf_counter()
        for step in range(steps):
            terminal.type("jjjj\x06\x06k" if step % 3 else "G")
            terminal.read(events / rate / steps)
            terminal.type("1" if step % 2 else "2")
            samples.append(resident(terminal.process.pid) / 1e6)
        took = time.perf_counter() - began
    half = samples[len(samples) // 2]
    return {
        "first_mb": round(samples[0], 1),
        "max_mb": round(max(samples), 1),
        "second_half_grew_mb": round(samples[-1] - half, 1),
        "within": max(samples) < LIMIT_MB and samples[-1] - half < FLAT_MB,
        "limit_mb": LIMIT_MB,
        "events": int(took * rate),
        "runs": runs,
        "seconds": round(took, 1),
        "samples_mb": [round(one, 1) for one in samples],
    }
