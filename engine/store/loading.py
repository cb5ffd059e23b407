"""Reading the truth back: a run's state from its snapshot and the events after it, and what a restarted host needs.

All reads go over a read-only connection of the caller's. A snapshot is a cache: one that is missing, damaged or of
another core is left out and the events are folded from the first one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union

import msgspec
from msgspec import Struct

from engine.core import state as core_state
from engine.core.apply import fold
from engine.core.definition import Definition
from engine.core.events import EVENTS, Event
from engine.core.state import State, StateMismatch
from engine.store import chain
from engine.store.errors import StoreCorrupt, StoreTooNew
from engine.store.writer import VERSION

CORE = str(core_state.CORE_VERSION)
"""What snapshots are stamped with."""

_event_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
    Union[tuple(EVENTS.values())]  # noqa: UP007 - made from a table
)
_definition_decoder = msgspec.json.Decoder(Definition)

MOVING = ("running", "compensating", "cancelling", "suspended")
"""Statuses of runs that may have something in flight. A `waiting` run needs no one to act after a restart: timers,
votes and events find it by tables.
"""


class Loaded(Struct):
    """A run as it stands in the file."""

    run: str
    number: int
    digest: str
    attributes: str
    state: State
    snapshot_n: int


class TimerDue(Struct, frozen=True):
    """A durable timer."""

    run: str
    scope: str
    step: str
    fence: int
    purpose: str
    due: float


def decode_event(data: bytes, version: int = VERSION) -> Event:
    """The event of a stored payload. Raises StoreTooNew for a version this engine does not know: a run of the future
    is not read half.
    """
    if version > VERSION:
        raise StoreTooNew(f"an event of version {version} was met; this engine knows {VERSION}")
    event: Event = _event_decoder.decode(data)
    return event


class Loader:
    """Reads for one thread, over one read-only connection."""

    def __init__(self, path: Path) -> None:
        self._database = chain.connect(path)
        self._database.execute("pragma query_only = on")
        self._definitions: dict[str, Definition] = {}

    def close(self) -> None:
        self._database.close()

    def rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        return self._database.execute(sql, parameters).fetchall()

    def definition(self, digest: str) -> Definition | None:
        """A registered definition, by digest; kept."""
        found = self._definitions.get(digest)
        if found is None:
            row = self._database.execute("select doc from definitions where digest = ?", (digest,)).fetchone()
            if row is None:
                return None
            found = self._definitions[digest] = _definition_decoder.decode(row[0])
        return found

    def newest(self, workflow: str) -> Definition | None:
        """The newest registered definition of a workflow."""
        row = self._database.execute(
            "select digest from definitions where workflow = ? order by version desc, registered_at desc limit 1",
            (workflow,),
        ).fetchone()
        return self.definition(row[0]) if row else None

    def workflows(self) -> list[str]:
        return [row[0] for row in self.rows("select distinct workflow from definitions order by workflow")]

    def events(self, run: str, after: int = 0, upto: int | None = None) -> Iterator[Event]:
        """The events of a run in order. Raises StoreCorrupt when one was redacted that the state depends on."""
        query = (
            "select e.n, e.v, coalesce(e.data, b.data) from events e left join blobs b on e.data is null and "
            "b.digest = e.digest where e.run = ? and e.n > ? and e.n <= ? order by e.n"
        )
        limit = upto if upto is not None else 1 << 62
        for n, version, data in self._database.execute(query, (run, after, limit)):
            if data is None:
                raise StoreCorrupt(f"event {n} of {run} was redacted: its state can't be folded past it")
            yield decode_event(data, version)

    def load(self, run: str) -> Loaded | None:
        """A run's state as committed; None when there is no such run."""
        row = self._database.execute(
            "select r.number, r.digest, r.attributes, r.n, s.n, s.core, s.state from runs r "
            "left join snapshots s on s.run = r.id where r.id = ?",
            (run,),
        ).fetchone()
        return self._state(run, row) if row else None

    def _state(self, run: str, row: Any) -> Loaded:
        number, digest, attributes, n, snapshot_n, core, blob = row
        state: State | None = None
        if blob is not None and core == CORE and snapshot_n <= n:
            try:
                state = core_state.decode(blob)
            except StateMismatch:
                state = None
        if state is None or state.n != snapshot_n:
            state, snapshot_n = None, 0
        if state is None or state.n < n:
            state = fold(run, self.events(run, state.n if state else 0), state)
        return Loaded(run, number, digest, attributes, state, snapshot_n)

    def state_at(self, run: str, n: int) -> State:
        """The state after event `n` of the run, folded from the first: time travel."""
        return fold(run, self.events(run, 0, n))

    def moving(self) -> Iterator[Loaded]:
        """Every run that a restarted host has to set going again, with the runs that queue for a lock."""
        marks = ",".join("?" * len(MOVING))
        rows = self._database.execute(
            "select r.number, r.digest, r.attributes, r.n, s.n, s.core, s.state, r.id from runs r "
            f"left join snapshots s on s.run = r.id where r.status in ({marks}) "
            "or r.id in (select run from locks where held = 0) order by r.number",
            MOVING,
        )
        for row in rows.fetchall():
            yield self._state(row[7], row[:7])

    def timers(self, until: float, limit: int = 100_000) -> list[TimerDue]:
        """Timers due up to then, soonest first."""
        rows = self._database.execute(
            "select run, scope, step, fence, purpose, due from timers where due <= ? order by due limit ?",
            (until, limit),
        )
        return [TimerDue(*row) for row in rows]

    def timers_of(self, run: str) -> list[TimerDue]:
        rows = self._database.execute("select run, scope, step, fence, purpose, due from timers where run = ?", (run,))
        return [TimerDue(*row) for row in rows]

    def waiting_for(self, event: str) -> list[tuple[str, str]]:
        """Runs that would take this event: (run, correlate)."""
        rows = self._database.execute("select distinct run, correlate from waits where event = ?", (event,))
        return [(row[0], row[1]) for row in rows]

    def answer(self, command: str) -> bytes | None:
        """The stored answer of a command."""
        row = self._database.execute("select answer from commands where id = ?", (command,)).fetchone()
        return row[0] if row else None

    def seen(self, source: str, id_: str) -> bool:
        """Whether this outside event was taken in before."""
        row = self._database.execute("select 1 from inbox where source = ? and id = ?", (source, id_)).fetchone()
        return row is not None

    def undelivered(self) -> list[int]:
        """Events for the outside that were not seen to yet, by their sequence."""
        return [row[0] for row in self.rows("select seq from outbox where delivered = 0 order by seq")]

    def told(self, seq: int) -> tuple[str, bytes] | None:
        """The run that told an event, and the event as it was told."""
        rows = self.rows("select run, body from outbox where seq = ?", (seq,))
        return (rows[0][0], rows[0][1]) if rows else None

    def depth(self, seq: int) -> int:
        """How long the chain of causes of an event is, itself included."""
        row = self._database.execute("select depth from event_threads where seq = ?", (seq,)).fetchone()
        return int(row[0]) if row else 1

    def locks(self) -> list[tuple[str, str, bool]]:
        """(key, run, held) in the order of asking."""
        return [(row[0], row[1], bool(row[2])) for row in self.rows("select key, run, held from locks order by seq")]

    def installation(self) -> str:
        """What tells this history from every other one: the beginning of its first event's hash; empty before there is one."""
        first = chain.hash_at(self._database, 1)
        return first.hex()[:12] if first else ""

    def last_number(self) -> int:
        row = self._database.execute("select max(number) from runs").fetchone()
        return int(row[0] or 0)

    def ended(self, run: str) -> tuple[str, State] | None:
        """Status and state of a run that is over; None while it is open or unknown."""
        loaded = self.load(run)
        return None if loaded is None or loaded.state.open else (loaded.state.status, loaded.state)
