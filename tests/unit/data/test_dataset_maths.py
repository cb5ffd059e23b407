"""Agreement, audit, coverage, shift, split: held against known values, other implementations and laws."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from engine.capabilities.data import agreement, coverage, curation, manifest, shift, splitting
from engine.capabilities.data.curation import Rule
from engine.contract.datasets import Label, Stratum
from engine.contract.sessions import SessionView


def units() -> list[tuple[str, ...]]:
    """The four observers of Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section C; a dot is no answer."""
    observers = (
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    )
    return [
        tuple(one for one in each if one != ".") for each in zip(*(line.split() for line in observers), strict=True)
    ]


def test_alpha_is_that_of_the_textbook() -> None:
    assert agreement.alpha(units()) == pytest.approx(0.743, abs=0.0005)


def test_alpha_of_perfect_and_of_no_agreement() -> None:
    assert agreement.alpha([("a", "a"), ("b", "b"), ("a", "a")]) == 1.0
    assert agreement.alpha([("a", "a")] * 5) == 1.0
    assert agreement.alpha([]) is None and agreement.alpha([("a",)]) is None
    assert agreement.alpha([("a", "b"), ("b", "a")] * 20) < 0


def test_chance_agreement_is_about_zero() -> None:
    dice = Random(7)
    found = agreement.alpha([(dice.choice("abcd"), dice.choice("abcd")) for _ in range(4_000)])
    assert abs(found) < 0.03


def test_the_interval_holds_the_value_and_is_the_same_each_time() -> None:
    dice = Random(3)

    def session() -> tuple[float, list[list[Label]]]:
        edge = dice.uniform(3, 7)
        return 10.0, [
            [Label(name="phase", value="a", t0=0, t1=at), Label(name="phase", value="b", t0=at, t1=10)]
            for at in (edge, edge + dice.uniform(0, 1.5))
        ]

    sessions = [session() for _ in range(30)]
    args = {"resolution": 0.5, "accept": 0.8, "tentative": 0.667, "rounds": 300, "seed": "x"}
    found = agreement.agreement(sessions, **args)
    assert found == agreement.agreement(sessions, **args)
    assert found.low < found.alpha < found.high and found.n == 30 and 0.7 < found.iou < 1


def test_fifty_nine_without_a_defect_bound_the_share_by_five_percent() -> None:
    found = agreement.audit(wrong=0, checked=59, need=59, waiting=0, population=500, allowed=0)
    assert found.u95 == pytest.approx(0.0495, abs=0.0001) and found.word == "pass"
    assert agreement.audit(wrong=1, checked=59, need=59, waiting=0, population=500, allowed=0).word == "fail"
    assert agreement.audit(wrong=0, checked=20, need=59, waiting=3, population=500, allowed=0).word == "waiting"
    whole = agreement.audit(wrong=0, checked=12, need=59, waiting=0, population=12, allowed=0)
    assert whole.word == "pass" and whole.u95 == 0.0  # all were looked at


def test_shift_is_that_of_scipy_and_zero_for_the_same() -> None:
    dice = Random(1)
    a = [dice.gauss(0, 1) for _ in range(120)]
    b = [dice.gauss(0.4, 1.2) for _ in range(90)]
    statistic, p = shift.ks(a, b)
    wanted = stats.ks_2samp(a, b, method="asymp")
    assert statistic == pytest.approx(wanted.statistic) and p == pytest.approx(wanted.pvalue, abs=0.02)
    assert shift.psi(a, a, 10) == pytest.approx(0.0)
    assert shift.psi(a, b, 10) > 0.05 and shift.psi(a, [x + 3 for x in a], 10) > 1


def session(number: int, **fields: object) -> SessionView:
    values = {
        "id": f"S-{number}", "digest": f"d{number}", "content": f"d{number}", "fingerprint": f"f{number}", "trajectory": f"t{number}",
        "group": f"g{number % 7}", "task": "pick", "site": "HAM2", "duration_s": 10.0 + number % 3, "consent_basis": "sandbox", "state": "labelled",
    }  # fmt: skip
    return SessionView(**(values | fields))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 30)), min_size=1, max_size=80), st.integers(0, 5))
def test_a_group_is_in_one_split_whatever_comes(rows: list[tuple[int, int]], seed: int) -> None:
    sessions = [session(i, group=f"g{group}") for i, (group, _) in enumerate(rows)]
    shares = {"train": 0.8, "val": 0.1, "test": 0.1}
    dealt = splitting.split(sessions, shares=shares, seed=seed, before={"g3": "test"})
    assert set(dealt) == {one.group for one in sessions} and set(dealt.values()) <= set(shares)
    assert dealt.get("g3", "test") == "test"
    assert not splitting.leaks(sessions, dealt, splitting.Reserved())
    assert dealt == splitting.split(list(reversed(sessions)), shares=shares, seed=seed, before={"g3": "test"})


def test_shares_are_met_as_far_as_groups_allow() -> None:
    sessions = [session(i, group=f"g{i % 40}") for i in range(400)]
    dealt = splitting.split(sessions, shares={"train": 0.8, "val": 0.1, "test": 0.1}, seed=1, before={})
    counts = {name: sum(dealt[one.group] == name for one in sessions) for name in ("train", "val", "test")}
    assert counts == {"train": 320, "val": 40, "test": 40}


def test_what_evaluation_holds_is_found_by_content_and_by_motion() -> None:
    reserved = splitting.Reserved(sessions=frozenset({"S-1"}), digests=frozenset({"d2"}), marks=frozenset({"t3", ""}))
    out = splitting.left_out(
        [session(i) for i in range(1, 6)], reserved=reserved, limits=splitting.Limits(), licence=""
    )
    assert {name: code for name, (code, _) in out.items()} == dict.fromkeys(("S-1", "S-2", "S-3"), "contaminated")
    assert splitting.leaks([session(2)], {"g2": "train"}, reserved) == ["S-2 is held by an evaluation pack"]


@pytest.mark.parametrize(
    ("fields", "limits", "code"),
    [
        ({"consent_basis": ""}, {"bases": frozenset({"sandbox"})}, "consent"),
        ({"region": "us-east"}, {"regions": frozenset({"eu-central"})}, "residency"),
        ({"licence": "nc"}, {"licences": frozenset({"cc-by"})}, "licence"),
    ],
)
def test_what_may_not_be_used_is_left_out_with_its_reason(fields: dict, limits: dict, code: str) -> None:
    out = splitting.left_out(
        [session(1, **fields)], reserved=splitting.Reserved(), limits=splitting.Limits(**limits), licence=""
    )
    assert out["S-1"][0] == code


def test_cells_come_from_what_occurs_and_the_shortest_stands_first() -> None:
    sessions = [session(i, site=("HAM2", "HAM5")[i % 2], task=("a", "b")[i % 4 == 0]) for i in range(20)]
    wanted = coverage.strata((), sessions, dims=("task", "site"), need=5)
    cells = coverage.matrix(wanted, sessions, {}, 0.0)
    assert (cells[0].key, cells[0].have) == ("task=b site=HAM5", 0) and len(cells) == 4
    assert sum(one.have for one in cells) == 20
    declared = coverage.strata([Stratum(dims={"task": "*"}, need=3)], sessions, dims=("task",), need=5)
    assert {one.dims["task"] for one in declared} == {"a", "b"}


def test_evenly_filled_cells_count_as_many() -> None:
    cells = coverage.matrix(
        [Stratum(dims={"task": str(i)}, need=1) for i in range(4)], [session(i, task=str(i)) for i in range(4)], {}, 0
    )
    assert coverage.effective(cells) == pytest.approx(4.0)
    assert coverage.effective([]) is None


def test_a_waiver_counts_until_its_time() -> None:
    wanted = [Stratum(dims={"task": "x"}, need=2)]
    assert not coverage.matrix(wanted, [], {"task=x": ("dirk", 100.0)}, 99.0)[0].short
    assert coverage.matrix(wanted, [], {"task=x": ("dirk", 100.0)}, 101.0)[0].short


def test_the_baseline_stands_beside_the_score() -> None:
    sessions = [session(i, duration_s=10.0, interventions=i // 15) for i in range(20)]
    sessions.append(session(99, duration_s=60.0))
    decided = curation.curate(sessions, {}, rule=Rule())
    assert {one.code for one in decided} == {"not_labelled"}
    strange = next(one for one in decided if one.session == "S-99")
    assert strange.baseline == pytest.approx(math.exp(-math.log(6)), abs=1e-4)
    assert curation.spearman([(1, 10), (2, 20), (3, 25), (4, 90)]) == 1.0
    assert curation.spearman([(1, 1), (1, 2)]) is None


def test_the_root_digest_binds_content_labels_and_split_but_not_where_it_lies() -> None:
    def episode(**fields: object) -> manifest.Episode:
        values = {"session": "S-1", "digest": "d", "content": "c", "split": "train", "group": "g", "uri": "/a"}
        return manifest.Episode(**(values | fields))

    base = manifest.root_digest([episode()])
    assert manifest.root_digest([episode(uri="/elsewhere")]) == base
    for change in (
        {"content": "x"},
        {"split": "val"},
        {"weight": 2.0},
        {"annotation_rev": 2},
        {"labels": (Label(name="a", value="b"),)},
    ):
        assert manifest.root_digest([episode(**change)]) != base
    two = [episode(), episode(session="S-2", content="b")]
    assert manifest.root_digest(two) == manifest.root_digest(list(reversed(two)))
    assert manifest.read(manifest.lines(two)) == manifest.ordered(two)
