"""A bad release is taken off a site: what must be true of the document that the demo prints."""

from __future__ import annotations

from typing import Any


def check(document: dict[str, Any]) -> None:
    facts = document["facts"]
    assert facts["state"] == "closed" and facts["sev"] == 2
    assert facts["suspect"] == "4.8.1", "named by its rate ratio, not by guess"
    assert facts["preserved"] == [2, 2], "evidence was kept before anything was changed"
    _decided(facts)
    _executed(facts)
    _owed(document, facts)


def _decided(facts: dict[str, Any]) -> None:
    options = facts["options"]
    assert list(options) == ["rollback", "forward", "hotfix", "config", "restrict", "monitor"], "all six, always"
    reached, of, feasible = options["rollback"]
    assert feasible and reached + len(facts["blocked"]) == of and facts["disjoint"]
    assert len(facts["blocked"]) == 3, "the bootloaders that refuse are named before anybody signs"
    assert options["forward"][0] == of and options["restrict"][0] == of + len(facts["unsure"])
    assert sorted(facts["decided_by"]) == ["ana", "ivo"], "the commander and one more"


def _executed(facts: dict[str, Any]) -> None:
    (option, state, done), *more = facts["waves"]
    assert not more and option == "rollback" and state == "done except" and done == facts["options"]["rollback"][0]
    # a robot that was away when the cohort was frozen, and came back, is left as well: nobody decided about it
    assert set(facts["blocked"]) <= set(facts["left"]) <= set(facts["blocked"]) | set(facts["unsure"])
    mended = {name for name, version in facts["after"].items() if version == "4.7.3"}
    assert len(mended) == done and all(version == "4.8.1" for version in facts["before"].values())
    assert set(facts["touched"]) <= set(facts["before"]), "nobody else was touched"
    assert set(facts["on_release"]) == set(facts["blocked"]) | set(facts["unsure"])


def _owed(document: dict[str, Any], facts: dict[str, Any]) -> None:
    assert facts["rule"] == "satisfied" and {name for name, _ in facts["rule_seen"]} == set(facts["unsure"])
    assert all("out of dispatch" in what for _, what in facts["rule_seen"])
    assert set(facts["holds"].values()) == {"released"} and len(facts["holds"]) == 3
    assert facts["clocks"] == [["cra-early", True, "ivo"]]
    owed = sorted(line.split()[0] for line in facts["follow_ups"])
    cases = ["case"] * len(facts["left"])
    assert owed == ["capture", *cases, "problem", "regression_case", "safety_note"]
    assert all(line.endswith("filed") for line in facts["follow_ups"])
    assert document["records"]["incident"] == {"closed": 1}
    assert document["records"]["evidence"].get("held", 0) >= 2
    endings = {run["workflow"]: run["ending"] for run in document["runs"]}
    assert (
        endings["fleet-hotfix"] == "closed"
        and endings["hold-release"] == "released"
        and endings["regulatory-clock"] == "filed"
    )
    kinds = {gate["kind"] for gate in document["gates"]}
    assert "emergency_change" in kinds
