"""Freezing: a selector becomes an immutable list with a digest, and the list becomes stages. Pure.

The order of robots is drawn from the digest of what was selected, so the same selection always gives the same stages,
nobody can pick the canary by hand, and another release picks other canaries. Robots that were offline at the freeze
stand last in every stratum: a canary that can't take the update measures nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from engine.capabilities.packs import PackError, merged
from engine.capabilities.ports import ActionError, Release, Robot
from engine.capabilities.rollout.selector import Selector
from engine.core.verdicts import digest_of

Json = Any

_KEEP = (
    "poll",
    "health_every",
    "extend",
    "install_limit",
    "decide",
    "robot_timeout",
    "revert_timeout",
    "straggler_after",
)

_RULES = (
    "rate", "site_concurrency", "min_battery", "min_executed", "min_disk", "install_limit_rate", "min_failures", "e_alarm", "rho0",
    "coverage", "min_control", "max_control", "continuous_p", "continuous_early_p", "continuous_worse", "baseline_per_100h", "min_tasks", "resolution",
    "heartbeat", "signals",
)  # fmt: skip
"""What the later steps need, frozen with the stage: changing the policy never changes an open rollout."""


def freeze(
    *, selector: str, exclude: Sequence[str], version: str, robots: Sequence[Robot], releases: Sequence[Release],
    policy: Mapping[str, Json], now: float, only: Sequence[str] = (), held: Mapping[str, str] | None = None,
    barred: str = "", away_from: str = "",
) -> dict[str, Json]:  # fmt: skip
    """The frozen cohort with its stages. Raises ActionError `BadSelector`, `EmptyCohort`, `NoSuchRelease`, `BadPlan`, `Barred`.

    `only` keeps the selection to robots that were decided on one by one; `held` are robots nobody may touch, with the
    reason; `barred` says why nobody may install this version now. `away_from` is a version an incident is about: robots
    are brought off it, so the way back is closed and robots that run it are no controls.
    """
    if barred:
        raise ActionError("Barred", barred, kind="conflict", retryable=False)
    release = next((r for r in releases if r.version == version), None)
    if release is None:
        known = ", ".join(sorted({r.version for r in releases})[-5:]) or "none"
        raise ActionError(
            "NoSuchRelease",
            f"the update server has no release {version!r}; it has {known}",
            kind="validation",
            retryable=False,
        )
    chosen = Selector(selector).select(robots)
    if only:
        wanted = set(only)
        chosen = [robot for robot in chosen if robot.id in wanted]
    named = [[r.id, "left out by name"] for r in chosen if r.id in exclude]
    there = [[r.id, f"already runs {version}"] for r in chosen if r.id not in exclude and r.version == version]
    told = {robot for robot, _ in (*named, *there)}
    # what nobody expects stands first: lists and messages are cut
    exclusions = [[r.id, held[r.id]] for r in chosen if held and r.id in held and r.id not in told] + named + there
    out = {robot for robot, _ in exclusions}
    members = [r for r in chosen if r.id not in out]
    if not members:
        first = f": {exclusions[0][0]} {exclusions[0][1]}" if exclusions else ""
        raise ActionError(
            "EmptyCohort",
            f"selector {selector!r} leaves no robot to update ({len(exclusions)} excluded{first})",
            kind="validation",
            retryable=False,
        )
    digest = targets_digest(version, release.digest, [r.id for r in members])
    ordered = _drawn(members, digest)
    stages = _stages(ordered, policy)
    previous = _usual([r.version for r in members])
    origin = {r.id: r.version for r in members if r.version != previous}
    position, views = 0, []
    by_id = {r.id: r for r in members}
    for index, (spec, names) in enumerate(stages):
        position += len(names)
        views.append(
            _stage(spec, index, names, policy, by_id)
            | {
                "version": version,
                "release_digest": release.digest,
                "size_b": release.size_b,
                "previous": previous,
                "origin": {n: origin[n] for n in names if n in origin},
                "cohort_digest": digest,
                "through": position,
                "away_from": away_from,
            }
        )
    for view, following in zip(views, [*views[1:], None], strict=True):
        view["next_name"] = following["name"] if following else ""
        view["next_size"] = following["size"] if following else 0
        view["next_fleet_wide"] = following is not None and following["index"] == len(views) - 1
        view["next_summary"] = _summary(following, by_id) if following else None
        view["ask_promotion"] = bool(view["ask_promotion"]) and following is not None
    order = [name for _, names in stages for name in names]
    cohort = {
        "digest": digest,
        "selector": selector,
        "version": version,
        "previous": previous,
        "origin": origin,
        "robots": order,
        "away_from": away_from,
    }
    strata = _strata(members)
    return {
        "digest": digest, "size": len(members), "stage_count": len(views), "frozen_at": now, "cohort": cohort, "stages": views,
        "rest": _stage({"name": "stragglers"}, len(views), order, policy, by_id)
        | {
            "version": version, "release_digest": release.digest, "size_b": release.size_b, "previous": previous, "origin": origin,
            "cohort_digest": digest, "through": position, "away_from": away_from, "install_s": float(policy["stragglers"]), "straggler_after_s": float(policy["stragglers"]) * 2, "poll_s": float(policy["straggler_poll"]), "second_try": True,
        },
        "signoff_s": float(policy["signoff"]), "where": _where(members), "exclusions": exclusions[:50], "excluded": len(exclusions),
        "summary": {
            "digest": digest, "robots": len(members), "selector": selector, "sites": sorted({r.site for r in members}),
            "customers": sorted({r.customer for r in members}), "variants": sorted({r.variant for r in members}),
            "strata": strata, "sample": order[:5], "excluded": len(exclusions), "lookalikes": lookalikes(members)[:20],
        },
        "plan": {
            "version": version, "release": release.name, "digest": release.digest, "previous": previous,
            "stages": [{"name": v["name"], "robots": v["size"], "sites": len(v["sites"]), "soak_h": round(v["soak_s"] / 3600, 2), "rules_out": v["ratio_limit"], "digest": v["targets_digest"]} for v in views],
        },
    }  # fmt: skip


def plan_policy(policy: Mapping[str, Json], plan: Mapping[str, Json]) -> dict[str, Json]:
    """The policy with this rollout's own values. Raises ActionError `BadPlan` naming the key."""
    try:
        return merged(policy, plan, source="plan")
    except PackError as error:
        raise ActionError("BadPlan", str(error), kind="validation", retryable=False) from error


