"""The actions of the staged rollout. Each reads what is, does what is missing, and can be asked again: an engine that
died in the middle starts the same call anew and ends at the same place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from engine.capabilities.ports import (
    Action,
    ActionError,
    Context,
    Fleet,
    InDoubt,
    InstallReport,
    Param,
    Robot,
    Updates,
    optional,
)
from engine.capabilities.rollout import owner, planning, undo
from engine.capabilities.rollout.claims import claimed
from engine.capabilities.rollout.eligibility import incompatibility, offline, rollback_refusal
from engine.capabilities.rollout.eligibility import preflight as check
from engine.capabilities.rollout.installs import look
from engine.capabilities.rollout.limits import limits, server
from engine.capabilities.rollout.measure import measure
from engine.capabilities.rollout.restraints import restraints
from engine.capabilities.rollout.selector import Selector
from engine.core.verdicts import FAIL

Json = Any
Input = dict[str, Json]

BEFORE_DISPATCH = frozenset(
    {
        "PreflightFailed", "SignoffExpired", "EmptyCohort", "NoSuchRelease", "BadSelector", "BadPlan", "Cancelled", "Barred",
        "NotAuthorised", "DraftDropped", "Revoked",
    }
)  # fmt: skip
"""Errors that end a rollout before any robot was told."""


async def freeze(context: Context, given: Input) -> Json:
    updates: Updates = context.port("updates")
    fleet: Fleet = context.port("fleet")
    policy = planning.plan_policy(context.policy("rollout"), given.get("plan") or {})
    robots, releases, kept = await asyncio.gather(fleet.robots(), updates.releases(), restraints(context))
    taken = await claimed(context, [robot.id for robot in robots], given)
    return planning.freeze(
        selector=given["selector"], exclude=given.get("exclude") or [], version=given["version"], robots=robots,
        releases=releases, policy=policy, now=context.now(), only=given.get("only") or (), held={**taken, **kept.held},
        barred=kept.barred.get(given["version"], ""), away_from=str(given.get("away_from") or ""),
    )  # fmt: skip


async def authority(context: Context, given: Input) -> Json:
    """Whether an incident's decision covers exactly this: then nobody is asked a second time. Raises `NotAuthorised`.

    What is not on record as decided, by a gate or under break-glass, is signed off like any other rollout or not at all.
    """
    id_, version, robots = str(given["incident"]), str(given["version"]), sorted(given.get("only") or ())
    incident = await context.records.get("incident", id_) if context.records is not None else None
    decision = incident.decision if incident is not None else None
    if incident is None:
        reason = f"there is no incident {id_}"
    elif incident.state not in ("contained", "mitigating") or decision is None:
        reason = f"incident {id_} is {incident.state} and has decided nothing"
    elif not decision.gate and not decision.break_glass:
        reason = f"incident {id_} has no decision yet"
    elif decision.version != version or sorted(decision.robots) != robots:
        reason = f"incident {id_} decided on {decision.version} for {len(decision.robots)} robots, not on {version} for {len(robots)}"
    else:
        return {
            "incident": id_, "gate": decision.gate, "by": list(decision.by), "digest": decision.digest, "away_from": incident.version,
            "break_glass": decision.break_glass,
        }  # fmt: skip
    raise ActionError("NotAuthorised", reason, kind="authorization", retryable=False)


async def clear(context: Context, given: Input) -> Json:
    """Whether a paused rollout may go on. Raises `StillBarred` with the incident or the revocation that forbids it."""
    barred = (await restraints(context)).barred.get(str(given["version"]), "")
    if barred:
        raise ActionError("StillBarred", barred, kind="conflict", retryable=False)
    return {"clear": True, "at": context.now()}


async def preflight(context: Context, given: Input) -> Json:
    cohort = given["cohort"]["cohort"]
    rules = given["cohort"]["rest"]["rules"]
    updates: Updates = context.port("updates")
    robots, reports = await _standing(context, cohort["robots"])
    releases = await updates.releases()
    found = check(
        robots=robots, cohort=cohort, releases=releases, desired={n: r.desired for n, r in reports.items()},
        follows={n: getattr(r, "follows", "") for n, r in robots.items()}, min_battery=rules["min_battery"],
        min_disk=int(rules["min_disk"]), claimed=await claimed(context, cohort["robots"], given),
    )  # fmt: skip
    if not found["ok"]:
        first = found["problems"][0]
        more = f" and {found['problem_count'] - 1} more" if found["problem_count"] > 1 else ""
        raise ActionError(
            "PreflightFailed",
            f"{first['robot']}: {first['reason']}{more}",
            kind="validation",
            retryable=False,
            detail=found,
        )
    back = [n for n in cohort["robots"] if n not in {b["robot"] for b in found["blocked"]}]
    sites = sorted({robots[n].site for n in back if n in robots})
    found["rollback"]["phrase"] = undo.phrase(len(back), sites) if back else ""
    return found | {
        "at": context.now(), "owner": limits(updates), "server": server(updates), "cohort": cohort["digest"],
    }  # fmt: skip


async def dispatch(context: Context, given: Input) -> Json:
    """Resolves once more and compares with what was signed. The owner keeps no stages, so nothing is sent yet: robots are
    told one by one while the stage installs."""
    stage = given["stage"]
    updates: Updates = context.port("updates")
    robots, releases = await asyncio.gather(_robots(context), updates.releases())
    release = next((r for r in releases if r.version == stage["version"]), None)
    differences: list[str] = []
    if release is None:
        differences.append(f"release {stage['version']} is gone from the update server")
    elif release.digest != stage["release_digest"]:
        differences.append(
            f"release {stage['version']} changed its content: {stage['release_digest']} became {release.digest}"
        )
    selector = Selector(given["selector"])
    for name in stage["robots"]:
        robot = robots.get(name)
        if robot is None:
            differences.append(f"{name} is no longer in the fleet")
            continue
        if "version" not in selector.wanted and not selector.matches(robot):
            differences.append(f"{name} is no longer selected ({robot.site}, {robot.variant})")
        if release is not None and (reason := incompatibility(robot, release)):
            differences.append(f"{name}: {reason}")
        if robot.version and robot.version not in (undo.origin_of(stage, name), stage["version"]):
            differences.append(f"{name} runs {robot.version}, was {undo.origin_of(stage, name)} when signed")
    if differences:
        raise ActionError(
            "TargetsChanged", f"{len(differences)} differences: {differences[0]}", kind="conflict", retryable=False,
            detail={"differences": differences[:100]},
        )  # fmt: skip
    return {
        "stage": stage["name"], "robots": stage["size"], "targets_digest": stage["targets_digest"], "at": context.now(),
        "blocked": [[n, r] for n in stage["robots"] if (r := rollback_refusal(robots[n], undo.origin_of(stage, n), releases))],
    }  # fmt: skip


async def advance(context: Context, given: Input) -> Json:
    stage = given["stage"]
    updates: Updates = context.port("updates")
    (robots, reports), releases = await asyncio.gather(
        _standing(context, stage["robots"], all_robots=True), updates.releases()
    )
    kept = await restraints(context)
    release = next((r for r in releases if r.version == stage["version"]), None)
    swapped = {
        name: reason
        for name in stage["robots"]
        if release is not None and name in robots and (reason := incompatibility(robots[name], release))
    }
    other = release is not None and release.digest != stage["release_digest"]
    changed = f"release {stage['version']} changed its content since it was signed" if other else ""
    found = look(
        stage=stage,
        before=given.get("before") or given.get("earlier"),
        retried=given.get("retried"),
        reports=reports,
        robots=robots,
        now=context.now(),
        restrained={**swapped, **kept.leased, **kept.held},
        barred=kept.barred.get(stage["version"], "") or changed,
    )
    sample = found.sample
    if found.told_off:
        await updates.withdraw(found.told_off, key=f"{context.key}/hold")
    if found.send:
        try:
            told = set(await updates.assign(found.send, stage["version"], key=context.key))
        except InDoubt:
            told = set()  # the next look reads from the owner which of them have their target
        for name in found.send:
            if name not in told:
                sample["robots"][name] = ["planned", 0.0, 0.0, 0.0, False, "the update server did not confirm", 0]
                sample["changes"] = [c for c in sample["changes"] if c["robot"] != name]
    if found.again:
        await updates.retry(found.again, key=context.key)
    for change in sample["changes"]:
        if change["robot"] in found.newly_failed[:20]:
            line = await updates.first_error(change["robot"])
            change["first_error"] = line
            sample["robots"][change["robot"]][5] = line
    sample["failed"] = [[name, sample["robots"][name][5]] for name, _ in sample["failed"]]
    return sample | {"sent": len(found.send)}


async def health(context: Context, given: Input) -> Json:
    _, sample = await measure(
        context.port("signals"), stage=given["stage"], cohort=given["cohort"], installed=given["installed"],
        robots=await _robots(context), extensions=int(given.get("extensions") or 0), now=context.now(),
    )  # fmt: skip
    return sample


async def promote(context: Context, given: Input) -> Json:
    """A decision to go on before the rules say so. Data that is missing and a failure that was seen can't be decided away."""
    found, sample = await measure(
        context.port("signals"), stage=given["stage"], cohort=given["cohort"], installed=given["installed"],
        robots=await _robots(context), extensions=0, now=context.now(),
    )  # fmt: skip
    if found.verdict.word == FAIL or not found.coverage_ok:
        raise ActionError("PromotionRefused", f"not promoted: {found.verdict.sentence}", retryable=False, detail=sample)
    return sample


