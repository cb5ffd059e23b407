"""From resolved to back in service: what the robot has done since its repair, what the decision rests on, and giving it
back. Counters that can't be read are not known, and what is not known is never clean.
"""

from __future__ import annotations

import math
from typing import Any

from engine.capabilities.cases import clocks, intake
from engine.capabilities.cases.context import HOUR, increase
from engine.capabilities.cases.opening import told
from engine.capabilities.cases.reliability import reliability
from engine.capabilities.fleet.robots import give_back as robot_back
from engine.capabilities.ports import ActionError, Context, Signals
from engine.capabilities.records import Emit, RecordError
from engine.contract.cases import CaseView, Exposure, Reliability
from engine.core.statistics import rate_upper

Json = Any
Input = dict[str, Json]
PACK = "maintenance"
STEP_S = 300.0
TAIL = 4
"""Characters of a serial number that are typed to say which robot is meant."""


async def _case(context: Context, given: Input) -> CaseView:
    case: CaseView | None = await context.records.get("case", str(given["case"]))
    if case is None:
        raise ActionError("NoSuchCase", f"there is no case {given['case']}", kind="validation", retryable=False)
    return case


def four_eyes(case: CaseView, policy: dict[str, Json]) -> bool:
    """Whether somebody else than its technicians has to verify it."""
    return case.safety_related or case.priority in policy["verify"]["four_eyes"]


async def verify(context: Context, given: Input) -> Json:
    """Begins the verification; says what it needs."""
    case = await _case(context, given)
    policy, now = context.policy(PACK), context.now()
    rule = policy["verify"]
    if case.state == "resolved":
        start = Exposure(since=now, at=now, need_hours=float(rule["hours"]), need_tasks=float(rule["tasks"]))
        case = await context.records.change(
            "case", case.id, to="verifying", set={"exposure": start},
            reason=f"verified by {rule['hours']} robot-h or {rule['tasks']} tasks without the fault",
        )  # fmt: skip
    return {
        "hours": rule["hours"],
        "tasks": rule["tasks"],
        "poll_s": rule["poll"],
        "limit_s": rule["limit"],
        "decide_s": rule["decide"],
        "four_eyes": four_eyes(case, policy),
        "technicians": list(case.technicians) if four_eyes(case, policy) else [],
        "robot": case.robot,
        "serial_tail": case.serial[-TAIL:],
    }


async def exposure(context: Context, given: Input) -> Json:
    """One look. The fault has come back when another case with it was opened on this robot since, or this one reopened."""
    case = await _case(context, given)
    policy, now = context.policy(PACK), context.now()
    rule = policy["verify"]
    since = case.exposure.since if case.exposure else case.resolved_at
    again = [
        one.id for one in await context.records.find("case", where={"robot": case.robot}, limit=200)
        if one.id != case.id and one.created_at > since and one.mode == case.mode and one.state not in ("cancelled",)
    ]  # fmt: skip
    events = len(again) + (case.state != "verifying")
    hours, tasks = await _counters(context, case, since, now)
    known = hours is not None and tasks is not None
    upper = rate_upper(events, hours or 0.0)
    seen = Exposure(
        since=since, at=now, hours=round(hours or 0.0, 3), tasks=round(tasks or 0.0), events=events,
        upper=None if math.isinf(upper) else upper, need_hours=float(rule["hours"]), need_tasks=float(rule["tasks"]),
        known=known,
    )  # fmt: skip
    if case.state == "verifying" and case.exposure is not None and _moved(case.exposure, seen):
        await context.records.change("case", case.id, set={"exposure": seen}, reason="")
    enough = known and ((hours or 0.0) >= rule["hours"] or (tasks or 0.0) >= rule["tasks"])
    return {"known": known, "enough": enough, "events": events, "hours": seen.hours, "tasks": seen.tasks,
            "upper": seen.upper, "said": said(seen), "again": again}  # fmt: skip


