"""What people do with a case: file it, claim it, work on it, hold it, code and resolve it, hand it on. Giving a robot back
is no verb: it is the gate return_to_service.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.capabilities.cases import clocks, judging, opening
from engine.capabilities.cases.asked import (
    AddNote,
    Attach,
    Because,
    Check,
    Coding,
    Escalate,
    FixIn,
    Hold,
    KnownError,
    Link,
    Merge,
    Nothing,
    OpenCase,
    Step,
    Weigh,
)
from engine.capabilities.cases.attaching import attach
from engine.capabilities.cases.coding import checked, coded
from engine.capabilities.cases.entities import missing
from engine.capabilities.cases.intake import problem_for
from engine.capabilities.cases.opening import Report, hold_back, open_case, reopened, told
from engine.capabilities.cases.problems import close_problem, fix_in, known_error
from engine.capabilities.desk import Desk, DeskVerb, Foreseen, Refusal
from engine.capabilities.fleet.robots import hand_over
from engine.capabilities.ports import ActionError, Robot
from engine.contract.cases import CASE_OVER, UNWATCHED, CaseView, Escalation, HoldSpan, Note, Part, ProblemView, Reading

Json = Any
PACK = "maintenance"
NEW = "new"
CHANGED = "qd.case.changed"  # what has no word of its own: claimed, begun, noted, weighed, coded
FLEET_S = 5.0
"""Real seconds a person waits for the fleet's owners when filing; without an answer the robot's name is taken as it is."""


# -- filing ----------------------------------------------------------------------------------------------------------


async def _robot(desk: Desk, name: str) -> Robot | None:
    """The robot as its owners know it; refused when they know none of that name, None when they can't be asked now."""
    try:
        fleet = await asyncio.wait_for(desk.port("fleet").robots(), FLEET_S)
    except (ActionError, OSError, TimeoutError):
        return None
    found: Robot | None = next((one for one in fleet if one.id == name), None)
    if found is None:
        near = difflib.get_close_matches(name, [one.id for one in fleet], 3)
        fix = f"did you mean {' or '.join(near)}?" if near else "see qd fleet robots"
        desk.refuse("no_robot", f"no robot is called {name[:60]!r}", fix, field="robot")
    return found


def _report(desk: Desk, args: OpenCase, policy: Mapping[str, Json]) -> Report:
    if args.source not in policy["sources"]:
        desk.refuse("bad_source", f"{args.source!r} is none of {', '.join(policy['sources'])}", field="source")
    if args.mode and args.mode not in policy["codes"]["mode"]:
        desk.refuse(
            "bad_code", f"{args.mode!r} is no failure mode", f"one of {', '.join(policy['codes']['mode'])}", "mode"
        )
    return Report(
        robot=args.robot,
        symptom=args.symptom,
        source=args.source,
        reporter=desk.person,
        mode=args.mode,
        component=args.component,
        impact=args.impact,
        urgency=args.urgency,
        safety_related=args.safety_related,
        external_ref=args.external_ref,
    )


async def _open(desk: Desk, record: Any, args: OpenCase) -> Json:
    policy = desk.policy(PACK)
    robot = await _robot(desk, args.robot)
    found = await open_case(desk.records, _report(desk, args, policy), policy, desk.now(), key="open", robot=robot)
    case, run = found.case, found.case.run
    if found.outcome == "opened" and not run:
        run = await desk.start("maintenance-escalation", {"case": case.id, "robot": case.robot}, {"case": case.id})
        case = await desk.records.change("case", case.id, set={"run": run}, reason="")
    return {"id": case.id, "outcome": found.outcome, "why": found.why, "run": run, "state": case.state}


async def _open_foreseen(desk: Desk, record: Any, args: OpenCase) -> Foreseen:
    policy = desk.policy(PACK)
    report = _report(desk, args, policy)
    await _robot(desk, args.robot)
    before = await opening.standing(desk.records, report, policy)
    if before is not None:
        return Foreseen((f"it is one more report of {before.id}, {before.state.replace('_', ' ')}: no new case",))
    mode = report.mode or judging.mode_of(report.symptom, policy)
    draft = CaseView(
        robot=report.robot, symptom=report.symptom, source=report.source, impact=report.impact, urgency=report.urgency,
        safety_related=report.safety_related, mode=mode,
    )  # fmt: skip
    rank = judging.priority(*judging.weight(draft, policy), policy)
    limits = policy["clocks"][f"P{rank}"]
    said = [f"P{rank}: {_hours(limits['ack'])} to acknowledge, {_hours(limits['restore'])} to restore"]
    if why := judging.keeps_out(draft, rank, policy):
        said.append(f"{report.robot} leaves dispatch at once: {why}")
    return Foreseen(tuple(said))


