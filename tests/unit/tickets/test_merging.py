"""The three-way merge by its table."""

from __future__ import annotations

import pytest

from engine.capabilities.tickets.merging import UNSET, Merged, decided, merge
from engine.contract.tickets import Agreed, TicketConflict


def merged(here: str, there: str, base: tuple[str, str] | None, way: str = "both", **more: object) -> Merged:
    agreed = {"priority": Agreed(ours=base[0], theirs=base[1])} if base else {}
    given = {"before": {}, "now": 7.0, "fresh": False} | more
    return merge(
        {"priority": here},
        {"priority": there},
        agreed,
        ways={"priority": way},
        same=lambda _, a, b: a == b,
        **given,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("here", "there", "base", "way", "expected"),
    [
        ("P2", "P2", ("P2", "P2"), "both", "nothing"),
        ("P1", "P2", ("P2", "P2"), "both", "push"),
        ("P2", "P1", ("P2", "P2"), "both", "take"),
        ("P1", "P3", ("P2", "P2"), "both", "conflict"),
        ("P1", "P1", ("P2", "P2"), "both", "nothing"),  # both changed it to the same
        ("P1", "P2", ("P2", "P2"), "theirs", "conflict"),
        ("P2", "P1", ("P2", "P2"), "ours", "conflict"),
        ("P4", "P5", ("P4", "P5"), "both", "nothing"),  # agreed to differ
        ("P3", "P5", ("P4", "P5"), "both", "push"),
        ("P1", "P2", None, "both", "conflict"),  # never compared before: neither wins
        ("P1", "", None, "both", "push"),
        ("", "P2", None, "both", "take"),
    ],
)
def test_a_field_goes_over_when_one_side_changed_and_waits_when_both_did(
    here: str, there: str, base: tuple[str, str] | None, way: str, expected: str
) -> None:
    found = merged(here, there, base, way)
    shape = {"push": found.push, "take": found.take, "conflict": found.conflicts}
    assert [name for name, one in shape.items() if one] == ([] if expected == "nothing" else [expected])


def test_a_choice_makes_its_side_the_newer_one_and_a_later_change_asks_again() -> None:
    conflict = merged("P1", "P3", ("P2", "P2")).conflicts[0]
    ours, theirs = decided(conflict, "ours"), decided(conflict, "theirs")
    assert merged("P1", "P3", (ours.ours, ours.theirs)).push == {"priority": "P1"}
    assert merged("P1", "P3", (theirs.ours, theirs.theirs)).take == {"priority": "P3"}
    assert merged("P1", "P4", (ours.ours, ours.theirs)).conflicts[0].theirs == "P4"
    assert ours.ours == UNSET


def test_what_was_refused_is_not_tried_again_until_somebody_asks_or_it_changes() -> None:
    stuck = {"priority": TicketConflict(field="priority", ours="P1", theirs="P2", since=3.0, why="no such priority")}
    assert merged("P1", "P2", ("P2", "P2"), before=stuck).conflicts == (stuck["priority"],)
    assert merged("P1", "P2", ("P2", "P2"), before=stuck, fresh=True).push
    assert merged("P3", "P2", ("P2", "P2"), before=stuck).push


def test_a_conflict_keeps_the_time_since_when_it_stands() -> None:
    known = {"priority": TicketConflict(field="priority", ours="P1", theirs="P3", since=3.0)}
    assert merged("P1", "P4", ("P2", "P2"), before=known).conflicts[0].since == 3.0


def test_titles_that_never_agreed_may_differ() -> None:
    found = merge(
        {"title": "HAM2-01 hums"}, {"title": "Robot is loud"}, {}, ways={"title": "both"}, same=lambda _, a, b: a == b,
        before={}, now=1.0,
    )  # fmt: skip
    assert not found.conflicts and not found.push and not found.take
