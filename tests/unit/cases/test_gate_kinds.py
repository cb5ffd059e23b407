"""A gate of every kind is answered at 80x24 by keyboard alone: its form filled in, its phrase typed, its vote sent."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace

from tests.fakes import FakeClient
from tests.unit.decision_screens.conftest import At, at

__all__ = ["at"]

FORMS: dict[str, dict[str, dict[str, Any]]] = {
    "label_review": {"verdict": {"type": "string", "enum": ["accept", "rework"], "title": "Labels"}},
    "dataset_signoff": {"rows": {"type": "integer", "minimum": 1, "title": "Rows looked at"}},
    "release_approval": {},
    "rollout_signoff": {},
    "stage_promotion": {},
    "emergency_change": {"waves": {"type": "integer", "minimum": 1, "maximum": 5, "title": "Waves"}},
    "teleop_authority": {"deadman": {"type": "boolean", "title": "Deadman tested"}},
    "data_export": {"until": {"type": "string", "title": "Delete by"}},
    "return_to_service": {"serial_tail": {"type": "string", "title": "Last 4 on its plate"}},
    "maintenance_escalation": {},
}
ANSWERS = {"verdict": "accept", "rows": 120, "waves": 3, "deadman": True, "until": "2026-12-01", "serial_tail": "7Q41"}


@pytest.mark.parametrize("kind", list(FORMS))
async def test_it_is_answered_by_keys(at: At, kind: str) -> None:
    client = FakeClient()
    plain = next(
        detail for detail in client.gate_rows.values() if "approve" in detail.answers and detail.gate.state == "open"
    )
    summary = replace(plain.gate, id="run-900.1", run="run-900", path="ask", kind=kind, rollout="", mine="")
    client.gate_rows["run-900.1"] = replace(
        plain, gate=summary, form=FORMS[kind], answers=("approve", "reject"), phrase=""
    )
    async with at(":gate run-900.1", client=client) as desk:
        assert kind.replace("_", " ").upper() in desk.text
        await desk.press("A")
        await desk.armed()
        for name, spec in FORMS[kind].items():
            if "enum" in spec or spec["type"] == "boolean":
                await desk.press("right", "tab")
            else:
                await desk.write(str(ANSWERS[name]))
                await desk.press("enter")
        if FORMS[kind]:
            await desk.write("looked at it")
            await desk.press("enter")
        phrase = re.search(r"type (\S+(?: \S+)*?)(?: {2,}|\s*┃)", desk.text)
        assert phrase is not None, desk.text
        await desk.write(phrase[1])
        await desk.press("enter")
        assert not desk.asking, desk.text
        (vote,) = desk.sent("gate.vote")
        assert vote.target == "run-900.1" and vote.args["answer"] == "approve"
        assert vote.args["evidence_digest"] == plain.evidence_digest
        assert vote.args.get("form", {}) == {name: ANSWERS[name] for name in FORMS[kind]}
