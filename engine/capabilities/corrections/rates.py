"""Rates of interventions: exact bounds, spikes against a baseline, and the effect of a release. Values in, values out.

Formulas (domain section 3): exact Poisson bounds by the gamma/chi-square relation, here by bisection of the tail; a spike
is a Poisson tail of at most `spike_p`, or an e-process of at least `spike_e` (Ville: at most 5 % false alarms, ever).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from engine.core.statistics import Moment, binomial_tail, canary_e, rate_ratio, rate_upper

Json = Any
PER = 100.0
"""Rates are told per 100 robot-hours."""


class Stretch(Struct, frozen=True):
    """A robot operating on one version and task: UTC epoch seconds, and the times of its interventions."""

    robot: str
    site: str
    version: str
    task: str
    start: float
    end: float
    events: tuple[float, ...] = ()

    @property
    def hours(self) -> float:
        return max(0.0, self.end - self.start) / 3600


def poisson_tail(k: int, mean: float) -> float:
    """P(X >= k) (`scipy.stats.poisson.sf(k-1, mean)`), summed on the side that keeps the digits."""
    if k <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    if k <= mean:
        term = total = math.exp(-mean)
        for i in range(1, k):
            term *= mean / i
            total += term
        return max(0.0, 1.0 - total)
    term = math.exp(-mean + k * math.log(mean) - math.lgamma(k + 1))
    total, i = term, k
    while term > total * 1e-17 and i < k + 10_000:
        i += 1
        term *= mean / i
        total += term
    return min(1.0, total)


def spike_at(mean: float, p: float) -> int:
    """The smallest count whose tail is at most `p` (mean 1 -> 6, 2 -> 9, 5 -> 14 at .001)."""
    k = max(1, math.floor(mean))
    while poisson_tail(k, mean) > p:
        k += 1
    return k


def rate_lower(events: int, hours: float, confidence: float = 0.95) -> float:
    """Exact one-sided lower bound of a Poisson rate per hour. No event or no exposure: 0."""
    if events <= 0 or not hours > 0:
        return 0.0
    alpha, low, high = 1 - confidence, 0.0, float(events)
    for _ in range(100):
        middle = (low + high) / 2
        if poisson_tail(events, middle) < alpha:
            low = middle
        else:
            high = middle
    return low / hours


def rate(events: int, hours: float) -> tuple[float | None, float | None, float | None]:
    """Rate per 100 robot-hours with its one-sided 95 % bounds; None without exposure."""
    if not hours > 0:
        return None, None, None
    return PER * events / hours, PER * rate_lower(events, hours), PER * rate_upper(events, hours)


class Spike(Struct, frozen=True, kw_only=True):
    """What was seen in a window against what was to be expected. `says` is for people."""

    k: int
    expected: float
    needed: int
    p: float | None
    e: float | None
    exposure_h: float
    baseline_n: int
    baseline_h: float
    alarm: bool
    says: str


def spike(
    stretches: Sequence[Stretch], *, version: str, site: str, start: float, end: float, policy: Mapping[str, Json]
) -> Spike:
    """Interventions of `version` at `site` in the window, against the same hours of the days before.

    The baseline is every other stretch at the site in the look-back whose time of day lies in the window's hours (all of
    them when those hours have too little); with less than `baseline_min_h` it is the policy's own number, and that is said.
    `p` is the worse of the Poisson tail at the baseline's rate and of the exact conditional test (`rate_ratio`'s): where the
    baseline is long they agree, where it is short the second one doubts it.
    """
    here = [s for s in stretches if s.site == site]
    now = [s for s in here if s.version == version and s.end > start and s.start < end]
    hours = sum(_overlap(s, start, end) for s in now)
    k = sum(start <= t < end for s in now for t in s.events)
    before = [s for s in here if s.start < start and s.end <= start and s.start >= start - float(policy["look_back"])]
    before += [s for s in here if s.version != version and s.end > start and s.start < end]
    same = [s for s in before if _same_hours(s.start, start, end)]
    least = float(policy["baseline_min_h"])
    used = same if sum(s.hours for s in same) >= least else before
    base_n, base_h = sum(len(s.events) for s in used), sum(s.hours for s in used)
    if base_h >= least:
        mean = base_n / base_h * hours
        told = f"{base_n} in {base_h:.1f} h{' at these hours' if used is same else ''} before"
    else:
        mean = float(policy["baseline_per_100h"]) / PER * hours
        told = f"policy: {policy['baseline_per_100h']:g} per 100 h, too little seen before ({base_h:.1f} h)"
    p = poisson_tail(k, mean) if hours > 0 else None
    if p is not None and base_h >= least:  # a baseline of few hours is itself uncertain: the exact test knows how few
        p = max(p, binomial_tail(k, k + base_n, hours / (hours + base_h)))
    e = _watch(here, version, start, end, float(policy["spike_rho0"]))
    needed = spike_at(mean, float(policy["spike_p"])) if hours > 0 else 0
    by_tail = p is not None and k >= 2 and p <= float(policy["spike_p"])
    alarm = by_tail or (e is not None and k >= 2 and e >= float(policy["spike_e"]))
    says = f"{k} in {hours:.1f} robot-h, {mean:.2g} expected ({told})"
    return Spike(
        k=k,
        expected=mean,
        needed=needed,
        p=p,
        e=e,
        exposure_h=hours,
        baseline_n=base_n,
        baseline_h=base_h,
        alarm=alarm,
        says=says,
    )


def _overlap(one: Stretch, start: float, end: float) -> float:
    return max(0.0, min(one.end, end) - max(one.start, start)) / 3600


def _same_hours(at: float, start: float, end: float) -> bool:
    """Whether the time of day of `at` lies in the window's hours (UTC)."""
    day = 86_400.0
    if end - start >= day:
        return True
    first, last, moment = start % day, end % day, at % day
    return first <= moment <= last if first <= last else moment >= first or moment <= last


