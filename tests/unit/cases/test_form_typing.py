"""What a form says while it is typed into: what is wrong, what fits, and that no word is lost whatever ends the console."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from app import drafts, editor
from app.console import Console
from engine.contract.common import Problem
from engine.contract.search import Found, FoundPage
from screens import form
from screens.form import FormField
from screens.form_fields import Wrong, json_as, read
from screens.manual import ManualScreen
from screens.workflows import field_of
from tests.fakes import FakeClient
from tests.unit.cases.conftest import At
from tests.unit.cases.test_form import Sender, opened


@pytest.fixture(autouse=True)
def no_drafts() -> None:
    form.drafts.clear()
    drafts._written.clear()


async def test_what_is_wrong_is_said_while_it_is_typed(at: At) -> None:
    fields = (
        FormField("count", "How many", "number", minimum=1, maximum=9),
        FormField("name", "Name", pattern="^[a-z]+$"),
        FormField("data", "Data", "long", check=json_as(dict)),
    )
    async with at(":fleet") as desk:
        await opened(desk, Sender(), fields)
        await desk.write("12")
        assert "How many: at most 9" in desk.text and "How many \u2717" in desk.text
        await desk.press("backspace")
        assert "at most 9" not in desk.text and "\u2717" not in desk.text
        await desk.press("tab")
        await desk.write("B4")
        assert "must look like ^[a-z]+$" in desk.text
        await desk.press("tab")
        assert "Name \u2717" in desk.text  # where one no longer is, the mark stays
        await desk.write("[1]")
        assert "a JSON object, not list" in desk.text


@pytest.mark.parametrize(
    ("text", "reason"),
    [('{"a": 1}', ""), ("[]", "a JSON object, not list"), ('{"a"', "not JSON at line 1"), ("[" * 5000, "")],
)
def test_json_is_checked_with_its_place(text: str, reason: str) -> None:
    said = json_as(dict)(text)
    assert reason in said and (bool(said) or (not reason and text.startswith("{")))


def test_a_pattern_of_another_dialect_is_the_engines() -> None:
    assert read(FormField("a", "A", pattern="(?<bad"), "x") == "x"
    assert isinstance(read(FormField("a", "A", pattern="^y"), "x"), Wrong)


def test_inputs_of_a_workflow_offer_what_they_name() -> None:
    assert field_of("site", {"type": "string"}).of == ("site",)
    assert field_of("dataset", {"type": "string", "pattern": "^[a-z]+$"}).pattern == "^[a-z]+$"
    plan = field_of("plan", {"type": "object"})
    assert plan.check is not None and plan.check("[]") and not plan.check("{}")


async def test_things_that_fit_are_asked_of_the_engine(at: At) -> None:
    send = Sender()
    async with at(":fleet") as desk:
        desk.client.answers_to["/v1/search"] = FoundPage(
            rows=(Found(kind="site", id="HAM2", title="Hamburg 2"), Found(kind="site", id="HAM5", state="closed"))
        )
        await opened(desk, send, (FormField("site", "Site", required=True, of=("site",)),))
        await desk.write("ham")
        assert "HAM2" in desk.text and "Hamburg 2" in desk.text and "2 fit" in desk.text
        await desk.press("down", "down", "enter", "ctrl+s")
        assert send.got == [{"site": "HAM5"}]


async def test_without_an_answer_what_is_typed_whole_is_taken(at: At) -> None:
    send = Sender()
    async with at(":fleet") as desk:
        await opened(desk, send, (FormField("site", "Site", required=True, of=("site",)),))
        await desk.write("HAM9")
        await desk.press("ctrl+s")
        assert send.got == [{"site": "HAM9"}]


async def test_f1_after_a_refusal_opens_its_page_and_the_form_stays(at: At) -> None:
    async with at(":fleet") as desk:
        screen = await opened(desk, Sender(Problem(code="frozen", reason="a window is closed")), (FormField("a", "A"),))
        await desk.write("x")
        await desk.press("ctrl+s", "f1")
        assert isinstance(desk.console.screen, ManualScreen) and desk.console.screen._target == "errors#frozen"
        await desk.press("q")
        assert desk.console.screen is screen and screen.widget("a").value == "x"


async def test_what_is_typed_is_on_disk_while_the_console_still_runs(tmp_path: Path) -> None:
    """A console that is killed outright costs no more than the last moment."""
    settings = tmp_path / "console.json"
    client = FakeClient()
    console = Console(client, first=await client.watch(), start=":fleet", settings=settings)
    async with console.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        console.ask_form(form.FormScreen("File", (FormField("symptom", "Symptom"),), Sender(), "case"))
        await pilot.pause(0.2)
        await pilot.press(*"hums")
        path = settings.with_name("drafts.json")
        for _ in range(200):
            if path.exists() and json.loads(path.read_text()) == {"case": {"symptom": "hums"}}:
                break
            await asyncio.sleep(0.05)
        assert json.loads(path.read_text()) == {"case": {"symptom": "hums"}}
        await pilot.press("ctrl+s")
        await pilot.pause(0.2)
    assert not path.exists()


def test_two_consoles_keep_each_others_drafts(tmp_path: Path) -> None:
    settings = tmp_path / "console.json"
    path = settings.with_name("drafts.json")
    path.write_text(json.dumps({"mine": {"a": "1"}}))
    drafts.restore(settings)
    path.write_text(json.dumps({"mine": {"a": "1"}, "theirs": {"b": "2"}}))
    form.drafts["new"] = {"c": "3"}
    drafts.keep(settings)
    assert json.loads(path.read_text()) == {"mine": {"a": "1"}, "theirs": {"b": "2"}, "new": {"c": "3"}}
    form.drafts.clear()  # all of ours were sent
    drafts.keep(settings)
    assert json.loads(path.read_text()) == {"theirs": {"b": "2"}}


def _script(folder: Path, body: str) -> list[str]:
    path = folder / "ed"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o700)
    return [str(path)]


def test_an_editors_text_is_taken_clean(tmp_path: Path) -> None:
    words = _script(tmp_path, 'stat -c %a "$1" > "$0.mode"; printf "one\\033]52;c;x\\007\\ntwo\\n" >> "$1"')
    text, why = editor.edited("zero ", "rationale", words)
    assert why == "" and text is not None
    assert text.splitlines()[0].startswith("zero one") and text.splitlines()[1] == "two" and "\033" not in text
    assert (tmp_path / "ed.mode").read_text().strip() == "600"


@pytest.mark.parametrize(
    ("body", "why"),
    [("exit 1", "ended with status 1"), ('rm "$1"', "left no text"), ('head -c 200000 /dev/zero > "$1"', "at most")],
)
def test_an_editor_that_fails_changes_nothing(tmp_path: Path, body: str, why: str) -> None:
    text, said = editor.edited("kept", "note", _script(tmp_path, body))
    assert text is None and why in said


def test_which_editor(tmp_path: Path) -> None:
    _script(tmp_path, "true")
    path = str(tmp_path)
    assert editor.command({"PATH": path, "EDITOR": "ed -w"}) == ["ed", "-w"]
    assert editor.command({"PATH": path, "VISUAL": "nowhere", "EDITOR": "ed"}) == ["ed"]
    assert editor.command({"PATH": path, "EDITOR": "'"}) == []


async def test_a_headless_terminal_is_not_lent(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "true")
    async with at(":fleet") as desk:
        screen: Any = await opened(desk, Sender(), (FormField("note", "Note", "long"),))
        await desk.write("kept")
        await desk.press("ctrl+e")
        assert screen.widget("note").value == "kept"