def _hours(length_s: float) -> str:
    if not length_s:
        return "no limit"
    return f"{length_s / 60:g} min" if length_s < 3600 else f"{length_s / 3600:g} h"


# -- working ---------------------------------------------------------------------------------------------------------


def _open_one(desk: Desk, case: CaseView) -> None:
    if case.state in CASE_OVER:
        into = f" (see {case.merged_into})" if case.merged_into else ""
        desk.refuse("closed", f"{case.id} is {case.state}{into}", "file a new case if the fault is back")
    if case.state in ("new", "triaged"):
        desk.refuse("too_early", f"{case.id} is still being sorted", "in a moment it stands in a queue")


async def _claim(desk: Desk, case: CaseView, args: Nothing) -> Json:
    _open_one(desk, case)
    if case.state in ("resolved", "verifying"):
        desk.refuse("resolved", f"{case.id} is {case.state}", "v fills in the checklist; the gate gives the robot back")
    to = "assigned" if case.state in ("queued", "reopened") else ""
    return await _moved(
        desk, case, to=to, reason=f"claimed by {desk.person}",
        set={"assignee": desk.person, "technicians": _with(case.technicians, desk.person),
             "acked_at": case.acked_at if case.acked_at >= case.clock_started_at and case.acked_at else desk.now()},
    )  # fmt: skip


async def _start(desk: Desk, case: CaseView, args: Nothing) -> Json:
    _open_one(desk, case)
    if case.state in ("queued", "reopened"):
        await _claim(desk, case, Nothing())
        case = await desk.records.get("case", case.id) or case
    if case.state == "on_hold":
        return await _resume(desk, case, args)
    now = desk.now()
    return await _moved(
        desk, case, to="in_progress", reason=f"work begun by {desk.person}",
        set={"technicians": _with(case.technicians, desk.person),
             "responded_at": case.responded_at if case.responded_at >= case.clock_started_at and case.responded_at else now},
    )  # fmt: skip


async def _hold(desk: Desk, case: CaseView, args: Hold) -> Json:
    _open_one(desk, case)
    policy, now = desk.policy(PACK), desk.now()
    if args.reason not in policy["hold_stops"]:
        desk.refuse(
            "bad_reason", f"{args.reason!r} is no reason to hold", f"one of {', '.join(policy['hold_stops'])}", "reason"
        )
    span = HoldSpan(
        reason=args.reason,
        since=now,
        by=desk.person,
        ref=args.ref[:200],
        until=now + args.hours * 3600 if args.hours else 0.0,
    )
    many = len(case.holds) >= int(policy["hold_most"])
    said = f"on hold for {args.reason}: {args.ref[:200]}" + (
        "; the clocks run on, it was held too often" if many else ""
    )
    return await _moved(
        desk, case, to="on_hold", reason=said, set={"holds": [*case.holds, span]},
        event="qd.case.onhold", hold=args.reason, ref=args.ref[:200], stops=not many,
    )  # fmt: skip


async def _hold_foreseen(desk: Desk, case: CaseView, args: Hold) -> Foreseen:
    policy = desk.policy(PACK)
    longest = float(policy["hold_stops"].get(args.reason, 0.0))
    if len(case.holds) >= int(policy["hold_most"]):
        return Foreseen((f"held {len(case.holds)} times already: the clocks run on",))
    return Foreseen((f"the clocks stop, for at most {_hours(longest)}",))


async def _resume(desk: Desk, case: CaseView, args: Nothing) -> Json:
    if case.state != "on_hold":
        desk.refuse("not_held", f"{case.id} is not on hold, it is {case.state}")
    now = desk.now()
    spans = [*case.holds[:-1], msgspec.structs.replace(case.holds[-1], ended=now)]
    responded = case.responded_at or now
    return await _moved(
        desk, case, to="in_progress", reason=f"resumed by {desk.person}",
        set={"holds": spans, "responded_at": responded, "technicians": _with(case.technicians, desk.person)},
    )  # fmt: skip


async def _note(desk: Desk, case: CaseView, args: AddNote) -> Json:
    note = Note(at=desk.now(), by=desk.person, text=args.text)
    return await _moved(desk, case, set={"notes": [*case.notes, note]}, reason="a note")


