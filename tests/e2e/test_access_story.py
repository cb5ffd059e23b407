"""Access by keyboard alone in a terminal of 80x24: asked for in a few keys, signed by three, held, driven, taken back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.installation import Installation
from tests.e2e.test_console_story import Operator

pytestmark = pytest.mark.slow


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    home = Installation(tmp_path / "home")
    begun = home.run("demo", "--detach", "--scenario", "access-review", "--seed", "7")
    assert begun.returncode == 0, begun.stderr
    person = Operator(home)
    try:
        yield person
    finally:
        person.terminal.close()
        home.stop()


def test_a_direct_drive_is_signed_by_three_made_ready_and_revoked_by_keyboard(operator: Operator) -> None:
    operator.sees("WHAT NEEDS ME")
    operator.becomes("dirk")
    operator.press("F2")
    operator.sees(r"2 to decide[\s\S]*Q-1[\s\S]*DIRECT DRIVE")
    operator.frame()
    operator.press("Enter")
    operator.sees(r"NEEDS 3[\s\S]*wants DIRECT DRIVE OF[\s\S]*MISSING")
    operator.frame()
    operator.press("A")
    operator.sees("TELEOP AUTHORITY")
    for person, left in (("dirk", "2 of 3 seats open"), ("sia", "1 of 3 seats open"), ("pia", "PASSED")):
        operator.becomes(person)
        operator.sees("You can vote")
        operator.press("A")
        _types_the_phrase(operator)
        operator.sees(left)
    operator.press("Escape")
    operator.sees(r"Approved, HELD")
    operator.becomes("sia")
    operator.press("a")
    operator.sees("Esc Cancel")
    _confirm(operator)
    operator.sees("TEL-07", gone=True)
    operator.becomes("olga")
    operator.press("r")
    operator.sees("Report for Q-1")
    operator.terminal.type("142")
    operator.press("C-s")
    operator.sees(r"olga has direct")
    operator.frame()
    operator.becomes("carl")
    operator.press("K")
    operator.sees(r"to be looked at by compliance|in review")


def _types_the_phrase(operator: Operator) -> None:
    """Read off the screen; typed once more while the confirmation is deaf."""
    found = re.search(r"type (approve \S+)", operator.sees(r"type approve \S+"))
    assert found is not None
    for _ in range(4):
        operator.terminal.type(found[1])
        try:
            operator.sees(rf"type {re.escape(found[1])} +{re.escape(found[1])} *┃", 2)
        except AssertionError:
            operator.press("C-u")
        else:
            break
    operator.press("Enter")
    operator.sees("Esc Cancel", gone=True)


def _confirm(operator: Operator) -> None:
    """A confirmation is deaf at first, so that nobody answers it by accident."""
    for _ in range(5):
        operator.press("y")
        try:
            operator.sees("Esc Cancel", 1, gone=True)
        except AssertionError:
            continue
        return
    operator.sees("Esc Cancel", 0, gone=True)
