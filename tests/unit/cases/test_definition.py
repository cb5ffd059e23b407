"""The maintenance workflow, walked: no clock closes a case, and whoever gives a robot back has been asked."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest
import yaml

TEXT = (resources.files("engine.patterns") / "maintenance-escalation.yaml").read_text("utf-8")
STEPS: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["steps"]
ORDER = list(STEPS)
CLOSES = "case.give_back"
ASKS = {name for name, step in STEPS.items() if "gate" in step}


def onward(name: str) -> list[str]:
    """Where a step goes on to when nobody answers anything: not through a gate."""
    step = STEPS[name]
    found = [step["next"]] if "next" in step else []
    for one in step.get("choice", ()):
        found.append(one["goto"])
    if "else" in step:
        found.append(step["else"])
    found += [one["goto"] for one in step.get("catch", ()) if "goto" in one]
    if not {"next", "choice"} & set(step) and name != ORDER[-1]:
        found.append(ORDER[ORDER.index(name) + 1])
    return [one for one in found if one in STEPS]


def reached(start: str) -> set[str]:
    """Every step that can follow `start` with no person in between."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        name = ahead.pop()
        if name in seen or name in ASKS:
            continue
        seen.add(name)
        ahead += onward(name)
    return seen


TIMEOUTS = sorted(
    {str(step["on_timeout"]["goto"]) for step in STEPS.values() if "goto" in (step.get("on_timeout") or {})}
)


@pytest.mark.parametrize("start", TIMEOUTS)
def test_time_closes_no_case(start: str) -> None:
    closing = [name for name in reached(start) if STEPS[name].get("action") == CLOSES]
    assert not closing, f"from {start}, silence reaches {closing}"


@pytest.mark.parametrize("name", [one for one, step in STEPS.items() if step.get("action") == CLOSES])
def test_a_robot_is_given_back_right_after_a_gate_only(name: str) -> None:
    before = ORDER[ORDER.index(name) - 1]
    assert STEPS[before].get("kind") == "return_to_service" and "next" not in STEPS[before]
    assert STEPS[before]["exclude"] and "serial_tail" in STEPS[before]["form"]
    others = [one for one in ORDER if one != before and one not in ASKS and name in onward(one)]
    assert not others, f"{others} lead to {name} past its gate"
