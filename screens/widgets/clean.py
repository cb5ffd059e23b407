"""Text from robots, logs and remote systems, made inert before a terminal sees it.

Rules: every string that did not come from our own source goes through `clean` on its way to a widget; a widget takes
`Part`s (screens.widgets.parts, which cleans) or `safe(...)`, never a bare `str`, because Textual parses those as markup.
ESC, OSC, C1, bidi overrides, zero-width and tag characters otherwise reach the operator's terminal byte for byte.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.content import Content

_MAP: dict[int, int] = {c: 0x2400 + c for c in range(0x20)}
_MAP |= {0x7F: 0x2421} | dict.fromkeys(range(128, 160), 65533)
for _first, _last in (
    (0x200B, 0x200F),  # zero width, left-to-right marks
    (0x202A, 0x202E),  # bidi overrides
    (0x2028, 0x2029),  # line and paragraph separators
    (0x2060, 0x206F),
    (0xFE00, 0xFE0F),  # variation selectors: terminals disagree about their width
    (0xFFF9, 0xFFFB),
    (0x1F3FB, 0x1F3FF),  # skin tones: joined or not, terminals disagree about the width
    (0xE0000, 0xE0FFF),  # tags
):
    _MAP |= dict.fromkeys(range(_first, _last + 1), 65533)
_MAP |= dict.fromkeys((1564, 6158, 65279, 173, 847, 4447, 4448, 12644, 65440), 65533)
_SURROGATES = re.compile("[\ud800-\udfff]")
_PLAIN = re.compile(r"[ -~]*\Z")


def clean(text: object, limit: int = 500, *, marks: int = 3) -> str:
    """One inert line: control characters become pictures, at most `marks` combining marks per letter, cut at `limit`.

    Cut first, so that the work on a megabyte of hostile text is bounded.
    """
    whole = text if isinstance(text, str) else str(text)
    short = whole[:limit]
    if not _PLAIN.match(short):
        short = _SURROGATES.sub("\ufffd", short.translate(_MAP))
        if not short.isascii():
            short = _few_marks(short, marks)
    return short + "\u2026" if len(whole) > limit else short


def clean_lines(text: object, limit: int = 20_000, width: int = 2_000) -> list[str]:
    """Several inert lines, for bodies that may hold line breaks. Both the whole and each line are cut."""
    whole = text if isinstance(text, str) else str(text)
    lines = [clean(part, width) for part in whole[:limit].replace("\r\n", "\n").split("\n")]
    if len(whole) > limit:
        lines.append(f"\u2026 {len(whole) - limit:,} more characters")
    return lines


def safe(text: object, limit: int = 500) -> Content:
    """For Textual's own widgets (Static, Label, border titles): content that is never parsed as markup."""
    from textual.content import Content

    return Content(clean(text, limit))


def _few_marks(text: str, marks: int) -> str:
    out: list[str] = []
    run = 0
    for character in text:
        run = run + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        if run <= marks:
            out.append(character)
    return "".join(out)
