"""Where a table's rows come from: the `Source` protocol, and `Rows`, the one that holds them in memory.

Rules: a key names a row for ever; a row on screen keeps its place until the reader says otherwise (`take`), so that the
row under the cursor is the row the next key acts on. New rows wait and are counted; rows that ended stay, marked gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from screens.widgets.parts import Part, Parts, plain

Cell = Part | Parts


@dataclass(frozen=True, slots=True)
class Wide:
    """A row that is one run of parts over all columns; headings can't be selected."""

    parts: Parts
    selectable: bool = False


Cells = Sequence[Cell] | Wide


class Source(Protocol):
    """Random access by place, and by key. `cells` is None while a row is not loaded; `want` says what is looked at."""

    def __len__(self) -> int: ...
    def key(self, place: int) -> str | None: ...
    def cells(self, place: int) -> Cells | None: ...
    def place(self, key: str) -> int | None: ...
    def want(self, first: int, last: int) -> None: ...


class Rows:
    """Rows in memory, with a filter and rows that wait to be taken in."""

    def __init__(self) -> None:
        self._cells: dict[str, Cells] = {}
        self._all: list[str] = []
        self._order: list[str] = []
        self._places: dict[str, int] = {}
        self._wanted: list[tuple[str, Cells]] | None = None
        self._filter = ""
        self.gone: set[str] = set()
        self.waiting = 0

    def __len__(self) -> int:
        return len(self._order)

    def key(self, place: int) -> str | None:
        return self._order[place] if 0 <= place < len(self._order) else None

    def cells(self, place: int) -> Cells | None:
        return self._cells.get(self._order[place]) if 0 <= place < len(self._order) else None

    def place(self, key: str) -> int | None:
        return self._places.get(key)

    def want(self, first: int, last: int) -> None:
        """Everything is here."""

    @property
    def filter(self) -> str:
        return self._filter

    @property
    def total(self) -> int:
        """Rows without the filter, headings left out."""
        return sum(1 for cells in self._cells.values() if not isinstance(cells, Wide) or cells.selectable)

    def load(self, rows: Iterable[tuple[str, Cells]]) -> None:
        """Exactly these rows in this order."""
        self._cells = dict(rows)
        self._all = list(self._cells)
        self.gone.clear()
        self.waiting = 0
        self._wanted = None
        self._arrange()

    def narrow(self, text: str) -> None:
        """Show rows that contain `text`, case aside; headings stay."""
        self._filter = text.casefold().strip()
        self._arrange()

    def put(self, key: str, cells: Cells) -> int | None:
        """Replace a row in its place, or append it. The place, or None while the filter hides it."""
        if key not in self._cells:
            self._cells[key] = cells
            self._all.append(key)
            if self._matches(cells):
                self._places[key] = len(self._order)
                self._order.append(key)
        else:
            self._cells[key] = cells
        return self._places.get(key)

    def merge(self, rows: Iterable[tuple[str, Cells]]) -> list[tuple[int, Cells | None]]:
        """Take new content without moving anything: known rows change in place, new ones wait, missing ones are gone.

        Returns the changed places with the cells they had.
        """
        wanted = list(rows)
        self._wanted = wanted
        changed: list[tuple[int, Cells | None]] = []
        seen = set()
        self.waiting = 0
        for key, cells in wanted:
            seen.add(key)
            old = self._cells.get(key)
            if old is None:
                self.waiting += not isinstance(cells, Wide) or cells.selectable
                continue
            if key in self.gone or old != cells:
                was_gone = key in self.gone
                self.gone.discard(key)
                self._cells[key] = cells
                if (place := self._places.get(key)) is not None:
                    changed.append((place, None if was_gone else old))
        for key in self._cells:
            if key not in seen and key not in self.gone:
                self.gone.add(key)
                if (place := self._places.get(key)) is not None:
                    changed.append((place, None))
        return changed

    @property
    def settled(self) -> bool:
        """Nothing waits to be taken in and nothing is gone."""
        return not self.waiting and not self.gone and (self._wanted is None or self._same_order())

    def _same_order(self) -> bool:
        return self._wanted is not None and [key for key, _ in self._wanted] == self._all

    def shaped_like(self, rows: Sequence[tuple[str, Cells]]) -> bool:
        """The same keys in the same order, the filter aside: new content can go in place."""
        return len(rows) == len(self._all) and all(held == key for held, (key, _) in zip(self._all, rows, strict=True))

    def take(self) -> None:
        """Show what waited, in the order it has now."""
        if self._wanted is not None:
            self.load(self._wanted)

    def _matches(self, cells: Cells) -> bool:
        if not self._filter:
            return True
        if isinstance(cells, Wide):
            return not cells.selectable or self._filter in plain(cells.parts).casefold()
        return any(self._filter in plain(cell).casefold() for cell in cells)

    def _arrange(self) -> None:
        if self._filter:
            self._order = [key for key in self._all if self._matches(self._cells[key])]
        else:
            self._order = list(self._all)
        self._places = {key: place for place, key in enumerate(self._order)}
