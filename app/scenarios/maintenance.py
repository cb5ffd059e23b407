"""Maintenance: an operator files a case, another report of it is folded in, a technician repairs, the robot shows that it
holds, and a specialist gives it back. Beside it a case runs out of time and people decide who has it now, and eleven
failed updates of one variant become one problem with one page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.cli.session import part
from app.scenarios import Scenario
from engine.contract.cases import CaseDetail, CaseQueue, CaseView, ProblemView
from engine.contract.client import Refused
from engine.contract.fleet import RobotPage, RobotRow
from engine.contract.gates import GateDetail
from engine.contract.robots import RobotRecord

if TYPE_CHECKING:
    from app.scenarios.stage import Stage

SYMPTOM = "left drive overcurrent, hums when it turns"
FAILED = 11
LATE = {"impact": 1, "urgency": 1}
QUEUED = ("queued",)


def begin(stage: Stage) -> None:
    """Two faults are filed and wait for a technician."""
    robots = _robots(stage)
    stage.do("cy", "case.open", args={"robot": robots[0].id, "symptom": SYMPTOM, "impact": 2, "urgency": 1})
    stage.do("cy", "case.open", args={"robot": robots[1].id, "symptom": "localisation lost at dock 3"})


def play(stage: Stage) -> Mapping[str, Any]:
    robots = _robots(stage)
    broken = robots[0]
    (case,) = stage.records("case", CaseView, where={"robot": broken.id})
    stage.state_is("case", case.id, QUEUED, CaseView)
    out = stage.record("robot", broken.id, RobotRecord)
    again = stage.do("cy", "case.open", args={"robot": broken.id, "symptom": SYMPTOM})
    refused = _repair(stage, case.id)
    unsigned = stage.record("robot", broken.id, RobotRecord)
    same_person = _own_work(stage, case.id)
    closed = _return(stage, case.id, broken)
    back = stage.record("robot", broken.id, RobotRecord)
    problem = _failures(stage, robots)
    late = _too_late(stage, robots[2])
    queue = stage.get("/v1/cases/queue", CaseQueue)
    held = [
        robot for robot in stage.records("robot", RobotRecord) if not robot.dispatchable and robot.id in problem.robots
    ]
    return {
        "case": case.id,
        "priority": case.priority or closed.priority,
        "reports": closed.reports,
        "joined": again.result,
        "bundle": closed.bundle,
        "hypothesis": closed.hypothesis,
        "resolved_uncoded": refused,
        "verified_by_technician": same_person,
        "left_dispatch": not out.dispatchable,
        "dispatchable_before_gate": unsigned.dispatchable,
        "dispatchable_after_gate": back.dispatchable,
        "technicians": list(closed.technicians),
        "verifier": closed.verifier,
        "exposure_h": closed.exposure.hours if closed.exposure else 0.0,
        "exposure_tasks": closed.exposure.tasks if closed.exposure else 0.0,
        "problem": problem.id,
        "problem_robots": len(problem.robots),
        "problem_direction": problem.direction,
        "held_robots": len(held),
        "problems": len(stage.records("problem", ProblemView)),
        "failure_cases": sum(
            one.problem == problem.id for one in stage.records("case", CaseView, where={"mode": "update_failed"})
        ),
        "late_level": late.level,
        "late_told": [f"{one.clock} {one.share:g} {one.level}" for one in late.escalations],
        "queue": dict(queue.counts),
        "states": dict(Counter(one.state for one in stage.records("case", CaseView))),
    }


def _repair(stage: Stage, case: str) -> str:
    """The technician's work; what the engine says to a resolution without its coding."""
    stage.do("tom", "case.claim", case)
    stage.do("tom", "case.start", case)
    stage.do("tom", "case.step", case, {"step": 1})
    stage.do("tom", "case.step", case, {"step": 3, "value": "0.7 A"})
    stage.do("tom", "case.hold", case, {"reason": "parts", "ref": "order 4711, connector J7"})
    stage.do("tom", "case.resume", case)
    refused = ""
    try:
        stage.do("tom", "case.resolve", case, {"resolution": "connector J7 exchanged"})
    except Refused as error:
        refused = error.problem.code
    stage.do(
        "tom",
        "case.resolve",
        case,
        {
            "mode": "overcurrent", "mechanism": "loose_connection", "cause": "installation", "detection": "operator_report",
            "item": "connector", "resolution": "connector J7 exchanged, 0.3 A idle",
            "parts": ["connector J7: A-1 out, A-2 in"],
        },
    )  # fmt: skip
    stage.state_is("case", case, "verifying", CaseView)
    stage.do("tom", "case.check", case, {"done": ["1", "2", "3", "4"]})
    return refused


