"""Trails: back, forward, and what is forgotten; marks survive a settings file that anybody may have edited."""

from __future__ import annotations

from dataclasses import replace

import pytest

from screens.trail import LENGTH, Spot, Trail, restored, stored
from tests.unit.console.conftest import Open, screen_text, settled

NOUNS = frozenset({"runs", "run", "gates", "gate"})


def walked(*places: tuple[str, str]) -> Trail:
    trail = Trail()
    for noun, id in places:
        trail.arrive(Spot(noun, id))
    return trail


def test_back_and_forward_go_the_same_way() -> None:
    trail = walked(("watch", ""), ("runs", ""), ("run", "run-1"))
    assert [spot.words for spot in iter(lambda: trail.step(-1), None)] == ["runs", "watch"]
    assert [spot.words for spot in iter(lambda: trail.step(1), None)] == ["runs", "run run-1"]


def test_coming_back_up_leaves_the_way_down_open() -> None:
    trail = walked(("runs", ""), ("run", "run-1"), ("runs", ""))
    assert trail.here == Spot("runs")
    assert trail.step(1) == Spot("run", "run-1")


def test_going_elsewhere_from_the_middle_forgets_what_lay_ahead() -> None:
    trail = walked(("watch", ""), ("runs", ""), ("run", "run-1"))
    trail.step(-1)
    trail.arrive(Spot("gates"))
    assert trail.step(1) is None
    assert trail.step(-1) == Spot("runs")


def test_a_place_is_left_as_it_looked() -> None:
    trail = walked(("runs", ""))
    trail.note("status:failed", "run-9")
    trail.arrive(Spot("run", "run-9"))
    assert trail.step(-1) == Spot("runs", "", "status:failed", "run-9")


def test_a_trail_is_bounded() -> None:
    trail = walked(*(("run", f"run-{number}") for number in range(LENGTH * 2)))
    assert len(trail.spots) == LENGTH
    assert trail.here == Spot("run", f"run-{LENGTH * 2 - 1}")


def test_marks_come_back_from_the_settings_as_they_were() -> None:
    spot = Spot("gate", "run-4.7", "", "", (("gates", ""),))
    assert restored(stored(spot), NOUNS) == spot
    assert restored(stored(replace(spot, under=(("nowhere", ""),))), NOUNS) == replace(spot, under=())


@pytest.mark.parametrize(
    "value", [None, 4, "runs", [], {}, {"noun": "nowhere"}, {"noun": "runs", "id": 4}, {"noun": ["runs"]}]
)
def test_what_is_no_mark_is_left_out(value: object) -> None:
    try:
        assert restored(value, NOUNS) is None
    except TypeError:
        pytest.fail("a settings file can't break the console")


async def test_the_header_says_the_way_and_back_and_forward_walk_it(opened: Open) -> None:
    async with opened((120, 36)) as (console, pilot):
        await pilot.press("2")
        await settled(pilot)
        row = console.screen.row
        await pilot.press("enter")
        await settled(pilot)
        assert f"Runs › {row}" in screen_text(console).splitlines()[0]
        await pilot.press("3")
        await settled(pilot)
        await pilot.press("ctrl+o")
        await settled(pilot)
        assert console.screen.place == ("run", row)
        assert f"Runs › {row}" in screen_text(console).splitlines()[0]
        await pilot.press("ctrl+o")
        await settled(pilot)
        assert console.screen.place == ("runs", "")
        await pilot.press("ctrl+n", "ctrl+n")
        await settled(pilot)
        assert console.screen.place == ("gates", "")
        await pilot.press("ctrl+n")
        assert "nothing lies ahead" in screen_text(console)


async def test_a_mark_brings_back_the_place_with_its_filter(opened: Open) -> None:
    async with opened((120, 36)) as (console, pilot):
        await pilot.press("2", "slash", *"failed", "enter")
        await settled(pilot)
        await pilot.press("m", "a", "3")
        await settled(pilot)
        assert console.screen.NAME == "gates"
        await pilot.press("apostrophe", "a")
        await settled(pilot)
        assert console.screen.NAME == "runs"
        assert console.screen.filter == "failed"
        await pilot.press("apostrophe", "z")
        assert "nothing is marked z; marks: a" in screen_text(console)


async def test_a_count_moves_and_changes_nothing_else(opened: Open) -> None:
    async with opened((120, 36)) as (console, pilot):
        await pilot.press("2")
        await settled(pilot)
        table = console.screen.query_one("#runs")
        await pilot.press("ctrl+u", "1", "2", "j")
        assert table.cursor == 12
        await pilot.press("ctrl+u", "5", "k")
        assert table.cursor == 7
        await pilot.press("ctrl+u", "3", "G")
        assert table.cursor == 2
        await pilot.press("ctrl+u", "9", "escape", "j")
        assert table.cursor == 3
        await pilot.press("enter")
        await settled(pilot)
        before = len(console.client.commands)
        await pilot.press("ctrl+u", "3", "p")
        assert "a count moves; it does nothing to p" in screen_text(console)
        assert len(console.client.commands) == before


async def test_digits_can_be_counts_by_choice(opened: Open) -> None:
    async with opened((120, 36)) as (console, pilot):
        console.keep("digits", "count")
        await pilot.press("2", "enter")
        await settled(pilot)
        assert console.screen.NAME == "runs"
        await pilot.press("1", "0", "j")
        assert console.screen.query_one("#runs").cursor == 10
