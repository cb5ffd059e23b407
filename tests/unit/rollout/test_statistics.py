"""The golden vectors of the domain book, and equality with scipy where scipy has the same test."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.statistics import (
    Moment,
    bet_e,
    canary_e,
    cp,
    dispersion,
    hodges_lehmann,
    holm,
    mann_whitney,
    mcnemar,
    permutation,
    rate_ratio,
    rate_upper,
    wilson,
)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(3, 12, 0.07187, 0.52733), (0, 59, 0.0, 0.04951), (4, 20, 0.07135, 0.40103), (5, 5, 0.05 ** (1 / 5), 1.0)],
)
def test_clopper_pearson_golden(k: int, n: int, low: float, high: float) -> None:
    assert cp(k, n) == (pytest.approx(low, abs=5e-6), pytest.approx(high, abs=5e-6))


@pytest.mark.parametrize(
    ("limit", "table"), [(0.05, {5: 2, 10: 3, 20: 4, 50: 6, 100: 10}), (0.02, {5: 2, 10: 2, 20: 3, 50: 4, 100: 6})]
)
def test_abort_counts_of_the_book(limit: float, table: dict[int, int]) -> None:
    for n, first in table.items():
        failing = next(k for k in range(2, n + 1) if cp(k, n)[0] > limit)
        assert failing == first


def test_rate_ratio_golden() -> None:
    found = rate_ratio(9, 120, 31, 1100)
    assert found.low == pytest.approx(1.28220, abs=5e-6)
    assert found.high == pytest.approx(5.15161, abs=5e-6)
    assert found.p == pytest.approx(0.014013, abs=5e-7)
    assert found.ratio == pytest.approx(2.66, abs=0.005)
    assert rate_ratio(9, 120, 31, 1100, 1.25).p == pytest.approx(0.044311, abs=5e-7)
    assert rate_ratio(9, 120, 31, 1100, 1.5).p == pytest.approx(0.100131, abs=5e-7)


def test_rate_ratio_edges() -> None:
    assert rate_ratio(0, 10, 0, 100).ratio is None
    assert rate_ratio(3, 0, 3, 100).low is None
    assert rate_ratio(3, -1, 3, 100).low is None
    only_canary = rate_ratio(4, 10, 0, 100)
    assert only_canary.ratio == math.inf and only_canary.high == math.inf and (only_canary.low or 0) > 1


def _path(rho0: float) -> list[float]:
    marks = [1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 1, 1]
    return canary_e([Moment(bool(y), 10, 190) for y in marks], rho0)


def test_canary_e_golden() -> None:
    strict = _path(1.0)
    assert strict[:6] == [pytest.approx(v, abs=5e-5) for v in (3.2376, 2.7166, 2.3039, 8.5602, 38.0867, 30.1126)]
    assert strict[-1] == pytest.approx(13354.6, abs=0.05)
    tolerant = _path(1.25)
    assert tolerant[0] == pytest.approx(3.1210, abs=5e-5)
    assert tolerant[4] == pytest.approx(30.0763, abs=5e-5)
    assert tolerant[-1] == pytest.approx(6865.3, abs=0.05)


def test_canary_e_ignores_an_event_without_both_arms_exposed() -> None:
    marks = [Moment(True, 10, 190), Moment(True, 10, 0), Moment(True, 0, 190)]
    path = canary_e(marks)
    assert path[0] == path[1] == path[2]


def test_canary_e_does_not_overflow() -> None:
    assert math.isfinite(canary_e([Moment(True, 1, 1000)] * 4000)[-1])


def test_betting_golden() -> None:
    x = [1, 0, 1, 0, 0, 1, -1, 1, 0, 1, 1, 0, 1, 0, 1]
    assert bet_e(x)[-1] == pytest.approx(11.7641, abs=5e-5)
    assert bet_e(x, 0.1)[-1] == pytest.approx(35.2199, abs=5e-5)
    assert bet_e([-v for v in x])[-1] == pytest.approx(0.1039, abs=5e-5)
    tied = bet_e([0] * 60, 0.1)
    expected = (1.78, 3.43, 7.07, 15.39, 34.94, 81.93)
    assert [tied[i] for i in (9, 19, 29, 39, 49, 59)] == [pytest.approx(v, abs=0.005) for v in expected]
    assert next(i for i, v in enumerate(tied, 1) if v >= 20) == 44


def test_permutation_golden() -> None:
    assert permutation([9, 7, 8], [2, 3, 1, 4, 2, 3, 2, 1, 5, 3]) == pytest.approx(0.0034965, abs=5e-8)


@pytest.mark.parametrize(("canaries", "controls", "smallest"), [(1, 19, 0.05), (1, 9, 0.10), (3, 17, 0.000877)])
def test_smallest_possible_permutation_p(canaries: int, controls: int, smallest: float) -> None:
    assert permutation([9.0] * canaries, [1.0] * controls) == pytest.approx(smallest, abs=1e-6)


def test_permutation_is_reproducible_when_sampled() -> None:
    canary, control = [3.0, 4.0, 2.5, 6.0] * 4, [1.0, 2.0, 3.0, 2.5, 0.0] * 9
    first = permutation(canary, control)
    assert first == permutation(canary, control)
    assert first is not None and first < 0.01


def test_mcnemar_golden() -> None:
    two, one = mcnemar(9, 2)
    assert (two, one) == (pytest.approx(0.0654, abs=5e-5), pytest.approx(0.0327, abs=5e-5))


def test_zero_events_bound_is_three_over_t() -> None:
    assert rate_upper(0, 2996) == pytest.approx(0.001, rel=1e-3)
    assert rate_upper(0, 0) == math.inf
    assert rate_upper(1, 1) == pytest.approx(4.743865, abs=1e-6)


def test_dispersion_and_shift() -> None:
    assert dispersion([(2, 10), (2, 10), (2, 10)]) == pytest.approx(0)
    assert dispersion([(6, 10), (0, 10)]) == pytest.approx(6)
    assert dispersion([(0, 10), (0, 10)]) is None
    assert hodges_lehmann([3, 5], [1, 2]) == 2.5


values = st.lists(st.floats(0, 50, allow_nan=False).map(lambda v: round(v, 1)), min_size=1, max_size=14)


@settings(max_examples=60, deadline=None)
@given(values, values)
def test_mann_whitney_equals_scipy(x: list[float], y: list[float]) -> None:
    stats = pytest.importorskip("scipy.stats")
    for side in ("greater", "less", "two-sided"):
        expected = stats.mannwhitneyu(x, y, alternative=side).pvalue
        if math.isnan(expected):
            continue
        assert mann_whitney(x, y, side) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 300), st.integers(1, 300))
def test_proportion_bounds_equal_scipy(k: int, n: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    k = min(k, n)
    exact = stats.binomtest(k, n).proportion_ci(0.90, "exact")
    assert cp(k, n) == (pytest.approx(exact.low, abs=1e-9), pytest.approx(exact.high, abs=1e-9))
    score = stats.binomtest(k, n).proportion_ci(0.95, "wilson")
    assert wilson(k, n) == (pytest.approx(score.low, abs=1e-9), pytest.approx(score.high, abs=1e-9))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=5), st.lists(st.integers(0, 9), min_size=2, max_size=7))
def test_permutation_equals_scipy(x: list[int], y: list[int]) -> None:
    stats = pytest.importorskip("scipy.stats")
    found = stats.permutation_test(
        (x, y),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        vectorized=True,
        alternative="greater",
        n_resamples=10**6,
    )
    assert permutation(x, y) == pytest.approx(found.pvalue, abs=1e-9)


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == [pytest.approx(0.03), pytest.approx(0.06), pytest.approx(0.06)]
