"""Filters as they are typed: rows follow, mistakes are named in the prompt, words complete, lines are remembered, views keep."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.console.conftest import Open, screen_text, settled


async def test_a_filter_names_columns_of_the_list(opened: Open) -> None:
    async with opened((140, 40)) as (console, pilot):
        await pilot.press("5")
        await settled(pilot)
        every = len(console.screen.table.rows)
        sites = {console.screen.table.rows.fields(console.screen.table.rows.key(n))["site"] for n in range(every)}
        site = sorted(sites)[0]
        await pilot.press("slash", *f"site:{site.lower()}")
        await settled(pilot)
        some = len(console.screen.table.rows)
        assert 0 < some < every
        await pilot.press(*" -amr", "enter")
        await settled(pilot)
        assert len(console.screen.table.rows) == 0
        assert "Nothing here fits the filter" in screen_text(console)
        await pilot.press("escape")
        await settled(pilot)
        assert len(console.screen.table.rows) == every


async def test_a_mistake_is_named_and_the_prompt_stays_to_mend_it(opened: Open) -> None:
    async with opened((140, 40)) as (console, pilot):
        await pilot.press("5")
        await settled(pilot)
        every = len(console.screen.table.rows)
        await pilot.press("slash", *"-sitte:HAM2")
        await settled(pilot)
        assert "no field is called sitte; did you mean site:?" in screen_text(console)
        assert len(console.screen.table.rows) == every, "what is not understood leaves the rows alone"
        await pilot.press("enter")
        await settled(pilot)
        assert console.screen.prompt_kind == "/"
        await pilot.press("escape")
        await settled(pilot)
        assert console.screen.filter == ""


async def test_tab_completes_fields_and_values(opened: Open) -> None:
    async with opened((140, 40)) as (console, pilot):
        await pilot.press("5")
        await settled(pilot)
        value = next(iter(console.screen.filter_values("site")))
        assert await console.suggest("/", "si") == "site:"
        assert await console.suggest("/", f"site:{value[:2].lower()}") == f"site:{value}"


async def test_lines_are_remembered_between_sessions(opened: Open, tmp_path: Path) -> None:
    settings = tmp_path / "console.json"
    async with opened((80, 24), settings=settings) as (console, pilot):
        for line in ("runs failed", "gates", "runs open"):
            await pilot.press("colon", *line.replace(" ", "_").split("_")[0])
            await pilot.press(*(("space", *line.split()[1]) if " " in line else ()), "enter")
            await settled(pilot)
    assert json.loads(settings.read_text())["history"][":"] == ["runs failed", "gates", "runs open"]
    async with opened((80, 24), settings=settings) as (console, pilot):
        await pilot.press("colon", "up", "up")
        entry = console.screen.query_one("Entry")
        assert entry.value == "gates"
        await pilot.press("down", "down")
        assert entry.value == ""
        await pilot.press(*"runs", "ctrl+r")
        assert entry.value == "runs open"
        await pilot.press("ctrl+r")
        assert entry.value == "runs failed"
        await pilot.press("ctrl+r")
        await settled(pilot)
        assert "nothing earlier holds" in screen_text(console)


async def test_a_view_keeps_filter_and_order_under_a_name(opened: Open, tmp_path: Path) -> None:
    settings = tmp_path / "console.json"
    async with opened((140, 40), settings=settings) as (console, pilot):
        await pilot.press("5")
        await settled(pilot)
        console.screen.set_filter("-HAM2")
        console.run_line("save elsewhere")
        console.run_line("runs")
        await settled(pilot)
    async with opened((140, 40), settings=settings) as (console, pilot):
        console.run_line("view elsewhere")
        await settled(pilot)
        assert (console.screen.NAME, console.screen.filter) == ("fleet", "-HAM2")
        console.run_line("view nowhere")
        assert "no view is called 'nowhere'; there are elsewhere" in screen_text(console)
        console.run_line("view")
        await settled(pilot)
        assert ":view elsewhere" in screen_text(console)
        await pilot.press("escape")
        console.run_line("forget elsewhere")
        assert console.views() == {}
        console.run_line("save two words")
        assert "a view is called by one word" in screen_text(console)


async def test_settings_that_somebody_broke_break_nothing(opened: Open, tmp_path: Path) -> None:
    settings = tmp_path / "console.json"
    settings.write_text(
        json.dumps({"history": 4, "views": {"a": 1, "b c": {}}, "marks": [1], "keys": {}, "digits": {}})
    )
    async with opened((80, 24), settings=settings) as (console, pilot):
        assert console.views() == {}
        assert console.marks() == {}
        await pilot.press("colon", "up", *"runs", "enter")
        await settled(pilot)
        assert console.screen.NAME == "runs"
        assert console.past(":") == ["runs"]
