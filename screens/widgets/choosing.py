"""Widgets one fills in: a line with completion, a choice among words, several choices, a few lines of prose.

All share `value` (text) and say `Filled` when it changes; how a completion looks is the form's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from textual.actions import SkipAction
from textual.binding import Binding
from textual.events import Click, Key, Paste
from textual.message import Message
from textual.widget import Widget
from textual.widgets import TextArea

from screens.widgets.ask import Answer, _OneLine
from screens.widgets.clean import clean
from screens.widgets.parts import Part, width

AHEAD_S = 1.0
"""Letters typed within this time belong to one word one is looking for."""


class Filled(Message):
    """A field changed."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget


class Completed(Answer):
    """A line of text with values that would complete it; up and down choose among them once some are offered."""

    BINDINGS = [
        Binding("down", "another(1)", show=False),
        Binding("up", "another(-1)", show=False),
    ]

    def __init__(self, value: str = "", *, id: str | None = None) -> None:
        super().__init__(value, id=id)
        self.matches: list[tuple[str, str]] = []
        self.offered_for = ""
        self.at = 0
        self.pointed = False

    def offer(self, matches: Sequence[tuple[str, str]]) -> None:
        """The values that fit what stands there now."""
        self.matches, self.at, self.pointed = list(matches), 0, False
        self.offered_for = self.value.strip()

    @property
    def current(self) -> bool:
        """What is offered fits what stands there, and not what stood there a key ago."""
        return self.offered_for == self.value.strip()

    @property
    def settled(self) -> bool:
        """What stands there is one of the values as it is."""
        return any(value == self.value.strip() for value, _ in self.matches)

    def take(self) -> bool:
        """Fill in the value pointed at, or the only one. False when there is nothing certain to take."""
        if not self.matches or self.settled or not self.current:
            return self.settled
        if not self.pointed and len(self.matches) > 1:
            return False
        self.value = self.matches[self.at][0]
        self.cursor_position = len(self.value)
        return True

    def action_another(self, by: int) -> None:
        if len(self.matches) < 2 or not self.value.strip() or self.settled or (by < 0 and not self.pointed):
            raise SkipAction  # up and down then go to the next field
        self.at = (self.at + by) % len(self.matches) if self.pointed else 0
        self.pointed = True
        self.post_message(Filled(self))


