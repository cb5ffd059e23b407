"""What differs between two views of the same thing, value by value, in words a person can follow. Pure.

Rows of a list are told apart by what names them (a robot, a step's path and visit, a person), so that a row that is new
does not make all rows after it differ. What only says when the picture was taken is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.contract.history import Difference

Json = Any
MOST = 400
"""Differences that are listed; beyond that it is another thing, not a changed one."""
LONG = 2_000
"""Characters of a value that are given."""
_NAMING = ("id", "robot", "path", "signal", "name", "person", "stage", "label", "clock", "step", "digest", "what", "at")
_SILENT = frozenset({"as_of", "version", "rev", "row", "updated_at", "left_s", "verbs", "mine", "graph", "estimate_s"})
"""Fields that differ because time went on, or that say what may be done and not what is."""


def differences(before: Json, after: Json) -> tuple[tuple[Difference, ...], bool]:
    """What differs, and whether there is more than is listed."""
    found: list[Difference] = []
    for one in _compare((), before, after):
        if len(found) == MOST:
            return tuple(found), True
        found.append(one)
    return tuple(found), False


def _compare(path: tuple[str, ...], before: Json, after: Json) -> Iterator[Difference]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in [*before, *[name for name in after if name not in before]]:
            if name not in _SILENT:
                yield from _compare((*path, str(name)), before.get(name), after.get(name))
    elif _rows(before) and _rows(after) and (before or after):
        yield from _compare_rows(path, before, after)
    elif (_number(before) and after is None) or (
        _number(after) and before is None
    ):  # a number that is nought is left out
        yield _difference(path, "changed", before or 0, after or 0)
    elif _empty(before):
        yield _difference(path, "added", None, after)
    elif _empty(after):
        yield _difference(path, "gone", before, None)
    else:
        yield _difference(path, "changed", before, after)


def _compare_rows(
    path: tuple[str, ...], before: Sequence[Mapping[str, Json]], after: Sequence[Mapping[str, Json]]
) -> Iterator[Difference]:
    old, new = _named(before), _named(after)
    for name, row in old.items():
        if name in new:
            yield from _compare((*path, name), row, new[name])
        else:
            yield _difference((*path, name), "gone", row, None)
    for name, row in new.items():
        if name not in old:
            yield _difference((*path, name), "added", None, row)


def _named(rows: Sequence[Mapping[str, Json]]) -> dict[str, Mapping[str, Json]]:
    """Rows by what names them; the second of a name gets its number, as visits of a step do."""
    found: dict[str, Mapping[str, Json]] = {}
    for row in rows:
        key = next((str(row[name]) for name in _NAMING if row.get(name) not in (None, "")), "row")
        name, number = key, 1
        while name in found:
            number += 1
            name = f"{key} ({number})"
        found[name] = row
    return found


def _rows(value: Json) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value)


def _number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _empty(value: Json) -> bool:
    return value is None or value in ("", [], (), {})


def _difference(path: tuple[str, ...], word: str, before: Json, after: Json) -> Difference:
    said = " \u203a ".join(part.replace("_", " ") for part in path)
    return Difference(path=said or "all of it", word=word, before=_short(before), after=_short(after))


def _short(value: Json) -> Json:
    if isinstance(value, str):
        return value if len(value) <= LONG else value[: LONG - 1] + "\u2026"
    if isinstance(value, list | tuple) and len(value) > 50:
        return [*value[:50], f"\u2026 {len(value) - 50} more"]
    return value
