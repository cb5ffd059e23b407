"""The recordings' screens at 80x24 and 160x45: what is wrong stands first, nothing is wider than the terminal."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from connectors.sandbox import recordings
from engine.capabilities.data import checks
from engine.capabilities.data.identity import Claim, Known
from engine.capabilities.data.mcap_scan import scan
from engine.capabilities.data.profile import intake_of, profile_of, rules_of
from engine.capabilities.data.session_fields import fields_of
from engine.capabilities.packs import load_pack
from engine.contract.sessions import SessionFunnel, SessionReport, SessionView
from tests.fakes import FakeClient
from tests.unit.decision_screens.conftest import At, at

__all__ = ["at"]
FAULTS = ("", "corrupt", "gap", "wrong_robot", "truncated", "limits", "calibration")


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[SessionView, SessionReport]]:
    """Records as real files make them, by fault."""
    folder = tmp_path_factory.mktemp("screens")
    pack = load_pack("data")
    profile = profile_of(pack)
    found: dict[str, tuple[SessionView, SessionReport]] = {}
    plans = recordings.plans(seed=7, count=len(FAULTS) + 1, seconds=5.0)
    for number, fault in enumerate(FAULTS):
        plan = recordings.broken(plans[number], fault, other=plans[number + 1]) if fault else plans[number]
        path = recordings.write(plan, folder)
        claim = Claim(name=path.name, robot=plans[number].robot, site=plan.site)
        facts = scan(path, rules_of(profile, intake_of(pack)))
        findings = checks.judge(facts, profile, claim, Known())
        word = checks.verdict(findings)
        fields: dict[str, Any] = fields_of(facts, claim, {}) | {
            "id": f"S-{number + 1}", "kind": "session", "uri": str(path), "name": path.name, "verdict": word, "run": "run-4", "rev": 3,
            "state": {"pass": "valid", "repair": "repaired", "quarantine": "quarantined"}[word], "profile": profile.ref,
            "findings": msgspec.to_builtins(findings[:20]), "finding_count": len(findings), "claimed_robot": claim.robot,
            "code": findings[0].check if findings else "", "created_at": float(number),
        }  # fmt: skip
        if word == "repair":
            fields |= {
                "repairs": 1,
                "lost_bytes": 19680,
                "lost_s": 0.3,
                "content": "sha256:" + "1" * 64,
                "mended": ["583 messages written anew"],
            }
        view = msgspec.convert(fields, SessionView)
        report = SessionReport(
            session=view.id,
            digest=view.digest,
            verdict=word,
            profile=profile.ref,
            findings=tuple(findings),
            topics=view.topics,
        )
        found[fault] = (view, report)
    return found


def client_with(taken: dict[str, tuple[SessionView, SessionReport]]) -> FakeClient:
    client = FakeClient()
    client.held["session"] = [view for view, _ in taken.values()]
    for view, report in taken.values():
        client.answers_to[f"/v1/sessions/{view.id}/report"] = report
    client.answers_to["/v1/session-funnel"] = SessionFunnel(
        states={"valid": 1, "repaired": 1, "quarantined": 5}, reasons={"corrupt": 1, "gap": 1, "limits": 1, "wrong_robot": 1, "calibration": 1},
        sessions=7, bytes=3_000_000, hours=0.01, repaired=1, lost_bytes=19680,
    )  # fmt: skip
    return client


async def answered(desk: Any, verb: str) -> list[Any]:
    """What a form sent, once it was sent."""
    for _ in range(50):
        if sent := desk.sent(verb):
            return list(sent)
        await desk.settle(0.1)
    raise AssertionError(desk.text)


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_what_was_set_aside_stands_first_with_its_reason(at: At, taken: Any, size: tuple[int, int]) -> None:
    async with at("data", size=size, client=client_with(taken)) as desk:
        await desk.press("s")
        text = desk.text
        assert all(len(line) <= size[0] for line in text.splitlines())
        assert "2 of 7 usable" in text and "5 set aside" in text
        rows = [line for line in text.splitlines() if " S-" in line or line.startswith("S-")]
        assert "set aside" in rows[0] and "valid" in rows[-1]
        assert "a chunk is damaged" in text or "chunk" in text


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_one_recording_says_whose_it_is_and_where_it_fails(at: At, taken: Any, size: tuple[int, int]) -> None:
    view = taken["limits"][0]
    async with at("data", size=size, client=client_with(taken)) as desk:
        desk.console.open("session", view.id)
        await desk.settle(0.2)
        text = desk.text
        assert "SET ASIDE" in text and "outside the limits" in text and view.robot in text
        assert all(len(line) <= size[0] for line in text.splitlines())
        await desk.press("f")
        assert "Findings" in desk.text and "fails" in desk.text
        await desk.press("escape", "z")
        assert "Look at" in desk.text
        await desk.write("the joint was calibrated anew")
        await desk.press("ctrl+s")
        sent = await answered(desk, "session.release")
        assert sent and sent[0].target == view.id and sent[0].args["reason"] == "the joint was calibrated anew"


async def test_a_good_one_is_set_aside_by_key_with_a_reason(at: At, taken: Any) -> None:
    view = taken[""][0]
    async with at("data", client=client_with(taken)) as desk:
        desk.console.open("session", view.id)
        await desk.settle(0.2)
        assert "VALID" in desk.text
        await desk.press("o")
        assert "a copy of none" in desk.text
        await desk.press("z")
        await desk.write("staff moved it")
        await desk.press("ctrl+s")
        assert (await answered(desk, "session.quarantine"))[0].args == {"reason": "staff moved it"}


async def test_hostile_text_of_a_file_stays_text(at: At, taken: Any) -> None:
    view, report = taken["gap"]
    nasty = msgspec.structs.replace(view, robot="[red]\x1b]52;c;AAAA\x07HAM2", task="\u202eevil", uri="/x/\x1b[2J.mcap")
    client = client_with({"gap": (nasty, report)})
    async with at("data", client=client) as desk:
        desk.console.open("session", view.id)
        await desk.settle(0.2)
        assert "\x1b" not in desk.text and "[red]" in desk.text


async def test_taking_a_folder_in_is_a_form_of_one_needed_field(at: At, taken: Any) -> None:
    async with at("data", client=client_with(taken)) as desk:
        await desk.press("s", "plus")
        await desk.write("/srv/recordings")
        await desk.press("ctrl+s")
        assert (await answered(desk, "session.add"))[0].args == {"folder": "/srv/recordings"}