def _watch(here: Iterable[Stretch], version: str, start: float, end: float, rho0: float) -> float | None:
    """The e-process of this version against all others at the site, each event with who was operating just then."""
    near = [s for s in here if s.end > start and s.start < end]
    times = sorted((t, s.version == version) for s in near for t in s.events if start <= t < end)
    moments = []
    for t, mine in times:
        operating = [s for s in near if s.start <= t <= s.end]
        count = len({s.robot for s in operating if s.version == version})
        moments.append(Moment(mine, count, len({s.robot for s in operating if s.version != version})))
    if not any(m.exposed_c and m.exposed_b for m in moments):
        return None
    return max(canary_e(moments, rho0))


class Measured(Struct, frozen=True, kw_only=True):
    """The rate ratio of after to before, and the word that may be used for it."""

    word: str
    sentence: str
    ratio: float | None
    low: float | None
    high: float | None
    p: float | None
    needed_h: float


def effect(
    *, before_n: int, before_h: float, after_n: int, after_h: float, over: bool, policy: Mapping[str, Json]
) -> Measured:
    """Whether a cluster became rarer on its own task.

    CONFIRMED when the one-sided 95 % upper bound of the ratio is below `effect_ratio`. NOT_FIXED only once the task was
    run long enough that the old rate would have given `effect_expected` events; a task that stopped running is never
    "fixed": it stays PENDING, and INCONCLUSIVE when time is up (`over`).
    """
    limit, wanted = float(policy["effect_ratio"]), float(policy["effect_expected"])
    if not (before_n > 0 and before_h > 0):
        word = "INCONCLUSIVE" if over else "PENDING"
        return Measured(
            word=word,
            sentence="no rate from before the release to compare with",
            ratio=None,
            low=None,
            high=None,
            p=None,
            needed_h=0.0,
        )
    needed = wanted / (before_n / before_h)
    found = rate_ratio(after_n, after_h, before_n, before_h, limit)
    told = f"{after_n} in {after_h:.1f} robot-h of the task, before {before_n} in {before_h:.1f} h"
    if found.ratio is None or found.high is None:
        word = "INCONCLUSIVE" if over else "PENDING"
        reason = "the task has not run since" if not after_h > 0 else "nothing to compare"
        return Measured(
            word=word, sentence=f"{reason}: {told}", ratio=None, low=None, high=None, p=None, needed_h=needed
        )
    bounds = f"ratio {found.ratio:.2f} [{found.low:.2f} {found.high:.2f}]"
    if found.high < limit:
        word, reason = "CONFIRMED", "fewer than before"
    elif after_h >= needed:
        word, reason = "NOT_FIXED", "not shown fewer than before"
    else:
        word = "INCONCLUSIVE" if over else "PENDING"
        reason = f"{after_h:.1f} of {needed:.1f} robot-h needed"
    return Measured(
        word=word,
        sentence=f"{reason}: {told}, {bounds}",
        ratio=found.ratio,
        low=found.low,
        high=found.high,
        p=found.p,
        needed_h=needed,
    )