def said(seen: Exposure) -> str:
    """An exposure in words, with what it rules out."""
    if not seen.known:
        return "the robot's counters can't be read: what it did since is not known"
    bound = f", gives at most {seen.upper * 100:.0f}/100 h at 95 %" if seen.upper is not None else ""
    back = f"{seen.events} time{'s' * (seen.events != 1)} the fault" if seen.events else "clean"
    return f"{seen.hours:.1f} robot-h, {seen.tasks:.0f} tasks, {back}{bound}"


def _moved(before: Exposure, after: Exposure) -> bool:
    """Worth keeping: another tenth of what is needed, another task or event, known or not."""
    step = max(0.1, after.need_hours / 10)
    return (
        abs(after.hours - before.hours) >= step
        or after.events != before.events
        or after.known != before.known
        or abs(after.tasks - before.tasks) >= max(1.0, after.need_tasks / 10)
    )


async def _counters(context: Context, case: CaseView, since: float, now: float) -> tuple[float | None, float | None]:
    """Robot-hours and tasks since a time, from the robot's own counters; None where they were not readable."""
    names = context.policy(PACK)["signals"]
    signals: Signals = context.port("signals")
    found: list[float | None] = []
    for name in (names["hours"], names["tasks"]):
        step = max(15.0, min(STEP_S, (now - since) / 20))
        series = (await signals.range(name, since, now, step, [case.robot])).get(case.robot, [])
        found.append(increase(series) if len(series) >= 2 else None)
    hours, tasks = found
    return (None if hours is None else hours / HOUR), tasks


async def evidence(context: Context, given: Input) -> Json:
    """All that the return to service rests on, in one piece that a vote is bound to."""
    case = await _case(context, given)
    policy, now = context.policy(PACK), context.now()
    cases = await context.records.find("case", where={"robot": case.robot}, limit=500)
    window = float(policy["availability_window"])
    productive: float | None = None
    try:
        first, _ = await _counters(context, case, now - window, now)
        productive = first
    except (ActionError, OSError, TimeoutError):
        productive = None
    figures = reliability(case.robot, case.mode, cases, now=now, window_s=window, productive_h=productive)
    warnings = list(case.warnings)
    if case.software_before and case.software_after and case.software_before != case.software_after:
        way = f"{case.software_before} -> {case.software_after}"
        warnings.append(f"the software changed while it was out ({way}): by hand, or by a rollout?")
    unchecked = [one for one in policy["verify"]["checklist"] if not case.checklist.get(one)]
    if unchecked:
        warnings.append(f"not ticked: {', '.join(unchecked)}")
    return {
        "case": _repair(case),
        "reliability": _figures(figures),
        "clocks": [
            {"clock": one.name, "state": one.state, "used": _length(one.used_s), "limit": _length(one.limit_s)}
            for one in clocks.clocks(case, policy, now)
        ],
        "warnings": [{"n": number, "warning": text} for number, text in enumerate(warnings, 1)],
        "four_eyes": four_eyes(case, policy),
        "technicians": list(case.technicians) if four_eyes(case, policy) else [],
    }


def _repair(case: CaseView) -> list[dict[str, Json]]:
    """The fault and what was done, one line each; what was not given says so."""
    parts = "; ".join(f"{one.name}: {one.out_serial or '?'} out, {one.in_serial or '?'} in" for one in case.parts)
    coding = [case.mode, case.mechanism, case.cause, case.item]
    lines = {
        "fault": f"{case.symptom} (P{case.priority}{', about safety' if case.safety_related else ''})",
        "robot": f"{case.robot} at {case.site or '?'}, {case.variant or '?'}, serial ends {case.serial[-TAIL:] or '?'}",
        "coded": ", ".join(one.replace("_", " ") for one in coding if one),
        "repaired": f"{case.resolution} by {', '.join(case.technicians) or 'nobody named'}",
        "parts": parts or "none exchanged",
        "verified": said(case.exposure) if case.exposure else "not at all",
        "software": f"{case.software_before or '?'} -> {case.software_after or '?'}",
        "calibration": f"{case.calibration_before or '?'} -> {case.calibration_after or '?'}",
        "down": f"{case.downtime_h:.1f} h" + (f", reopened {case.reopened} times" if case.reopened else ""),
        "problem": case.problem or "none",
    }
    return [{"name": name, "says": text[:300]} for name, text in lines.items()]


