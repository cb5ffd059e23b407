"""Watch, Runs and Run by keyboard: every key of these screens does what the bar says or says why not."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from engine.contract.system import Changes
from screens import acts
from screens.base import QScreen
from screens.help import HelpScreen, NoticesScreen
from screens.model import Link
from screens.palette import PaletteScreen
from screens.run import RunScreen
from screens.run_acts import VIEWS
from screens.runs import RunsScreen
from screens.watch import WatchScreen, in_trouble
from screens.widgets.line import Lines
from screens.widgets.line_table import LineTable
from screens.widgets.text import Page
from tests.fakes import FakeClient
from tests.unit.console.conftest import Open, screen_text, settled

SIZES = [(80, 24), (160, 45)]


def text_of(screen: Any, selector: str) -> str:
    return screen.query_one(selector, Lines).text


@pytest.mark.parametrize("size", SIZES)
async def test_watch_puts_my_decisions_first(opened: Open, size: tuple[int, int]) -> None:
    async with opened(size) as (console, _pilot):
        lines = screen_text(console).splitlines()
        assert (
            "sandbox" in lines[0]
            and "lena" in lines[0]
            and "Z" in lines[0]
            and "gate" in lines[0]
            and "live" in lines[0]
        )
        assert "wait" in lines[1]
        text = "\n".join(lines)
        assert text.index("\u2691") < text.index("ROLLOUTS") < text.index("FEED") or size[0] > 80
        assert "RUNS IN TROUBLE" in text or size[0] == 80
        assert all(len(line) <= size[0] for line in lines)


async def test_watch_opens_what_is_under_the_cursor(opened: Open) -> None:
    async with opened() as (console, pilot):
        watch = console.screen
        assert isinstance(watch, WatchScreen)
        table = watch.query_one("#needs", LineTable)
        kinds = set()
        for _ in range(40):
            kinds.add(table.cursor_key.split(" ")[0])
            await pilot.press("j")
        assert kinds == {"gate", "rollout", "run"}
        run = next(
            key for key in (table.source.key(i) for i in range(len(table.source))) if key and key.startswith("run ")
        )
        table.go_to(run)
        await pilot.press("enter")
        await settled(pilot)
        assert isinstance(console.screen, RunScreen)
        await pilot.press("escape")
        await settled(pilot)
        assert console.screen is watch


async def test_watch_feed_key_goes_to_the_feed_and_back(opened: Open) -> None:
    async with opened() as (console, pilot):
        await pilot.press("l")
        assert console.screen.focused is console.screen.query_one("#feed", LineTable)
        await pilot.press("enter")
        await settled(pilot)
        assert isinstance(console.screen, RunScreen)
        await pilot.press("q")
        await pilot.press("l")
        assert console.screen.focused is console.screen.query_one("#needs", LineTable)


async def test_watch_with_nothing_says_what_to_do(opened: Open) -> None:
    async with opened(client=FakeClient(empty=True, run_count=0)) as (console, _pilot):
        text = screen_text(console)
        assert "All quiet" in text
        assert "qd rollouts start" in text


@pytest.mark.parametrize("size", SIZES)
async def test_runs_pages_to_both_ends_of_a_hundred_thousand(opened: Open, size: tuple[int, int]) -> None:
    async with opened(size, client=FakeClient(run_count=100_000)) as (console, pilot):
        await pilot.press("2")
        await settled(pilot)
        runs = console.screen
        assert isinstance(runs, RunsScreen)
        assert "100,000 runs" in text_of(runs, "#verdict")
        await pilot.press("G")
        await settled(pilot)
        assert runs.table.cursor == 99_999
        assert runs.table.cursor_key
        assert "\u00b7\u00b7\u00b7" not in screen_text(console)
        assert len(runs.window.runs) < 1_000
        await pilot.press("g")
        await settled(pilot)
        assert runs.table.cursor == 0
        before = runs.table.cursor_key
        await pilot.press("j", "j", "k")
        assert runs.table.cursor == 1 and runs.table.cursor_key != before


async def test_runs_filter_only_sort(opened: Open) -> None:
    async with opened(client=FakeClient(run_count=2_000)) as (console, pilot):
        await pilot.press("2")
        await settled(pilot)
        runs = console.screen
        assert isinstance(runs, RunsScreen)
        await pilot.press("slash", *"failed", "enter")
        await settled(pilot)
        assert runs.window.query.status == "failed"
        assert {run.status for run in runs.window.runs.values()} == {"failed"}
        assert "/failed" in text_of(runs, "#bar")
        await pilot.press("escape")
        await settled(pilot)
        assert runs.filter == "" and runs.window.query.status == ""
        await pilot.press("f")
        await settled(pilot)
        assert "running" in runs.window.query.status
        await pilot.press("f", "f", "f")
        await settled(pilot)
        assert runs.filter == ""
        for expected in ("-started", "workflow", "status", "-updated"):
            await pilot.press("o")
            await settled(pilot)
            assert runs.window.query.sort == expected
        await pilot.press("slash", *"zzzz", "enter")
        await settled(pilot)
        assert "No run matches" in screen_text(console)


async def test_runs_live_changes_in_place_and_offers_new_ones(opened: Open) -> None:
    client = FakeClient(run_count=300)
    async with opened(client=client) as (console, pilot):
        await pilot.press("2")
        await settled(pilot)
        runs = console.screen
        assert isinstance(runs, RunsScreen)
        await pilot.press("j")
        key = runs.table.cursor_key
        third = runs.window.key(2)
        assert third
        changed = replace(runs.window.runs[third], status="failed", version=9, attention="out of retries")
        fresh = replace(changed, id="run-999999")
        console.model.apply(Changes(seq=console.model.seq + 1, at=0, sent=0, runs=(changed, fresh)))
        runs.refresh_model()
        await pilot.pause()
        assert runs.table.cursor_key == key
        assert "failed" in runs.table.render_line(3).text
        assert "+1 newer" in runs.table.chip


@pytest.mark.parametrize("size", SIZES)
async def test_run_shows_each_view_by_its_key(opened: Open, size: tuple[int, int]) -> None:
    async with opened(size) as (console, pilot):
        console.open("run", "run-199")
        await settled(pilot)
        run = console.screen
        assert isinstance(run, RunScreen)
        for name, key, _ in VIEWS:
            await pilot.press(key)
            await settled(pilot)
            shown = run.query_one(f"#{name}")
            assert shown.display and shown.size.height > 3, name
        for key in ("right", "left", "tab", "shift+tab"):
            await pilot.press(key)
            await settled(pilot)
        assert not run.query("#verdict")[0].size.height > 2


async def test_run_draws_paths_taken_and_not_taken(opened: Open) -> None:
    async with opened((120, 40)) as (console, pilot):
        console.open("run", "run-199")
        await settled(pilot)
        text = screen_text(console)
        for word in ("preflight", "signoff", "observe", "PASS", "FAIL", "action", "gate"):
            assert word in text
        assert "\u25cf preflight" in text
        assert "\u25d4 observe" in text


async def test_run_says_why_it_waits_who_can_move_it_and_until_when(opened: Open) -> None:
    client = FakeClient()
    waiting = next(row for row in client.run_rows if row.status == "waiting")
    async with opened(client=client) as (console, pilot):
        console.open("run", waiting.id)
        await settled(pilot)
        await pilot.press("w")
        await settled(pilot)
        page = console.screen.query_one("#why", Page).text
        for word in ("who can", "until", "then", "dana", "gate"):
            assert word in page


async def test_run_enter_shows_data_of_the_step_or_event(opened: Open) -> None:
    async with opened() as (console, pilot):
        console.open("run", "run-199")
        await settled(pilot)
        await pilot.press("g", "enter")
        await settled(pilot)
        page = console.screen.query_one("#data", Page).text
        assert page.startswith("preflight") and "inputs of the run" in page
        await pilot.press("v", "g", "enter")
        await settled(pilot)
        assert "actor" in console.screen.query_one("#data", Page).text


async def test_run_verbs_follow_the_engine_and_say_why_not(opened: Open) -> None:
    client = FakeClient()
    running = next(row for row in client.run_rows if row.status == "running")
    async with opened(client=client) as (console, pilot):
        console.open("run", running.id)
        await settled(pilot)
        await pilot.press("P")
        assert "run is not suspended" in text_of(console.screen, "#bar")
        assert not client.commands
        await pilot.press("p")
        await settled(pilot)
        await pilot.pause(0.1)
        assert [(one.verb, one.target, one.preview) for one in client.commands] == [("run.suspend", running.id, False)]


async def test_every_act_of_my_screens_answers_its_key(opened: Open) -> None:
    """No key is dead: it does something, or the bar says why it can't."""
    for screen_name in ("watch", "runs", "run"):
        client = FakeClient()
        async with opened(client=client) as (console, pilot):
            if screen_name == "runs":
                console.go("runs")
            elif screen_name == "run":
                console.open("run", "run-150")
            await settled(pilot)
            front = console.screen
            assert isinstance(front, QScreen)
            for act in acts.acts(front.ACTS):
                if act.command and front.reason_against(act) is None:
                    continue
                before = (screen_text(console), front.filter, console.screen)
                await pilot.press(act.key.split(",")[0])
                await settled(pilot)
                if front.reason_against(act) is not None and console.screen is front:
                    assert act.verb in text_of(front, "#bar"), act.name
                while console.screen is not front and len(console.screen_stack) > 1:
                    console.pop_screen()
                    await settled(pilot)
                assert before is not None


