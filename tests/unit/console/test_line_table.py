"""The one list: rows keep their place, the cursor keeps its row, one changed cell repaints one span."""

from __future__ import annotations

from time import monotonic
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region

import themes
from screens.widgets.line_table import QUIET_S, Column, LineTable
from screens.widgets.rows import Cells, Rows, Wide


class TableApp(App[None]):
    CSS_PATH = themes.SHEETS

    def __init__(self, table: LineTable) -> None:
        super().__init__()
        self.table = table
        themes.register(self)
        self.theme = "night"

    def compose(self) -> ComposeResult:
        yield self.table


def rows(*names: str) -> list[tuple[str, Cells]]:
    return [(name, (name, f"value {name}")) for name in names]


def table() -> LineTable:
    return LineTable([Column("NAME", 8), Column("VALUE", 12, grow=1)], id="t")


def shown(one: LineTable) -> list[str]:
    return [one.render_line(y).text.rstrip() for y in range(one.size.height)]


async def test_keys_move_the_cursor_and_enter_opens_its_row() -> None:
    opened: list[str] = []

    class Listening(TableApp):
        def on_line_table_opened(self, message: LineTable.Opened) -> None:
            opened.append(message.key)

    app = Listening(table())
    async with app.run_test(size=(40, 8)) as pilot:
        app.table.load(rows(*(f"r{i}" for i in range(30))))
        app.table.focus()
        for key, expected in (
            ("j", "r1"), ("j", "r2"), ("k", "r1"), ("G", "r29"), ("g", "r0"), ("pagedown", "r7"), ("pageup", "r0"),
            ("down", "r1"), ("up", "r0"), ("end", "r29"), ("home", "r0"), ("ctrl+f", "r7"),
        ):  # fmt: skip
            await pilot.press(key)
            assert app.table.cursor_key == expected, key
        await pilot.press("enter")
        await pilot.pause()
        assert opened == ["r7"]


async def test_the_row_under_the_cursor_stays_while_the_list_is_read() -> None:
    app = TableApp(table())
    async with app.run_test(size=(40, 10)) as pilot:
        app.table.load(rows("a", "b", "c"))
        app.table.focus()
        await pilot.press("j")
        app.table.merge(rows("new1", "c", "new2", "b"))
        assert app.table.cursor_key == "b"
        assert [app.table.source.key(i) for i in range(3)] == ["a", "b", "c"]
        assert "+2 new" in app.table.chip
        assert "a" in app.table.rows.gone
        await pilot.press("g")
        assert [app.table.source.key(i) for i in range(4)] == ["new1", "c", "new2", "b"]
        assert app.table.chip == ""


async def test_a_list_nobody_touches_takes_new_rows_in_and_the_cursor_keeps_its_key() -> None:
    app = TableApp(table())
    async with app.run_test(size=(40, 10)) as pilot:
        app.table.load(rows("a", "b", "c"))
        app.table.focus()
        await pilot.press("j")
        app.table._touched = monotonic() - QUIET_S - 1
        app.table.merge(rows("new", "a", "b", "c"))
        assert app.table.cursor_key == "b"
        assert app.table.source.key(0) == "new"


async def test_a_gone_row_cannot_be_opened() -> None:
    opened: list[str] = []

    class Listening(TableApp):
        def on_line_table_opened(self, message: LineTable.Opened) -> None:
            opened.append(message.key)

    app = Listening(table())
    async with app.run_test(size=(40, 10)) as pilot:
        app.table.load(rows("a", "b"))
        app.table.focus()
        await pilot.press("j")
        app.table.merge(rows("a"))
        await pilot.press("enter")
        await pilot.pause()
        assert opened == []


async def test_one_changed_cell_repaints_its_column_only(monkeypatch: pytest.MonkeyPatch) -> None:
    app = TableApp(table())
    async with app.run_test(size=(40, 10)):
        app.table.load(rows("a", "b", "c"))
        painted: list[Region] = []
        real = app.table.refresh

        def spy(*regions: Region, **options: Any) -> LineTable:
            painted.extend(regions)
            return real(*regions, **options)

        monkeypatch.setattr(app.table, "refresh", spy)
        app.table.put("b", ("b", "other"))
        assert [(region.y, region.height) for region in painted] == [(2, 1)]
        assert painted[0].width < 40 and painted[0].x == 10
        painted.clear()
        app.table.put("b", ("b", "other"))
        assert painted == []


