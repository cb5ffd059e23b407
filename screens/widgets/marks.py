"""Rows a person picked out, to do one thing to all of them; and cells that changed a moment ago. Both without a widget.

A mark is a key: it stays on its row wherever that goes, also while a filter hides it; who acts on marks names every one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

GLOW_S = 1.2
"""How long a changed cell is shown as changed: long enough to be seen by an eye that has to move there."""
GLOWS = 12
"""More than so many at once point at nothing, and cost the line twice: the rest change without a glow."""


class Marks:
    """The marked keys, in the order in which they were marked."""

    def __init__(self) -> None:
        self._keys: dict[str, None] = {}
        self._last = ""

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self._keys)

    def toggle(self, key: str) -> None:
        if key in self._keys:
            del self._keys[key]
            self._last = ""
        else:
            self._keys[key] = None
            self._last = key

    @property
    def last(self) -> str:
        """Where a range begins: the row marked last."""
        return self._last

    def add(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._keys[key] = None
            self._last = key

    def all_or_none(self, keys: Sequence[str]) -> None:
        """All of these, or none at all when they are marked already."""
        if all(key in self._keys for key in keys):
            self.clear()
        else:
            self.add(keys)

    def drop(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._keys.pop(key, None)

    def clear(self) -> None:
        self._keys.clear()
        self._last = ""


class Glows:
    """Cells (key, column) with the time at which they stop being news."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, int], float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def on(self, key: str, column: int) -> bool:
        return bool(self._until) and (key, column) in self._until

    def add(self, key: str, column: int, now: float) -> None:
        if len(self._until) < GLOWS or (key, column) in self._until:
            self._until[key, column] = now + GLOW_S

    def over(self, now: float) -> set[str]:
        """The rows of which a cell stopped glowing."""
        ended = [cell for cell, until in self._until.items() if until <= now]
        for cell in ended:
            del self._until[cell]
        return {key for key, _ in ended}
