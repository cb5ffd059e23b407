"""A program in a pseudo-terminal of a given size, for benchmarks that count bytes and milliseconds at the far end."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]


class Terminal:
    """Starts on creation. Times are `time.perf_counter()` of this process."""

    def __init__(
        self, argv: list[str], *, columns: int = 80, rows: int = 24, environ: dict[str, str] | None = None
    ) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        names = {
            **os.environ,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "PYTHONPATH": str(ROOT),
            **(environ or {}),
        }
        names.pop("NO_COLOR", None)
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=names, start_new_session=True, close_fds=True, cwd=ROOT
        )
        os.close(slave)
        self.written = b""

    @classmethod
    def console(cls, options: dict[str, object], **size: int) -> Terminal:
        """The console over the benchmark client."""
        import json

        return cls([sys.executable, "-m", "tests.benchmarks.harness_console", json.dumps(options)], **size)

    def read(self, seconds: float, *, until: bytes = b"", quiet: float = 0.0) -> tuple[bytes, float]:
        """What came within `seconds`, or up to `until`, or up to a silence of `quiet`; and when the last byte came."""
        end = time.perf_counter() + seconds
        fresh, last = b"", time.perf_counter()
        while (now := time.perf_counter()) < end:
            if quiet and fresh and now - last > quiet:
                break
            ready, _, _ = select.select([self.master], [], [], min(0.005 if quiet else 0.05, end - now))
            if not ready:
                continue
            try:
                data = os.read(self.master, 1 << 16)
            except OSError:
                break
            last = time.perf_counter()
            fresh += data
            if until and until in fresh:
                break
        self.written += fresh
        return fresh, last

    def type(self, keys: str) -> float:
        """Press keys; the time they were sent."""
        at = time.perf_counter()
        os.write(self.master, keys.encode())
        return at

    def cpu_s(self) -> float:
        """CPU the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            end = time.perf_counter() + 3
            while self.process.poll() is None and time.perf_counter() < end:
                self.read(0.05)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(5)
        os.close(self.master)


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of the sorted values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def option(options: object, name: str, default: float) -> float:
    """An option by name from a mapping or a namespace; the default when absent."""
    value = options.get(name) if isinstance(options, dict) else getattr(options, name, None)
    return default if value is None else type(default)(value)
