"""What an incident taught becomes a case that every later candidate has to hold."""

from __future__ import annotations

from typing import Any

from engine.capabilities.models import packing
from engine.capabilities.models.registering import pack_for
from engine.capabilities.ports import ActionError, Context
from engine.capabilities.records import Emit

Json = Any
Input = dict[str, Json]


async def add_case(context: Context, given: Input) -> Json:
    """The line's next pack version, with this case; a pack that has a case of this origin and seed already is left as it is."""
    pack = await pack_for(context, str(given["line"]))
    if pack is None:
        raise ActionError(
            "NoPack", f"no evaluation pack is there for line {given['line']}", kind="validation", retryable=False
        )
    task, seed, origin = str(given["task"]), int(given["seed"]), str(given["origin"])
    if task not in {one.task for one in pack.tasks}:
        names = ", ".join(one.task for one in pack.tasks)
        raise ActionError(
            "BadPack", f"{pack.id} has no task {task!r}; it has {names}", kind="validation", retryable=False
        )
    if any((one.origin, one.task, one.seed) == (origin, task, seed) for one in pack.regressions):
        return {"pack": pack.id, "case": origin, "version": pack.version}
    found = packing.content(pack)
    case = {"id": f"{origin} {task} {seed}", "task": task, "seed": seed, "init": {}, "origin": origin}
    document = found | {"regressions": [*found["regressions"], case]}
    digest = packing.digest_of(packing.content(packing.written(document)))
    version = pack.version + 1
    id_ = f"{pack.name}-{version}"
    told = {
        "pack": id_,
        "digest": digest,
        "line": pack.line,
        "version": version,
        "champion": await _champion(context, pack.line),
    }
    made = await context.records.create(
        "pack", document | {"version": version, "title": f"{pack.name}/{version}", "digest": digest}, key=digest, id=id_,
        emit=(Emit("qd.evalpack.updated", told),), reason=f"a case from {origin}",
    )  # fmt: skip
    return {"pack": made.id, "case": origin, "version": version}


async def _champion(context: Context, line: str) -> str:
    """The line's newest eligible candidate, when the policy has champions asked again."""
    if not context.policy("release")["recheck_champions"]:
        return ""
    found = await context.records.find("candidate", state="eligible", where={"line": line}, limit=1)
    return found[0].id if found else ""
