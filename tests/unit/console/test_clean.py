"""Text from strangers is inert: no control character, no markup, bounded work."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from screens.widgets.clean import clean, clean_lines
from screens.widgets.parts import fit, plain, width, wrap

NASTY = (
    "\x1b]52;c;cm0gLXJmIC8=\x07",
    "\x1b[2J\x1b[31m",
    "\x9b31m",
    "\x1b]0;title",
    "a\rb\x08c\x00d",
    "rtl \u202egnp.exe",
    "zero\u200bwidth",
    "tag\U000e0041",
    "z\u0301\u0301\u0301\u0301\u0301\u0301\u0301algo",
    "lone \ud800 surrogate",
    "\u2028line\u2029",
)


@pytest.mark.parametrize("text", NASTY)
def test_nothing_that_steers_a_terminal_survives(text: str) -> None:
    cleaned = clean(text)
    for character in cleaned:
        assert unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"), repr(cleaned)
    cleaned.encode()


@given(st.text(st.characters(codec=None), max_size=300))
def test_any_text_becomes_one_printable_line(text: str) -> None:
    cleaned = clean(text)
    assert "\n" not in cleaned and "\x1b" not in cleaned
    assert all(unicodedata.category(c) not in ("Cc", "Cs") for c in cleaned)
    assert clean(cleaned, limit=10_000) == cleaned


def test_cleaning_a_megabyte_costs_no_more_than_cleaning_its_beginning() -> None:
    text = "\u0301" * 1_000_000
    begin = time.perf_counter()
    assert len(clean(text)) <= 501
    assert time.perf_counter() - begin < 0.05


def test_lines_are_cut_in_number_and_width() -> None:
    lines = clean_lines("x" * 5_000 + "\n" + "y\n" * 50_000)
    assert len(lines[0]) == 2_001
    assert "more characters" in lines[-1]


@given(st.lists(st.text(max_size=40), max_size=6), st.integers(1, 60), st.sampled_from(["left", "right"]))
def test_fit_is_always_exactly_as_wide_as_asked(texts: list[str], cells: int, align: str) -> None:
    assert sum(cell_len(text) for text, _ in fit(texts, cells, align)) == cells


def test_fit_counts_wide_characters_as_two_cells() -> None:
    fitted = fit(["\u6a5f\u68b0\u4eba robot"], 6)
    assert width(list(fitted)) == 6
    assert plain(list(fitted)).startswith("\u6a5f\u68b0")


def test_wrap_keeps_every_word_and_no_line_is_too_long() -> None:
    text = "the canary regressed on interventions and was rolled back by policy " * 4
    lines = wrap([text], 30, 2)
    assert all(width(list(line)) <= 31 for line in lines)
    joined = " ".join("".join(part for part, _ in line).strip() for line in lines)
    assert joined.split() == text.split()


def test_wrap_breaks_a_word_longer_than_the_line() -> None:
    lines = wrap(["x" * 95], 30)
    assert "".join("".join(part for part, _ in line) for line in lines).replace(" ", "") == "x" * 95
    assert all(width(list(line)) <= 30 for line in lines)
