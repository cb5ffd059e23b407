"""The one-line prompt for `/` filters and `:` commands. Lives in the action bar's place; Esc leaves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input

from screens.widgets.clean import clean
from screens.widgets.line import Lines
from screens.widgets.parts import Part

HINTS = {
    "/": "Enter keeps it, Esc clears it; words, field:value, age>2h, -not; Tab completes, \u2191 earlier",
    ":": "Enter goes, Tab completes, \u2191 earlier, ^R looks for earlier, Esc leaves",
}


class _Completion(Suggester):
    def __init__(self, suggest: Callable[[str], Awaitable[str]]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._suggest = suggest

    async def get_suggestion(self, value: str) -> str | None:
        return clean(await self._suggest(value)) or None


class Entry(Input):
    """The input itself; its messages stay inside the prompt."""

    BINDINGS = [
        Binding("escape,ctrl+g", "leave", show=False),
        Binding("up", "recall(-1)", show=False),
        Binding("down", "recall(1)", show=False),
        Binding("ctrl+r", "seek", show=False),
        Binding("tab", "complete", show=False),
    ]

    @property
    def prompt(self) -> Prompt:
        prompt = self.parent
        assert isinstance(prompt, Prompt)
        return prompt

    def action_leave(self) -> None:
        self.post_message(Prompt.Left())

    def action_recall(self, by: int) -> None:
        self._put(self.prompt.recalled(by, self.value))

    def action_seek(self) -> None:
        """The newest earlier line that holds what stands here; again: the one before."""
        self._put(self.prompt.sought(self.value))

    def action_complete(self) -> None:
        self.cursor_position = len(self.value)
        self.action_cursor_right()

    def _put(self, line: str) -> None:
        self.value = line
        self.cursor_position = len(line)


class Prompt(Widget):
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

    def __init__(
        self,
        kind: str,
        text: str,
        suggest: Callable[[str, str], Awaitable[str]],
        past: Sequence[str] = (),
        *,
        hints: bool = True,
    ) -> None:
        """`past`: earlier lines of this kind, oldest first."""
        super().__init__(id="prompt")
        self.kind = kind
        self._text = clean(text)
        self._suggest = suggest
        self._past = [clean(line) for line in past]
        self._at = len(self._past)
        self._hint = HINTS[kind] if hints else ""
        self._typed = ""
        self._needle: tuple[str, str] | None = None  # what is looked for, and the line it was found in

    def compose(self) -> ComposeResult:
        sign = Lines(id="prompt-kind")
        sign.show(([(" " + self.kind, "key")], []))
        yield sign
        entry = Entry(
            self._text,
            suggester=_Completion(lambda line: self._suggest(self.kind, line)),
            compact=True,
            select_on_focus=False,
        )
        entry.cursor_blink = False  # blinking costs 2.7 kB/s on the wire
        yield entry
        yield Lines(id="prompt-hint")

    def on_mount(self) -> None:
        self.says("")
        self.screen.set_focus(self.query_one(Entry))
        release = getattr(self.app, "release_keys", None)
        if release is not None:
            release()

    def says(self, wrong: str) -> None:
        """What is wrong with what stands there; the hint while nothing is."""
        told: Part = (f" \u2717 {clean(wrong, 400)}", "caution") if wrong else (f" {self._hint}", "muted")
        self.query_one("#prompt-hint", Lines).show(([told], []))

    def recalled(self, by: int, now: str) -> str:
        """An earlier line, or past the newest what was being typed."""
        if self._at == len(self._past):
            self._typed = now
        self._at = max(0, min(self._at + by, len(self._past)))
        return self._past[self._at] if self._at < len(self._past) else self._typed

    def sought(self, now: str) -> str:
        """The next older line that holds what was typed before looking; the same one when there is none."""
        if self._needle is None or self._needle[1] != now:
            self._needle = (now, now)
            self._at = len(self._past)
        needle = self._needle[0]
        for at in range(self._at - 1, -1, -1):
            if needle.casefold() in self._past[at].casefold():
                self._at = at
                self._needle = (needle, self._past[at])
                return self._past[at]
        self.says(f"nothing earlier holds {needle!r}")
        return now

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.kind == "/":
            self.post_message(self.Typed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Entered(self.kind, event.value.strip()))