async def pause(context: Context, given: Input) -> Json:
    """Stops what has not begun. The owner's answer comes at once, each robot's with its next poll."""
    stage = given["stage"]
    updates: Updates = context.port("updates")
    robots, reports = await _standing(context, stage["robots"])
    told: list[str] = []
    busy: list[str] = []
    done = 0
    for name in stage["robots"]:
        report = reports.get(name)
        runs = undo.runs_of(robots.get(name), report)
        if runs == stage["version"]:
            done += 1
        elif report is not None and report.desired == stage["version"] and report.state not in ("failed", "done"):
            (busy if report.state in ("downloading", "installing") else told).append(name)
    stopped = sorted(await updates.withdraw(told, key=context.key)) if told else []
    polls = [robots[n].poll_s for n in [*told, *busy] if n in robots]
    return {
        "stage": stage["name"], "owner": True, "stopped": stopped, "running": busy, "concerned": len(told) + len(busy),
        "worst_s": max(polls, default=0.0), "split": [done, len(busy), stage["size"] - done - len(busy)], "at": context.now(),
        "limits": getattr(updates, "traits", {}).get("pause", ""),
    }  # fmt: skip


async def retry(context: Context, given: Input) -> Json:
    """Lets the robots that failed try again."""
    stage = given["stage"]
    updates: Updates = context.port("updates")
    _, reports = await _standing(context, stage["robots"])
    failed = sorted(n for n, r in reports.items() if r.state == "failed" and r.desired == stage["version"])
    at = context.now()
    if failed:
        await updates.retry(failed, key=context.key)
    return {"robots": failed, "at": at}


