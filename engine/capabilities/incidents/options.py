"""The options matrix: six ways out, each with the robots it reaches, those it doesn't and why, and how long it takes. Pure.

A rollback may be impossible, and is found to be so here and not when the key is pressed: a bootloader that refuses, a
release that its owner no longer holds, a target that is itself withdrawn. Robots on hold are in no option.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from engine.capabilities.ports import Release, Robot
from engine.capabilities.rollout.eligibility import incompatibility, newer, offline, rollback_refusal, version_key
from engine.capabilities.rollout.undo import phrase as typed
from engine.contract.incidents import OPTION_KINDS, OptionRow

Json = Any
WORDS = {
    "rollback": "rollback",
    "forward": "forward",
    "hotfix": "hotfix",
    "config": "config",
    "restrict": "restrict",
    "monitor": "monitor",
}


class Ground(Struct, frozen=True, kw_only=True):
    """What the matrix is computed from. `held` and `leased`: robot -> reason. `barred`: version -> why nobody may install
    it. `healthy`: version -> variants on which robots work with it now. `can`: further things this installation can do.
    """

    version: str
    previous: str
    forward: str
    hotfix: str
    sev: int
    affected: Sequence[str]
    unsure: Sequence[str]
    robots: Mapping[str, Robot]
    releases: Sequence[Release]
    held: Mapping[str, str]
    leased: Mapping[str, str]
    barred: Mapping[str, str]
    healthy: Mapping[str, frozenset[str]]
    can: frozenset[str]
    loss: Mapping[str, str]
    policy: Mapping[str, Json]


def matrix(ground: Ground) -> tuple[OptionRow, ...]:
    """All six, always, in the order of the table."""
    makers = {
        "rollback": lambda: _install(ground, "rollback", ground.previous, f"rollback {ground.previous or 'N-1'}"),
        "forward": lambda: _install(ground, "forward", ground.forward, f"{ground.previous or 'old content'} as {ground.forward or 'N+1'}"),
        "hotfix": lambda: _install(ground, "hotfix", ground.hotfix, f"hotfix {ground.hotfix}".strip()),
        "config": lambda: _config(ground),
        "restrict": lambda: _restrict(ground),
        "monitor": lambda: _monitor(ground),
    }  # fmt: skip
    return tuple(makers[kind]() for kind in OPTION_KINDS)


def previous_of(version: str, robots: Sequence[Robot], releases: Sequence[Release]) -> str:
    """The version before: what most other robots run if it is older, else the newest older release."""
    older = [
        r.version for r in robots if r.version and r.version != version and (not version or newer(version, r.version))
    ]
    if older:
        return max(sorted(set(older)), key=older.count)
    held = [r.version for r in releases if version and newer(version, r.version)]
    return max(held, key=version_key, default="")


def _install(ground: Ground, kind: str, version: str, title: str) -> OptionRow:
    release = next((r for r in ground.releases if r.version == version), None)
    seats = _seats(ground, kind)
    if not version:
        note = {
            "rollback": "no older version is known",
            "forward": "nobody named a release that carries the old content",
            "hotfix": "no fixed release is named",
        }[kind]
        return OptionRow(
            kind=kind, title=title, of=len(ground.affected), seats=seats, note=note, needs_idle=True, needs_reboot=True
        )
    covered: list[str] = []
    blocked: list[tuple[str, str]] = []
    for name in ground.affected:
        reason = _obstacle(ground, name, version, release, kind)
        (blocked.append((name, reason)) if reason else covered.append(name))
    healthy = ground.healthy.get(version, frozenset())
    variants = {ground.robots[name].variant for name in covered if name in ground.robots}
    unseen = sorted(variants - healthy)
    notes = [f"{count} {why}" for why, count in Counter(_short(why) for _, why in blocked).most_common(2)]
    if kind == "rollback" and covered and unseen:
        notes.append(f"not seen working on {', '.join(unseen[:2])}")
    evidence = "robots work with it now" if healthy and not unseen else "sim only" if kind != "rollback" else "not seen"
    return OptionRow(
        kind=kind, title=title, version=version, feasible=bool(covered), covered=tuple(covered), blocked=tuple(blocked),
        of=len(ground.affected), estimate_s=estimate(ground, covered), needs_idle=True, needs_reboot=True,
        case_valid="yes" if covered and not unseen else "?" if covered else "no", data_loss=ground.loss.get(version, ""),
        evidence=evidence, reversible="yes" if kind != "hotfix" else "by rollback", seats=seats, note="; ".join(notes),
        phrase=_phrase(ground, kind, covered),
    )  # fmt: skip


def _obstacle(ground: Ground, name: str, version: str, release: Release | None, kind: str) -> str:
    robot = ground.robots.get(name)
    if robot is None:
        return "no longer in the fleet"
    if name in ground.held:
        return ground.held[name]
    if version in ground.barred:
        return ground.barred[version]
    if release is None:
        return (
            f"the update server no longer holds {version}"
            if kind == "rollback"
            else f"the update server has no {version}"
        )
    if reason := incompatibility(robot, release):
        return reason
    if kind == "rollback" and (reason := rollback_refusal(robot, version, ground.releases)):
        return reason
    if robot.rollback_floor and newer(robot.rollback_floor, version):
        return f"bootloader refuses versions below {robot.rollback_floor}"
    if name in ground.leased:
        return ground.leased[name]
    if offline(robot):
        return "offline"
    return ""


def _short(reason: str) -> str:
    """A reason as it stands in a column."""
    for word, short in (
        ("bootloader", "index-block"),
        ("hold", "on hold"),
        ("no longer holds", "not in the store"),
        ("offline", "offline"),
        ("lease", "under control"),
    ):
        if word in reason:
            return short
    return reason


def estimate(ground: Ground, names: Sequence[str]) -> float | None:
    """Seconds until `share` of the robots are done: poll interval + Σ(download, install, reboot) / concurrency."""
    robots = [ground.robots[name] for name in names if name in ground.robots]
    if not robots:
        return None
    rules = ground.policy["estimate"]
    each = rules["download_s"] + rules["install_s"] + rules["reboot_s"]
    size = Counter(robot.site for robot in ground.robots.values())
    together = sum(
        max(1, math.floor(ground.policy["site_concurrency"] * size[site])) for site in {r.site for r in robots}
    )
    rounds = math.ceil(rules["share"] * len(robots) / max(1, together))
    return float(max(robot.poll_s for robot in robots) + each * rounds)


def _config(ground: Ground) -> OptionRow:
    able = "config" in ground.can
    free = [name for name in ground.affected if name not in ground.held] if able else []
    note = "sim only" if able else "no configuration service is connected"
    return OptionRow(
        kind="config", title="feature or setting off", feasible=bool(free), covered=tuple(free), of=len(ground.affected),
        estimate_s=60.0 if free else None, case_valid="?", evidence="sim only" if able else "", reversible="yes",
        seats=_seats(ground, "config"), note=note, phrase=_phrase(ground, "config", free),
    )  # fmt: skip


def _restrict(ground: Ground) -> OptionRow:
    """Out of dispatch: the one restriction that needs nothing but our own records, so it also reaches who is offline."""
    everyone = [*ground.affected, *ground.unsure]
    free = [name for name in everyone if name not in ground.held]
    blocked = tuple((name, ground.held[name]) for name in everyone if name in ground.held)
    return OptionRow(
        kind="restrict", title="out of dispatch", feasible=bool(free), covered=tuple(free), blocked=blocked, of=len(everyone),
        estimate_s=60.0 if free else None, case_valid="yes", evidence="always", reversible="yes", seats=_seats(ground, "restrict"),
        note=f"-{len(free)} robots of output", phrase=_phrase(ground, "restrict", free),
    )  # fmt: skip


def _monitor(ground: Ground) -> OptionRow:
    grave = 0 < ground.sev <= 1
    return OptionRow(
        kind="monitor", title="go on and watch", feasible=not grave, covered=() if grave else tuple(ground.affected),
        of=len(ground.affected), estimate_s=0.0, case_valid="?", evidence="", reversible="yes", seats=_seats(ground, "monitor"),
        note="not at SEV-1" if grave else "changes nothing", phrase=_phrase(ground, "monitor", ground.affected),
    )  # fmt: skip


def _seats(ground: Ground, kind: str) -> int:
    return int(ground.policy["approvals"][kind]) + (int(ground.policy["sev1_extra"]) if ground.sev == 1 else 0)


def _phrase(ground: Ground, kind: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    sites = sorted({ground.robots[n].site for n in names if n in ground.robots and ground.robots[n].site})
    return typed(len(names), sites).replace("rollback", WORDS[kind], 1)