class Choose(_OneLine):
    """One of several words. Left, right and space turn; letters go to the word that begins with them."""

    BINDINGS = [
        Binding("right,space", "turn(1)", show=False),
        Binding("left", "turn(-1)", show=False),
    ]

    def __init__(self, options: Sequence[tuple[str, str]], value: str = "", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.options = list(options)
        self.at = next((place for place, (raw, _) in enumerate(self.options) if raw == value), -1)
        self._ahead, self._ahead_at = "", 0.0

    @property
    def value(self) -> str:
        return self.options[self.at][0] if self.at >= 0 else ""

    @value.setter
    def value(self, text: str) -> None:
        self._turn_to(next((place for place, (raw, _) in enumerate(self.options) if raw == text), -1))

    @property
    def roomy(self) -> bool:
        """All words fit beside each other."""
        return sum(width(word) + 3 for _, word in self.options) + 4 <= self.size.width

    def parts(self) -> list[Part]:
        left, right = ("\u2039 ", "\u203a") if self.has_focus else ("  ", "")
        if self.roomy:
            line: list[Part] = [left]
            for place, (_, word) in enumerate(self.options):
                line += [(f"[{clean(word, 60)}]", "strong") if place == self.at else f" {clean(word, 60)} ", " "]
            return [*line, right]
        if self.at < 0:
            return [left, (f"{len(self.options)} to choose from ", "muted"), right]
        return [
            left,
            (clean(self.options[self.at][1], 60), "strong"),
            (f"  {self.at + 1} of {len(self.options)} ", "muted"),
            right,
        ]

    def action_turn(self, by: int) -> None:
        if self.options:
            last = len(self.options) - 1
            self._turn_to((self.at + by) % len(self.options) if self.at >= 0 else (0 if by > 0 else last))

    def on_key(self, event: Key) -> None:
        """Letters look for a word; the same letter again goes to the next word that begins with it."""
        letter = event.character
        if not letter or not letter.isprintable() or letter.isspace():
            return
        now = monotonic()
        ahead = self._ahead + letter.lower() if now - self._ahead_at < AHEAD_S else letter.lower()
        again = len(set(ahead)) == 1
        found = self._find(ahead, after=False) if not again or len(ahead) == 1 else -1
        if found < 0:
            found = self._find(letter.lower(), after=True)
            ahead = letter.lower() if not again else ahead
        if found >= 0:
            self._ahead, self._ahead_at = ahead, now
            self._turn_to(found)
            event.stop()

    def _find(self, head: str, *, after: bool) -> int:
        count = len(self.options)
        first = self.at + 1 if after else max(self.at, 0)
        for step in range(count):
            place = (first + step) % count
            raw, word = self.options[place]
            if word.lower().startswith(head) or raw.lower().startswith(head):
                return place
        return -1

    def _turn_to(self, place: int) -> None:
        self.at = place
        self.refresh()
        self.post_message(Filled(self))

    def on_click(self, event: Click) -> None:
        if not self.roomy:
            self.action_turn(1)
            return
        x = 2
        for place, (_, word) in enumerate(self.options):
            size = width(clean(word, 60)) + 3
            if x <= event.x < x + size:
                self._turn_to(place)
            x += size


class Several(_OneLine):
    """Any number of words: left and right move, space takes one or leaves it, a letter goes to a word and takes it."""

    BINDINGS = [
        Binding("right", "move(1)", show=False),
        Binding("left", "move(-1)", show=False),
        Binding("space", "take", show=False),
    ]

    def __init__(self, options: Sequence[tuple[str, str]], value: str = "", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.options = list(options)
        self.at = 0
        self.taken: set[str] = set()
        self.value = value

    @property
    def value(self) -> str:
        return ",".join(raw for raw, _ in self.options if raw in self.taken)

    @value.setter
    def value(self, text: str) -> None:
        known = {raw for raw, _ in self.options}
        self.taken = {part.strip() for part in text.split(",")} & known
        self.refresh()

    def parts(self) -> list[Part]:
        line: list[Part] = []
        starts: list[int] = []
        for place, (raw, word) in enumerate(self.options):
            starts.append(width(line))
            mark = "[x] " if raw in self.taken else "[ ] "
            here = self.has_focus and place == self.at
            pointer = "\u203a" if here else " "
            text = f"{pointer}{mark}{clean(word, 40)} "
            line.append((text, "strong") if raw in self.taken or here else text)
        room = self.size.width or 40
        if width(line) <= room:
            return line
        first = 0  # too many for the line: begin so that the one pointed at is seen
        while first < self.at and starts[self.at] - starts[first] + 24 > room:
            first += 1
        return [("\u2026" if first else ""), *line[first:]]

    def action_move(self, by: int) -> None:
        if self.options:
            self.at = (self.at + by) % len(self.options)
            self.refresh()
            self.post_message(Filled(self))

    def action_take(self) -> None:
        if self.options:
            self.taken ^= {self.options[self.at][0]}
            self.refresh()
            self.post_message(Filled(self))

    def on_key(self, event: Key) -> None:
        letter = (event.character or "").lower()
        if not letter or not letter.isprintable() or letter.isspace():
            return
        count = len(self.options)
        for step in range(1, count + 1):
            place = (self.at + step) % count
            if self.options[place][1].lower().startswith(letter):
                self.at = place
                self.refresh()
                self.post_message(Filled(self))
                event.stop()
                return


class Prose(TextArea):
    """A few lines of text; Enter is a new line there, Tab goes on."""

    DEFAULT_CSS = """
    Prose { height: 3; width: 1fr; border: none; border-left: outer $qd-muted; padding: 0; background: $surface; color: $foreground; scrollbar-size: 1 1; }
    Prose:focus { border: none; border-left: outer $qd-caution; background: $surface; color: $qd-strong; }
    Prose .text-area--cursor-line { background: $surface; }
    """

    def __init__(self, value: str = "", *, id: str | None = None) -> None:
        super().__init__(value, id=id, compact=True, soft_wrap=True, tab_behavior="focus", show_line_numbers=False)
        self.cursor_blink = False

    @property
    def value(self) -> str:
        return self.text

    @value.setter
    def value(self, text: str) -> None:
        self.load_text(text)

    async def _on_paste(self, event: Paste) -> None:
        """What is pasted is made inert line by line, so that no escape sequence gets into a record through the clipboard.

        Textual calls the handler of each class in turn: the one of `TextArea` pastes what is left here.
        """
        event.text = "\n".join(clean(line, 4_000) for line in event.text.splitlines()[:200])
