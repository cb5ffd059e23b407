"""Reading the signals of a stage and its controls into the window a verdict looks at.

Counters may restart when a robot boots, so an increase is the sum of its rises. Every robot counts from the end of its
own warm-up; controls count over the same time. Everything is read anew from the metrics server at each look, so late
data takes its place by its own time and the same look can be repeated later.
"""

from __future__ import annotations

import asyncio
import bisect
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.capabilities.ports import Robot, Sample, Signals
from engine.capabilities.rollout.eligibility import offline
from engine.capabilities.rollout.planning import stratum
from engine.core.health import Bucket, Health, Rules, Track, Window, judge

Json = Any
Series = dict[str, list[Sample]]

COARSE = 24
"""Points read of a counter of which only the increase matters."""

PLOT = 32
"""Points of a plot that are kept in a sample."""


def begins(stage: Mapping[str, Json], installed: Mapping[str, Json]) -> dict[str, float]:
    """From when each robot of the stage counts: the end of its warm-up. Robots without a good install don't count."""
    return {
        name: float(memory[3]) + stage["settle_s"]
        for name, memory in installed.items()
        if memory and memory[0] == "healthy" and memory[3]
    }


def controls_for(
    stage: Mapping[str, Json], cohort: Mapping[str, Json], canaries: Sequence[str], robots: Mapping[str, Robot]
) -> list[str]:
    """Robots of the same site and variant that nobody has touched, in an order that no one picks; at most `max_control`."""
    touched = set(cohort["robots"][: stage["through"]])
    strata: dict[str, int] = {}
    for name in canaries:
        if name in robots:
            strata[stratum(robots[name])] = strata.get(stratum(robots[name]), 0) + 1

    def usable(robot: Robot) -> bool:
        return (
            robot.id not in touched
            and bool(robot.version)
            and robot.version not in (stage["version"], stage.get("away_from") or stage["version"])
            and robot.mode not in ("SERVICE", "TEACH_IN")
            and not offline(robot)
        )

    pool = [robot for robot in robots.values() if stratum(robot) in strata and usable(robot)]
    pool.sort(key=lambda robot: hashlib.sha256(f"{cohort['digest']}/control/{robot.id}".encode()).digest())
    return [robot.id for robot in pool[: int(stage["rules"]["max_control"])]]


async def measure(
    signals: Signals, *, stage: Mapping[str, Json], cohort: Mapping[str, Json], installed: Mapping[str, Json],
    robots: Mapping[str, Robot], extensions: int, now: float,
) -> tuple[Health, dict[str, Json]]:  # fmt: skip
    """The verdict now, and the sample to record."""
    since = begins(stage, installed)
    rules = _rules(stage, since, extensions, now)
    canaries = sorted(name for name, start in since.items() if start < now)
    if not canaries:
        window = Window(stage=stage["name"], since=now, until=now, canary=(), control=())
        return _sampled(judge(window, rules), window, stage=stage, rules=rules)
    controls = controls_for(stage, cohort, canaries, robots)
    start = min(since[name] for name in canaries)
    weak = len(controls) < int(stage["rules"]["min_control"])
    own = await _tracks(signals, stage, {name: since[name] for name in canaries}, now, robots)
    if weak:
        told = (
            min(float(m[1]) for m in installed.values() if m and m[0] == "healthy" and m[1])
            if any(m and m[1] for m in installed.values())
            else start
        )
        past = await _tracks(signals, stage, dict.fromkeys(canaries, told - (now - start)), told, robots)
        window = Window(
            stage=stage["name"],
            since=start,
            until=now,
            canary=tuple(own[0]),
            control=tuple(past[0]),
            buckets=(),
            weak=True,
        )
        return _sampled(judge(window, rules), window, stage=stage, rules=rules)
    theirs = await _tracks(signals, stage, dict.fromkeys(controls, start), now, robots)
    heard = [t for t in theirs[0] if t.expected > 0 and t.heard / t.expected >= rules.coverage]
    # A control that is silent is left out rather than trusted; when too few are left the verdict says so.
    kept = {t.robot for t in heard}
    buckets = tuple(
        Bucket(t, sum(c.values()), sum(v for name, v in b.items() if name in kept))
        for t, c, b in _aligned(own[1], theirs[1])
    )
    window = Window(
        stage=stage["name"], since=start, until=now, canary=tuple(own[0]), control=tuple(heard), buckets=buckets
    )
    return _sampled(judge(window, rules), window, stage=stage, rules=rules, silent=len(theirs[0]) - len(heard))


