"""Our one list: a table on Textual's line API. Only visible lines are painted, one changed cell repaints one span.

Rules: rows are addressed by key; the cursor stays on its key; nothing is painted while the screen is covered (`wake`
catches up); rows the source has not loaded show as dots; an order of the reader's own (`shape`) is as still as any other. Never a DataTable, ListView or Tree on live data: one changed
cell costs them the whole widget on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Offset, Region, Size
from textual.message import Message
from textual.strip import Strip

from screens.query import narrowing
from screens.widgets.columns import Column, only_time_passed
from screens.widgets.parts import Parts, plain, width, wrap
from screens.widgets.rows import Cells, Matches, Source, Wide
from screens.widgets.shaped import ShapedTable

__all__ = ["Column", "LineTable"]

QUIET_S = 10.0
"""A list that nobody touched for this long takes new rows in by itself; the cursor stays on its key."""


NONE_FIT = "Nothing here fits the filter. Esc clears it."


class LineTable(ShapedTable, can_focus=True):
    BINDINGS = [
        Binding("down,j", "move(1)", show=False),
        Binding("up,k", "move(-1)", show=False),
        Binding("pagedown,ctrl+f", "page(1)", show=False),
        Binding("pageup,ctrl+b", "page(-1)", show=False),
        Binding("G,end,ctrl+end", "edge(1)", show=False),
        Binding("g,home,ctrl+home", "edge(-1)", show=False),
        Binding("full_stop", "take", show=False),
        Binding("enter", "open", show=False),
    ]
    COMPONENT_CLASSES = {"table--head", "table--cursor", "table--cursor-away", "table--gone", "table--glow"}

    class Opened(Message):
        """Enter, or a click on the row under the cursor."""

        def __init__(self, table: LineTable, key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> LineTable:
            return self.table

    class Moved(Message):
        """The cursor is on another row. Newer ones replace older ones."""

        def __init__(self, table: LineTable, key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> LineTable:
            return self.table

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LineTable.Moved) and message.table is self.table

    class Topped(Message):
        """Top of the list asked for: the moment to take a new order in."""

        def __init__(self, table: LineTable) -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> LineTable:
            return self.table

    class Ordered(Message):
        """The reader wants another order of a list that is not held in memory: its source has to be asked."""

        def __init__(self, table: LineTable, sort: str) -> None:
            super().__init__()
            self.table = table
            self.sort = sort

        @property
        def control(self) -> LineTable:
            return self.table

    def __init__(
        self,
        columns: Iterable[Column] = (),
        *,
        empty: Parts = ("Nothing here.",),
        head: bool = True,
        follow: bool = False,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        """`follow`: a log; stays at the end until the reader moves away from it."""
        super().__init__(columns, id=id, classes=classes)
        self.empty = empty
        self.head = head
        self.follow = follow
        self.cursor = 0
        self.cursor_key = ""
        self.chip = ""
        self._touched = -QUIET_S
        self._stale = False
        self._moved_once = False

    # -- content ------------------------------------------------------------------------------------------------

    def attach(self, source: Source) -> None:
        """Show another source (rows that are fetched as they are looked at)."""
        self.source = source
        self.reload()

    def load(self, rows: Iterable[tuple[str, Cells]]) -> None:
        """Replace everything. The cursor stays on its key if that still exists."""
        self.rows.load(rows)
        self.reload()

    def merge(self, rows: Iterable[tuple[str, Cells]]) -> None:
        """New content for a live list: in place while it is being read, taken in whole when nobody touches it."""
        if not self.rows.total or not self.being_read:
            rows = list(rows)
            if not self.rows.shaped_like(rows):
                self.load(rows)
                return
            changed = self.rows.merge(rows)
            self._repaint_changed(changed)
            if changed and not self.rows.in_order:
                self.rows.arrange(self.rows.by, self.rows.grouped)
                self.reload()
            return
        self._repaint_changed(self.rows.merge(rows))
        self.say_chip(f"+{self.rows.waiting} new \u00b7 g" if self.rows.waiting else "")

    def put(self, key: str, cells: Cells) -> None:
        """Change one row in its place, or append it."""
        place = self.rows.place(key)
        old = self.rows.cells(place) if place is not None else None
        size = len(self.rows)
        place = self.rows.put(key, cells)
        if len(self.rows) != size:
            self._grown()
        if place is not None and old != cells:
            self.refresh_row(place, old)

    def append(self, rows: Iterable[tuple[str, Cells]], keep: int = 0) -> None:
        """Add rows at the end; with `follow` the end stays in view. Beyond `keep` rows the oldest are dropped."""
        at_end = self.follow and self.cursor >= len(self.rows) - 1
        fresh = [(key, cells) for key, cells in rows if self.rows.place(key) is None]
        if not fresh:
            return
        size = len(self.rows)
        for key, cells in fresh:
            self.rows.put(key, cells)
        if keep and len(self.rows) > keep + keep // 4:
            every = [(k, c) for i in range(len(self.rows)) if (k := self.rows.key(i)) and (c := self.rows.cells(i))]
            self.rows.load(every[-keep:])
            self.reload()
        if at_end and len(self.rows):
            self._grown()
            self._go(len(self.rows) - 1)
            self._changed()
        else:
            self._grown()
            for place in range(size, len(self.rows)):
                self.refresh_row(place)

    def order_from_source(self, sort: str) -> None:
        self.post_message(self.Ordered(self, sort))

    def narrow(self, text: str, matches: Matches | None = None) -> None:
        """Show only rows that fit the filter `text` (`screens.query`), or those of which `matches` says so."""
        self.rows.narrow(text, matches or narrowing(text, self.rows.titles))
        self.reload()

    def reload(self) -> None:
        """The source has other rows or another order: keep the key under the cursor, repaint."""
        size = len(self.source)
        place = self.source.place(self.cursor_key) if self.cursor_key else None
        before = self.cursor - self.scroll_offset.y
        self.cursor = self._selectable(place if place is not None else min(self.cursor, size - 1), 1)
        self.cursor_key = self.source.key(self.cursor) or ""
        self._grown()
        if place is not None and self._moved_once and size > self._page:
            self.scroll_to(y=max(0, self.cursor - before), animate=False, immediate=True)
        else:
            self._reveal()
        self.chip = ""
        self._changed()

    def rows_arrived(self) -> None:
        """The source loaded more of what it has: dots become rows, nothing moves."""
        place = self.source.place(self.cursor_key) if self.cursor_key else None
        if place is not None and place != self.cursor:  # the list turned out longer: its end moved, the cursor with it
            self.reload()
            return
        self._grown()
        if not self.cursor_key:
            self.cursor_key = self.source.key(self.cursor) or ""
        self._look()
        self._changed()

    def _repaint_changed(self, changed: list[tuple[int, Cells | None]]) -> None:
        for place, old in changed:
            self.refresh_row(place, old)

    @property
    def being_read(self) -> bool:
        """Somebody moved in this list a moment ago."""
        return monotonic() - self._touched < QUIET_S

    def say_chip(self, chip: str) -> None:
        if chip != self.chip:
            self.chip = chip
            if self.showing:
                self.refresh(Region(0, 0, self.size.width, 1))

    # -- painting -----------------------------------------------------------------------------------------------

    @property
    def showing(self) -> bool:
        """On the screen now. A covered or hidden table paints nothing and catches up in `wake`.

        Not `is_current`: Textual counts the screen below an opaque one as current and repaints everything for it.
        """
        if not self.is_attached or not self.display:
            return False
        try:
            return self.screen.is_active
        except Exception:  # noqa: BLE001  no screen while being mounted or removed: Textual has several errors for it
            return False

    def wake(self) -> None:
        """The screen is in front again."""
        if self._stale:
            self._stale = False
            self._grown()
            self.refresh()

    def _changed(self) -> None:
        if self.showing:
            self.refresh()
        else:
            self._stale = True

    def refresh_row(self, place: int, old: Cells | None = None) -> None:
        """Repaint one row, and of it only the columns that differ from `old`."""
        if not self.showing:
            self._stale = True
            return
        y = place + self.head - self.scroll_offset.y
        if not self.head <= y < self.size.height:
            return
        cells = self.source.cells(place)
        if old is None or cells is None or isinstance(old, Wide) or isinstance(cells, Wide):
            self.refresh(Region(0, y, self.size.width, 1))
            return
        key = self.source.key(place) or ""
        for column, x, size in self._spans:
            if column >= len(old) or column >= len(cells):
                self.refresh(Region(x, y, size, 1))
            elif old[column] != cells[column]:
                if not only_time_passed(plain(old[column]), plain(cells[column])):
                    self._glow(key, column)
                self.refresh(Region(x, y, size, 1))

    @property
    def _page(self) -> int:
        return max(1, self.size.height - self.head)

    def _grown(self) -> None:
        wanted = Size(self.cells_wide, len(self.source) + self.head)
        if wanted != self.virtual_size:
            self.virtual_size = wanted

    def on_resize(self) -> None:
        self._lay_out()
        self._grown()
        self._reveal()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._look()
            self._place_terminal_cursor()

    def _look(self) -> None:
        top = self.scroll_offset.y
        self.source.want(top, top + self._page)

    def render_line(self, y: int) -> Strip:
        cells_wide = self.cells_wide
        if not self._spans and self.columns:
            self._lay_out()
        base = self.rich_style
        if self.head and y == 0:
            return self._head_line(cells_wide)
        place = y - self.head + self.scroll_offset.y
        if not len(self.source):
            none_fit = self.source is self.rows and self.rows.filter and self.rows.total
            said = wrap([(NONE_FIT if none_fit else plain(self.empty), "muted")], max(1, cells_wide - 2))
            return self.paint([" ", *said[y - self.head]] if y - self.head < len(said) else "", cells_wide, base)
        if place >= len(self.source):
            return Strip.blank(cells_wide, base)
        cells = self.source.cells(place)
        toned = True
        if place == self.cursor and not (isinstance(cells, Wide) and not cells.selectable):
            base = self.get_component_rich_style("table--cursor" if self.has_focus else "table--cursor-away")
            toned = not base.reverse
        elif self.rows.gone and self.source.key(place) in self.rows.gone:
            base += self.get_component_rich_style("table--gone", partial=True)
            toned = False
        if cells is None:
            return self.paint([" ", ("\u00b7\u00b7\u00b7", "muted")], cells_wide, base)
        if isinstance(cells, Wide):
            return self.paint(cells.parts, cells_wide, base, toned=toned)
        return self._row_line(cells, cells_wide, base, toned, self.source.key(place) or "")

    def _head_line(self, cells_wide: int) -> Strip:
        base = self.get_component_rich_style("table--head")
        strip = self._row_line([self._title(column) for column in self.columns], cells_wide, base, True)
        marked = f"{len(self.marks):,} marked" if self.marks else ""
        said = " \u00b7 ".join(one for one in (marked, self.chip) if one)
        if said:
            room = min(cells_wide, width(said) + 2)
            chip = self.paint((f" {said} ", "chip"), room, base)
            strip = Strip.join([strip.crop(0, cells_wide - room), chip])
        return strip

    def _row_line(self, cells: Cells, cells_wide: int, base: Style, toned: bool, key: str = "") -> Strip:
        segments: list[Segment] = []
        x = 0
        if key in self.marks:
            segments.append(Segment("*", base + self.tone("key") if toned else base))
            x = 1
        assert not isinstance(cells, Wide)
        for column, start, size in self._spans:
            if start > x:
                segments.append(Segment(" " * (start - x), base))
            cell = cells[column] if column < len(cells) else ""
            align = self.columns[column].align
            style = base
            if toned and self.glows.on(key, column):
                style = base + self.get_component_rich_style("table--glow", partial=True)
            segments.extend(self.paint_cell(cell, size, style, align, toned))
            x = start + size
        if x < cells_wide:
            segments.append(Segment(" " * (cells_wide - x), base))
        return Strip(segments, max(x, cells_wide)).crop(0, cells_wide)

    # -- the cursor ---------------------------------------------------------------------------------------------

    def _selectable(self, place: int, step: int) -> int:
        """The nearest row that can be selected, looking in the direction of `step` first."""
        size = len(self.source)
        if not size:
            return 0
        place = max(0, min(place, size - 1))
        for direction in (step, -step):
            at = place
            while 0 <= at < size:
                cells = self.source.cells(at)
                if not isinstance(cells, Wide) or cells.selectable:
                    return at
                at += direction
        return place

    def _go(self, place: int, step: int = 1) -> None:
        new = self._selectable(place, step)
        key = self.source.key(new) or ""
        if new == self.cursor and key == self.cursor_key:
            if place <= 0:
                self.scroll_to(y=0, animate=False, immediate=True)
            return
        old, self.cursor, self.cursor_key = self.cursor, new, key
        self.refresh_row(old)
        self.refresh_row(new)
        self._reveal()
        self.post_message(self.Moved(self, key))

    def _reveal(self) -> None:
        top, page = self.scroll_offset.y, self._page
        if self.cursor < top:
            target = 0 if self._selectable(0, 1) >= self.cursor else self.cursor
            self.scroll_to(y=target, animate=False, immediate=True)
        elif self.cursor >= top + page:
            self.scroll_to(y=self.cursor - page + 1, animate=False, immediate=True)
        self._look()
        self._place_terminal_cursor()

    def _place_terminal_cursor(self) -> None:
        """Screen readers and Braille displays follow the terminal's own cursor."""
        if self.has_focus and self.showing:
            y = self.cursor + self.head - self.scroll_offset.y
            if 0 <= y < self.size.height:
                self.app.cursor_position = self.content_region.offset + Offset(0, y)

    def go_to(self, key: str) -> bool:
        """Put the cursor on `key`. False if it isn't here."""
        place = self.source.place(key)
        if place is None:
            return False
        self._go(place)
        return True

    def _touch(self) -> None:
        self._touched = monotonic()
        self._moved_once = True

    def action_move(self, by: int) -> None:
        self._touch()
        self._go(self.cursor + by, 1 if by > 0 else -1)

    def action_page(self, by: int) -> None:
        self._touch()
        self._go(self.cursor + by * self._page, -1 if by > 0 else 1)

    def action_edge(self, to: int) -> None:
        self._touch()
        if to < 0:
            self.action_take()
            self._go(0, 1)
            self.post_message(self.Topped(self))
        else:
            self._go(len(self.source) - 1, -1)

    def action_take(self) -> None:
        """Take in rows that waited and drop those that are gone."""
        if not self.rows.settled:
            self.rows.take()
            self.reload()
        elif not self.rows.in_order:
            self.rows.arrange(self.rows.by, self.rows.grouped)
            self.reload()

    def action_open(self) -> None:
        if self.cursor_key and self.cursor_key not in self.rows.gone:
            self._touch()
            self.post_message(self.Opened(self, self.cursor_key))

    def on_click(self, event: events.Click) -> None:
        place = event.y - self.head + self.scroll_offset.y
        if event.y < self.head or place >= len(self.source):
            return
        already = place == self.cursor and self._moved_once
        self._touch()
        self._go(place)
        if already or event.chain > 1:
            self.action_open()

    def watch_has_focus(self, focused: bool) -> None:
        super().watch_has_focus(focused)
        self.refresh_row(self.cursor)
        self._place_terminal_cursor()
