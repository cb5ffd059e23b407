"""Widgets of a question: a block of text, a choice between words, a button. All paint parts, none parses markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style
from textual.binding import Binding
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widgets import Input

from screens.widgets.clean import clean
from screens.widgets.parts import Part, Toned, width, wrap


class Said(Toned):
    """Paragraphs, wrapped, as high as they are."""

    DEFAULT_CSS = "Said { height: auto; width: 1fr; }"

    def __init__(self, paragraphs: Sequence[list[Part]] = (), *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._paragraphs = list(paragraphs)
        self._lines: list[list[tuple[str, str]]] = []
        self._cells = -1

    def show(self, paragraphs: Sequence[list[Part]]) -> None:
        fresh = list(paragraphs)
        if fresh != self._paragraphs:
            self._paragraphs, self._cells = fresh, -1
            self.refresh(layout=True)

    @property
    def text(self) -> str:
        return "\n".join("".join(text for text, _ in line).rstrip() for line in self._flowed(self.size.width or 80))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._flowed(width))

    def render_line(self, y: int) -> Strip:
        lines = self._flowed(self.size.width)
        if y < len(lines):
            return self.paint(lines[y], self.size.width, self.rich_style)
        return Strip.blank(self.size.width, self.rich_style)

    def _flowed(self, cells: int) -> list[list[tuple[str, str]]]:
        if cells != self._cells:
            self._lines = [line for paragraph in self._paragraphs for line in wrap(paragraph, cells, 2)]
            self._cells = cells
        return self._lines


class _OneLine(Toned, can_focus=True):
    """A focusable line of parts; the terminal's cursor marks it, and a word in brackets does without colour."""

    DEFAULT_CSS = """
    _OneLine { height: 1; width: 1fr; }
    _OneLine:focus { background: $qd-cursor; color: $qd-strong; text-style: bold; }
    """

    def parts(self) -> list[Part]:
        return []

    def render_line(self, y: int) -> Strip:
        base: Style = self.rich_style
        return self.paint(self.parts(), self.size.width, base, toned=not self.has_focus)


class Pick(_OneLine):
    """One of several words: left and right (or space) choose. Nothing is chosen until someone does, unless given."""

    BINDINGS = [
        Binding("right,l,space", "turn(1)", show=False),
        Binding("left,h", "turn(-1)", show=False),
    ]

    class Picked(Message):
        def __init__(self, pick: Pick) -> None:
            super().__init__()
            self.pick = pick

        @property
        def control(self) -> Pick:
            return self.pick

    def __init__(self, options: Sequence[str], value: str = "", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.options = [clean(option, 60) for option in options]
        self._raw = list(options)
        self._at = self._raw.index(value) if value in self._raw else -1

    @property
    def value(self) -> str:
        return self._raw[self._at] if self._at >= 0 else ""

    def parts(self) -> list[Part]:
        line: list[Part] = ["\u2039 " if self.has_focus else "  "]
        for place, option in enumerate(self.options):
            line.append((f"[{option}]", "strong") if place == self._at else f" {option} ")
            line.append(" ")
        line.append("\u203a" if self.has_focus else "")
        return line

    def action_turn(self, by: int) -> None:
        self._at = (self._at + by) % len(self._raw) if self._at >= 0 else (0 if by > 0 else len(self._raw) - 1)
        self.refresh()
        self.post_message(self.Picked(self))

    def on_click(self, event: Click) -> None:
        x = 2
        for place, option in enumerate(self.options):
            size = width(option) + 3
            if x <= event.x < x + size:
                self._at = place
                self.refresh()
                self.post_message(self.Picked(self))
            x += size


class Push(_OneLine):
    """A button."""

    BINDINGS = [Binding("enter,space", "push", show=False)]
    DEFAULT_CSS = "Push { width: auto; margin-right: 2; }"

    class Pushed(Message):
        def __init__(self, push: Push) -> None:
            super().__init__()
            self.push = push

        @property
        def control(self) -> Push:
            return self.push

    def __init__(self, word: str, key: str = "", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.word = clean(word, 40)
        self.key = key

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return width(self.parts())

    def parts(self) -> list[Part]:
        key: list[Part] = [(self.key, "key"), " "] if self.key else []
        return ["[ ", *key, self.word, " ]"]

    def action_push(self) -> None:
        self.post_message(self.Pushed(self))

    def on_click(self) -> None:
        self.post_message(self.Pushed(self))


class Answer(Input):
    """A line of free text. Enter goes on; the screen decides where to."""

    DEFAULT_CSS = """
    Answer { height: 1; width: 1fr; border: none; border-left: outer $qd-muted; padding: 0; background: $surface; color: $foreground; }
    Answer:focus { border: none; border-left: outer $qd-caution; background: $surface; background-tint: $foreground 0%; color: $qd-strong; }
    """

    def __init__(self, value: str = "", *, id: str | None = None) -> None:
        super().__init__(clean(value), id=id, compact=True, select_on_focus=False)
        self.cursor_blink = False  # blinking costs 2.7 kB/s on the wire


class Hidden(Answer):
    """A line that is not shown while it is typed."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("", id=id)
        self.password = True
