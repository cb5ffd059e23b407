"""Agreement of annotators: alpha as Krippendorff has it, overlap in time, and who has to settle."""

from __future__ import annotations

import random

import pytest

from engine.capabilities.corrections import agreement
from engine.contract.corrections import PhaseAnnotation, Span
from tests.unit.corrections.world import SPANS, said


def test_alpha_of_the_classic_example() -> None:
    """Two coders, nominal, ten units (Krippendorff 2011, binary data): 0.095."""
    one, two = "0100000000", "1110010010"
    assert agreement.alpha([(a, b) for a, b in zip(one, two, strict=True)]) == pytest.approx(0.095, abs=0.001)


def test_alpha_of_agreement_chance_and_silence() -> None:
    assert agreement.alpha([]) is None
    assert agreement.alpha([("a", "a"), ("b", "b")]) == 1.0
    assert agreement.alpha([("a", "a")] * 4) == 1.0
    chance = random.Random(4)
    noise = [(chance.choice("abc"), chance.choice("abc")) for _ in range(3_000)]
    assert abs(agreement.alpha(noise) or 0) < 0.05


def moved(by: float) -> tuple[Span, ...]:
    return said("x", by).spans


def test_edges_half_a_second_apart_agree() -> None:
    found = agreement.of_clips([(SPANS, moved(0.4))])
    assert found.alpha is not None and found.alpha > 0.9 and 30 < found.n < 50
    assert found.iou is not None and found.iou > 0.8
    assert found.low is not None and found.low <= found.alpha <= (found.high or 0)
    assert found.edge_worst_s == pytest.approx(0.4)


def test_minutes_that_both_call_autonomous_make_nobody_agree() -> None:
    found = agreement.of_clips([(SPANS, moved(4.5))])
    assert found.alpha is not None and found.alpha < 0.8 and (found.iou or 0) < 0.7


def given(*by: float, quality: tuple[int, ...] = (4, 4)) -> list[PhaseAnnotation]:
    rows = [said(f"p{i}", shift) for i, shift in enumerate(by)]
    return [
        PhaseAnnotation(author=row.author, at=row.at, spans=row.spans, quality=q)
        for row, q in zip(rows, quality, strict=False)
    ]


def test_two_who_agree_settle_in_the_middle() -> None:
    spans, quality, _ = agreement.settled(given(0.0, 0.4), double=True, least_alpha=0.8, least_iou=0.7, apart=2.0)
    recovery = next(span for span in spans if span.phase == "recovery")
    assert recovery.t0 == pytest.approx(1.5) and quality == 4


@pytest.mark.parametrize(
    ("shift", "quality"), [(4.5, (4, 4)), (0.0, (5, 2))], ids=["edges far apart", "qualities far apart"]
)
def test_two_who_differ_wait_for_a_third(shift: float, quality: tuple[int, int]) -> None:
    spans, _, found = agreement.settled(
        given(0.0, shift, quality=quality), double=True, least_alpha=0.8, least_iou=0.7, apart=2.0
    )
    assert spans == () and found.pairs == 1


def test_other_phases_are_no_agreement_to_average() -> None:
    other = tuple(span for span in SPANS if span.phase != "recovery")
    assert agreement.mean_spans(SPANS, other) is None


def test_one_person_is_enough_only_where_one_was_asked() -> None:
    rows = given(0.0, quality=(4,))
    assert agreement.settled(rows, double=False, least_alpha=0.8, least_iou=0.7, apart=2.0)[0] == SPANS
    assert agreement.settled(rows, double=True, least_alpha=0.8, least_iou=0.7, apart=2.0)[0] == ()
