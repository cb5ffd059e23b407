"""SIGKILL with many runs in flight, then a new engine: how long until all of them move again, and is nothing lost or
done twice at its owner's.

The first engine is a process of its own. Its actions write their key to a file (the owner's ledger) once, however
often they are asked, and hang; after the restart they are asked again, with the same key, and end.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from engine.capabilities.ports import Action
from engine.core.definition import Definition, Step
from engine.hosts.embedded import Host
from engine.store import integrity
from engine.store.queries import Queries
from tests.benchmarks.harness_engine import PERSON, config, scratch

OPTIONS = {"runs": 10_000}


def definition() -> Definition:
    steps = {
        "first": Step(id="first", kind="action", action="write", next="second"),
        "second": Step(id="second", kind="action", action="write", next="done"),
    }
    return Definition(workflow="flight", version=1, steps=steps, start="first")


async def fly(folder: str, runs: int) -> None:
    """The engine that will be killed."""
    hang: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    with (Path(folder) / "ledger").open("a", buffering=1) as ledger:

        async def write(context: Any, values: dict[str, Any]) -> None:
            ledger.write(context.key + "\n")
            if context.path == "second":
                await hang

        host = await Host.open(config(Path(folder), {"write": Action(name="write", run=write)}))
        await host.register_definition(definition(), id="register", actor=PERSON)
        for first in range(0, runs, 500):
            some = range(first, min(first + 500, runs))
            await asyncio.gather(*(host.start_run("flight", {}, id=f"start-{at}", actor=PERSON) for at in some))
        while len(host.running) < runs or any(path != "second" for _, path, *_ in host.running.view()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        (Path(folder) / "ready").touch()
        await hang


async def run(options: Namespace) -> dict[str, Any]:
    with scratch() as folder:
        code = f"import asyncio; from tests.benchmarks.recovery import fly; asyncio.run(fly({str(folder)!r}, {options.runs}))"
        root = Path(__file__).resolve().parents[2]
        process = subprocess.Popen([sys.executable, "-c", code], cwd=root)  # noqa: ASYNC220
        try:
            while not (folder / "ready").exists():
                if process.poll() is not None:
                    raise RuntimeError(f"the first engine ended with {process.returncode}")
                await asyncio.sleep(0.05)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        before = (folder / "ledger").read_text().splitlines()
        again: dict[str, int] = {}
        recovered = 0
        everyone = asyncio.get_running_loop().create_future()

        async def write(context: Any, values: dict[str, Any]) -> None:
            nonlocal recovered
            recovered += context.recovered
            again[context.key] = again.get(context.key, 0) + 1
            if len(again) == options.runs and not everyone.done():
                everyone.set_result(time.perf_counter())

        began = time.perf_counter()
        host = await Host.open(config(folder, {"write": Action(name="write", run=write)}))
        opened = time.perf_counter()
        moving = await asyncio.wait_for(everyone, 60)
        reads = Queries(folder / "bench.db")
        while reads.reading.one("select count(*) from runs where status = 'completed'")[0] < options.runs:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        done = time.perf_counter()
        await host.close()
        completed = reads.reading.one("select count(*) from runs where status = 'completed'")[0]
        checked = integrity.verify(folder / "bench.db")
        size = os.path.getsize(folder / "bench.db")
    # A key that was asked for once before and once after is one effect at its owner; a new key for the same step is not.
    keys = set(before) | set(again)
    doubled = (
        sum(count - 1 for count in again.values())
        + (len(before) - len(set(before)))
        + max(0, len(keys) - 2 * options.runs)
    )
    return {
        "moving_s": round(moving - began, 3),
        "lost": options.runs - completed,
        "doubled": doubled,
        "open_s": round(opened - began, 3),
        "all_done_s": round(done - began, 3),
        "recovered": recovered,
        "runs": options.runs,
        "database_mb": round(size / 1e6, 1),
        "chain_ok": checked.ok,
    }
