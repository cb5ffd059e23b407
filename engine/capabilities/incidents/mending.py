"""Doing what was decided and seeing whether it helped.

Waves are an emergency-profile staged rollout of its own; here stands what goes into it and what came of it. Whether a
robot is mended is told by the robot: the update server's record is not asked. A fix that was only seen on robots that
stood still was not seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from engine.capabilities.incidents.reading import amend, compared, incident_of, plain, robots_of, seen
from engine.capabilities.incidents.robots import keep_out, let_back
from engine.capabilities.incidents.suspects import Seen
from engine.capabilities.ports import ActionError, Context, Robot
from engine.capabilities.records import Emit
from engine.capabilities.rollout.eligibility import offline
from engine.capabilities.rollout.restraints import restraints
from engine.contract.incidents import IncidentView, Wave
from engine.core.statistics import Moment, canary_e, rate_ratio, rate_upper

Json = Any
Input = dict[str, Json]
INSTALLS = ("rollback", "forward", "hotfix")


async def wave(context: Context, given: Input) -> Json:
    """The inputs of the emergency rollout: exactly the robots that were decided on, in small first waves."""
    policy, now = context.policy("hotfix"), context.now()
    incident = await incident_of(context, given["incident"])
    decision = incident.decision
    if decision is None:
        raise ActionError("NothingDecided", "nothing was decided", kind="validation", retryable=False)
    number = len(incident.waves) + 1
    plan = {
        "stages": policy["waves"], "settle": policy["wave_settle"], "poll": policy["wave_poll"],
        "health_every": policy["wave_health_every"], "extend": policy["wave_extend"], "install_limit": policy["wave_install_limit"],
        "straggler_after": policy["wave_straggler_after"], "stragglers": policy["wave_stragglers"], "straggler_poll": policy["wave_poll"],
        "decide": policy["wave_decide"], "rate": policy["wave_rate"], "site_concurrency": policy["site_concurrency"],
        "min_tasks": policy["wave_min_tasks"],
        "resolution": policy["wave_resolution"], "min_executed": 1,
    }  # fmt: skip
    started = Wave(
        number=number,
        option=decision.option,
        version=decision.version,
        robots=len(decision.robots),
        state="running",
        at=now,
    )
    await amend(
        context.records,
        incident.id,
        lambda one: {"waves": plain((*one.waves, started)), "phase": f"execution {number}"},
        at=now,
        what=f"{decision.option} begins on {len(decision.robots)} robots",
        emit=(
            Emit(
                "qd.rollback.started",
                {"incident": incident.id, "option": decision.option, "version": decision.version, "robots": len(decision.robots)},
            ),
        ),
    )  # fmt: skip
    return {"number": number, "version": decision.version, "robots": list(decision.robots), "plan": plan}


async def waved(context: Context, given: Input) -> Json:
    """What became of it, robot by robot, by their own word."""
    now = context.now()
    incident = await incident_of(context, given["incident"])
    done, left, robots = await _where(context, incident)
    failed = str(given.get("failed") or "")
    state = "failed" if failed else "done" if not left else "done except"
    sentence = f"{len(done)} of {len(done) + len(left)} robots report {_target(incident)}" + (
        f"; {failed}" if failed else ""
    )

    def finished(one: IncidentView) -> dict[str, Json]:
        waves = list(one.waves)
        last = waves[-1] if waves else Wave(number=1, option=_option(one))
        waves[-1:] = [
            Wave(
                number=last.number, option=last.option, version=last.version, robots=last.robots, at=last.at, state=state,
                rollout=str(given.get("rollout") or ""), done=len(done), left=tuple(left), sentence=sentence[:300],
                ended_at=now,
            )
        ]  # fmt: skip
        after = {name: robots[name].version for name in one.before if name in robots}
        return {
            "waves": plain(waves), "after": one.after | after, "phase": "weighing options" if failed else "verifying",
            "decision": None if failed else plain(one.decision), "chosen": "" if failed else one.chosen,
        }  # fmt: skip

    await amend(context.records, incident.id, finished, at=now, what=sentence)
    return {"done": len(done), "left": plain(left[:100]), "sentence": sentence, "failed": failed}


async def apply(context: Context, given: Input) -> Json:
    """Options that install nothing: out of dispatch, a setting off, or watching alone."""
    now = context.now()
    incident = await incident_of(context, given["incident"])
    decision = incident.decision
    if decision is None:
        raise ActionError("NothingDecided", "nothing was decided", kind="validation", retryable=False)
    names = list(decision.robots)
    if decision.option == "restrict":
        await keep_out(context.records, names, incident.id, f"incident {incident.id}: out of dispatch by decision")
        sentence = f"{len(names)} robots are out of dispatch"
    elif decision.option == "config":
        told = await context.port("config").apply(names, incident=incident.id, key=context.key)
        sentence = f"{len(told)} of {len(names)} robots took the setting"
    else:
        sentence = "nothing is changed; it is watched"
    step = Wave(
        number=len(incident.waves) + 1, option=decision.option, robots=len(names), state="done", done=len(names), at=now,
        sentence=sentence,
    )  # fmt: skip
    await amend(
        context.records,
        incident.id,
        lambda one: {
            "waves": plain((*one.waves, step)), "phase": "verifying",
            "drained": sorted({*one.drained, *names}) if decision.option == "restrict" else list(one.drained),
        },
        at=now,
        what=sentence,
    )  # fmt: skip
    return {"option": decision.option, "robots": len(names), "sentence": sentence}


async def verify(context: Context, given: Input) -> Json:
    """One look: every robot by its own report, and whether those that are mended do as the others do."""
    policy, now = context.policy("hotfix"), context.now()
    incident = await incident_of(context, given["incident"])
    done, left, robots = await _where(context, incident)
    waiting = [name for name, why in left if why.startswith("runs ")]
    option = _option(incident)
    found = await _recovery(context, incident, done, robots)
    hours, text = found.hours, found.text
    moved = option not in INSTALLS or hours >= float(policy["verify_min_hours"])
    worse = found.e >= float(context.policy("rollout")["e_alarm"])
    verified = not waiting and moved and not worse and (bool(done) or option not in INSTALLS)
    sentence = f"{len(done)} robots verified by their own report" if option in INSTALLS else f"{option}: in force"
    sentence += f", {len(left)} left" if left else ""
    sentence += f"; {text}" if text else ""
    if not moved:
        sentence += f"; {hours:.1f} robot-h on it so far, too little to say"
    if verified or worse:
        after = {name: robots[name].version for name in incident.before if name in robots}
        if option in INSTALLS and verified:
            decision = incident.decision
            await let_back(
                context.records, done, incident.id, f"incident {incident.id}: mended",
                gate=decision.gate if decision else "", by=decision.by if decision else (),
            )  # fmt: skip
        await amend(
            context.records,
            incident.id,
            lambda one: {
                "after": one.after | after, "recovery": text, "drained": [n for n in one.drained if n not in done or option not in INSTALLS],
            },
            at=now,
            what=sentence,
        )  # fmt: skip
    return {
        "verified": verified, "worse": worse, "done": len(done), "left": plain(left[:100]), "hours": round(hours, 2), "recovery": text,
        "sentence": sentence, "at": now,
    }  # fmt: skip


async def watching(context: Context, given: Input) -> Json:
    """From mending to watching: how long, in robot-hours, and who could not be mended."""
    policy, now = context.policy("hotfix"), context.now()
    incident = await incident_of(context, given["incident"])
    done, left, _ = await _where(context, incident)
    needed = max(float(policy["monitor_min_hours"]), float(policy["monitor_factor"]) * incident.detection_h)
    needed = min(needed, float(policy["monitor_max_hours"]))
    event = "qd.rollback.incomplete" if left else "qd.rollback.completed"
    await amend(
        context.records,
        incident.id,
        lambda one: {"monitor_h": round(needed, 1), "monitored_h": 0.0, "phase": "monitoring"},
        at=now,
        what=f"watched for {needed:.0f} robot-h",
        to="monitoring",
        emit=(
            Emit(
                event,
                {
                    "incident": incident.id, "version": incident.version, "to_version": _target(incident), "done": len(done),
                    "robots": [name for name, _ in left], "reasons": dict(left),
                },
            ),
        ),
    )  # fmt: skip
    return {"needed_h": needed, "since": now, "left": plain(left[:100])}


async def monitor(context: Context, given: Input) -> Json:
    """One look while it is watched: has it come back, and is the exposure reached?"""
    now = context.now()
    incident = await incident_of(context, given["incident"])
    done, left, robots = await _where(context, incident)
    found = await _recovery(context, incident, done, robots, since=float(given["since"]))
    hours, text = found.hours, found.text
    recurs = found.e >= float(context.policy("rollout")["e_alarm"])
    enough = hours >= incident.monitor_h or _option(incident) == "restrict"
    if abs(hours - incident.monitored_h) >= max(1.0, incident.monitor_h / 20) or enough or recurs:
        await amend(
            context.records,
            incident.id,
            lambda one: {"monitored_h": round(hours, 1), "recovery": text},
            at=now,
            what=f"it comes back: {text}" if recurs else "",
        )
    return {
        "over": enough and not recurs, "recurs": recurs, "hours": round(hours, 2), "of": incident.monitor_h, "text": text,
        "left": len(left), "at": now,
    }  # fmt: skip


class Recovery(Struct, frozen=True, kw_only=True):
    """How the mended do beside robots that were never affected. `e` is evidence that they do worse; it may be looked at as
    often as one likes (Ville: at 20 at most 5 % false alarms, ever), which bounds that are computed anew may not.
    """

    hours: float = 0.0
    text: str = ""
    e: float = 1.0


async def _recovery(
    context: Context, incident: IncidentView, done: Sequence[str], robots: Mapping[str, Robot], since: float = 0.0
) -> Recovery:
    """Counted from the end of the last wave: what a robot did before it was mended is no word on the fix."""
    begun = since or max((one.ended_at or one.at for one in incident.waves), default=incident.scoped_at)
    names = set(done or incident.affected)
    mended = [robots[name] for name in sorted(names) if name in robots]
    if not mended or begun >= context.now():
        return Recovery()
    ever = {*incident.before, *incident.affected, *(name for name, _ in incident.unsure)}
    others = [robot for robot in compared(robots, sorted(ever), incident.version) if robot.id not in ever]
    try:
        found = await seen(context, [*mended, *others], dict.fromkeys((r.id for r in (*mended, *others)), begun))
    except ActionError as error:
        return Recovery(text=f"not measured: {error.message[:80]}")
    k, n = _summed([one for one in found if one.robot in names])
    kb, nb = _summed([one for one in found if one.robot not in names])
    ratio = rate_ratio(k, n, kb, nb)
    if ratio.low is None:
        upper = rate_upper(k, n) if n > 0 else math.inf
        said = f"{k} events in {n:.0f} h" + (
            f", at most {100 * upper:.1f}/100h at 95 %" if math.isfinite(upper) else ""
        )
        return Recovery(hours=n, text=said)
    shown = f"{ratio.high:.1f}" if ratio.high is not None and math.isfinite(ratio.high) else "?"
    moments = [*[Moment(True, n, nb)] * k, *[Moment(False, n, nb)] * kb]
    path = canary_e(moments, rho0=float(context.policy("rollout")["rho0"]))
    e = path[-1] if path else 1.0
    return Recovery(hours=n, text=f"{k}/{n:.0f} h against {kb}/{nb:.0f} h [{ratio.low:.1f} {shown}], E {e:.1f}", e=e)


def _summed(found: Sequence[Seen]) -> tuple[int, float]:
    return sum(one.events for one in found), math.fsum(one.hours for one in found)


async def _where(context: Context, incident: IncidentView) -> tuple[list[str], list[tuple[str, str]], dict[str, Robot]]:
    """(robots on the target by their own word, those that are not with the reason, the fleet)."""
    robots = await robots_of(context)
    target, option = _target(incident), _option(incident)
    decided = incident.decision.robots if incident.decision else ()
    done: list[str] = []
    left: list[tuple[str, str]] = []
    if option not in INSTALLS:
        return list(decided), [], robots
    held = (await restraints(context)).held
    for name in sorted({*incident.before, *incident.affected, *decided}):
        robot = robots.get(name)
        runs = robot.version if robot is not None else ""
        if robot is None:
            left.append((name, "no longer in the fleet"))
        elif runs == target and not offline(robot):
            done.append(name)
        elif name in held:
            left.append((name, held[name]))
        elif offline(robot):
            left.append((name, f"offline, last known on {runs or '?'}"))
        elif name not in decided:
            left.append((name, next((why for row in incident.options if row.kind == option for n, why in row.blocked if n == name), "not in what was decided")))  # fmt: skip
        else:
            left.append((name, f"runs {runs or '?'}"))
    return done, left, robots


def _target(incident: IncidentView) -> str:
    return incident.decision.version if incident.decision else ""


def _option(incident: IncidentView) -> str:
    return incident.decision.option if incident.decision else ""
