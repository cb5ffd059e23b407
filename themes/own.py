"""A person's own palettes: one TOML file each, read strictly. What is wrong is told with the file, the key and what to do.

    base = "night"              # what the file does not say is as there; night when left out
    says = "the bridge at night"
    dark = true

    [colours]                   # #rrggbb, or a terminal colour such as ansi_red
    alarm = "#ff8787"

    [styles]                    # bold, dim, italic, underline, reverse, strike, none; several in one string
    caution = "bold"

The name of the theme is the name of the file. A file with a mistake is left out as a whole (or stays as it was before the
mistake); what is hard to read is told and used, since it may be meant.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from themes import contrast
from themes.palette import COLOURS, STYLED, WEIGHTS, Palette, is_colour, whole
from themes.palettes import BY_NAME

KEYS = ("base", "says", "dark", "colours", "styles")
SIZE_MAX = 64_000
FILES_MAX = 50
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}\Z")


class Mistake(ValueError):
    """Something in a file is not as it must be; the text says where and what to do."""


def read(folder: Path, before: Mapping[str, Palette] | None = None) -> tuple[dict[str, Palette], tuple[str, ...]]:
    """All palettes of a folder, and what is wrong in sentences. One whose file is broken now stays as it was `before`."""
    palettes: dict[str, Palette] = {}
    problems: list[str] = []
    try:
        files = sorted(one for one in folder.iterdir() if one.suffix == ".toml")
    except OSError:
        return {}, ()
    if len(files) > FILES_MAX:
        problems.append(f"{folder}: {len(files)} files, the first {FILES_MAX} are read; move the others elsewhere")
    for file in files[:FILES_MAX]:
        try:
            palettes[file.stem] = one = parse(file.name, _text(file))
        except Mistake as mistake:
            problems.append(str(mistake))
            if before and file.stem in before:
                palettes[file.stem] = before[file.stem]
            continue
        problems += [
            f"{file.name}: colours.{text} on {ground} has {found:.1f}:1; below {contrast.READABLE:g}:1 is hard to read"
            for text, ground, found in contrast.weak(one)[:1]
        ]
    return palettes, tuple(problems)


def parse(file: str, text: str) -> Palette:
    """The palette that a file's text describes. `Mistake` names the file, the key and what to do."""
    name = file.removesuffix(".toml")
    if not _NAME.match(name):
        raise Mistake(f"{file}: a theme's name is lower-case letters, digits, - and _ (at most 31): rename the file")
    if name in BY_NAME:
        raise Mistake(f"{file}: {name} is one of ours and can't be replaced: rename the file, and say base = {name!r}")
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Mistake(f"{file}: not TOML: {error}") from None
    _known(file, "", found, KEYS)
    base = _typed(file, found, "base", str, "night")
    if base not in BY_NAME:
        raise Mistake(f"{file}: base = {base!r}: there is no such palette{_meant(base, BY_NAME)}")
    colours, styles = _typed(file, found, "colours", dict, {}), _typed(file, found, "styles", dict, {})
    _known(file, "colours.", colours, COLOURS)
    _known(file, "styles.", styles, STYLED)
    for key, colour in colours.items():
        if not isinstance(colour, str) or not is_colour(colour):
            raise Mistake(f"{file}: colours.{key} = {colour!r}: write '#rrggbb', or 'ansi_red' and the like")
    for key, style in styles.items():
        unknown = set(style.split()) - set(WEIGHTS) if isinstance(style, str) else {style}
        if unknown:
            raise Mistake(f"{file}: styles.{key} = {style!r}: write one or more of {', '.join(WEIGHTS)}")
    parent = BY_NAME[base]
    mixed = {**parent.colours, **colours}
    if len({colour.startswith("ansi_") for colour in mixed.values()}) > 1:
        odd = next(key for key, colour in colours.items() if colour.startswith("ansi_") is not parent.ansi)
        kind = "terminal colours (ansi_...)" if parent.ansi else "#rrggbb colours"
        raise Mistake(
            f"{file}: colours.{odd} = {colours[odd]!r}: {base} is made of {kind}, and both don't mix; use another base"
        )
    return whole(
        Palette(
            name,
            _typed(file, found, "says", str, f"{file}, after {base}")[:100],
            dark=_typed(file, found, "dark", bool, parent.dark),
            colours=mixed,
            styles={**parent.styles, **styles},
        )
    )


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(SIZE_MAX + 1)
        if len(raw) > SIZE_MAX:
            raise Mistake(f"{file.name}: longer than {SIZE_MAX:,} bytes: no palette is")
        return raw.decode("utf-8")
    except OSError as error:
        raise Mistake(f"{file.name}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Mistake(f"{file.name}: not UTF-8: save it as UTF-8") from None


def _known(file: str, where: str, found: Mapping[str, Any], known: Iterable[str]) -> None:
    names = list(known)
    for key in found:
        if key not in names:
            raise Mistake(f"{file}: {where}{key}: no such key{_meant(key, names)}")


def _typed(file: str, found: Mapping[str, Any], key: str, kind: type, other: Any) -> Any:
    value = found.get(key, other)
    if not isinstance(value, kind):
        words = {str: "a text in quotes", bool: "true or false", dict: f"a table, [{key}]"}
        raise Mistake(f"{file}: {key} = {value!r}: must be {words[kind]}")
    return value


def _meant(word: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(word, names, 1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
