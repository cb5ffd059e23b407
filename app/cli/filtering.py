"""`--filter` for lists: the language of the console's `/`, over the fields of what is listed.

A field is called as in `--json`; `age` is how long ago something last changed. The rows that were asked for are
filtered, so `--limit` says how far back it looks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click
import msgspec

T = TypeVar("T")
HELP = "Only rows that fit, like in the console: 'status:waiting site:HAM2 age>2h -word \"two words\"'."
FILTER = click.option("--filter", "words", default="", metavar="TEXT", help=HELP)
_CHANGED = ("updated_at", "opened_at", "last_seen_at", "started_at", "created_at")


def narrowed(
    rows: Iterable[T], words: str, *, now: float = 0.0, inner: Callable[[T], Any] = lambda row: row
) -> tuple[T, ...]:
    """The rows that fit. `inner` is the record a row is about, when it is wrapped. A mistake ends with what is wrong."""
    every = tuple(rows)
    if not words.strip():
        return every
    from screens import query

    fields = [fields_of(row, inner(row), now or time.time()) for row in every]
    found = query.parse(words, tuple(dict.fromkeys(name for one in fields for name in one)) if fields else ())
    if isinstance(found, query.Wrong):
        raise click.UsageError(f"--filter {found.word}: {found.reason}")
    return tuple(row for row, one in zip(every, fields, strict=True) if found.matches(one))


def fields_of(row: Any, inner: Any, now: float) -> dict[str, str]:
    """The plain fields of a row by name, all of it under the empty name, and its age."""
    said: dict[str, str] = {}
    for one in (row,) if row is inner else (inner, row):
        for name in one.__struct_fields__ if isinstance(one, msgspec.Struct) else ():
            value = getattr(one, name)
            if isinstance(value, str | bool | int | float):
                said.setdefault(name, str(value).lower() if isinstance(value, bool) else str(value))
            elif isinstance(value, tuple | list) and all(isinstance(part, str) for part in value):
                said.setdefault(name, " ".join(value))
    said[""] = " ".join(said.values())
    changed = next((getattr(inner, name) for name in _CHANGED if getattr(inner, name, 0)), 0.0)
    if changed:
        said["age"] = f"{max(0.0, now - changed):.0f}s"
    return said