async def test_roots_by_number_and_back_by_q(opened: Open) -> None:
    async with opened() as (console, pilot):
        await pilot.press("2")
        await settled(pilot)
        assert isinstance(console.screen, RunsScreen)
        await pilot.press("enter")
        await settled(pilot)
        assert isinstance(console.screen, RunScreen)
        await pilot.press("q")
        await settled(pilot)
        assert isinstance(console.screen, RunsScreen)
        await pilot.press("1")
        await settled(pilot)
        assert isinstance(console.screen, WatchScreen)
        assert len(console.screen_stack) == 1
        await pilot.press("2", "enter")
        await settled(pilot)
        await pilot.press("1")
        await settled(pilot)
        assert isinstance(console.screen, WatchScreen)


async def test_q_on_a_root_leaves_without_asking(opened: Open) -> None:
    async with opened() as (console, pilot):
        await pilot.press("q")
        await pilot.pause()
        assert console.return_code == 0 and console._exit


async def test_interrupt_twice_leaves_once_only_says_so(opened: Open) -> None:
    async with opened() as (console, pilot):
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert "once more" in text_of(console.screen, "#bar")
        assert not console._exit
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert console._exit


async def test_command_line_jumps_and_corrects(opened: Open) -> None:
    async with opened() as (console, pilot):
        await pilot.press("colon", *"runs failed", "enter")
        await settled(pilot)
        assert isinstance(console.screen, RunsScreen) and console.screen.filter == "failed"
        await pilot.press("colon", *"run 150", "enter")
        await settled(pilot)
        assert isinstance(console.screen, RunScreen) and console.screen.run_id == "run-150"
        await pilot.press("colon", *"rnus", "enter")
        await settled(pilot)
        assert "did you mean :runs" in text_of(console.screen, "#bar")
        await pilot.press("colon", "escape")
        await settled(pilot)
        assert not console.screen.query("#prompt")
        await pilot.press("colon", *"theme day", "enter")
        await settled(pilot)
        assert console.theme == "day"
        await pilot.press("T")
        assert console.theme == "contrast"


