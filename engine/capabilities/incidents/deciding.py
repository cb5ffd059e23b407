"""From evidence to a decision: which change it is, who is affected, what could be done, and what exactly was chosen.

Everything is computed anew from the owners each time it is asked for. What people decide on is frozen with a digest, and
compared with the world once more before a robot is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.capabilities.incidents.options import Ground, matrix, previous_of
from engine.capabilities.incidents.reading import amend, compared, incident_of, plain, robots_of, seen, standing
from engine.capabilities.incidents.scope import resolve
from engine.capabilities.incidents.suspects import rank as ranked
from engine.capabilities.ports import ActionError, Context, Robot
from engine.capabilities.records import Emit
from engine.capabilities.rollout.eligibility import offline
from engine.capabilities.rollout.restraints import restraints
from engine.contract.incidents import Decision, IncidentView, OptionRow
from engine.core.verdicts import digest_of

Json = Any
Input = dict[str, Json]
DAY = 86_400.0
INSTALLS = ("rollback", "forward", "hotfix")


async def rank(context: Context, given: Input) -> Json:
    """Suspected changes by their exact rate ratio; nobody is blamed by a detector that may itself be blind."""
    policy, now = context.policy("hotfix")["suspects"], context.now()
    incident = await incident_of(context, given["incident"])
    robots = await robots_of(context)
    affected = [r.id for r in robots.values() if incident.version and r.version == incident.version]
    chosen = compared(robots, affected or incident.involved, incident.version)
    since = incident.exposed_since or now - DAY
    since = max(since, now - float(policy["window"]))
    blind = ""
    try:
        found = await seen(context, chosen, dict.fromkeys((r.id for r in chosen), since))
    except ActionError as error:
        found, blind = [], f"signals can't be read: {error.message[:100]}"
    ranking = ranked(found, version=incident.version, changes=list(incident.changes), policy=policy)
    exposed = sum(one.hours for one in found if one.version == incident.version)
    blamed = next((one for one in ranking.suspects if one.blamed), None)
    blind = blind or ranking.blind
    sentence = blamed.text if blamed else blind or "no cause can be named yet"
    await amend(
        context.records,
        incident.id,
        lambda one: {
            "suspects": plain(ranking.suspects),
            "also_changed": list(ranking.also),
            "detection_h": one.detection_h or round(exposed, 2),
            "exposed_since": one.exposed_since or since,
        },
        at=now,
        what=sentence,
    )
    return {
        "suspects": plain(ranking.suspects[:5]), "coverage": round(ranking.coverage, 3), "blind": blind, "sentence": sentence,
        "blamed": blamed.change if blamed else "",
    }  # fmt: skip


async def scope(context: Context, given: Input) -> Json:
    """Who is affected now, who can't be asked, and the standing rule for those."""
    now = context.now()
    incident = await incident_of(context, given["incident"])
    robots, reports = await standing(context)
    found = resolve(
        version=incident.version, selector=incident.selector, involved=incident.involved, robots=list(robots.values()),
        reports=reports,
    )  # fmt: skip
    rule = incident.standing_rule
    if found.unsure:
        rule = await _standing_rule(context, incident, [name for name, _ in found.unsure])
    what = f"{len(found.affected)} affected" + (f", {len(found.unsure)} can't be asked" if found.unsure else "")
    incident = await amend(
        context.records,
        incident.id,
        lambda one: {
            "affected": list(found.affected), "unsure": plain(found.unsure), "sites": list(found.sites), "scoped_at": now,
            "affected_digest": found.digest, "standing_rule": rule, "phase": "weighing options",
            "before": {name: robots[name].version for name in found.affected if name in robots} | one.before,
        },
        at=now,
        what=what,
    )  # fmt: skip
    return {
        "affected": len(found.affected), "unsure": len(found.unsure), "digest": found.digest, "sites": list(found.sites),
        "standing_rule": rule, "sample": list(found.affected[:5]), "sentence": what,
    }  # fmt: skip


