"""The first things anyone does with the console, by keyboard alone in a real terminal of 80x24, on the real engine.

The tests wait for words, never for time; on every screen they pass they look at the frame: header, verdict line, action
bar, nothing wider than the terminal, no traceback.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.installation import Installation
from tests.e2e.terminal import Terminal, overflows

pytestmark = pytest.mark.slow

SPEED = "3000"
LOST = r"No engine[\s\S]*STALE|STALE[\s\S]*No engine"
PHRASE = r"type (rollback \d+ \S+|start \d+ \S+)"


class Operator:
    """Somebody at the keyboard: presses, reads, and looks at the frame each time."""

    def __init__(self, home: Installation) -> None:
        self.home = home
        self.terminal = Terminal([sys.executable, "-m", "app"], environment=home.environment)

    def sees(self, pattern: str, seconds: float = 20, *, gone: bool = False) -> str:
        seen = self.terminal.wait(pattern, seconds, gone=gone)
        self.looks(seen)
        return seen

    def looks(self, seen: str) -> None:
        assert "Traceback" not in seen and "The console broke" not in seen, seen
        assert not overflows(seen, self.terminal.columns), seen

    def frame(self) -> str:
        """A whole screen: who and where on top, one sentence, keys at the bottom."""
        seen = self.sees(r"(?m)^ QD .*(live|lost|ago)")
        lines = seen.splitlines()
        assert lines[1].strip(), f"no verdict line:\n{seen}"
        self.sees(r"\? ?help|\?…|1 watch")
        return seen

    def press(self, *keys: str) -> None:
        self.terminal.press(*keys)

    def command(self, text: str) -> None:
        """A `:` command."""
        self.press(":")
        self.sees(r"Enter goes")
        self.terminal.type(text)
        self.sees(rf"(?m)^ :{text}")
        self.press("Enter")

    def becomes(self, person: str) -> None:
        self.command(f"as {person}")
        self.sees(rf"QD .* {person} via")

    def types_the_phrase(self, wrong: str = "") -> None:
        """What the confirmation asks for, read off the screen; with `wrong`, that is tried first and refused."""
        import re

        try:
            seen = self.sees(PHRASE, 60)  # the engine weighs it first, on a machine that may be busy
        except AssertionError as error:
            self.press("N")  # what the key was answered has left the screen by now; it is kept
            raise AssertionError(f"{error}\nnotices:\n{self.sees('(?i)notice')}") from error
        found = re.search(PHRASE, seen)
        assert found is not None
        if wrong:
            self.fills_in(wrong)
            self.press("Enter")
            self.sees("the phrase is not")
            self.press("C-u")
            self.sees(rf"{re.escape(found[1])} +{re.escape(wrong)}", gone=True)
        self.fills_in(found[1])
        self.press("Enter")
        self.sees("Esc Cancel", gone=True)

    def fills_in(self, text: str) -> None:
        """A confirmation is deaf at first, so that nobody answers it by accident: then it is typed once more."""
        typed = rf"type \S+ \d+ \S+ +{re.escape(text)} *┃"
        for _ in range(3):
            self.terminal.type(text)
            try:
                self.sees(typed, 2)
            except AssertionError:
                self.press("C-u")
            else:
                return
        self.sees(typed, 0)

    def signs_off(self) -> None:
        """From Watch: the gate, and both seats filled by two people."""
        self.sees(r"WHAT NEEDS ME[\s\S]*Install 4\.8\.1 on 200 robots")
        self.frame()
        self.press("k", "Enter")  # the cursor stays on its row when the gate appears above it
        self.sees(r"2 of 2 seats open[\s\S]*ROLLOUT SIGNOFF")
        self.frame()
        for person, then in (("ana", "1 of 2 seats open"), ("bo", "PASSED")):
            self.becomes(person)
            self.sees("You can vote")
            self.press("A")
            self.types_the_phrase()
            self.sees(then)

    def close(self) -> None:
        self.terminal.close()


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[[str], Installation]]:
    home = Installation(tmp_path / "home")

    def start(scenario: str) -> Installation:
        home.json("demo", "--scenario", scenario, "--detach", "--speed", SPEED)
        return home

    yield start
    home.stop()


@pytest.fixture
def operator() -> Iterator[Callable[[Installation], Operator]]:
    made: list[Operator] = []

    def sit_down(home: Installation) -> Operator:
        made.append(Operator(home))
        return made[-1]

    yield sit_down
    for one in made:
        one.close()


def test_a_bad_canary_is_signed_off_watched_and_rolled_back_by_policy(
    demo: Callable[[str], Installation], operator: Callable[[Installation], Operator]
) -> None:
    home = demo("canary-regression")
    me = operator(home)

    # why does it wait? the run says so
    me.sees("WHAT NEEDS ME")
    me.command("run 1")
    me.sees(r"Sign-off|signoff")
    me.sees(r"seats? open|2 seats|release-manager")
    me.frame()
    me.press("Escape")
    me.sees("WHAT NEEDS ME")

    me.signs_off()

    # follow it on its own screen to the verdict and to the end
    me.command("rollout run-1")
    me.sees("CANARY 10")
    me.frame()
    me.sees(r"✗ (FAIL|Rolled back)", 60)
    me.frame()
    me.sees(r"↺ rolled back", 60)
    me.press("W")
    me.sees(r"Why .*FAIL")
    me.frame()

    # every root screen stands on what really happened
    for key, word in (("1", "ROLLOUTS"), ("2", "RUN +STATUS"), ("3", "open|closed|gate"), ("4", "4.8.1"), ("5", "AMR")):
        me.press(key)
        me.sees(word)
        me.frame()

    found = home.json("rollouts", "show", "run-1")
    assert found["rollout"]["state"] == "rolled_back"


def test_a_regression_of_a_wider_stage_is_paused_by_policy_and_rolled_back_by_a_person(
    demo: Callable[[str], Installation], operator: Callable[[Installation], Operator]
) -> None:
    home = demo("stage-regression")
    me = operator(home)
    me.signs_off()
    me.press("1")
    me.sees("WHAT NEEDS ME")
    me.command("rollout run-1")
    me.sees("CANARY 10")
    me.sees(r"canary 10 ✓", 60)
    me.sees(r"paused", 90)
    me.sees("FAIL")
    me.frame()
    me.press("R")
    me.types_the_phrase(wrong="rollback 1 all")
    me.sees(r"(?i)rolled back", 60)
    me.frame()
    assert home.json("rollouts", "show", "run-1")["rollout"]["state"] == "rolled_back"


def test_the_terminal_may_change_its_size(
    demo: Callable[[str], Installation], operator: Callable[[Installation], Operator]
) -> None:
    me = operator(demo("healthy"))
    me.sees(r"WHAT NEEDS ME[\s\S]*Install 4\.8\.1 on")
    me.press("k", "Enter")
    me.sees("ROLLOUT SIGNOFF")
    for columns, lines in ((60, 20), (80, 24), (160, 45), (80, 24)):
        me.terminal.resize(columns, lines)
        me.sees(rf"(?m)^ QD .{{{columns - 12},}}live\s*$")
        me.frame()
        me.sees("seats open")
        me.sees("A approve")


def test_a_lost_terminal_leaves_the_engine_alone(
    demo: Callable[[str], Installation], operator: Callable[[Installation], Operator]
) -> None:
    home = demo("healthy")
    me = operator(home)
    me.sees("WHAT NEEDS ME")
    before = home.json("engine", "status")["pid"]
    me.close()
    assert home.json("engine", "status")["pid"] == before
    again = operator(home)
    again.sees(r"WHAT NEEDS ME[\s\S]*Install 4\.8\.1")


def test_a_killed_engine_blanks_nothing_and_is_found_again(
    demo: Callable[[str], Installation], operator: Callable[[Installation], Operator]
) -> None:
    home = demo("healthy")
    me = operator(home)
    me.sees(r"WHAT NEEDS ME[\s\S]*Install 4\.8\.1")
    os.kill(home.json("engine", "status")["pid"], signal.SIGKILL)
    seen = me.sees(LOST)
    assert "Install 4.8.1" in seen, "what was known stays"
    me.press("k", "Enter")
    me.sees(r"No engine[\s\S]*(Loading|Esc goes back)")
    me.press("Escape")
    me.sees("WHAT NEEDS ME")
    home.json("engine", "start")
    me.sees(r"● live", 30)
    me.sees(r"WHAT NEEDS ME[\s\S]*Install 4\.8\.1")
    me.frame()
