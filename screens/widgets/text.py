"""A scrollable page of parts: reasons, inputs and outputs, help. Wrapped by us, so nothing in it is parsed as markup."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from screens.widgets.parts import Part, Toned, wrap

MAX_LINES = 5_000


class Page(ScrollView, Toned, can_focus=True):
    BINDINGS = [
        Binding("down,j", "scroll_by(1)", show=False),
        Binding("up,k", "scroll_by(-1)", show=False),
        Binding("pagedown,ctrl+f,space", "scroll_pages(1)", show=False),
        Binding("pageup,ctrl+b", "scroll_pages(-1)", show=False),
        Binding("g,home", "scroll_edge(-1)", show=False),
        Binding("G,end", "scroll_edge(1)", show=False),
    ]

    def __init__(self, *, indent: int = 2, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._paragraphs: list[list[Part]] = []
        self._lines: list[list[tuple[str, str]]] = []
        self._indent = indent

    def show(self, paragraphs: Iterable[list[Part]]) -> None:
        """Replace the page; the scroll position stays where it can. An unchanged page is not repainted."""
        fresh = list(paragraphs)
        if fresh != self._paragraphs:
            self._paragraphs = fresh
            self._flow()

    @property
    def text(self) -> str:
        return "\n".join("".join(text for text, _ in line).rstrip() for line in self._lines)

    def on_resize(self) -> None:
        self._flow()

    def _flow(self) -> None:
        if not self.size.width:
            return
        lines: list[list[tuple[str, str]]] = []
        for paragraph in self._paragraphs:
            lines.extend(wrap(paragraph, self.size.width - 2, self._indent))
            if len(lines) > MAX_LINES:
                lines[MAX_LINES:] = [[(f"\u2026 more than {MAX_LINES:,} lines; the command line shows all", "muted")]]
                break
        old, self._lines = self._lines, lines
        size = Size(self.size.width, len(lines))
        if size != self.virtual_size:
            self.virtual_size = size
            self.refresh()
            return
        top = self.scroll_offset.y  # only what differs is painted: a page with a clock on it ticks for one line
        for y in range(top, min(len(lines), top + self.size.height)):
            if old[y : y + 1] != lines[y : y + 1]:
                self.refresh(Region(0, y - top, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        y += self.scroll_offset.y
        if y < len(self._lines):
            return self.paint([" ", *self._lines[y]], self.size.width, self.rich_style)
        return Strip.blank(self.size.width, self.rich_style)

    def action_scroll_by(self, by: int) -> None:
        self.scroll_to(y=self.scroll_offset.y + by, animate=False, immediate=True)

    def action_scroll_pages(self, by: int) -> None:
        self.scroll_to(y=self.scroll_offset.y + by * max(1, self.size.height - 1), animate=False, immediate=True)

    def action_scroll_edge(self, to: int) -> None:
        self.scroll_to(y=0 if to < 0 else len(self._lines), animate=False, immediate=True)
