"""A person's own themes: read strictly, told in a sentence, seen again when the file changes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.style import Style

import themes
from app.cli import root
from app.console import Console
from screens.widgets.line import Lines
from tests.fakes import FakeClient
from tests.unit.console.conftest import screen_text, settled
from themes import glyphs
from themes.own import SIZE_MAX, Mistake, parse, read

BRIDGE = """
base = "night"
says = "the bridge"
[colours]
alarm = "#ff8f8f"
[styles]
caution = "bold underline"
"""


def test_what_is_not_said_is_as_in_the_base() -> None:
    bridge = parse("bridge.toml", BRIDGE)
    assert bridge.name == "bridge" and bridge.says == "the bridge" and bridge.dark
    assert bridge.colours["alarm"] == "#ff8f8f" and bridge.colours["good"] == "#9dcf9f"
    assert bridge.style("caution") == "bold underline" and bridge.style("title") == "bold"
    assert parse("a.toml", 'base = "day"').dark is False
    assert parse("a.toml", "").colours["background"] == "#111315"


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("a.toml", "[colours]\nalrm = '#ff0000'", ("a.toml", "colours.alrm", "did you mean alarm?")),
        ("a.toml", "[colours]\nalarm = 'red'", ("a.toml", "colours.alarm", "'red'", "#rrggbb")),
        ("a.toml", "[colours]\nalarm = 7", ("colours.alarm", "#rrggbb")),
        ("a.toml", "[styles]\nalarm = 'blink'", ("styles.alarm", "bold")),
        ("a.toml", "[styles]\nwarning = 'bold'", ("styles.warning", "there are")),
        ("a.toml", "[styles]\nalarm = true", ("styles.alarm", "bold")),
        ("a.toml", "colors = {}", ("colors", "did you mean colours?")),
        ("a.toml", "base = 'nigth'", ("base", "did you mean night?")),
        ("a.toml", "base = 3", ("base", "text in quotes")),
        ("a.toml", "dark = 'yes'", ("dark", "true or false")),
        ("a.toml", "colours = 'red'", ("colours", "a table, [colours]")),
        ("a.toml", "[colours\n", ("a.toml", "not TOML", "line 1")),
        ("a.toml", "[colours]\nalarm = 'ansi_red'", ("colours.alarm", "don't mix")),
        ("a.toml", "base = 'ansi16'\n[colours]\nalarm = '#ff0000'", ("colours.alarm", "don't mix")),
        ("night.toml", "", ("night.toml", "one of ours", "rename")),
        ("My Theme.toml", "", ("My Theme.toml", "lower-case", "rename")),
    ],
)
def test_a_mistake_names_the_file_the_key_and_the_way_out(file: str, text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(Mistake) as told:
        parse(file, text)
    assert all(word in str(told.value) for word in words), told.value


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "bridge.toml").write_text(BRIDGE)
    (tmp_path / "broken.toml").write_text("base = ")
    (tmp_path / "faint.toml").write_text('[colours]\nmuted = "#333333"')
    (tmp_path / "huge.toml").write_text("#" * (SIZE_MAX + 1))
    (tmp_path / "latin.toml").write_bytes(b'says = "gr\xfcn"')
    (tmp_path / "notes.txt").write_text("not a theme")
    palettes, problems = read(tmp_path)
    assert set(palettes) == {"bridge", "faint"}
    told = "\n".join(problems)
    for words in ("broken.toml: not TOML", "faint.toml: colours.muted on cursor", "huge.toml", "latin.toml: not UTF-8"):
        assert words in told
    assert len(problems) == 4
    kept, again = read(tmp_path, before={"broken": palettes["bridge"]})
    assert kept["broken"] is palettes["bridge"] and len(again) == 4, "a mistake leaves what was there"
    assert read(tmp_path / "nowhere") == ({}, ())


def touched(path: Path, text: str) -> None:
    """Written, and seen to be: file times may be coarse."""
    path.write_text(text)
    at = path.stat().st_mtime + 5
    os.utime(path, (at, at))


async def test_an_own_theme_is_put_on_kept_and_seen_to_change(tmp_path: Path) -> None:
    folder = tmp_path / "themes"
    folder.mkdir()
    file = folder / "bridge.toml"
    file.write_text(BRIDGE)
    settings = tmp_path / "console.json"
    console = Console(FakeClient(), settings=settings)
    async with console.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert console.theme_names()[-1] == "bridge"
        await pilot.press("colon", *"theme bridge", "enter")
        await settled(pilot)
        assert console.theme == "bridge" and "the bridge" in screen_text(console)
        assert json.loads(settings.read_text())["theme"] == "bridge"
        header = console.screen.query_one("#header", Lines)
        assert header.tone("alarm").color == Style.parse("#ff8f8f").color
        touched(file, BRIDGE.replace("#ff8f8f", "#ff8787"))
        console._look_again()
        await settled(pilot)
        assert header.tone("alarm").color == Style.parse("#ff8787").color
        assert "read again" in screen_text(console)
        touched(file, "[colours]\nalrm = '#ff0000'")
        console._look_again()
        await settled(pilot)
        assert "did you mean alarm" in screen_text(console)
        assert console.theme == "bridge" and header.tone("alarm").color == Style.parse("#ff8787").color
        file.unlink()
        console._look_again()
        await settled(pilot)
        assert console.theme in ("night", "ansi16") and "gone" in screen_text(console)


async def test_a_chosen_theme_that_is_gone_is_said_at_the_start(tmp_path: Path) -> None:
    settings = tmp_path / "console.json"
    settings.write_text('{"theme": "bridge"}')
    console = Console(FakeClient(), settings=settings)
    async with console.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        said = " ".join(str(part) for _, parts in console.notices for part in parts)
        assert "bridge" in said and console.theme != "bridge"


async def test_no_color_stands_above_a_choice_of_another_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    settings = tmp_path / "console.json"
    settings.write_text('{"theme": "day"}')
    console = Console(FakeClient(), settings=settings)
    async with console.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert console.theme == "mono"
        for strip in console.screen._compositor.render_strips():
            for segment in strip:
                for colour in (segment.style.color, segment.style.bgcolor) if segment.style else ():
                    assert colour is None or colour.is_default, segment
        console.use_theme("day")
        await settled(pilot)
        assert console.theme == "day", "who asks for it now gets it"


async def test_without_utf_8_every_screen_is_plain() -> None:
    glyphs.use("ascii")
    try:
        console = Console(FakeClient(hostile=True))
        async with console.run_test(size=(120, 36)) as pilot:
            for key in "12345":
                await pilot.press(key)
                await settled(pilot)
                text = screen_text(console)
                assert text.isascii(), [sign for sign in text if not sign.isascii()]
                assert all(len(line) <= 120 for line in text.splitlines())
    finally:
        glyphs.use("full")


def test_the_command_line_lists_chooses_and_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QD_HOME", str(tmp_path))
    monkeypatch.delenv("NO_COLOR", raising=False)
    folder = tmp_path / "config" / "themes"
    folder.mkdir(parents=True)
    (folder / "bridge.toml").write_text(BRIDGE)
    run = CliRunner().invoke
    told = run(root, ["config", "themes", "--json"])
    found = json.loads(told.output)
    assert told.exit_code == 0 and found["problems"] == [] and found["folder"] == str(folder)
    assert [one["name"] for one in found["themes"]] == [*themes.NAMES, "bridge"]
    assert run(root, ["config", "themes", "bridge"]).exit_code == 0
    assert json.loads((tmp_path / "config" / "console.json").read_text())["theme"] == "bridge"
    assert "* " in next(line for line in run(root, ["config", "themes"]).output.splitlines() if "bridge " in line)
    refused = run(root, ["config", "themes", "brigde"])
    assert refused.exit_code == 1 and "no theme is called" in refused.output
    (folder / "bridge.toml").write_text("[colours]\nalrm = '#ff0000'")
    broken = run(root, ["config", "themes"])
    assert broken.exit_code == 1 and "did you mean alarm" in broken.output
