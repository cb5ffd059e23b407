"""Durable no-op steps a second: FULL, with projections, snapshots and the hash chain.

The best of `ROUNDS` rounds is reported (with the median beside it), because shared cores only ever take time away; the
disk's own limit is measured before and after them.
"""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from typing import Any

from engine.hosts.embedded import Host
from engine.store import integrity
from tests.benchmarks.harness_engine import NOOP, PERSON, config, linear, raw_commits_per_s, scratch

OPTIONS = {"runs": 2000, "concurrency": 256}
STEPS = 5
ROUNDS = 3
ENDS = frozenset({"RunCompleted"})


async def run(options: Namespace) -> dict[str, Any]:
    with scratch() as folder:
        raw = raw_commits_per_s(folder)
        host = await Host.open(config(folder, {"noop": NOOP}))
        await host.register_definition(linear(STEPS), id="register", actor=PERSON)
        ended: dict[str, asyncio.Future[None]] = {}
        loop = asyncio.get_running_loop()
        host.feed.subscriptions.add(_Ends(ended))  # type: ignore[arg-type]
        places = asyncio.Semaphore(options.concurrency)

        async def one(at: int) -> None:
            async with places:
                answer = await host.start_run("linear", {}, id=f"start-{at}", actor=PERSON)
                await ended.setdefault(answer.run, loop.create_future())
                ended.pop(answer.run, None)

        for at in range(20):  # warm
            await one(-1 - at)
        rounds: list[tuple[float, float]] = []
        before = host.journal.seq
        for number in range(ROUNDS):
            first = number * options.runs
            wall, cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*(one(at) for at in range(first, first + options.runs)))
            rounds.append((time.perf_counter() - wall, time.process_time() - cpu))
        events = (host.journal.seq - before) // ROUNDS
        await host.close()
        checked = integrity.verify(folder / "bench.db")
        after = raw_commits_per_s(folder)
    steps = options.runs * STEPS
    wall, cpu = min(rounds)
    middle = sorted(wall for wall, _ in rounds)[ROUNDS // 2]
    return {
        "steps_per_s": round(steps / wall, 1),
        "cpu_us_per_step": round(cpu / steps * 1e6, 1),
        "raw_commits_per_s": round((raw + after) / 2, 1),
        "steps_per_s_median": round(steps / middle, 1),
        "runs": options.runs,
        "steps": steps,
        "concurrency": options.concurrency,
        "events": events,
        "chain_ok": checked.ok,
    }


class _Ends:
    """A listener that only looks for ends: what a subscriber would do, without a task in between."""

    def __init__(self, ended: dict[str, asyncio.Future[None]]) -> None:
        self._ended = ended
        self.overflowed = False

    def push(self, commit: Any) -> None:
        if commit.types[-1] in ENDS:
            future = self._ended.get(commit.run)
            if future is None:
                future = self._ended[commit.run] = asyncio.get_running_loop().create_future()
            if not future.done():
                future.set_result(None)

    def close(self) -> None:
        return None
