"""The actions of a maintenance case. Each reads the case as it stands and does what is missing, so that one that is asked
again (after a crash, after somebody else moved the case) ends at the same place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.capabilities.cases import clocks, context, intake, judging, opening, recurrence
from engine.capabilities.cases.opening import Report, hold_back, told
from engine.capabilities.cases.returning import evidence, exposure, give_back, verify
from engine.capabilities.ports import Action, ActionError, Context, Param, Robot
from engine.capabilities.records import Emit
from engine.contract.cases import CASE_OVER, UNWATCHED, CaseView, Escalation

Json = Any
Input = dict[str, Json]
PACK = "maintenance"
FLEET_S = 20.0
"""Real seconds the owners of the fleet are waited for where an answer is welcome, not needed."""


async def known_case(context_: Context, given: Input) -> CaseView:
    case: CaseView | None = await context_.records.get("case", str(given["case"]))
    if case is None:
        raise ActionError("NoSuchCase", f"there is no case {given['case']}", kind="validation", retryable=False)
    return case


async def robot_of(context_: Context, id: str) -> Robot | None:
    """The robot as its owners say it is; None when they can't be asked now: a case waits for nobody."""
    try:
        fleet = await asyncio.wait_for(context_.port("fleet").robots(), FLEET_S)
    except (ActionError, OSError, TimeoutError):
        return None
    return next((one for one in fleet if one.id == id), None)


async def open_(context_: Context, given: Input) -> Json:
    """Takes on a case that a person filed, or files one for a run that an event started."""
    policy, now = context_.policy(PACK), context_.now()
    if given.get("case"):
        case = await known_case(context_, given)
        return {"case": case.id, "outcome": "opened" if case.state not in CASE_OVER else "joined", "robot": case.robot}
    robot = str(given.get("robot") or "").strip()
    if not robot:
        raise ActionError("NoRobot", "a case is about one robot, none is named", kind="validation", retryable=False)
    report = Report(
        robot=robot,
        symptom=str(given.get("symptom") or "reported without a symptom")[: opening.SYMPTOM],
        source=str(given.get("source") or "operator"),
        detector=str(given.get("detector") or "")[:100],
        reporter=str(given.get("reporter") or ""),
        mode=str(given.get("mode") or ""),
        component=str(given.get("component") or ""),
        impact=int(given.get("impact") or 0),
        urgency=int(given.get("urgency") or 0),
        safety_related=bool(given.get("safety_related")),
        external_ref=str(given.get("external_ref") or "")[:200],
        problem=str(given.get("problem") or ""),
    )
    found = await opening.open_case(
        context_.records, report, policy, now, key="open", robot=await robot_of(context_, robot)
    )
    return {"case": found.case.id, "outcome": found.outcome, "why": found.why, "robot": robot}


async def enrich(context_: Context, given: Input) -> Json:
    """Keeps the context bundle, and notes what it says about the robot's identity and its like."""
    case = await known_case(context_, given)
    if case.bundle:
        return {"bundle": case.bundle, "partial": list(case.partial), "hypothesis": case.hypothesis}
    policy, now = context_.policy(PACK), context_.now()
    parts, missing, seen = await context.gather(
        case, records=context_.records, port=context_.port, policy=policy, now=now, trigger=given.get("trigger"),
        real_limit_s=float(policy["enrich"]),
    )  # fmt: skip
    guess, grounds = judging.hypothesis(case, seen, policy)
    kept = await asyncio.to_thread(
        context_.vault.put_bytes,
        msgspec.json.format(msgspec.json.encode(parts), indent=1),
        media="application/json",
        source=case.id,
        name=f"context of {case.id}",
    )
    changes: Input = {
        "bundle": kept.digest, "partial": missing, "hypothesis": guess, "grounds": grounds,
        "warnings": [*case.warnings, *await _identity(context_, case)],
    }  # fmt: skip
    if case.state in ("new", "triaged"):
        await context_.records.change("case", case.id, set=changes, reason="context bundle")
    return {"bundle": kept.digest, "partial": missing, "hypothesis": guess}


async def _identity(context_: Context, case: CaseView) -> list[str]:
    """A robot that reports another serial number than its record has: a board was changed, or it is another robot."""
    record = await context_.records.get("robot", case.robot)
    if record is None or not record.serial or not case.serial or record.serial == case.serial:
        return []
    return [
        f"serial {case.serial} is reported where {record.serial} was known: a changed board is recorded "
        f"(qd fleet reidentify), anything else is another robot"
    ]


async def triage(context_: Context, given: Input) -> Json:
    """Priority by policy from impact and urgency, and whether the robot may go on working. People may change it later."""
    case = await known_case(context_, given)
    policy, now = context_.policy(PACK), context_.now()
    impact, urgency = judging.weight(case, policy)
    rank = judging.priority(impact, urgency, policy)
    if case.state == "new":
        case = await context_.records.change(
            "case",
            case.id,
            to="triaged",
            set={"impact": impact, "urgency": urgency, "priority": rank, "clock_started_at": case.created_at or now},
            reason=f"impact {impact}, urgency {urgency}: P{rank}; {case.hypothesis or 'no hypothesis'}",
        )
    case = await hold_back(context_.records, case, rank, policy, None)
    return {"priority": case.priority, "hypothesis": case.hypothesis, "dispatch_hold": case.dispatch_hold}


