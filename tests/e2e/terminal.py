"""A real terminal (tmux) in which a test is the operator: it presses keys, reads the screen, and waits for words."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
import uuid
from pathlib import Path


class Terminal:
    """One tmux server of its own, so that nobody's configuration or session is touched."""

    def __init__(self, command: list[str], *, environment: dict[str, str], columns: int = 80, lines: int = 24) -> None:
        self.columns, self.lines = columns, lines
        self.socket = f"qd-{uuid.uuid4().hex[:8]}"
        words = " ".join(shlex.quote(w) for w in command)
        exported = " ".join(f"{k}={shlex.quote(v)}" for k, v in environment.items())
        self._tmux(
            "-f", "/dev/null", "new-session", "-d", "-s", "t", "-x", str(columns), "-y", str(lines),
            f"env -i {exported} TERM=tmux-256color {words}; echo; echo EXIT=$?; sleep 600",
        )  # fmt: skip

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self.socket, *words], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def press(self, *keys: str) -> None:
        """tmux key names: `Enter`, `Escape`, `C-p`, or single characters."""
        for key in keys:
            self._tmux("send-keys", "-t", "t", key)
            time.sleep(0.05)

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-t", "t", "-l", text)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p", "-t", "t")

    def resize(self, columns: int, lines: int) -> None:
        self._tmux("resize-window", "-t", "t", "-x", str(columns), "-y", str(lines))
        self.columns, self.lines = columns, lines

    def wait(self, pattern: str, seconds: float = 20, *, gone: bool = False) -> str:
        """The screen, as soon as `pattern` (a regular expression) stands on it (or no longer does)."""
        until = time.monotonic() + seconds
        while True:
            seen = self.screen()
            if bool(re.search(pattern, seen)) is not gone:
                return seen
            if time.monotonic() > until:
                raise AssertionError(f"{'still' if gone else 'never'} saw {pattern!r} in:\n{seen}")
            time.sleep(0.1)

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], capture_output=True, timeout=30, check=False)


def overflows(screen: str, columns: int) -> list[str]:
    """Lines that are longer than the terminal (a wide character counts twice and is the caller's to avoid)."""
    return [line for line in screen.splitlines() if len(line.rstrip()) > columns]


def save(screen: str, path: Path) -> None:
    path.write_text(screen)
