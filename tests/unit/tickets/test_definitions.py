"""The shipped workflows of tickets and pages, and the connectors as they are declared."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest
import yaml

import connectors.github
import connectors.jira
import connectors.pagerduty
import connectors.roundup
import connectors.servicenow
from engine.capabilities.registry import builtin
from engine.capabilities.systems import conformance
from engine.language import World, read

PATTERNS = [
    file
    for folder in ("tickets", "paging")
    for file in (resources.files("engine.patterns") / folder).iterdir()
    if file.name.endswith(".yaml")
]
CONNECTORS: list[tuple[Any, dict[str, Any]]] = [
    (connectors.roundup.connector, {"username": "quarterdeck"}),
    (connectors.jira.connector, {"username": "q@example.com", "project": "OPS"}),
    (connectors.servicenow.connector, {"username": "quarterdeck.svc"}),
    (connectors.github.connector, {"repository": "dockside/fleet"}),
    (connectors.pagerduty.connector, {}),
]


@pytest.mark.parametrize("file", PATTERNS, ids=lambda one: one.name)
def test_it_is_sound(file: Any) -> None:
    found = read(file.read_text("utf-8"), World(actions=builtin().actions))
    assert not [one for one in found.findings if one.severity == "error"]


def test_every_move_of_a_case_and_of_a_ticket_is_heard() -> None:
    """A word that is missed is made up for by the sweep; that it need not be is held here."""
    file = next(one for one in PATTERNS if one.name == "ticket-sync.yaml")
    heard = {one.get("event") for one in yaml.safe_load(file.read_text("utf-8"))["triggers"]}
    moves = {"queued", "changed", "onhold", "resolved", "reopened", "closed", "cancelled", "merged"}
    assert {f"qd.case.{one}" for one in moves} <= heard
    assert {
        f"qd.remote.issue.{one}" for one in ("created", "changed", "renamed", "deleted", "restored", "told")
    } <= heard


@pytest.mark.parametrize(("connector", "options"), CONNECTORS, ids=[one.kind for one, _ in CONNECTORS])
def test_a_connector_is_declared_as_it_should_and_opens_nothing(connector: Any, options: dict[str, Any]) -> None:
    ports = conformance.connector(connector, {"url": "https://desk.example.com", "secret": "entry", **options})
    assert set(ports) == set(connector.capabilities)
    hosted = connector.kind != "roundup"
    assert ("not against" in connector.docs) is hosted  # it says what it was tested against
