"""What is owed afterwards, and the small processes beside an incident: holds, standing rules, clocks, break-glass.

An incident is not over because nobody looks any more: the follow-ups stand as records with owners, a robot that could
not be reached stays under its rule until it was seen, and a glass that was broken is reviewed by somebody else.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from engine.capabilities.incidents.reading import amend, incident_of, plain, standing
from engine.capabilities.incidents.robots import keep_out, let_back
from engine.capabilities.incidents.scope import standing as stands
from engine.capabilities.ports import ActionError, Context
from engine.capabilities.records import Emit
from engine.capabilities.rollout.eligibility import offline
from engine.contract.incidents import Clock, FollowUpRef, IncidentView

Json = Any
Input = dict[str, Json]

WHAT = {
    "problem": "problem record: why it happened",
    "regression_case": "regression case for the evaluation pack",
    "capture": "capture request: recordings of the situations it failed in",
    "safety_note": "note for the safety case",
    "case": "robot that could not be mended",
    "review_note": "finding of the break-glass review",
}


async def follow(context: Context, given: Input) -> Json:
    """Writes down what has to follow: by severity, and a case for each robot that was left."""
    policy, now = context.policy("hotfix"), context.now()
    incident = await incident_of(context, given["incident"])
    left = [(str(name), str(why)) for name, why in given.get("left") or ()]
    wanted = [(what, "", "") for what in incident.required] + [("case", name, why) for name, why in left]
    have = {(ref.what, ref.id) for ref in incident.follow_ups}
    refs: list[FollowUpRef] = list(incident.follow_ups)
    for what, robot, why in wanted:
        owner = policy["owners"].get(what, "incident-commander")
        made = await context.records.create(
            "followup",
            {
                "title": f"{incident.id}: {WHAT.get(what, what)}" + (f" ({robot}: {why})" if robot else ""), "incident": incident.id,
                "what": what, "owner": owner, "robot": robot, "note": why, "run": context.run,
            },
            key=f"follow/{incident.id}/{what}/{robot}",
            emit=(Emit("qd.followup.created", {"incident": incident.id, "what": what, "owner": owner, "robot": robot, "version": incident.version}),),
        )  # fmt: skip
        if (what, made.id) not in have:
            refs.append(FollowUpRef(id=made.id, what=what))
            have.add((what, made.id))
    await amend(
        context.records,
        incident.id,
        lambda one: {"follow_ups": plain(refs)},
        at=now,
        what=f"{len(refs)} follow-ups written down",
    )
    return {"follow_ups": [ref.id for ref in refs], "cases": len(left)}


async def resolve(context: Context, given: Input) -> Json:
    """Over: what was stopped for it may go on, robots that are mended go back to dispatch."""
    now = context.now()
    incident = await incident_of(context, given["incident"])
    out = [name for name in incident.drained if incident.decision is None or incident.decision.option != "restrict"]
    mended = {name for name, version in incident.after.items() if version != incident.version}
    back = await let_back(context.records, [n for n in out if n in mended or not incident.version], incident.id, f"incident {incident.id} is resolved", gate=_gate(incident), by=_by(incident))  # fmt: skip
    incident = await amend(
        context.records,
        incident.id,
        lambda one: {"phase": "follow-ups", "drained": [name for name in one.drained if name not in back]},
        at=now,
        what="resolved",
        to="resolved",
        emit=(Emit("qd.incident.resolved", {"incident": incident.id, "version": incident.version, "line": incident.line, "sev": incident.sev}),),
    )  # fmt: skip
    return {"incident": incident.id, "back": back, "follow_ups": [ref.id for ref in incident.follow_ups]}


def _gate(incident: IncidentView) -> str:
    return incident.decision.gate if incident.decision else ""


def _by(incident: IncidentView) -> tuple[str, ...]:
    return incident.decision.by if incident.decision else ()


async def reviewed(context: Context, given: Input) -> Json:
    """The review is done: its findings stand on the record, for whoever reads it next."""
    await amend(
        context.records,
        given["incident"],
        lambda one: {"review": str(given.get("findings") or "")[:4000], "phase": "closing"},
        at=context.now(),
        who=", ".join(str(one) for one in given.get("by") or ()) or "engine",
        what="reviewed",
        to="reviewed",
        facts={"gate": str(given.get("gate") or "review")},
    )
    return {"incident": given["incident"]}


async def close(context: Context, given: Input) -> Json:
    """Closed, when every follow-up is filed. Raises `FollowUpsOpen` naming those that are not."""
    now = context.now()
    incident = await incident_of(context, given["incident"])
    found = await context.records.find("followup", state="open", where={"incident": incident.id}, limit=1000)
    left = [f"{one.id} {one.what}" for one in found]
    if left:
        raise ActionError(
            "FollowUpsOpen", f"{len(left)} follow-ups are not filed: {', '.join(left[:5])}", retryable=False
        )
    # who was never mended stays out of service under its case; without one the incident itself keeps it out
    handed = [name for name in incident.drained if await _kept_by_others(context, name, incident.id)]
    await let_back(
        context.records, handed, incident.id, f"incident {incident.id} is closed", gate="review", by=_by(incident)
    )
    await amend(
        context.records,
        incident.id,
        lambda one: {"phase": "", "drained": [name for name in one.drained if name not in handed]},
        at=now,
        what="closed",
        to="closed",
        facts={"open_follow_ups": []},
        emit=(
            Emit("qd.incident.closed", {"incident": incident.id, "version": incident.version, "line": incident.line}),
        ),
    )
    return {"incident": incident.id, "ending": "closed"}


async def _kept_by_others(context: Context, robot: str, incident: str) -> bool:
    record = await context.records.get("robot", robot)
    return record is not None and any(why != incident for why in record.holds)


async def false_alarm(context: Context, given: Input) -> Json:
    """It was none. What it took out goes back; what it saw is kept, to tune what raised it."""
    now, by = context.now(), [str(one) for one in given.get("by") or ()]
    incident = await incident_of(context, given["incident"])
    await let_back(
        context.records,
        list(incident.drained),
        incident.id,
        f"incident {incident.id} was a false alarm",
        gate="false alarm",
        by=by,
    )
    await amend(
        context.records,
        incident.id,
        lambda one: {"phase": "", "drained": [], "review": str(given.get("reason") or "")[:4000]},
        at=now,
        who=", ".join(by) or "engine",
        what="false alarm" + (f": {given['reason']}" if given.get("reason") else ""),
        to="false_alarm",
        facts={"gate": str(given.get("gate") or ""), "person": by[0] if by else ""},
        emit=(
            Emit("qd.incident.resolved", {"incident": incident.id, "version": incident.version, "line": incident.line, "false_alarm": True}),
            Emit("qd.incident.closed", {"incident": incident.id, "version": incident.version, "line": incident.line, "false_alarm": True}),
        ),
    )  # fmt: skip
    return {"incident": incident.id, "ending": "false_alarm"}


async def note(context: Context, given: Input) -> Json:
    """A line on the timeline, with who took command if somebody did."""
    by = [str(one) for one in given.get("by") or ()]
    now, takes = context.now(), bool(given.get("takes_command"))

    def change(one: IncidentView) -> dict[str, Json]:
        fields: dict[str, Json] = {}
        if takes and by and not one.ic:
            fields |= {"ic": by[-1], "ic_since": now}
        if given.get("confirmed"):
            fields["draft"] = False
        if given.get("update_in"):
            fields["update_due"] = now + float(given["update_in"])
        return fields

    incident = await amend(
        context.records,
        given["incident"],
        change,
        at=now,
        who=", ".join(by) or "engine",
        what=str(given.get("what") or ""),
    )
    return {
        "incident": incident.id,
        "ic": incident.ic,
        "draft": incident.draft,
        "round": int(given.get("round") or 0) + 1,
    }


async def stand(context: Context, given: Input) -> Json:
    """The incident as it stands, for the questions that follow."""
    incident = await incident_of(context, given["incident"])
    decision = incident.decision
    return {
        "incident": incident.id, "sev": incident.sev, "ic": incident.ic, "state": incident.state, "phase": incident.phase,
        "sentence": incident.sentence or incident.title, "affected": len(incident.affected), "unsure": plain(incident.unsure[:20]),
        "sites": list(incident.sites), "suspects": [one.text for one in incident.suspects[:5]], "holds": list(incident.holds),
        "containment": incident.containment, "preserved": f"{incident.preserved}/{incident.to_preserve}",
        "clocks": [f"{one.title} due {one.due:.0f}" for one in incident.clocks], "recovery": incident.recovery,
        "option": decision.option if decision else "", "version": incident.version, "draft": incident.draft,
        "waves": [one.sentence for one in incident.waves[-3:]],
        "follow_ups": [f"{ref.id} {ref.what}" for ref in incident.follow_ups],
    }  # fmt: skip


LEAST_WAIT_S = 1.0
SILENT = ("resolved", "reviewed", "closed", "false_alarm")


async def update_look(context: Context, given: Input) -> Json:
    """Is a word on the incident due, and did nobody give it? Said once for each time one was due; `wait_s` until the next."""
    now, every = context.now(), float(context.policy("hotfix")["update_every"])
    incident = await incident_of(context, given["incident"])
    over = incident.state in ("reviewed", "closed", "false_alarm")
    late = incident.update_due > 0 and now >= incident.update_due and incident.state not in SILENT
    if late:
        what = f"no update; one was due at {datetime.fromtimestamp(incident.update_due, UTC):%d %b %H:%MZ}"
        if all(line.what != what for line in incident.timeline):
            told = {"incident": incident.id, "what": what, "overdue": True, "ic": incident.ic}
            await amend(
                context.records, incident.id, lambda one: {}, at=now, what=what,
                emit=(Emit("qd.incident.updated", told),),
            )  # fmt: skip
    wait = incident.update_due - now if not late and incident.update_due > now else every
    return {"over": over, "overdue": late, "wait_s": max(LEAST_WAIT_S, wait)}


TIMES = (
    "ack", "ack_second", "ack_manager", "contain", "contain_every", "decide", "update_every", "verify_every", "monitor_every",
    "review", "breakglass_review", "follow_up_wait", "hold_release", "rule_every",
)  # fmt: skip


async def policy(context: Context, given: Input) -> Json:
    """The times that hold for this run, in seconds: what is changed later changes no run under way."""
    found = context.policy("hotfix")
    times = {f"{name}_s": float(found[name]) for name in TIMES}
    return times | {
        "verify_for_s": float(found["verify_for"]), "monitor_for_s": float(found["monitor_for"]), "rule_s": float(found["rule_for"]),
        "ack_rounds": float(found["ack_rounds"]),
    }  # fmt: skip


async def recurs(context: Context, given: Input) -> Json:
    """It is not over: back to mending, with the decision taken back."""
    incident = await amend(
        context.records,
        given["incident"],
        lambda one: {"decision": None, "chosen": "", "phase": "weighing options"},
        at=context.now(),
        what=str(given.get("reason") or "it came back"),
        to="mitigating",
        emit=(Emit("qd.incident.updated", {"incident": given["incident"], "what": str(given.get("reason") or "it came back")}),),
    )  # fmt: skip
    return {"incident": incident.id}


async def rule_withdraw(context: Context, given: Input) -> Json:
    """The robots it waits for are given up by a person."""
    by = [str(one) for one in given.get("by") or ()]
    found = await context.records.find("standing_rule", where={"incident": given["incident"]}, state="active", limit=10)
    for rule in found:
        if not given.get("rule") or rule.id == given["rule"]:
            await context.records.change(
                "standing_rule", rule.id, to="withdrawn", reason=str(given.get("reason") or "given up"),
                facts={"person": by[0] if by else ""},
            )  # fmt: skip
    return {"incident": given["incident"], "ending": "withdrawn"}


# -- holds ------------------------------------------------------------------------------------------------------------


async def release_hold(context: Context, given: Input) -> Json:
    """Two people said so: the robot is free again, as far as this hold goes."""
    by, gate = [str(one) for one in given.get("by") or ()], str(given.get("gate") or "")
    hold = await context.records.get("hold", given["hold"])
    if hold is None:
        raise ActionError("NoSuchHold", f"there is no hold {given['hold']!r}", kind="validation", retryable=False)
    await context.records.change(
        "hold", hold.id, to="released",
        set={"released_by": by, "released_why": str(given.get("reason") or "")[:1000], "released_at": context.now()},
        reason=str(given.get("reason") or "released"), facts={"gate": gate, "people": by},
        emit=(Emit("qd.hold.released", {"hold": hold.id, "robot": hold.robot, "incident": hold.incident, "by": by}),),
    )  # fmt: skip
    back = await let_back(
        context.records, [hold.robot], hold.id, f"hold {hold.id} released by {', '.join(by)}", gate=gate, by=by
    )
    if hold.incident and await context.records.get("incident", hold.incident) is not None:
        await amend(context.records, hold.incident, lambda one: {"holds": [h for h in one.holds if h != hold.id]}, at=context.now(), who=", ".join(by), what=f"hold {hold.id} on {hold.robot} released")  # fmt: skip
    return {"hold": hold.id, "robot": hold.robot, "back": back, "ending": "released"}


# -- standing rules ---------------------------------------------------------------------------------------------------


async def rule_look(context: Context, given: Input) -> Json:
    """One look for robots under the rule that came back: with the bad version they leave dispatch, else they are free."""
    now = context.now()
    found = await context.records.find("standing_rule", where={"incident": given["incident"]}, state="active", limit=10)
    rules = [one for one in found if not given.get("rule") or one.id == given["rule"]]
    if not rules:
        return {"over": True, "waiting": 0, "seen": [], "drained": [], "at": now}
    rule = rules[0]
    robots, reports = await standing(context)
    fresh: list[tuple[str, str]] = []
    drained: list[str] = []
    for name in rule.waiting:
        robot = robots.get(name)
        if robot is None:
            fresh.append((name, "no longer in the fleet"))
        elif not offline(robot):
            where = stands(robot, reports.get(name), rule.version)
            if where == "affected":
                drained += await keep_out(
                    context.records, [name], rule.incident, f"{rule.id}: came back with {rule.version}"
                )
                fresh.append((name, f"came back with {rule.version}: out of dispatch"))
            elif not where:
                fresh.append((name, f"came back with {robot.version}"))
    left = sorted(set(rule.waiting) - {name for name, _ in fresh})
    if fresh:
        await context.records.change(
            "standing_rule", rule.id, to="" if left else "satisfied",
            set={"waiting": left, "seen": plain((*rule.seen, *fresh)), "looked_at": now}, reason=f"{len(fresh)} robots were seen",
            emit=tuple(Emit("qd.incident.sighting", {"incident": rule.incident, "robot": name, "what": what}, subject=rule.incident) for name, what in fresh[:50]),
        )  # fmt: skip
        what = "; ".join(f"{name} {said}" for name, said in fresh[:3])
        gone = {name for name, _ in fresh}
        back = [name for name, said in fresh if rule.version in said]

        def sighted(one: IncidentView) -> dict[str, Json]:
            return {
                "drained": sorted({*one.drained, *drained}),
                "unsure": [list(pair) for pair in one.unsure if pair[0] not in gone],
                "affected": sorted({*one.affected, *back}),
            }

        await amend(context.records, rule.incident, sighted, at=now, what=what)
    return {"over": not left, "waiting": len(left), "seen": plain(fresh), "drained": drained, "at": now}


# -- clocks -----------------------------------------------------------------------------------------------------------


async def clock_filed(context: Context, given: Input) -> Json:
    """The report was filed, or its time has passed without."""
    by, now = [str(one) for one in given.get("by") or ()], context.now()
    overdue = bool(given.get("overdue"))

    def change(one: IncidentView) -> dict[str, Json]:
        clocks = [
            Clock(
                regime=c.regime, title=c.title, law=c.law, hours=c.hours, started_at=c.started_at, due=c.due, by=c.by, reason=c.reason,
                run=c.run, filed_at=c.filed_at if overdue else now, filed_by=c.filed_by if overdue else ", ".join(by), overdue=overdue,
            )
            if c.regime == given["regime"] and not c.filed_at
            else c
            for c in one.clocks
        ]  # fmt: skip
        return {"clocks": plain(clocks)}

    words = "its time has passed and nobody said it was filed" if overdue else "filed"
    await amend(
        context.records, given["incident"], change, at=now, who=", ".join(by) or "engine", what=f"{given['regime']}: {words}",
        emit=(Emit("qd.incident.updated", {"incident": given["incident"], "what": f"{given['regime']}: {words}", "overdue": overdue}),),
    )  # fmt: skip
    return {"incident": given["incident"], "regime": given["regime"], "ending": "overdue" if overdue else "filed"}


# -- break-glass ------------------------------------------------------------------------------------------------------


async def broke(context: Context, given: Input) -> Json:
    """Who broke the glass, and why; somebody else reviews it, and that is not optional."""
    by, now = str(given["by"]), context.now()
    incident = await amend(
        context.records,
        given["incident"],
        lambda one: {"break_glass_by": by, "break_glass_review": "open"},
        at=now,
        who=by,
        what=f"break-glass: {given.get('reason') or 'no reason given'}",
        emit=(
            Emit(
                "qd.incident.breakglass",
                {"incident": given["incident"], "person": by, "reason": str(given.get("reason") or ""), "at": now},
            ),
        ),
    )  # fmt: skip
    return {
        "incident": incident.id,
        "by": by,
        "option": incident.decision.option if incident.decision else incident.chosen,
    }


async def glass_reviewed(context: Context, given: Input) -> Json:
    """The finding on a broken glass. An overdue review is a finding too, and a follow-up."""
    by, now = [str(one) for one in given.get("by") or ()], context.now()
    finding, text = str(given.get("finding") or "overdue"), str(given.get("text") or "")
    incident = await incident_of(context, given["incident"])
    refs = list(incident.follow_ups)
    if finding != "ok":
        made = await context.records.create(
            "followup",
            {
                "title": f"{incident.id}: break-glass by {incident.break_glass_by}: {finding}", "incident": incident.id,
                "what": "review_note", "owner": "safety-officer", "note": text[:1000],
            },
            key=f"glass/{incident.id}",
            emit=(Emit("qd.followup.created", {"incident": incident.id, "what": "review_note", "owner": "safety-officer"}),),
        )  # fmt: skip
        refs.append(FollowUpRef(id=made.id, what="review_note"))
    await amend(
        context.records,
        incident.id,
        lambda one: {"break_glass_review": finding, "follow_ups": plain(refs)},
        at=now,
        who=", ".join(by) or "engine",
        what=f"break-glass review: {finding}" + (f", {text}" if text else ""),
    )
    return {"incident": incident.id, "ending": finding}
