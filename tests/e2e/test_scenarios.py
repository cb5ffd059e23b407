"""Every scenario of the demo ends as its name says: the contract that newcomers and tests use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.installation import Installation

pytestmark = pytest.mark.slow


@pytest.fixture
def play(tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    def run(scenario: str, seed: int = 7) -> dict[str, Any]:
        home = Installation(tmp_path / "home")
        try:
            document: dict[str, Any] = home.json(
                "demo", "--headless", "--scenario", scenario, "--seed", str(seed), timeout=280
            )
        finally:
            home.stop()
        assert document["scenario"] == scenario
        assert document["seed"] == seed
        assert document["chain_ok"] is True
        assert document["events"] > 20
        assert document["runs"] and all({"run", "workflow", "status", "ending"} <= set(r) for r in document["runs"])
        return document

    return run


def words(document: dict[str, Any]) -> list[str]:
    return [v["word"] for v in document["rollout"]["verdicts"]]


def test_healthy_reaches_every_robot(play: Callable[[str], dict[str, Any]]) -> None:
    document = play("healthy")
    rollout = document["rollout"]
    assert rollout["state"] in ("completed", "completed_with_exceptions")
    assert rollout["robots_on_target"] > 0.9 * rollout["counts"]["planned"]
    assert "FAIL" not in words(document)
    signoff = [g for g in document["gates"] if g["kind"] == "rollout_signoff"]
    assert signoff and signoff[0]["state"] == "passed"
    assert all(v["via"] == "script" for g in document["gates"] for v in g["votes"]), "the scripted operator says so"


def test_a_regressing_canary_is_rolled_back_by_policy_and_no_control_robot_was_touched(
    play: Callable[[str], dict[str, Any]],
) -> None:
    document = play("canary-regression")
    rollout = document["rollout"]
    assert rollout["state"] == "rolled_back"
    assert rollout["robots_on_target"] == 0
    assert "FAIL" in words(document)
    assert rollout["counts"]["executed"] <= 13, "lab and canary only"
    assert rollout["robots_touched_outside_stages"] == []


def test_a_regression_of_the_wider_stage_is_paused_by_policy_and_rolled_back_by_a_person(
    play: Callable[[str], dict[str, Any]],
) -> None:
    document = play("stage-regression")
    rollout = document["rollout"]
    assert rollout["state"] == "rolled_back"
    assert rollout["robots_on_target"] == 0
    by_stage = {v["stage"]: v["word"] for v in rollout["verdicts"] if v["word"] != "PENDING"}
    assert by_stage.get("canary") == "PASS"
    assert "FAIL" in by_stage.values()


def test_a_telemetry_outage_never_promotes(play: Callable[[str], dict[str, Any]]) -> None:
    document = play("telemetry-outage")
    assert any(gate["kind"] == "stage_promotion" for gate in document["gates"]), "people are asked, and don't pass it"
    assert "PASS" not in [v["word"] for v in document["rollout"]["verdicts"] if v["stage"] == "canary"]
    assert document["rollout"]["state"] not in ("completed", "completed_with_exceptions")
    assert document["rollout"]["robots_on_target"] <= 13


def test_offline_canaries_are_no_part_of_the_denominator(play: Callable[[str], dict[str, Any]]) -> None:
    document = play("offline-canaries")
    failed = [v for v in document["rollout"]["verdicts"] if v["word"] == "FAIL"]
    assert failed, "two executed failures are enough, whatever is offline"
    assert "/" in failed[0]["sentence"]


def test_failing_installs_stop_the_rollout(play: Callable[[str], dict[str, Any]]) -> None:
    document = play("install-failures")
    assert document["rollout"]["state"] in ("rolled_back", "rollback_incomplete", "aborted")
    assert "FAIL" in words(document)


def test_robots_that_cannot_go_back_are_named_before_execution(play: Callable[[str], dict[str, Any]]) -> None:
    document = play("rollback-blocked")
    blocked = document["rollout"]["blocked_before_execution"]
    assert blocked, "named in the preflight, before the sign-off"
    assert document["rollout"]["state"] == "rollback_incomplete"
