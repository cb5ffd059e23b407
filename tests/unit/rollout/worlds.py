"""Small seeded worlds of robots, for verdict tests: Poisson events at a rate per robot-hour."""

from __future__ import annotations

import random

from engine.core.health import Bucket, Rules, Track, Window


def track(
    robot: str, *, hours: float = 24.0, rate: float = 0.0, rng: random.Random, heard: float = 1.0, **more: object
) -> Track:
    moments, t = [], 0.0
    while rate > 0:
        t += rng.expovariate(rate)
        if t > hours:
            break
        moments.append(t * 3600)
    fields = {
        "robot": robot,
        "stratum": "HAM2/rev-B",
        "hours": hours,
        "heard": heard * 100,
        "expected": 100.0,
        "tasks": 40.0,
    }
    return Track(**{**fields, "moments": {"interventions": tuple(moments)}, **more})  # type: ignore[arg-type]


def window(
    *,
    ratio: float,
    seed: int,
    hours: float = 24.0,
    canaries: int = 10,
    controls: int = 45,
    heard: float = 1.0,
    rate: float = 0.06,
) -> Window:
    rng = random.Random(seed)
    canary = tuple(track(f"c{i}", hours=hours, rate=rate * ratio, rng=rng, heard=heard) for i in range(canaries))
    control = tuple(track(f"b{i}", hours=hours, rate=rate, rng=rng) for i in range(controls))
    buckets = tuple(Bucket((i + 1) * 300.0, canaries / 12, controls / 12) for i in range(int(hours * 12)))
    return Window(stage="canary", since=0.0, until=hours * 3600, canary=canary, control=control, buckets=buckets)


def rules(**more: object) -> Rules:
    fields: dict[str, object] = {
        "soak_until": 24 * 3600.0,
        "ratio_limit": 3.0,
        "expected_events": 6.0,
        "baseline_per_100h": 6.0,
        "critical": ("localisation lost",),
    }
    return Rules(**{**fields, **more})  # type: ignore[arg-type]
