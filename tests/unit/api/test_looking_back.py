"""What differs between two pictures of a thing, and who has it on their screen now."""

from __future__ import annotations

from engine.api.differences import MOST, differences
from engine.api.presence import KEPT_S, THINGS, Presence


def said(before: object, after: object) -> list[tuple[str, str, object, object]]:
    return [(one.path, one.word, one.before, one.after) for one in differences(before, after)[0]]


def test_a_value_that_changed_is_named_by_the_way_to_it() -> None:
    before = {"gate": {"seats_open": 2, "state": "open"}, "evidence": {"robots": 10}}
    after = {"gate": {"seats_open": 1, "state": "open"}, "evidence": {"robots": 10, "sites": 2}}
    assert said(before, after) == [
        ("gate \u203a seats open", "changed", 2, 1),
        ("evidence \u203a sites", "changed", 0, 2),
    ]


def test_a_new_row_does_not_make_the_rows_after_it_differ() -> None:
    before = {"votes": [{"person": "bo", "answer": "approve"}]}
    after = {"votes": [{"person": "ana", "answer": "reject"}, {"person": "bo", "answer": "approve"}]}
    assert said(before, after) == [("votes \u203a ana", "added", None, {"person": "ana", "answer": "reject"})]
    assert said(after, before) == [("votes \u203a ana", "gone", {"person": "ana", "answer": "reject"}, None)]


def test_rows_of_one_name_are_told_apart_by_their_number() -> None:
    before = {"steps": [{"path": "try", "status": "failed"}, {"path": "try", "status": "running"}]}
    after = {"steps": [{"path": "try", "status": "failed"}, {"path": "try", "status": "completed"}]}
    assert said(before, after) == [("steps \u203a try (2) \u203a status", "changed", "running", "completed")]


def test_what_only_says_when_the_picture_was_taken_is_no_difference() -> None:
    assert said({"as_of": 1.0, "verbs": {"a": ""}}, {"as_of": 2.0, "verbs": {"a": "no"}}) == []


def test_another_thing_is_cut_and_says_so() -> None:
    changes, cut = differences({}, {str(number): "x" for number in range(MOST + 1)})
    assert (len(changes), cut) == (MOST, True)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_somebody_who_looks_is_seen_by_the_others_and_not_by_themselves() -> None:
    clock = Clock()
    presence = Presence(clock)
    assert presence.look("gate", "run-1.3", "lena") == ()
    clock.now = 5.0
    (other,) = presence.look("gate", "run-1.3", "bo")
    assert (other.person, other.since, other.seen) == ("lena", 5.0, 5.0)
    assert [one.person for one in presence.look("gate", "run-1.3", "")] == ["bo", "lena"]
    assert presence.look("gate", "run-2.1", "ana") == (), "another gate is another matter"


def test_who_says_nothing_for_a_while_is_forgotten() -> None:
    clock = Clock()
    presence = Presence(clock)
    presence.look("gate", "run-1.3", "lena")
    clock.now = KEPT_S
    assert presence.look("gate", "run-1.3", "bo") == ()
    presence.leave("gate", "run-1.3", "bo")
    assert presence.look("gate", "run-1.3", "") == ()


def test_it_stays_small_however_much_is_looked_at() -> None:
    presence = Presence(Clock())
    for number in range(THINGS + 10):
        presence.look("gate", str(number), "lena")
    assert len(presence._seen) == THINGS