Hours = dict[float, dict[str, float]]
"""Robot-hours operated, by the end of the interval and the robot."""


async def _tracks(
    signals: Signals, stage: Mapping[str, Json], since: Mapping[str, float], now: float, robots: Mapping[str, Robot]
) -> tuple[list[Track], Hours]:
    rules = stage["rules"]
    names, start, step = sorted(since), min(since.values()), float(rules["resolution"])
    described = rules["signals"]
    # One grid for all robots and looks, so that an interval is the same interval in every look.
    first = start // step * step
    coarse = max(step, (now - start) / COARSE)
    events = [*described["rate"], *described["critical"]]
    fine = [described["exposure"], *(s["metric"] for s in events)]
    rough = [described["heartbeats"], described["tasks"], *(s["total"] for s in described["continuous"])]
    found = await asyncio.gather(
        *(signals.range(metric, first, now, step, names) for metric in fine),
        *(
            signals.range(metric, now - coarse * (int((now - first) / coarse) + 1), now, coarse, names)
            for metric in rough
        ),
    )
    by_metric: dict[str, Series] = dict(zip([*fine, *rough], found, strict=True))
    tracks: list[Track] = []
    hours: Hours = {}
    for name in names:
        begin = since[name]
        operated = 0.0
        for t, rise in rises(by_metric[described["exposure"]].get(name, ()), begin):
            operated += rise / 3600
            hours.setdefault(t, {})[name] = rise / 3600
        moments: dict[str, tuple[float, ...]] = {}
        for signal in events:
            times: list[float] = []
            for t, rise in rises(by_metric[signal["metric"]].get(name, ()), begin):
                times += [t] * min(1000, round(rise))
            if times:
                moments[signal["name"]] = tuple(times)
        tasks = increase(by_metric[described["tasks"]].get(name, ()), begin)
        levels = {}
        for signal in described["continuous"]:
            total = increase(by_metric[signal["total"]].get(name, ()), begin)
            if tasks >= 3 and total > 0:
                levels[signal["name"]] = total / tasks
        expected = max(0.0, (now - begin) / float(rules["heartbeat"]))
        heard = min(expected, increase(by_metric[described["heartbeats"]].get(name, ()), begin))
        tracks.append(
            Track(
                robot=name,
                stratum=stratum(robots[name]) if name in robots else "?",
                hours=operated,
                heard=heard,
                expected=expected,
                tasks=tasks,
                moments=moments,
                levels=levels,
            )
        )
    return tracks, hours


def rises(points: Sequence[Sample], begin: float) -> list[tuple[float, float]]:
    """(time, increase) of a counter between neighbouring points from `begin` on. A fall is a restart from zero. The
    interval in which the warm-up ended belongs to it: what happened there can't be told apart.
    """
    return [
        (point.t, _rise(before, point))
        for before, point in itertools.pairwise(points)
        if before.t >= begin and _rise(before, point) > 0
    ]


def increase(points: Sequence[Sample], begin: float) -> float:
    """How much a steady counter has grown since `begin`. The stretch between `begin` and the nearest points of a coarse grid
    counts at the pace of the interval it lies in, or of the whole when it lies before the first point: a grid is no silence.
    """
    grown = 0.0
    for before, point in itertools.pairwise(points):
        if point.t > begin:
            share = 1.0 if before.t >= begin else (point.t - begin) / (point.t - before.t)
            grown += share * _rise(before, point)
    return grown


