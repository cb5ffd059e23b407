"""The first minutes: an incident gets its record and its severity, what spreads it is stopped, and what explains it is
kept before anybody changes it.

Rules:
1. Containing waits for nobody. It drains robots and withdraws what has not begun; it never uses an emergency stop.
2. Evidence comes before the fix: a robot that was part of the event is on hold from the first moment, so that no bulk
   action can wipe it.
3. What could not be kept is named, never passed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.capabilities.desk import Desk
from engine.capabilities.incidents.reading import amend, incident_of, plain, robots_of, seen, standing
from engine.capabilities.incidents.robots import keep_out
from engine.capabilities.incidents.scope import standing as stands
from engine.capabilities.ports import ActionError, Context, Fleet, InDoubt, Robot, Updates
from engine.capabilities.records import Emit
from engine.capabilities.rollout.eligibility import offline
from engine.contract.incidents import IncidentView

Json = Any
Input = dict[str, Json]

GIVEN = (
    "version", "previous", "line", "artifact", "digest", "selector", "site", "detector", "reason", "forward", "hotfix",
    "first_seen", "exposed_since",
)  # fmt: skip


async def open_(context: Context, given: Input) -> Json:
    """The incident this run is for: the one a person declared, or a new one from what triggered it."""
    policy, now = context.policy("hotfix"), context.now()
    id_ = str(given.get("incident") or "")
    if not id_:
        fields: dict[str, Json] = {name: given[name] for name in GIVEN if given.get(name)}
        made = await context.records.create(
            "incident",
            {
                "title": str(given.get("title") or _title(given)), "sev": _whole(given.get("sev")),
                "draft": bool(given.get("draft")), "involved": sorted({str(r) for r in given.get("robots") or ()}),
                "first_seen": float(given.get("first_seen") or now), "run": context.run, **fields,
            },
            key="open",
        )  # fmt: skip
        id_ = made.id
    incident = await amend(
        context.records,
        id_,
        lambda one: {
            "run": context.run,
            "first_seen": one.first_seen or now,
            "update_due": now + float(policy["update_every"]),
            "required": list(policy["follow_ups"].get(str(one.sev or 4), [])),
        },
        at=now,
        who=_who(context.started_by),
        what="detected" if given.get("draft") else "declared",
    )
    return _told(incident)


async def triage(context: Context, given: Input) -> Json:
    """Its severity: what the person said, never lower than what the facts say when nobody was sure."""
    policy, now = context.policy("hotfix"), context.now()
    incident = await incident_of(context, given["incident"])
    floor, why = await _floor(context, incident, policy)
    grave = floor == 1 and why.startswith("the report")
    sev = floor if not incident.sev else min(incident.sev, floor) if grave else incident.sev
    sentence = incident.title + (f" ({why})" if why and sev == floor else "")
    incident = await amend(
        context.records,
        incident.id,
        lambda one: {
            "sev": sev,
            "phase": "containing",
            "sentence": sentence,
            "required": list(policy["follow_ups"][str(sev)]),
        },
        at=now,
        what=f"SEV-{sev}" + (f": {why}" if why else ""),
        to="triaged" if incident.state == "detected" else "",
    )
    return _told(incident)


async def contain(context: Context, given: Input) -> Json:
    """One look, at the severity's own measure. Contained is said only after a look that found nothing to withdraw."""
    incident = await incident_of(context, given["incident"])
    drain = 0 < incident.sev <= int(context.policy("hotfix")["severity"]["drain_from"])
    return await stop_spread(context, incident, key=context.key, drain=drain)


async def stop_spread(asker: Context | Desk, incident: IncidentView, *, key: str, drain: bool) -> dict[str, Json]:
    """Withdraws what was told and has not begun, takes robots out of service if `drain`, says what still moves.

    What is installing can't be stopped: it finishes, and is named.
    """
    updates: Updates = asker.port("updates")
    fleet: Fleet = asker.port("fleet")
    robots = {robot.id: robot for robot in await fleet.robots()}
    reports = {report.robot: report for report in await updates.reports()}
    told: list[str] = []
    moving: list[str] = []
    on_it: list[str] = []
    for name, robot in sorted(robots.items()):
        report = reports.get(name)
        if incident.version and (robot.version or (report.reported if report else "")) == incident.version:
            on_it.append(name)
        elif incident.version and report is not None and report.desired == incident.version and report.state != "done":
            (moving if report.state in ("downloading", "installing") else told).append(name)
    withdrawn = 0
    if told:
        try:
            stopped = await updates.withdraw(told, key=f"{key}/withdraw")
        except InDoubt:
            stopped = ()  # the next look reads from the owner who still has it as a target
        told = sorted(set(told) - set(stopped))
        withdrawn = len(stopped)
    drained: list[str] = []
    if drain:
        out = sorted({*on_it, *incident.involved})
        drained = await keep_out(asker.records, out, incident.id, f"incident {incident.id}: {incident.title}"[:300])
    parts = [f"{len(on_it)} robots run it" if incident.version else "no version is named"]
    everyone = sorted({*incident.drained, *drained})
    if everyone:
        parts.append(f"{len(everyone)} out of dispatch")
    if moving:
        parts.append(f"{len(moving)} are installing it and can't be stopped")
    if told:
        parts.append(f"{len(told)} could still begin")
    sentence = ", ".join(parts)
    if drained or withdrawn or sentence != incident.containment:
        await amend(
            asker.records, incident.id, lambda one: {"containment": sentence, "drained": sorted({*one.drained, *drained})},
            at=asker.now(), what=sentence,
        )  # fmt: skip
    return {
        "contained": not told and not withdrawn, "told": told[:50], "moving": moving[:50], "on_version": len(on_it),
        "drained": len(everyone), "withdrawn": withdrawn, "sentence": sentence, "at": asker.now(),
    }  # fmt: skip


