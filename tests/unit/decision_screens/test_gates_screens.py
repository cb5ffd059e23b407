"""Inbox and gate, by keyboard."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from engine.contract.common import Problem
from screens.gate import GateScreen
from tests.fakes import FakeClient
from tests.unit.decision_screens.conftest import At


async def test_the_inbox_is_by_deadline_mine_first_with_reasons(at: At) -> None:
    async with at(":gates", size=(160, 24)) as desk:
        text = desk.text
        assert "3 of 4 wait for you, the first expires in" in text
        order = [text.index(word) for word in ("out of retries", "Start the rollout", "Promote nav", "Roll back 11")]
        assert order == sorted(order)
        assert "no: needs the role site-lead" in text
        assert "escalated" in text and "dana" in text


async def test_enter_opens_and_escape_comes_back(at: At) -> None:
    async with at(":gates") as desk:
        await desk.press("j", "enter")
        assert isinstance(desk.console.screen, GateScreen) and desk.console.screen.gate == "run-195.7"
        await desk.press("escape")
        assert "wait for you" in desk.text


async def test_claim_acts_at_once_and_says_why_it_cannot(at: At) -> None:
    async with at(":gates", size=(160, 24)) as desk:
        await desk.press("a")
        assert [one.verb for one in desk.sent()] == ["gate.claim"]
        await desk.press("j", "j", "j", "a")
        assert len(desk.sent()) == 1
        assert "needs the role site-lead" in desk.text


async def test_closed_ones_on_demand(at: At) -> None:
    client = FakeClient()
    detail = client.gate_rows["run-198.44"]
    client.gate_rows["run-198.44"] = replace(detail, gate=replace(detail.gate, state="expired"))
    async with at(":gates", client=client) as desk:
        assert "expired" not in desk.text
        await desk.press("o")
        assert "expired" in desk.text
        await desk.press("o", "g")
        assert "closed ones are shown" not in desk.text


async def test_an_empty_inbox_says_what_will_come(at: At) -> None:
    async with at(":gates", client=FakeClient(empty=True)) as desk:
        assert "No question waits for anybody." in desk.text
        assert "Gates open by themselves" in desk.text


async def test_approving_names_the_evidence_seen(at: At) -> None:
    async with at(":gate run-195.7") as desk:
        digest = desk.client.gate_rows["run-195.7"].evidence_digest
        await desk.press("A")
        dialog = await desk.armed()
        assert digest[:12] in desk.text and "on the evidence you saw" in desk.text
        assert "118 robots, 4 sites" in desk.text
        dialog.field("rationale").focus()
        await desk.write("two shifts seen")
        await desk.press("enter")
        await desk.write("start 118 EU-AMR")
        await desk.press("enter")
        sent = desk.sent("gate.vote")
        assert [one.args for one in sent] == [
            {
                "answer": "approve",
                "evidence_digest": digest,
                "rationale": "two shifts seen",
                "phrase": "start 118 EU-AMR",
            }
        ]
        assert "1 of 2 seats open" in desk.text and "lena" in desk.text


async def test_a_form_is_filled_typed_and_checked(at: At) -> None:
    async with at(":gate run-194.31") as desk:
        await desk.press("A")
        dialog = await desk.armed()
        soak = dialog.field("soak_h")
        assert dialog.focused is not None
        soak.value = "100"
        dialog.query_one("#phrase").focus()
        await desk.write("promote 35 EU-AMR")
        await desk.press("enter")
        assert desk.asking and "at most 72" in desk.text
        soak.value = "12"
        dialog.field("window").focus()
        await desk.press("right")
        dialog.query_one("#phrase").focus()
        await desk.press("enter")
        assert desk.sent("gate.vote")[0].args["form"] == {"soak_h": 12.0, "window": "any", "notify": True}
        assert "PASSED" in desk.text


async def test_rejecting_wants_a_reason(at: At) -> None:
    async with at(":gate run-195.7") as desk:
        await desk.press("X")
        dialog = await desk.armed()
        assert "ends the rollout before any robot is touched" in desk.text
        await desk.press("enter", "tab", "enter")
        assert desk.asking and "needed" in desk.text
        dialog.field("rationale").focus()
        await desk.write("too early")
        await desk.press("enter", "tab", "enter")
        assert desk.sent("gate.vote")[0].args["answer"] == "reject"
        assert desk.sent("gate.vote")[0].args["rationale"] == "too early"
        assert "REJECTED" in desk.text


async def test_own_words_as_answers(at: At) -> None:
    async with at(":gate run-4711.9") as desk:
        await desk.press("A")
        await desk.armed()
        assert all(word in desk.text for word in ("retry", "skip", "abort"))
        await desk.press("right", "right", "tab", "tab")
        await desk.write("approve run-4711.9")
        await desk.press("enter")
        assert desk.sent("gate.vote")[0].args["answer"] == "skip"


async def test_ask_for_more_and_delegate(at: At) -> None:
    async with at(":gate run-195.7") as desk:
        await desk.press("n")
        await desk.armed()
        await desk.write("is the night shift told?")
        await desk.press("enter", "tab", "enter")
        assert desk.sent("gate.ask")[0].args == {"question": "is the night shift told?"}
        await desk.press("D")
        await desk.armed()
        await desk.press("right", "tab", "tab", "tab", "enter")
        sent = desk.sent("gate.delegate")[0].args
        assert sent["to"] == "mara" and sent["until"] > desk.console.model.now()


@pytest.mark.parametrize("key", ["A", "X", "a"])
async def test_not_mine_says_who_can(at: At, key: str) -> None:
    async with at(":gate run-198.44") as desk:
        await desk.press(key)
        assert not desk.asking and not desk.sent()
        assert "needs the role site-lead" in desk.text and "piet (site-lead)" in desk.text


async def test_changed_evidence_is_marked_and_the_old_vote_is_refused(at: At) -> None:
    async with at(":gate run-194.31", size=(100, 60)) as desk:
        old = desk.client.gate_rows["run-194.31"]
        await desk.press("A")
        dialog = await desk.armed()
        desk.client.change_evidence("run-194.31", {**old.evidence, "verdict": "INCONCLUSIVE: a late trial came in"})
        dialog.query_one("#phrase").focus()
        await desk.write("promote 35 EU-AMR")
        await desk.press("enter")
        await desk.settle(0.5)
        assert desk.sent("gate.vote")[0].args["evidence_digest"] == old.evidence_digest
        assert desk.client.gate_rows["run-194.31"].gate.state == "open"
        assert "~ verdict" in desk.text and "late trial" in desk.text
        assert "The evidence has changed" in desk.text


async def test_a_refused_vote_shows_reason_and_fix(at: At) -> None:
    client = FakeClient()
    async with at(":gate run-195.7", client=client) as desk:
        await desk.press("A")
        await desk.armed()
        client.refuse["gate.vote"] = Problem(
            code="frozen", reason="HAM2 is frozen until 06:00Z", fix="vote after it, or ask for an override"
        )
        desk.console.screen.query_one("#phrase").focus()
        await desk.write("start 118 EU-AMR")
        await desk.press("enter")
        await desk.settle(0.3)
        assert "approve refused: HAM2 is frozen until 06:00Z" in desk.text
        assert "ask for an override" in " ".join(desk.text.split())


async def test_evidence_run_and_rollout_are_a_key_away(at: At) -> None:
    async with at(":gate run-194.31") as desk:
        await desk.press("e")
        assert "signals" in desk.text
        await desk.press("r")
        assert "ROLLOUT run-194" in desk.text
        await desk.press("escape", "t")
        assert desk.console.screen.NAME == "run"


async def test_a_missing_gate_says_so(at: At) -> None:
    async with at(":gate run-1.1") as desk:
        assert "no gate run-1.1" in desk.text and "open the inbox again" in desk.text
        await desk.press("A")
        assert not desk.asking


async def test_a_lost_engine_blocks_votes_and_keeps_the_page(at: At) -> None:
    client = FakeClient()
    async with at(":gate run-195.7", client=client) as desk:
        client.lost = True
        await desk.settle(0.8)
        assert "No engine" in desk.text and "rollout of nav 4.8.1" in desk.text
        await desk.press("A")
        assert not desk.asking and "can't be reached" in desk.text


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
@pytest.mark.parametrize("hostile", [False, True])
async def test_nothing_overflows(at: At, size: tuple[int, int], hostile: bool) -> None:
    for start in (":gates", ":gate run-195.7", ":gate run-194.31", ":gate run-4711.9"):
        async with at(start, size=size, client=FakeClient(hostile=hostile)) as desk:
            lines = desk.text.splitlines()
            assert len(lines) == size[1]
            assert all(character.isprintable() for line in lines for character in line)
