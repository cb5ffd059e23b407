"""The way back: which robots have to go back, which can't and why, and how it went. The compensation of a stage.

A stage that is undone touches the robots of that stage and no other. What has not begun is stopped first. A robot that
can't go back is named and left as it is; a robot that can't be reached gets its target set, so that it goes back when
it wakes, and is handed on. The operating-mode interlock holds here too: being in a hurry is no reason to restart a robot
under somebody's hands. Rates and site limits don't apply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.capabilities.ports import ActionError, Context, Fleet, InDoubt, InstallReport, Release, Robot, Updates
from engine.capabilities.rollout.eligibility import install_refusal, offline, rollback_refusal
from engine.capabilities.rollout.restraints import restraints

Json = Any


def origin_of(stage: Mapping[str, Json], robot: str) -> str:
    """The version the robot ran when the cohort was frozen."""
    return str(stage["origin"].get(robot, stage["previous"]))


def runs_of(robot: Robot | None, report: InstallReport | None) -> str:
    """What the robot itself says it runs; the owner's record only when the robot is silent."""
    if robot is not None and robot.version and robot.online:
        return robot.version
    return report.reported if report is not None else (robot.version if robot is not None else "")


def to_undo(
    stage: Mapping[str, Json],
    reports: Mapping[str, InstallReport],
    robots: Mapping[str, Robot],
    releases: Sequence[Release],
    held: Mapping[str, str] | None = None,
) -> tuple[list[str], list[list[str]], list[str]]:
    """(robots to bring back, robots that can't go back with the reason, robots that were only told and did not begin).

    A robot on hold stays as it is: what it knows about an incident outweighs that it runs the wrong release.
    """
    back: list[str] = []
    blocked: list[list[str]] = []
    told: list[str] = []
    for name in stage["robots"]:
        report, robot = reports.get(name), robots.get(name)
        runs = runs_of(robot, report)
        busy = report is not None and report.state in ("downloading", "installing")
        if runs == stage["version"] or (busy and report is not None and report.desired == stage["version"]):
            refusal = rollback_refusal(robot, origin_of(stage, name), releases) if robot else "no longer in the fleet"
            refusal = (held or {}).get(name) or _one_way(stage, name) or refusal
            if refusal:
                blocked.append([name, refusal])
            else:
                back.append(name)
        elif report is not None and report.desired == stage["version"]:
            told.append(name)
    return back, blocked, told


def revert_refusal(robot: Robot, min_battery: float) -> str:
    """Why the robot can't be told to go back now. What it reports is honoured; that it reports nothing is no reason: lost
    telemetry may be what the release broke, and the way back must not depend on what failed.
    """
    if robot.mode == "UNKNOWN" or (robot.battery is None and robot.mode == "AUTOMATIC" and not robot.busy):
        return ""
    return install_refusal(robot, min_battery=min_battery)