async def route(context_: Context, given: Input) -> Json:
    case = await known_case(context_, given)
    policy = context_.policy(PACK)
    found = judging.route(case, policy, context_.now())
    if case.state == "triaged":
        case = await context_.records.change(
            "case",
            case.id,
            to="queued",
            set={
                "queue": found.queue, "skill": found.skill, "runbook": found.runbook, "on_call": found.on_call,
                "level": case.level or policy["levels"][0], "site_closed_until": found.closed_until,
            },
            reason=f"{case.component or 'no component named'}: {found.queue}",
            emit=told(case, "qd.case.queued", state="queued", queue=found.queue, on_call=found.on_call),
        )  # fmt: skip
    return {"queue": case.queue, "on_call": case.on_call, "runbook": case.runbook}


async def clock(context_: Context, given: Input) -> Json:
    """Tells who has to be told of clocks that ran on, and says how long the case may be left alone."""
    case = await known_case(context_, given)
    policy, now = context_.policy(PACK), context_.now()
    due = clocks.reached(case, policy, now) if case.state not in CASE_OVER else []
    if due:
        fresh = [
            Escalation(at=now, clock=one.clock, share=one.share, level=one.level, to=str(policy["on_call"].get(one.level, "")))
            for one in due
        ]  # fmt: skip
        case = await context_.records.change(
            "case",
            case.id,
            set={"escalations": [*case.escalations, *fresh]},
            reason="; ".join(f"{one.share:.0%} of {one.clock}: {one.level}" for one in due),
            emit=[
                Emit("qd.case.escalated", {
                    "case": case.id, "robot": case.robot, "clock": one.clock, "share": one.share, "level": one.level,
                    "to": one.to, "priority": case.priority, "bundle": case.bundle,
                })
                for one in fresh
            ],
        )  # fmt: skip
    breached = any(one.clock == "restore" and one.share >= 1 for one in due) and case.state not in clocks_over()
    phase = "over" if case.state in CASE_OVER else "resolved" if case.state == "resolved" else "verifying"
    if case.state not in (*CASE_OVER, "resolved", "verifying"):
        phase = "breached" if breached else "waiting"
    return {
        "phase": phase,
        "state": case.state,
        "wait_s": clocks.next_look(case, policy, now),
        "clocks": [msgspec.to_builtins(one) for one in clocks.clocks(case, policy, now)],
        "told": [f"{one.clock} {one.share:.0%} to {one.level}" for one in due],
        "summary": f"{case.robot} {case.symptom}"[:200],
        "priority": case.priority,
        "bundle": case.bundle,
        "reopened": case.reopened,
    }


def clocks_over() -> tuple[str, ...]:
    """States in which nobody is late any more."""
    return (*CASE_OVER, "resolved", "verifying")


async def hand_on(context_: Context, given: Input) -> Json:
    """The case goes to the level people decided on; who decided stands in its history."""
    case = await known_case(context_, given)
    level, policy, now = str(given["level"]), context_.policy(PACK), context_.now()
    if level not in policy["levels"]:
        raise ActionError(
            "NoSuchLevel", f"{level!r} is none of {', '.join(policy['levels'])}", kind="validation", retryable=False
        )
    if case.state in CASE_OVER or case.level == level:
        return {"level": case.level}
    people = [str(one) for one in given.get("by") or []]
    step = Escalation(
        at=now, clock="", share=0.0, level=level, to=str(policy["on_call"].get(level, "")),
        reason=f"decided by {', '.join(people)}",
    )  # fmt: skip
    case = await context_.records.change(
        "case",
        case.id,
        set={"level": level, "on_call": step.to, "escalations": [*case.escalations, step]},
        reason=step.reason,
        emit=told(case, "qd.case.escalated", level=level, to=step.to, bundle=case.bundle, clock="", share=0.0),
    )
    return {"level": case.level}


async def recur(context_: Context, given: Input) -> Json:
    """Whether this fault has become a problem; the problem is opened, or the case joins the one that is open."""
    case = await known_case(context_, given)
    policy, now = context_.policy(PACK), context_.now()
    others = await context_.records.find("case", where={"mode": case.mode}, limit=2_000, order="-created_at")
    found = recurrence.recurs(case, others, policy, now)
    if found is None:
        return {"problem": case.problem, "fresh": False, "rule": ""}
    problem, fresh = await intake.problem_for(
        context_.records, variant=case.variant, mode=case.mode, rule=found.rule, cases=found.cases,
        robots=found.robots, software=sorted({one.software for one in others if one.id in found.cases and one.software}),
        p=found.p, key="problem",
    )  # fmt: skip
    if case.problem != problem.id:
        await context_.records.change("case", case.id, set={"problem": problem.id}, reason=found.rule)
    return {"problem": problem.id, "fresh": fresh, "rule": found.rule, "variant": case.variant, "mode": case.mode}


