"""The columns of a table: what they are, how a person wants them (`Shape`), which fit, and how their cells are ordered.

Pure: no widget is touched here. A shape is kept in a person's settings, so whatever is read back is taken with care.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

NARROWEST, WIDEST = 3, 200


@dataclass(frozen=True, slots=True)
class Column:
    """`width` cells at least; what is left goes to `grow`. Columns with the highest `optional` vanish first when narrow.

    `sort`: what the source of a list that is not held in memory calls the order by this column; empty = it has none.
    """

    title: str
    width: int
    grow: int = 0
    align: str = "left"
    optional: int = 0
    sort: str = ""


@dataclass(slots=True)
class Shape:
    """How a person wants a table. Columns are named by their titles: a column that went away is not missed."""

    hidden: set[str] = field(default_factory=set)
    widths: dict[str, int] = field(default_factory=dict)
    frozen: int = 1
    """So many first columns stay when the others are scrolled sideways."""
    sort: str = ""
    down: bool = False
    group: str = ""

    @property
    def plain(self) -> bool:
        """Nothing was changed."""
        return self == Shape()

    def kept(self) -> dict[str, Any]:
        """For the settings file: only what differs from a plain one."""
        said: dict[str, Any] = {"hidden": sorted(self.hidden), "widths": dict(self.widths), "sort": self.sort}
        said |= {"group": self.group, "down": self.down}
        if self.frozen != 1:
            said["frozen"] = self.frozen
        return {name: value for name, value in said.items() if value or name == "frozen"}

    @classmethod
    def read(cls, kept: Any) -> Shape:
        """From a settings file, which a person may have edited: what makes no sense there is left out."""
        if not isinstance(kept, dict):
            return cls()
        hidden, widths = kept.get("hidden"), kept.get("widths")
        frozen = kept.get("frozen", 1)
        return cls(
            {name for name in hidden if isinstance(name, str)} if isinstance(hidden, list) else set(),
            {
                name: min(WIDEST, max(NARROWEST, size))
                for name, size in (widths.items() if isinstance(widths, dict) else ())
                if isinstance(name, str) and isinstance(size, int)
            },
            frozen if isinstance(frozen, int) and 0 <= frozen < 20 else 1,
            str(kept.get("sort") or ""),
            bool(kept.get("down")),
            str(kept.get("group") or ""),
        )


Span = tuple[int, int, int]
"""Number of the column, first cell, cells."""


def lay_out(columns: Sequence[Column], shape: Shape, room: int, shift: int = 0) -> list[Span]:
    """Which columns stand where in `room` cells.

    Unshifted, the columns that matter least make room for the rest. Shifted, the frozen ones stay and the others follow
    from the `shift`-th on, as many as fit: so every column is reached, on the narrowest terminal too.
    """
    shown = [place for place, column in enumerate(columns) if column.title not in shape.hidden]
    if not shown and columns:
        shown = [0]
    size = {place: shape.widths.get(columns[place].title, columns[place].width) for place in shown}
    if shift:
        frozen = shown[: shape.frozen]
        shown = [*frozen, *shown[len(frozen) + shift - 1 :]]
        while len(shown) > len(frozen) + 1 and sum(size[place] + 1 for place in shown) > room:
            shown.pop()
    else:
        while len(shown) > 1 and sum(size[place] + 1 for place in shown) > room:
            dropped = max(shown, key=lambda place: (columns[place].optional, place))
            if not columns[dropped].optional:
                break
            shown.remove(dropped)
    spare = max(0, room - sum(size[place] + 1 for place in shown) - 1)
    growing = [place for place in shown if columns[place].title not in shape.widths]
    grow = sum(columns[place].grow for place in growing)
    spans: list[Span] = []
    x = 1
    for place in shown:
        extra = spare * columns[place].grow // grow if grow and place in growing else 0
        cells = size[place] + extra
        if x >= room:
            break
        spans.append((place, x, max(1, min(cells, room - x))))
        x += cells + 1
    return spans


def furthest(columns: Sequence[Column], shape: Shape, room: int) -> int:
    """How far the columns can be shifted: until the last one is in view. 0 when everything is in view as it is."""
    shown = [place for place, column in enumerate(columns) if column.title not in shape.hidden]
    if len(lay_out(columns, shape, room)) == len(shown):
        return 0
    for shift in range(1, max(1, len(shown) - shape.frozen + 1)):
        spans = lay_out(columns, shape, room, shift)
        if spans and spans[-1][0] == shown[-1]:
            return shift
    return max(0, len(shown) - shape.frozen)


_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604_800}
_SPAN = re.compile(r"<?((?:\d+(?:\.\d+)?(?:ms|[smhdw])\s?)+)(?![a-z0-9])")
_SPAN_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")
_DIGITS = re.compile(r"(\d+)")
_LEAD = re.compile(r"^[^\w+\-<]+")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?")


def sort_key(text: str) -> tuple[Any, ...]:
    """The order of a cell as people read it: empty last, spans of time by length, numbers by size, `a2` before `a10`."""
    bare = _LEAD.sub("", text).strip()
    if not bare:
        return (3,)
    span = _SPAN.match(bare)
    if span:
        seconds = sum(float(size) * _UNITS[unit] for size, unit in _SPAN_PART.findall(span.group(1)))
        return (0, seconds - 0.5 if bare.startswith("<") else seconds, bare)
    number = _NUMBER.match(bare)
    if number and not _CLOCK.match(bare) and not bare[number.end() : number.end() + 1].isalnum():
        return (1, float(number.group().replace(",", "")), bare)
    pieces = tuple(
        (1, int(piece), "") if piece.isdigit() and piece.isascii() else (2, 0, piece) for piece in _split(bare)
    )
    return (2, pieces)


def _split(text: str) -> Iterable[str]:
    return (piece for piece in _DIGITS.split(text.casefold()) if piece)


def only_time_passed(before: str, after: str) -> bool:
    """Whether two texts differ in spans of time and clock times alone: an age that grew is no news."""
    return _without_time(before) == _without_time(after)


def _without_time(text: str) -> str:
    return _CLOCK.sub("#", _SPAN.sub("#", text))
