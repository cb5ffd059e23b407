"""Ways that are not straight on, drawn as lanes beside a column of rows: from the row that is left to the row that is reached.

All ways to one row share its lane, so that ten interrupts with one handler are one line with ten joints. A lane's stretch
is as strong as the strongest way over it: taken is heavy, still possible is light, gone is dashed and muted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from screens.widgets.parts import Part

GONE, OPEN, TAKEN = 1, 2, 3
"""How strong a way is drawn."""
UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
LIGHT = {
    UP | DOWN: "\u2502",
    LEFT | RIGHT: "\u2500",
    DOWN | RIGHT: "\u256d",
    UP | RIGHT: "\u2570",
    UP | DOWN | RIGHT: "\u251c",
    UP | LEFT: "\u256f",
    DOWN | LEFT: "\u256e",
    UP | DOWN | LEFT: "\u2524",
    UP: "\u2502",
    DOWN: "\u2502",
}
HEAVY = {
    UP | DOWN: "\u2503",
    LEFT | RIGHT: "\u2501",
    DOWN | RIGHT: "\u250f",
    UP | RIGHT: "\u2517",
    UP | DOWN | RIGHT: "\u2523",
    UP | LEFT: "\u251b",
    DOWN | LEFT: "\u2513",
    UP | DOWN | LEFT: "\u252b",
    UP: "\u2503",
    DOWN: "\u2503",
}
DASHED = {**LIGHT, UP | DOWN: "\u2506", LEFT | RIGHT: "\u2504", UP: "\u2506", DOWN: "\u2506"}
STROKES = {GONE: DASHED, OPEN: LIGHT, TAKEN: HEAVY}
TONES = {GONE: "muted", OPEN: "", TAKEN: "strong"}
HEADS = {GONE: "\u25b7", OPEN: "\u25b7", TAKEN: "\u25b6"}


def stroke(bits: int, weight: int) -> str:
    return STROKES[weight].get(bits, " ")


@dataclass(frozen=True, slots=True)
class Way:
    """From one row to another, by their numbers. `weight`: GONE, OPEN or TAKEN."""

    source: int
    target: int
    weight: int


class Lanes:
    """The lanes of a picture. `left` holds the ways for which there was no lane: they are told in words instead."""

    def __init__(self, ways: Sequence[Way], most: int) -> None:
        """At most `most` lanes; short ways get the inner ones, and a taken way gets one before any other."""
        buses: dict[int, list[Way]] = {}
        for way in ways:
            buses.setdefault(way.target, []).append(way)
        spans = {
            target: (min(target, *(way.source for way in found)), max(target, *(way.source for way in found)))
            for target, found in buses.items()
        }
        taken: list[list[tuple[int, int]]] = [[] for _ in range(max(0, most))]
        self.left: list[Way] = []
        places: dict[int, int] = {}

        def rank(target: int) -> tuple[bool, int, int]:
            first, last = spans[target]
            return (all(way.weight != TAKEN for way in buses[target]), last - first, first)

        for target in sorted(buses, key=rank):
            first, last = spans[target]
            lane = next((n for n, held in enumerate(taken) if all(b < first or last < a for a, b in held)), None)
            if lane is None:
                self.left += buses[target]
            else:
                taken[lane].append((first, last))
                places[target] = lane
        self.count = 1 + max(places.values(), default=-1)
        """Lanes that are used."""
        self._cells: dict[tuple[int, int], tuple[int, int]] = {}
        self._out: dict[int, tuple[int, int]] = {}
        self._in: dict[int, tuple[int, int]] = {}
        for target, lane in places.items():
            for way in buses[target]:
                self._draw(way, lane)

    def _draw(self, way: Way, lane: int) -> None:
        down = way.target > way.source
        for row in range(min(way.source, way.target), max(way.source, way.target) + 1):
            if row == way.source:
                bits = RIGHT | (DOWN if down else UP)
            elif row == way.target:
                bits = RIGHT | (UP if down else DOWN)
            else:
                bits = UP | DOWN
            held, weight = self._cells.get((row, lane), (0, 0))
            self._cells[row, lane] = (held | bits, max(weight, way.weight))
        self._out[way.source] = (lane, way.weight)
        self._in[way.target] = (lane, max(way.weight, self._in.get(way.target, (0, 0))[1]))

    def leaves(self, row: int) -> int:
        """How strong the way is that leaves this row over a lane; 0 when none does."""
        return self._out[row][1] if row in self._out else 0

    def arrives(self, row: int) -> int:
        return self._in[row][1] if row in self._in else 0

    def line(self, row: int) -> list[tuple[str, str]]:
        """The lanes beside one row: two cells each, the outermost first. What ends here runs on to the right edge."""
        out: list[tuple[str, str]] = []
        across = 0  # a way that goes to the right edge from a lane further out
        for lane in reversed(range(self.count)):
            bits, weight = self._cells.get((row, lane), (0, 0))
            if bits:
                out.append((stroke(bits, weight), TONES[weight]))
            else:
                out.append((stroke(LEFT | RIGHT, across), TONES[across]) if across else (" ", ""))
            if bits & RIGHT:
                across = weight if (row in self._in or row in self._out) else across
            out.append((stroke(LEFT | RIGHT, across), TONES[across]) if across else (" ", ""))
        return out


def joined(cells: Sequence[tuple[str, str]]) -> list[Part]:
    """Neighbours of one tone in one part."""
    out: list[tuple[str, str]] = []
    for text, tone in cells:
        if out and out[-1][1] == tone:
            out[-1] = (out[-1][0] + text, tone)
        else:
            out.append((text, tone))
    return [part if part[1] else part[0] for part in out]
