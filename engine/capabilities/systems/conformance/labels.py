"""Promises of labelling systems. Writes happen in a project that carries the check's mark."""

from __future__ import annotations

from typing import Any

from engine.capabilities.ports import ActionError
from engine.capabilities.systems.conformance.promise import Bench, must, promise
from engine.capabilities.systems.ports import LabelJob

SCHEMA = {"outcome": ("picked", "dropped")}


@promise("labels", "a project that is not there is refused or has no answers")
async def a_strange_project_has_no_labels(port: Any, bench: Bench) -> None:
    try:
        found = await port.labels("987654321")
    except ActionError as error:
        must(error.kind in ("validation", "domain") and not error.retryable, f"{error.error}: {error.message[:160]}")
    else:
        must(not found, "a project that does not exist has answers")


async def _project(port: Any, bench: Bench) -> str:
    async def make() -> str:
        id: str = await port.project(f"Quarterdeck check {bench.mark}", SCHEMA, key=bench.key("project"))
        bench.undo(f"project {id}", lambda: _away(port, bench, id))
        return id

    return await bench.once("the project", make)


async def _away(port: Any, bench: Bench, id: str) -> None:
    discard = getattr(port, "discard", None)
    if discard is None:
        bench.stays(f"project {id} ({bench.mark}): this port deletes no projects")
    else:
        await discard("project", id)


@promise("labels", "making a project twice with one key is one project", write=True)
async def making_twice_is_one_project(port: Any, bench: Bench) -> None:
    first = await _project(port, bench)
    for in_doubt in (True, False):
        again = await port.project(
            f"Quarterdeck check {bench.mark}", SCHEMA, key=bench.key("project"), in_doubt=in_doubt
        )
        must(again == first, f"two projects were made: {first} and {again}")


@promise("labels", "handing jobs over twice leaves each there once", write=True)
async def pushing_twice_leaves_each_once(port: Any, bench: Bench) -> None:
    project = await _project(port, bench)
    jobs = [
        LabelJob(id=f"{bench.mark}-{n}", media=f"https://example.invalid/{bench.mark}/{n}.mp4", data={"robot": "check"})
        for n in range(3)
    ]
    must(await port.push(project, jobs[:2], key=bench.key("jobs")) == 2, "not both jobs are there")
    must(await port.push(project, jobs[:2], key=bench.key("jobs"), in_doubt=True) == 2, "jobs are there twice")
    must(await port.push(project, jobs, key=bench.key("more")) == 3, "the third job did not come beside the two")
    must(not await port.labels(project), "there are answers nobody gave")
