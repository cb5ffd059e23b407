"""How reliable a robot has been: hours after SEMI E10 as far as they are known, MTBF and MTTR with exact bounds. Pure.

With exponential times the bounds are chi-square quantiles: for `n` failures in `T` hours MTBF lies between
2T / chi2(.975, 2n + 2) and 2T / chi2(.025, 2n); MTTR of `n` repairs lasting `S` hours together between
2S / chi2(.975, 2n) and 2S / chi2(.025, 2n).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.contract.cases import CaseView, Reliability

HOUR = 3_600.0
DAY = 86_400.0


def reliability(
    robot: str,
    mode: str,
    cases: Sequence[CaseView],
    *,
    now: float,
    window_s: float,
    productive_h: float | None,
    confidence: float = 0.95,
) -> Reliability:
    """What the robot's cases and counters say about the window that ends now. `productive_h` None: its counters were not
    readable, so nothing is said that rests on them."""
    start = now - window_s
    mine = [
        one for one in cases if one.robot == robot and one.created_at >= start
        and one.state not in ("duplicate", "cancelled")
    ]  # fmt: skip
    failures = [one for one in mine if one.cause != "no_fault_found"]
    repairs = [one.downtime_h for one in failures if one.downtime_h > 0]
    unscheduled = sum(_down_h(one, start, now) for one in failures)
    scheduled = sum(_down_h(one, start, now) for one in mine if one.source == "preventive")
    unscheduled -= sum(_down_h(one, start, now) for one in failures if one.source == "preventive")
    total = window_s / HOUR
    down = unscheduled + scheduled
    n = len([one for one in failures if one.source != "preventive"])
    mtbf = low = high = None
    if productive_h is not None and productive_h > 0:
        mtbf = productive_h / n if n else None
        low = 2 * productive_h / chi2_quantile(0.5 + confidence / 2, 2 * n + 2)
        high = 2 * productive_h / chi2_quantile(0.5 - confidence / 2, 2 * n) if n else None
    mttr = mttr_low = mttr_high = None
    if repairs:
        spent = sum(repairs)
        mttr = spent / len(repairs)
        mttr_low = 2 * spent / chi2_quantile(0.5 + confidence / 2, 2 * len(repairs))
        mttr_high = 2 * spent / chi2_quantile(0.5 - confidence / 2, 2 * len(repairs))
    return Reliability(
        window_d=window_s / DAY,
        n=n,
        productive_h=productive_h,
        standby_h=None if productive_h is None else max(0.0, total - down - productive_h),
        scheduled_down_h=scheduled,
        unscheduled_down_h=unscheduled,
        availability=max(0.0, 1 - down / total) if total else None,
        mtbf_h=mtbf,
        mtbf_low_h=low,
        mtbf_high_h=high,
        mttr_h=mttr,
        mttr_low_h=mttr_low,
        mttr_high_h=mttr_high,
        same_mode=sum(one.mode == mode for one in mine) if mode else 0,
    )


def _down_h(case: CaseView, start: float, now: float) -> float:
    """Hours of the window in which the case kept the robot from work; what only looked at it cost nothing."""
    if not case.dispatch_hold and not case.downtime_h:
        return 0.0
    end = case.closed_at or now
    return max(0.0, min(end, now) - max(case.created_at, start)) / HOUR


def chi2_quantile(p: float, k: int) -> float:
    """The p-quantile of a chi-square variable with k degrees of freedom (k even or odd, k >= 1), by bisection."""
    if not 0 < p < 1 or k < 1:
        raise ValueError(f"no {p}-quantile of chi-square with {k} degrees of freedom")
    low, high = 0.0, float(k) + 10.0
    while chi2_cdf(high, k) < p:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if chi2_cdf(middle, k) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def chi2_cdf(x: float, k: int) -> float:
    """Regularised lower incomplete gamma P(k/2, x/2): the series below its mean, Lentz's continued fraction above."""
    a, z = k / 2, x / 2
    if z <= 0:
        return 0.0
    scale = math.exp(a * math.log(z) - z - math.lgamma(a))
    if z < a + 1:
        term = total = 1 / a
        n = a
        while abs(term) > abs(total) * 1e-15:
            n += 1
            term *= z / n
            total += term
        return total * scale
    tiny = 1e-300
    b = z + 1 - a
    c, d = 1 / tiny, 1 / b
    h = d
    for i in range(1, 10_000):
        an = -i * (i - a)
        b += 2
        d = 1 / (an * d + b or tiny)
        c = b + an / c or tiny
        step = d * c
        h *= step
        if abs(step - 1) < 1e-15:
            break
    return 1 - scale * h
