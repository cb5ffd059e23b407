"""Who is affected: the robots that run the version and can be asked, and those that may and can't. Pure.

The list is frozen with its digest for a decision, and computed again before anything is done: a difference stops. Who
can't be asked stays in the cohort under a standing rule until it was seen; a list made once would forget the robot that
wakes with the bad version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from engine.capabilities.ports import InstallReport, Robot
from engine.capabilities.rollout.eligibility import offline
from engine.capabilities.rollout.selector import Selector
from engine.core.verdicts import digest_of

Json = Any


class Scope(Struct, frozen=True, kw_only=True):
    """`affected` run it and can be reached; `unsure` with the reason; `digest` over version, query and affected robots."""

    affected: tuple[str, ...]
    unsure: tuple[tuple[str, str], ...]
    sites: tuple[str, ...]
    digest: str
    on_version: int = 0


def resolve(
    *, version: str, selector: str, involved: Sequence[str], robots: Sequence[Robot], reports: Mapping[str, InstallReport]
) -> Scope:  # fmt: skip
    """`artifact ∧ selector`; without a known version, the robots that were involved. Raises ActionError `BadSelector`."""
    chosen = Selector(selector).select(robots) if selector and selector != "all" else sorted(robots, key=lambda r: r.id)
    affected: list[str] = []
    unsure: list[tuple[str, str]] = []
    for robot in chosen:
        report = reports.get(robot.id)
        if not version:
            if robot.id in involved:
                (unsure.append((robot.id, "offline")) if offline(robot) else affected.append(robot.id))
            continue
        reason = standing(robot, report, version)
        if reason == "affected":
            affected.append(robot.id)
        elif reason:
            unsure.append((robot.id, reason))
    by_id = {robot.id: robot for robot in robots}
    sites = sorted({by_id[name].site for name in affected if by_id[name].site})
    return Scope(
        affected=tuple(affected), unsure=tuple(unsure), sites=tuple(sites), digest=digest(version, selector, affected),
        on_version=len(affected) + sum(1 for _, why in unsure if "runs it" in why),
    )  # fmt: skip


def standing(robot: Robot, report: InstallReport | None, version: str) -> str:
    """`affected`, why it is not sure, or nothing: then it is not concerned."""
    runs = robot.version or (report.reported if report is not None else "")
    away = offline(robot)
    if runs == version:
        return "offline; as far as is known it runs it" if away else "affected"
    told = report is not None and report.desired == version
    if told and report is not None and report.state in ("downloading", "installing"):
        return "it is installing it"
    if told and away:
        return "offline; it was told to install it"
    if not runs:
        return "its version is not known"
    return ""


def digest(version: str, selector: str, affected: Sequence[str]) -> str:
    """What a decision about these robots binds to."""
    return digest_of({"version": version, "selector": selector, "robots": sorted(affected)})
