"""A driver that never lets a terminal that stopped reading stop the console.

Textual's own writer queues 30 writes and then blocks the event loop, heartbeats and all. Here frames are dropped while the
far end does not read, and the whole screen is painted once it does again. Control writes (modes, clipboard, leaving the
alternate screen) have a lane of their own and are never dropped.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import IO, Any

from textual.drivers._writer_thread import WriterThread
from textual.drivers.linux_driver import LinuxDriver

FRAMES_HELD = 24
"""Writes that may wait. Beyond that nobody reads: frames are dropped until the lane is empty."""
STOP_S = 0.5
"""How long leaving waits for a far end that does not read."""
CONTROL_MAX = 80
"""Longer writes that start with a control sequence are frames, except the clipboard's (OSC 52)."""


def is_control(text: str) -> bool:
    """Mode switches, queries, clipboard writes, what rings: what must arrive. Frames start with a cursor move or a colour."""
    if text.startswith(("\x1b]", "\x1bP")):
        return True
    return len(text) < CONTROL_MAX and text.startswith(
        ("\x1b[?", "\x1b[>", "\x1b[<", "\x1b[22;2t", "\x1b[23;2t", "\x07")
    )


class DroppingWriter(WriterThread):
    """Writes in a thread; `write` never blocks."""

    def __init__(self, file: IO[str], drained: Callable[[], None]) -> None:
        super().__init__(file)
        self._lane: deque[str | None] = deque()
        self._waiting = threading.Condition()
        self._frames = 0
        self._drained = drained
        self.dropped = 0
        self._behind = False
        self._given_up = threading.Event()

    def write(self, text: str) -> None:
        with self._waiting:
            if is_control(text):
                self._lane.append(text)
            elif self._behind or self._frames >= FRAMES_HELD:
                if not self._behind:
                    self._behind = True
                    self._lane = deque(held for held in self._lane if held is None or is_control(held))
                    self._frames = 0
                self.dropped += 1
                return
            else:
                self._lane.append(text)
                self._frames += 1
            self._waiting.notify()

    def run(self) -> None:
        while True:
            with self._waiting:
                while not self._lane:
                    self._waiting.wait()
                text = self._lane.popleft()
                if text is not None and not is_control(text):
                    self._frames = max(0, self._frames - 1)
            if text is None or not self._put(text):
                return
            self._caught_up()  # asked after the write: what waited may have been dropped meanwhile

    def _caught_up(self) -> None:
        with self._waiting:
            caught_up = self._behind and not self._lane
            if caught_up:
                self._behind = False
        if caught_up:
            self._drained()

    def _put(self, text: str) -> bool:
        """Write all of `text`, waiting for the far end in slices so that leaving is never held up. False = give up."""
        data = text.encode("utf-8", "backslashreplace")
        fileno = self._file.fileno()
        while data:
            try:
                _, writable, _ = select.select([], [fileno], [], 0.1)
                if writable:
                    data = data[
                        os.write(fileno, data[:1024]) :
                    ]  # a pty takes 4 kB at once; a blocking write must be small
                elif self._given_up.is_set():
                    return False
            except InterruptedError:
                continue
            except (OSError, ValueError):
                return False
        return True

    def stop(self) -> None:
        """Write what is left if somebody reads; else leave within `STOP_S`."""
        with self._waiting:
            self._lane.append(None)
            self._waiting.notify()
        self.join(STOP_S)
        if self.is_alive():
            self._given_up.set()
            self.join(STOP_S)


class ConsoleDriver(LinuxDriver):
    """LinuxDriver with the dropping writer."""

    def start_application_mode(self) -> None:
        linux: Any = importlib.import_module("textual.drivers.linux_driver")
        held = linux.WriterThread
        linux.WriterThread = self._writer  # the only seam: the class is looked up there when it starts
        try:
            super().start_application_mode()  # type: ignore[no-untyped-call]
        finally:
            linux.WriterThread = held

    def _writer(self, file: IO[str]) -> DroppingWriter:
        return DroppingWriter(file, self._drained)

    def _drained(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing is left to paint
            self._loop.call_soon_threadsafe(self._paint_all)

    def _paint_all(self) -> None:
        with contextlib.suppress(Exception):  # no screen while leaving
            self._app.screen.refresh(layout=True)
            self._app.refresh(repaint=True)

    @property
    def dropped(self) -> int:
        """Frames nobody waited for."""
        writer = self._writer_thread
        return writer.dropped if isinstance(writer, DroppingWriter) else 0

    def restore(self) -> None:
        """Put the terminal back, whatever state the app is in. For signals and crashes."""
        with contextlib.suppress(Exception):
            self.stop_application_mode()
        with contextlib.suppress(Exception):
            self.close()
