"""Evidence of a gate as lines: tables where it holds rows, pairs where it holds fields, whatever a workflow put there.

Pure, and bounded: evidence comes from workflows and remote systems, so its size and its text are not trusted. Lines that
differ from what was shown before are marked, so that changed evidence shows what changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from screens import evidence_health, figures, layout
from screens.layout import Line
from screens.widgets.clean import clean
from screens.widgets.parts import Part, plain

ROWS = 40
COLUMNS = 8
DEPTH = 4
MANY = 12
"""Fields beyond this many run on in lines instead of standing one below the other."""
EPOCH = 1_000_000_000.0


def lines(evidence: Any, now: float, cells: int) -> list[Line]:
    """All of it, fields first, then tables."""
    if evidence in (None, {}, [], ()):
        return [[("The workflow gave no evidence with this question.", "caution")]]
    return _value(evidence, now, cells, 0)


def marked(fresh: Sequence[Line], before: Sequence[Line]) -> list[Line]:
    """`fresh` with a `~` before each line that did not stand in `before`, and a count of lines that are gone."""
    old = {plain(line) for line in before}
    new = {plain(line) for line in fresh}
    out: list[Line] = [
        [("~ ", "caution"), *line] if plain(line).strip() not in ("",) and plain(line) not in old else ["  ", *line]
        for line in fresh
    ]
    gone = [line for line in before if plain(line) not in new and plain(line).strip()]
    for line in gone[:5]:
        out.append([("- ", "muted"), (plain(line), "muted")])
    return out


def _value(value: Any, now: float, cells: int, depth: int) -> list[Line]:
    if evidence_health.is_health(value):
        return _health(value, now, cells, depth)
    if evidence_health.is_counts(value):
        return [[" " * (2 * depth), *evidence_health.counts(value, cells - 2 * depth)]]
    if isinstance(value, Mapping):
        return _fields(value, now, cells, depth)
    if _is_rows(value):
        return _rows(value, now, cells, depth)
    return [[" " * (2 * depth), scalar("", value, now)]]


def _fields(fields: Mapping[str, Any], now: float, cells: int, depth: int) -> list[Line]:
    simple = [(str(name), value) for name, value in fields.items() if not _is_nested(value)]
    nested = [(str(name), value) for name, value in fields.items() if _is_nested(value)]
    out = layout.pairs([(_words(name), scalar(name, value, now)) for name, value in simple], cells, indent=2 * depth)
    for name, value in nested:
        if depth >= DEPTH:
            out.append([" " * (2 * depth), (_words(name), "muted"), "  ", clean(value, 120)])
            continue
        note: Part = (f"{len(value)} rows", "muted") if not isinstance(value, Mapping) else ""
        if isinstance(value, Mapping) and len(value) > MANY and not any(map(_is_nested, value.values())):
            joined = ", ".join(
                f"{_words(str(key))} {plain(scalar(str(key), item, now, brief=True))}" for key, item in value.items()
            )
            out.append([" " * (2 * depth), (_words(name), "muted"), "  ", clean(joined, 1_500)])
            continue
        out.append([" " * (2 * depth), *layout.heading(_words(name), note)])
        out += _value(value, now, cells, depth + 1)
    return out


def _health(sample: Mapping[str, Any], now: float, cells: int, depth: int) -> list[Line]:
    """A health sample as the rollout screen shows one, then the fields it does not speak for."""
    indent = " " * (2 * depth)
    out: list[Line] = [[indent, *line] for line in evidence_health.lines(sample, now, cells - 2 * depth)]
    rest = {name: value for name, value in sample.items() if name not in evidence_health.SHOWN}
    return out + (_fields(rest, now, cells, depth) if rest else [])


def _rows(rows: Sequence[Mapping[str, Any]], now: float, cells: int, depth: int) -> list[Line]:
    names: list[str] = []
    for row in rows[:ROWS]:
        names += [name for name in row if name not in names]
    names = layout.named_first(names)
    shown = names[:COLUMNS]
    body = [[scalar(name, row.get(name), now, brief=True) for name in shown] for row in rows[:ROWS]]
    right = frozenset(
        i
        for i, name in enumerate(shown)
        if all(
            isinstance(row.get(name), int | float | None) and not isinstance(row.get(name), bool) for row in rows[:ROWS]
        )
    )
    out = layout.table(body, cells, head=[_words(name) for name in shown], right=right, indent=2 * depth)
    if len(rows) > ROWS:
        out.append([(" " * (2 * depth) + f"\u2026 {len(rows) - ROWS} more rows: the command line shows all", "muted")])
    if len(names) > COLUMNS:
        out.append([(" " * (2 * depth) + f"\u2026 columns left out: {', '.join(names[COLUMNS:][:8])}", "muted")])
    return out


def scalar(name: str, value: Any, now: float, *, brief: bool = False) -> Part:
    """One value: digests shortened, times of day, yes and no as words, lists joined."""
    if value is None or value == "":
        return ("\u2014", "muted")
    if value is True:
        return "yes"
    if value is False:
        return ("no", "caution") if name in ("compatible", "feasible", "ok", "rollback_feasible") else "no"
    if isinstance(value, int | float):
        if value > EPOCH and (name.endswith(("_at", "until", "_on", "time")) or name in ("at", "t")):
            return figures.clock(float(value), now)
        if isinstance(value, float):
            return figures.number(value)
        return str(value)
    if isinstance(value, str):
        if len(value) >= 40 and all(character in "0123456789abcdef" for character in value.rpartition(":")[2]):
            return figures.short(value)
        return _toned(clean(value, 60 if brief else 400))
    if isinstance(value, Mapping):
        return clean(
            ", ".join(f"{_words(str(key))} {plain(scalar(str(key), item, now))}" for key, item in value.items()), 200
        )
    items = [_item(name, item, now) for item in list(value)[:12]]
    more = f", \u2026 {len(value) - 12} more" if len(value) > 12 else ""
    return ", ".join(items) + more if items else ("none", "muted")


def _item(name: str, value: Any, now: float) -> str:
    if isinstance(value, list | tuple):  # pairs, as look-alikes come
        return " / ".join(plain(scalar(name, part, now, brief=True)) for part in value[:6])
    return plain(scalar(name, value, now, brief=True))


def _toned(text: str) -> Part:
    """Verdict words keep their meaning wherever they stand."""
    for word, tone in (("FAIL", "alarm"), ("INCONCLUSIVE", "caution"), ("PASS", "good")):
        if text.startswith(word) and not text[len(word) :][:1].isalpha():
            return (text, tone)
    return text


def _is_rows(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _is_nested(value: Any) -> bool:
    return _is_rows(value) or (isinstance(value, Mapping) and bool(value))


def _words(name: str) -> str:
    return clean(name, 40).replace("_", " ")
