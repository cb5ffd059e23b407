"""The signs the console is drawn with, and what stands for each where a terminal can't show it.

Three levels. `full`: what a UTF-8 terminal with a common font shows. `console`: the Linux console and serial screens, whose
font is code page 437 (boxes, shades and arrows; no tick, flag, braille or eighth blocks). `ascii`: no UTF-8 at all.
Screens write the full sign always; `shown` replaces it at the edge, in as many cells as it had, so that nothing moves.
Pictures that are more than single signs (braille plots) ask `braille()` and draw themselves another way.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path

LEVELS = ("full", "console", "ascii")
VARIABLE = "QD_GLYPHS"

# sign: (on the Linux console, in plain ASCII). What a sign means is told in README.md.
SIGNS: dict[str, tuple[str, str]] = {
    "\u2717": ("x", "x"),  # failed, refused
    "\u2713": ("\u221a", "+"),  # passed
    "\u2691": ("\u00b6", "?"),  # a question to people
    "\u26a0": ("!", "!"),  # caution
    "\u2716": ("x", "x"),
    "\u2692": ("\u263c", "&"),  # work by hand
    "\u2298": ("\u03c6", "0"),  # barred, refused by rule
    "\u2016": ("\u2551", "="),  # paused
    "\u25cf": ("\u2022", "*"),  # done, live
    "\u25cb": ("\u25cb", "o"),  # not yet
    "\u25ce": ("\u25d9", "@"),
    "\u25d0": ("\u25d9", "%"),  # behind
    "\u25d4": ("\u25d9", "@"),  # at work
    "\u25d1": ("\u25d9", "%"),
    "\u25cc": ("\u25cb", "o"),
    "\u25a0": ("\u25a0", "#"),
    "\u25a1": ("\u25a0", "."),
    "\u25aa": ("\u25a0", "#"),
    "\u25b8": ("\u25ba", ">"),  # at work, opens
    "\u25be": ("\u25bc", "v"),
    "\u25b6": ("\u25ba", ">"),
    "\u25b7": ("\u25ba", ">"),
    "\u25c0": ("\u25c4", "<"),
    "\u25c2": ("\u25c4", "<"),
    "\u25b2": ("\u25b2", "^"),
    "\u25b3": ("\u25b2", "^"),
    "\u25bc": ("\u25bc", "v"),
    "\u25c6": ("\u2666", "*"),
    "\u25c7": ("\u2666", "o"),
    "\u2605": ("*", "*"),
    "\u203a": (">", ">"),
    "\u2039": ("<", "<"),
    "\u2192": ("\u2192", ">"),
    "\u2190": ("\u2190", "<"),
    "\u2191": ("\u2191", "^"),
    "\u2193": ("\u2193", "v"),
    "\u2194": ("\u2194", "-"),
    "\u2195": ("\u2195", "|"),
    "\u21c4": ("\u2194", "%"),  # handed over
    "\u21b5": ("\u2190", "<"),
    "\u21ba": ("\u2190", "<"),  # taken back
    "\u21bb": ("\u2192", ">"),  # again
    "\u21b6": ("\u2190", "<"),
    "\u21b3": ("\u2514", "`"),
    "\u2026": ("~", "~"),  # cut: `~` can't be read as the end of a sentence
    "\u00b7": ("\u00b7", "."),
    "\u2022": ("\u2022", "*"),
    "\u2219": ("\u2219", "."),
    "\u2236": (":", ":"),
    "\u2014": ("\u2500", "-"),
    "\u2013": ("-", "-"),
    "\u2011": ("-", "-"),
    "\u2212": ("-", "-"),
    "\u2018": ("'", "'"),
    "\u2019": ("'", "'"),
    "\u201c": ('"', '"'),
    "\u201d": ('"', '"'),
    "\u00ab": ("\u00ab", '"'),
    "\u00bb": ("\u00bb", '"'),
    "\u00d7": ("x", "x"),
    "\u00f7": ("\u00f7", "/"),
    "\u00b1": ("\u00b1", "~"),
    "\u2260": ("#", "#"),
    "\u2264": ("\u2264", "<"),
    "\u2265": ("\u2265", ">"),
    "\u2248": ("\u2248", "~"),
    "\u2261": ("\u2261", "="),
    "\u221e": ("\u221e", "8"),
    "\u2227": ("^", "^"),
    "\u2211": ("\u03a3", "E"),
    "\u03a3": ("\u03a3", "E"),
    "\u0394": ("^", "^"),
    "\u03c3": ("\u03c3", "s"),
    "\u03bc": ("\u00b5", "u"),
    "\u00b5": ("\u00b5", "u"),
    "\u00b0": ("\u00b0", "o"),
    "\u00a7": ("\u00a7", "S"),
    "\u00a0": (" ", " "),
    "\u00df": ("\u00df", "s"),
    "\u00e6": ("\u00e6", "e"),
    "\u00f8": ("o", "o"),
    "\u00d8": ("O", "O"),
    "\u0142": ("l", "l"),
    "\u0141": ("L", "L"),
    "\ufffd": ("?", "?"),
    # lines
    "\u2500": ("\u2500", "-"),
    "\u2501": ("\u2550", "="),
    "\u2504": ("\u2500", "-"),
    "\u2508": ("\u2500", "."),
    "\u254c": ("\u2500", "-"),
    "\u2502": ("\u2502", "|"),
    "\u2503": ("\u2551", "|"),
    "\u2506": ("\u2502", ":"),
    "\u250a": ("\u2502", ":"),
    "\u2550": ("\u2550", "="),
    "\u2551": ("\u2551", "|"),
    "\u2574": ("\u2500", "-"),
    "\u2576": ("\u2500", "-"),
    "\u257c": ("\u2500", "-"),
    # blocks; eighths stand for heights in small plots
    "\u2581": ("_", "_"),
    "\u2582": ("_", "."),
    "\u2583": ("\u2584", "-"),
    "\u2584": ("\u2584", "="),
    "\u2585": ("\u2584", "+"),
    "\u2586": ("\u2588", "*"),
    "\u2587": ("\u2588", "%"),
    "\u2588": ("\u2588", "#"),
    "\u2580": ("\u2580", '"'),
    "\u258c": ("\u258c", "|"),
    "\u2590": ("\u2590", "|"),
    "\u258f": ("\u2502", "|"),
    "\u258e": ("\u258c", "|"),
    "\u258d": ("\u258c", "|"),
    "\u258b": ("\u258c", "|"),
    "\u258a": ("\u2588", "#"),
    "\u2589": ("\u2588", "#"),
    "\u2594": ("\u2580", "-"),
    "\u2595": ("\u2590", "|"),
    "\u2591": ("\u2591", "."),
    "\u2592": ("\u2592", ":"),
    "\u2593": ("\u2593", "%"),
}
_DENSITY = " .:-=+*#%"
"""For braille without a picture of its own: how many of the eight dots are set."""
_SHADE = "  \u2591\u2591\u2592\u2592\u2593\u2593\u2588"
CONSOLE_FONT = frozenset(
    bytes(range(128, 256)).decode("cp437")
    + "\u263a\u263b\u2665\u2666\u2663\u2660\u2022\u25d8\u25cb\u25d9\u2642\u2640\u266a\u266b\u263c"
    + "\u25ba\u25c4\u2195\u203c\u00b6\u00a7\u25ac\u21a8\u2191\u2193\u2192\u2190\u221f\u2194\u25b2\u25bc"
)
"""Code page 437, with the pictures it has for the first 32 codes."""


class _Signs(dict[int, str]):
    """What each character is replaced by at one level; worked out when first met, then kept."""

    def __init__(self, level: str) -> None:
        super().__init__()
        self._column = LEVELS.index(level) - 1

    def __missing__(self, code: int) -> str:
        if len(self) > 4_096:  # hostile text may hold any character: the memory of it is bounded
            self.clear()
        self[code] = found = self._found(chr(code))
        return found

    def _found(self, sign: str) -> str:
        if sign.isascii():
            return sign
        if sign in SIGNS:
            return SIGNS[sign][self._column]
        if self._column == 0 and sign in CONSOLE_FONT:
            return sign
        code = ord(sign)
        if 0x2800 <= code <= 0x28FF:
            return (_SHADE if self._column == 0 else _DENSITY)[(code - 0x2800).bit_count()]
        if 0x2500 <= code <= 0x257F:
            return "+"  # corners and crossings
        from rich.cells import get_character_cell_size  # the same measure that lays the screens out

        cells = get_character_cell_size(sign)
        if not cells:
            return ""
        letters = unicodedata.normalize("NFKD", sign)
        if letters[0].isascii() and letters[0].isprintable() and not any(map(str.isalnum, letters[1:])):
            return letters[0] + " " * (cells - 1)  # an accent is lost, the name stays readable
        return "?" * cells


_tables: dict[str, _Signs] = {}


class _Here:
    """What this process draws with: there is one terminal."""

    level = "full"


def level() -> str:
    """What the terminal can show: one of `LEVELS`."""
    return _Here.level


def ascii_only() -> bool:
    return _Here.level == "ascii"


def braille() -> bool:
    """Whether braille and eighth blocks can be shown."""
    return _Here.level == "full"


def use(name: str) -> None:
    """Everything drawn from now on is drawn at this level. ValueError for a name that is none of `LEVELS`."""
    if name not in LEVELS:
        raise ValueError(f"{VARIABLE}={name!r}: there are {', '.join(LEVELS)}")
    _Here.level = name


def shown(text: str) -> str:
    """The text as this terminal can show it, in as many cells; as it is at level `full`."""
    if _Here.level == "full" or text.isascii():
        return text
    table = _tables.get(_Here.level)
    if table is None:
        table = _tables[_Here.level] = _Signs(_Here.level)
    return text.translate(table)


def settle(environ: Mapping[str, str], encoding: str = "") -> str:
    """Find out the level from the environment and use it. The name that was found."""
    use(detect(environ, encoding, given=_first_environment()))
    return _Here.level


def detect(environ: Mapping[str, str], encoding: str = "", *, given: Mapping[str, str] | None = None) -> str:
    """`QD_GLYPHS` when set to a level; `ascii` where the locale says something else than UTF-8; `console` on a Linux VT.

    `given` is the environment the process began with: Python sets `LC_CTYPE` to UTF-8 by itself where it was C. A terminal
    whose locale says nothing at all is taken for what nearly all are, one that shows UTF-8.
    """
    wish = environ.get(VARIABLE, "").strip().lower()
    if wish in LEVELS:
        return wish
    said = {**environ, **{name: (given or {}).get(name, "") for name in ("LC_CTYPE",) if given is not None}}
    locale = said.get("LC_ALL") or said.get("LC_CTYPE") or said.get("LANG") or ""
    if locale and "utf8" not in locale.lower().replace("-", ""):
        return "ascii"
    if encoding and encoding.lower().replace("-", "").replace("_", "") != "utf8":
        return "ascii"
    if environ.get("TERM", "") in ("linux", "vt100", "vt220", "ansi", "cons25"):
        return "console" if environ.get("TERM") == "linux" else "ascii"
    return "full"


def _first_environment() -> dict[str, str] | None:
    """The environment as the kernel handed it over, before anybody changed it; None where that can't be read."""
    try:
        raw = Path("/proc/self/environ").read_bytes()
    except OSError:
        return None
    pairs = (os.fsdecode(part).partition("=") for part in raw.split(b"\0") if part)
    return {name: value for name, _, value in pairs}
