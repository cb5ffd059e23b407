"""Tables and pairs as lines of parts, for pages of text: columns as wide as their content, shrunk where there is no room.

Pure: parts in, lines out. For lists one moves through, see `screens.widgets.line_table`.
"""

from __future__ import annotations

from collections.abc import Sequence

from screens.widgets.parts import Part, Parts, fit, width, wrap

NAMES = ("robot", "name", "signal", "stage", "site", "variant", "id", "n", "word", "sentence")
"""Columns that say what a row is."""

Line = list[Part]
Cell = Part | Parts


def table(
    rows: Sequence[Sequence[Cell]],
    cells: int,
    *,
    head: Sequence[str] = (),
    right: frozenset[int] = frozenset(),
    gap: int = 2,
    indent: int = 0,
) -> list[Line]:
    """Rows in columns, never wider than `cells`. The widest columns give way first; columns in `right` are right-aligned."""
    every: list[Sequence[Cell]] = [[(title, "muted") for title in head], *rows] if head else list(rows)
    if not every:
        return []
    count = max(len(row) for row in every)
    sizes = [max((width(row[i]) for row in every if i < len(row)), default=0) for i in range(count)]
    room = max(count, cells - indent - gap * (count - 1))
    while sum(sizes) > room:
        widest = sizes.index(max(sizes))
        if sizes[widest] <= 3:
            break
        sizes[widest] -= max(1, min(sum(sizes) - room, sizes[widest] - _second(sizes, widest)))
    lines: list[Line] = []
    for row in every:
        line: Line = [" " * indent] if indent else []
        for i, size in enumerate(sizes):
            last = i == count - 1
            align = "right" if i in right else "left"
            parts = fit(row[i] if i < len(row) else "", size, align)
            line += [(text, tone) if tone else text for text, tone in parts]
            if not last:
                line.append(" " * gap)
        lines.append(_trimmed(line))
    return lines


def pairs(rows: Sequence[tuple[str, Cell]], cells: int, *, indent: int = 0) -> list[Line]:
    """Label and value, labels muted and aligned; a long value goes on below itself, not below its label."""
    if not rows:
        return []
    size = min(max(width(label) for label, _ in rows), max(8, cells // 2))
    lines: list[Line] = []
    room = max(12, cells - indent - size - 2)
    for label, value in rows:
        shown = fit(label, size)
        for part in wrap(parts_of(value), room):
            said: Line = [(text, tone) if tone else text for text, tone in part]
            lines.append([" " * indent, *[(text, "muted") for text, _ in shown], "  ", *said])
            shown = fit("", size)
    return lines


def parts_of(cell: Cell) -> Line:
    """A cell as a flat list of parts."""
    if isinstance(cell, str):
        return [cell]
    if isinstance(cell, tuple) and len(cell) == 2 and all(isinstance(item, str) for item in cell):
        return [(str(cell[0]), str(cell[1]))]
    return [part for part in cell if isinstance(part, str | tuple)]


def if_room(line: Line, more: Line, cells: int) -> Line:
    """`more` at the end when it fits on the same line; what is said first matters more."""
    return [*line, *more] if width(line) + width(more) <= cells else line


def named_first(names: Sequence[str]) -> list[str]:
    """Columns as people read them: what a row is first, however its source ordered them."""
    first = [name for name in NAMES if name in names]
    return [*first, *[name for name in names if name not in first]]


def heading(text: str, note: Part = "") -> Line:
    return [(text, "strong"), *(["  ", note] if note else [])]


def _second(sizes: list[int], widest: int) -> int:
    rest = [size for i, size in enumerate(sizes) if i != widest]
    return min(sizes[widest] - 1, max([3, *rest]))


def _trimmed(line: Line) -> Line:
    while line and isinstance(line[-1], str) and not line[-1].strip():
        line.pop()
    return line
