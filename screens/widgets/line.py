"""A fixed block of one or more lines that repaints only the cells that changed (a clock costs some 30 bytes a second)."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from screens.widgets.parts import Part, Toned, each, fit, width

Line = list[Part]
Hot = tuple[int, int, int, str]
"""Line, first and last cell (exclusive), name of the act a click there performs."""


class Lines(Toned):
    """Lines of parts, each with a left and a right run; the right one keeps its room, the left one is cut."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[list[tuple[str, str]]] = []
        self._sources: Sequence[tuple[Line, Line]] = []
        self._hits: Sequence[Hot] = ()

    class Hit(Message):
        """A click on a word that stands for an act."""

        def __init__(self, act: str) -> None:
            super().__init__()
            self.act = act

    def show(self, *lines: tuple[Line, Line], hits: Sequence[Hot] = ()) -> None:
        """Replace the lines: (left, right) each. `hits` are the places that can be clicked."""
        self._sources = lines
        self._hits = hits
        self._compose_lines()

    def on_resize(self) -> None:
        self._compose_lines()

    def on_click(self, event: events.Click) -> None:
        for y, first, last, act in self._hits:
            if event.y == y and first <= event.x < last:
                self.post_message(self.Hit(act))
                return

    @property
    def text(self) -> str:
        """What stands there, for tests and for screen readers' copies."""
        return "\n".join("".join(text for text, _ in line).rstrip() for line in self._lines)

    def _compose_lines(self) -> None:
        cells = self.size.width
        if not cells:
            return
        fresh = []
        for left, right in self._sources:
            room = width(right) if right else 0
            if room >= cells:
                fresh.append(fit(right, cells))
            else:
                fresh.append([*fit(left, cells - room), *each(right)] if right else fit(left, cells))
        old, self._lines = self._lines, fresh
        for y in range(min(max(len(old), len(fresh)), self.size.height)):
            before = old[y] if y < len(old) else []
            after = fresh[y] if y < len(fresh) else []
            if before != after:
                first, last = _changed_span(before, after, cells)
                self.refresh(Region(first, y, max(1, last - first), 1))

    def render_line(self, y: int) -> Strip:
        if y < len(self._lines):
            return self.paint(self._lines[y], self.size.width, self.rich_style)
        return Strip.blank(self.size.width, self.rich_style)


def _changed_span(before: list[tuple[str, str]], after: list[tuple[str, str]], cells: int) -> tuple[int, int]:
    """First and last cell (exclusive) in which two lines differ; the whole line when wide characters make it unsure."""
    old = [(character, tone) for text, tone in before for character in text]
    new = [(character, tone) for text, tone in after for character in text]
    if len(old) != cells or len(new) != cells:
        return 0, cells
    first = next((i for i in range(cells) if old[i] != new[i]), cells)
    last = next((i for i in range(cells, first, -1) if old[i - 1] != new[i - 1]), first)
    return first, last
