"""The handover by keyboard: what is read is what is accepted, in one key; every key that can't be used says why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.contract.common import Problem
from engine.contract.oncall import ShiftReport
from screens.form import FormScreen
from tests import fake_oncall
from tests.fakes import BASE, FakeClient
from tests.unit.decision_screens.conftest import At, Desk


def client(*, offered: bool = True, **more: object) -> FakeClient:
    found = fake_oncall.view(BASE, offered=offered)
    made = FakeClient(
        answers_to={"/v1/oncall": replace(found, **more), "/v1/oncall/report": fake_oncall.report(BASE, "lena")}
    )
    made.held["handover"] = [fake_oncall.handover(BASE)]
    return made


def picture(desk: Desk, name: str) -> None:
    """For looking at: QD_PICTURES names a folder."""
    if folder := os.environ.get("QD_PICTURES"):
        (Path(folder) / f"{name}.svg").write_text(desk.console.export_screenshot(), "utf-8")


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_what_is_offered_is_shown_with_what_waits_and_what_ends_first(at: At, size: tuple[int, int]) -> None:
    async with at("handover", client=client(), size=size) as desk:
        picture(desk, f"handover-{size[0]}")
        text = desk.text
        assert "ana hands over to you (HO-7): you would command I-44" in text
        assert "Aisle 7 is roped off" in text and "COMMANDED BY ANA" in text
        assert text.index("WAITS 3") < text.index("ENDS WITHIN 2h 3")
        assert "in 15m" in text and ("unclaimed" in text or size[0] == 80)


async def test_two_keys_from_home_accept_it_and_the_answer_names_what_went_over(at: At) -> None:
    fake = client()
    fake.results["handover.accept"] = {"giver": "ana", "transferred": ["I-44"], "kept": [["I-40", "bo commands it"]]}
    async with at("watch", client=fake) as desk:
        assert "ana hands over to you" in desk.text
        await desk.press("f9", "A")
        (asked,) = desk.sent("handover.accept")
        assert (asked.target, asked.args) == ("HO-7", {"digest": "d" * 32}), "at once, and bound to what was read"
        assert "you command I-44" in desk.text and "not gone over: I-40" in desk.text


async def test_keys_say_why_not(at: At) -> None:
    async with at("handover", client=client(offered=False)) as desk:
        await desk.press("A")
        assert "no handover is offered to you" in desk.text and not desk.sent()
        await desk.press("K")
        assert "you are not on duty" in desk.text
        await desk.press("W")
        assert "you have offered nothing" in desk.text and not desk.sent()


async def test_how_things_stand_now_is_not_what_was_offered(at: At) -> None:
    fake = client()
    fake.answers_to["/v1/oncall/report"] = ShiftReport(person="lena", since=BASE - 60, at=BASE)
    async with at("handover", client=fake) as desk:
        await desk.press("v")
        assert "Aisle 7" not in desk.text and "WAITS 0" in desk.text
        await desk.press("A")
        assert "you see how things stand now, not what was offered" in desk.text and not desk.sent()


async def test_a_refusal_leaves_everything_as_it_is(at: At) -> None:
    fake = client()
    fake.refuse["handover.accept"] = Problem(
        code="not_commander", reason="I-44 would be yours to command", fix="ivo takes command first"
    )
    async with at("handover", client=fake) as desk:
        await desk.press("A")
        assert "I-44 would be yours to command" in desk.text and "ivo takes command first" in desk.text


async def test_a_shift_is_offered_by_a_form_that_prepares_and_offers(at: At) -> None:
    fake = client(offered=False)
    fake.results["handover.prepare"] = {"id": "HO-9"}
    async with at("handover", client=fake) as desk:
        await desk.press("o")
        assert isinstance(desk.console.screen, FormScreen)
        await desk.press("tab")
        await desk.write("look at aisle 7")
        await desk.press("ctrl+s")
        prepared, offered = desk.sent("handover.prepare"), desk.sent("handover.offer")
        assert prepared[-1].args["note"] == "look at aisle 7" and offered[-1].target == "HO-9"


async def test_w_watches_what_is_under_the_cursor_and_again_no_longer(at: At) -> None:
    fake = client()
    async with at("gates", client=fake) as desk:
        await desk.press("w")
        (asked,) = desk.sent("watch.add")
        assert asked.args["kind"] == "gate" and asked.args["thing"] in fake.gate_rows and "watched" in desk.text
        fake.refuse["watch.add"] = Problem(code="already", reason="you watch it already")
        await desk.press("w")
        assert desk.sent("watch.remove")[0].args == {"thing": asked.args["thing"]}


async def test_a_watched_thing_that_changed_stands_on_watch_until_it_was_opened(at: At) -> None:
    async with at("watch", client=client(offered=False), size=(160, 45)) as desk:
        text = desk.text
        assert (
            "CHANGED, AND WATCHED BY YOU" in text
            and "nobody took it in 30 min" in text
            and "AUTOMATIC, 4.8.1" not in text
        )
        await desk.press("g", "enter")
        assert [one.args for one in desk.sent("watch.seen")] == [{"thing": "M-311"}]
