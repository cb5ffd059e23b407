"""F1, links, search and the way back, by keyboard."""

from __future__ import annotations

import pytest

from engine.contract.common import Problem
from screens.help import HelpScreen
from screens.manual import ManualScreen
from screens.watch import WatchScreen
from tests.fakes import FakeClient
from tests.unit.console.conftest import Open, opened, screen_text, settled

__all__ = ["opened"]


@pytest.mark.parametrize("size", [(80, 24), (160, 45), (60, 20)])
async def test_f1_opens_the_page_of_the_screen_and_esc_goes_back(opened: Open, size: tuple[int, int]) -> None:
    async with opened(size) as (console, pilot):
        await pilot.press("2", "f1")
        await settled(pilot)
        manual = console.screen
        assert isinstance(manual, ManualScreen) and manual.page == "runs"
        assert "Runs" in screen_text(console)
        assert all(len(line) <= size[0] for line in screen_text(console).splitlines())
        await pilot.press("c")
        await settled(pilot)
        assert manual.page == "contents"
        await pilot.press("tab", "enter")
        await settled(pilot)
        second = manual.page
        assert second != "contents"
        await pilot.press("escape")
        await settled(pilot)
        assert manual.page == "contents"
        await pilot.press("b", "escape")
        await settled(pilot)
        assert console.screen.NAME == "runs"


async def test_search_over_all_pages_and_a_find_followed(opened: Open) -> None:
    async with opened() as (console, pilot):
        await pilot.press("f1", "slash", *"typed phrase", "enter")
        await settled(pilot)
        manual = console.screen
        assert isinstance(manual, ManualScreen)
        assert "phrase" in screen_text(console) and manual.reader.link
        await pilot.press("enter")
        await settled(pilot)
        assert manual.page not in ("contents", "found") and not manual.filter
        await pilot.press("slash", *"zzzzz", "enter")
        await settled(pilot)
        assert "Nothing in the manual" in screen_text(console)
        await pilot.press("q")
        await settled(pilot)
        assert isinstance(console.screen, WatchScreen)


async def test_f1_after_a_refusal_opens_its_page(opened: Open) -> None:
    client = FakeClient(refuse={"run.suspend": Problem(code="closed", reason="the run is over")})
    async with opened(client=client) as (console, pilot):
        console.screen.refused = Problem(code="phrase_mismatch", reason="it does not fit")
        await pilot.press("f1")
        await settled(pilot)
        manual = console.screen
        assert isinstance(manual, ManualScreen)
        assert manual.page.startswith("errors") and "phrase_mismatch" in screen_text(console)


async def test_f1_works_over_an_overlay_and_in_the_prompt(opened: Open) -> None:
    async with opened() as (console, pilot):
        await pilot.press("question_mark", "f1")
        await settled(pilot)
        assert isinstance(console.screen, ManualScreen) and console.screen.page == "keys"
        await pilot.press("q")
        await settled(pilot)
        assert isinstance(console.screen, HelpScreen)


async def test_the_command_word_opens_a_page_or_searches(opened: Open) -> None:
    async with opened() as (console, pilot):
        await pilot.press("colon", *"manual gates", "enter")
        await settled(pilot)
        assert isinstance(console.screen, ManualScreen) and console.screen.page == "gates"
        await pilot.press("colon", *"man phrase_required", "enter")
        await settled(pilot)
        assert console.screen.page.startswith("errors")
        await pilot.press("q", "colon", *"manual blast radius", "enter")
        await settled(pilot)
        assert console.screen.filter == "blast radius"
