"""wire: bytes that reach the terminal when one cell of a visible row of a live list changes, at 200x60."""

from __future__ import annotations

import signal
import statistics
from typing import Any

from tests.benchmarks.harness_terminal import Terminal, option


def run(options: Any = None) -> dict[str, Any]:
    """Median over `rounds` changes of one run's status on Runs; the clock keeps running (its bytes are `idle_bytes_per_s`)."""
    rounds = int(option(options, "rounds", 15))
    with Terminal.console(
        {"runs": int(option(options, "runs", 1000)), "start": ":runs"}, columns=200, rows=60
    ) as terminal:
        terminal.read(10, until=b"run-1000" if option(options, "runs", 1000) == 1000 else b"runs")
        terminal.read(2.5)
        idle, _ = terminal.read(3.0)
        sizes = []
        for _ in range(rounds):
            terminal.read(2, until=b"H", quiet=0.05)  # wait for a clock tick to pass, so that it is not counted
            terminal.signal(signal.SIGUSR1)
            fresh, _ = terminal.read(0.6, quiet=0.12)
            sizes.append(len(fresh))
    return {
        "bytes": int(statistics.median(sizes)),
        "bytes_max": max(sizes),
        "rounds": rounds,
        "idle_bytes_per_s": round(len(idle) / 3, 1),
        "columns": 200,
        "rows": 60,
    }
