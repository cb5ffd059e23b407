"""page: a page of the list of runs with 1,000,000 runs in the store, under every filter and order; reading costs no memory."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from engine.store.queries import Queries
from tests.benchmarks.harness_engine import percentile, scratch
from tests.benchmarks.listing import FILTERS, fill

OPTIONS = {"runs": 1_000_000}
LIMIT_MS = 50.0
ROWS = 200
"""What a console asks for at once."""
DEEP = 500
"""Pages read one after the other, to see that the thousandth costs what the first did."""
ORDERS: tuple[dict[str, Any], ...] = (
    {"sort": "workflow"},
    {"sort": "-workflow"},
    {"sort": "status"},
    {"sort": "-status"},
    {"sort": "workflow", "status": "failed"},
    {"sort": "status", "workflow": "incident"},
)


def run(options: Namespace) -> dict[str, Any]:
    """`p99_ms` is of pages as a console asks for them, `first_ms` the very first, which counts the runs."""
    with scratch() as folder:
        path = folder / "bench.db"
        fill(path, options.runs)
        reads = Queries(path)
        began = time.perf_counter()
        reads.run_page(limit=ROWS)
        first = (time.perf_counter() - began) * 1e3
        times: list[float] = []
        worst: dict[str, float] = {}
        for _ in range(4):
            for asked in (*FILTERS, *ORDERS):
                name = " ".join(f"{key}={value}" for key, value in asked.items()) or "all"
                cursor: str | None = ""
                for _ in range(3):
                    began = time.perf_counter()
                    page = reads.run_page(limit=ROWS, cursor=cursor or "", **asked)
                    times.append((time.perf_counter() - began) * 1e3)
                    worst[name] = max(worst.get(name, 0.0), times[-1])
                    cursor = page.next
                    if cursor is None:
                        break
        before = resident(os.getpid())
        deep = _deep(reads)
        grown = resident(os.getpid()) - before
    p99 = percentile(times, 0.99)
    return {
        "p99_ms": round(p99, 1),
        "p50_ms": round(percentile(times, 0.50), 1),
        "max_ms": round(max(times), 1),
        "within": p99 < LIMIT_MS,
        "limit_ms": LIMIT_MS,
        "first_ms": round(first, 1),
        "deep_p99_ms": round(percentile(deep, 0.99), 1),
        "deep_pages": len(deep),
        "grown_mb": round(grown / 1e6, 1),
        "runs": options.runs,
        "rows": ROWS,
        "queries": len(times),
        "slowest": {name: round(spent, 1) for name, spent in sorted(worst.items(), key=lambda one: -one[1])[:4]},
    }


def _deep(reads: Queries) -> list[float]:
    times: list[float] = []
    cursor: str | None = ""
    while cursor is not None and len(times) < DEEP:
        began = time.perf_counter()
        cursor = reads.run_page(limit=ROWS, cursor=cursor).next
        times.append((time.perf_counter() - began) * 1e3)
    return times


def resident(pid: int) -> int:
    """Bytes a process holds in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
