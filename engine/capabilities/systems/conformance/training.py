"""Promises of where training runs. Jobs cost machines, so none is started here: what is told of strangers is."""

from __future__ import annotations

from typing import Any

from engine.capabilities.systems.conformance.promise import Bench, promise, refuses


@promise("training", "a job nobody started is refused, whatever is asked of it")
async def a_strange_job_is_refused(port: Any, bench: Bench) -> None:
    await refuses(port.status(bench.mark), kinds=("validation", "domain"))
    await refuses(port.log(bench.mark, 0, 100), kinds=("validation", "domain"))
    await refuses(port.fetch(bench.mark, "checkpoint"), kinds=("validation", "domain"))


@promise("training", "an id can't lead out of the jobs")
async def ids_stay_ids(port: Any, bench: Bench) -> None:
    for job in ("../../etc/passwd", "x; true", "a?b#c"):
        await refuses(port.log(job, 0, 100), kinds=("validation", "domain", "configuration"))
