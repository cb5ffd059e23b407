"""Every pattern's scenario, played by the sandbox people without a terminal, ends as the pattern demands.

What each must show stands in `pattern_<name>.py` beside this file: `check(document)`.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from app.scenarios import PATTERNS
from tests.e2e.installation import Installation

pytestmark = pytest.mark.slow

KINDS = {
    "data-to-training": {"label_review", "dataset_signoff", "release_approval"},
    "candidate-to-release": {"release_approval"},
    "hotfix": {"emergency_change"},
    "correction-loop": {"label_review"},
    "maintenance": {"return_to_service", "maintenance_escalation"},
    "access-review": {"teleop_authority", "data_export"},
    "full-circle": {
        "label_review",
        "dataset_signoff",
        "release_approval",
        "rollout_signoff",
        "return_to_service",
        "data_export",
    },
}
"""Kinds of gates that people answer in each."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("scenario", list(PATTERNS))
def test_it_ends_as_the_pattern_demands(scenario: str, tmp_path: Path) -> None:
    home = Installation(tmp_path / "home")
    try:
        document = home.json("demo", "--headless", "--scenario", scenario, "--seed", "7", timeout=420)
        module = importlib.import_module(f"tests.e2e.pattern_{scenario.replace('-', '_')}")
        if hasattr(module, "afterwards"):
            assert home.run("engine", "start").returncode == 0
            module.afterwards(home, document)
    finally:
        home.stop()
    assert document["scenario"] == scenario and document["seed"] == 7
    assert document["chain_ok"] is True
    assert document["runs"] and all({"run", "workflow", "status", "ending"} <= set(run) for run in document["runs"])
    assert {"rollout", "gates", "records", "facts", "events"} <= set(document)
    assert all(vote["via"] == "script" for gate in document["gates"] for vote in gate["votes"])
    assert {gate["kind"] for gate in document["gates"]} >= KINDS[scenario]
    module.check(document)


def test_each_kind_of_gate_occurs_in_a_scenario() -> None:
    """`stage_promotion` is asked in the telemetry outage (`test_scenarios.py`)."""
    assert {"stage_promotion"}.union(*KINDS.values()) == {
        "label_review", "dataset_signoff", "release_approval", "rollout_signoff", "stage_promotion", "emergency_change",
        "teleop_authority", "data_export", "return_to_service", "maintenance_escalation",
    }  # fmt: skip