async def test_help_lists_every_key_and_says_why_not(opened: Open) -> None:
    async with opened((100, 60)) as (console, pilot):
        console.open("run", "run-150")
        await settled(pilot)
        await pilot.press("question_mark")
        await settled(pilot)
        assert isinstance(console.screen, HelpScreen)
        page = console.screen.query_one(Page).text
        for act in acts.acts(RunScreen.ACTS):
            assert act.verb in page
        assert "not now:" in page and "qd runs cancel run-150" in page and "typed phrase" in page
        await pilot.press("escape")
        await settled(pilot)
        assert isinstance(console.screen, RunScreen)


async def test_palette_finds_by_word_and_does_it(opened: Open) -> None:
    async with opened() as (console, pilot):
        await pilot.press("ctrl+p", *"all runs", "enter")
        await settled(pilot)
        assert isinstance(console.screen, RunsScreen)
        await pilot.press("ctrl+p", "down", "up", "escape")
        await settled(pilot)
        assert isinstance(console.screen, RunsScreen)
        await pilot.press("ctrl+p")
        await pilot.pause()
        assert isinstance(console.screen, PaletteScreen)


async def test_notices_are_kept(opened: Open) -> None:
    async with opened() as (console, pilot):
        console.tell("something happened")
        await pilot.press("N")
        await settled(pilot)
        assert isinstance(console.screen, NoticesScreen)
        assert "something happened" in console.screen.query_one(Page).text