async def revert(context: Context, given: Input) -> Json:
    return await undo.revert(context, given["stage"])


async def finish(context: Context, given: Input) -> Json:
    """Where every robot of the cohort stands, by its own word, and how the rollout is called to have ended."""
    cohort, cause = given["cohort"], str(given.get("cause") or "")
    updates: Updates = context.port("updates")
    robots, reports = await _standing(context, cohort["robots"])
    releases = await updates.releases()
    counts = {"on_target": 0, "on_previous": 0, "other": 0, "unknown": 0}
    exceptions: list[list[str]] = []
    for name in cohort["robots"]:
        robot, report = robots.get(name), reports.get(name)
        runs, origin = undo.runs_of(robot, report), cohort["origin"].get(name, cohort["previous"])
        pending = report is not None and report.desired == cohort["version"] and runs != cohort["version"]
        where = (
            "on_target"
            if runs == cohort["version"]
            else "on_previous"
            if runs == origin
            else "other"
            if runs
            else "unknown"
        )
        counts[where] += 1
        if cause:
            if where == "on_target" and cohort.get("away_from"):
                continue  # an incident brought it there, and there it stays
            if where == "on_target":
                refusal = rollback_refusal(robot, origin, releases) if robot else "no longer in the fleet"
                exceptions.append(
                    [
                        name,
                        refusal or ("offline: goes back when it wakes" if offline(robot) else "has not gone back yet"),
                    ]
                )
            elif pending or where == "unknown":
                exceptions.append(
                    [name, f"may still take {cohort['version']}" if pending else "its version is not known"]
                )
        elif where != "on_target":
            exceptions.append([name, _left(robot, report)])
    if cause == "Rejected":
        ending = "rejected"
    elif cause in BEFORE_DISPATCH or (cause and cohort.get("away_from")):
        ending = "aborted"
    elif cause:
        ending = "rollback_incomplete" if exceptions else "rolled_back"
    else:
        ending = "completed_with_exceptions" if exceptions else "completed"
    return {
        "ending": ending, "counts": counts, "exceptions": exceptions[:500], "exception_count": len(exceptions), "cause": cause,
        "at": context.now(),
    }  # fmt: skip


def _left(robot: Robot | None, report: InstallReport | None) -> str:
    if report is not None and report.state == "failed":
        return "install failed" + (f": {report.error}" if report.error else "")
    return "offline" if offline(robot) else "did not take the update in time"


async def _robots(context: Context) -> dict[str, Robot]:
    fleet: Fleet = context.port("fleet")
    return {robot.id: robot for robot in await fleet.robots()}


async def _standing(
    context: Context, names: list[str], *, all_robots: bool = False
) -> tuple[dict[str, Robot], dict[str, InstallReport]]:
    updates: Updates = context.port("updates")
    robots, reports = await asyncio.gather(_robots(context), updates.reports(names))
    wanted = set(names)
    return (
        robots if all_robots else {n: r for n, r in robots.items() if n in wanted},
        {report.robot: report for report in reports},
    )


