"""How this snapshot differs from the one before: per feature the population stability index and Kolmogorov-Smirnov."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from engine.contract.datasets import Shift
from engine.contract.sessions import SessionView

EMPTY = 0.0001
"""Share a bin without values counts as: the index is defined on logarithms."""
SERIES = 100
"""Terms of Kolmogorov's series; it has converged to double precision long before."""


def shifts(
    now: Sequence[SessionView], before: Sequence[SessionView], *, psi_flag: float, bins: int, least: int
) -> list[Shift]:
    """All features both have at least `least` values of, the largest index first; task and site mixes are compared too."""
    found: list[Shift] = []
    names = sorted({name for one in now for name in one.features} & {name for one in before for name in one.features})
    for name in [*names, "duration_s"]:
        mine, theirs = _values(now, name), _values(before, name)
        if min(len(mine), len(theirs)) < least:
            continue
        index = psi(theirs, mine, bins)
        statistic, p = ks(mine, theirs)
        found.append(Shift(feature=name, psi=round(index, 4), ks=round(statistic, 4), p=p, flag=index > psi_flag))
    for name in ("task", "site"):
        if min(len(now), len(before)) >= least:
            index = psi_of_shares(
                Counter(getattr(one, name) for one in before), Counter(getattr(one, name) for one in now)
            )
            found.append(Shift(feature=f"{name} mix", psi=round(index, 4), flag=index > psi_flag))
    return sorted(found, key=lambda one: -one.psi)


def psi(expected: Sequence[float], actual: Sequence[float], bins: int) -> float:
    """Sum of (a-e) ln(a/e) over bins cut at the quantiles of `expected`. 0: alike; above .2 it is looked at."""
    ordered = sorted(expected)
    edges = sorted({ordered[len(ordered) * i // bins] for i in range(1, bins)})
    return psi_of_shares(
        Counter(str(bisect_right(edges, value)) for value in expected),
        Counter(str(bisect_right(edges, value)) for value in actual),
    )


def psi_of_shares(expected: Mapping[str, int], actual: Mapping[str, int]) -> float:
    before, now = max(1, sum(expected.values())), max(1, sum(actual.values()))
    total = 0.0
    for name in {*expected, *actual}:
        e = max(EMPTY, expected.get(name, 0) / before)
        a = max(EMPTY, actual.get(name, 0) / now)
        total += (a - e) * math.log(a / e)
    return total


def ks(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """The two-sample statistic (largest difference of the distribution functions) and its asymptotic p-value."""
    a, b = sorted(one), sorted(other)
    statistic = max(abs(bisect_right(a, x) / len(a) - bisect_right(b, x) / len(b)) for x in (*a, *b))
    scale = math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    return statistic, _kolmogorov(scale * statistic)


def _kolmogorov(x: float) -> float:
    """P(K > x) of Kolmogorov's distribution."""
    if x < 0.2:  # 1 to fifteen digits
        return 1.0
    total = 2 * sum((1.0 if k % 2 else -1.0) * math.exp(-2 * k * k * x * x) for k in range(1, SERIES))
    return min(1.0, max(0.0, total))


def _values(sessions: Iterable[SessionView], name: str) -> list[float]:
    if name == "duration_s":
        return [one.duration_s for one in sessions if one.duration_s > 0]
    return [value for one in sessions if (value := one.features.get(name)) is not None and math.isfinite(value)]
