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


def cloud_event(record: Recorded, event: e.Emitted) -> dict[str, Any]:
    """Receivers tell repeats apart by `source` + `id`."""
    body: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"{record.run}/{record.n}",
        "source": f"/quarterdeck/runs/{record.run}",
        "type": event.event,
        "time": datetime.fromtimestamp(record.at, UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": event.data,
    }
    if event.subject:
        body["subject"] = event.subject
    return body


class OutboxProjector:
    """Keeps `outbox`."""

    tables: tuple[str, ...] = ("outbox",)
    wants = frozenset({"Emitted"})

    def apply(self, rows: list[Recorded], connection: Cursor) -> None:
        out = []
        for record in rows:
            event = record.event
            if isinstance(event, e.Emitted):
                out.append(
                    (record.seq, record.run, event.event, msgspec.json.encode(cloud_event(record, event)), False)
                )
        connection.executemany(sql.OUTBOX, out)