def _own_work(stage: Stage, case: str) -> str:
    """Who repaired it can't give it back: what a vote of the technician's would be told."""
    gate = stage.until(
        lambda: stage.get(f"/v1/cases/{part(case)}/view", CaseDetail).gate, f"the return to service of {case}", 90
    )
    detail = stage.get(f"/v1/gates/{part(gate)}", GateDetail)
    vote = {"answer": "approve", "evidence_digest": detail.evidence_digest, "form": {"serial_tail": "0000"}}
    try:
        stage.operator.command("tom", "gate.vote", gate, vote, preview=True)
    except Refused as error:
        return error.problem.code
    return "taken"


def _return(stage: Stage, case: str, robot: RobotRow) -> CaseView:
    """Given back by somebody else, who first reads the wrong plate."""
    stage.answer("give_back", "tess", form={"serial_tail": "0000"}, rationale="read at the wrong robot")
    stage.answer("give_back_again", "tess", form={"serial_tail": robot.serial[-4:]})
    return stage.state_is("case", case, "closed", CaseView)


def _failures(stage: Stage, robots: tuple[RobotRow, ...]) -> ProblemView:
    """Eleven robots of one variant fail the same update: one event, as a rollout tells it."""
    variant = Counter(robot.variant for robot in robots[3:]).most_common(1)[0][0]
    failed = [robot.id for robot in robots[3:] if robot.variant == variant][:FAILED]
    failures = [[name, "no space left on device"] for name in failed]
    data = {"version": "4.9.9", "stage": "canary", "robots": failures}
    stage.do("ana", "event.emit", args={"event": "qd.robot.update.failed", "data": data, "subject": "run-0"})

    def folded() -> ProblemView | None:
        found = [one for one in stage.records("problem", ProblemView) if set(failed) <= set(one.robots)]
        cases = stage.records("case", CaseView, where={"mode": "update_failed"})
        return found[0] if found and sum(one.problem == found[0].id for one in cases) >= len(failed) else None

    return stage.until(folded, "the problem of eleven failed updates")


def _too_late(stage: Stage, robot: RobotRow) -> CaseView:
    """A P1 that nobody restores: its clocks tell one level after the other, then people say who has it."""
    answer = stage.do(
        "bo", "case.open", args={"robot": robot.id, "symptom": "bumped into a rack", "safety_related": True, **LATE}
    )
    case = str(answer.result["id"])
    run = str(answer.result["run"])
    stage.answer("breach", "tess", rationale="the vendor has the only jig", run=run, limit_s=90)

    def handed() -> CaseView | None:
        found = stage.record("case", case, CaseView)
        return found if found.level == "vendor" else None

    return stage.until(handed, f"{case} at the vendor")


def _robots(stage: Stage) -> tuple[RobotRow, ...]:
    """Robots that work, in a stable order; the world may still be saying who is there."""

    def look() -> tuple[RobotRow, ...] | None:
        rows = stage.get("/v1/robots", RobotPage, limit=500).rows
        found = tuple(row for row in sorted(rows, key=lambda row: row.id) if row.online and row.serial)
        return found if len(found) >= FAILED + 3 else None

    return stage.until(look, "the fleet")


SCENARIO = Scenario(
    name="maintenance",
    title="a fault from the report to the robot's return by a second person; eleven failed updates are one problem",
    begin=begin,
    play=play,
)
