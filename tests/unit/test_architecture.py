"""The house rules that a linter can't see."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("app", "screens", "engine", "connectors", "themes")
MODULES = sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{a.name}" for a in node.names)
    return names


def test_no_module_is_longer_than_500_lines() -> None:
    long = {str(p.relative_to(ROOT)): n for p in MODULES if (n := len(p.read_text().splitlines())) > 500}
    assert not long


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    assert not [
        p for p in MODULES if p.stem in {"utils", "util", "helpers", "helper", "common_utils", "manager", "misc"}
    ]


def test_import_rules_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("widget", ["DataTable", "ListView", "Tree", "LoadingIndicator"])
def test_live_screens_use_the_one_list_widget(widget: str) -> None:
    for path in (*(ROOT / "screens").rglob("*.py"), *(ROOT / "app").rglob("*.py")):
        assert f"textual.widgets.{widget}" not in imported(path), path


def test_only_the_policy_and_configuration_read_the_environment_of_secrets() -> None:
    """No module takes a secret from the environment: the names that look like one don't occur beside `environ`."""
    for path in MODULES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if "environ" in line:
                assert not any(w in line.lower() for w in ("token", "secret", "password", "passwd", "api_key")), (
                    path,
                    number,
                )
