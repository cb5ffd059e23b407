"""The one-line prompt for `/` filters and `:` commands. Lives in the action bar's place; Esc leaves it."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input

from screens.widgets.clean import clean
from screens.widgets.line import Lines


class _Completion(Suggester):
    def __init__(self, suggest: Callable[[str], str]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._suggest = suggest

    async def get_suggestion(self, value: str) -> str | None:
        return self._suggest(value) or None


class Entry(Input):
    """The input itself; its messages stay inside the prompt."""

    BINDINGS = [
        Binding("escape,ctrl+g", "leave", show=False),
        Binding("up", "recall(-1)", show=False),
        Binding("down", "recall(1)", show=False),
        Binding("tab", "complete", show=False),
    ]

    def action_leave(self) -> None:
        self.post_message(Prompt.Left())

    def action_recall(self, by: int) -> None:
        prompt = self.parent
        assert isinstance(prompt, Prompt)
        self.value = prompt.recalled(by)
        self.cursor_position = len(self.value)

    def action_complete(self) -> None:
        self.cursor_position = len(self.value)
        self.action_cursor_right()


class Prompt(Widget):
    past: dict[str, list[str]] = {"/": [], ":": []}
    """What was entered in this session, per kind."""

    class Entered(Message):
        def __init__(self, kind: str, text: str) -> None:
            super().__init__()
            self.kind = kind
            self.text = text

    class Typed(Message):
        """A filter as it is being typed. Newer ones replace older ones."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Prompt.Typed)

    class Left(Message):
        """Esc."""

    def __init__(self, kind: str, text: str, suggest: Callable[[str], str]) -> None:
        super().__init__(id="prompt")
        self.kind = kind
        self._text = clean(text)
        self._suggest = suggest
        self._at = len(self.past[kind])

    def compose(self) -> ComposeResult:
        sign = Lines(id="prompt-kind")
        sign.show(([(" " + self.kind, "key")], []))
        yield sign
        suggester = _Completion(self._suggest) if self.kind == ":" else None
        entry = Entry(self._text, suggester=suggester, compact=True, select_on_focus=False)
        entry.cursor_blink = False  # blinking costs 2.7 kB/s on the wire
        yield entry
        hint = Lines(id="prompt-hint")
        words = "Enter keeps it, Esc clears it" if self.kind == "/" else "Enter goes, Tab completes, Esc leaves"
        hint.show(([(words, "muted")], []))
        yield hint

    def on_mount(self) -> None:
        self.screen.set_focus(self.query_one(Entry))
        release = getattr(self.app, "release_keys", None)
        if release is not None:
            release()

    def recalled(self, by: int) -> str:
        """An earlier entry of this kind, or an empty line past the newest."""
        past = self.past[self.kind]
        self._at = max(0, min(self._at + by, len(past)))
        return past[self._at] if self._at < len(past) else ""

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.kind == "/":
            self.post_message(self.Typed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value.strip()
        if text and (not self.past[self.kind] or self.past[self.kind][-1] != text):
            self.past[self.kind].append(text)
        self.post_message(self.Entered(self.kind, text))
