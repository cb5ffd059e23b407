"""The table of events and what they start or stop, held against the shipped definitions."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
import yaml

from engine.core.durations import seconds

STARTS: dict[str, tuple[str, ...]] = {
    "qd.session.ingested": ("data-to-training", "correction-loop"),
    "qd.training.completed": ("candidate-to-release",),
    "qd.artifact.eligible": ("staged-rollout",),
    "qd.canary.regression": ("fleet-hotfix",),
    "qd.update.drift": ("maintenance-intake", "fleet-hotfix"),
    "qd.intervention.spike": ("correction-loop", "fleet-hotfix"),
    "qd.robot.update.failed": ("maintenance-intake",),
    "qd.artifact.revoked": ("fleet-hotfix",),
    "qd.access.breakglass": ("access-review",),
    "qd.case.recurrence": ("correction-loop",),
    "qd.correction.accepted": ("data-to-training",),
    "qd.dataset.requested": ("data-to-training",),
    "qd.consent.revoked": ("data-withdrawal",),
}
"""event -> workflows with a rule on it."""

MOVES: dict[str, tuple[str, ...]] = {
    "qd.session.ingested": ("data-to-training",),
    "qd.dataset.finalized": ("correction-loop",),
    "qd.artifact.revoked": ("staged-rollout",),
    "qd.incident.declared": ("staged-rollout", "candidate-to-release"),
    "qd.policy.changed": ("access-review",),
    "qd.consent.revoked": ("access-review",),
    "qd.rollout.completed": ("correction-loop",),
}
"""event -> workflows whose open runs it moves."""

MUST = (("qd.artifact.revoked", "fleet-hotfix"), ("qd.access.breakglass", "access-review"))
"""What can't be muted."""


def definitions() -> dict[str, dict[str, Any]]:
    files = [file for file in resources.files("engine.patterns").iterdir() if file.name.endswith(".yaml")]
    found = [yaml.safe_load(file.read_text("utf-8")) for file in files]
    return {one["workflow"]: one for one in found}


SHIPPED = definitions()


def rules(event: str) -> dict[str, dict[str, Any]]:
    return {
        name: rule
        for name, one in SHIPPED.items()
        for rule in one.get("triggers") or ()
        if isinstance(rule, dict) and rule.get("event") == event
    }


def listened(node: Any) -> Iterator[str]:
    """Every event that steps wait for or are interrupted by."""
    if isinstance(node, dict):
        if isinstance(node.get("event"), str):
            yield node["event"]
        for value in node.values():
            yield from listened(value)
    elif isinstance(node, list):
        for value in node:
            yield from listened(value)


@pytest.mark.parametrize(("event", "workflows"), STARTS.items())
def test_an_event_of_the_table_starts_what_it_says(event: str, workflows: tuple[str, ...]) -> None:
    assert set(workflows) <= set(rules(event))


@pytest.mark.parametrize(("event", "workflows"), MOVES.items())
def test_an_event_of_the_table_moves_open_runs(event: str, workflows: tuple[str, ...]) -> None:
    for workflow in workflows:
        assert event in set(listened(SHIPPED[workflow]["steps"])), f"no step of {workflow} takes {event}"


@pytest.mark.parametrize(("event", "workflow"), MUST)
def test_what_cannot_be_muted_says_must(event: str, workflow: str) -> None:
    assert rules(event)[workflow]["must"] is True


def test_the_guards_of_the_table() -> None:
    assert seconds(rules("qd.canary.regression")["fleet-hotfix"]["debounce"]) == 600.0
    spike = rules("qd.intervention.spike")["correction-loop"]
    assert seconds(spike["within"]) == 4 * 3600.0
    assert all(word in spike["dedupe"] for word in ("version", "site", "window_start"))
    drift = rules("qd.update.drift")["maintenance-intake"]
    assert all(word in drift["dedupe"] for word in ("robot", "component", "reported"))
    assert rules("qd.update.drift")["fleet-hotfix"]["burst"]["count"] == 3
    assert "digest" in rules("qd.artifact.revoked")["fleet-hotfix"]["dedupe"]
    assert "digest" in rules("qd.training.completed")["candidate-to-release"]["dedupe"]
    assert "grant" in rules("qd.access.breakglass")["access-review"]["dedupe"]