async def _step(desk: Desk, case: CaseView, args: Step) -> Json:
    _open_one(desk, case)
    steps = desk.policy(PACK)["runbooks"].get(case.runbook, {}).get("steps", [])
    if args.step > len(steps):
        desk.refuse("no_step", f"{case.runbook or 'its runbook'} has {len(steps)} steps", field="step")
    done = Reading(step=args.step, at=desk.now(), by=desk.person, value=args.value)
    kept = [one for one in case.readings if one.step != args.step]
    return await _moved(
        desk,
        case,
        set={"readings": [*kept, done]},
        reason=f"step {args.step}: {steps[args.step - 1]} {args.value}".strip(),
    )


async def _code(desk: Desk, case: CaseView, args: Coding) -> Json:
    _open_one(desk, case)
    return await _moved(desk, case, set=_coding(desk, case, args), reason="coded")


def _coding(desk: Desk, case: CaseView, args: Coding) -> dict[str, Json]:
    given = {name: getattr(args, name) for name in ("mode", "mechanism", "cause", "detection", "item")}
    if bad := coded(given, desk.policy(PACK)["codes"]):
        desk.refuse("bad_code", bad[1], bad[2], field=bad[0])
    found: dict[str, Json] = {name: value for name, value in given.items() if value}
    if args.resolution.strip():
        found["resolution"] = args.resolution.strip()
    if args.parts:
        found["parts"] = [_part(one) for one in args.parts]
    if args.calibration:
        found["calibration_before"] = case.calibration_before or case.calibration_after
        found["calibration_after"] = args.calibration
    return found


def _part(text: str) -> Part:
    """`connector J7: 4711 out, 4712 in`, or a name alone."""
    name, _, serials = text.partition(":")
    out, into = "", ""
    for word in serials.split(","):
        value = word.replace(" out", "").replace(" in", "").strip()
        if " in" in word:
            into = value
        elif " out" in word:
            out = value
    return Part(name=name.strip()[:80], out_serial=out[:80], in_serial=into[:80])


async def _resolve(desk: Desk, case: CaseView, args: Coding) -> Json:
    """Coded and done: the verification begins. Refused while a field of the coding is blank."""
    _open_one(desk, case)
    coding = _coding(desk, case, args)
    after = msgspec.structs.replace(case, **{k: v for k, v in coding.items() if k in CaseView.__struct_fields__})
    if left := missing(after):
        desk.refuse(
            "not_coded",
            f"{case.id} is not coded: {', '.join(left)} missing",
            "an unknown cause is coded as unknown",
            left[0],
        )
    if case.state in ("queued", "assigned", "reopened", "on_hold"):
        await _start(desk, case, Nothing())
        case = await desk.records.get("case", case.id) or case
    now = desk.now()
    try:
        robot = await _robot(desk, case.robot)
    except Refusal as refusal:  # a robot that is gone from the fleet may still be resolved
        if refusal.code != "no_robot":
            raise
        robot = None
    return await _moved(
        desk, case, to="resolved", reason=f"resolved by {desk.person}: {after.resolution[:200]}",
        set={**coding, "resolved_at": now, "downtime_h": round((now - case.created_at) / 3600, 3),
             "technicians": _with(case.technicians, desk.person),
             "software_after": robot.version if robot else case.software_after},
        event="qd.case.resolved", cause=after.cause, item=after.item,
    )  # fmt: skip


async def _check(desk: Desk, case: CaseView, args: Check) -> Json:
    if case.state not in ("in_progress", "resolved", "verifying"):
        desk.refuse("not_now", f"{case.id} is {case.state}: the checklist is for what was repaired")
    items = desk.policy(PACK)["verify"]["checklist"]
    ticked = checked(args.done, items)
    if isinstance(ticked, str):
        desk.refuse("no_item", ticked, f"one of: {'; '.join(items)}", field="done")
    return await _moved(
        desk,
        case,
        set={"checklist": ticked, "checked_by": desk.person},
        reason=f"checked by {desk.person}: {sum(ticked.values())} of {len(items)}",
    )


async def _watch(desk: Desk, case: CaseView, args: Nothing) -> Json:
    """A run of its own again for a case whose run ended; it goes on where the case stands."""
    if case.state in CASE_OVER or not any(one.startswith(UNWATCHED) for one in case.warnings):
        desk.refuse("watched", f"{case.id} is {case.state} and was not left alone", "its run is named in the case")
    run = await desk.start("maintenance-escalation", {"case": case.id, "robot": case.robot}, {"case": case.id})
    left = [one for one in case.warnings if not one.startswith(UNWATCHED)]
    found = await desk.records.change(
        "case", case.id, set={"run": run, "warnings": left}, reason=f"watched again, says {desk.person}"
    )
    return {"id": found.id, "state": found.state, "run": run}


# -- moving ----------------------------------------------------------------------------------------------------------