async def test_losing_the_engine_keeps_everything_and_blocks_commands(opened: Open) -> None:
    client = FakeClient(live=True, tick=0.05)
    async with opened(client=client) as (console, pilot):
        console.open("run", next(row.id for row in client.run_rows if row.status == "running"))
        await settled(pilot)
        client.lost = True
        for _ in range(60):
            await pilot.pause(0.05)
            if console.model.link is Link.LOST:
                break
        assert console.model.link is Link.LOST
        await pilot.pause(0.1)
        text = screen_text(console)
        assert "No engine" in text and "STALE" in text and "preflight" in text
        sent = len(client.commands)
        await pilot.press("p")
        await settled(pilot)
        assert len(client.commands) == sent
        assert "can't be reached" in text_of(console.screen, "#bar")
        client.lost = False
        for _ in range(100):
            await pilot.pause(0.05)
            if console.model.link is Link.LIVE:
                break
        await settled(pilot)
        assert "No engine" not in screen_text(console)


async def test_starting_without_an_engine_says_so_and_recovers(opened: Open) -> None:
    client = FakeClient(lost=True)
    async with opened(client=client) as (console, pilot):
        await pilot.pause(0.1)
        assert "No engine" in screen_text(console)
        client.lost = False
        await pilot.press("ctrl+r")
        for _ in range(40):
            await pilot.pause(0.05)
            if console.model.loaded:
                break
        await settled(pilot)
        assert "wait" in screen_text(console)


@pytest.mark.parametrize("size", SIZES)
async def test_hostile_names_everywhere_are_only_text(opened: Open, size: tuple[int, int]) -> None:
    client = FakeClient(hostile=True, run_count=60)
    async with opened(size, client=client) as (console, pilot):
        for go in ("watch", "runs"):
            console.go(go)
            await settled(pilot)
            _assert_inert(console, size)
        for id in ("run-5", "run-10", "run-15", "run-20", "run-25"):
            console.open("run", id)
            await settled(pilot)
            for _, key, _ in VIEWS:
                await pilot.press(key)
                await settled(pilot)
                _assert_inert(console, size)
            console.pop_screen()
            await settled(pilot)
        assert not console._exit


def _assert_inert(console: Any, size: tuple[int, int]) -> None:
    for strip in console.screen._compositor.render_strips():
        assert strip.cell_length <= size[0]
        for segment in strip:
            assert segment.control or segment.text.isprintable(), repr(segment.text)
            assert not (segment.style and "@click" in segment.style.meta)


