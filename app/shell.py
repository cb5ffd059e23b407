"""The person's end of a session on a gateway: our terminal, the engine in between, the gateway behind it.

The engine has opened and records it; here keys go in and the recording comes out. Whatever ends us, the terminal is given
back. `~.` at the beginning of a line leaves a session that hangs.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from typing import Any

import msgspec

from app import cast, wire
from app.attach import Unreachable
from app.home import Home
from engine.contract.client import Refused
from engine.contract.common import Json
from engine.contract.gateways import SessionEnd

SILENCE_S = 45.0
"""The engine says something every ten seconds, if only an empty line."""
LOST = 255
"""What ssh itself says for a session that ended without a status."""


def size() -> tuple[int, int]:
    """Columns and rows of our terminal."""
    found = shutil.get_terminal_size((80, 24))
    return found.columns, found.lines


class Escape:
    """`~.` after a line's end means: leave. `~~` is a tilde."""

    def __init__(self) -> None:
        self._fresh, self._tilde = True, False
        self.leave = False

    def __call__(self, data: bytes) -> bytes:
        out = bytearray()
        for value in data:
            byte = bytes((value,))
            if self._tilde:
                self._tilde = False
                if byte == b".":
                    self.leave = True
                    return bytes(out)
                out += b"~" if byte == b"~" else b"~" + byte
            elif byte == b"~" and self._fresh:
                self._tilde = True
                continue
            else:
                out += byte
            self._fresh = byte in (b"\r", b"\n")
        return bytes(out)


def attach(home: Home, session: str, headers: dict[str, str], *, interactive: bool) -> SessionEnd:
    """Until the session ends; how it did. Raises Refused, Unreachable."""
    inert = cast.Inert(played=False)
    end = SessionEnd(session=session, why="the engine broke off")
    with _raw() if interactive else contextlib.nullcontext():
        typing = _Typing(home, session, headers) if interactive else None
        try:
            for line in wire.lines(home, f"/v1/sessions/{session}/output", headers, silence=SILENCE_S):
                if not line:
                    continue
                found = msgspec.json.decode(line)
                if isinstance(found, dict):
                    if "session" in found:
                        end = msgspec.convert(found, SessionEnd)
                elif found[1] == "o":
                    _write(inert(found[2]))
                if typing is not None and typing.left:
                    return SessionEnd(session=session, why="left with ~.")
        finally:
            if typing is not None:
                typing.stop()
            if interactive:
                _write(inert.reset)
    return end


def _write(text: str) -> None:
    data = text.encode("utf-8", "replace")
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]


class _Typing:
    """Reads our keyboard and sends it on, in order; a new window size goes the same way."""

    def __init__(self, home: Home, session: str, headers: dict[str, str]) -> None:
        self._home, self._session, self._headers = home, session, headers
        self._jobs: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._wake, self._woken = os.pipe()
        self.left = False
        self._before: Any = signal.signal(signal.SIGWINCH, self._resized)
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._read, self._send)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        signal.signal(signal.SIGWINCH, self._before or signal.SIG_DFL)
        os.write(self._woken, b"x")
        self._jobs.put(None)
        for thread in self._threads:
            thread.join(1.0)

    def _resized(self, number: int, frame: object) -> None:
        cols, rows = size()
        self._jobs.put(("size", msgspec.json.encode({"cols": cols, "rows": rows})))

    def _read(self) -> None:
        import select

        escape, keyboard = Escape(), sys.stdin.fileno()
        while True:
            ready, _, _ = select.select([keyboard, self._wake], [], [])
            if self._wake in ready:
                return
            data = os.read(keyboard, 16_384)
            if not data:
                self._jobs.put(("input", b"\x04"))
                return
            if out := escape(data):
                self._jobs.put(("input", out))
            if escape.leave:
                self.left = True
                self._jobs.put(("leave", b""))
                return

    def _send(self) -> None:
        while (job := self._jobs.get()) is not None:
            what, data = job
            try:
                if what == "leave":
                    wire.post_bytes(self._home, f"/v1/sessions/{self._session}/leave", b"", self._headers)
                else:
                    wire.post_bytes(self._home, f"/v1/sessions/{self._session}/{what}", data, self._headers)
            except (Refused, Unreachable):
                continue  # the stream says how it ended


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Our terminal passes every key on, and is what it was afterwards."""
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setraw(keyboard, termios.TCSADRAIN)  # what was typed ahead is kept
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def lent(home: Home, gateway: str, system: str, person: str) -> int:
    """`qd access ssh` in our place, for a console that has stepped aside; its exit status. What it says last stays to be read."""
    words = [sys.executable, "-m", "app", "access", "ssh", *(["--as", person] if person else [])]
    words += [*(["--system", system] if system else []), "--", gateway]
    before = signal.signal(signal.SIGINT, lambda *_: None)  # what is typed is the session's
    try:
        status = subprocess.run(words, env={**os.environ, "QD_SOCKET": str(home.socket)}, check=False).returncode
        with contextlib.suppress(EOFError, KeyboardInterrupt):
            input("Enter goes back to the console ")
    finally:
        signal.signal(signal.SIGINT, before)
    return status


def opened(answer: Json) -> str:
    """The id of the session that a command opened."""
    return str(answer["id"]) if isinstance(answer, dict) else ""