_STAGE = {"stage": Param(type="object", description="One of freeze's stages")}
_MEASURED = _STAGE | {
    "cohort": Param(type="object", description="freeze's cohort"),
    "installed": Param(type="object", description="`robots` of the last install sample"),
}


_SAMPLE = optional(
    stage="string", at="number", verdict="object", signals="array", coverage="number", coverage_ok="boolean", exposure_h="number",
    exposure_needed_h="number", worst="string", dispersion="any", permutation_p="any", control="string", soak_until="number",
    extension_s="number", robots="integer", controls="array", series="array",
)  # fmt: skip


def actions() -> Mapping[str, Action]:
    """By name."""
    listed = (
        Action(
            name="rollout.freeze", run=freeze, effect="read", description="Resolves the selector once into stages with digests.",
            inputs={
                "version": Param(type="string"), "selector": Param(type="string"), "exclude": Param(type="array", required=False),
                "plan": Param(type="object", required=False), "only": Param(type="array", required=False),
                "away_from": Param(type="string", required=False), "incident": Param(type="string", required=False),
            },
            outputs=optional(
                digest="string", size="integer", stage_count="integer", frozen_at="number", cohort="object", stages="array", rest="object",
                signoff_s="number", where="object", exclusions="array", excluded="integer", summary="object", plan="object",
            ),
        ),
        Action(
            name="rollout.authority", run=authority, effect="read", description="Whether an incident's decision covers exactly this.",
            inputs={"incident": Param(type="string"), "version": Param(type="string"), "only": Param(type="array", required=False)},
            outputs=optional(incident="string", gate="string", by="array", digest="string", away_from="string", break_glass="boolean"),
        ),
        Action(
            name="rollout.clear", run=clear, effect="read", description="Whether an incident or a revocation still forbids the version.",
            inputs={"version": Param(type="string")}, outputs=optional(clear="boolean", at="number"),
        ),
        Action(
            name="rollout.preflight", run=preflight, effect="read", description="Checks every robot, its way back included.",
            inputs={"cohort": Param(type="object", description="freeze's output"), "incident": Param(type="string", required=False)},
            outputs=optional(
                ok="boolean", checked="integer", ready="integer", later="object", problems="array", problem_count="integer",
                rollback="object", blocked="array", at="number", owner="object", server="string", cohort="string",
            ),
        ),
        Action(
            name="rollout.dispatch", run=dispatch, effect="read", description="Resolves again; any difference to what was signed stops.",
            inputs=_STAGE | {"selector": Param(type="string"), "exclude": Param(type="array", required=False)},
            outputs=optional(stage="string", robots="integer", targets_digest="string", at="number", blocked="array"),
        ),
        Action(
            name="rollout.advance", run=advance, description="Tells eligible robots to install and reads where each stands.",
            inputs=_STAGE | {"before": Param(required=False), "earlier": Param(required=False), "retried": Param(required=False)},
            outputs=optional(
                stage="string", at="number", started="number", finished="boolean", verdict="object", counts="object", changes="array",
                robots="object", settle_until="number", waits="array", sent="integer", failed="array", timed_out="array",
            ),
        ),
        Action(
            name="rollout.health", run=health, effect="read", description="The stage against its controls.",
            inputs=_MEASURED | {"extensions": Param(type="integer", required=False)}, outputs=_SAMPLE,
        ),
        Action(
            name="rollout.promote", run=promote, effect="read", description="Whether the data allows to go on early.",
            inputs=_MEASURED, outputs=_SAMPLE,
        ),
        Action(
            name="rollout.pause", run=pause, description="Withdraws what has not begun.", inputs=_STAGE,
            outputs=optional(
                stage="string", owner="boolean", stopped="array", running="array", concerned="integer", worst_s="number",
                split="array", at="number", limits="string",
            ),
        ),
        Action(
            name="rollout.retry", run=retry, description="Lets robots whose install failed try again.", inputs=_STAGE,
            outputs=optional(robots="array", at="number"),
        ),
        Action(
            name="rollout.revert", run=revert, description="Brings a stage's robots back to what they ran.", inputs=_STAGE,
            outputs=optional(
                stage="string", restored="array", blocked="array", unreachable="array", stopped="array", found_back="array",
                at="number", took_s="number",
            ),
        ),
        Action(
            name="rollout.finish", run=finish, effect="read", description="Where every robot stands, by its own word.",
            inputs={"cohort": Param(type="object"), "cause": Param(type="string", required=False)},
            outputs=optional(ending="string", counts="object", exceptions="array", exception_count="integer", cause="string", at="number"),
        ),
    )  # fmt: skip
    return {action.name: action for action in listed} | dict(owner.actions())