def targets_digest(version: str, release: str, robots: Sequence[str]) -> str:
    """What a decision about these targets binds to."""
    return digest_of({"version": version, "release": release, "robots": sorted(robots)})


def stratum(robot: Robot) -> str:
    return f"{robot.site}/{robot.variant}"


_CONFUSED = ("0OoDQ", "1Il7|", "2Zz", "3B8", "5S6s", "6bG8", "9gq", "uv", "nm", "cC", "-_")
"""Characters that are taken for each other on a screen or a label."""


def lookalikes(robots: Sequence[Robot]) -> list[list[str]]:
    """Pairs of names at one site that one slip turns into each other: two neighbouring characters swapped, one left out, or
    one taken for another that looks like it.

    Any other changed character is no slip: in a site that numbers its robots every name is one digit from ten others,
    and a mark on all of them marks none.
    """
    by_site: dict[str, set[str]] = {}
    for robot in robots:
        by_site.setdefault(robot.site, set()).add(robot.id)
    pairs = {
        tuple(sorted((name, other))) for names in by_site.values() for name in names for other in slips(name) & names
    }
    return [list(pair) for pair in sorted(pairs)]


def slips(name: str) -> set[str]:
    """What one slip of a hand or an eye makes of a name."""
    found = {name[:i] + name[i + 1] + name[i] + name[i + 2 :] for i in range(len(name) - 1)}
    found |= {name[:i] + name[i + 1 :] for i in range(len(name))}
    for i, char in enumerate(name):
        found |= {name[:i] + other + name[i + 1 :] for group in _CONFUSED if char in group for other in group}
    return found - {name}


def _drawn(robots: Sequence[Robot], seed: str) -> list[Robot]:
    def key(robot: Robot) -> tuple[bool, bytes]:
        return not robot.online, hashlib.sha256(f"{seed}/{robot.id}".encode()).digest()

    return sorted(robots, key=key)


