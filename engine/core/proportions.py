"""Two success rates side by side, fixed n: tests, interval and read-out (domain section 3.5), in plain arithmetic.

Named beside each is the scipy or statsmodels function it equals; the tests hold them to the published numbers. All tests
are one-sided, "the first arm is better" or "not worse by the margin". An empty arm proves nothing: p is 1.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from engine.core.statistics import wilson

_NORMAL = NormalDist()
_GRID = 256
"""Values of the nuisance parameter that Barnard's maximum is looked for at, before it is refined."""


def newcombe(s1: int, n1: int, s0: int, n0: int, confidence: float = 0.90) -> tuple[float, float]:
    """Newcombe's hybrid score interval of p1 - p0 (`confint_proportions_2indep(method='newcomb', compare='diff')`).

    Two-sided; an empty arm gives (-1, 1). The score method is not used: it raises on ordinary tables.
    """
    if n1 <= 0 or n0 <= 0:
        return -1.0, 1.0
    p1, p0 = s1 / n1, s0 / n0
    low1, high1 = wilson(s1, n1, confidence)
    low0, high0 = wilson(s0, n0, confidence)
    difference = p1 - p0
    low = difference - math.sqrt((p1 - low1) ** 2 + (high0 - p0) ** 2)
    high = difference + math.sqrt((high1 - p1) ** 2 + (p0 - low0) ** 2)
    return max(-1.0, low), min(1.0, high)


def not_worse(s1: int, n1: int, s0: int, n0: int, margin: float) -> float:
    """p that p1 is worse than p0 by the margin or more (`test_proportions_2indep(value=-margin, method='score')`).

    Miettinen-Nurminen: the variance at the maximum of the likelihood under the limit, with the n/(n-1) correction.
    """
    if n1 <= 0 or n0 <= 0:
        return 1.0
    limit = -margin
    n, s = n1 + n0, s1 + s0
    # the cubic of Farrington and Manning for the restricted estimate of p0 under p1 - p0 = limit
    a, b = float(n), (n1 + 2 * n0) * limit - n - s
    c = (n0 * limit - n - 2 * s0) * limit + s
    d = s0 * limit * (1 - limit)
    v = (b / (3 * a)) ** 3 - b * c / (6 * a * a) + d / (2 * a)
    u = math.copysign(math.sqrt(max(0.0, (b / (3 * a)) ** 2 - c / (3 * a))), v)
    if u == 0:
        p0 = -b / (3 * a)
    else:
        angle = (math.pi + math.acos(max(-1.0, min(1.0, v / u**3)))) / 3
        p0 = 2 * u * math.cos(angle) - b / (3 * a)
    p0 = max(0.0, min(1.0, p0))
    p1 = max(0.0, min(1.0, p0 + limit))
    variance = (p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0) * n / (n - 1)
    above = s1 / n1 - s0 / n0 - limit
    if variance <= 0:
        return 0.0 if above > 0 else 1.0
    return 1 - _NORMAL.cdf(above / math.sqrt(variance))


def barnard(s1: int, n1: int, s0: int, n0: int) -> float:
    """Barnard's exact test that p1 > p0 (`scipy.stats.barnard_exact(alternative='greater')`, pooled Wald statistic).

    The tail is the tables whose statistic is at least the observed one; for each s1 these are the smallest s0, so one
    value of the nuisance parameter costs n1 + n0 steps.
    """
    if n1 <= 0 or n0 <= 0:
        return 1.0
    observed = _wald(s1, n1, s0, n0)
    if observed <= 0:
        return 1.0
    most = [-1] * (n1 + 1)  # per s1, the largest s0 that is in the tail
    at = -1
    for k in range(n1 + 1):
        while at < n0 and _wald(k, n1, at + 1, n0) >= observed - 1e-12:
            at += 1
        most[k] = at

    def tail(share: float) -> float:
        first, second = _binomial(n1, share), _binomial(n0, share)
        below, total = [0.0], 0.0
        for value in second:
            total += value
            below.append(total)
        return sum(p * below[most[k] + 1] for k, p in enumerate(first))

    values = [tail((i + 0.5) / _GRID) for i in range(_GRID)]
    best = max(range(_GRID), key=values.__getitem__)
    low, high = max(best - 0.5, 0.0) / _GRID, min(best + 1.5, float(_GRID)) / _GRID
    for _ in range(40):  # ternary search between the neighbours
        third = (high - low) / 3
        if tail(low + third) < tail(high - third):
            low += third
        else:
            high -= third
    return min(1.0, max(values[best], tail((low + high) / 2)))


def _wald(s1: int, n1: int, s0: int, n0: int) -> float:
    pooled = (s1 + s0) / (n1 + n0)
    variance = pooled * (1 - pooled) * (1 / n1 + 1 / n0)
    return 0.0 if variance <= 0 else (s1 / n1 - s0 / n0) / math.sqrt(variance)


def _binomial(n: int, p: float) -> list[float]:
    if p <= 0 or p >= 1:
        return [1.0 if k == (0 if p <= 0 else n) else 0.0 for k in range(n + 1)]
    whole, a, b = math.lgamma(n + 1), math.log(p), math.log1p(-p)
    return [math.exp(whole - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * a + (n - k) * b) for k in range(n + 1)]


def fisher(s1: int, n1: int, s0: int, n0: int) -> float:
    """Fisher's exact p that p1 > p0 (`scipy.stats.fisher_exact(alternative='greater')`); for comparison only."""
    if n1 <= 0 or n0 <= 0:
        return 1.0
    s, total = s1 + s0, math.comb(n1 + n0, s1 + s0)
    return sum(math.comb(n1, k) * math.comb(n0, s - k) for k in range(s1, min(n1, s) + 1) if s - k <= n0) / total


def chance_better(s1: int, n1: int, s0: int, n0: int) -> float:
    """P(p1 > p0) with uniform priors: a read-out in words, decides nothing. Exact sum over the first arm's posterior."""
    a1, b1, a0, b0 = s1 + 1, n1 - s1 + 1, s0 + 1, n0 - s0 + 1

    def log_beta(a: float, b: float) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    return min(1.0, sum(
        math.exp(log_beta(a0 + i, b0 + b1) - math.log(b1 + i) - log_beta(1 + i, b1) - log_beta(a0, b0))
        for i in range(a1)
    ))  # fmt: skip
