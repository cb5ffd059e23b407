"""Accepted corrections of the evaluation side become regression cases of the line's evaluation pack, in one new version.

A pack that is there never changes: it gets a next version. A case names the correction it comes from, so that whoever
looks at a failed case finds the clip.
"""

from __future__ import annotations

from typing import Any

from engine.capabilities.corrections.labelling import cluster_of, members
from engine.capabilities.models import packing
from engine.capabilities.ports import Context
from engine.capabilities.records import Emit, Records
from engine.contract.corrections import CorrectionCase

Json = Any
Input = dict[str, Json]
LIVE = ("draft", "locked")


async def to_pack(context: Context, given: Input) -> Json:
    """The cases that are in no version yet go into the next one; without a pack for the line they wait, and that is said."""
    found = await cluster_of(context.records, given["cluster"])
    waiting = [
        case for case in await members(context.records, found.id) if case.state == "routed" and case.route == "eval"
    ]
    if not waiting:
        return {"pack": "", "cases": 0, "says": "nothing goes to evaluation"}
    pack, why = await _pack(context.records, waiting)
    if pack is None:
        return {"pack": "", "cases": 0, "says": f"{len(waiting)} wait: {why}"}
    tasks = {one.task for one in pack.tasks}
    known = {one.origin for one in pack.regressions}
    fresh = [case for case in waiting if case.id not in known and case.task in tasks]
    left = [case.id for case in waiting if case.task not in tasks]
    told = f"; {', '.join(left)} wait: {pack.id} has no task {found.task!r}" if left else ""
    if not fresh:
        return {"pack": pack.id, "cases": len(waiting) - len(left), "says": f"{pack.id} has them already{told}"}
    content = packing.content(pack)
    document = content | {"regressions": [*content["regressions"], *(_case(case) for case in fresh)]}
    digest = packing.digest_of(packing.content(packing.written(document)))
    version = pack.version + 1
    id_ = f"{pack.name}-{version}"
    data = {
        "pack": id_, "digest": digest, "line": pack.line, "version": version, "corrections": [case.id for case in fresh],
        "champion": await _champion(context, pack.line),
    }  # fmt: skip
    made = await context.records.create(
        "pack", document | {"version": version, "title": f"{pack.name}/{version}", "digest": digest}, key=digest, id=id_,
        emit=(Emit("qd.evalpack.updated", data),), reason=f"{len(fresh)} cases of {found.id}",
    )  # fmt: skip
    return {"pack": made.id, "cases": len(fresh), "says": f"{len(fresh)} cases in {made.id}{told}"}


def _case(case: CorrectionCase) -> Json:
    """The seed comes from the window's digest: the same clip is the same case, wherever it is made."""
    digest = case.window.digest if case.window is not None else ""
    seed = int(digest.removeprefix("sha256:")[:7] or "0", 16)
    return {"id": f"{case.id} {case.task}", "task": case.task, "seed": seed, "init": {}, "origin": case.id}


async def _pack(records: Records, waiting: list[CorrectionCase]) -> tuple[Any, str]:
    """The newest version of the pack of the line that their dataset is for; where nobody said a line, the only one there."""
    line = ""
    for case in waiting:
        session = await records.get("session", case.session) if case.session else None
        dataset = await records.get("dataset", session.dataset) if session is not None and session.dataset else None
        line = line or (dataset.line if dataset is not None else "")
    packs = await records.find("pack", state=LIVE, order="-version", limit=500)
    lines = sorted({one.line for one in packs})
    if not line and len(lines) == 1:
        line = lines[0]
    if not line:
        return None, "no evaluation pack is there" if not lines else f"which line: {', '.join(lines)}?"
    return next((one for one in packs if one.line == line), None), f"no evaluation pack is there for line {line}"


async def _champion(context: Context, line: str) -> str:
    """The newest eligible candidate, when the policy has champions asked again by a new version."""
    if not context.policy("release")["recheck_champions"]:
        return ""
    found = await context.records.find("candidate", state="eligible", where={"line": line}, limit=1)
    return str(found[0].id) if found else ""