async def _escalate(desk: Desk, case: CaseView, args: Escalate) -> Json:
    _open_one(desk, case)
    policy, now = desk.policy(PACK), desk.now()
    levels = list(policy["levels"])
    at = levels.index(case.level) if case.level in levels else 0
    level = args.level or levels[min(at + 1, len(levels) - 1)]
    if level not in levels:
        desk.refuse("no_level", f"{level!r} is none of {', '.join(levels)}", field="level")
    to = str(policy["on_call"].get(level, ""))
    one = Escalation(at=now, clock="", share=0.0, level=level, to=to, reason=f"{desk.person}: {args.reason}"[:300])
    return await _moved(
        desk, case, set={"level": level, "on_call": to, "escalations": [*case.escalations, one]}, reason=one.reason,
        event="qd.case.escalated", level=level, call=to, bundle=case.bundle, clock="", share=0.0,
    )  # fmt: skip


async def _weigh(desk: Desk, case: CaseView, args: Weigh) -> Json:
    _open_one(desk, case)
    policy = desk.policy(PACK)
    safety = case.safety_related if args.safety_related is None else args.safety_related
    if (
        case.safety_related
        and not safety
        and not {"safety-officer", "maintenance-lead", "site-safety"} & set(desk.roles)
    ):
        desk.refuse(
            "safety",
            "that a case is not about safety is said by safety or the maintenance lead",
            field="safety_related",
        )
    weighed = msgspec.structs.replace(case, impact=args.impact, urgency=args.urgency, safety_related=safety)
    impact, urgency = judging.weight(weighed, policy)
    rank = judging.priority(impact, urgency, policy)
    told_ = await _moved(
        desk, case, reason=f"P{rank} by {desk.person}: {args.reason}",
        set={"impact": impact, "urgency": urgency, "priority": rank, "safety_related": safety},
    )  # fmt: skip
    again = await desk.records.get("case", case.id)
    if again is not None:
        await hold_back(desk.records, again, rank, policy, None)
    return told_


async def _link(desk: Desk, case: CaseView, args: Link) -> Json:
    """To a problem that is open, or to a new one: people see what recurs before the rules do."""
    if args.problem == NEW:
        made, _ = await problem_for(
            desk.records, variant=case.variant, mode=case.mode, rule=f"opened by {desk.person} from {case.id}",
            cases=[case.id], robots=[case.robot], software=[case.software] if case.software else [], p=None, key="problem",
        )  # fmt: skip
        return await _moved(desk, case, set={"problem": made.id}, reason=f"{made.id} opened by {desk.person}")
    problem: ProblemView | None = await desk.records.get("problem", args.problem)
    if problem is None:
        desk.refuse("no_problem", f"there is no problem {args.problem[:60]}", f"{NEW} opens one", field="problem")
    if problem.state == "closed":
        desk.refuse("closed", f"{problem.id} is closed", f"{NEW} opens another", field="problem")
    await desk.records.change(
        "problem",
        problem.id,
        set={
            "cases": list(dict.fromkeys([*problem.cases, case.id])),
            "robots": list(dict.fromkeys([*problem.robots, case.robot])),
        },
        reason=f"{case.id} linked by {desk.person}",
    )
    return await _moved(desk, case, set={"problem": problem.id}, reason=f"linked to {problem.id} by {desk.person}")


async def _merge(desk: Desk, case: CaseView, args: Merge) -> Json:
    into: CaseView | None = await desk.records.get("case", args.into)
    if into is None or into.id == case.id:
        desk.refuse("no_case", f"{args.into[:60]} is no other case", field="into")
    if into.robot != case.robot:
        desk.refuse(
            "other_robot",
            f"{into.id} is about {into.robot}, {case.id} about {case.robot}",
            "link both to a problem",
            "into",
        )
    if into.state in CASE_OVER:
        desk.refuse("closed", f"{into.id} is {into.state}", field="into")
    await hand_over(desk.records, case.robot, case.id, into.id, f"{case.id} merged into {into.id}")
    if case.dispatch_hold and not into.dispatch_hold:
        await desk.records.change("case", into.id, set={"dispatch_hold": True}, reason=f"taken over from {case.id}")
    await desk.records.change("case", into.id, set={"reports": into.reports + case.reports}, reason=f"{case.id} merged")
    return await _moved(
        desk, case, to="duplicate", set={"merged_into": into.id, "dispatch_hold": False}, reason=f"the same as {into.id}",
        event="qd.case.merged", into=into.id,
    )  # fmt: skip


