"""Nights with something to learn from: interventions jump at one site, and evidence that changes after it was approved."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.installation import Installation
from tests.e2e.stories.conftest import Begin
from tests.e2e.stories.operator import on_call, until

pytestmark = pytest.mark.slow


def test_10_interventions_jump_and_no_cause_is_named_before_there_are_five(begin: Begin) -> None:
    home = begin("correction-loop", 600.0)

    def waiting() -> list[dict[str, Any]]:
        rows = home.json("records", "ls", "correction")["rows"]
        return [row for row in rows if row["state"] == "captured"]

    until(lambda: len(waiting()) >= 8, "the corrections", 90)
    with on_call(home, "dirk") as me:
        me.press("8")
        seen = me.sees(r"⚑ \d+ to triage")
        assert "No cluster yet" in seen, "no cause has a name before there are enough of its like"
        me.sees("policy\\?")
        me.press("a")
        me.sees(r"✓ as suggested")
        assert me.pressed == 2
        for row in waiting():
            home.run("corrections", "triage", row["id"], "--as", "dirk")
        me.sees(r"CL-1 +\S[^\n]* [5-9] \d+ \[\d+ \d+\]", 90)


def gate_of(home: Installation) -> dict[str, Any]:
    """The approval that is open, as it stands."""
    open_ones = [one for one in home.json("gates", "ls")["rows"] if one["kind"] == "release_approval"]
    return dict(home.json("gates", "show", open_ones[0]["id"])) if open_ones else {}


def test_9_evidence_that_changed_after_an_approval_is_asked_about_anew(begin: Begin) -> None:
    home = begin("candidate-to-release", 600.0)

    def question() -> dict[str, Any] | None:
        return next((one for one in home.json("gates", "ls")["rows"] if one["kind"] == "release_approval"), None)

    id = until(question, "the question", 120)["id"]
    first = home.json("gates", "show", id)
    before, evidence = first["evidence_digest"], first["evidence"]
    trials = home.json("records", "ls", "trial", "--limit", "1000")["rows"]
    trial = next(
        one for one in trials if one["state"] == "recorded" and one["arm"] == "candidate" and one["purpose"] == "sim"
    )
    home.json(
        "models",
        "exclude",
        trial["id"],
        "--reason",
        "the part was put down by hand",
        "--sort",
        "operator",
        "--as",
        "ana",
    )
    until(lambda: gate_of(home) and gate_of(home)["evidence_digest"] != before, "the question on the new evidence", 90)
    with on_call(home, "ana") as me:
        me.sees("WHAT NEEDS ME")
        me.press("Enter")
        me.sees(r"RELEASE APPROVAL[\s\S]*0/1 filled")
        assert me.pressed == 1
    late = home.run("gates", "approve", id, "--evidence", before, "--as", "ana", "--yes")
    assert late.returncode == 1 and "refused" in late.stderr, "what was approved then is not approved now"
    now = gate_of(home)
    assert now["gate"]["id"] != id and not [vote for vote in now["votes"] if not vote["void"]]
    changed = {name for name, value in now["evidence"].items() if evidence.get(name) != value}
    assert changed and changed != set(now["evidence"]), changed
    candidates = home.json("records", "ls", "candidate")["rows"]
    assert any(one["excluded"] for one in candidates), "what was left out is counted, with its reason"
