"""The statistics a verdict rests on: exact, one-sided at 95 % unless told otherwise, and reproducible to the digit.

Everything is plain arithmetic on values: no sampling without a seed, no dependence on a numeric library, so a verdict
recomputed years later from the recorded inputs is the same verdict. The scipy functions each one equals are named;
the tests hold them equal.

Edge rules (domain section 3): no events at all gives no ratio, only an upper bound; an event at a moment when one arm
had nothing exposed tells nothing about the ratio and is left out of E; missing or negative exposure is no exposure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from statistics import NormalDist, median
from typing import Literal

from msgspec import Struct

Alternative = Literal["greater", "less", "two-sided"]

_EXACT_LIMIT = 20_000
"""Partitions up to which a permutation test counts all of them."""

_EXACT_ARM = 8
"""Size of the smaller arm up to which the Mann-Whitney distribution is counted (scipy's `auto` rule)."""


def beta_cdf(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz). Absolute error about 1e-14."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - beta_cdf(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    value = d
    for m in range(1, 10_000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 + numerator * d
            c = 1.0 + numerator / c
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = c if abs(c) > tiny else tiny
            value *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return front * value / a


def beta_quantile(p: float, a: float, b: float) -> float:
    """Where `beta_cdf` reaches p, by bisection to the last bits."""
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high) or high - low < 1e-15:
            break
        if beta_cdf(a, b, middle) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def binomial_tail(k: int, n: int, p: float) -> float:
    """P(X >= k) of n trials (`scipy.stats.binomtest(k, n, p, 'greater').pvalue`)."""
    if k <= 0:
        return 1.0
    if k > n:
        return 0.0
    return beta_cdf(k, n - k + 1, p)


def cp(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson: a one-sided exact bound on each side of k of n. No trials: (0, 1)."""
    if n <= 0:
        return 0.0, 1.0
    alpha = 1 - confidence
    low = 0.0 if k <= 0 else beta_quantile(alpha, k, n - k + 1)
    high = 1.0 if k >= n else beta_quantile(1 - alpha, k + 1, n - k)
    return low, high


def wilson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval (two-sided), for reading: shorter than the exact one, never outside 0..1."""
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(1 - (1 - confidence) / 2)
    p, z2 = k / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


class Ratio(Struct, frozen=True, kw_only=True):
    """How many times the control's rate the canary's is. `p` tests "at most rho0"; None where nothing can be said."""

    ratio: float | None
    low: float | None
    high: float | None
    p: float | None


def rate_ratio(events_c: int, hours_c: float, events_b: int, hours_b: float, rho0: float = 1.0) -> Ratio:
    """Exact conditional test and one-sided 95 % bounds of the ratio of two rates (events, robot-hours).

    Given the total, the canary's share is binomial, so the bounds are Clopper-Pearson's, transformed. No event, or no
    exposure in an arm: no verdict. No control event: the ratio has no upper bound (infinity), but has a lower one.
    """
    total = events_c + events_b
    if total <= 0 or not (hours_c > 0 and hours_b > 0):
        return Ratio(ratio=None, low=None, high=None, p=None)
    share_low, share_high = cp(events_c, total)
    scale = hours_b / hours_c

    def odds(share: float) -> float:
        return share / (1 - share) * scale if share < 1 else math.inf

    return Ratio(
        ratio=(events_c / hours_c) / (events_b / hours_b) if events_b else math.inf,
        low=odds(share_low),
        high=odds(share_high),
        p=binomial_tail(events_c, total, rho0 * hours_c / (rho0 * hours_c + hours_b)),
    )


def rate_upper(events: int, hours: float, confidence: float = 0.95) -> float:
    """Exact one-sided upper bound of a Poisson rate per hour; with no event it is 3.0/hours. No exposure: infinity."""
    if not hours > 0:
        return math.inf
    alpha = 1 - confidence
    if events == 0:
        return -math.log(alpha) / hours

    def at_most(mean: float) -> float:
        term = total = math.exp(-mean)
        for i in range(1, events + 1):
            term *= mean / i
            total += term
        return total

    low, high = float(events), events + 10 * math.sqrt(events + 1) + 10
    for _ in range(100):
        middle = (low + high) / 2
        if at_most(middle) > alpha:
            low = middle
        else:
            high = middle
    return high / hours


class Moment(Struct, frozen=True):
    """One event of the watch: whose it was, and what was exposed in each arm just then (robots, or robot-hours)."""

    canary: bool
    exposed_c: float
    exposed_b: float


def canary_e(
    events: Iterable[Moment], rho0: float = 1.25, multiples: Sequence[float] = (1.5, 2.0, 3.0, 5.0, 8.0)
) -> list[float]:
    """The e-process "the canary's rate is at most rho0 times the control's", after each event.

    By Ville's inequality the chance that it ever reaches 20 while that holds is at most 5 %, however often it is
    looked at. An event while an arm had nothing exposed leaves it where it was.
    """
    weights = [0.0] * len(multiples)
    path: list[float] = []
    value = 1.0
    for event in events:
        nc, nb = event.exposed_c, event.exposed_b
        if nc > 0 and nb > 0:
            theta = rho0 * nc / (rho0 * nc + nb)
            for i, multiple in enumerate(multiples):
                q = rho0 * multiple * nc / (rho0 * multiple * nc + nb)
                weights[i] += math.log(q / theta) if event.canary else math.log((1 - q) / (1 - theta))
            value = sum(math.exp(min(w, 700.0)) for w in weights) / len(weights)
        path.append(value)
    return path


def bet_e(differences: Sequence[float], delta: float = 0.0) -> list[float]:
    """Betting e-process for paired differences in -1..1, "the mean is at most -delta"; decide when it reaches 20."""
    grid = [0.05 * i / (1 - delta) for i in range(1, 20)]
    logs = [0.0] * len(grid)
    path: list[float] = []
    for x in differences:
        for i, bet in enumerate(grid):
            logs[i] += math.log1p(bet * (x + delta))
        path.append(sum(math.exp(value) for value in logs) / len(grid))
    return path


def permutation(
    canary: Sequence[float], control: Sequence[float], *, resamples: int = 999, seed: int = 7
) -> float | None:
    """P that chance puts the canary robots' mean at least this far above the control robots'.

    All partitions are counted when there are at most 20,000 (`scipy.stats.permutation_test`, `alternative='greater'`);
    else `resamples` seeded ones, counting the observed one as well. None with an empty arm.
    """
    k, pooled = len(canary), [*canary, *control]
    n = len(pooled)
    if k in (0, n):
        return None
    # With the arm sizes fixed, a larger canary sum is a larger difference of means.
    observed = sum(canary) - 1e-12 * max(1.0, abs(sum(canary)))
    if math.comb(n, k) <= _EXACT_LIMIT:
        hits = sum(1 for chosen in combinations(pooled, k) if sum(chosen) >= observed)
        return hits / math.comb(n, k)
    # Knuth's MMIX generator: the same numbers on every machine and Python, so that a verdict can be recomputed.
    state, hits = seed, 0
    for _ in range(resamples):
        for i in range(k):
            state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
            j = i + (state >> 33) % (n - i)
            pooled[i], pooled[j] = pooled[j], pooled[i]
        hits += sum(pooled[:k]) >= observed
    return (hits + 1) / (resamples + 1)


def mann_whitney(x: Sequence[float], y: Sequence[float], alternative: Alternative = "greater") -> float | None:
    """p of the rank test that x lies higher (`scipy.stats.mannwhitneyu`, method `auto`). None with an empty arm.

    Exact when an arm has at most 8 robots and nothing is tied; else normal with tie and continuity correction.
    """
    n, m = len(x), len(y)
    if n == 0 or m == 0:
        return None
    ordered = sorted([*x, *y])
    rank: dict[float, float] = {}
    tie_sum, i = 0, 0
    while i < n + m:
        j = i
        while j + 1 < n + m and ordered[j + 1] == ordered[i]:
            j += 1
        count = j - i + 1
        rank[ordered[i]] = (i + j) / 2 + 1
        tie_sum += count**3 - count
        i = j + 1
    u = sum(rank[value] for value in x) - n * (n + 1) / 2
    if tie_sum == 0 and min(n, m) <= _EXACT_ARM:
        ways = _rank_sums(n, m)
        total = math.comb(n + m, n)
        upper = sum(ways[round(u) :]) / total
        lower = sum(ways[: round(u) + 1]) / total
    else:
        size = n + m
        spread = math.sqrt(n * m / 12 * ((size + 1) - tie_sum / (size * (size - 1))))
        if spread == 0:
            return 1.0
        normal = NormalDist()
        upper = 1 - normal.cdf((u - n * m / 2 - 0.5) / spread)
        lower = normal.cdf((u - n * m / 2 + 0.5) / spread)
    if alternative == "greater":
        return upper
    return lower if alternative == "less" else min(1.0, 2 * min(upper, lower))


def _rank_sums(n: int, m: int) -> list[int]:
    """How many arrangements of n among n+m give each value 0..n*m of U: the Gaussian binomial coefficient."""
    ways = [1] + [0] * (n * m)
    for i in range(1, n + 1):
        for u in range(n * m, m + i - 1, -1):
            ways[u] -= ways[u - m - i]
        for u in range(i, n * m + 1):
            ways[u] += ways[u - i]
    return ways


def hodges_lehmann(x: Sequence[float], y: Sequence[float]) -> float | None:
    """The shift of x against y: the median of all pairwise differences. None with an empty arm."""
    if not x or not y:
        return None
    return median(a - b for a in x for b in y)


def dispersion(robots: Sequence[tuple[float, float]]) -> float | None:
    """How much more robots differ than chance lets them: (events, hours) per robot. 1 = Poisson; None if it has no meaning."""
    exposed = [(x, t) for x, t in robots if t > 0]
    events, hours = sum(x for x, _ in exposed), sum(t for _, t in exposed)
    if len(exposed) < 2 or events == 0:
        return None
    rate = events / hours
    return sum((x - rate * t) ** 2 / (rate * t) for x, t in exposed) / (len(exposed) - 1)


def mcnemar(better: int, worse: int) -> tuple[float, float]:
    """Exact McNemar on discordant pairs: (two-sided p, one-sided p that better is chance)."""
    n = better + worse
    if n == 0:
        return 1.0, 1.0
    one = binomial_tail(better, n, 0.5)
    return min(1.0, 2 * min(one, binomial_tail(worse, n, 0.5))), one


def holm(values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment, in the given order."""
    order = sorted(range(len(values)), key=values.__getitem__)
    adjusted, highest = [0.0] * len(values), 0.0
    for step, index in enumerate(order):
        highest = max(highest, min(1.0, values[index] * (len(values) - step)))
        adjusted[index] = highest
    return adjusted
