"""Columns, orders and marks without a widget: what fits, what comes first, what is news."""

from __future__ import annotations

import pytest

from screens.widgets.columns import Column, Shape, furthest, lay_out, only_time_passed, sort_key
from screens.widgets.marks import GLOW_S, GLOWS, Glows, Marks
from screens.widgets.rows import HEADING, Rows, Wide

COLUMNS = [Column("NAME", 8), Column("SITE", 5, optional=1), Column("WHAT", 10, grow=1), Column("AGE", 6, optional=2)]


@pytest.mark.parametrize(
    ("texts", "ordered"),
    [
        (["a10", "a2", "A1"], ["A1", "a2", "a10"]),
        (["2h", "<1m", "3d", "59m", "1h30m"], ["<1m", "59m", "1h30m", "2h", "3d"]),
        (["1,204", "38", "-2", "7.5"], ["-2", "7.5", "38", "1,204"]),
        (["84%", "9%", "100%"], ["9%", "84%", "100%"]),
        (["", "b", " ", "a"], ["a", "b", "", " "]),
        (["✗ failed", "▸ running", "○ waiting"], ["✗ failed", "▸ running", "○ waiting"]),
    ],
)
def test_cells_are_ordered_as_people_read_them(texts: list[str], ordered: list[str]) -> None:
    assert sorted(texts, key=sort_key) == ordered


@pytest.mark.parametrize("hostile", ["²", "١٢", "9" * 5000, "\x1b[2J", "1" + "m" * 400, "-", "1..2", "∞"])
def test_any_text_has_a_place_in_the_order(hostile: str) -> None:
    assert sorted([hostile, "a", "1", "3m", ""], key=sort_key)


def test_an_age_that_grows_is_no_news_a_number_is() -> None:
    assert only_time_passed("gate 59m", "gate 1h")
    assert only_time_passed("due 14:05", "due 14:06")
    assert not only_time_passed("4 robots", "5 robots")
    assert not only_time_passed("running", "failed")


def test_columns_that_matter_least_make_room() -> None:
    shown = [place for place, _, _ in lay_out(COLUMNS, Shape(), 26)]
    assert shown == [0, 1, 2]
    assert [place for place, _, _ in lay_out(COLUMNS, Shape(), 20)] == [0, 2]


def test_shifted_columns_reach_every_one_and_the_frozen_stay() -> None:
    reach = furthest(COLUMNS, Shape(), 20)
    seen = {place for shift in range(reach + 1) for place, _, _ in lay_out(COLUMNS, Shape(), 20, shift)}
    assert seen == {0, 1, 2, 3}
    assert all(lay_out(COLUMNS, Shape(), 20, shift)[0][0] == 0 for shift in range(reach + 1))
    assert furthest(COLUMNS, Shape(), 80) == 0


def test_no_column_ends_outside_the_room() -> None:
    for room in range(1, 60):
        for shift in range(4):
            for shape in (Shape(), Shape(widths={"NAME": 40}), Shape(frozen=3), Shape(hidden={"NAME", "WHAT"})):
                spans = lay_out(COLUMNS, shape, room, shift)
                assert all(x + size <= max(room, 2) for _, x, size in spans)


def test_a_shape_comes_back_from_the_settings_as_it_was() -> None:
    shape = Shape({"SITE"}, {"WHAT": 30}, 2, "AGE", True, "NAME")
    assert Shape.read(shape.kept()) == shape
    assert Shape().kept() == {}


@pytest.mark.parametrize(
    "kept",
    [None, 7, [], {"hidden": "SITE", "widths": [1], "frozen": "x"}, {"widths": {"A": "wide", 3: 4}}, {"frozen": -3}],
)
def test_a_settings_file_somebody_broke_gives_a_plain_list(kept: object) -> None:
    assert Shape.read(kept) == Shape()


def rows() -> Rows:
    held = Rows()
    held.titles = ["NAME", "SITE", "AGE"]
    held.load([
        ("\x00head", Wide(["a heading of the screen"])),
        ("r1", ("r1", "HAM2", "3m")), ("r2", ("r2", "LYO1", "2h")), ("r3", ("r3", "HAM2", "<1m")), ("r4", ("r4", "", "1d")),
    ])  # fmt: skip
    return held


def order(held: Rows) -> list[str]:
    return [key for place in range(len(held)) if (key := held.key(place))]


def test_an_order_of_the_readers_own_and_back() -> None:
    held = rows()
    held.arrange((2, False), None)
    assert order(held) == ["r3", "r1", "r2", "r4"]
    held.arrange((2, True), None)
    assert order(held) == ["r4", "r2", "r1", "r3"]
    held.arrange(None, None)
    assert order(held) == ["\x00head", "r1", "r2", "r3", "r4"]


def test_what_has_no_value_is_last_whichever_way_round() -> None:
    held = rows()
    for down in (False, True):
        held.arrange((1, down), None)
        assert order(held)[-1] == "r4"


def test_groups_have_headings_with_their_count_and_empty_ones_go_with_a_filter() -> None:
    held = rows()
    held.arrange((2, True), 1)
    assert order(held) == [f"{HEADING}HAM2", "r1", "r3", f"{HEADING}LYO1", "r2", HEADING, "r4"]
    held.narrow("ham2")
    assert order(held) == [f"{HEADING}HAM2", "r1", "r3"]
    assert held.total == 4
    held.narrow("")
    held.arrange(None, None)
    assert order(held) == ["\x00head", "r1", "r2", "r3", "r4"]


def test_news_moves_no_row_of_an_order_until_it_is_taken_in() -> None:
    held = rows()
    held.arrange((2, False), None)
    held.merge([("r1", ("r1", "HAM2", "9d")), ("r2", ("r2", "LYO1", "2h")), ("r3", ("r3", "HAM2", "<1m")),
                ("r4", ("r4", "", "1d")), ("r5", ("r5", "LYO1", "4m"))])  # fmt: skip
    assert order(held) == ["r3", "r1", "r2", "r4"]
    assert not held.in_order
    held.take()
    assert order(held) == ["r3", "r5", "r2", "r4", "r1"]


def test_a_filter_may_ask_for_fields() -> None:
    held = rows()
    held.narrow("site:LYO1", lambda fields: fields.get("site") == "LYO1")
    assert order(held) == ["\x00head", "r2"]
    assert held.fields("r2") == {"name": "r2", "site": "LYO1", "age": "2h", "": "r2 LYO1 2h"}


def test_marks_are_toggled_ranged_and_let_go() -> None:
    marks = Marks()
    marks.toggle("a")
    assert marks.last == "a"
    marks.add(["b", "c"])
    assert list(marks.keys) == ["a", "b", "c"]
    marks.toggle("b")
    assert list(marks.keys) == ["a", "c"]
    marks.all_or_none(["a", "b", "c"])
    assert len(marks) == 3
    marks.all_or_none(["a", "b", "c"])
    assert not marks


def test_glows_are_few_and_end() -> None:
    glows = Glows()
    for number in range(GLOWS + 5):
        glows.add(f"r{number}", 0, 100.0)
    assert len(glows) == GLOWS
    assert glows.on("r0", 0)
    assert not glows.on("r0", 1)
    assert glows.over(100.0) == set()
    assert "r0" in glows.over(100.0 + GLOW_S)
    assert not glows
