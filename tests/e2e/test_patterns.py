"""Every pattern's scenario, played by the sandbox people without a terminal, ends as the pattern demands.

What each must show stands in `pattern_<name>.py` beside this file: `check(document)`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from app.scenarios import PATTERNS
from tests.e2e.installation import Installation

pytestmark = pytest.mark.slow


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", list(PATTERNS))
def test_it_ends_as_the_pattern_demands(scenario: str, tmp_path: Path) -> None:
    home = Installation(tmp_path / "home")
    try:
        document: dict[str, Any] = home.json("demo", "--headless", "--scenario", scenario, "--seed", "7", timeout=540)
    finally:
        home.stop()
    assert document["scenario"] == scenario and document["seed"] == 7
    assert document["chain_ok"] is True
    assert document["runs"] and all({"run", "workflow", "status", "ending"} <= set(run) for run in document["runs"])
    assert {"rollout", "gates", "records", "facts", "events"} <= set(document)
    assert all(vote["via"] == "script" for gate in document["gates"] for vote in gate["votes"])
    importlib.import_module(f"tests.e2e.pattern_{scenario.replace('-', '_')}").check(document)