async def contained(context: Context, given: Input) -> Json:
    """Says that nothing spreads any more, or, when that could not be reached in time, what still does."""
    now, unsure = context.now(), str(given.get("unsure") or "")
    incident = await amend(
        context.records,
        given["incident"],
        lambda one: {"contained_at": one.contained_at or now, "phase": "preserving"},
        at=now,
        what=f"containment not confirmed: {unsure}" if unsure else "contained",
        to="contained",
    )
    return _told(incident)


async def preserve(context: Context, given: Input) -> Json:
    """A bundle for each robot that matters, under a hold until it is kept: signals around the moment, the update server's
    report and log, the robot's own word, the digests of what it runs. What only a recorder on the robot has is named as
    missing.
    """
    policy, now = context.policy("hotfix"), context.now()
    rules = policy["preserve"]
    incident = await incident_of(context, given["incident"])
    robots, reports = await standing(context)
    chosen = await _worth_keeping(context, incident, robots, rules)
    legal = incident.sev == 1
    holds = await _holds(context, incident, chosen, legal=legal)
    await amend(context.records, incident.id, lambda one: {"to_preserve": len(chosen), "holds": sorted({*one.holds, *holds.values()})}, at=now)  # fmt: skip
    updates: Updates = context.port("updates")
    releases = {release.version: release.digest for release in await updates.releases()}
    kept: dict[str, str] = {}
    missing: list[str] = []
    for number, name in enumerate(chosen, 1):
        context.heartbeat({"done": number - 1, "of": len(chosen), "unit": "robots", "what": f"keeping {name}"})
        robot = robots.get(name)
        body = await _bundle(
            context, incident, name, robot=robot, report=reports.get(name), releases=releases, rules=rules
        )
        data = msgspec.json.format(msgspec.json.encode(body, order="deterministic"), indent=1)
        item = await asyncio.to_thread(
            context.vault.put_bytes, data, media="application/json", source=name, name=f"{incident.id} {name}"
        )
        kept[name] = item.digest
        missing += [part for part in body["missing"] if part not in missing]
        hold = holds[name]
        await context.records.change("hold", hold, set={"bundle": item.digest}, reason="evidence is kept")
        if not legal:
            await context.records.change(
                "hold", hold, to="released", set={"released_why": "evidence is kept", "released_at": context.now()},
                reason="evidence is kept", facts={"bundle": item.digest},
                emit=(Emit("qd.hold.released", {"hold": hold, "robot": name, "incident": incident.id}),),
            )  # fmt: skip
        await _protect(context, item.digest, incident.id)
    context.heartbeat({"done": len(chosen), "of": len(chosen), "unit": "robots", "what": "kept"})
    what = f"evidence of {len(kept)}/{len(chosen)} robots kept" + (
        f"; not had: {', '.join(missing)}" if missing else ""
    )
    await amend(
        context.records,
        incident.id,
        lambda one: {"preserved": len(kept), "bundles": sorted({*one.bundles, *kept.items()}), "phase": "scoping"},
        at=context.now(),
        what=what,
    )
    return {"preserved": len(kept), "of": len(chosen), "bundles": kept, "missing": missing, "legal": legal}


async def _worth_keeping(
    context: Context, incident: IncidentView, robots: Mapping[str, Robot], rules: Mapping[str, Json]
) -> list[str]:
    """Those that were part of the event; when nobody named any, those of the version with the most events."""
    if incident.involved:
        return list(incident.involved)[: int(rules["most"])]
    on_it = [robot for robot in robots.values() if incident.version and robot.version == incident.version]
    if not on_it:
        return []
    since = context.now() - 24 * 3600.0
    try:
        found = await seen(context, on_it[:400], {robot.id: since for robot in on_it})
    except ActionError:  # without signals any of them is as good as another
        found = []
    ranked = [one.robot for one in sorted(found, key=lambda one: (-one.events, one.robot))]
    return (ranked or sorted(robot.id for robot in on_it))[: int(rules["involved"])]