async def reopen(context_: Context, given: Input) -> Json:
    """The repair did not hold, or nobody would answer for it: back to work, with the clocks running again."""
    case = await known_case(context_, given)
    reason = str(given.get("reason") or "the verification did not hold")[:500]
    if case.state in ("resolved", "verifying"):
        case = await context_.records.change(
            "case",
            case.id,
            to="reopened",
            set=opening.reopened(case, context_.now()),
            reason=reason,
            emit=told(case, "qd.case.reopened", state="reopened", reason=reason),
        )
    return {"state": case.state, "reopened": case.reopened}


async def stranded(context_: Context, given: Input) -> Json:
    """The run of a case ended without an ending for the case: it stays as it is, its robot stays out, people are told."""
    if not given.get("case"):
        return {"case": ""}
    case = await known_case(context_, given)
    reason = str(given.get("reason") or "its run ended")[:500]
    if case.state not in CASE_OVER:
        line = f"{UNWATCHED}: {reason}"
        if not any(one.startswith(UNWATCHED) for one in case.warnings):
            await context_.records.change(
                "case", case.id, set={"warnings": [*case.warnings, line]}, reason=reason,
                emit=told(case, "qd.case.stranded", reason=reason),
            )  # fmt: skip
    return {"case": case.id, "state": case.state}


def actions() -> Mapping[str, Action]:
    one = {"case": Param(type="string")}
    text, optional = Param(type="string"), Param(type="string", required=False)
    any_ = Param(type="any", required=False)
    number, flag, listed = Param(type="number"), Param(type="boolean"), Param(type="array")
    table = (
        ("case.open", open_, "Take on a filed case, or file one: duplicates fold, floods fold, robots leave dispatch",
         dict.fromkeys(("case", "robot", "symptom", "source", "detector", "reporter", "mode", "component", "external_ref", "problem"), optional)
         | {"impact": any_, "urgency": any_, "safety_related": any_},
         {"case": text, "outcome": text, "why": optional, "robot": text}),
        ("case.enrich", enrich, "Keep the context bundle; what could not be read in time is named",
         one | {"trigger": any_}, {"bundle": text, "partial": listed, "hypothesis": text}),
        ("case.triage", triage, "Priority, hypothesis, and whether the robot goes on working",
         one, {"priority": number, "hypothesis": text, "dispatch_hold": flag}),
        ("case.route", route, "Queue, skill, runbook and whom to call", one,
         {"queue": text, "on_call": text, "runbook": text}),
        ("case.clock", clock, "Escalate what ran on; how long the case may be left alone", one,
         {"phase": text, "state": text, "wait_s": number, "clocks": listed, "told": listed, "summary": text,
          "priority": number, "bundle": text, "reopened": number}),
        ("case.hand_on", hand_on, "Give the case to another level", one | {"level": text, "by": any_}, {"level": text}),
        ("case.recurrence", recur, "Whether the fault has become a problem", one,
         {"problem": text, "fresh": flag, "rule": text, "variant": optional, "mode": optional}),
        ("case.verify", verify, "Begin the verification: what it needs and who may not sign it", one,
         {"hours": number, "tasks": number, "poll_s": number, "limit_s": number, "decide_s": number, "four_eyes": flag,
          "technicians": listed, "robot": text, "serial_tail": text}),
        ("case.exposure", exposure, "What the robot did since its repair, and whether the fault came back", one,
         {"known": flag, "enough": flag, "events": number, "hours": number, "tasks": number, "said": text}),
        ("case.evidence", evidence, "What the return to service rests on", one,
         {"reliability": listed, "case": listed, "clocks": listed, "warnings": listed,
          "four_eyes": flag, "technicians": listed}),
        ("case.give_back", give_back, "Close the case and give the robot back, as people decided", one
         | {"gate": text, "by": listed, "form": Param(type="object"), "clean": flag},
         {"robot": text, "dispatchable": flag, "left": listed}),
        ("case.reopen", reopen, "The repair did not hold: back to work", one | {"reason": optional},
         {"state": text, "reopened": number}),
        ("case.stranded", stranded, "A case whose run ended badly says so", {"case": optional, "reason": optional},
         {"case": text, "state": optional}),
        ("case.intake", intake.sort_out, "Turn an event about robots into reports, fold many alike into a problem",
         {"event": Param(type="object")},
         {"reports": listed, "problem": text, "fresh": flag, "variant": optional, "mode": optional, "why": optional}),
    )  # fmt: skip
    effects = {"case.evidence": "read"}
    return {
        name: Action(
            name=name,
            run=run,
            inputs=inputs,
            outputs=outputs,
            effect=effects.get(name, "idempotent"),  # type: ignore[arg-type]
            description=says,
        )
        for name, run, says, inputs, outputs in table
    }
