"""The one vocabulary in which screens write text: a `Part` is a string, or a string with a tone.

Tones name meanings, not colours; the theme says how they look. Painting cleans every part, so nothing that came from a
robot can reach the terminal as a control code or be parsed as markup, whichever screen wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip
from textual.widget import Widget

from screens.widgets.clean import clean

Part = str | tuple[str, str]
"""Text, or (text, tone)."""
Parts = Sequence[Part]

TONES = ("alarm", "caution", "good", "info", "muted", "strong", "title", "key", "chip")
"""alarm, caution: the abnormal. good: a passed verdict, nothing else. info: a live link. muted: secondary text."""
COLOURS = (*TONES, "title-back", "chip-back")


def plain(parts: Parts | Part) -> str:
    """The text of parts, cleaned, without tones."""
    if isinstance(parts, str):
        return clean(parts)
    if isinstance(parts, tuple) and len(parts) == 2 and isinstance(parts[0], str) and parts[1] in TONES:
        return clean(parts[0])
    return "".join(plain(part) for part in parts)


def each(parts: Parts | Part) -> Iterable[tuple[str, str]]:
    """Cleaned (text, tone) of a part or of several."""
    if isinstance(parts, str):
        yield clean(parts, 2_000), ""
    elif isinstance(parts, tuple) and len(parts) == 2 and isinstance(parts[0], str) and parts[1] in TONES:
        yield clean(parts[0], 2_000), str(parts[1])
    else:
        for part in parts:
            yield from each(part)


def width(parts: Parts | Part) -> int:
    return sum(len(text) if text.isascii() else cell_len(text) for text, _ in each(parts))


def fit(parts: Parts | Part, cells: int, align: str = "left") -> list[tuple[str, str]]:
    """Exactly `cells` cells: cut with an ellipsis, or padded."""
    out: list[tuple[str, str]] = []
    used = 0
    for text, tone in each(parts):
        size = len(text) if text.isascii() else cell_len(text)
        out.append((text, tone))
        used += size
        if used > cells:
            return _cut(out, cells)
    if used < cells:
        pad = (" " * (cells - used), "")
        out = [pad, *out] if align == "right" else [*out, pad]
    return out


def _cut(parts: list[tuple[str, str]], cells: int) -> list[tuple[str, str]]:
    """The first `cells - 1` cells of parts that are too wide, and an ellipsis."""
    out: list[tuple[str, str]] = []
    room = max(0, cells - 1)
    for text, tone in parts:
        size = len(text) if text.isascii() else cell_len(text)
        if size > room:
            kept = text[:room] if text.isascii() else _first_cells(text, room)
            spare = room - (len(kept) if kept.isascii() else cell_len(kept))
            return [*out, (f"{kept}\u2026{' ' * spare}" if cells else "", tone)]
        out.append((text, tone))
        room -= size
    return out


def _first_cells(text: str, cells: int) -> str:
    """As many characters as fit; a wide one that would be halved is left out."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if cell_len(text[:middle]) <= cells:
            low = middle
        else:
            high = middle - 1
    return text[:low]


def wrap(parts: Parts | Part, cells: int, indent: int = 0) -> list[list[tuple[str, str]]]:
    """Break at spaces into lines of at most `cells`; continuation lines start with `indent` spaces."""
    lines: list[list[tuple[str, str]]] = [[]]
    used = 0
    cells = max(cells, 4)
    for text, tone in each(parts):
        for word in _words(text):
            size = cell_len(word)
            if used and used + len(word.rstrip(" ")) > cells and word.strip():
                lines.append([(" " * indent, "")] if indent else [])
                used = indent
            while used + cell_len(word.rstrip(" ")) > cells:
                head = _first_cells(word, cells - used) or word[:1]
                _join(lines[-1], head, tone)
                word = word[len(head) :]
                lines.append([(" " * indent, "")] if indent else [])
                used = indent
                size = cell_len(word)
            _join(lines[-1], word, tone)
            used += size
    return lines


def _join(line: list[tuple[str, str]], text: str, tone: str) -> None:
    """Text at the end of a line, in one piece with what stands before it in the same tone."""
    if line and line[-1][1] == tone:
        line[-1] = (line[-1][0] + text, tone)
    else:
        line.append((text, tone))


def _words(text: str) -> Iterable[str]:
    """Words with the spaces that follow them."""
    start = 0
    space = False
    for index, character in enumerate(text):
        if character == " ":
            space = True
        elif space:
            yield text[start:index]
            start, space = index, False
    if start < len(text):
        yield text[start:]


@lru_cache(16)
def tones(colours: tuple[str, ...], styles: tuple[str, ...]) -> dict[str, Style]:
    """The style of each tone, from the palette's variables `qd-<tone>` and `qd-<tone>-style`; titles and chips have a ground
    of their own, which a reversed one leaves to the terminal.
    """
    found = {
        name: Color.parse(colour).rich_color if colour else None for name, colour in zip(COLOURS, colours, strict=True)
    }
    weights = {tone: Style.parse(style or "none") for tone, style in zip(TONES, styles, strict=True)}
    return {
        tone: Style(color=found[tone], bgcolor=None if weights[tone].reverse else found.get(f"{tone}-back"))
        + weights[tone]
        for tone in TONES
    }


class Toned(Widget):
    """A widget that paints parts itself, line by line. The look of tones belongs to the theme.

    They are not component classes: Textual would work out each one for each widget before the first frame.
    """

    def tone(self, name: str) -> Style:
        known = self.app.theme_variables
        return tones(
            tuple(known.get(f"qd-{key}", "") for key in COLOURS),
            tuple(known.get(f"qd-{key}-style", "") for key in TONES),
        )[name]

    def paint(self, parts: Parts | Part, cells: int, base: Style, *, toned: bool = True) -> Strip:
        """One strip of exactly `cells` cells. `toned=False` leaves colours out (a reversed cursor line stays legible)."""
        return Strip(self.paint_cell(parts, cells, base, "left", toned), cells)

    def paint_cell(self, parts: Parts | Part, cells: int, base: Style, align: str, toned: bool) -> list[Segment]:
        return [
            Segment(text, base + self.tone(tone) if tone and toned else base)
            for text, tone in fit(parts, cells, align)
            if text
        ]
