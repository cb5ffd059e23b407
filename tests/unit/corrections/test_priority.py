"""The five factors, and a split that never puts one group, session or recording on both sides."""

from __future__ import annotations

import math

import pytest

from engine.capabilities.corrections import priority
from engine.capabilities.corrections.priority import Piece
from engine.capabilities.packs import load_pack
from engine.contract.corrections import Factors

POLICY = load_pack("correction")


def factors(**more: object) -> Factors:
    given: dict[str, object] = {
        "severity": "task_failure", "n_30d": 14, "coverage": 0.2, "coverage_says": "4/20", "novelty": 0.9, "quality": 0.95,
        "newest_at": 0.0, "now": 3.6 * 86_400, "policy": POLICY,
    }  # fmt: skip
    return priority.factors(**{**given, **more})  # type: ignore[arg-type]


def test_the_score_is_the_product_of_what_is_shown() -> None:
    found = factors()
    by_hand = 3 * math.log(15) * 0.8 * 0.9 * 0.95 * 2 ** (-3.6 / 30)
    assert found.score == pytest.approx(by_hand) == pytest.approx(5.1, abs=0.05)  # the sketch's own numbers


def test_safety_weighs_more_than_a_nuisance() -> None:
    assert factors(severity="safety").score == pytest.approx(30 * factors(severity="nuisance").score)


def test_what_is_covered_or_known_or_old_counts_less() -> None:
    usual = factors().score
    assert factors(coverage=1.0).score == 0
    assert factors(coverage=7.0).score == 0, "more than the target is no negative gap"
    assert factors(novelty=0.1).score < usual and factors(now=60 * 86_400).score < usual


def pieces(groups: int, each: int = 1) -> list[Piece]:
    return [
        Piece(id=f"c{g}-{i}", group=f"HAM2/day{g}/r{g}", session=f"s{g}-{i}")
        for g in range(groups)
        for i in range(each)
    ]


def test_about_a_fifth_goes_to_evaluation_by_whole_groups() -> None:
    rows = pieces(10, 3)
    found = priority.split(rows, eval_share=0.2, seed=1)
    share = sum(side == "eval" for side in found.sides.values()) / len(rows)
    assert 0.1 <= share <= 0.3
    by_group: dict[str, set[str]] = {}
    for row in rows:
        by_group.setdefault(row.group, set()).add(found.sides[row.id])
    assert all(len(sides) == 1 for sides in by_group.values())


def test_a_cluster_of_two_groups_feeds_both_sides() -> None:
    assert set(priority.split(pieces(2, 4), eval_share=0.2, seed=3).sides.values()) == {"train", "eval"}


def test_one_group_cannot_be_split_and_that_is_said() -> None:
    found = priority.split(pieces(1, 5), eval_share=0.2, seed=3)
    assert set(found.sides.values()) == {"train"} and "one group only" in found.says


@pytest.mark.parametrize("tie", ["session", "fingerprint", "group"])
def test_one_session_or_its_near_duplicate_is_never_on_both_sides(tie: str) -> None:
    for seed in range(40):
        rows = [Piece(id=f"c{i}", group=f"g{i}", session=f"s{i}", fingerprint=f"f{i}") for i in range(6)]
        shared = {"group": rows[0].group, "session": rows[0].session, "fingerprint": rows[0].fingerprint}
        rows[5] = Piece(
            id="c5", group=shared["group"] if tie == "group" else "g5", session=shared["session"] if tie == "session" else "s5",
            fingerprint=shared["fingerprint"] if tie == "fingerprint" else "f5",
        )  # fmt: skip
        sides = priority.split(rows, eval_share=0.3, seed=seed).sides
        assert sides["c0"] == sides["c5"]


def test_a_wish_moves_the_whole_group_unless_it_is_bound() -> None:
    rows = pieces(4, 2)
    rows[0] = Piece(id=rows[0].id, group=rows[0].group, session=rows[0].session, wanted="eval")
    found = priority.split(rows, eval_share=0.2, seed=1)
    assert found.sides["c0-0"] == found.sides["c0-1"] == "eval"
    rows[1] = Piece(id=rows[1].id, group=rows[1].group, session=rows[1].session, bound="train")
    found = priority.split(rows, eval_share=0.2, seed=1)
    assert found.sides["c0-0"] == "train" and "train side already" in found.refused["c0-0"]


def test_what_evaluation_has_seen_is_never_learnt_from() -> None:
    rows = [
        Piece(id="a", group="g", session="s1", bound="eval"),
        Piece(id="b", group="g", session="s2", bound="train"),
        Piece(id="c", group="g", session="s3"),
    ]
    assert set(priority.split(rows, eval_share=0.2, seed=1).sides.values()) == {"eval"}


def test_the_split_is_the_same_whoever_asks() -> None:
    rows = pieces(7, 2)
    once = priority.split(rows, eval_share=0.2, seed=9).sides
    assert once == priority.split(list(reversed(rows)), eval_share=0.2, seed=9).sides


def test_a_share_is_chosen_by_hash_and_at_least_one() -> None:
    ids = [f"COR-{i}" for i in range(30)]
    assert len(priority.chosen(ids, 0.1, salt="x")) == 3
    assert priority.chosen(ids, 0.1, salt="x") == priority.chosen(ids[::-1], 0.1, salt="x")
    assert len(priority.chosen(ids[:2], 0.1, salt="x", least=1)) == 1
    assert not priority.chosen([], 0.5, salt="x", least=1)