def _stages(ordered: Sequence[Robot], policy: Mapping[str, Json]) -> list[tuple[dict[str, Json], list[str]]]:
    """Each stage takes its share of the whole cohort from what is left; a stage that would be empty is left out."""
    total, left, stages = len(ordered), list(ordered), []
    for number, spec in enumerate(policy["stages"]):
        if not left:
            break
        if "select" in spec:
            # a lab is a site of its own: without one the stage does not exist
            pool = [r for r in left if r.site.lower() == "lab" or r.customer.lower() == "lab"]
            taken = pool[: int(spec.get("max", 3))]
        else:
            size = math.ceil(float(spec.get("share", 1.0)) * total)
            size = min(max(size, int(spec.get("min", 1))), int(spec.get("max", total)), len(left))
            last = number == len(policy["stages"]) - 1
            taken = left if last else _spread(left, size, spec)
        if taken:
            names = {r.id for r in taken}
            stages.append((spec, [r.id for r in taken]))
            left = [r for r in left if r.id not in names]
    if left:
        raise ActionError(
            "BadPlan", "the last stage must take all that is left (share: 1.0)", kind="validation", retryable=False
        )
    return stages


def _spread(left: Sequence[Robot], size: int, spec: Mapping[str, Json]) -> list[Robot]:
    """`size` robots in drawn order; a canary takes every variant first and at least `sites` sites."""
    taken: list[Robot] = []
    if spec.get("every_variant"):
        for variant in sorted({r.variant for r in left}):
            options = [r for r in left if r.variant == variant and r not in taken]
            fresh = [r for r in options if r.site not in {t.site for t in taken}]
            taken.append((fresh or options)[0])
    sites = int(spec.get("sites", 1))
    while len({r.site for r in taken}) < sites:
        fresh = [r for r in left if r.site not in {t.site for t in taken}]
        if not fresh:
            break
        taken.append(fresh[0])
    size = max(size, len(taken))
    return [*taken, *(r for r in left if r not in taken)][:size]


def _stage(
    spec: Mapping[str, Json], index: int, names: list[str], policy: Mapping[str, Json], robots: Mapping[str, Robot]
) -> dict[str, Json]:
    soak = float(spec.get("soak", policy["soak"]))
    limit = spec.get("ratio_limit")
    digest = digest_of({"stage": spec["name"], "robots": sorted(names)})
    return {
        "name": str(spec["name"]), "index": index, "robots": names, "size": len(names), "targets_digest": digest,
        "sites": sorted({robots[n].site for n in names}), "soak_s": soak, "settle_s": float(policy["settle"]),
        # room for the last samples after the soak: the verdict itself knows when the soak ends
        "watch_s": soak + float(policy["settle"]) + 2 * float(policy["health_every"]),
        "ratio_limit": float(limit) if limit is not None else None, "expected_events": float(spec.get("expected_events", 0)),
        "auto_rollback": bool(spec.get("auto_rollback", False)), "monitored": bool(spec.get("monitored", False)),
        "ask_promotion": bool(spec.get("ask_promotion", False)), "rules": {key: policy[key] for key in _RULES},
    } | {f"{key.removesuffix('_limit')}_s": float(policy[key]) for key in _KEEP}  # fmt: skip


def _summary(view: Mapping[str, Json], robots: Mapping[str, Robot]) -> dict[str, Json]:
    names = view["robots"]
    return {
        "stage": view["name"], "robots": len(names), "sites": sorted({robots[n].site for n in names}),
        "customers": sorted({robots[n].customer for n in names}), "digest": view["targets_digest"],
    }  # fmt: skip


def _strata(robots: Sequence[Robot]) -> dict[str, int]:
    found: dict[str, int] = {}
    for robot in robots:
        found[stratum(robot)] = found.get(stratum(robot), 0) + 1
    return dict(sorted(found.items()))


def _where(robots: Sequence[Robot]) -> dict[str, dict[str, list[str]]]:
    """Site, variant, robots: who the robots are is frozen with them, whatever a mirror knows later."""
    found: dict[str, dict[str, list[str]]] = {}
    for robot in robots:
        found.setdefault(robot.site, {}).setdefault(robot.variant, []).append(robot.id)
    return found


def _usual(versions: Sequence[str]) -> str:
    return max(sorted(set(versions)), key=versions.count)
