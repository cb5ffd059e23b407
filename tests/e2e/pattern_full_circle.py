"""Full circle: one thread from the first interventions to the measured effect, through all seven patterns."""

from __future__ import annotations

from typing import Any

PATTERNS = {
    "correction-loop", "maintenance-escalation", "access-review", "data-to-training", "candidate-to-release", "staged-rollout",
}  # fmt: skip


def check(document: dict[str, Any]) -> None:
    facts = document["facts"]
    assert {run["workflow"] for run in document["runs"]} >= PATTERNS
    assert facts["causes"]["policy"] >= 6 and facts["causes"]["hardware"] == 1
    assert facts["case"]["state"] == "closed" and facts["case"]["source"] == "correction"
    assert facts["access"]["grant_state"] == "relinquished"
    assert facts["artifact"]["model_is_the_checkpoint"] and facts["artifact"]["signature_valid"]
    assert facts["artifact"]["version"] == facts["rollout"]["version"] == "4.8.1"
    assert facts["artifact"]["verdict"] in ("better", "non_inferior")
    assert facts["rollout"]["state"] in ("completed", "completed_with_exceptions")
    effect = facts["effect"]
    assert effect["word"] == "CONFIRMED" and effect["version"] == "4.8.1" and effect["high"] < 1
    _one_thread(facts)


def afterwards(home: Any, document: dict[str, Any]) -> None:
    """`qd trace` prints the very thread that the scenario told."""
    told = document["facts"]["trace"]
    first = next(node[2] for node in told if node[0] == 0)
    printed = home.json("trace", first)
    found = [
        [node.get("level", 0), node["kind"], node["id"], node.get("how", ""), node.get("label", "")]
        for node in printed["nodes"]
    ]
    assert found == told


def _one_thread(facts: dict[str, Any]) -> None:
    """From the spike on, each thing follows from the one before: the path in the tree names them in this order."""
    path: list[list[Any]] = []
    deepest: list[str] = []
    for node in facts["trace"]:
        del path[node[0] :]
        path.append(node)
        labels = [one[4] for one in path]
        if labels[-1] == "qd.rollout.completed":
            deepest = labels
    order = (
        "qd.intervention.spike", "correction-loop", "qd.correction.accepted", "data-to-training", "qd.training.completed",
        "candidate-to-release", "qd.artifact.eligible", "staged-rollout", "qd.rollout.completed",
    )  # fmt: skip
    found = [label for label in deepest if label in order]
    assert found == [one for one in order if one in found] and found[-1] == "qd.rollout.completed", deepest
    assert set(order[1:]) <= set(found), deepest
    assert "qd.correction.effect.confirmed" in [node[4] for node in facts["trace"]]
