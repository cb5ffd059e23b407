"""How a list is shown, changed while one looks at it: its order, its columns, their widths, groups, what stays in view.

Overlays over the list itself; everything is applied at once and kept for next time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen

from screens.widgets.columns import NARROWEST, WIDEST, Column, Shape
from screens.widgets.line import Lines
from screens.widgets.line_table import LineTable
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

AS_GIVEN = "\x00as given"
Keep = Callable[[LineTable], None]


class ListOverlay(ModalScreen[None], inherit_bindings=False):
    """A short list over a screen, with the keys that work in it on its last line."""

    AUTO_FOCUS = "LineTable"
    SCOPED_CSS = False
    KEYS: tuple[tuple[str, str], ...] = (("Enter", "takes it"), ("Esc", "leaves"))
    HEADS: tuple[Column, ...] = (Column("", 30, grow=1),)
    CSS = """
    ListOverlay { align: center middle; background: $background 60%; layout: vertical; }
    ListOverlay Lines { width: 76; max-width: 96%; height: 1; background: $panel; }
    ListOverlay LineTable { width: 76; max-width: 96%; height: auto; max-height: 70%; background: $panel; }
    """

    def compose(self) -> ComposeResult:
        yield Lines(id="overlay-head")
        yield LineTable(self.HEADS, id="overlay-list")
        yield Lines(id="overlay-foot")

    def on_mount(self) -> None:
        self.query_one("#overlay-head", Lines).show((self.head(), []))
        foot: list[Part] = [" "]
        for key, word in self.KEYS:
            foot += [(key, "key"), f" {word}  "]
        self.query_one("#overlay-foot", Lines).show((foot, []))
        self.fill()

    @property
    def choices(self) -> LineTable:
        return self.query_one("#overlay-list", LineTable)

    def head(self) -> list[Part]:
        raise NotImplementedError

    def rows(self) -> list[tuple[str, Cells]]:
        raise NotImplementedError

    def fill(self) -> None:
        rows = self.rows()
        self.choices.styles.height = min(len(rows) + 1, max(3, self.app.size.height - 6))
        self.choices.load(rows)

    def action_leave(self) -> None:
        self.dismiss(None)


def sortable(table: LineTable, column: Column) -> bool:
    """A list in memory is ordered by anything; one that is read page by page only as its source keeps it."""
    return bool(column.title) and (table.source is table.rows or bool(column.sort))


def turned(shape: Shape, title: str) -> Shape:
    """The order when a column is chosen: rising, then falling, then as the list comes."""
    if shape.sort != title:
        return replace(shape, sort=title, down=False)
    return replace(shape, down=True) if not shape.down else replace(shape, sort="", down=False)


class SortScreen(ListOverlay):
    BINDINGS = [Binding("escape,ctrl+g,s,q", "leave", show=False, priority=True)]
    KEYS = (("Enter", "orders by it; again turns it round"), ("Esc", "leaves"))

    def __init__(self, table: LineTable, keep: Keep) -> None:
        super().__init__()
        self._table, self._keep = table, keep

    def head(self) -> list[Part]:
        return [(" Order by ", "title")]

    def rows(self) -> list[tuple[str, Cells]]:
        shape = self._table.shape
        rows: list[tuple[str, Cells]] = [(AS_GIVEN, (["as the list comes", ("" if shape.sort else "  now", "key")],))]
        for column in self._table.columns:
            if not column.title:
                continue
            if not sortable(self._table, column):
                said: list[Part] = [(f"{column.title}  the engine keeps no order by this: / narrows first", "muted")]
            else:
                way = "falling" if shape.down else "rising"
                said = [column.title, (f"  {way} now" if shape.sort == column.title else "", "key")]
            rows.append((column.title, (said,)))
        return rows

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        message.stop()
        table, title = self._table, message.key
        chosen = next((column for column in table.columns if column.title == title), None)
        if chosen is not None and not sortable(table, chosen):
            return
        shape = replace(table.shape, sort="", down=False) if chosen is None else turned(table.shape, title)
        self.dismiss(None)
        table.cursor_key, table.cursor = "", 0
        table.take_shape(shape)
        self._keep(table)


class ColumnsScreen(ListOverlay):
    BINDINGS = [
        Binding("escape,ctrl+g,comma,q", "leave", show=False, priority=True),
        Binding("space,x", "change('shown')", show=False, priority=True),
        Binding("enter,s", "change('order')", show=False, priority=True),
        Binding("b", "change('group')", show=False, priority=True),
        Binding("f", "change('frozen')", show=False, priority=True),
        Binding("plus,equals_sign,right", "widen(1)", show=False, priority=True),
        Binding("minus,left", "widen(-1)", show=False, priority=True),
        Binding("0", "anew", show=False, priority=True),
    ]
    KEYS = (
        ("space", "show"), ("+ -", "width"), ("s", "order"), ("b", "group"), ("f", "freeze"), ("0", "reset"),
        ("Esc", "done"),
    )  # fmt: skip
    HEADS = (Column("COLUMN", 20, grow=1), Column("WIDTH", 6, align="right"), Column("", 34))

    def __init__(self, table: LineTable, keep: Keep) -> None:
        super().__init__()
        self._table, self._keep = table, keep

    def head(self) -> list[Part]:
        return [(" Columns ", "title"), " what is changed here is kept for next time"]

    def rows(self) -> list[tuple[str, Cells]]:
        shape = self._table.shape
        shown = [column for column in self._table.columns if column.title not in shape.hidden]
        frozen = shown[: shape.frozen]
        rows: list[tuple[str, Cells]] = []
        for place, column in enumerate(self._table.columns):
            there = column in shown
            said: list[str] = []
            if column.title and shape.sort == column.title:
                said.append("falling order" if shape.down else "rising order")
            if column.title and shape.group == column.title:
                said.append("in groups")
            if column in frozen:
                said.append("stays in view")
            if there and not self._table.cells_of(place):
                said.append("no room: > scrolls")
            wide = shape.widths.get(column.title)
            size: Part = (str(wide), "key") if wide else (str(column.width), "muted")
            name: Part = f"[x] {column.title}" if there else (f"[ ] {column.title}", "muted")
            rows.append((f"{place}", (name, size, (", ".join(said), "muted"))))
        return rows

    def action_change(self, what: str) -> None:
        table = self._table
        column = table.columns[int(self.choices.cursor_key or 0)]
        shape = table.shape
        if not column.title:
            return
        if what == "shown":
            hidden = shape.hidden ^ {column.title}
            if len(hidden & {one.title for one in table.columns}) < len(table.columns):
                shape = replace(shape, hidden=hidden)
        elif what == "order":
            shape = turned(shape, column.title) if sortable(table, column) else shape
        elif what == "group":
            if table.source is not table.rows:
                said = "this list is read page by page: s orders it by workflow or status"
                self.query_one("#overlay-head", Lines).show(([(" Columns ", "title"), " ", (said, "caution")], []))
                return
            shape = replace(shape, group="" if shape.group == column.title else column.title)
        elif what == "frozen":
            shown = [one.title for one in table.columns if one.title not in shape.hidden]
            if column.title in shown:
                upto = shown.index(column.title) + 1
                shape = replace(shape, frozen=upto if upto != shape.frozen else upto - 1)
        self._take(shape)

    def action_widen(self, by: int) -> None:
        table = self._table
        place = int(self.choices.cursor_key or 0)
        column, shape = table.columns[place], table.shape
        now = shape.widths.get(column.title) or table.cells_of(place) or column.width
        widths = {**shape.widths, column.title: max(NARROWEST, min(WIDEST, now + by))}
        self._take(replace(shape, widths=widths))

    def action_anew(self) -> None:
        self._take(Shape())

    def _take(self, shape: Shape) -> None:
        if shape != self._table.shape:
            self._table.take_shape(shape)
            self._keep(self._table)
        self.choices.merge(self.rows())

    def on_line_table_opened(self, message: Any) -> None:
        message.stop()
        self.action_change("order")
