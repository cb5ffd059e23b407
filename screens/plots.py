"""Plots as text: values in, lines of parts out. Nothing here knows a widget, a clock or a contract.

Two shapes of dots: the first series (canary) is braille, the second (control) a rule of its own, its band a shade, so
that they can be told apart without colour. Everything has an ASCII form for terminals that have nothing else. A missing
value (None) leaves a hole: a gap in the data must look like one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from screens.figures import number
from screens.widgets.parts import Part

Value = float | None
Line = list[Part]

BLOCKS = " \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
ASCII_BLOCKS = " .:-=+*#@"
GUTTER = 6
"""Cells left of a plot: its scale."""
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille cell by row and column."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One set of values over the plot's time axis. `dots`: braille; else a rule, with a band where `low`/`high` are."""

    name: str
    values: Sequence[Value]
    tone: str = ""
    dots: bool = True
    low: Sequence[Value] = ()
    high: Sequence[Value] = ()


def finite(values: Sequence[Value]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def resample(values: Sequence[Value], size: int) -> list[Value]:
    """`size` columns: the mean of what falls into each; None where nothing does. Fewer values than columns are held."""
    if not values or size <= 0:
        return [None] * max(0, size)
    count = len(values)
    out: list[Value] = []
    for column in range(size):
        first = column * count // size
        last = max(first + 1, (column + 1) * count // size)
        here = finite(values[first:last])
        out.append(sum(here) / len(here) if here else None)
    return out


def evenly(times: Sequence[float], values: Sequence[Value], size: int) -> list[Value]:
    """Values at `size` even steps from the first time to the last: each is held until the next one comes.

    Where none came for more than two and a half usual intervals there is a hole: silence is not a value.
    """
    known = sorted(zip(times, values, strict=True), key=lambda pair: pair[0])
    if len(known) < 2 or known[0][0] >= known[-1][0]:
        return list(values)
    gaps = sorted(after[0] - before[0] for before, after in pairwise(known))
    patience = 2.5 * gaps[len(gaps) // 2] if len(gaps) > 2 else math.inf
    first, last = known[0][0], known[-1][0]
    out: list[Value] = []
    at = 0
    for step in range(size):
        t = first + (last - first) * step / max(1, size - 1)
        while at + 1 < len(known) and known[at + 1][0] <= t:
            at += 1
        out.append(known[at][1] if t - known[at][0] <= max(patience, (last - first) / max(1, size)) else None)
    return out


def sparkline(values: Sequence[Value], cells: int, *, ascii: bool = False, top: float | None = None) -> str:
    """One line of blocks from 0 to the largest value (or `top`); a hole is a space."""
    columns = resample(values, cells)
    known = finite(columns)
    if not known:
        return " " * cells
    highest = top if top is not None else max(known)
    blocks = ASCII_BLOCKS if ascii else BLOCKS
    if highest <= 0:
        return "".join(" " if value is None else blocks[1] for value in columns)
    steps = len(blocks) - 1
    return "".join(
        " " if value is None else blocks[max(1, min(steps, math.ceil(value / highest * steps)))] for value in columns
    )


def bar(k: float, n: float, cells: int, *, ascii: bool = False) -> str:
    """A share as a bar of exactly `cells`."""
    full = round(cells * max(0.0, min(1.0, k / n))) if n else 0
    return ("#" if ascii else "\u2588") * full + ("." if ascii else "\u2591") * (cells - full)


def scale(values: Sequence[float], *, log: bool = False) -> tuple[float, float]:
    """Lowest and highest of the axis: from zero for plain scales, whole decades for logarithmic ones."""
    if not values:
        return (0.1, 10.0) if log else (0.0, 1.0)
    if log:
        known = [value for value in values if value > 0] or [1.0]
        low = 10 ** math.floor(math.log10(max(1e-3, min(known))))
        high = 10 ** math.ceil(math.log10(max(known)) + 1e-9)
        return low, max(high, low * 10)
    low, high = min(0.0, *values), max(values)
    if min(values) > 0 and high and (high - min(values)) / high < 0.25:
        low = min(values) - (high - min(values)) * 0.5  # a flat signal far from zero: show its movement
        high += (high - min(values)) * 0.2
    if high <= low:
        high = low + 1
    return low, high


def plot(
    curves: Sequence[Curve],
    *,
    cells: int,
    rows: int,
    limit: float | None = None,
    limit_name: str = "",
    log: bool = False,
    ascii: bool = False,
    times: tuple[str, str] | None = None,
) -> list[Line]:
    """A plot of exactly `rows` lines (plus one time axis when `times` is given), each at most `cells` wide.

    `limit` draws a dashed rule and names it at its right end; the axis always includes it.
    """
    gutter = GUTTER
    wide = max(4, cells - gutter)
    every = [value for curve in curves for part in (curve.values, curve.low, curve.high) for value in finite(part)]
    if not every:
        return _empty(cells, rows, times, gutter, wide)
    low, high = scale([*every, limit] if limit is not None else every, log=log)

    sheet = _Sheet(wide, rows, low, high, log, ascii)
    for curve in curves:
        if curve.low and curve.high:
            sheet.band(curve)
    if limit is not None:
        sheet.limit(limit, limit_name)
    for curve in curves:
        if not curve.dots:
            sheet.marks(curve, "-" if ascii else "\u2500")
    for curve in curves:
        if curve.dots:
            if ascii:
                sheet.marks(curve, "*")
            else:
                sheet.braille(curve)
    lines = []
    for y, row in enumerate(sheet.grid):
        label = number(high) if y == 0 else number(low) if y == rows - 1 else ""
        lines.append([(f"{label[:5]:>5}{'|' if ascii else chr(0x2502)}", "muted"), *_joined(row)])
    if times:
        lines.append(_axis(times, gutter, wide))
    return lines


def _empty(cells: int, rows: int, times: tuple[str, str] | None, gutter: int, wide: int) -> list[Line]:
    lines: list[Line] = [[] for _ in range(rows)]
    lines[rows // 2] = [(" " * gutter + "no data in this window", "caution")]
    if times:
        lines.append(_axis(times, gutter, wide))
    return lines


def _axis(times: tuple[str, str], gutter: int, wide: int) -> Line:
    first, last = times
    return [(" " * gutter + first + " " * max(1, wide - len(first) - len(last)) + last, "muted")]


class _Sheet:
    """A grid of cells with a vertical scale; what is drawn later lies on top."""

    def __init__(self, wide: int, rows: int, low: float, high: float, log: bool, ascii: bool) -> None:  # noqa: PLR0917
        self.wide, self.rows, self.ascii = wide, rows, ascii
        self.grid: list[list[tuple[str, str]]] = [[(" ", "")] * wide for _ in range(rows)]
        self._log = log
        self._low = math.log10(low) if log else low
        self._high = math.log10(high) if log else high

    def height(self, value: float, steps: int) -> int:
        """Steps from the top."""
        if self._log:
            value = math.log10(max(value, 1e-12))
        share = (value - self._low) / (self._high - self._low)
        return max(0, min(steps - 1, round((1 - max(0.0, min(1.0, share))) * (steps - 1))))

    def band(self, curve: Curve) -> None:
        for x, (low, high) in enumerate(
            zip(resample(curve.low, self.wide), resample(curve.high, self.wide), strict=True)
        ):
            if low is not None and high is not None:
                for y in range(self.height(high, self.rows), self.height(low, self.rows) + 1):
                    self.grid[y][x] = ("." if self.ascii else "\u2591", "muted")

    def limit(self, value: float, name: str) -> None:
        y = self.height(value, self.rows)
        for x in range(0, self.wide, 1 if self.ascii else 2):
            self.grid[y][x] = ("=" if self.ascii else "\u254c", "caution")
        for x, character in enumerate(name[: self.wide - 1], start=max(0, self.wide - len(name))):
            self.grid[y][x] = (character, "caution")

    def marks(self, curve: Curve, mark: str) -> None:
        for x, value in enumerate(resample(curve.values, self.wide)):
            if value is not None:
                self.grid[self.height(value, self.rows)][x] = (mark, curve.tone)

    def braille(self, curve: Curve) -> None:
        """A connected line of dots, two by four in a cell; holes stay open."""
        bits = [[0] * self.wide for _ in range(self.rows)]
        before: int | None = None
        for x, value in enumerate(resample(curve.values, self.wide * 2)):
            if value is None:
                before = None
                continue
            y = self.height(value, self.rows * 4)
            first, last = (y, y) if before is None else (min(before, y), max(before, y))
            for dot in range(first, last + 1):
                bits[dot // 4][x // 2] |= DOTS[dot % 4][x % 2]
            before = y
        for y, row in enumerate(bits):
            for x, cell in enumerate(row):
                if cell:
                    self.grid[y][x] = (chr(0x2800 + cell), curve.tone)


def _joined(row: list[tuple[str, str]]) -> Line:
    """Neighbours of one tone in one part."""
    out: list[tuple[str, str]] = []
    for character, tone in row:
        if out and out[-1][1] == tone:
            out[-1] = (out[-1][0] + character, tone)
        else:
            out.append((character, tone))
    return [part if part[1] else part[0] for part in out]
