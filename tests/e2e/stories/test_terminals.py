"""The same console on terminals that can do less, and on links that come and go."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.e2e.installation import Installation
from tests.e2e.stories.conftest import Begin
from tests.e2e.stories.operator import until
from tests.e2e.terminal import Terminal, overflows

pytestmark = pytest.mark.slow

ODD = {
    "linux": ["TERM=linux"],
    "screen": ["TERM=screen"],
    "vt100": ["TERM=vt100"],
    "no colour": ["NO_COLOR=1"],
    "no UTF-8": ["LC_ALL=POSIX", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0"],
}


def console(home: Installation, *settings: str, options: tuple[str, ...] = ()) -> Terminal:
    command = ["env", *settings, sys.executable, "-m", "app", *options]
    return Terminal(command, environment=home.environment)


@pytest.mark.parametrize("terminal", ODD)
def test_it_can_be_worked_with(begin: Begin, terminal: str) -> None:
    home = begin("healthy", 60.0)
    screen = console(home, *ODD[terminal])
    try:
        seen = screen.wait("WHAT NEEDS ME", 40)
        assert "\\u" not in seen, seen
        screen.press("4")
        screen.wait(r"run-1 ", 20)
        for columns, lines in ((60, 20), (80, 24)):
            screen.resize(columns, lines)
            screen.wait(rf"(?m)^ QD .{{{columns - 14},}}live\s*$", 20)
            assert not overflows(screen.screen(), columns)
        screen.press("1")
        screen.wait("WHAT NEEDS ME", 20)
        screen.press("q")
        screen.wait("EXIT=", 20)
    finally:
        screen.close()


def test_a_dumb_terminal_gets_lines_and_the_reason(begin: Begin) -> None:
    home = begin("healthy", 60.0)
    screen = console(home, "TERM=dumb")
    try:
        assert "WHAT NEEDS ME" not in screen.wait("EXIT=", 40)
    finally:
        screen.close()


def test_lines_are_worked_with_by_typing_alone(begin: Begin) -> None:
    home = begin("healthy", 60.0)
    screen = console(home, "TERM=dumb", options=("--plain", "--as", "ana"))
    try:
        screen.wait("qd>", 40)
        screen.type("gates ls")
        screen.press("Enter")
        screen.wait(r"rollout_signoff[\s\S]*you may[\s\S]*qd>", 20)
        screen.type("q")
        screen.press("Enter")
        screen.wait("EXIT=", 20)
    finally:
        screen.close()


def console_pid(screen: Terminal) -> int:
    """The process that draws in this terminal: what its shell started."""
    shell = screen._tmux("list-panes", "-t", "t", "-F", "#{pane_pid}").strip()
    found = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
    return int(found[0]) if found else 0


def test_a_laptop_that_slept_and_a_line_that_hung_up(begin: Begin) -> None:
    home = begin("healthy", 60.0)
    engine = home.json("engine", "status")["pid"]
    screen = console(home)
    try:
        screen.wait("WHAT NEEDS ME", 40)
        screen.press("4")
        screen.wait("run-1 ", 20)
        pid = until(lambda: console_pid(screen), "the console's process")
        os.kill(pid, signal.SIGSTOP)
        until(lambda: (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]) == "T", "asleep")
        before = home.json("engine", "status")["head"]
        home.json("rollouts", "show", "run-1")
        os.kill(pid, signal.SIGCONT)
        screen.press("j", "k")

        screen.wait("● live", 20)
        os.kill(pid, signal.SIGHUP)
        screen.wait("EXIT=", 20)
        status = home.json("engine", "status")
        assert status["pid"] == engine and status["head"] >= before, "the engine goes on"
    finally:
        screen.close()