async def test_a_hidden_row_repaints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = TableApp(table())
    async with app.run_test(size=(40, 8)):
        app.table.load(rows(*(f"r{i}" for i in range(100))))
        painted: list[Region] = []
        monkeypatch.setattr(app.table, "refresh", lambda *regions, **options: painted.extend(regions))
        app.table.put("r90", ("r90", "changed"))
        assert painted == []


async def test_headings_are_never_under_the_cursor() -> None:
    app = TableApp(table())
    async with app.run_test(size=(40, 10)) as pilot:
        app.table.load([("#1", Wide(["HEAD"])), *rows("a"), ("#2", Wide(["MORE"])), *rows("b")])
        app.table.focus()
        assert app.table.cursor_key == "a"
        await pilot.press("j")
        assert app.table.cursor_key == "b"
        await pilot.press("g")
        assert app.table.cursor_key == "a"


async def test_narrow_columns_vanish_in_their_order_and_come_back() -> None:
    one = LineTable(
        [Column("ID", 6), Column("TITLE", 10, grow=1), Column("BY", 8, optional=2), Column("AT", 8, optional=1)]
    )
    app = TableApp(one)
    async with app.run_test(size=(60, 6)) as pilot:
        one.load([("a", ("a", "title", "mara", "09:14"))])
        await pilot.pause()
        assert "BY" in shown(one)[0] and "AT" in shown(one)[0]
        await pilot.resize_terminal(30, 6)
        await pilot.pause()
        assert "BY" not in shown(one)[0] and "AT" in shown(one)[0]
        await pilot.resize_terminal(20, 6)
        await pilot.pause()
        assert "AT" not in shown(one)[0] and "TITLE" in shown(one)[0]
        await pilot.resize_terminal(60, 6)
        await pilot.pause()
        assert "mara" in shown(one)[1]


@pytest.mark.parametrize(
    "text", ["[/]", "[@click=app.quit]x[/]", "\x1b[2Jboo", "\u6a5f\u68b0\u4eba" * 20, "\U0001f916" * 30]
)
async def test_hostile_cells_are_drawn_as_text_and_exactly_as_wide_as_the_table(text: str) -> None:
    app = TableApp(table())
    async with app.run_test(size=(40, 6)) as pilot:
        app.table.load([("k", (text, text)), ("w", Wide([text], selectable=True))])
        await pilot.pause()
        for y in (1, 2):
            strip = app.table.render_line(y)
            assert strip.cell_length == app.table.cells_wide
            assert "\x1b" not in strip.text
            assert all(segment.style is None or not segment.style.meta for segment in strip)


async def test_a_log_follows_its_end_until_the_reader_leaves_it() -> None:
    one = LineTable([Column("LINE", 10, grow=1)], follow=True)
    app = TableApp(one)
    async with app.run_test(size=(40, 8)) as pilot:
        one.load([(f"l{i}", (f"line {i}",)) for i in range(20)])
        one.focus()
        await pilot.press("G")
        one.append([("l20", ("line 20",))])
        assert one.cursor_key == "l20"
        await pilot.press("k")
        one.append([("l21", ("line 21",))])
        assert one.cursor_key == "l19"


async def test_a_click_selects_and_a_second_click_opens() -> None:
    opened: list[str] = []

    class Listening(TableApp):
        def on_line_table_opened(self, message: LineTable.Opened) -> None:
            opened.append(message.key)

    app = Listening(table())
    async with app.run_test(size=(40, 10)) as pilot:
        app.table.load(rows("a", "b", "c"))
        await pilot.click(LineTable, offset=(3, 3))
        assert app.table.cursor_key == "c"
        await pilot.click(LineTable, offset=(3, 3))
        await pilot.pause()
        assert opened == ["c"]


def test_a_filter_keeps_headings_and_matching_rows() -> None:
    source = Rows()
    source.load([("#", Wide(["H"])), *rows("alpha", "beta")])
    source.narrow("BET")
    assert [source.key(i) for i in range(len(source))] == ["#", "beta"]
    source.narrow("")
    assert len(source) == 3


async def test_a_hundred_thousand_rows_move_in_milliseconds() -> None:
    app = TableApp(table())
    async with app.run_test(size=(120, 40)) as pilot:
        app.table.load(rows(*(f"r{i}" for i in range(100_000))))
        app.table.focus()
        await pilot.pause()
        begin = monotonic()
        for _ in range(20):
            app.table.action_move(1)
            app.table.put("r5", ("r5", f"{begin}"))
        assert (monotonic() - begin) / 20 < 0.01
