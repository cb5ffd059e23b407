"""Mirroring many remote objects from a local server: cold, warm by cursor, by ETag and by listing everything, with some
changed, and the memory it takes when it is done again and again.
"""

from __future__ import annotations

import os
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from engine.capabilities import subjects
from engine.hosts.clock import VirtualClock
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.hosts.syncing import Syncing
from engine.language import Expressions
from tests.benchmarks.harness_engine import scratch
from tests.benchmarks.harness_shelf import Shelf, served

OPTIONS = {"events": 10_000, "runs": 20}


async def run(options: Namespace) -> dict[str, Any]:
    with scratch() as folder, served(options.events) as url:
        return await measure(folder / "quarterdeck.db", url, options.events, options.runs)


async def measure(database: Path, url: str, objects: int, rounds: int) -> dict[str, Any]:
    """Seconds of each, and mebibytes of this process before, after the first listing and after `rounds` more."""
    clock = VirtualClock()
    host = await Host.open(
        Config(database=database, actions={}, evaluator=Expressions(), clock=clock, catalogue=subjects.catalogue())
    )
    syncing, shelf = Syncing(host, clock), Shelf(url)
    changed = min(100, objects)

    async def timed(feed: str, *, full: bool = False, expect: int) -> float:
        began = time.perf_counter()
        (found,) = await syncing.sync("shelf", feed, full=full)
        took = time.perf_counter() - began
        assert (found.error, found.objects, found.changed) == ("", objects, expect), found
        return round(took, 3)

    try:
        syncing.follow("shelf", (shelf,))
        before = resident_mb()
        cold = await timed("thing", expect=objects)
        await timed("whole", expect=objects)
        after = resident_mb()
        result: dict[str, Any] = {
            "objects": objects,
            "cold_s": cold,
            "warm_cursor_s": await timed("thing", expect=0),
            "warm_etag_s": await timed("whole", expect=0),
            "warm_listing_s": await timed("thing", full=True, expect=0),
        }
        await shelf.change(changed)
        seq = host.journal.seq
        result["changed"] = changed
        result["changed_cursor_s"] = await timed("thing", expect=changed)
        result["changed_events"] = host.journal.seq - seq - 1  # and that it was synced by hand
        result["changed_listing_s"] = await timed("whole", expect=changed)
        for _ in range(rounds):
            await timed("thing", full=True, expect=0)
        return {
            **result,
            "mb_before": before,
            "mb_after_cold": after,
            "mb_after_rounds": resident_mb(),
            "rounds": rounds,
        }
    finally:
        syncing.close()
        await shelf.close()
        await host.close()


def resident_mb() -> float:
    """Memory of this process that is in use now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
