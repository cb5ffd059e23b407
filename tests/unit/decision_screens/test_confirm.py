"""The question before a dangerous act: what can and what can't answer it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from engine.contract.common import Problem
from screens import confirm
from screens.widgets.ask import Answer, Push, Said
from tests.fakes import FakeClient
from tests.unit.decision_screens.conftest import At


async def test_the_count_comes_first_and_the_phrase_does_it(at: At) -> None:
    async with at(":rollout 192") as desk:
        await desk.press("R")
        dialog = await desk.armed()
        assert dialog.query_one("#said", Said).text.startswith("9 robots go back to 4.8.0")
        assert "rollback 9 HAM2" in desk.text
        assert dialog.focused is not None and dialog.focused.id == "phrase"
        await desk.write("rollback 9 HAM2")
        await desk.press("enter")
        assert not desk.asking
        assert [(one.verb, one.target, one.args) for one in desk.sent()] == [
            ("rollout.rollback", "run-192", {"phrase": "rollback 9 HAM2"})
        ]
        assert "rolling back" in desk.text


@pytest.mark.parametrize(
    "typed", ["", "y", "yes", "rollback", "rollback 9", "rollback 9 ham2", "rollback 90 HAM2", "R"]
)
async def test_a_wrong_phrase_changes_nothing(at: At, typed: str) -> None:
    async with at(":rollout 192") as desk:
        await desk.press("R")
        await desk.armed()
        await desk.write(typed)
        await desk.press("enter")
        assert desk.asking and not desk.sent()
        assert "phrase is not" in desk.text
        await desk.press("escape")
        assert not desk.asking and not desk.sent()
        assert "nothing was changed" in desk.text


async def test_nothing_counts_in_the_first_moment(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    """Type-ahead and held keys: everything pressed before the question is armed is lost."""
    assert confirm.ARM_S >= 0.3
    monkeypatch.setattr(confirm, "ARM_S", 3.0)
    async with at(":gate run-195.7") as desk:
        await desk.press("A")
        dialog = desk.console.screen
        assert isinstance(dialog, confirm.Confirm)
        for key in ("enter", "y", "space", "escape", "tab", "enter", "A", "ctrl+g"):
            await desk.pilot.press(key)
        await desk.pilot.click("#go")
        await desk.pilot.click("#cancel")
        assert desk.asking and not dialog.armed and not desk.sent()
        dialog._arm()
        await desk.settle()
        assert not dialog.field("rationale").value and not dialog.query_one("#phrase", Answer).value
        await desk.press("escape")
        assert not desk.asking


@pytest.mark.parametrize("times", [1, 5])
async def test_the_key_that_asked_cannot_confirm(at: At, times: int) -> None:
    async with at(":rollout 194") as desk:
        await desk.press("plus")
        await desk.armed()
        await desk.press(*["plus"] * times)
        assert desk.asking and not desk.sent()


async def test_focus_starts_on_cancel_when_nothing_is_asked(at: At) -> None:
    client = FakeClient()
    detail = client.gate_rows["run-194.31"]
    votes = (*detail.votes, replace(detail.votes[0], person="lena"))
    client.gate_rows["run-194.31"] = replace(detail, votes=votes)
    async with at(":gate run-194.31", client=client) as desk:
        await desk.press("u")
        dialog = await desk.armed()
        assert isinstance(dialog.focused, Push) and dialog.focused.id == "cancel"
        await desk.press("enter")  # a held Enter answers Cancel
        assert not desk.asking and not desk.sent()
        await desk.press("u")
        await desk.armed()
        await desk.press("u", "u")
        assert desk.asking
        await desk.press("y")
        assert [one.verb for one in desk.sent()] == ["gate.withdraw"]


async def test_y_never_confirms_what_raises_risk(at: At) -> None:
    async with at(":rollout 194") as desk:
        await desk.press("P")
        dialog = await desk.armed()
        dialog.query_one("#cancel").focus()
        await desk.press("y", "o")
        assert desk.asking and not desk.sent()
        await desk.press("tab")
        await desk.press("enter")  # the button itself, without a phrase
        assert desk.asking and not desk.sent()


async def test_a_refusal_comes_before_the_question(at: At) -> None:
    client = FakeClient(
        refuse={
            "gate.withdraw": Problem(code="closed", reason="the gate was decided a moment ago", fix="open the inbox")
        }
    )
    detail = client.gate_rows["run-194.31"]
    client.gate_rows["run-194.31"] = replace(detail, votes=(*detail.votes, replace(detail.votes[0], person="lena")))
    async with at(":gate run-194.31", client=client) as desk:
        await desk.press("u")
        await desk.settle(0.3)
        assert not desk.asking
        assert "the gate was decided a moment ago" in desk.text and "open the inbox" in desk.text


@pytest.mark.parametrize("size", [(80, 24), (160, 45), (60, 20)])
async def test_the_buttons_are_always_in_view(at: At, size: tuple[int, int]) -> None:
    async with at(":gate run-194.31", size=size) as desk:
        await desk.press("A")
        await desk.armed()
        assert "Cancel" in desk.text and "Approve" in desk.text
        assert all(len(line) <= size[0] for line in desk.text.splitlines())


async def test_production_is_shouted(at: At) -> None:
    async with at(":rollout 192", client=FakeClient(environment="production")) as desk:
        await desk.press("R")
        await desk.armed()
        assert "PRODUCTION · roll back · run-192" in desk.text


async def test_hostile_text_in_a_question_is_inert(at: At) -> None:
    async with at(":gate run-195.7", client=FakeClient(hostile=True)) as desk:
        await desk.press("A")
        await desk.armed()
        assert "[@click=app.quit]boom[/]" in desk.text
        assert all(character.isprintable() for line in desk.text.splitlines() for character in line)