async def _standing_rule(context: Context, incident: IncidentView, names: list[str]) -> str:
    if incident.standing_rule:
        rule = await context.records.get("standing_rule", incident.standing_rule)
        if rule is not None and rule.state == "active":
            fresh = sorted({*rule.waiting, *names} - {name for name, _ in rule.seen})
            await context.records.change(
                "standing_rule", rule.id, set={"waiting": fresh}, reason=f"scope of {incident.id}"
            )
            return str(rule.id)
    made = await context.records.create(
        "standing_rule",
        {
            "title": f"robots that come back with {incident.version} leave dispatch", "incident": incident.id, "run": "",
            "version": incident.version, "act": "drain", "waiting": sorted(names),
        },
        key=f"rule/{incident.id}/{len(incident.waves)}/{context.run}",
        emit=(Emit("qd.rule.placed", {"incident": incident.id, "version": incident.version, "robots": sorted(names)[:200]}),),
    )  # fmt: skip
    return str(made.id)


async def options(context: Context, given: Input) -> Json:
    """The matrix, all six, with what each reaches and what not."""
    now = context.now()
    incident = await incident_of(context, given["incident"])
    ground = await _ground(context, incident)
    rows = matrix(ground)
    await amend(
        context.records,
        incident.id,
        lambda one: {
            "options": plain(rows),
            "options_at": now,
            "previous": ground.previous,
            "phase": "waiting for a choice",
        },
        at=now,
        what=f"options: {', '.join(f'{row.kind} {len(row.covered)}/{row.of}' for row in rows if row.feasible) or 'none feasible'}",
    )
    return {"options": plain([_short(row) for row in rows]), "at": now, "previous": ground.previous}


async def choose(context: Context, given: Input) -> Json:
    """Freezes what was chosen: the robots, the digest, the phrase, and how many people must agree. Raises `NotFeasible`."""
    now, kind = context.now(), str(given["option"])
    incident = await incident_of(context, given["incident"])
    rows = matrix(await _ground(context, incident))
    row = next((one for one in rows if one.kind == kind), None)
    if row is None or not row.feasible:
        why = (
            f"{kind} is no option"
            if row is None
            else f"{row.title} is not feasible: {row.note or 'it reaches no robot'}"
        )
        await amend(context.records, incident.id, lambda one: {"options": plain(rows), "options_at": now, "chosen": ""}, at=now, what=why)  # fmt: skip
        raise ActionError("NotFeasible", why, retryable=False)
    digest = digest_of({"incident": incident.id, "option": kind, "version": row.version, "robots": sorted(row.covered)})
    decision = Decision(option=kind, version=row.version, robots=row.covered, digest=digest)
    incident = await amend(
        context.records,
        incident.id,
        lambda one: {"options": plain(rows), "options_at": now, "chosen": kind, "decision": plain(decision), "phase": "waiting for the decision"},
        at=now,
        who=str(given.get("by") or "engine"),
        what=f"chose {row.title} for {len(row.covered)} robots",
        to="mitigating" if incident.state == "contained" else "",
    )  # fmt: skip
    return {
        "option": kind, "title": row.title, "version": row.version, "robots": len(row.covered), "digest": digest, "seats": row.seats,
        "phrase": row.phrase, "blocked": plain(row.blocked[:50]), "estimate_min": round((row.estimate_s or 0.0) / 60.0, 1),
        "sites": list(incident.sites), "install": kind in INSTALLS, "row": plain(_short(row)),
        "sentence": f"{row.title}: {len(row.covered)} of {row.of} robots" + (f", about {(row.estimate_s or 0) / 60:.0f} min" if row.estimate_s else ""),
    }  # fmt: skip


