"""What there is against what is needed, as a matrix: a cell is as dark as it is full, what is short stands out and comes first."""

from __future__ import annotations

from collections.abc import Sequence

from engine.contract.datasets import Cell
from screens import figures, layout
from screens.layout import Line
from screens.widgets.parts import Part

SHADES = "\u00b7\u2591\u2592\u2593\u2588"
"""Nothing, a start, half, nearly, enough."""
COLUMNS = 8


def shade(have: int, need: int) -> str:
    """How full a cell is; only what is enough is full."""
    if have >= need:
        return SHADES[-1]
    return SHADES[0] if have <= 0 else SHADES[1 + min(2, 3 * have // max(1, need))]


def matrix(cells_: Sequence[Cell], cells: int) -> list[Line]:
    """The coverage matrix: rows by the first dimension, columns by the second; gaps marked and first."""
    if not cells_:
        return [[("No cell was counted yet: coverage comes after curation.", "muted")]]
    names = {tuple(one.dims) for one in cells_}
    needs = sorted({one.need for one in cells_})
    need = f"need {needs[0]} per cell" if len(needs) == 1 else "have/need"
    two = next(iter(names)) if len(names) == 1 and len(next(iter(names))) == 2 else None
    columns = sorted({one.dims[two[1]] for one in cells_}) if two else []
    if two is None or len(columns) > COLUMNS:
        rows = [
            [("!", "alarm") if one.short else " ", one.key, _bar(one), f"{one.have}/{one.need}", _waiver(one)]
            for one in cells_
        ]
        return [[(need, "muted")], *layout.table(rows, cells, right=frozenset({3}))]
    held = {(one.dims[two[0]], one.dims[two[1]]): one for one in cells_}
    order = dict.fromkeys(one.dims[two[0]] for one in cells_)  # the worst cell's row first
    body = [
        [
            value,
            *[_filled(held.get((value, column)), len(needs) > 1) for column in columns],
            _waivers(held, value, columns),
        ]
        for value in order
    ]
    return layout.table(body, cells, head=[need, *columns, ""], right=frozenset(range(1, len(columns) + 1)))


def legend() -> Line:
    return [
        (
            f"{SHADES[0]} none  {SHADES[1]}{SHADES[2]}{SHADES[3]} on the way  {SHADES[4]} enough  ! short  w waived",
            "muted",
        )
    ]


def _filled(cell: Cell | None, needs: bool) -> Part | list[Part]:
    if cell is None:
        return ("-", "muted")
    text = f"{cell.have}/{cell.need}" if needs else str(cell.have)
    tone = "alarm" if cell.short else "caution" if cell.waived else "muted"
    mark = (f"! {text}", "alarm") if cell.short else (f"w {text}", "caution") if cell.waived else text
    return [mark, (f" {shade(cell.have, cell.need)}", tone)]


def _bar(cell: Cell, cells: int = 10) -> Part:
    """How full, as ten cells, for lists of cells."""
    full = min(cells, cells * cell.have // max(1, cell.need))
    return (SHADES[4] * full + SHADES[1] * (cells - full), "alarm" if cell.short else "muted")


def _waiver(cell: Cell) -> Part:
    return (
        (f"waived by {cell.waived} until {figures.clock(cell.waived_until, 0.0)[:6]}", "caution") if cell.waived else ""
    )


def _waivers(held: dict[tuple[str, str], Cell], value: str, columns: Sequence[str]) -> Part:
    said = [held[value, column] for column in columns if (value, column) in held and held[value, column].waived]
    return (f"(w: {said[0].waived}, until {figures.clock(said[0].waived_until, 0.0)[:6]})", "muted") if said else ""