def _figures(found: Reliability) -> list[dict[str, Json]]:
    """Availability, MTBF and MTTR with their bounds and n; what is not known is said to be."""

    def hours(value: float | None) -> str:
        return "?" if value is None else f"{value:.1f} h"

    window = f"over {found.window_d:g} d"
    return [
        {"name": "availability", "value": "?" if found.availability is None else f"{found.availability:.1%}",
         "bounds": f"{found.unscheduled_down_h:.1f} h down unplanned, {found.scheduled_down_h:.1f} h planned, {window}", "n": found.n},
        {"name": "MTBF", "value": hours(found.mtbf_h),
         "bounds": f"{hours(found.mtbf_low_h)} to {hours(found.mtbf_high_h)} at 95 %", "n": found.n},
        {"name": "MTTR", "value": hours(found.mttr_h),
         "bounds": f"{hours(found.mttr_low_h)} to {hours(found.mttr_high_h)} at 95 %", "n": found.n},
        {"name": "same fault", "value": f"{found.same_mode}x", "bounds": window, "n": found.n},
    ]  # fmt: skip


def _length(length_s: float) -> str:
    if not length_s:
        return "none"
    if length_s < HOUR:
        return f"{length_s / 60:.0f} min"
    return f"{length_s / HOUR:.1f} h" if length_s < 48 * HOUR else f"{length_s / (24 * HOUR):.1f} d"


async def give_back(context: Context, given: Input) -> Json:
    """Closes the case and gives the robot back. The serial number's tail has to be that of the robot that is there now:
    a swapped robot, or a board nobody recorded, stays out.
    """
    case = await _case(context, given)
    policy, now = context.policy(PACK), context.now()
    people = [str(one) for one in given["by"]]
    person = people[-1] if people else ""
    gate = str(given["gate"])
    if case.state != "closed":
        await _same_robot(context, case, str((given.get("form") or {}).get("serial_tail") or ""))
        try:
            case = await context.records.change(
                "case",
                case.id,
                to="closed",
                set={
                    "verifier": person,
                    "closed_at": now,
                    "downtime_h": round((now - case.created_at) / HOUR, 3) if case.dispatch_hold else case.downtime_h,
                },
                reason=f"returned to service by {', '.join(people)}",
                facts={
                    "gate": gate, "person": person, "clean": bool(given.get("clean")) or len(set(people)) >= 2,
                    "four_eyes": four_eyes(case, policy),
                },
                emit=told(case, "qd.case.closed", state="closed", verifier=person, cause=case.cause),
            )  # fmt: skip
        except RecordError as error:
            raise ActionError("NotReturned", error.message, kind="conflict", retryable=False) from error
    if case.problem:
        await intake.let_go(context.records, case.problem, case.robot, gate, person)
    record = await robot_back(
        context.records, case.robot, case.id, f"{case.id} is closed: {case.resolution[:200]}", gate=gate, person=person,
        emit=[Emit("qd.robot.returned", {"robot": case.robot, "case": case.id, "by": person}, case.robot)],
    )  # fmt: skip
    left = list(record.holds) if record is not None else []
    return {"robot": case.robot, "dispatchable": bool(record and record.dispatchable), "left": left}


async def _same_robot(context: Context, case: CaseView, typed: str) -> None:
    record = await context.records.get("robot", case.robot)
    known = record.serial if record is not None and record.serial else case.serial
    reported = known
    try:
        fleet = await context.port("fleet").robots()
        reported = next((one.serial for one in fleet if one.id == case.robot and one.serial), known)
    except (ActionError, OSError, TimeoutError):
        reported = known
    if known and reported != known:
        raise ActionError(
            "OtherRobot",
            f"{case.robot} reports serial {reported}, its record has {known}: a changed board has to be recorded first",
            kind="conflict",
            retryable=False,
        )
    if known and typed.strip().lower() != known[-TAIL:].lower():
        raise ActionError(
            "OtherRobot", f"{typed.strip()!r} is not the tail of {case.robot}'s serial number", kind="validation",
            retryable=False,
        )  # fmt: skip
