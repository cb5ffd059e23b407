"""What people do with a problem: name a workaround, the release that fixes it, its end."""

from __future__ import annotations

from typing import Any

from engine.capabilities.cases.asked import Because, FixIn, KnownError
from engine.capabilities.cases.intake import close_problem as closed
from engine.capabilities.desk import Desk
from engine.capabilities.records import Emit
from engine.contract.cases import ProblemView

Json = Any


async def known_error(desk: Desk, problem: ProblemView, args: KnownError) -> Json:
    found = await desk.records.change(
        "problem", problem.id, to="known_error", set={"workaround": args.workaround}, reason=f"workaround by {desk.person}",
        emit=[Emit("qd.problem.knownerror", {"problem": problem.id, "variant": problem.variant, "mode": problem.mode})],
    )  # fmt: skip
    return {"id": found.id, "state": found.state}


async def fix_in(desk: Desk, problem: ProblemView, args: FixIn) -> Json:
    found = await desk.records.change(
        "problem",
        problem.id,
        to="fix_in_release",
        set={"fix_in": args.fix_in},
        reason=f"fixed in {args.fix_in}, says {desk.person}",
    )
    return {"id": found.id, "state": found.state}


async def close_problem(desk: Desk, problem: ProblemView, args: Because) -> Json:
    found = await closed(desk.records, problem, f"{desk.person}: {args.reason}")
    return {"id": found.id, "state": found.state}
