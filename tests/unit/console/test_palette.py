"""The palette finds everything: acts first, things from the model at once, the rest from the engine when it answers."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from engine.api import search
from engine.api.problems import Denied
from engine.capabilities import subjects
from engine.contract.search import Found, FoundPage
from screens.palette import KINDS
from tests.fakes import FakeClient
from tests.unit.console.conftest import Open, screen_text, settled


def knowing(*rows: Found, cut: bool = False) -> FakeClient:
    client = FakeClient()
    client.answers_to["/v1/search"] = FoundPage(rows=rows, cut=cut)
    return client


async def found(pilot: object, console: object, words: str) -> None:
    """Until the words stand on the screen, or a generous limit."""
    for _ in range(200):
        if words in screen_text(console):  # type: ignore[arg-type]
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never saw {words!r} in:\n{screen_text(console)}")  # type: ignore[arg-type]


async def test_a_gate_the_console_holds_is_found_at_once_and_opened(opened: Open) -> None:
    async with opened((120, 36)) as (console, pilot):
        gate = next(iter(console.model.gates))
        await pilot.press("ctrl+p", *gate)
        await settled(pilot)
        assert console.screen.query_one("#palette-list").cursor_key == f"gate\t{gate}"
        await pilot.press("enter")
        await settled(pilot)
        assert console.screen.place == ("gate", gate)


async def test_a_thing_only_the_engine_knows_is_found_and_opened(opened: Open) -> None:
    client = knowing(Found(kind="run", id="run-7", title="A run long ago", state="completed"), cut=True)
    async with opened((120, 36), client) as (console, pilot):
        await pilot.press("ctrl+p", *"long ago")
        await found(pilot, console, "A run long ago")
        assert "there is more: type on" in screen_text(console)
        await pilot.press("enter")
        await settled(pilot)
        assert console.screen.place == ("run", "run-7")


async def test_enter_before_the_answer_waits_for_it(opened: Open) -> None:
    client = knowing(Found(kind="run", id="run-7", title="zzyzx"))
    async with opened((120, 36), client) as (console, pilot):
        client.latency = 0.3
        await pilot.press("ctrl+p", *"zzyzx", "enter")
        for _ in range(200):
            if getattr(console.screen, "place", None) == ("run", "run-7"):
                break
            await asyncio.sleep(0.05)
        assert console.screen.place == ("run", "run-7")


async def test_an_act_that_was_named_stays_above_things(opened: Open) -> None:
    client = knowing(Found(kind="run", id="run-7", title="themes of the day"))
    async with opened((120, 36), client) as (console, pilot):
        await pilot.press("ctrl+p", *"theme")
        await found(pilot, console, "themes of the day")
        assert console.screen.query_one("#palette-list").cursor_key == "console.theme"


async def test_lines_of_the_command_prompt_are_found_too(opened: Open) -> None:
    async with opened((120, 36), knowing()) as (console, pilot):
        console.keep("views", {"late": {"noun": "gates", "filter": "", "shape": {}}})
        await pilot.press("ctrl+p", *"late", "enter")
        await settled(pilot)
        assert console.screen.NAME == "gates"


def test_the_engine_knows_every_kind_the_palette_asks_for() -> None:
    entities = SimpleNamespace(by_kind=subjects.catalogue().by_kind)
    door: Any = SimpleNamespace(book=SimpleNamespace(catalogue=entities))
    for kind in KINDS:
        with pytest.raises(AttributeError, match="reads"):  # past the check of kinds, at the reading
            search.find(door, SimpleNamespace(), {}, {"text": "x", "kinds": kind})  # type: ignore[arg-type]
    with pytest.raises(Denied, match="no kind 'nothing'"):
        search.find(door, SimpleNamespace(), {}, {"text": "x", "kinds": "nothing"})  # type: ignore[arg-type]


async def test_names_that_attack_a_terminal_are_only_text(opened: Open) -> None:
    client = knowing(Found(kind="run", id="run-\x1b]52;c;x\x07", title="[/] \x1b[2J[@click=app.exit]x[/]"))
    async with opened((120, 36), client) as (console, pilot):
        await pilot.press("ctrl+p", *"run-")
        await found(pilot, console, "[@click=app.exit]x")
        assert "\x1b" not in screen_text(console)


async def test_without_an_engine_what_is_held_is_still_found(opened: Open) -> None:
    client = FakeClient()
    async with opened((120, 36), client) as (console, pilot):
        client.lost = True
        gate = next(iter(console.model.gates))
        await pilot.press("ctrl+p", *gate)
        await found(pilot, console, "the engine did not answer")
        assert console.screen.query_one("#palette-list").cursor_key == f"gate\t{gate}"