async def revert(context: Context, stage: Mapping[str, Json]) -> dict[str, Json]:
    """Brings the stage's robots back and waits for their own word. Idempotent: it starts from what is, not from what it did."""
    updates: Updates = context.port("updates")
    fleet: Fleet = context.port("fleet")
    releases = await updates.releases()
    held = (await restraints(context)).held
    began = context.now()
    deadline = began + stage["revert_timeout_s"]
    pause = max(10.0, min(120.0, stage["poll_s"] / 2))
    wanted: set[str] = set()
    blocked: dict[str, str] = {}
    told_off: set[str] = set()
    tried: set[str] = set()
    notes: dict[str, str] = {}
    restored: set[str] = set()
    turn = 0
    while True:
        turn += 1
        robots = {r.id: r for r in await fleet.robots()}
        reports = {r.robot: r for r in await updates.reports(list(stage["robots"]))}
        back, hindered, told = to_undo(stage, reports, robots, releases, held)
        # An install that was under way when this began may end later: every turn looks again at the whole stage.
        blocked.update((name, reason) for name, reason in hindered)
        wanted.update(name for name in back if name not in blocked)
        if told:
            await _doubtful(updates.withdraw(told, key=f"{context.key}/stop/{turn}"))
            told_off.update(told)
        due = []
        for name in sorted(wanted):
            robot, report = robots.get(name), reports.get(name)
            origin = origin_of(stage, name)
            if runs_of(robot, report) == origin and (
                report is None or report.state not in ("downloading", "installing")
            ):
                restored.add(name)
                notes.pop(name, None)
                continue
            restored.discard(name)
            if report is not None and report.desired == origin:
                notes[name] = "told to go back" if not offline(robot) else "offline: goes back when it wakes"
                if report.state == "failed" and name not in tried:
                    tried.add(name)
                    await _doubtful(updates.retry([name], key=f"{context.key}/again/{name}"))
                elif report.state == "failed":
                    notes[name] = "going back failed: " + (await updates.first_error(name) or "no log")
                continue
            if offline(robot):
                notes[name] = "offline: goes back when it wakes"
                due.append(name)
            elif robot is not None and (refusal := revert_refusal(robot, stage["rules"]["min_battery"])):
                notes[name] = refusal
            else:
                due.append(name)
        by_origin: dict[str, list[str]] = {}
        for name in due:
            by_origin.setdefault(origin_of(stage, name), []).append(name)
        for version, names in sorted(by_origin.items()):
            await _doubtful(updates.assign(names, version, key=f"{context.key}/back/{version}/{turn}"))
        open_ = wanted - restored
        # A robot that failed to go back twice won't by waiting; the offline ones are handed on at the deadline.
        waiting = [n for n in open_ if not notes.get(n, "").startswith("going back failed")]
        context.heartbeat({"restored": len(restored), "open": len(open_), "blocked": len(blocked)})
        if not waiting and not _moving(stage, reports) and turn > 1:
            break
        if context.now() >= deadline or context.cancelled():
            break
        await context.sleep(pause)
    return {
        "stage": stage["name"], "restored": sorted(restored), "blocked": sorted([n, r] for n, r in blocked.items()),
        "unreachable": sorted([n, notes.get(n, "did not report in time")] for n in wanted - restored),
        "stopped": sorted(told_off - wanted), "found_back": _found_back(context, stage, robots, reports, restored),
        "at": context.now(), "took_s": context.now() - began,
    }  # fmt: skip


def _found_back(
    context: Context,
    stage: Mapping[str, Json],
    robots: Mapping[str, Robot],
    reports: Mapping[str, InstallReport],
    restored: set[str],
) -> list[str]:
    """Robots that run what they ran before, when an earlier try was cut short: some of them may have gone back in it. Which
    of them ever left is known to whoever recorded the stage's installs."""
    if not context.recovered and context.attempt == 1:
        return []
    under_way = {r.robot for r in reports.values() if r.state in ("downloading", "installing")}
    return sorted(
        name
        for name in stage["robots"]
        if name not in restored
        and name not in under_way
        and runs_of(robots.get(name), reports.get(name)) == origin_of(stage, name)
    )


def _one_way(stage: Mapping[str, Json], name: str) -> str:
    """Why a robot is not sent back to where an incident fetched it from."""
    bad = stage.get("away_from")
    return f"stays: it came from {bad}, which an incident is about" if bad and origin_of(stage, name) == bad else ""


def _moving(stage: Mapping[str, Json], reports: Mapping[str, InstallReport]) -> bool:
    """Whether an install of the bad version is still running on a robot of the stage."""
    return any(r.desired == stage["version"] and r.state in ("downloading", "installing") for r in reports.values())


async def _doubtful(call: Any) -> None:
    """Sent and not answered is fine here: the next turn reads what became of it."""
    try:
        await call
    except InDoubt:
        return
    except ActionError as error:
        if not error.retryable:
            raise


def phrase(count: int, sites: Sequence[str]) -> str:
    """What has to be typed before robots are sent back: made from what would be touched."""
    return f"rollback {count} {sites[0] if len(sites) == 1 else f'{len(sites)}-sites' if sites else ''}".strip()
