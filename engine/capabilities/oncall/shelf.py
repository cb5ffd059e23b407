"""What the shift's reads build on: the engine's own projections, read-only, from whatever thread asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from engine.capabilities.entities import Catalogue
from engine.capabilities.record_reads import RecordReads
from engine.store.reading import Reading


class Shelf(Protocol):
    """The part of a read's look (`engine.capabilities.reads.Look`) that reports and watch lists need."""

    def get(self, kind: str, id: str) -> Any | None: ...
    def find(
        self,
        kind: str,
        *,
        state: str | Sequence[str] = (),
        where: Mapping[str, Any] | None = None,
        text: str = "",
        limit: int = 200,
        order: str = "-updated_at",
    ) -> list[Any]: ...
    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]: ...
    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Any: ...


class OwnShelf:
    """The same for who has no look: verbs at the desk. Call it in a thread."""

    def __init__(self, database: Path, catalogue: Catalogue) -> None:
        self._reads = RecordReads(Reading(database), catalogue)

    def get(self, kind: str, id: str) -> Any | None:
        return self._reads.get(kind, id)

    def find(
        self,
        kind: str,
        *,
        state: str | Sequence[str] = (),
        where: Mapping[str, Any] | None = None,
        text: str = "",
        limit: int = 200,
        order: str = "-updated_at",
    ) -> list[Any]:
        return self._reads.find(kind, state=state, where=where, text=text, limit=limit, order=order)

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self._reads.reading.all(sql, parameters)

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        return self._reads.reading.one(sql, parameters)


def head(shelf: Shelf) -> int:
    """The newest event."""
    return int(shelf.one("select coalesce(max(seq), 0) from events")[0])


def seq_at(shelf: Shelf, moment: float) -> int:
    """The last event up to a time. Events are in the order of their times, so it is found by halving, not by reading."""
    first = shelf.one("select min(seq), max(seq) from events")
    if first is None or first[0] is None:
        return 0
    low, high, wanted = int(first[0]) - 1, int(first[1]), round(moment * 1e6)
    while low < high:
        middle = (low + high + 1) // 2
        row = shelf.one("select seq, at from events where seq <= ? order by seq desc limit 1", (middle,))
        if row is not None and int(row[1]) <= wanted:
            low = middle
        else:
            high = middle - 1
    return low
