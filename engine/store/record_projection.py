"""The rows of records, from their `RecordChanged` events alone: what was set is laid over what stood there.

The event holds what changed, not the whole record, so a change costs what it changes; the whole stands in the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from engine.store.records import Cursor, Recorded

Json = Any
CHANGED = "RecordChanged"
_CHANGE = "insert or ignore into record_changes (kind, id, rev, seq, run) values (?, ?, ?, ?, ?)"


class RecordProjector:
    """Passed to the host, which calls it inside the writer's transaction. `tables` maps a kind to its table."""

    wants = frozenset({CHANGED})

    def __init__(self, tables: Mapping[str, str]) -> None:
        self._table = dict(tables)
        self.tables: tuple[str, ...] = (*self._table.values(), "record_changes")
        self._columns: dict[str, dict[str, Json]] = {}

    def apply(self, rows: list[Recorded], connection: Cursor) -> None:
        held: dict[tuple[str, str], dict[str, Json]] = {}
        for row in rows:
            change = msgspec.json.decode(row.data)
            kind, id_ = change["kind"], change["id"]
            if kind not in self._table:
                continue  # of a subject that is no longer installed: the event stays, nobody shows it
            record = held.get((kind, id_))
            if record is None:
                record = held[kind, id_] = self._stored(connection, kind, id_)
            lay_over(record, change, at=row.at, by=row.actor.id)
            record[""] = row.seq
            connection.execute(_CHANGE, (kind, id_, change["rev"], row.seq, change.get("run", "")))
        for (kind, _), record in held.items():
            self._write(connection, kind, record)

    def _stored(self, connection: Cursor, kind: str, id_: str) -> dict[str, Json]:
        found = connection.execute(f"select data from {self._table[kind]} where id = ?", (id_,)).fetchone()
        return msgspec.json.decode(found[0]) if found else {}

    def _write(self, connection: Cursor, kind: str, record: dict[str, Json]) -> None:
        table, seq = self._table[kind], record.pop("")
        columns = self._columns.get(kind)
        if columns is None:
            columns = self._columns[kind] = columns_of(connection, table)
        values = [
            seq
            if name == "seq"
            else msgspec.json.encode(record)
            if name == "data"
            else _plain(record.get(name, nothing))
            for name, nothing in columns.items()
        ]
        marks, names = ", ".join("?" * len(columns)), ", ".join(f'"{name}"' for name in columns)
        connection.execute(f"insert or replace into {table} ({names}) values ({marks})", tuple(values))


def lay_over(record: dict[str, Json], change: Mapping[str, Json], *, at: float, by: str) -> None:
    """Makes the record what it is after the change."""
    record.update(change.get("set") or {})
    if not record.get("rev"):
        record.update(kind=change["kind"], id=change["id"], created_at=at, created_by=by)
    record.update(rev=change["rev"], state=change["to"], updated_at=at)
    if change.get("run") and not record.get("run"):
        record["run"] = change["run"]


def columns_of(connection: Cursor, table: str) -> dict[str, Json]:
    """The columns of a table in its order, each with what stands there when the record says nothing."""
    connection.execute(f"pragma table_info({table})")
    numbers = ("INT", "FLOAT", "BOOL", "REAL", "NUM")
    return {row[1]: 0 if str(row[2]).upper().startswith(numbers) else "" for row in connection.fetchall()}


def _plain(value: Json) -> Json:
    """A field as a column holds it."""
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, str | int | float):
        return "" if value is None else value
    return msgspec.json.encode(value).decode()
