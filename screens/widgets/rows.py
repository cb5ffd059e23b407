"""Where a table's rows come from: the `Source` protocol, and `Rows`, the one that holds them in memory.

Rules: a key names a row for ever; a row on screen keeps its place until the reader says otherwise (`take`), so that the
row under the cursor is the row the next key acts on. New rows wait and are counted; rows that ended stay, marked gone.
An order or groups of the reader's own are made when rows are taken in, and keep still in between like any other order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from screens.widgets.columns import sort_key
from screens.widgets.parts import Part, Parts, plain

Cell = Part | Parts


@dataclass(frozen=True, slots=True)
class Wide:
    """A row that is one run of parts over all columns; headings can't be selected."""

    parts: Parts
    selectable: bool = False


Cells = Sequence[Cell] | Wide
Matches = Callable[[Mapping[str, str]], bool]
"""Says of a row, by its fields (column titles in lower case; `""` is the whole row), whether it is shown."""
HEADING = "\x00group "
"""What keys of headings that group rows begin with: no row's key does."""


class Source(Protocol):
    """Random access by place, and by key. `cells` is None while a row is not loaded; `want` says what is looked at,
    `here` gives the places of the rows that are loaded."""

    def __len__(self) -> int: ...
    def key(self, place: int) -> str | None: ...
    def cells(self, place: int) -> Cells | None: ...
    def place(self, key: str) -> int | None: ...
    def want(self, first: int, last: int) -> None: ...
    def here(self) -> Iterable[int]: ...


class Rows:
    """Rows in memory, with a filter and rows that wait to be taken in."""

    def __init__(self) -> None:
        self._cells: dict[str, Cells] = {}
        self._given: list[str] = []
        """Keys in the order the screen gives."""
        self._all: list[str] = []
        """Keys in the order that is shown, the filter aside."""
        self._order: list[str] = []
        self._places: dict[str, int] = {}
        self._wanted: list[tuple[str, Cells]] | None = None
        self._filter = ""
        self._says: Matches | None = None
        self.titles: Sequence[str] = ()
        """Names of the cells, for filters that name fields."""
        self.by: tuple[int, bool] | None = None
        """The reader's own order: a column, and whether the largest comes first."""
        self.grouped: int | None = None
        """The column by which rows stand in groups."""
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

    def here(self) -> Iterable[int]:
        """Every place."""
        return range(len(self._order))

    @property
    def filter(self) -> str:
        return self._filter

    @property
    def total(self) -> int:
        """Rows without the filter, headings left out."""
        return sum(1 for cells in self._cells.values() if not isinstance(cells, Wide) or cells.selectable)

    def load(self, rows: Iterable[tuple[str, Cells]]) -> None:
        """Exactly these rows in this order, or the reader's own."""
        self._cells = dict(rows)
        self._given = list(self._cells)
        self.gone.clear()
        self.waiting = 0
        self._wanted = None
        self._arrange()

    def arrange(self, by: tuple[int, bool] | None, grouped: int | None) -> None:
        """Another order, or other groups. None: as the screen gives them."""
        self.by, self.grouped = by, grouped
        self._arrange()

    def narrow(self, text: str, matches: Matches | None = None) -> None:
        """Show rows that contain `text`, case aside, or those of which `matches` says so; headings stay."""
        self._filter = text.casefold().strip()
        self._says = matches if self._filter else None
        self._arrange()

    def put(self, key: str, cells: Cells) -> int | None:
        """Replace a row in its place, or append it. The place, or None while the filter hides it."""
        if key not in self._cells:
            self._cells[key] = cells
            self._given.append(key)
            self._all.append(key)
            if self._matches(key, cells):
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
        for key in self._given:
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
        return self._wanted is not None and [key for key, _ in self._wanted] == self._given

    def shaped_like(self, rows: Sequence[tuple[str, Cells]]) -> bool:
        """The same keys in the same order, the filter aside: new content can go in place."""
        return len(rows) == len(self._given) and all(
            held == key for held, (key, _) in zip(self._given, rows, strict=True)
        )

    def take(self) -> None:
        """Show what waited, in the order it has now."""
        if self._wanted is not None:
            self.load(self._wanted)

    @property
    def in_order(self) -> bool:
        """Whether the rows still stand as the reader's order and groups would put them now."""
        return (self.by is None and self.grouped is None) or self._arranged() == self._all

    def fields(self, key: str) -> dict[str, str]:
        """The texts of a row by the titles of its columns; `""` is the whole row."""
        cells = self._cells[key]
        if isinstance(cells, Wide):
            return {"": plain(cells.parts)}
        texts = [plain(cell) for cell in cells]
        return {**dict(zip((title.casefold() for title in self.titles), texts, strict=False)), "": " ".join(texts)}

    def _matches(self, key: str, cells: Cells) -> bool:
        if not self._filter or (isinstance(cells, Wide) and not cells.selectable):
            return True
        if self._says is not None:
            return self._says(self.fields(key))
        if isinstance(cells, Wide):
            return self._filter in plain(cells.parts).casefold()
        return any(self._filter in plain(cell).casefold() for cell in cells)

    def _text(self, key: str, column: int) -> str:
        cells = self._cells[key]
        return "" if isinstance(cells, Wide) or column >= len(cells) else plain(cells[column])

    def _arranged(self) -> list[str]:
        """All keys in the reader's order, with a heading before each group. The screen's own headings go then."""
        keys = [key for key in self._given if not isinstance(cells := self._cells[key], Wide) or cells.selectable]
        if self.by is not None:
            column, down = self.by
            ranked = [(sort_key(self._text(key, column)), key) for key in keys]
            empty = [key for rank, key in ranked if rank == (3,)]
            full = sorted((one for one in ranked if one[0] != (3,)), key=lambda one: one[0], reverse=down)
            keys = [*(key for _, key in full), *empty]
        if self.grouped is None:
            return keys
        groups: dict[str, list[str]] = {}
        for key in keys:
            groups.setdefault(self._text(key, self.grouped).strip(), []).append(key)
        return [key for name in sorted(groups, key=sort_key) for key in (f"{HEADING}{name}", *groups[name])]

    def _arrange(self) -> None:
        for key in [key for key in self._cells if key.startswith(HEADING)]:
            del self._cells[key]
        self._all = self._arranged() if self.by is not None or self.grouped is not None else list(self._given)
        shown = [key for key in self._all if key.startswith(HEADING) or self._matches(key, self._cells[key])]
        if self.grouped is not None:
            shown = self._headed(shown)
        self._order = shown
        self._places = {key: place for place, key in enumerate(self._order)}

    def _headed(self, shown: list[str]) -> list[str]:
        """Headings say how many rows of their group are shown; a group without any has none."""
        title = self.titles[self.grouped] if self.grouped is not None and self.grouped < len(self.titles) else ""
        counts: dict[str, int] = {}
        heading = ""
        for key in shown:
            heading = key if key.startswith(HEADING) else heading
            counts[heading] = counts.get(heading, -1) + 1
        for key, count in counts.items():
            name = key.removeprefix(HEADING) or "none"
            self._cells[key] = Wide([" ", (f"{title.lower()} ", "muted"), (name, "title"), (f"  {count}", "muted")])
        return [key for key in shown if counts.get(key, 1)]