async def _cancel(desk: Desk, case: CaseView, args: Because) -> Json:
    return await _moved(
        desk, case, to="cancelled", set={"resolution": args.reason[:500]}, reason=args.reason, event="qd.case.cancelled"
    )


async def _reopen(desk: Desk, case: CaseView, args: Because) -> Json:
    return await _moved(
        desk, case, to="reopened", set=reopened(case, desk.now()), reason=f"{desk.person}: {args.reason}",
        event="qd.case.reopened", why=args.reason[:300],
    )  # fmt: skip


async def _take_out(desk: Desk, case: CaseView, args: Nothing) -> Json:
    """Out of dispatch at once; it comes back by the gate only."""
    if case.state in CASE_OVER:
        desk.refuse("closed", f"{case.id} is {case.state}", "file a case for the robot")
    from engine.capabilities.fleet.robots import keep_out

    await keep_out(desk.records, case.robot, case.id, f"{case.id}: taken out by {desk.person}")
    return await _moved(
        desk, case, set={"dispatch_hold": True}, reason=f"{case.robot} taken out of service by {desk.person}"
    )


async def _moved(
    desk: Desk,
    case: CaseView,
    *,
    to: str = "",
    set: Mapping[str, Json] | None = None,
    reason: str = "",
    event: str = "",
    **data: Json,
) -> Json:
    found: CaseView = await desk.records.change(
        "case", case.id, to=to, set=set, reason=reason, emit=told(case, event or CHANGED, state=to, **data)
    )
    await _wake(desk, found)
    clock = clocks.matters(found, desk.policy(PACK), desk.now())
    left = {"clock": clock.name, "left_s": round(clock.left_s)} if clock is not None else {}
    return {"id": found.id, "state": found.state, "rev": found.rev, **left}


async def _wake(desk: Desk, case: CaseView) -> None:
    """The run looks at its case again. One that does not wait just now is about to look by itself."""
    if case.run:
        with contextlib.suppress(Refusal):
            await desk.signal(case.run, "case.moved", {"case": case.id, "state": case.state})


def _with(people: tuple[str, ...], person: str) -> list[str]:
    return list(dict.fromkeys([*people, person]))


VERBS = (
    DeskVerb(name="case.open", args=OpenCase, says="file a case", do=_open, foresee=_open_foreseen),
    DeskVerb(name="case.claim", args=Nothing, says="claim a case", do=_claim, kind="case"),
    DeskVerb(name="case.start", args=Nothing, says="begin work on a case", do=_start, kind="case"),
    DeskVerb(name="case.hold", args=Hold, says="put a case on hold", do=_hold, foresee=_hold_foreseen, kind="case"),
    DeskVerb(name="case.resume", args=Nothing, says="resume a case", do=_resume, kind="case"),
    DeskVerb(name="case.note", args=AddNote, says="note something on a case", do=_note, kind="case"),
    DeskVerb(name="case.step", args=Step, says="tick a step of a runbook", do=_step, kind="case"),
    DeskVerb(name="case.code", args=Coding, says="code a fault", do=_code, kind="case"),
    DeskVerb(name="case.resolve", args=Coding, says="resolve a case", do=_resolve, kind="case"),
    DeskVerb(name="case.check", args=Check, says="fill in a checklist", do=_check, kind="case"),
    DeskVerb(name="case.escalate", args=Escalate, says="escalate a case", do=_escalate, kind="case"),
    DeskVerb(name="case.weigh", args=Weigh, says="change the priority of a case", do=_weigh, kind="case"),
    DeskVerb(name="case.attach", args=Attach, says="attach evidence to a case", do=attach, kind="case"),
    DeskVerb(name="case.link", args=Link, says="link a case to a problem", do=_link, kind="case"),
    DeskVerb(name="case.merge", args=Merge, says="merge a case into another", do=_merge, kind="case"),
    DeskVerb(name="case.cancel", args=Because, says="cancel a case", do=_cancel, kind="case"),
    DeskVerb(name="case.reopen", args=Because, says="reopen a case", do=_reopen, kind="case"),
    DeskVerb(name="case.watch", args=Nothing, says="have a case watched again", do=_watch, kind="case"),
    DeskVerb(name="case.takeout", args=Nothing, says="take a robot out of service", do=_take_out, kind="case"),
    DeskVerb(
        name="problem.workaround", args=KnownError, says="make a problem a known error", do=known_error, kind="problem"
    ),
    DeskVerb(name="problem.fixin", args=FixIn, says="say which release fixes a problem", do=fix_in, kind="problem"),
    DeskVerb(name="problem.close", args=Because, says="close a problem", do=close_problem, kind="problem"),
)
