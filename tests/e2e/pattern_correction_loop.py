"""What people did is learnt from and measured: what must be true of the document that the demo prints."""

from __future__ import annotations

from typing import Any


def check(document: dict[str, Any]) -> None:
    facts = document["facts"]
    _seen(facts)
    _labelled(document, facts)
    _split(facts)
    _measured(facts)
    assert document["records"]["cluster"] == {"confirmed": 1}


def _seen(facts: dict[str, Any]) -> None:
    spike = facts["spike"]
    assert spike["version"] == "4.8.1" and spike["k"] >= 3 and spike["p"] <= 0.001 and "robot-h" in spike["says"]
    live = sorted(facts["live"].values(), key=lambda one: one["state"])
    assert [one["state"] for one in live][1] == "lost" and "out of reach" in live[1]["why"]
    assert live[0]["covered"] >= 0.9, "kept from the ring before it was overwritten"
    assert facts["windows_kept"] == 13 and facts["scored"] >= 14


def _labelled(document: dict[str, Any], facts: dict[str, Any]) -> None:
    assert facts["causes"] == {"policy": 10, "hardware": 1, "network": 1, "environment": 1}
    assert facts["states"]["handed_over"] == 1 and facts["states"]["closed"] == 2 and facts["states"]["lost"] == 1
    assert document["records"]["case"], "the hardware's fault opened a maintenance case"
    agreement = facts["agreement"]
    assert agreement["alpha"] >= 0.8 and agreement["pairs"] >= 2 and agreement["low"] <= agreement["alpha"]
    assert agreement["edge_worst_s"] > 2, "two differed on one clip, and a third settled it"
    assert facts["reviewed"]["own_work_refused"], "who settled a clip did not accept the labels"
    assert "label_review" in {gate["kind"] for gate in document["gates"]}
    factors = facts["factors"]
    assert factors["score"] > 0 and factors["coverage_says"] and 0 < factors["novelty"] <= 1


def _split(facts: dict[str, Any]) -> None:
    assert facts["sides"]["train"] + facts["sides"]["eval"] == 10 and facts["sides"]["eval"] >= 1
    assert facts["both_sides"] == [] and facts["groups_on_both"] == []
    assert facts["snapshot"] == "recoveries-v1" and facts["pack"] == "bins-2"


def _measured(facts: dict[str, Any]) -> None:
    effect = facts["effect"]
    assert effect["word"] == "CONFIRMED" and effect["version"] == "4.8.2" and effect["high"] < 1
    assert effect["after_h"] > 0 and effect["before_n"] >= 6 and effect["inputs_digest"].startswith("sha256:")
    assert facts["states"]["effect_confirmed"] == 10