def _rise(before: Sample, point: Sample) -> float:
    return point.value - before.value if point.value >= before.value else point.value


def _aligned(canary: Hours, control: Hours) -> list[tuple[float, dict[str, float], dict[str, float]]]:
    return [(t, canary.get(t, {}), control.get(t, {})) for t in sorted({*canary, *control})]


def _rules(stage: Mapping[str, Json], since: Mapping[str, float], extensions: int, now: float) -> Rules:
    rules, described = stage["rules"], stage["rules"]["signals"]
    start = max(since.values()) if since else now
    return Rules(
        soak_until=start + stage["soak_s"] + extensions * stage["extend_s"], ratio_limit=stage["ratio_limit"],
        rate=tuple(s["name"] for s in described["rate"]), critical=tuple(s["name"] for s in described["critical"]),
        continuous=tuple((s["name"], s["unit"], s["worse"]) for s in described["continuous"]),
        expected_events=stage["expected_events"], baseline_per_100h=rules["baseline_per_100h"], min_tasks=rules["min_tasks"],
        e_alarm=rules["e_alarm"], rho0=rules["rho0"], coverage=rules["coverage"], min_control=int(rules["min_control"]),
        continuous_p=rules["continuous_p"], continuous_early_p=rules["continuous_early_p"], continuous_worse=rules["continuous_worse"],
    )  # fmt: skip


def _sampled(
    health: Health, window: Window, *, stage: Mapping[str, Json], rules: Rules, silent: int = 0
) -> tuple[Health, dict[str, Json]]:
    left = max(0.0, rules.soak_until - window.until)
    sample = {
        "stage": stage["name"], "at": window.until, "verdict": msgspec.to_builtins(health.verdict),
        "signals": [msgspec.to_builtins(_rounded(signal)) for signal in health.signals],
        "coverage": round(health.coverage, 4), "coverage_ok": health.coverage_ok, "exposure_h": health.exposure_h,
        "exposure_needed_h": health.exposure_needed_h, "worst": health.worst, "dispersion": _round(health.dispersion),
        "permutation_p": _round(health.permutation_p), "control": health.control + (f"; {silent} silent ones left out" if silent else ""),
        "soak_until": rules.soak_until, "extension_s": left + stage["extend_s"] + 2 * stage["health_every_s"],
        "robots": len(window.canary), "controls": [t.robot for t in window.control][:60] if not window.weak else [],
        "series": series(window, health, rules.rate[0] if rules.rate else ""),
    }  # fmt: skip
    return health, sample


def series(window: Window, health: Health, name: str) -> list[dict[str, Json]]:
    """The plot: both rates per 100 h so far and E, at a few times. Thinned, because every sample is kept for good."""
    if not window.buckets or not name:
        return []
    mine = sorted(t for track in window.canary for t in track.moments.get(name, ()))
    theirs = sorted(t for track in window.control for t in track.moments.get(name, ()))
    times = [t for t, _ in health.e_path]
    points, hours_c, hours_b = [], 0.0, 0.0
    every = max(1, len(window.buckets) // PLOT)
    for number, bucket in enumerate(window.buckets, 1):
        hours_c, hours_b = hours_c + bucket.hours_c, hours_b + bucket.hours_b
        if number % every and number != len(window.buckets):
            continue
        reached = bisect.bisect_right(times, bucket.t)
        points.append(
            {
                "t": bucket.t,
                "canary": _round(100 * bisect.bisect_right(mine, bucket.t) / hours_c) if hours_c else None,
                "control": _round(100 * bisect.bisect_right(theirs, bucket.t) / hours_b) if hours_b else None,
                "e": _round(health.e_path[reached - 1][1]) if reached else 1.0,
            }
        )
    return [{"name": name, "unit": "/100h", "points": points}]


def _rounded(signal: Any) -> Any:
    fields = ("ratio", "low", "high", "e", "coverage")
    return msgspec.structs.replace(signal, **{f: _round(getattr(signal, f)) for f in fields})


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
