"""Rates, spikes and effects: exact numbers, and what may be said when data is missing."""

from __future__ import annotations

import pytest

from engine.capabilities.corrections import rates
from engine.capabilities.packs import load_pack

POLICY = load_pack("correction")


@pytest.mark.parametrize(("mean", "count"), [(1, 6), (2, 9), (3.2, 11), (5, 14), (10, 22)])
def test_a_spike_begins_where_the_poisson_tail_says(mean: float, count: int) -> None:
    assert rates.spike_at(mean, 0.001) == count  # the golden vector of the notes


def test_the_tail_equals_scipys() -> None:
    scipy = pytest.importorskip("scipy.stats")
    for k in (0, 1, 2, 5, 9, 30):
        for mean in (0.01, 0.5, 3.2, 10.0, 28.0):
            assert rates.poisson_tail(k, mean) == pytest.approx(scipy.poisson.sf(k - 1, mean), rel=1e-9, abs=1e-15)


def test_bounds_of_a_rate_are_the_exact_ones() -> None:
    chi2 = pytest.importorskip("scipy.stats").chi2
    rate, low, high = rates.rate(14, 310.0)
    assert rate == pytest.approx(100 * 14 / 310)
    assert low == pytest.approx(100 * chi2.ppf(0.05, 28) / 2 / 310, rel=1e-6)
    assert high == pytest.approx(100 * chi2.ppf(0.95, 30) / 2 / 310, rel=1e-6)
    assert rates.rate(3, 0.0) == (None, None, None), "no exposure, no rate"
    assert rates.rate(0, 10.0)[1] == 0.0


def stretch(version: str, start: float, events: int = 0, *, hours: float = 1.0, robot: str = "r") -> rates.Stretch:
    end = start + hours * 3600
    times = tuple(start + (i + 1) * hours * 3600 / (events + 1) for i in range(events))
    return rates.Stretch(robot=robot, site="HAM2", version=version, task="t", start=start, end=end, events=times)


def test_a_spike_is_seen_against_the_same_hours_before() -> None:
    day, begin = 86_400.0, 20 * 86_400.0 + 8 * 3600
    before = [stretch("4.7", begin - d * day, events=d % 2, hours=4, robot=f"r{d}") for d in range(1, 11)]
    before += [
        stretch("4.7", begin - d * day + 6 * 3600, events=9, hours=4) for d in range(1, 11)
    ]  # other hours, busier
    now = [stretch("4.8", begin, events=8, hours=4)]
    found = rates.spike([*before, *now], version="4.8", site="HAM2", start=begin, end=begin + 4 * 3600, policy=POLICY)
    assert found.k == 8 and found.baseline_n == 5 and found.baseline_h == pytest.approx(40)
    assert found.alarm and found.p is not None and found.p < 0.001 and "at these hours" in found.says


def test_few_interventions_are_no_spike() -> None:
    begin = 20 * 86_400.0
    before = [stretch("4.7", begin - 86_400 * d, events=4, hours=8) for d in range(1, 6)]
    found = rates.spike(
        [*before, stretch("4.8", begin, events=2, hours=4)], version="4.8", site="HAM2", start=begin, end=begin + 4 * 3600,
        policy=POLICY,
    )  # fmt: skip
    assert not found.alarm


def test_a_short_quiet_baseline_does_not_make_two_events_a_spike() -> None:
    begin = 20 * 86_400.0
    quiet = [stretch("4.7", begin - 3600 * h, hours=0.5, robot=f"r{h}") for h in range(6, 50, 1)]
    two = rates.spike(
        [*quiet, stretch("4.8", begin, events=2, hours=1)], version="4.8", site="HAM2", start=begin, end=begin + 4 * 3600,
        policy=POLICY,
    )  # fmt: skip
    assert two.expected == 0 and not two.alarm and two.p == pytest.approx((1 / 23) ** 2)


def test_too_little_seen_before_is_said_and_takes_the_policys_number() -> None:
    found = rates.spike(
        [stretch("4.8", 0.0, events=3, hours=4)], version="4.8", site="HAM2", start=0, end=4 * 3600, policy=POLICY
    )
    assert "policy" in found.says and found.expected == pytest.approx(0.08)


def test_the_watch_against_other_versions_raises_too() -> None:
    begin = 1e6
    others = [stretch("4.7", begin, events=0, hours=4, robot=f"o{i}") for i in range(19)]
    mine = [stretch("4.8", begin, events=6, hours=4, robot="c1")]
    found = rates.spike([*others, *mine], version="4.8", site="HAM2", start=begin, end=begin + 4 * 3600, policy=POLICY)
    assert found.e is not None and found.e >= 20 and found.alarm


def measured(before: tuple[int, float], after: tuple[int, float], over: bool = False) -> rates.Measured:
    return rates.effect(
        before_n=before[0], before_h=before[1], after_n=after[0], after_h=after[1], over=over, policy=POLICY
    )


def test_rarer_beyond_doubt_is_confirmed() -> None:
    found = measured((12, 100.0), (1, 100.0))
    assert found.word == "CONFIRMED" and found.high is not None and found.high < 1 and "ratio" in found.sentence


def test_as_often_as_before_after_enough_hours_is_not_fixed() -> None:
    assert measured((12, 100.0), (10, 90.0)).word == "NOT_FIXED"


def test_too_few_hours_decide_nothing() -> None:
    assert measured((12, 100.0), (1, 8.0)).word == "PENDING"
    assert measured((12, 100.0), (1, 8.0), over=True).word == "INCONCLUSIVE"


def test_a_task_that_stopped_running_is_never_fixed() -> None:
    for hours in (0.0, 0.01):
        found = measured((12, 100.0), (0, hours))
        assert found.word == "PENDING", found
    assert "has not run" in measured((12, 100.0), (0, 0.0)).sentence
    assert measured((12, 100.0), (0, 0.0), over=True).word == "INCONCLUSIVE"


def test_without_a_rate_before_there_is_no_effect() -> None:
    assert measured((0, 100.0), (0, 100.0)).word == "PENDING"
    assert measured((0, 100.0), (0, 100.0), over=True).word == "INCONCLUSIVE"