async def _holds(context: Context, incident: IncidentView, chosen: list[str], *, legal: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in chosen:
        hold = await context.records.create(
            "hold",
            {
                "title": f"{name}: {incident.title}", "robot": name, "incident": incident.id,
                "purpose": "legal" if legal else "preserve", "reason": incident.title, "run": context.run,
            },
            key=f"hold/{incident.id}/{name}",
            emit=(Emit("qd.hold.placed", {"robot": name, "incident": incident.id, "purpose": "legal" if legal else "preserve"}),),
        )  # fmt: skip
        found[name] = hold.id
        if hold.state == "active" and legal:
            await keep_out(context.records, [name], hold.id, f"hold {hold.id}: {incident.title}")
    return found


async def _bundle(
    context: Context,
    incident: IncidentView,
    name: str,
    *,
    robot: Robot | None,
    report: Any,
    releases: Mapping[str, str],
    rules: Mapping[str, Json],
) -> dict[str, Json]:
    at = incident.first_seen or context.now()
    start, end = at - float(rules["before"]), min(context.now(), at + float(rules["after"]))
    described = context.policy("rollout")["signals"]
    metrics = [described["exposure"], described["heartbeats"], described["tasks"]]
    metrics += [one["metric"] for one in (*described["rate"], *described["critical"])]
    missing = list(rules["wanted"])
    series: dict[str, Json] = {}
    signals = context.port("signals")
    for metric in metrics:
        try:
            found = await signals.range(metric, start, max(end, start + 60), float(rules["resolution"]), [name])
            series[metric] = [[sample.t, sample.value] for sample in found.get(name, ())]
        except ActionError as error:
            missing.append(f"{metric}: {error.message[:80]}")
    log = ""
    try:
        log = await context.port("updates").first_error(name)
    except ActionError as error:
        missing.append(f"update log: {error.message[:80]}")
    runs = robot.version if robot is not None else ""
    return {
        "incident": incident.id, "robot": name, "taken_at": context.now(), "window": [start, end], "state": plain(robot),
        "report": plain(report), "log": log[:2000], "runs": {"version": runs, "digest": releases.get(runs, "")},
        "desired": {"version": report.desired if report else "", "digest": releases.get(report.desired, "") if report else ""},
        "signals": series, "missing": missing if robot is not None and not offline(robot) else [*missing, "the robot is offline"],
    }  # fmt: skip


async def _protect(context: Context, digest: str, incident: str) -> None:
    """Puts the incident's hold on the evidence itself, so that no retention sweep takes it."""
    for _ in range(40):
        kept = await context.records.get("evidence", digest)
        if kept is not None and kept.state == "held":
            return
        if kept is not None:
            await context.records.change(
                "evidence", digest, to="held", set={"legal_hold": incident}, reason=f"incident {incident}"
            )
            return
        await asyncio.sleep(0.025)  # its record is written by the keeper, a moment after the bytes


async def _floor(context: Context, incident: IncidentView, policy: Mapping[str, Json]) -> tuple[int, str]:
    """The least grave severity the facts allow, and which fact that is."""
    rules = policy["severity"]
    words = f"{incident.title} {incident.reason}".lower()
    grave = next((word for word in rules["words"] if word in words), "")
    if grave:
        return 1, f"the report says {grave!r}"
    try:
        robots = await robots_of(context)
    except ActionError as error:
        return 2, f"assumed: the fleet can't be read ({error.message[:60]})"
    if not incident.version:
        named = len(incident.involved)
        return (3 if named >= rules["cohort"] else 4), f"{named} robots named" if named else ""
    # an empty report counts as possibly affected: the higher is assumed when unsure
    concerned = sum(1 for r in robots.values() if stands(r, None, incident.version))
    share = concerned / len(robots) if robots else 1.0
    if share >= rules["fleet_share"]:
        return 2, f"{concerned} of {len(robots)} robots may be affected"
    return (3 if concerned >= rules["cohort"] else 4), f"{concerned} of {len(robots)} robots may be affected"


def _title(given: Mapping[str, Json]) -> str:
    version, reason = str(given.get("version") or ""), str(given.get("reason") or "")
    return (f"{version}: {reason}" if version and reason else version or reason or "something is wrong")[:200]


def _told(incident: IncidentView) -> dict[str, Json]:
    return {
        "incident": incident.id, "sev": incident.sev, "draft": incident.draft, "version": incident.version, "line": incident.line,
        "ic": incident.ic, "title": incident.title, "involved": list(incident.involved), "site": incident.site,
        "state": incident.state, "sites": list(incident.sites), "reason": incident.reason,
    }  # fmt: skip


def _whole(value: Json) -> int:
    try:
        return max(0, min(4, int(value or 0)))
    except (TypeError, ValueError):
        return 0


def _who(started_by: str) -> str:
    return started_by or "engine"