async def authorise(context: Context, given: Input) -> Json:
    """The decision is recorded with its gate, or with who broke the glass, after the world was looked at once more.

    Raises `TargetsChanged` when it is no longer what was decided on.
    """
    now = context.now()
    incident = await incident_of(context, given["incident"])
    decision = incident.decision
    if decision is None:
        raise ActionError("NothingChosen", "no option was chosen", kind="validation", retryable=False)
    gate, by = str(given.get("gate") or ""), [str(person) for person in given.get("by") or ()]
    broke = bool(given.get("break_glass"))
    robots, kept = await robots_of(context), await restraints(context)
    differences = _differences(decision, incident, robots, held=kept.held, barred=kept.barred)
    if differences:
        await amend(context.records, incident.id, lambda one: {"decision": None, "chosen": ""}, at=now, what=f"not executed: {differences[0]}")  # fmt: skip
        raise ActionError(
            "TargetsChanged", f"{len(differences)} differences: {differences[0]}", kind="conflict", retryable=False,
            detail={"differences": differences[:100]},
        )  # fmt: skip
    made = Decision(
        option=decision.option, version=decision.version, robots=decision.robots, digest=decision.digest, gate=gate, by=tuple(by),
        at=now, break_glass=broke,
    )  # fmt: skip
    words = f"break-glass by {', '.join(by)}" if broke else f"decided by {', '.join(by)} ({gate})"
    await amend(
        context.records,
        incident.id,
        lambda one: (
            {"decision": plain(made), "phase": "executing"} | ({"break_glass_by": ", ".join(by)} if broke else {})
        ),
        at=now,
        what=f"{decision.option} of {len(decision.robots)} robots: {words}",
        emit=(Emit("qd.incident.updated", {"incident": incident.id, "what": words, "option": decision.option}),),
        to="mitigating" if incident.state == "contained" else "",
    )
    return {
        "option": decision.option, "version": decision.version, "robots": list(decision.robots), "digest": decision.digest,
        "install": decision.option in INSTALLS, "break_glass": broke,
    }  # fmt: skip


def _differences(
    decision: Decision,
    incident: IncidentView,
    robots: Mapping[str, Robot],
    *,
    held: Mapping[str, str],
    barred: Mapping[str, str],
) -> list[str]:
    """What is no longer as decided. A robot that went offline is none: it is a straggler of what was decided."""
    found: list[str] = []
    if decision.version in barred:
        found.append(barred[decision.version])
    for name in decision.robots:
        robot = robots.get(name)
        if name in held:
            found.append(f"{name}: {held[name]}")
        elif robot is None:
            found.append(f"{name} is no longer in the fleet")
        elif (
            decision.option in INSTALLS
            and not offline(robot)
            and robot.version not in (incident.version, decision.version, "")
        ):
            found.append(f"{name} runs {robot.version}, not {incident.version}")
    return found


async def _ground(context: Context, incident: IncidentView) -> Ground:
    policy = context.policy("hotfix")
    updates = context.port("updates")
    robots = await robots_of(context)
    releases = await updates.releases()
    kept = await restraints(context)
    previous = incident.previous or previous_of(incident.version, list(robots.values()), releases)
    healthy: dict[str, set[str]] = {}
    for robot in robots.values():
        if robot.version and not offline(robot):
            healthy.setdefault(robot.version, set()).add(robot.variant)
    forward, hotfix = incident.forward, incident.hotfix
    if not forward or not hotfix:
        carried, fixed = await _artifacts(context, incident, previous)
        forward, hotfix = forward or carried, hotfix or fixed
    can = set()
    for capability in ("config",):
        try:
            context.port(capability)
            can.add(capability)
        except ActionError:
            continue
    return Ground(
        version=incident.version, previous=previous, forward=forward, hotfix=hotfix, sev=incident.sev, affected=incident.affected,
        unsure=[name for name, _ in incident.unsure], robots=robots, releases=releases, held=kept.held, leased=kept.leased,
        barred={v: why for v, why in kept.barred.items() if v != incident.version},
        healthy={version: frozenset(variants) for version, variants in healthy.items()}, can=frozenset(can), loss={}, policy=policy,
    )  # fmt: skip


async def _artifacts(context: Context, incident: IncidentView, previous: str) -> tuple[str, str]:
    """(release that carries the old content under a new number, newest eligible fix) as far as artifacts say so."""
    try:
        eligible = await context.records.find("artifact", state="eligible", limit=200)
    except ValueError:
        return "", ""
    carried = next((a.version for a in eligible if previous and getattr(a, "content_of", "") == previous), "")
    fixed = next((a.version for a in eligible if incident.line and a.line == incident.line and a.version not in (incident.version, carried)), "")  # fmt: skip
    return carried, fixed


def _short(row: OptionRow) -> dict[str, Json]:
    return {
        "kind": row.kind, "title": row.title, "feasible": row.feasible, "covered": len(row.covered), "of": row.of,
        "estimate_min": round(row.estimate_s / 60.0, 1) if row.estimate_s is not None else None, "idle": row.needs_idle,
        "case": row.case_valid, "seats": row.seats, "note": row.note, "blocked": plain(row.blocked[:10]),
    }  # fmt: skip
