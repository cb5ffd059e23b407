"""The form: few keys, nothing lost, nobody taken for somebody else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app import drafts
from app.console import Console
from engine.contract.client import EngineUnreachable, Refused
from engine.contract.common import CommandAnswer, Problem
from screens import form, form_sending
from screens.form import FormField, FormScreen
from screens.form_fields import Wrong, matching, read, seconds, shown, span, values
from screens.widgets.choosing import Choose
from tests.fakes import FakeClient
from tests.unit.cases import fake_cases
from tests.unit.cases.conftest import At, Desk

FIELDS = (
    FormField("robot", "Robot", kind="robot", required=True),
    FormField("symptom", "Symptom", required=True, hint="what one sees"),
    FormField("impact", "Impact", kind="choice", choices=(("1", "one robot"), ("2", "a site"), ("3", "fleet")), default="1"),
    FormField("safety", "Safety", kind="bool", default=False),
    FormField("parts", "Parts", kind="multi", choices=("wheel", "connector", "battery")),
    FormField("limit", "For how long", kind="duration", default=3600, maximum=86_400),
    FormField("count", "How many", kind="number", minimum=1, when=lambda found: bool(found.get("safety"))),
    FormField("who", "Who", kind="person"),
    FormField("note", "Note", kind="long"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_drafts() -> None:
    form.drafts.clear()


class Sender:
    """Keeps what was sent; may say no."""

    def __init__(self, problem: Problem | None = None, lost: int = 0) -> None:
        self.got: list[dict[str, Any]] = []
        self.problem, self.lost = problem, lost

    async def __call__(self, answers: dict[str, Any]) -> CommandAnswer:
        self.got.append(answers)
        if self.lost:
            self.lost -= 1
            raise EngineUnreachable("no answer")
        if self.problem is not None:
            raise Refused(self.problem)
        return CommandAnswer(id="x", verb="case.open", target="M-1", consequences=("filed",))


async def opened(desk: Desk, send: Sender, fields: tuple[FormField, ...] = FIELDS, **options: Any) -> FormScreen:
    screen = FormScreen("File a case", fields, send, "case", verb="File", **options)
    desk.console.push_screen(screen)
    await desk.settle(0.1)
    assert desk.console.screen is screen
    return screen


async def test_text_and_five_keys_send_it(at: At) -> None:
    send = Sender()
    async with at(":fleet") as desk:
        robot = desk.client.fleet[17]
        await opened(desk, send)
        await desk.write(robot.id)
        await desk.press("enter")
        await desk.write("left drive hums")
        await desk.press("enter", "enter")
        assert send.got == [
            {"robot": robot.id, "symptom": "left drive hums", "impact": "1", "safety": False, "limit": 3600.0}
        ]
        assert not isinstance(desk.console.screen, FormScreen)
        assert "File M-1" in desk.text


async def test_keys_typed_at_once_reach_the_form(at: At) -> None:
    """An operator who knows it by heart types ahead of the screen."""
    send = Sender()
    async with at(":fleet") as desk:
        robot = desk.client.fleet[3]
        desk.console.push_screen(FormScreen("File a case", FIELDS, send, verb="File"))
        await desk.pilot.press(*robot.id, "enter", *"hums", "ctrl+s")
        await desk.settle()
        assert [one["robot"] for one in send.got] == [robot.id] and send.got[0]["symptom"] == "hums"


async def test_some_letters_of_a_robot_are_enough_and_an_unclear_one_is_not_guessed(at: At) -> None:
    send = Sender()
    async with at(":fleet") as desk:
        screen = await opened(desk, send)
        tail = desk.client.fleet[40].id.split("-")[-1]
        fits = [one.id for one in desk.client.fleet if tail in one.id or tail in one.serial]
        await desk.write("amr")
        await desk.press("enter")
        assert screen.focused is screen.widget("robot") and "fit 'amr'" in desk.text
        await desk.press("ctrl+s")
        assert not send.got and "points at one" in desk.text
        await desk.press("ctrl+u")
        await desk.write(fits[0][:-1])
        await desk.press("down", "enter")
        assert screen.widget("robot").value in {one.id for one in desk.client.fleet}
        assert screen.focused is screen.widget("symptom")
        await desk.press("up", "ctrl+u")
        await desk.write("nobody-9999")
        await desk.press("enter")
        assert "none is called" in desk.text and screen.focused is screen.widget("robot")


async def test_a_second_mark_stands_beside_the_robot_and_a_look_alike_is_said(at: At) -> None:
    async with at(":fleet") as desk:
        alike = next((one for one in desk.client.fleet if one.lookalike), None)
        assert alike is not None
        await opened(desk, Sender())
        await desk.write(alike.id)
        assert alike.serial[-4:] in desk.text and alike.site in desk.text
        assert "close to" in desk.text


async def test_leaving_keeps_what_was_typed_and_sending_forgets_it(at: At) -> None:
    send = Sender()
    async with at(":fleet") as desk:
        await opened(desk, send)
        await desk.write("HAM2")
        await desk.press("escape")
        assert "is kept" in desk.text
        screen = await opened(desk, send)
        assert screen.widget("robot").value == "HAM2" and "was kept" in desk.text
        await desk.press("ctrl+n")
        assert screen.widget("robot").value == "" and screen.widget("impact").value == "1"
        await desk.write(desk.client.fleet[0].id)
        await desk.press("tab")
        await desk.write("hums")
        await desk.press("ctrl+s")
        assert len(send.got) == 1
        screen = await opened(desk, send)
        assert screen.widget("symptom").value == ""


async def test_a_refusal_keeps_the_form_and_points_at_the_field(at: At) -> None:
    send = Sender(
        Problem(code="bad", reason="nobody knows this symptom", fix="Say what one sees.", field="args.symptom")
    )
    async with at(":fleet") as desk:
        screen = await opened(desk, send)
        await desk.write(desk.client.fleet[0].id)
        await desk.press("enter")
        await desk.write("?")
        await desk.press("ctrl+s")
        assert "nobody knows this symptom Say what one sees." in " ".join(desk.text.split())
        assert screen.focused is screen.widget("symptom") and screen.widget("symptom").value == "?"


async def test_no_answer_keeps_the_form_and_a_repeat_has_the_same_id(at: At) -> None:
    client = FakeClient()
    ids: list[str] = []

    async def command(verb: str, target: str = "", args: Any = None, *, preview: bool = False, id: str = "") -> Any:
        ids.append(id)
        if len(ids) <= form_sending.TRIES:
            raise EngineUnreachable("lost")
        return CommandAnswer(id=id, verb=verb, target="M-1")

    async with at(":fleet", client=client) as desk:
        client.command = command  # type: ignore[method-assign]
        fields = (FormField("symptom", "Symptom", required=True),)
        screen = FormScreen("File", fields, form.sending(client, "case.open"), verb="File")
        desk.console.push_screen(screen)
        await desk.settle()
        await desk.write("hums")
        await desk.press("ctrl+s")
        await asyncio.sleep(1.3)
        await desk.settle()
        assert desk.console.screen is screen and "never twice" in desk.text
        await desk.press("ctrl+s")
        assert desk.console.screen is not screen and len(set(ids)) == 1


async def test_every_kind_of_field_by_keys_alone(at: At) -> None:
    send = Sender()
    async with at(":fleet") as desk:
        screen = await opened(desk, send)
        await desk.write(desk.client.fleet[5].id)
        await desk.press("tab")
        await desk.write("hums")
        await desk.press("tab", "f")
        assert isinstance(screen.focused, Choose) and screen.focused.value == "3"
        await desk.press("left", "tab", "y")
        assert screen.query_one("#row-6").display  # a count is asked now that it is about safety
        await desk.press("tab", "space", "right", "right", "space", "tab", "ctrl+u")
        await desk.write("1h30m")
        await desk.press("tab")
        await desk.write("2")
        await desk.press("tab")
        await desk.write("dan")
        await desk.press("tab")
        await desk.write("first")
        await desk.press("enter")
        await desk.write("second")
        await desk.press("ctrl+s")
        (got,) = send.got
        assert got["impact"] == "2" and got["safety"] is True and got["parts"] == ["wheel", "battery"]
        assert got["limit"] == 5400.0 and got["count"] == 2 and got["who"] == "dana"
        assert got["note"] == "first\nsecond"


async def test_what_raises_risk_wants_its_phrase(at: At) -> None:
    send = Sender()

    async def look(answers: dict[str, Any]) -> CommandAnswer:
        return CommandAnswer(id="", verb="x", preview=True, consequences=("3 people get in",), phrase="break glass 3")

    async with at(":fleet") as desk:
        await opened(desk, send, (FormField("why", "Why", required=True),), look=look)
        await desk.write("fire")
        await desk.press("ctrl+s")
        await desk.armed()
        assert "3 people get in" in desk.text
        await desk.press("escape")
        assert not send.got and isinstance(desk.console.screen, FormScreen)
        await desk.press("ctrl+s")
        await desk.armed()
        await desk.write("break glass 3")
        await desk.press("enter")
        assert send.got == [{"why": "fire", "phrase": "break glass 3"}]


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_it_fits_and_hostile_text_stays_text(at: At, size: tuple[int, int]) -> None:
    client = FakeClient(hostile=True)
    async with at(":fleet", client=client, size=size) as desk:
        await opened(desk, Sender(), start={"symptom": "\x1b]0;owned\x07[b]bold[/b]"})
        await desk.write("a")
        lines = desk.text.splitlines()
        assert all(len(line) <= size[0] for line in lines) and "[ ^S File ]" in desk.text
        assert "\x1b" not in desk.text
        assert "Esc" in desk.text and "Symptom" in desk.text


def test_answers_are_read_and_what_is_wrong_is_said() -> None:
    by = {field.name: field for field in FIELDS}
    assert read(by["limit"], "2h") == 7200.0
    assert isinstance(read(by["limit"], "2"), Wrong) and isinstance(read(by["limit"], "2d"), Wrong)
    assert read(by["count"], "2") == 2 and read(by["count"], "2.5") == 2.5
    assert isinstance(read(by["count"], "0"), Wrong) and isinstance(read(by["count"], "nan"), Wrong)
    assert isinstance(read(by["symptom"], " "), Wrong) and read(by["note"], "") is None
    assert isinstance(read(by["symptom"], "x" * 3000), Wrong)
    assert isinstance(read(by["parts"], "wheel,mast"), Wrong)
    assert read(by["safety"], "yes") is True
    found, wrong = values(FIELDS, {"robot": "r", "symptom": "s", "count": "rubbish"})
    assert found == {"robot": "r", "symptom": "s"} and not wrong  # not asked, so not judged
    assert "count" in [field.name for field in shown(FIELDS, {"safety": "yes"})]


@pytest.mark.parametrize(("text", "length"), [("90s", 90), ("1d12h", 129_600), ("1h 30m", 5400), ("0.5h", 1800)])
def test_durations(text: str, length: float) -> None:
    assert seconds(text) == length
    assert seconds(span(length)) == length


def test_the_same_name_comes_first_then_tails_then_what_tells_apart() -> None:
    known = [("HAM2-amr-0417", "sn 7Q41"), ("HAM5-amr-0041", "sn 0417"), ("HAM2-amr-4170", ""), ("x0417y", "")]
    assert [one for one, _ in matching("0417", known)] == ["HAM2-amr-0417", "x0417y", "HAM5-amr-0041"]
    assert next(one for one, _ in matching("HAM2-amr-4170", known)) == "HAM2-amr-4170"
    assert matching("7q41 ham2", known)[0][0] == "HAM2-amr-0417"


async def test_what_was_typed_outlives_the_console(tmp_path: Path) -> None:
    """A terminal that is lost, or a console that breaks, costs no words; only its owner may read them."""
    settings = tmp_path / "config" / "console.json"
    for given in ("left drive hums", ""):
        client = FakeClient()
        console = Console(client, first=await client.watch(), start=":fleet", settings=settings)
        async with console.run_test(size=(80, 24)) as pilot:
            await pilot.pause(0.2)
            screen = FormScreen("File", (FormField("symptom", "Symptom", required=True),), Sender(), "case")
            console.ask_form(screen)
            await pilot.pause(0.2)
            if given:
                await pilot.press(*["space" if letter == " " else letter for letter in given])
                await pilot.pause(0.1)
            else:
                assert screen.widget("symptom").value == "left drive hums"
                await pilot.press("ctrl+s")
                await pilot.pause(0.2)
        form.drafts.clear()
        path = settings.with_name("drafts.json")
        assert path.exists() is bool(given)
        assert not given or path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "[]", "not json", '{"case": 4}', '{"case": {"symptom": 4}}'])
def test_a_damaged_file_of_drafts_is_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "drafts.json").write_text(text)
    drafts.restore(tmp_path / "console.json")
    assert form.drafts in ({}, {"case": {"symptom": "4"}})


async def test_a_console_without_a_form_leaves_drafts_alone(tmp_path: Path) -> None:
    path = tmp_path / "drafts.json"
    path.write_text('{"case": {"symptom": "hums"}}')
    client = fake_cases.client()
    console = Console(client, first=await client.watch(), start=":cases", settings=tmp_path / "console.json")
    async with console.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.3)
    assert path.read_text() == '{"case": {"symptom": "hums"}}'
