"""Text of a gateway's terminal reaches ours as painting and nothing else; recordings are read as far as they go."""

from __future__ import annotations

import json
from pathlib import Path

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import cast
from app.shell import Escape
from engine.capabilities.gateways import casts
from engine.capabilities.gateways.casts import Cast, Full

ESC = "\x1b"
HOSTILE = {
    "clipboard": f"{ESC}]52;c;cHduZWQ=\x07",
    "clipboard, other end": f"{ESC}]52;c;cHduZWQ={ESC}\\",
    "title": f"{ESC}]0;owned\x07",
    "answerback by DCS": f'{ESC}P$q"p{ESC}\\',
    "APC": f"{ESC}_Gq=2{ESC}\\",
    "PM": f"{ESC}^x{ESC}\\",
    "SOS": f"{ESC}Xx{ESC}\\",
    "C1 OSC": "\x9d52;c;cHduZWQ=\x9c",
    "C1 CSI": "\x9b6n",
    "window report": f"{ESC}[21t",
}
ASKING = {
    "where is the cursor": f"{ESC}[6n",
    "who are you": f"{ESC}[c",
    "who are you, more": f"{ESC}[>0c",
    "mode report": f"{ESC}[?2026$p",
    "mouse": f"{ESC}[?1000h{ESC}[?1006h",
    "paste": f"{ESC}[?2004h",
    "identify": f"{ESC}Z",
    "bell": "\x07",
    "keyboard protocol": f"{ESC}[>1u",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("played", [True, False])
def test_what_does_more_than_paint_is_taken_out_however_it_is_cut(name: str, played: bool) -> None:
    text = f"before{HOSTILE[name]}after"
    for cut in range(len(text) + 1):
        inert = cast.Inert(played=played)
        said = inert(text[:cut]) + inert(text[cut:])
        assert said.startswith("before") and said.endswith("after")
        assert ESC not in said and not any("\x80" <= char <= "\x9f" for char in said) and "owned" not in said


@pytest.mark.parametrize("name", ASKING)
def test_a_replay_asks_the_terminal_nothing_and_leaves_nothing_on(name: str) -> None:
    assert cast.Inert(played=True)(f"a{ASKING[name]}b") == "ab"


@pytest.mark.parametrize(
    "text",
    [f"{ESC}[1;31mred{ESC}[0m", f"{ESC}[2J{ESC}[H", f"{ESC}[?1049h", f"{ESC}7{ESC}[5;10H{ESC}8", f"{ESC}(0q{ESC}(B"],
)
def test_what_paints_stays(text: str) -> None:
    for played in (True, False):
        inert = cast.Inert(played=played)
        assert "".join(inert(char) for char in text) == text


def test_a_live_program_may_ask_where_the_cursor_is() -> None:
    assert cast.Inert(played=False)(f"{ESC}[6n") == f"{ESC}[6n"


@given(
    st.text(
        alphabet=st.sampled_from(list("\x1b[]PX^_?;0123456789hlmtnJHc\x07\\ab\r\n\x9b\x9d\x9c\x90\x18")), max_size=60
    ),
    st.lists(st.integers(0, 60), max_size=4),
)
@settings(max_examples=300, deadline=None)
def test_cutting_changes_nothing_and_nothing_of_ours_is_left(text: str, cuts: list[int]) -> None:
    for played in (True, False):
        whole = cast.Inert(played=played)(text)
        inert, parts, at = cast.Inert(played=played), "", 0
        for cut in [*sorted(cuts), len(text)]:
            parts += inert(text[at:cut])
            at = max(at, cut)
        assert parts == whole
        assert not any("\x80" <= char <= "\x9f" for char in whole)
        for forbidden in ("]", "P", "X", "^", "_"):
            assert f"{ESC}{forbidden}" not in whole


def test_our_terminal_is_what_it_was_and_the_cursor_where_it_was() -> None:
    screen = pyte.Screen(40, 10)
    stream = pyte.Stream(screen)
    inert = cast.Inert(played=False)
    stream.feed(inert("one\r\ntwo\r\n" + f"{ESC}[?1049h{ESC}[?25l{ESC}[2;3r") + f"{ESC}[4;1H" + inert.reset + "three")
    assert "three" in screen.display[3] and screen.margins is None and pyte.modes.DECTCEM in screen.mode
    assert inert.reset.startswith(f"{ESC}[?1049l")
    assert not cast.Inert(played=False).reset.startswith(f"{ESC}[?1049l")


def test_plain_text_is_what_was_to_be_read() -> None:
    assert (
        cast.plain_text(f"a{ESC}[1mb{ESC}[0m\r\n10%\r20%\r\nxy\b\bz\r\n{HOSTILE['clipboard']}end") == "ab\n20%\nz\nend"
    )


def test_playing_keeps_time_and_shortens_what_is_long() -> None:
    slept: list[float] = []
    said: list[str] = []
    last = cast.play(
        [(0.5, "o", "a"), (100.0, "o", "b"), (101.0, "i", "secret"), (101.0, "o", "c")],
        said.append,
        speed=2.0,
        longest=3.0,
        sleep=slept.append,
    )
    assert slept == [0.25, 1.5, 0.5] and last == 101.0
    assert "".join(said).startswith("abc") and "secret" not in "".join(said)


def test_leaving_is_a_tilde_and_a_full_stop_at_the_beginning_of_a_line() -> None:
    escape = Escape()
    assert escape(b"cd ~.ssh\r") == b"cd ~.ssh\r" and not escape.leave
    assert escape(b"~~.\r") == b"~.\r" and not escape.leave
    assert escape(b"~") == b"" and escape(b"x") == b"~x" and not escape.leave
    assert escape(b"\r~") == b"\r" and escape(b".more") == b"" and escape.leave


def _cast(tmp_path: Path, limit: int = 1 << 20) -> Cast:
    return Cast(tmp_path / "x.cast", cols=80, rows=24, at=1_763_900_000.5, title="SS-1", term="xterm", limit=limit)


def test_a_recording_is_asciicast_and_characters_are_never_cut(tmp_path: Path) -> None:
    made = _cast(tmp_path)
    data = "käse\r\n".encode()
    made.said(0.1, data[:2])
    made.said(0.2, data[2:] + b"\xff")
    made.event(0.15, "r", "100x30")
    made.said(0.4, b"\xe2\x82", final=True)
    made.close()
    lines = (tmp_path / "x.cast").read_text("ascii").splitlines()
    header = json.loads(lines[0])
    assert (header["version"], header["width"], header["timestamp"], header["env"]) == (
        2,
        80,
        1763900000,
        {"TERM": "xterm"},
    )
    events = [json.loads(line) for line in lines[1:]]
    assert "".join(data for _, code, data in events if code == "o") == "käse\r\n\ufffd\ufffd"
    assert [when for when, _, _ in events] == sorted(when for when, _, _ in events)
    assert (tmp_path / "x.cast").stat().st_mode & 0o777 == 0o600
    assert casts.length(tmp_path / "x.cast") == (0.4, len("käse\r\n\ufffd\ufffd".encode()))
    with pytest.raises(FileExistsError):
        _cast(tmp_path)


def test_a_recording_that_is_full_says_so_before_it_loses_anything(tmp_path: Path) -> None:
    made = _cast(tmp_path, limit=400)
    with pytest.raises(Full):
        for _ in range(100):
            made.said(0.1, b"x" * 50)
    size = (tmp_path / "x.cast").stat().st_size
    assert size <= 400 and casts.read(tmp_path / "x.cast", 0, 1 << 20).next == size


def test_a_recording_that_was_cut_or_is_odd_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "odd.cast"
    good = b'{"version": 2, "width": 80, "height": 24}\n[0.1, "o", "a"]\nnonsense\n["x", "o", "b"]\n[0.3, "o", "c"]\n'
    path.write_bytes(good + b'[0.4, "o", "half')
    part = casts.read(path, 0, 1 << 20)
    assert [data for _, _, data in part.events] == ["a", "c"] and part.next == len(good)
    small = casts.read(path, 0, 1)
    assert [data for _, _, data in small.events] == ["a"] and small.more
    rest = casts.read(path, small.next, 1 << 20)
    assert [data for _, _, data in rest.events] == ["c"] and rest.header == {}
    path.write_bytes(b"not a recording\n")
    assert casts.read(path, 0, 100).header == {} and casts.length(path) == (0.0, 0)
