"""Nights of the shift itself: an approver asleep, eleven failures at once, and the end of it, handed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.e2e.installation import Installation
from tests.e2e.stories.conftest import Begin
from tests.e2e.stories.operator import on_call, until

pytestmark = pytest.mark.slow
SPEED = 600.0
APPROVAL = Path(__file__).with_name("night-approval.yaml")


def gate(home: Installation, id: str) -> dict[str, Any]:
    found: dict[str, Any] = home.json("gates", "show", id)
    return found


def test_8_an_approver_asleep_the_deputy_gets_the_same_bundle(begin: Begin) -> None:
    home = begin("maintenance", SPEED)
    home.json("workflows", "register", str(APPROVAL), "--as", "ana")
    asked = home.json("runs", "start", "night-approval", "--as", "rene")["target"]
    id = until(
        lambda: next((one["id"] for one in home.json("gates", "ls")["rows"] if one["run"] == asked), ""), "the question"
    )
    digest = gate(home, id)["evidence_digest"]
    until(lambda: gate(home, id)["escalated_to"] == "duty-director", "the deputy", 90)
    assert gate(home, id)["evidence_digest"] == digest and gate(home, id)["gate"]["state"] == "open", (
        "silence approves nothing"
    )
    with on_call(home, "dana") as me:
        me.sees(r"1 decision waits for you")
        me.press("Enter")
        seen = me.sees(r"You can vote[\s\S]*Promote 4\.8\.1 to 30 %\?")
        assert digest.removeprefix("sha256:")[:8] in me.sees("digest") or "coverage" in seen
        me.press("A")
        me.types_the_phrase()
        me.sees("PASSED|passed")
        assert me.pressed == 3
    refused = home.run("gates", "approve", id, "--as", "rene", "--yes")
    assert refused.returncode == 1
    assert {vote["person"] for vote in gate(home, id)["votes"] if not vote["refused"]} == {"dana"}


def test_11_eleven_failures_of_one_variant_are_one_problem(begin: Begin, tmp_path: Path) -> None:
    home = begin("maintenance", SPEED)
    rows = [row for row in home.json("fleet", "robots")["rows"] if row["online"]][3:]
    variant = max({row["variant"] for row in rows}, key=lambda name: sum(row["variant"] == name for row in rows))
    failed = [row["id"] for row in rows if row["variant"] == variant][:11]
    told = tmp_path / "failed.json"
    told.write_bytes(
        msgspec.json.encode(
            {"version": "4.9.9", "stage": "canary", "robots": [[name, "no space left on device"] for name in failed]}
        )
    )
    home.json("events", "emit", "qd.robot.update.failed", "--data-file", str(told), "--subject", "run-0", "--as", "ana")

    def held() -> bool:
        return all(not home.json("fleet", "record", name)["dispatchable"] for name in failed[::5])

    until(held, "the robots out of dispatch", 90)
    until(
        lambda: (
            sum("4.9.9" in one["case"]["title"] + one["case"]["symptom"] for one in home.json("cases", "ls")["rows"])
            == 11
        ),
        "eleven cases",
        90,
    )
    with on_call(home, "tess") as me:
        me.press("0")
        me.sees(r"update to 4\.9\.9 faile")
        me.press("j")
        seen = me.sees(r"problem: PRB-1 [\s\S]*11 robots of rev-")
        assert "out of service (PRB-1)" in seen
        assert me.pressed == 2
    problems = home.json("records", "ls", "problem")
    assert len(problems["rows"]) == 1 and set(failed) <= set(problems["rows"][0]["robots"])
    for name in failed:
        assert not home.json("fleet", "record", name)["dispatchable"]


def test_15_command_of_an_incident_passes_on_the_receivers_key_alone(begin: Begin) -> None:
    home = begin("maintenance", SPEED)
    declared = home.json("incidents", "declare", "docks at HAM5 stop", "--sev", "3", "--site", "HAM5", "--as", "cy")[
        "target"
    ]
    home.json("oncall", "take", "--as", "ivo")
    home.json("incidents", "take", declared, "--as", "ivo")
    offered = home.json("handover", "offer", "--as", "ivo", "--to", "bo", "--note", "docks are slow")
    refused = home.run("handover", "accept", str(offered["target"]), "--as", "ivo", "--yes")
    assert refused.returncode != 0, "the giver's own key moves nothing"
    assert home.json("incidents", "show", declared)["incident"]["ic"] == "ivo"
    with on_call(home, "bo") as me:
        me.press("F9")
        me.sees(r"HANDOVER HO-1 +ivo → bo")
        me.press("A")
        me.sees(r"HO-1 accepted [^\n]*ivo → bo, with command of I-1")
        assert me.pressed == 2
    taken = home.json("incidents", "show", declared)["incident"]
    assert taken["ic"] == "bo"
    assert any(
        "ivo" in line["what"] + line["who"] and "bo" in line["what"] + line["who"] and line["at"]
        for line in taken["timeline"]
    ), "with the time and both names"