async def test_resizing_from_small_to_large_and_back_keeps_the_place(opened: Open) -> None:
    async with opened() as (console, pilot):
        await pilot.press("2", "j", "j")
        await settled(pilot)
        assert isinstance(console.screen, RunsScreen)
        key = console.screen.table.cursor_key
        for size in ((160, 45), (60, 16), (80, 24), (200, 60)):
            await pilot.resize_terminal(*size)
            await settled(pilot)
            assert console.screen.table.cursor_key == key
            assert all(len(line) <= size[0] for line in screen_text(console).splitlines())
        console.open("run", "run-150")
        for size in ((160, 45), (80, 24)):
            await pilot.resize_terminal(*size)
            await settled(pilot)


async def test_every_theme_shows_every_screen(opened: Open) -> None:
    async with opened() as (console, pilot):
        for theme in ("day", "contrast", "ansi16", "night"):
            console.use_theme(theme)
            for key in ("1", "2"):
                await pilot.press(key)
                await settled(pilot)
                assert "QD" in screen_text(console)


async def test_a_slow_engine_never_holds_up_a_key(opened: Open) -> None:
    client = FakeClient(latency=0.4)
    async with opened(client=client) as (console, pilot):
        await pilot.pause(0.6)
        await pilot.press("2")
        assert isinstance(console.screen, RunsScreen)
        await pilot.press("1")
        assert isinstance(console.screen, WatchScreen)


async def test_keys_typed_in_one_burst_reach_the_screens_they_are_meant_for(opened: Open) -> None:
    """As tmux, a paste or a slow link sends them: all at once, before anything was drawn."""
    client = FakeClient()
    async with opened(client=client) as (console, pilot):
        await burst(console, [*":run 150", "enter", "w"])
        await settled(pilot)
        await settled(pilot)
        assert isinstance(console.screen, RunScreen) and console.screen.run_id == "run-150"
        assert console.screen.view == "why"
        assert not client.commands
        await burst(console, ["1", *"jj"])
        await settled(pilot)
        table = console.screen.query_one("#needs", LineTable)
        assert (isinstance(console.screen, WatchScreen) and table.cursor == 2) or table.cursor == 3
        await burst(console, ["slash", *"4.8", "enter"])
        await settled(pilot)
        assert console.screen.filter == "4.8"


async def burst(console: Any, keys: list[str]) -> None:
    from textual import events
    from textual.keys import _character_to_key

    for key in keys:
        name = _character_to_key(key) if len(key) == 1 else key
        await console._post_message(events.Key(name, key if len(key) == 1 else None))


async def test_a_run_that_does_not_exist_says_so(opened: Open) -> None:
    async with opened() as (console, pilot):
        console.open("run", "run-4711")
        await settled(pilot)
        assert "Asking" not in text_of(console.screen, "#verdict")
        assert "can't be shown" in screen_text(console)


async def test_in_the_sandbox_another_person_is_a_word_away(opened: Open) -> None:
    client = FakeClient()
    async with opened(client=client) as (console, pilot):
        await pilot.press("at")
        await settled(pilot)
        await pilot.press(*"dana", "enter")
        for _ in range(20):
            await settled(pilot)
            if "dana via" in text_of(console.screen, "#header"):
                break
        assert client.person == "dana"
        assert "dana via" in text_of(console.screen, "#header")
        await pilot.press("colon", *"as nobody", "enter")
        await settled(pilot)
        assert "nobody is called" in text_of(console.screen, "#bar") and client.person == "dana"


async def test_a_run_that_only_waits_at_a_gate_is_not_in_trouble() -> None:
    row = FakeClient().run_rows[0]
    assert not in_trouble(replace(row, status="waiting", gates=1, attention="gate open"))
    assert in_trouble(replace(row, status="running", gates=0, attention="retrying for 2h"))
    assert in_trouble(replace(row, status="failed"))
