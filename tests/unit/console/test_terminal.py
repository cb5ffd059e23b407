"""Whatever happens to the terminal, the console gives it back, never freezes, and never outlives it."""

from __future__ import annotations

import io
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import crash, terminal
from app.driver import DroppingWriter, is_control
from tests.unit.console.pty_console import PtyConsole

RESTORED = (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l", b"\x1b[?1003l", b"\x1b[?2004l")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    started: list[PtyConsole] = []

    def begin(**options: Any) -> PtyConsole:
        one = PtyConsole(tmp_path, **options)
        started.append(one)
        one.read(10, until=b"WHAT NEEDS ME")
        return one

    yield begin
    for one in started:
        one.stop()


def test_q_leaves_with_the_terminal_restored(start: Any) -> None:
    console = start()
    console.type("q")
    assert console.wait(5) == 0
    assert all(code in console.written for code in RESTORED)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_restores_the_terminal_and_ends(start: Any, number: signal.Signals, code: int) -> None:
    console = start(live=True)
    console.process.send_signal(number)
    assert console.wait(5) == code
    assert all(code in console.written for code in RESTORED)


def test_a_closed_terminal_ends_the_console(start: Any) -> None:
    console = start(live=True)
    console.hang_up()
    assert console.wait(3) in (129, -signal.SIGHUP)


def test_a_closed_terminal_ends_the_console_even_if_hang_ups_are_ignored(start: Any) -> None:
    console = start(live=True, ignore_hup=True)
    console.hang_up()
    assert console.wait(4) == 129


def test_a_far_end_that_stops_reading_never_stops_the_console(start: Any) -> None:
    console = start(flood=True, size=(120, 40))
    time.sleep(4)
    gaps = console.gaps()[5:]
    assert console.process.poll() is None
    assert max(gaps) < 0.5, f"the loop stood still for {max(gaps):.2f} s"
    assert console.dropped() > 10
    mark = console.dropped()
    console.read(1.5)
    text = console.written.decode(errors="replace")
    newest = max(int(found) for found in re.findall(r"frame (\d+)", text))
    assert newest > mark, "after the stall the newest frame must be shown"
    assert console.dropped() - mark < 400
    console.type("q")
    assert console.wait(5) == 0
    assert RESTORED[0] in console.written


def test_leaving_does_not_wait_for_a_far_end_that_stopped_reading(start: Any) -> None:
    console = start(flood=True)
    time.sleep(1.5)
    begin = time.monotonic()
    console.process.send_signal(signal.SIGTERM)
    while console.process.poll() is None and time.monotonic() - begin < 6:
        time.sleep(0.02)
    assert console.process.poll() == 143


def test_control_writes_are_told_from_frames() -> None:
    for control in ("\x1b[?1049h", "\x1b[?25l", "\x1b[?2026$p", "\x1b[<u", "\x1b]52;c;" + "A" * 10_000 + "\x07"):
        assert is_control(control)
    for frame in ("\x1b[1;1H\x1b[0mtext", "\x1b[38;2;1;2;3mtext" * 20, "plain"):
        assert not is_control(frame)


def test_control_writes_survive_a_stall() -> None:
    read, write = os.pipe()
    os.set_blocking(write, True)
    drained: list[bool] = []
    writer = DroppingWriter(os.fdopen(write, "w"), lambda: drained.append(True))
    writer.start()
    for n in range(400):
        writer.write("x" * 1000 + f"{n}")
    writer.write("\x1b]52;c;Y29waWVk\x07")
    for n in range(50):
        writer.write("y" * 1000 + f"{n}")
    assert writer.dropped > 0
    got = b""
    end = time.monotonic() + 5
    while not drained and time.monotonic() < end:
        got += os.read(read, 65536)
    assert b"\x1b]52;c;Y29waWVk\x07" in got
    assert drained
    writer.write("after")
    time.sleep(0.1)
    assert b"after" in os.read(read, 65536)
    writer.stop()
    os.close(read)


def test_a_stall_in_the_middle_of_a_frame_ends_when_somebody_reads_again() -> None:
    """The frame that was being written when the waiting ones were dropped is the last: after it all is painted anew."""
    read, write = os.pipe()
    drained = threading.Event()
    writer = DroppingWriter(os.fdopen(write, "w"), drained.set)
    writer.start()
    for _ in range(3):
        writer.write("x" * 200_000)  # more than a pipe takes
    seen = 0
    while seen < 200_000:
        seen += len(os.read(read, 200_000 - seen))
    time.sleep(0.2)  # the writer stands in the middle of the second, and the third waits
    while not writer.dropped:
        writer.write("y" * 100)
    reader = threading.Thread(target=lambda: [os.read(read, 65536) for _ in range(200) if not drained.is_set()])
    reader.start()
    assert drained.wait(5)
    writer.write("after")  # unblocks the reader, and is shown
    reader.join(5)
    writer.stop()
    os.close(read)


def test_terminals_that_cannot_show_it_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tty(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.__stdin__", Tty())
    monkeypatch.setattr("sys.__stderr__", Tty())
    monkeypatch.setenv("TERM", "dumb")
    assert "TERM" in terminal.unfit()
    monkeypatch.setenv("TERM", "xterm-256color")
    assert terminal.unfit() == ""
    monkeypatch.setattr(Tty, "encoding", "ascii")
    assert terminal.unfit() == "", "signs are replaced there; nobody is turned away"


def test_the_environment_cannot_run_code_or_press_keys_in_our_name() -> None:
    environ = {"TEXTUAL_DRIVER": "evil:Driver", "TEXTUAL_PRESS": "q", "TEXTUAL_FPS": "10"}
    terminal.prepare(environ)
    assert "TEXTUAL_DRIVER" not in environ and "TEXTUAL_PRESS" not in environ
    assert environ["TEXTUAL_FPS"] == "10" and environ["TEXTUAL_ANIMATIONS"] == "none"


def test_crash_reports_hold_no_values(tmp_path: Path) -> None:
    secret = "s3cr3t-value"
    try:
        raise ValueError(f"bad {secret}")
    except ValueError as error:
        path = crash.report(error, tmp_path / "crashes", doing="WatchScreen")
    assert path is not None
    text = path.read_text()
    assert secret not in text.replace("raise ValueError", "") or 'f"bad {secret}"' in text
    assert "ValueError" in text and "WatchScreen" in text
    assert path.stat().st_mode & 0o777 == 0o600
    for _ in range(3):
        crash.report(RuntimeError("x"), Path("/proc/nowhere"))
