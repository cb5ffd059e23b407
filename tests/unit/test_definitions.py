"""The shipped workflows, walked step by step: none has a step that can die, hang or wait for ever without anybody knowing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.capabilities import policy, subjects
from engine.core.definition import Definition, Step
from engine.language import load

PATTERNS = Path(__file__).parents[2] / "engine" / "patterns"
FILES = sorted(
    str(each.relative_to(PATTERNS)) for each in PATTERNS.rglob("*.yaml") if each.parent.name != "policies"
)  # those in a folder need a capability; they are held to the same
SEVEN = {
    "data-to-training", "candidate-to-release", "staged-rollout", "fleet-hotfix", "correction-loop", "maintenance-escalation",
    "access-review",
}  # fmt: skip
POLICY = policy.Policy.load("policy: 1\n", environment="sandbox", owner="ops")
GATES = {
    "label_review", "dataset_signoff", "release_approval", "rollout_signoff", "stage_promotion", "emergency_change",
    "teleop_authority", "data_export", "return_to_service", "maintenance_escalation",
}  # fmt: skip


def text(name: str) -> str:
    return (PATTERNS / name).read_text("utf-8")


def definition(name: str) -> Definition:
    return load(
        text(name),
        actions=subjects.actions(),
        roles=POLICY.known,
        people=POLICY.roster,
        windows=POLICY.calendar,
        source=name,
    )


def steps(name: str) -> Iterator[Step]:
    yield from definition(name).steps.values()


def raw_steps(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """As written, those inside maps too."""
    for name, step in body.items():
        yield name, step
        if "map" in step:
            yield from raw_steps(step["do"])


def test_all_seven_are_there() -> None:
    assert {definition(name).workflow for name in FILES} >= SEVEN


@pytest.mark.parametrize("name", FILES)
def test_retry_and_escalation_are_declared_not_inherited_from_the_engine(name: str) -> None:
    document = yaml.safe_load(text(name))
    defaults = document.get("defaults", {})
    bodies = {**document["steps"], **document.get("on_failure", {}).get("then", {})}
    for step_name, step in raw_steps(bodies):
        if "action" in step or "observe" in step or "child" in step:
            assert "escalate" in step or "escalate" in defaults, f"{name}: {step_name} escalates to nobody"
        if "action" in step or "observe" in step:
            assert "retry" in step or "retry" in defaults, f"{name}: {step_name} says nothing of retries"


@pytest.mark.parametrize("name", FILES)
def test_no_step_dies_hangs_or_waits_in_silence(name: str) -> None:
    whole = definition(name)
    for step in whole.steps.values():
        where = f"{name}: {step.id}"
        if step.kind == "action":
            assert step.timeout is not None, f"{where} may hang: it has no timeout"
            assert step.retry.attempts >= 1, where
            if step.effect == "once":
                assert step.key is not None, f"{where} is done once and has no key"
        if step.kind in ("action", "observe", "child", "map"):
            role = (step.escalate or whole.escalate).role
            assert role in POLICY.known, f"{where} escalates to {role}, which nobody holds"
            assert any(role in roles for roles in POLICY.held.values()), (
                f"{where} escalates to {role}, which nobody holds"
            )
        if step.kind == "observe":
            assert step.observe is not None and step.observe.for_ is not None, f"{where} may watch for ever"
        if step.kind == "wait" and step.wait is not None and step.wait.event is not None:
            assert step.timeout is not None and (step.on_timeout or step.catch), f"{where} may wait for ever"
        if step.compensate is not None:
            assert step.compensate.retry.attempts > 1 and step.compensate.timeout, (
                f"{where}: its way back is tried once"
            )


@pytest.mark.parametrize("name", FILES)
def test_silence_never_approves(name: str) -> None:
    """What happens when nobody votes is never what happens when people approve."""
    for step in steps(name):
        if step.gate is not None:
            out = step.gate.on_timeout
            assert out.goto or out.raise_ or out.escalate, f"{name}: {step.id}"
            assert out.goto != step.next or not out.goto, f"{name}: {step.id} goes on as approved when nobody votes"


def test_every_kind_of_gate_is_asked_somewhere() -> None:
    asked = {step.gate.kind for name in FILES for step in steps(name) if step.gate is not None}
    assert asked >= GATES
