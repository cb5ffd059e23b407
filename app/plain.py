"""Plain output: remote text made harmless, values as JSON with every field, rows as columns.

The console has a cleaner of its own for widgets; this one is for a terminal that takes what it is given, and must load
nothing but the standard library and msgspec.
"""

from __future__ import annotations

import shutil
import sys
import time
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

_MAP: dict[int, int] = {
    **{c: 0x2400 + c for c in range(0x20)},  # C0 as control pictures
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),  # C1 would be read as escape sequences
    **{
        c: 0xFFFD
        for a, b in ((0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0xFFF9, 0xFFFB), (0xE0000, 0xE0FFF))
        for c in range(a, b + 1)
    },
    **dict.fromkeys((0x061C, 0x180E, 0xFEFF, 0x00AD, 0x034F, 0x115F, 0x1160, 0x3164, 0xFFA0), 0xFFFD),
    **dict.fromkeys(range(0xD800, 0xE000), 0xFFFD),
}
_MARKS = 3


def clean(text: object, limit: int = 500) -> str:
    """One line that moves no cursor, writes no clipboard and hides nothing. Cut first, so that the work is bounded."""
    raw = str(text)
    cut = raw[:limit].translate(_MAP)
    if not cut.isascii():
        kept, marks = [], 0
        for char in cut:
            marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
            if marks <= _MARKS:
                kept.append(char)
        cut = "".join(kept)
    return cut + "…" if len(raw) > limit else cut


def clean_lines(text: str, limit: int = 100_000) -> str:
    """Several lines, each cleaned, indentation kept."""
    return "\n".join(clean(line, 2000) for line in text[:limit].splitlines())


def full(value: Any) -> Any:
    """A contract struct as builtins with every field, also those at their default: scripts count on them."""
    if isinstance(value, msgspec.Struct):
        return {name: full(getattr(value, name)) for name in value.__struct_encode_fields__}
    if isinstance(value, dict):
        return {str(key): full(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [full(item) for item in value]
    return value


def as_json(value: Any, *, indent: bool = True) -> str:
    """JSON that is safe on a terminal: control characters are escaped by the format, C1 and bidi by us."""
    raw = msgspec.json.encode(full(value))
    text = (msgspec.json.format(raw, indent=2) if indent else raw).decode()
    if text.isascii():
        return text
    return "".join(
        c if ord(c) not in _MAP or c in "\n" else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else "\\ufffd" for c in text
    )


def table(rows: Iterable[Sequence[object]], heads: Sequence[str], *, empty: str) -> str:
    """Columns. On a terminal the last one gives way, so that no line wraps; elsewhere nothing is cut."""
    cells = [[clean(cell) for cell in row] for row in rows]
    if not cells:
        return empty
    widths = [max(len(head), *(len(row[i]) for row in cells)) for i, head in enumerate(heads)]
    if sys.stdout.isatty():
        room = shutil.get_terminal_size((80, 24)).columns
        rest = sum(widths[:-1]) + 2 * (len(widths) - 1)
        widths[-1] = max(len(heads[-1]), min(widths[-1], room - rest))
    lines = []
    for row in ([head.upper() for head in heads], *cells):
        last = row[-1] if len(row[-1]) <= widths[-1] else row[-1][: max(0, widths[-1] - 1)] + "…"
        lines.append(
            "  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)), last]).rstrip()
        )
    return "\n".join(lines)


def moment(at: float | None) -> str:
    """UTC, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(at)) if at else "-"


def span(seconds: float) -> str:
    """`3d 4h`, `2h 10m`, `45s`: the two largest units."""
    left, parts = max(0, round(seconds)), []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        if left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
    return " ".join(parts[:2]) or "0s"


def says_utf8() -> bool:
    """Whether this terminal's encoding can show what we print."""
    return (sys.stdout.encoding or "").lower().replace("-", "") in ("utf8", "utf_8")
