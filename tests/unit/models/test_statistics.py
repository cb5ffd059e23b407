"""Candidate against baseline: the published numbers, and the rules of the comparison."""

from __future__ import annotations

import math
import random

import pytest
from scipy import stats

from engine.core.comparison import Half, Plan, compare
from engine.core.proportions import barnard, chance_better, fisher, newcombe, not_worse
from engine.core.ranking import inverted, pearson, rank_violation
from engine.core.statistics import bet_e, cp, mcnemar


def test_the_worked_example_of_fixed_n() -> None:
    """44/50 against 38/50: not shown better, shown no more than 5 points worse."""
    low, high = newcombe(44, 50, 38, 50)
    assert (round(100 * low, 1), round(100 * high, 1)) == (-0.8, 24.5)
    assert round(barnard(44, 50, 38, 50), 3) == 0.067 and round(fisher(44, 50, 38, 50), 3) == 0.096
    assert round(chance_better(44, 50, 38, 50), 2) == 0.94 and round(not_worse(44, 50, 38, 50, 0.05), 3) == 0.015


@pytest.mark.parametrize(
    ("x", "delta", "last"),
    [
        ([1, 0, 1, 0, 0, 1, -1, 1, 0, 1, 1, 0, 1, 0, 1], 0.0, 11.7641),
        ([1, 0, 1, 0, 0, 1, -1, 1, 0, 1, 1, 0, 1, 0, 1], 0.1, 35.2199),
        ([-1, 0, -1, 0, 0, -1, 1, -1, 0, -1, -1, 0, -1, 0, -1], 0.0, 0.1039),
    ],
)
def test_the_golden_betting_processes(x: list[int], delta: float, last: float) -> None:
    assert bet_e(x, delta)[-1] == pytest.approx(last, abs=5e-5)


def test_ties_show_no_worse_after_forty_four_pairs() -> None:
    path = bet_e([0.0] * 60, 0.1)
    assert [round(path[n - 1], 2) for n in (10, 20, 30, 40, 50, 60)] == [1.78, 3.43, 7.07, 15.39, 34.94, 81.93]
    assert next(n for n, value in enumerate(path, 1) if value >= 20) == 44


def test_the_golden_bounds() -> None:
    assert cp(4, 20) == pytest.approx((0.07135, 0.40103), abs=5e-6)
    assert [round(p, 4) for p in mcnemar(9, 2)] == [0.0654, 0.0327]


@pytest.mark.parametrize(
    "table", [(9, 20, 4, 18), (178, 200, 171, 200), (10, 10, 7, 12), (50, 50, 50, 50), (3, 9, 8, 9)]
)
def test_the_exact_tests_are_scipys(table: tuple[int, int, int, int]) -> None:
    s1, n1, s0, n0 = table
    counts = [[s1, s0], [n1 - s1, n0 - s0]]
    expected = stats.barnard_exact(counts, alternative="greater").pvalue
    # a lead the other way or a table that can't differ: scipy says something above a half, we say 1
    assert barnard(*table) == pytest.approx(expected, abs=1e-6) or (expected > 0.5 and barnard(*table) == 1.0)
    assert fisher(*table) == pytest.approx(stats.fisher_exact(counts, alternative="greater").pvalue, abs=1e-12)


def test_simulation_against_hardware() -> None:
    sim_real = [(0.9, 0.8), (0.7, 0.5), (0.5, 0.55), (0.2, 0.1), (0.6, 0.4)]
    expected = stats.pearsonr([s for s, _ in sim_real], [r for _, r in sim_real]).statistic
    assert pearson(sim_real) == pytest.approx(expected)
    assert inverted(sim_real) == [(1, 2), (2, 4)]
    assert rank_violation([(0.1, 0.2), (0.3, 0.4), (0.5, 0.6)]) == 0.0
    assert rank_violation(sim_real) == pytest.approx((0 + 0.05 + 0.15 + 0 + 0.15) / 5)
    assert pearson([(0.5, 0.5)]) is None and rank_violation([(0.5, 0.5)]) is None


# -- the comparison ----------------------------------------------------------------------------------------------------

SEEDS = {"a": range(200), "b": range(200)}


def pairs(task: str, outcomes: list[tuple[int, int]], **more: object) -> list[Half]:
    found = []
    for seed, (first, second) in enumerate(outcomes):
        found += [Half("candidate", task, seed, float(first), 6.0), Half("baseline", task, seed, float(second), 6.0)]
    return found


def test_equal_outcomes_are_shown_no_worse_and_never_better() -> None:
    found = compare([*pairs("a", [(1, 1)] * 100), *pairs("b", [(1, 1)] * 100)], Plan(), ["a", "b"], SEEDS)
    assert found.verdict == "non_inferior" and [one.word for one in found.tasks] == ["no worse", "no worse"]
    assert found.sentence == "No more than 5 pts worse overall (95%), 0 safety events in 20 min."


