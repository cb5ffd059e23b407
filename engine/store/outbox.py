"""Events for the outside, written as CloudEvents 1.0 in the transaction of the fact they are derived from, so that a
crash between the commit and the telling loses none.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from engine.core import events as e
from engine.store import statements as sql
from engine.store.records import Cursor, Recorded


def cloud_event(record: Recorded) -> dict[str, Any]:
    """Receivers tell repeats apart by `source` + `id`. What came from outside keeps its own."""
    event = record.event
    if isinstance(event, e.Emitted):
        name, data, subject = event.event, event.data, event.subject
        id_, source = f"{record.run}/{record.n}", f"/quarterdeck/runs/{record.run}"
    else:
        told = msgspec.json.decode(record.data)
        name, data, subject = told["event"], told["data"], told.get("subject")
        id_, source = told["id"], told["source"]
    body: dict[str, Any] = {
        "specversion": "1.0",
        "id": id_,
        "source": source,
        "type": name,
        "time": datetime.fromtimestamp(record.at, UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": data,
        "actor": record.actor.id if record.event is None else f"run:{record.run}",
    }
    if subject:
        body["subject"] = subject
    return body


class OutboxProjector:
    """Keeps `outbox`."""

    tables: tuple[str, ...] = ("outbox",)
    wants = frozenset({"Emitted", "EventPublished"})

    def apply(self, rows: list[Recorded], connection: Cursor) -> None:
        out = []
        for record in rows:
            body = cloud_event(record)
            out.append((record.seq, record.run, body["type"], msgspec.json.encode(body), False))
        connection.executemany(sql.OUTBOX, out)
