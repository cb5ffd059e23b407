"""A console in a real pseudo-terminal, run as a process of its own over the fake client."""

from __future__ import annotations

import fcntl
import itertools
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

CHILD = """
import asyncio, json, os, signal, sys, time
sys.path.insert(0, {root!r})
if {ignore_hup}:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
from app import terminal
terminal.prepare()
from app.console import Console
from tests.fakes import FakeClient

class Measured(Console):
    async def beat(self):
        with open({beats!r}, "a", buffering=1) as file:
            while True:
                driver = self._driver
                file.write(f"{{time.monotonic()}} {{getattr(driver, 'dropped', -1)}}\\n")
                await asyncio.sleep(0.02)

    def on_mount(self):
        self.beating = asyncio.create_task(self.beat())
        if {flood}:
            self.set_interval(0.02, self.flood)
            self.count = 0

    def flood(self):
        self.count += 1
        self.screen.verdict = lambda: [f"frame {{self.count}}"]
        self.screen.refresh_chrome()
        self.screen.refresh(repaint=True)
        for widget in self.screen.query("*"):
            widget.refresh()

console = Measured(FakeClient(live={live}, run_count=200))
if {flood}:
    import app.console
console.run()
sys.exit(console.exit_code)
"""


class PtyConsole:
    """Starts on entry; `read` collects what the console wrote; `stop` ends it if it still lives."""

    def __init__(
        self,
        folder: Path,
        *,
        size: tuple[int, int] = (80, 24),
        live: bool = False,
        flood: bool = False,
        ignore_hup: bool = False,
    ) -> None:
        self.beats = folder / "beats"
        self.beats.touch()
        self.written = b""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        code = CHILD.format(root=str(ROOT), beats=str(self.beats), live=live, flood=flood, ignore_hup=ignore_hup)
        environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONPATH": str(ROOT)}
        environ.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environ,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  the tests hold no threads here
            close_fds=True,
        )
        os.close(slave)
        self.master = master

    def read(self, seconds: float, until: bytes = b"") -> bytes:
        """Read for so long, or until the bytes were seen."""
        if self.master < 0:
            return b""
        end = time.monotonic() + seconds
        fresh = b""
        while time.monotonic() < end:
            ready, _, _ = select.select([self.master], [], [], 0.05)
            if ready:
                try:
                    data = os.read(self.master, 65536)
                except OSError:
                    break
                if not data:
                    break
                fresh += data
                if until and until in self.written[-200:] + fresh:
                    break
        self.written += fresh
        return fresh

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def gaps(self) -> list[float]:
        """Seconds between beats of the console's loop."""
        at = [float(line.split()[0]) for line in self.beats.read_text().splitlines() if line]
        return [after - before for before, after in itertools.pairwise(at)]

    def dropped(self) -> int:
        lines = self.beats.read_text().splitlines()
        return int(lines[-1].split()[1]) if lines else 0

    def wait(self, seconds: float) -> int | None:
        """The exit code; reads meanwhile, so that leaving is never held up by us."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            code = self.process.poll()
            if code is not None:
                self.read(0.05)
                return code
            if self.master >= 0:
                self.read(0.05)
            else:
                time.sleep(0.02)
        return self.process.poll()

    def hang_up(self) -> None:
        os.close(self.master)
        self.master = -1

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(5)
        if self.master >= 0:
            os.close(self.master)
