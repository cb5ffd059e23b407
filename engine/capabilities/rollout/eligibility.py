"""May this robot be updated now, and could it go back? (domain sections 2 and 6, after VDA 5050 operating modes)

Pure. A reason is a sentence; an empty one means yes. The way back is asked before anything is installed: a bootloader
that never goes below a version, or a previous release its owner no longer holds, is found here and not at 03:00.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from engine.capabilities.ports import Release, Robot

Json = Any

OFFLINE_MODES = frozenset({"OFFLINE", "CONNECTION_BROKEN"})

_MODES = {
    "AUTOMATIC": "",
    "SEMIAUTOMATIC": "semiautomatic: a person is steering part of the work",
    "INTERVENED": "a person has taken over",
    "MANUAL": "in manual mode: a person is on it",
    "TEACH_IN": "being taught: a person is on it",
    "SERVICE": "in service: needs the technician's acknowledgement",
    "STARTUP": "starting up: its state may be invalid",
    "UNKNOWN": "does not report its operating mode",
}


def offline(robot: Robot | None) -> bool:
    return robot is None or not robot.online or robot.mode in OFFLINE_MODES


def install_refusal(robot: Robot, *, min_battery: float) -> str:
    """Why the robot can't be updated at this moment. Everything that is not clearly allowed is refused."""
    if offline(robot):
        return "offline"
    reason = _MODES.get(robot.mode, f"operating mode {robot.mode} is not known to allow an install")
    if reason:
        return reason
    if robot.pinned:
        return "pinned at the update server"
    if robot.busy:
        return "working: an install waits until it is idle"
    if robot.battery is None:
        return "battery not reported"
    if robot.battery < min_battery and not robot.charging:
        return f"battery {robot.battery:.0%}, below {min_battery:.0%} and not charging"
    return ""


def steady(reason: str) -> str:
    """A reason without its changing number, so that reasons can be counted and a falling battery is no news."""
    return "battery low and not charging" if reason.startswith("battery ") and "below" in reason else reason


def incompatibility(robot: Robot, release: Release) -> str:
    """Why the release is not for this robot. A release that names no hardware is for all."""
    if not release.models:
        return ""
    for model in release.models:
        name, _, revision = model.rpartition("/")
        if robot.variant in (model, revision) or (name and robot.variant == name):
            return ""
    return f"release {release.version} is for {', '.join(release.models[:4])}, not for {robot.variant or 'unknown hardware'}"


def rollback_refusal(robot: Robot, previous: str, releases: Sequence[Release]) -> str:
    """Why the robot can't go back to `previous`."""
    if not previous:
        return "its present version is not known"
    if not any(r.version == previous for r in releases):
        return f"the update server no longer holds {previous}"
    if robot.rollback_floor and newer(robot.rollback_floor, previous):
        return f"bootloader refuses versions below {robot.rollback_floor}, previous is {previous}"
    return ""


def newer(a: str, b: str) -> bool:
    """Whether version a stands above b: numbers by value; a pre-release stands below its release."""
    return version_key(a) > version_key(b)


def version_key(version: str) -> tuple[tuple[int, ...], int, str]:
    main, dash, tail = version.lstrip("vV").partition("-")
    numbers = [int(part) for part in re.findall(r"\d+", main)[:6]]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), 0 if dash else 1, tail


def preflight(
    *, robots: Mapping[str, Robot], cohort: Mapping[str, Json], releases: Sequence[Release], desired: Mapping[str, str],
    follows: Mapping[str, str], min_battery: float, min_disk: int,
    claimed: Mapping[str, str] | None = None,
) -> dict[str, Json]:  # fmt: skip
    """One look at every robot. `problems` stop the rollout, `blocked` can't be undone, `later` will wait at first."""
    release = next((r for r in releases if r.version == cohort["version"]), None)
    problems: list[dict[str, Json]] = []
    blocked: list[dict[str, Json]] = []
    later: dict[str, int] = {}
    feasible = ready = 0
    for name in cohort["robots"]:
        robot = robots.get(name)
        if robot is None or release is None:
            problems.append(
                {"robot": name, "reason": "no longer in the fleet" if robot is None else "the release is gone"}
            )
            continue
        previous = cohort["origin"].get(name, cohort["previous"])
        target = desired.get(name, "")
        for reason in (
            incompatibility(robot, release),
            f"un-pinned target: follows {follows[name]} by itself" if follows.get(name) else "",
            f"another update is under way: {target}"
            if target and target not in (robot.version, cohort["version"])
            else "",
            f"bootloader refuses versions below {robot.rollback_floor}"
            if robot.rollback_floor and newer(robot.rollback_floor, release.version)
            else "",
            _disk(robot, release, min_disk),
            (claimed or {}).get(name, ""),
        ):
            if reason:
                problems.append({"robot": name, "reason": reason})
        if refusal := rollback_refusal(robot, previous, releases):
            blocked.append({"robot": name, "reason": refusal, "site": robot.site, "variant": robot.variant})
        else:
            feasible += 1
        if wait := install_refusal(robot, min_battery=min_battery):
            later[steady(wait)] = later.get(steady(wait), 0) + 1
        else:
            ready += 1
    return {
        "ok": not problems, "checked": len(cohort["robots"]), "ready": ready, "later": later, "problems": problems[:200],
        "problem_count": len(problems), "rollback": {"feasible": feasible, "blocked": len(blocked), "to_version": cohort["previous"]},
        "blocked": blocked[:200],
    }  # fmt: skip


def _disk(robot: Robot, release: Release, spare: int) -> str:
    needed = release.size_b + spare
    if robot.disk_free_b is None or robot.disk_free_b >= needed:
        return ""
    return f"disk: {robot.disk_free_b} B free, {needed} B needed"
