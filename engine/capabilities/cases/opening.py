"""Opening a case: reports of the same fault fold into one, a flood of one detector into one parent, a fault that comes
back while its repair is being verified reopens the case; a robot that may not work leaves dispatch at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from engine.capabilities.cases import judging, recurrence
from engine.capabilities.fleet.robots import keep_out
from engine.capabilities.ports import Robot
from engine.capabilities.records import Emit, Records
from engine.contract.cases import CASE_OVER, UNKNOWN, CaseView

Json = Any
Outcome = Literal["opened", "joined", "reopened", "suppressed"]
SYMPTOM = 500
RECENT = 500
"""Cases looked at for duplicates: those of one robot, or of one detector, newest first."""


class Report(Struct, frozen=True, kw_only=True):
    """What somebody or something says about a robot."""

    robot: str
    symptom: str
    source: str = "operator"
    detector: str = ""
    reporter: str = ""
    mode: str = ""
    component: str = ""
    impact: int = 0
    urgency: int = 0
    safety_related: bool = False
    external_ref: str = ""
    region: str = ""
    problem: str = ""


class Opened(Struct, frozen=True, kw_only=True):
    """What became of a report. `case` is the one that has it now."""

    case: CaseView
    outcome: Outcome
    why: str = ""


async def standing(records: Records, report: Report, policy: Mapping[str, Json]) -> CaseView | None:
    """The open case of the same fault on the same robot, however old: one fault has one case at a time."""
    mode = report.mode or judging.mode_of(report.symptom, policy)
    for case in await records.find("case", where={"robot": report.robot}, limit=RECENT):
        if case.state not in CASE_OVER and judging.same_fault(case, mode, report.symptom):
            return case  # type: ignore[no-any-return]
    return None


async def open_case(
    records: Records, report: Report, policy: Mapping[str, Json], now: float, *, key: str, robot: Robot | None = None
) -> Opened:
    """The case for a report. `key` makes it happen once. With `robot` (as its owners say) its identity is kept with it."""
    before = await standing(records, report, policy)
    if before is not None:
        return await _joined(records, before, report, policy, now)
    mode = report.mode or judging.mode_of(report.symptom, policy)
    component = report.component or judging.component_of(report.symptom, policy)
    parent = await _flood(records, report, policy, now)
    case = await records.create(
        "case",
        {
            "title": f"{report.robot} {report.symptom}"[:200],
            "robot": report.robot,
            "symptom": report.symptom[:SYMPTOM],
            "source": report.source,
            "detector": report.detector,
            "reporter": report.reporter,
            "mode": mode,
            "component": component,
            "impact": report.impact,
            "urgency": report.urgency,
            "safety_related": report.safety_related,
            "external_ref": report.external_ref,
            "source_system": report.source,
            "observed_at": now,
            "problem": report.problem,
            "parent": parent.id if parent else "",
            **_identity(robot, report),
        },
        key=key,
        reason=f"reported by {report.reporter or report.source}",
    )
    if parent is not None and parent.id != case.id:
        return await _suppressed(records, case, parent)
    case = await hold_back(records, case, 0, policy, robot)
    return Opened(case=case, outcome="opened")


def _identity(robot: Robot | None, report: Report) -> dict[str, Json]:
    if robot is None:
        return {"region": report.region}
    return {
        "serial": robot.serial,
        "site": robot.site,
        "customer": robot.customer,
        "variant": robot.variant,
        "region": robot.region or report.region,
        "software": robot.version,
        "software_before": robot.version,
    }


async def _joined(records: Records, case: CaseView, report: Report, policy: Mapping[str, Json], now: float) -> Opened:
    """One more report of a known fault. Within the policy's time it is the same occurrence; later it is news. While the
    repair is being verified it means that the fault is back."""
    if case.state in ("resolved", "verifying"):
        again = await records.change(
            "case",
            case.id,
            to="reopened",
            set=reopened(case, now),
            reason=f"the fault came back: {report.symptom[:200]}",
            emit=told(case, "qd.case.reopened", state="reopened", reason="the fault came back"),
        )
        return Opened(case=again, outcome="reopened", why=f"the fault of {case.id} came back while it was verified")
    news = now - (case.reported_at or case.created_at) > policy["dedupe"]
    joined = await records.change(
        "case",
        case.id,
        set={
            "reports": case.reports + 1,
            "reported_at": now,
            "safety_related": case.safety_related or report.safety_related,
        },
        reason=f"reported again by {report.reporter or report.source}: {report.symptom[:200]}",
        emit=told(case, "qd.case.repeated", reports=case.reports + 1, symptom=report.symptom[:200]) if news else (),
    )
    return Opened(case=joined, outcome="joined", why=f"the same fault of {case.robot} is {case.id}")


def reopened(case: CaseView, now: float) -> dict[str, Json]:
    """What a reopening changes: the clocks run again from now, nobody has verified anything."""
    return {
        "reopened": case.reopened + 1,
        "clock_started_at": now,
        "resolved_at": 0.0,
        "exposure": None,
        "checklist": {},
        "checked_by": "",
    }


async def _flood(records: Records, report: Report, policy: Mapping[str, Json], now: float) -> CaseView | None:
    if not report.detector:
        return None
    recent = await records.find("case", where={"detector": report.detector}, limit=RECENT, order="-created_at")
    return recurrence.flooded(recent, report.detector, policy, now)


async def _suppressed(records: Records, case: CaseView, parent: CaseView) -> Opened:
    """Kept, but asked of nobody: its detector speaks too often, and the parent has the page."""
    folded = await records.change(
        "case",
        case.id,
        to="duplicate",
        set={"merged_into": parent.id},
        reason=f"{case.detector} reports too often; folded into {parent.id}",
    )
    kept = await records.get("case", parent.id) or parent
    await records.change("case", parent.id, set={"reports": kept.reports + 1}, reason=f"flood: {case.robot}")
    return Opened(case=folded, outcome="suppressed", why=f"one of many reports of {case.detector}: see {parent.id}")


async def hold_back(
    records: Records, case: CaseView, rank: int, policy: Mapping[str, Json], robot: Robot | None
) -> CaseView:
    """The robot leaves dispatch when the policy says so; the case remembers that it holds it."""
    why = judging.keeps_out(case, rank, policy)
    if not why or case.dispatch_hold:
        return case
    await keep_out(records, case.robot, case.id, f"{case.id}: {why}", robot=robot)
    held: CaseView = await records.change(
        "case", case.id, set={"dispatch_hold": True}, reason=f"{case.robot} leaves dispatch: {why}"
    )
    return held


def told(case: CaseView, event: str, *, state: str = "", **data: Json) -> Sequence[Emit]:
    """What happened to a case, for whoever cares. The run that works on it is told by a signal of its own."""
    facts = {
        "case": case.id,
        "robot": case.robot,
        "site": case.site,
        "priority": case.priority,
        "state": state or case.state,
        "mode": case.mode or UNKNOWN,
        "problem": case.problem,
    }
    return (Emit(event, {**facts, **data}),) if event else ()
