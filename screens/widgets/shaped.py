"""What a reader may change about a list, and the state of it: columns, order, groups, marks, and cells that glow.

`LineTable` paints; here is what it paints by. Nothing here moves a row that is being read: an order is made when it is
asked for, and when rows are taken in.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic

from textual.geometry import Region
from textual.scroll_view import ScrollView

from screens.widgets.columns import Column, Shape, Span, furthest, lay_out
from screens.widgets.marks import GLOW_S, Glows, Marks
from screens.widgets.parts import Toned
from screens.widgets.rows import Cells, Rows, Source, Wide


class ShapedTable(ScrollView, Toned):
    DEFAULT_CSS = "LineTable > .table--glow { background: $qd-cursor-away; text-style: bold; }"

    def __init__(self, columns: Iterable[Column], *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.columns = list(columns)
        self.shape = Shape()
        self.shift = 0
        self.marks = Marks()
        self.glows = Glows()
        self.rows = Rows()
        self.rows.titles = [column.title for column in self.columns]
        self.source: Source = self.rows
        self._spans: list[Span] = []

    # -- what the painting half does ------------------------------------------------------------------------------

    @property
    def cells_wide(self) -> int:
        """Cells a row has, the scrollbar left out."""
        return self.scrollable_content_region.width

    @property
    def showing(self) -> bool:
        """On the screen now."""
        raise NotImplementedError

    def reload(self) -> None:
        """The source has other rows or another order."""
        raise NotImplementedError

    def refresh_row(self, place: int, old: Cells | None = None) -> None:
        """Repaint one row, and of it only the columns that differ from `old`."""
        raise NotImplementedError

    def order_from_source(self, sort: str) -> None:
        """Ask for another order of a list that is not held in memory."""
        raise NotImplementedError

    def _changed(self) -> None:
        raise NotImplementedError

    # -- as the reader wants it -----------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        """Which columns fit, where they start and how wide they are."""
        self._spans = lay_out(self.columns, self.shape, self.cells_wide, self.shift)

    def cells_of(self, column: int) -> int:
        """Cells a column has now; 0 while there is no room for it."""
        if not self._spans and self.columns:
            self._lay_out()
        return next((size for shown, _, size in self._spans if shown == column), 0)

    def take_shape(self, shape: Shape) -> None:
        """Columns, widths, order and groups as a person wants them."""
        self.shape = shape
        titles = self.rows.titles
        self.shift = 0
        if self.source is self.rows:
            by = (titles.index(shape.sort), shape.down) if shape.sort in titles else None
            self.rows.arrange(by, titles.index(shape.group) if shape.group in titles else None)
        elif (sort := self.wanted_order) is not None:
            self.order_from_source(sort)
        self._lay_out()
        self.reload()

    @property
    def wanted_order(self) -> str | None:
        """The reader's order in the words of a source that is not in memory; empty for its own, None if it has none."""
        if not self.shape.sort:
            return ""
        names = {column.title: column.sort for column in self.columns if column.sort}
        name = names.get(self.shape.sort)
        return f"{'-' if self.shape.down else ''}{name}" if name else None

    def move_columns(self, by: int) -> bool:
        """Scroll sideways by columns; the frozen ones stay. False when there is nothing more on that side."""
        fresh = max(0, min(self.shift + by, furthest(self.columns, self.shape, self.cells_wide)))
        if fresh == self.shift:
            return False
        self.shift = fresh
        self._lay_out()
        self._changed()
        return True

    def mark(self, keys: Iterable[str]) -> None:
        """Mark or unmark rows: one is toggled, several are all marked, or all let go when they were marked already."""
        wanted = [key for key in keys if key]
        before = self.marks.keys
        if len(wanted) == 1:
            self.marks.toggle(wanted[0])
        else:
            self.marks.all_or_none(wanted)
        self._repaint_marks(before)

    def mark_to(self, key: str) -> None:
        """Mark every row from the one marked last to this one."""
        before = self.marks.keys
        self.marks.add(self.keys_between(self.marks.last or key, key))
        self._repaint_marks(before)

    def unmark(self, keys: Iterable[str] | None = None) -> None:
        """Let go of these marks, or of all."""
        before = self.marks.keys
        self.marks.clear() if keys is None else self.marks.drop(keys)
        self._repaint_marks(before)

    def _repaint_marks(self, before: tuple[str, ...]) -> None:
        for key in set(before).symmetric_difference(self.marks.keys):
            if (place := self.source.place(key)) is not None:
                self.refresh_row(place)
        if self.showing:
            self.refresh(Region(0, 0, self.size.width, 1))

    def keys_between(self, first: str, last: str) -> list[str]:
        """The keys of the rows from one to the other that are here and can be selected."""
        places = sorted(place for key in (first, last) if (place := self.source.place(key)) is not None)
        return self.keys_at(range(places[0], places[-1] + 1)) if places else []

    def keys_at(self, places: Iterable[int]) -> list[str]:
        rows = ((self.source.key(place), self.source.cells(place)) for place in places)
        return [key for key, cells in rows if key and not (isinstance(cells, Wide) and not cells.selectable)]

    def _title(self, column: Column) -> str:
        """Its title; the column a person ordered by says which way."""
        if not column.title or column.title != self.shape.sort:
            return column.title
        return f"{column.title} {'v' if self.shape.down else '^'}"

    def _glow(self, key: str, column: int) -> None:
        """The cell is shown as changed for a moment. No timer runs while nothing glows."""
        if not self.glows:
            self.set_timer(GLOW_S, self._dim)
        self.glows.add(key, column, monotonic())

    def _dim(self) -> None:
        for key in self.glows.over(monotonic() + 0.05):
            if (place := self.source.place(key)) is not None:
                self.refresh_row(place)
        if self.glows:
            self.set_timer(GLOW_S / 2, self._dim)
