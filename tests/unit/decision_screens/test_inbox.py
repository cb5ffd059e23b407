"""The inbox can be emptied with the keyboard, and emptying it changes nothing for anybody else."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from msgspec.structs import replace

from app.remembered import MOST, Remembered
from screens.confirm import Confirm
from screens.gate import GateScreen
from tests.fakes import FakeClient
from tests.unit.decision_screens.conftest import At


async def test_what_is_put_off_leaves_the_list_and_comes_back(at: At) -> None:
    async with at(":gates", size=(160, 24)) as desk:
        assert "3 of 4 wait for you" in desk.text
        await desk.press("z")
        assert "out of retries" not in desk.text and "put off for 1 h" in desk.text
        await desk.press("j")  # the notice has been read
        assert "2 of 4 wait for you" in desk.text and "1 put off (Z shows them)" in desk.text
        assert not desk.sent(), "it is this person's list alone"
        await desk.press("Z", "g")
        assert "out of retries" in desk.text and "later, " in desk.text
        await desk.press("z", "j")
        assert "3 of 4 wait for you" in desk.text and "put off (" not in desk.text


async def test_what_is_left_to_others_is_out_until_it_is_brought_back(at: At) -> None:
    async with at(":gates", size=(160, 24)) as desk:
        await desk.press("x", "x", "x", "x")
        assert "Your inbox is empty: 4 put off or left to others" in desk.text
        await desk.press("j")
        assert "Nothing waits for you now, 4 put off" in desk.text
        assert not desk.sent()


async def test_the_next_question_after_each_decision(at: At) -> None:
    client = FakeClient()
    async with at(":gates", client=client, size=(160, 40)) as desk:
        waiting = [gate.id for gate in client._open_gates() if not gate.mine]
        await desk.press("enter")
        assert isinstance(desk.console.screen, GateScreen) and desk.console.screen.gate == waiting[0]
        await desk.press("full_stop")
        assert desk.console.screen.gate == waiting[1]
        await desk.press("b")
        await desk.armed()
        await desk.write("I built it")
        await desk.press("tab", "tab", "enter")
        assert desk.sent("gate.abstain")[0].args == {"reason": "I built it"}
        assert "2 left; Enter next:" in desk.text
        await desk.press("enter")
        await desk.until(lambda: getattr(desk.console.screen, "gate", "") == waiting[2])
        await desk.press("escape")
        assert "wait for you" in desk.text, "the questions were not piled up behind each other"


async def test_without_another_question_the_key_says_so(at: At) -> None:
    client = FakeClient()
    client.gate_rows = {key: one for key, one in client.gate_rows.items() if key == "run-195.7"}
    async with at(":gate run-195.7", client=client) as desk:
        await desk.press("full_stop")
        assert "no other question waits for you" in desk.text


async def test_a_reason_of_several_lines_is_written_in_an_editor(at: At) -> None:
    async with at(":gate run-195.7") as desk:
        asked: list[tuple[str, str]] = []

        async def edit_text(initial: str, name: str = "") -> str | None:
            asked.append((initial, name))
            return "too early:\nthe night shift is not told\n"

        desk.console.edit_text = edit_text
        await desk.press("X")
        dialog = await desk.armed()
        assert isinstance(dialog, Confirm)
        dialog.field("rationale").focus()
        await desk.press("ctrl+e")
        assert asked == [("", "rationale")] and "too early: \u2026 +1 lines" in desk.text
        await desk.press("tab", "tab", "enter")
        assert desk.sent("gate.vote")[0].args["rationale"] == "too early:\nthe night shift is not told"


async def test_a_line_changed_after_the_editor_is_what_was_meant(at: At) -> None:
    async with at(":gate run-195.7") as desk:

        async def edit_text(initial: str, name: str = "") -> str | None:
            return "one\ntwo"

        desk.console.edit_text = edit_text
        await desk.press("X")
        dialog = await desk.armed()
        dialog.field("rationale").focus()
        await desk.press("ctrl+e")
        dialog.field("rationale").value = "something else"
        await desk.press("tab", "tab", "enter")
        assert desk.sent("gate.vote")[0].args["rationale"] == "something else"


# -- what is kept -------------------------------------------------------------------------------------------------------


def gate(number: int = 0, opened: float = 100.0):
    found = next(iter(FakeClient().gate_rows.values())).gate
    return replace(found, id=f"run-{number}.1", opened_at=opened)


def test_two_consoles_of_one_person_share_what_they_did(tmp_path: Path) -> None:
    settings = tmp_path / "console.json"
    one, other = Remembered(settings), Remembered(settings)
    one.put_off("lena", gate(1), 500.0)
    other.leave_to_others("lena", gate(2))
    fresh = Remembered(settings)
    assert fresh.until("lena", gate(1), 400.0) == 500.0 and fresh.is_others("lena", gate(2))
    assert not fresh.until("lena", gate(1), 500.0), "it is over when its time is"
    assert not fresh.hidden("bo", gate(1), 0.0), "another person's list is another list"
    assert stat.S_IMODE((tmp_path / "inbox.json").stat().st_mode) == 0o600
    fresh.bring_back("lena", gate(1))
    assert not Remembered(settings).hidden("lena", gate(1), 0.0)


def test_a_gate_of_the_same_id_in_another_world_is_another_gate(tmp_path: Path) -> None:
    kept = Remembered(tmp_path / "console.json")
    kept.see("lena", gate(1, opened=100.0), 42)
    assert kept.seen("lena", gate(1, opened=100.0)) == 42
    assert kept.seen("lena", gate(1, opened=900.0)) == 0


def test_what_is_kept_stays_small_and_damage_is_nothing(tmp_path: Path) -> None:
    settings = tmp_path / "console.json"
    kept = Remembered(settings)
    for number in range(MOST + 5):
        kept.see("lena", gate(number), number + 1)
    assert len(json.loads((tmp_path / "inbox.json").read_text())["lena"]["seen"]) == MOST
    for text in ("{", "[]", '{"lena": [1]}', '{"lena": {"later": {"x": "y"}}}'):
        (tmp_path / "inbox.json").write_text(text)
        assert not Remembered(settings).hidden("lena", gate(1), 0.0)
    settings_nowhere = Remembered(None)
    settings_nowhere.put_off("lena", gate(1), 500.0)
    assert settings_nowhere.hidden("lena", gate(1), 0.0), "for this session"
