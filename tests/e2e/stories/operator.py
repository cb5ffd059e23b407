"""Somebody on call: presses keys, each of them counted, and reads the screen."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.installation import Installation
from tests.e2e.terminal import Terminal, overflows

PHRASE = re.compile(r"(?m)type ([a-z-]+(?: \S+){1,4}?)(?: {2,}|\s*$)")
PATIENCE_S = 40.0


class OnCall:
    """One person at one terminal. `pressed` counts keys since `starts_from_home`."""

    def __init__(self, home: Installation, person: str = "", columns: int = 80, lines: int = 24) -> None:
        self.home, self.pressed = home, 0
        command = [sys.executable, "-m", "app", *(["--as", person] if person else [])]
        self.terminal = Terminal(command, environment=home.environment, columns=columns, lines=lines)

    # -- reading ------------------------------------------------------------------------------------------------

    def sees(self, pattern: str, seconds: float = PATIENCE_S, *, gone: bool = False) -> str:
        seen = self.terminal.wait(pattern, seconds, gone=gone)
        assert "Traceback" not in seen and "The console broke" not in seen, seen
        assert not overflows(seen, self.terminal.columns), seen
        return seen

    def screen(self) -> str:
        return self.sees("")

    # -- pressing -----------------------------------------------------------------------------------------------

    def starts_from_home(self) -> None:
        """The home screen is Watch, with what is known on it; the count begins here."""
        self.terminal.press("1")
        self.sees(r"WHAT NEEDS ME[\s\S]*● live|● live[\s\S]*WHAT NEEDS ME")
        self.pressed = 0

    def press(self, *keys: str) -> None:
        self.terminal.press(*keys)
        self.pressed += len(keys)

    def type(self, text: str) -> None:
        """Text counts as one key, however long it is."""
        self.terminal.type(text)
        self.pressed += 1

    def reads_the_phrase(self) -> str:
        """The phrase that a confirmation asks for, off the screen."""
        found = PHRASE.search(self.sees(r"type [a-z-]+ \S+[\s\S]*Cancel"))
        assert found is not None, self.screen()
        return found[1].strip()

    def types_the_phrase(self, phrase: str = "") -> str:
        """Typed whole, with the Enter that ends it: one. A confirmation is deaf at first; what it did not hear is typed again."""
        wanted = phrase or self.reads_the_phrase()
        self.enters(wanted)
        self.terminal.press("Enter")
        return wanted

    def enters(self, text: str) -> None:
        self.pressed += 1
        for _ in range(6):
            self.terminal.type(text)
            try:
                self.terminal.wait(rf"type {re.escape(text)} +{re.escape(text)} *┃", 2)
            except AssertionError:
                self.terminal.press("C-u")
            else:
                return
        raise AssertionError(f"{text!r} could not be typed into:\n{self.screen()}")

    def close(self) -> None:
        self.terminal.close()


@contextmanager
def on_call(home: Installation, person: str = "", **size: int) -> Iterator[OnCall]:
    """At the terminal, from the home screen; gone when the story is over."""
    someone = OnCall(home, person, **size)
    try:
        someone.sees("WHAT NEEDS ME")
        someone.starts_from_home()
        yield someone
    finally:
        someone.close()


def until(look: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.2)
