"""opening: from the key that asks for a screen to its first whole picture, for every root screen and every single thing."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from tests.benchmarks.harness_terminal import option, percentile

LIMIT_MS = 150.0
WAIT_S = 5.0


async def run(options: Any = None) -> dict[str, Any]:
    """`first_ms` counts the import of a screen nobody opened yet; `again_ms` is what every later opening costs.

    The picture is whole when the screen is in front, was laid out and every line of it was painted once; what it asks
    the engine for comes later, and changes rows in a picture that stands.
    """
    from app.console import Console
    from screens.places import PLACES
    from tests.fakes import FakeClient

    rounds = int(option(options, "count", 3))
    client = FakeClient(run_count=2_000)
    console = Console(client)
    first: dict[str, float] = {}
    again: dict[str, list[float]] = {}
    async with console.run_test(size=(120, 36)) as pilot:
        await pilot.pause(0.5)
        ways = {place.noun: partial(console.go, place.noun) for place in PLACES if place.noun != "watch"}
        for noun, ids in (("run", [row.id for row in client.run_rows]), ("gate", list(client.gate_rows)),
                          ("rollout", list(client.rollout_rows))):  # fmt: skip
            ways[f"one {noun}"] = partial(console.open, noun, ids[0])
        for _ in range(1 + rounds):
            for name, way in ways.items():
                spent = await _opened(console, way)
                if name in first:
                    again.setdefault(name, []).append(spent)
                else:
                    first[name] = spent
                await pilot.pause(0.2)
                console.go("watch")
                await pilot.pause(0.1)
    every = [spent for times in again.values() for spent in times]
    slowest = sorted(first.items(), key=lambda one: -one[1])[:5]
    return {
        "first_max_ms": round(max(first.values()), 1),
        "first_p50_ms": round(percentile(list(first.values()), 0.5), 1),
        "again_p99_ms": round(percentile(every, 0.99), 1),
        "again_p50_ms": round(percentile(every, 0.5), 1),
        "within": max(first.values()) < LIMIT_MS and percentile(every, 0.99) < LIMIT_MS,
        "limit_ms": LIMIT_MS,
        "screens": len(ways),
        "slowest_first": {name: round(spent, 1) for name, spent in slowest},
        "slowest_again": {
            name: round(max(times), 1) for name, times in sorted(again.items(), key=lambda one: -max(one[1]))[:5]
        },
    }


async def _opened(console: Any, way: Any) -> float:
    """Milliseconds until the screen that `way` opens was painted."""
    painted = asyncio.Event()
    before = console.screen
    began = time.perf_counter()
    way()
    while console.screen is before or not console.screen.is_mounted or not console.screen.size.width:
        if time.perf_counter() - began > WAIT_S:
            raise TimeoutError("the screen never came")
        await asyncio.sleep(0)
    console.screen.call_after_refresh(painted.set)
    await asyncio.wait_for(painted.wait(), WAIT_S)
    console.screen._compositor.render_strips()
    return (time.perf_counter() - began) * 1e3
