"""How well two colours can be told apart: WCAG 2.2, relative luminance and contrast ratio."""

from __future__ import annotations

from collections.abc import Iterator

from themes.palette import GROUNDS, PAIRS, TEXTS, Palette

READABLE = 4.5
"""WCAG 1.4.3, level AA, for text of normal size."""
CLEAR = 7.0
"""WCAG 1.4.6, level AAA."""


def channels(colour: str) -> tuple[float, float, float]:
    """Linear red, green and blue of `#rrggbb`, 0 to 1."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return (_linear(red), _linear(green), _linear(blue))


def luminance(colour: str) -> float:
    red, green, blue = channels(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def ratio(one: str, other: str) -> float:
    """1 (the same) to 21 (black and white)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def pairs(palette: Palette) -> Iterator[tuple[str, str]]:
    """(text, ground) that stand on each other, by the names of their colours. A reversed cursor line holds one text alone."""
    for ground in GROUNDS:
        if ground in ("cursor", "cursor-away") and palette.reversed(ground):
            yield "cursor-text", ground
        else:
            yield from ((text, ground) for text in TEXTS)
    if not palette.reversed("cursor"):
        yield "cursor-text", "cursor"
    yield from PAIRS


def weak(palette: Palette, least: float = READABLE) -> list[tuple[str, str, float]]:
    """(text, ground, ratio) of what is hard to read, worst first. A terminal's own colours can't be judged from here."""
    if any(colour.startswith("ansi_") for colour in palette.colours.values()):
        return []
    c = palette.colours
    found = [(text, ground, ratio(c[text], c[ground])) for text, ground in pairs(palette)]
    return sorted((one for one in found if one[2] < least), key=lambda one: one[2])


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
