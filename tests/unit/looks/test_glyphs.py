"""Signs where the terminal has them, plain ones in as many cells where not, and never a hole."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from screens.widgets.clean import clean
from themes import glyphs

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def full_again() -> Iterator[None]:
    yield
    glyphs.use("full")


def at(level: str, text: str) -> str:
    glyphs.use(level)
    try:
        return glyphs.shown(text)
    finally:
        glyphs.use("full")


def written() -> dict[str, str]:
    """Every sign that a text of ours holds, and a module it stands in. Docstrings are not drawn."""
    found: dict[str, str] = {}
    for room in ("screens", "app"):
        for path in (ROOT / room).rglob("*.py"):
            if path.name in ("clean.py", "plain.py"):  # what they name is what they take out
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
                    found |= {sign: str(path.relative_to(ROOT)) for sign in node.value if not sign.isascii()}
    return {sign: where for sign, where in found.items() if sign.isprintable() and sign != "\ufffd"}


def test_every_sign_we_write_has_one_that_any_terminal_shows() -> None:
    lost = {
        f"{sign} U+{ord(sign):04X}": where
        for sign, where in written().items()
        if at("ascii", sign) in ("?", "??") and sign != "\u2691"
    }
    assert not lost, f"give them a replacement in themes/glyphs.py: {lost}"


def test_the_linux_console_gets_only_what_its_font_holds() -> None:
    shown = {sign: at("console", sign) for sign in written()}
    assert {sign for sign in shown if not (shown[sign].isascii() or shown[sign] in glyphs.CONSOLE_FONT)} == set()


def test_outcomes_stay_apart_without_their_signs() -> None:
    signs = "\u2713\u2717\u2691\u26a0\u25cf\u25cb\u2016"
    assert len(set(at("ascii", signs))) == len(signs)
    assert len(set(at("console", signs))) == len(signs)


@given(st.text(max_size=60))
def test_any_text_becomes_plain_in_as_many_cells(text: str) -> None:
    cleaned = clean(text)
    plain = at("ascii", cleaned)
    assert plain.isascii() and plain.isprintable()
    assert cell_len(plain) == cell_len(cleaned)
    assert cell_len(at("console", cleaned)) == cell_len(cleaned)


def test_names_stay_readable() -> None:
    assert (
        at("ascii", "J\u00fcrgen \u00c5str\u00f6m, \u0141\u00f3d\u017a, Stra\u00dfe") == "Jurgen Astrom, Lodz, Strase"
    )


def test_small_plots_keep_their_shape() -> None:
    bars = at("ascii", "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588")
    assert len(set(bars)) == 8
    assert at("ascii", "\u2800\u28ff") == " %"


@pytest.mark.parametrize(
    ("environ", "encoding", "given", "level"),
    [
        ({"TERM": "xterm-256color", "LANG": "de_DE.UTF-8"}, "utf-8", {}, "full"),
        ({"TERM": "xterm-256color", "LANG": "C.utf8"}, "utf-8", {}, "full"),
        ({"TERM": "xterm-256color", "LANG": "C"}, "utf-8", {}, "ascii"),
        ({"TERM": "xterm-256color", "LC_ALL": "POSIX", "LANG": "C.UTF-8"}, "utf-8", {}, "ascii"),
        ({"TERM": "xterm-256color", "LANG": "C", "LC_CTYPE": "C.UTF-8"}, "utf-8", {"LANG": "C"}, "ascii"),
        ({"TERM": "xterm-256color", "LANG": "C", "LC_CTYPE": "C.UTF-8"}, "utf-8", {"LC_CTYPE": "C.UTF-8"}, "full"),
        ({"TERM": "xterm-256color"}, "utf-8", {}, "full"),
        ({"TERM": "xterm-256color"}, "iso8859-1", {}, "ascii"),
        ({"TERM": "linux", "LANG": "C.UTF-8"}, "utf-8", {}, "console"),
        ({"TERM": "linux", "LANG": "C"}, "utf-8", {}, "ascii"),
        ({"TERM": "vt100", "LANG": "C.UTF-8"}, "utf-8", {}, "ascii"),
        ({"TERM": "linux", "LANG": "C", "QD_GLYPHS": "full"}, "utf-8", {}, "full"),
        ({"TERM": "xterm-256color", "QD_GLYPHS": "ascii"}, "utf-8", {}, "ascii"),
        ({"TERM": "xterm-256color", "QD_GLYPHS": "fancy"}, "utf-8", {}, "full"),
    ],
)
def test_the_level_is_found_from_what_the_terminal_says(
    environ: dict[str, str], encoding: str, given: dict[str, str], level: str
) -> None:
    assert glyphs.detect(environ, encoding, given=given) == level


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="ascii"):
        glyphs.use("fancy")
