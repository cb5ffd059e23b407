"""What every list can do: order, columns, marks, one act for many rows, copy and export; kept for next time."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace
from textual.widgets import Input

from app import copying
from engine.contract.common import Problem
from screens import acts, export, marking
from screens.base import QScreen
from screens.confirm import Confirm
from screens.widgets.line_table import LineTable
from tests.fakes import FakeClient
from tests.unit.console.conftest import Open, screen_text, settled


def typed(text: str) -> list[str]:
    return ["space" if letter == " " else letter for letter in text]


async def armed(pilot: Any) -> None:
    """Past the time in which a question takes no answer."""
    for _ in range(200):
        await pilot.pause(0.05)
        if isinstance(pilot.app.screen, Confirm) and pilot.app.screen.armed:
            break


async def confirmed(pilot: Any, *keys: str) -> None:
    """Answer the question, and wait for what it starts."""
    await armed(pilot)
    for key in keys:
        await pilot.press(key)
    for _ in range(100):
        await pilot.pause(0.02)
        if not isinstance(pilot.app.screen, Confirm):
            break
    await pilot.app.workers.wait_for_complete([one for one in pilot.app.workers if one.group == "command"])
    await pilot.pause(0.05)


def going_on(client: FakeClient) -> list[str]:
    """All its runs go on; their ids as the list shows them."""
    client.run_rows[:] = [replace(row, status="running") for row in client.run_rows]
    return [row.id for row in sorted(client.run_rows, key=lambda row: -row.updated_at)]


def fleet(console: Any) -> LineTable:
    table: LineTable = console.screen.query_one("#robots", LineTable)
    return table


async def test_a_list_is_ordered_grouped_and_found_so_again(opened: Open, tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    async with opened((100, 30), settings=settings) as (console, pilot):
        await pilot.press("5")
        await settled(pilot)
        await pilot.press("s")
        await settled(pilot)
        await pilot.press("j", "j", "enter")
        await settled(pilot)
        assert fleet(console).shape.sort == "serial"
        serials = [row["serial"] for row in export.records(fleet(console))]
        assert serials == sorted(serials)
        await pilot.press("comma")
        await settled(pilot)
        await pilot.press("j", "j", "b", "j", "x", "escape")
        await settled(pilot)
        assert "mode AUTOMATIC" in screen_text(console)
        assert "should run" not in screen_text(console)
    kept = json.loads(settings.read_text(encoding="utf-8"))["tables"]["fleet.robots"]
    assert kept == {"hidden": ["runs → should run"], "sort": "serial", "group": "mode"}
    async with opened((100, 30), settings=settings) as (console, pilot):
        await pilot.press("5")
        await settled(pilot)
        assert "mode AUTOMATIC" in screen_text(console)


async def test_columns_without_room_are_scrolled_to(opened: Open) -> None:
    async with opened((80, 24)) as (console, pilot):
        await pilot.press("5")
        await settled(pilot)
        assert "customer" not in screen_text(console)
        await pilot.press("greater_than_sign", "greater_than_sign", "greater_than_sign", "greater_than_sign")
        await settled(pilot)
        assert "customer" in screen_text(console)
        assert "GDN1-AMR-01" in screen_text(console), "the first column stays"
        await pilot.press(*["less_than_sign"] * 5)
        await settled(pilot)
        assert "no more columns" in screen_text(console)


async def test_many_runs_are_cancelled_with_one_question_that_names_them_all(opened: Open) -> None:
    client = FakeClient()
    ids = going_on(client)[:4]
    client.run_rows[:] = [replace(row, status="completed") if row.id == ids[1] else row for row in client.run_rows]
    async with opened((100, 30), client) as (console, pilot):
        await pilot.press("2")
        await settled(pilot)
        await pilot.press("space", "space", "j", "V")
        await settled(pilot)
        table = console.screen.query_one("#runs", LineTable)
        assert list(table.marks.keys) == ids
        await pilot.press("C")
        for _ in range(100):
            await pilot.pause(0.02)
            if isinstance(console.screen, Confirm):
                break
        said = screen_text(console)
        assert "3 of 4 marked rows" in said
        assert f"{ids[1]} is left out" in said
        assert f"run.cancel {ids[0]}" in said
        assert {one.target for one in client.commands} == {ids[0], ids[2], ids[3]}, "what refuses is not even asked"
        assert all(one.preview for one in client.commands)
        await confirmed(pilot, *"duplicate", "tab", "tab", "enter")
        sent = [one for one in client.commands if not one.preview]
        assert [one.target for one in sent] == [ids[0], ids[2], ids[3]]
        assert {one.args["reason"] for one in sent} == {"duplicate"}
        assert list(table.marks.keys) == [ids[1]], "what was refused stays marked"


async def test_risk_for_many_wants_a_phrase_with_the_count(opened: Open) -> None:
    client = FakeClient()
    going_on(client)
    async with opened((100, 30), client) as (console, pilot):
        await pilot.press("2")
        await settled(pilot)
        await pilot.press("space", "space", "space", "Z")
        for _ in range(100):
            await pilot.pause(0.02)
            if isinstance(console.screen, Confirm):
                break
        assert "terminate 3 runs" in screen_text(console)
        await armed(pilot)
        await pilot.press(*"why", "tab", *typed("terminate 2 runs"), "enter")
        await pilot.pause(0.05)
        assert isinstance(console.screen, Confirm), "a wrong phrase sends nothing"
        assert all(one.preview for one in client.commands)
        await pilot.press(*["backspace"] * len("terminate 2 runs"))
        await confirmed(pilot, *typed("terminate 3 runs"), "enter")
        assert len([one for one in client.commands if not one.preview]) == 3


async def test_nothing_happens_when_every_row_is_refused(opened: Open) -> None:
    client = FakeClient(refuse={"run.suspend": Problem(code="closed", reason="it can't be now", fix="wait")})
    going_on(client)
    async with opened((100, 30), client) as (console, pilot):
        await pilot.press("2")
        await settled(pilot)
        await pilot.press("space", "space", "p")
        await pilot.app.workers.wait_for_complete([one for one in pilot.app.workers if one.group == "command"])
        await settled(pilot)
        assert not isinstance(console.screen, Confirm)
        assert "it can't be now" in screen_text(console)
        assert all(one.preview for one in client.commands)


async def test_a_row_that_a_filter_hides_is_never_acted_on(opened: Open) -> None:
    async with opened((100, 30)) as (console, pilot):
        await pilot.press("5")
        await settled(pilot)
        table = fleet(console)
        table.mark([table.source.key(0) or "", table.source.key(1) or ""])
        table.narrow(table.source.key(0) or "")
        rows = marking.rows_for(cast(QScreen, console.screen), table, acts.act("fleet.rollout"))
        assert [bool(row.refused) for row in rows] == [False, True]
        assert "a filter hides it" in rows[1].refused


async def test_escape_lets_go_of_marks_first(opened: Open) -> None:
    async with opened((100, 30)) as (console, pilot):
        await pilot.press("5")
        await settled(pilot)
        await pilot.press("asterisk")
        assert len(fleet(console).marks) == 200
        await pilot.press("asterisk")
        assert not fleet(console).marks
        await pilot.press("space", "escape")
        assert not fleet(console).marks
        assert screen_text(console).count("Fleet") == 1


async def test_copy_gives_rows_with_their_titles(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened((100, 30)) as (console, pilot):
        copied: list[str] = []

        def copy(text: str) -> bool:
            copied.append(text)
            return True

        monkeypatch.setattr(console, "copy_text", copy)
        await pilot.press("5")
        await settled(pilot)
        await pilot.press("space", "space", "Y")
        await settled(pilot)
        await pilot.press("j", "j", "j", "j", "enter")
        await settled(pilot)
        assert copied[0].splitlines()[0].startswith("id,robot,serial")
        assert len(copied[0].splitlines()) == 3
        await pilot.press("y")
        assert copied[1].splitlines() == [line.split(",")[0] for line in copied[0].splitlines()[1:]]


async def test_a_list_of_pages_is_exported_whole(opened: Open, tmp_path: Path) -> None:
    client = FakeClient(run_count=2_500)
    async with opened((100, 30), client) as (console, pilot):
        await pilot.press("2")
        await settled(pilot)
        await pilot.press("ctrl+e")
        await settled(pilot)
        entry = console.screen.query_one(Input)
        entry.value = str(tmp_path / "runs.csv")
        await pilot.press("enter")
        await settled(pilot)
        await pilot.app.workers.wait_for_complete([one for one in pilot.app.workers if one.group == "export"])
        await settled(pilot)
    with (tmp_path / "runs.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 2_500
    assert {row["id"] for row in found} == {row.id for row in client.run_rows}
    assert (tmp_path / "runs.csv").stat().st_mode & 0o777 == 0o600


async def _pages(*pages: Sequence[dict[str, Any]]) -> AsyncIterator[Sequence[dict[str, Any]]]:
    for page in pages:
        yield page


async def test_json_is_one_document_and_lines_are_lines(tmp_path: Path) -> None:
    pages: list[list[dict[str, Any]]] = [[{"id": "a", "n": 1}], [], [{"id": "b", "n": None}]]
    await export.write(_pages(*pages), tmp_path / "x.json")
    await export.write(_pages(*pages), tmp_path / "x.jsonl")
    await export.write(_pages(), tmp_path / "empty.json")
    assert json.loads((tmp_path / "x.json").read_text()) == [{"id": "a", "n": 1}, {"id": "b", "n": None}]
    assert [json.loads(line)["id"] for line in (tmp_path / "x.jsonl").read_text().splitlines()] == ["a", "b"]
    assert json.loads((tmp_path / "empty.json").read_text()) == []
    with pytest.raises(FileExistsError):
        await export.write(_pages(), tmp_path / "x.json")


def test_a_cell_is_no_formula_in_a_spreadsheet() -> None:
    text = export.as_csv(
        [{"id": "r", "name": '=HYPERLINK("http://x")', "delta": "-4.5", "cmd": "-cmd|x", "plus": "+1+1"}]
    )
    assert next(csv.DictReader(text.splitlines())) == {
        "id": "r",
        "name": '\'=HYPERLINK("http://x")',
        "delta": "-4.5",
        "cmd": "'-cmd|x",
        "plus": "'+1+1",
    }


@pytest.mark.parametrize(
    ("name", "said"), [("x.txt", "must end in"), ("here.csv", "exists"), ("no/x.csv", "no folder")]
)
def test_a_file_that_cannot_be_written_says_why(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "here.csv").write_text("mine")
    assert said in export.refusal(tmp_path / name)


def test_copies_go_out_of_tmux_and_screen_and_hold_no_control_codes() -> None:
    assert len(copying.writes("a", {})) == 1
    inner, outer = copying.writes("a\tb\nc", {"TMUX": "/tmp/x"})
    assert outer.startswith("\x1bPtmux;\x1b\x1b]52;c;")
    assert outer.endswith("\x07\x1b\\")
    assert copying.writes("a" * 2000, {"STY": "1.pts"})[1].count("\x1bP") > 1
    import base64

    sent = base64.b64decode(inner.removeprefix("\x1b]52;c;").removesuffix("\x07")).decode()
    assert sent == "a\tb\nc"
    hostile = base64.b64decode(copying.writes("x\x1b[2J\x07", {})[0].removeprefix("\x1b]52;c;").removesuffix("\x07"))
    assert b"\x1b" not in hostile
    assert copying.writes("x" * 100_000, {}) == []
