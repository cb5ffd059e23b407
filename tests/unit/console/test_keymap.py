"""Keys that were moved: what may be written, where two acts now want one key, and the command that says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli.config import config
from screens import keymap
from screens.acts import REGISTRY
from screens.runs import RunsScreen


def test_no_screen_gives_a_key_two_meanings_of_its_own() -> None:
    for screen in keymap.every_screen():
        for key, holders in keymap.keys_on(screen, {}).items():
            assert len(holders) == 1, f"{screen.__name__} {key}: {[act.name for act in holders]}"


def test_a_map_is_taken_by_its_form() -> None:
    good, problems = keymap.accepted(
        {"run.cancel": "F8", "run.retry": 7, "case.note": "^t", "gate.open": "?", "nodot": "x", "a.b": "ctrl+c", "a.c": "alt+x"}
    )  # fmt: skip
    assert good == {"run.cancel": "f8", "case.note": "ctrl+t", "gate.open": "question_mark"}
    assert len(problems) == 4
    assert any("leaves the console" in problem for problem in problems)
    assert any("no key that every terminal sends" in problem for problem in problems)


@pytest.mark.parametrize("wanted", [4, "x", ["run.cancel"], {4: "x"}, {"run.cancel": ""}, {"run.cancel": ["f8"]}])
def test_a_map_that_is_none_is_told_of(wanted: object) -> None:
    good, problems = keymap.accepted(wanted)
    assert good == {}
    assert len(problems) == 1


def test_a_move_onto_another_act_is_told_with_the_screen() -> None:
    (clash,) = keymap.clashes(RunsScreen, {"runs.open_only": "y"})
    assert clash.said == "Runs: y is runs.open_only and console.copy; give one of them another key"
    assert keymap.clashes(RunsScreen, {"runs.open_only": "f12"}) == []
    assert "the cursor of lists (down)" in keymap.clashes(RunsScreen, {"runs.open_only": "j"})[0].said


def test_two_acts_of_different_screens_may_share_a_key() -> None:
    moved = {"runs.open_only": "f12", "case.note": "f12"}
    assert [clash for screen in keymap.every_screen() for clash in keymap.clashes(screen, moved)] == []


def test_the_command_moves_checks_and_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QD_HOME", str(tmp_path))
    run = CliRunner().invoke
    assert run(config, ["keys", "runs.open_only", "f12"]).exit_code == 0
    kept = json.loads((tmp_path / "config" / "console.json").read_text())
    assert kept["keys"] == {"runs.open_only": "f12"}
    refused = run(config, ["keys", "runs.open_only", "y"])
    assert refused.exit_code == 1
    assert "not moved: Runs: y is runs.open_only and console.copy" in refused.output
    assert json.loads((tmp_path / "config" / "console.json").read_text()) == kept, "a refusal changes nothing"
    near = run(config, ["keys", "runs.open_onli", "f11"])
    assert near.exit_code == 1
    assert "did you mean runs.open_only?" in near.output
    told = json.loads(run(config, ["keys", "--json"]).output)
    assert {row["act"] for row in told["keys"]} <= set(REGISTRY)
    assert next(row for row in told["keys"] if row["act"] == "runs.open_only")["key"] == "f12"
    assert run(config, ["keys", "runs.open_only", "--reset"]).exit_code == 0
    assert json.loads((tmp_path / "config" / "console.json").read_text())["keys"] == {}


def test_settings_have_their_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QD_HOME", str(tmp_path))
    run = CliRunner().invoke
    assert run(config, ["set", "hints", "off"]).exit_code == 0
    assert json.loads(run(config, ["ls", "--json"]).output)["settings"] == {"hints": False}
    assert run(config, ["set", "hints", "perhaps"]).exit_code == 2
    assert "none yet" in run(config, ["views"]).output
    assert run(config, ["views", "--forget", "x"]).exit_code == 1
