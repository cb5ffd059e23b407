"""Records as they are read: by the book before a change, by the door for screens. One connection per thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.capabilities.entities import Catalogue, Entity
from engine.contract.common import ActorView
from engine.contract.records import RecordEvent
from engine.store.reading import Reading
from engine.store.record_projection import columns_of
from engine.store.records import actor_of

Json = Any


class RecordReads:
    """`reading` is on the journal's file. Unknown kinds, columns and orders are ValueErrors that name what there is."""

    def __init__(self, reading: Reading, catalogue: Catalogue) -> None:
        self.reading, self.catalogue = reading, catalogue
        self._decoders = {entity.kind: msgspec.json.Decoder(entity.shape) for entity in catalogue}
        self._columns: dict[str, dict[str, Json]] = {}

    def entity(self, kind: str) -> Entity:
        found = self.catalogue.get(kind)
        if found is None:
            raise ValueError(
                f"kind: there are no records of kind {kind[:40]!r}; there are {', '.join(sorted(self.catalogue.by_kind))}"
            )
        return found

    def columns(self, kind: str) -> dict[str, Json]:
        """The columns one may filter and sort by."""
        known = self._columns.get(kind)
        if known is None:
            found = columns_of(self.reading.connection.cursor(), self.entity(kind).table)
            known = self._columns[kind] = {name: value for name, value in found.items() if name != "data"}
        return known

    def decode(self, kind: str, data: bytes) -> Any:
        return self._decoders[kind].decode(data)

    def get(self, kind: str, id_: str) -> Any | None:
        row = self.reading.one(f"select data from {self.entity(kind).table} where id = ?", (id_,))
        return None if row is None else self.decode(kind, row[0])

    def plain(self, kind: str, id_: str) -> dict[str, Json] | None:
        """The record as plain values."""
        row = self.reading.one(f"select data from {self.entity(kind).table} where id = ?", (id_,))
        return None if row is None else msgspec.json.decode(row[0])

    def find(
        self,
        kind: str,
        *,
        state: str | Sequence[str] = (),
        where: Mapping[str, Json] | None = None,
        text: str = "",
        limit: int = 200,
        order: str = "-updated_at",
    ) -> list[Any]:
        """Records that match; `order` is a column, with `-` in front for the largest first."""
        conditions, values = self._conditions(kind, state, where, text)
        column, down = order.lstrip("-"), order.startswith("-")
        if column not in self.columns(kind):
            raise ValueError(f"sort: {kind} has no column {column[:40]!r}; it has {', '.join(self.columns(kind))}")
        direction = "desc" if down else "asc"
        rows = self.reading.all(
            f'select data from {self.entity(kind).table}{conditions} order by "{column}" {direction}, seq {direction} limit ?',
            (*values, limit),
        )
        return [self.decode(kind, row[0]) for row in rows]

    def count(
        self, kind: str, *, state: str | Sequence[str] = (), where: Mapping[str, Json] | None = None, text: str = ""
    ) -> int:
        conditions, values = self._conditions(kind, state, where, text)
        return int(self.reading.one(f"select count(*) from {self.entity(kind).table}{conditions}", values)[0])

    def states(self, kind: str) -> dict[str, int]:
        """How many records stand in which state."""
        return dict(
            self.reading.all(f"select state, count(*) from {self.entity(kind).table} group by state order by state")
        )

    def history(self, kind: str, id_: str) -> list[RecordEvent]:
        """All changes of one record, oldest first. A redacted one shows that it was there."""
        rows = self.reading.all(
            "select e.seq, e.at, e.actor, e.cause, coalesce(e.data, b.data), c.rev from record_changes c join events e on e.seq = c.seq "
            "left join blobs b on e.data is null and b.digest = e.digest where c.kind = ? and c.id = ? order by c.rev",
            (kind, id_),
        )
        found = []
        for seq, at, actor_text, cause, data, rev in rows:
            change: dict[str, Json] = msgspec.json.decode(data) if data is not None else {"reason": "redacted"}
            actor = actor_of(actor_text)
            found.append(
                RecordEvent(
                    seq=seq,
                    at=at / 1e6,
                    actor=ActorView(kind=actor.kind, id=actor.id, via=actor.via, on_behalf_of=actor.on_behalf_of),
                    cause=cause,
                    rev=rev,
                    from_=change.get("from", ""),
                    to=change.get("to", ""),
                    set=change.get("set", {}),
                    reason=change.get("reason", ""),
                    run=change.get("run", ""),
                )
            )
        return found

    def newest_number(self, entity: Entity) -> int:
        """The highest number given to a record of this kind."""
        row = self.reading.one(
            f"select max(cast(substr(id, ?) as integer)) from {entity.table} where id like ?",
            (len(entity.prefix) + 2, f"{entity.prefix}-%"),
        )
        return int(row[0] or 0)

    def _conditions(
        self, kind: str, state: str | Sequence[str], where: Mapping[str, Json] | None, text: str
    ) -> tuple[str, tuple[Json, ...]]:
        parts: list[str] = []
        values: list[Json] = []
        states = (state,) if isinstance(state, str) and state else tuple(state or ())
        if states:
            parts.append(f"state in ({', '.join('?' * len(states))})")
            values += states
        for column, value in (where or {}).items():
            if column not in self.columns(kind):
                raise ValueError(f"where: {kind} has no column {column[:40]!r}; it has {', '.join(self.columns(kind))}")
            parts.append(f'"{column}" = ?')
            values.append(int(value) if isinstance(value, bool) else value)
        for word in text.lower().split()[:8]:
            parts.append("instr(lower(cast(data as text)), ?) > 0")
            values.append(word)
        return (" where " + " and ".join(parts) if parts else ""), tuple(values)
