"""Maintenance by keyboard alone, in a real terminal of 80x24 on the real engine: a case is filed in a few keys, repaired,
and its robot given back by a second person, who reads the plate.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.installation import Installation
from tests.e2e.test_console_story import Operator

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("maintenance") / "home")
    made.json("demo", "--detach", "--scenario", "maintenance", "--seed", "7", "--speed", "600")
    yield made
    made.stop()


@pytest.fixture
def operator(home: Installation) -> Iterator[Operator]:
    person = Operator(home)
    yield person
    person.terminal.close()


class Keys:
    """Counts what is pressed beside the text."""

    def __init__(self, operator: Operator) -> None:
        self.operator, self.pressed = operator, 0

    def press(self, *keys: str) -> None:
        self.operator.press(*keys)
        self.pressed += len(keys)

    def type(self, text: str) -> None:
        self.operator.terminal.type(text)


def robot_of(home: Installation, place: int) -> dict[str, Any]:
    rows = sorted(home.json("fleet", "robots")["rows"], key=lambda row: row["id"])
    found: dict[str, Any] = rows[place]
    return found


def case_of(home: Installation, robot: str) -> dict[str, Any]:
    rows = [one["case"] for one in home.json("cases", "ls", "--all")["rows"] if one["case"]["robot"] == robot]
    assert rows, f"no case of {robot}"
    return dict(rows[0])


def test_a_case_is_filed_repaired_and_its_robot_given_back_by_keys(home: Installation, operator: Operator) -> None:
    robot = robot_of(home, 7)
    operator.frame()
    operator.becomes("cy")
    keys = Keys(operator)
    keys.press("0")
    operator.sees("1 P2")
    keys.press("+")
    operator.sees("File a case")
    keys.type(robot["id"])
    operator.sees(f"sn …{robot['serial'][-4:]}")  # a second mark of the robot before it is taken
    keys.press("Enter")
    keys.type("left drive hums")
    keys.press("C-s")
    operator.sees(r"✓ File M-\d+")
    assert keys.pressed < 10, "a case is filed in less than ten keys beside the text"
    case = case_of(home, robot["id"])
    assert case["symptom"] == "left drive hums" and case["created_by"] == "cy"

    operator.becomes("tom")
    operator.command(f"case {case['id']}")
    operator.sees("waits for somebody: a claims it", 30)
    operator.press("a")
    operator.sees("is with tom")
    operator.press("s")
    operator.sees("is worked on by tom")
    operator.press("m")
    operator.sees("a step is done")
    operator.press("Tab")
    operator.terminal.type("0.3 A")
    operator.press("C-s")
    operator.sees(r"1/7 \[x\]")
    operator.press("f")
    operator.sees(f"Code and resolve {case['id']}")
    operator.press("n", "Tab", "w", "Tab", "o", "Tab", "Tab", "l", "Tab")
    operator.terminal.type("wheel exchanged")
    operator.press("C-s")
    operator.sees("is repaired|is verified by what|waits for its return", 30)
    operator.press("v")
    operator.sees("Checklist of")
    operator.press("y", "Tab", "y", "Tab", "y", "Tab", "y", "C-s")
    operator.sees("4 of 4 by tom|waits for its return", 30)
    operator.sees("waits for its return to service", 90)
    operator.press("A")
    operator.sees("Give .* back to service")
    operator.press("A")  # a technician has no seat there
    operator.sees("A approve: ")

    operator.becomes("tess")
    operator.command(f"case {case['id']}")
    operator.sees("waits for its return to service", 30)
    operator.press("B")
    operator.sees("Give .* back to service")
    operator.press("A")
    operator.sees("Last 4 on its plate")
    time.sleep(0.6)
    operator.terminal.type(robot["serial"][-4:])
    operator.press("Enter")
    operator.press("Enter")
    phrase = re.search(r"type (approve \S+)", operator.sees(r"type approve \S+"))
    assert phrase is not None
    operator.terminal.type(phrase[1])
    operator.press("Enter")
    operator.sees("✓ approve", 20)
    deadline = time.monotonic() + 30
    while case_of(home, robot["id"])["state"] != "closed" and time.monotonic() < deadline:
        time.sleep(0.2)
    closed = case_of(home, robot["id"])
    assert closed["state"] == "closed" and closed["verifier"] == "tess" and closed["technicians"] == ["tom"]
    record = home.json("fleet", "record", robot["id"])
    assert record["dispatchable"] and record["state"] == "in_service"