def test_an_undecided_task_leaves_the_whole_undecided_until_its_trials_are_used_up() -> None:
    mixed = [(1, 0), (0, 1)] * 100
    trials = [*pairs("a", [(1, 1)] * 200), *pairs("b", mixed[:60])]
    found = compare(trials, Plan(), ["a", "b"], SEEDS)
    assert found.verdict == "more" and found.open == ("b",) and found.sentence.startswith("So far: ")
    found = compare([*pairs("a", [(1, 1)] * 200), *pairs("b", mixed)], Plan(), ["a", "b"], SEEDS)
    assert found.verdict == "inconclusive" and found.open == ()
    assert "worse" not in found.sentence.replace("Not shown", "").replace("pts worse", "")


def test_one_causal_safety_event_fails_whatever_the_success() -> None:
    trials = pairs("a", [(1, 0)] * 100)
    trials[0] = Half("candidate", "a", 0, 1.0, 6.0, causal=1)
    found = compare(trials, Plan(), ["a"], SEEDS)
    assert found.verdict == "safety_fail" and found.safety_events == 1
    theirs = pairs("a", [(1, 0)] * 100)
    theirs[1] = Half("baseline", "a", 0, 0.0, 6.0, causal=3)
    assert compare(theirs, Plan(), ["a"], SEEDS).verdict == "better", "the baseline's events are not the candidate's"


def test_an_excluded_half_takes_its_pair_along_and_is_counted() -> None:
    trials = pairs("a", [(1, 1)] * 10)
    trials[0] = Half("candidate", "a", 0, 1.0, 6.0, excluded=True)
    found = compare(trials, Plan(), ["a"], SEEDS)
    row = found.tasks[0]
    assert (found.excluded, found.unpaired, row.pairs, row.n1, row.n0) == (1, 1, 9, 9, 10)


def test_one_bad_task_is_worse_however_good_the_rest() -> None:
    trials = [*pairs("a", [(1, 0)] * 100), *pairs("b", [(0, 1)] * 60)]
    found = compare(trials, Plan(), ["a", "b"], SEEDS)
    assert found.verdict == "worse" and "worse on b" in found.sentence


def test_many_tasks_need_more_evidence_each() -> None:
    """Holm: 44 ties decide one task alone, not one of four."""
    one = compare(pairs("a", [(1, 1)] * 44), Plan(), ["a"], SEEDS)
    assert one.tasks[0].word == "no worse"
    seeds = {name: range(200) for name in "abcd"}
    four = compare([half for name in "abcd" for half in pairs(name, [(1, 1)] * 44)], Plan(), list("abcd"), seeds)
    assert {row.word for row in four.tasks} == {"undecided"}


def test_whole_rounds_only_so_that_more_trials_for_one_task_do_not_bend_the_whole() -> None:
    few = compare([*pairs("a", [(1, 1)] * 50), *pairs("b", [(1, 0)] * 50)], Plan(), ["a", "b"], SEEDS)
    many = compare([*pairs("a", [(1, 1)] * 50), *pairs("b", [(1, 0)] * 200)], Plan(), ["a", "b"], SEEDS)
    assert few.overall is not None and many.overall is not None
    assert (
        (few.overall.n1, few.overall.k_better)
        == (many.overall.n1, many.overall.k_better)
        == (100, few.overall.k_better)
    )


def test_a_fixed_plan_is_judged_once_and_never_before() -> None:
    plan = Plan(test="fixed", n_max=50)
    seeds = {"a": range(50)}
    early = compare(pairs("a", [(1, 0)] * 49), plan, ["a"], seeds)
    assert early.verdict == "more" and early.tasks[0].word == "undecided"
    assert compare(pairs("a", [(1, 0)] * 50), plan, ["a"], seeds).verdict == "better"


def test_nothing_tried_is_nothing_shown() -> None:
    found = compare([], Plan(), ["a"], SEEDS)
    assert found.verdict == "more" and found.overall is not None and found.overall.pairs == 0
    assert math.isclose(found.tasks[0].low, -1.0) and found.safety_upper_100h is None


def test_a_candidate_that_is_worse_by_the_margin_is_hardly_ever_shown_no_worse() -> None:
    """Type I of the whole procedure, looked at after every batch, over 200 seeded histories: 5 % at most."""
    chance, passed = random.Random(7), 0
    for _ in range(200):
        outcomes = [(int(chance.random() < 0.70), int(chance.random() < 0.80)) for _ in range(200)]
        for n in range(25, 201, 25):
            if compare(pairs("a", outcomes[:n]), Plan(margin=0.10), ["a"], SEEDS).tasks[0].word in (
                "no worse",
                "better",
            ):
                passed += 1
                break
    assert passed <= 14  # 5 % of 200 and two standard deviations
