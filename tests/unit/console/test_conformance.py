"""What we rely on in the pinned Textual, and rules that keep our own code safe from it and from data."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import textwrap
from pathlib import Path
from typing import Any

import pytest
import textual
from rich.console import Console as RichConsole
from rich.segment import Segment
from textual.app import App
from textual.color import Color
from textual.screen import Screen
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from app.console import Console
from app.driver import ConsoleDriver
from app.frames import CroppedUpdate
from app.looks import CleanFilter
from screens import acts, keymap
from screens.acts import REGISTRY, Level
from screens.base import QScreen
from screens.places import PLACES, THINGS
from screens.runs import RunsScreen
from screens.widgets.line import Lines
from screens.widgets.line_table import LineTable
from screens.widgets.text import Page
from tests.fakes import FakeClient

ROOT = Path(__file__).resolve().parents[3]
SCREENS = list(
    dict.fromkeys(
        getattr(importlib.import_module(name.partition(":")[0]), name.partition(":")[2])
        for name in (*(place.screen for place in PLACES), *(thing.screen for thing in THINGS))
        if name
    )
)
"""Every screen there is a way to."""
OVERRIDDEN = {
    "compose", "on_mount", "on_unmount", "on_event", "on_resize", "on_click", "render_line", "get_default_screen",
    "get_line_filters", "watch_theme", "watch_scroll_y", "watch_has_focus", "_handle_exception", "_display", "refresh",
    "BINDINGS", "CSS_PATH", "TITLE", "AUTO_FOCUS", "COMPONENT_CLASSES", "ENABLE_COMMAND_PALETTE", "DEFAULT_CSS", "name", "id", "can_focus",
    "can_focus_children", "CSS", "theme", "styles",
}  # fmt: skip
"""What we mean to override; anything else that shadows Textual is an accident waiting (`_ready`, `_flush` both were)."""


def test_textual_is_the_version_our_fixes_were_made_for() -> None:
    assert textual.__version__ == "8.2.8"


def _shadowed(ours: type, theirs: type) -> set[str]:
    known = set(dir(theirs))
    for base in theirs.__mro__[:-1]:
        known |= set(getattr(base, "__annotations__", {}))
        known |= _set_in_init(base)
    mine: set[str] = set()
    for base in ours.__mro__:
        if base.__module__.split(".")[0] in ("app", "screens"):
            mine |= {name for name in vars(base) if not name.startswith("__")}
            mine |= _set_in_init(base)
    return {
        name
        for name in mine & known
        if name not in OVERRIDDEN
        and not name.startswith(("_merged", "_css", "_inherit", "_computes", "_reactives", "_decorated", "_abc"))
    }


def _set_in_init(base: type) -> set[str]:
    if "__init__" not in vars(base):
        return set()
    tree = ast.parse(textwrap.dedent(inspect.getsource(vars(base)["__init__"])))
    return {node.attr for node in ast.walk(tree) if _own(node)}


def _own(node: ast.AST) -> Any:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(Console, App), (LineTable, ScrollView), (Page, ScrollView), (Lines, Widget), *((one, Screen) for one in SCREENS)],
)
def test_no_name_of_ours_shadows_textual_by_accident(ours: type, theirs: type) -> None:
    assert _shadowed(ours, theirs) == set()


def test_a_changed_span_is_cropped_on_both_sides() -> None:
    line = Strip([Segment("0123456789")])
    update = CroppedUpdate([{0: line}], [(0, 7, 8)], [[10]])
    assert "7" in update.render_segments(RichConsole())
    assert "6" not in update.render_segments(RichConsole()) and "8;" not in update.render_segments(RichConsole())[4:]


def test_textual_still_looks_its_writer_up_where_we_put_ours() -> None:
    import textual.drivers.linux_driver as linux

    assert "WriterThread(self._file)" in inspect.getsource(linux.LinuxDriver.start_application_mode)
    assert issubclass(ConsoleDriver, linux.LinuxDriver)


@pytest.mark.parametrize("text", ["\x1b]52;c;eA==\x07", "a\x9bb", "\u202eabc", "\x00"])
def test_the_net_under_every_widget_stops_what_a_widget_let_through(text: str) -> None:
    out = CleanFilter().apply([Segment(text)], Color(0, 0, 0))
    assert all(character.isprintable() for segment in out for character in segment.text)


async def test_even_a_plain_widget_with_hostile_text_sends_none_of_it() -> None:
    from textual.widgets import Static

    console = Console(FakeClient())
    async with console.run_test(size=(80, 24)) as pilot:
        await console.screen.mount(Static("boo\x1b]52;c;eA==\x07 \x1b[2J", markup=False), before="#bar")
        await pilot.pause()
        await asyncio.sleep(0.05)
        shown = "".join(segment.text for strip in console.screen._compositor.render_strips() for segment in strip)
        assert "boo" in shown and "\x1b" not in shown


MARKUP_WIDGETS = {
    "Static", "Label", "Button", "Checkbox", "RadioButton", "Collapsible", "Tab", "Placeholder", "OptionList", "Option",
    "SelectionList", "Select", "ListItem", "DataTable", "Tree", "ListView", "RichLog", "Markdown", "LoadingIndicator",
}  # fmt: skip


def test_no_screen_uses_widgets_that_parse_markup_or_repaint_whole_lists() -> None:
    """The lint rule: data reaches the terminal through Parts (cleaned) alone; no DataTable, ListView, Tree; no spinner."""
    offences = []
    for path in [*(ROOT / "screens").rglob("*.py"), *(ROOT / "app").glob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("textual.widgets"):
                offences += [f"{path.name}: {name.name}" for name in node.names if name.name in MARKUP_WIDGETS]
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name == "from_markup" or (name == "notify" and node.args):
                    offences.append(f"{path.name}:{node.lineno}: {name}()")
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Attribute) and target.attr in (
                        "border_title",
                        "border_subtitle",
                        "tooltip",
                    ):
                        safe = isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "safe"
                        if not safe and not isinstance(node.value, ast.Constant):
                            offences.append(f"{path.name}:{node.lineno}: {target.attr} needs safe(...)")
    assert offences == []


def test_every_act_that_changes_something_has_a_twin_on_the_command_line() -> None:
    assert SCREENS
    lacking = [act.name for act in REGISTRY.values() if act.command and not act.cli]
    assert lacking == []


def test_acts_that_raise_risk_are_told_apart() -> None:
    assert REGISTRY["run.suspend"].level is Level.SAFE
    assert REGISTRY["run.terminate"].level is Level.RISK


@pytest.mark.parametrize("screen", SCREENS)
def test_no_key_means_two_things_on_a_screen(screen: type[QScreen]) -> None:
    for key, holders in keymap.keys_on(screen, {}).items():
        assert len(holders) == 1, f"{key}: {[act.name for act in holders]}"


def test_keys_are_what_a_vt100_can_send() -> None:
    for act in REGISTRY.values():
        for key in act.key.split(","):
            assert not key.startswith(("alt+", "ctrl+shift", "shift+enter", "ctrl+enter")), act.name
            assert key not in ("ctrl+s", "ctrl+q", "ctrl+z", "ctrl+a", "ctrl+j"), act.name


async def test_a_moved_key_works_and_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "moved", {})
    settings = tmp_path / "console.json"
    settings.write_text('{"keys": {"console.runs": "f6"}, "theme": "day"}')
    console = Console(FakeClient(), settings=settings)
    async with console.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.1)
        assert "f6 runs" in console.screen.query_one("#bar", Lines).text
        assert console.theme == "day"
        await pilot.press("f6")
        await pilot.pause(0.1)
        assert isinstance(console.screen, RunsScreen)
        console.use_theme("contrast")
    assert '"theme": "contrast"' in settings.read_text()


async def test_clicks_on_the_bar_do_what_the_keys_do() -> None:
    console = Console(FakeClient())
    async with console.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.1)
        bar = console.screen.query_one("#bar", Lines)
        at = bar.text.splitlines()[1].index("runs")
        await pilot.click("#bar", offset=(at, 1))
        await pilot.pause(0.1)
        assert isinstance(console.screen, RunsScreen)
