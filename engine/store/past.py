"""One run as it was at an event: its projections folded anew, and read by the same queries that show it today.

There is no second account of what a run looks like. Its events are folded by the projectors that keep the tables, into
a scratch database that stands in front of the file: a table that is rebuilt hides the file's, everything else (events,
definitions) is read through. Every `SPACING` events the scratch database is kept as a checkpoint, so that a step back
costs a few events and not the run's whole history; the first look at a moment costs the events up to it.
"""

from __future__ import annotations

import sqlite3
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from engine.core import state as core_state
from engine.core.apply import apply
from engine.core.state import State
from engine.store.errors import StoreCorrupt
from engine.store.gate_projection import GateProjector
from engine.store.lines import awaited, run_line
from engine.store.loading import CORE, Loaded, Loader, decode_event
from engine.store.projections import Rows
from engine.store.reading import Reading
from engine.store.records import Commit, Projector, Recorded, actor_of

SPACING = 256
"""Events between two checkpoints: what a step back costs at most."""
CHECKPOINTS = 64
"""Per run. A run longer than these hold keeps every second one."""
RUNS_HELD = 4
"""Runs whose checkpoints are kept: what a few people look back at side by side."""

REBUILT = ("runs", "steps", "gates", "timers", "waits", "locks", "snapshots", "rollouts", "cohorts", "robot_updates")
"""Tables the projectors write. Their rows of today must not be seen from the past."""
_EVENTS = (
    "select e.seq, e.n, e.type, e.v, e.at, e.actor, e.cause, coalesce(e.data, b.data) from past.events e "
    "left join past.blobs b on e.data is null and b.digest = e.digest where e.run = ? and e.n > ? and e.n <= ? order by e.n"
)
_HOLDS = (
    "insert into temp.holds select h.id, h.robot, (select json_extract(coalesce(e.data, b.data), '$.to') "
    "from past.record_changes c join past.events e on e.seq = c.seq "
    "left join past.blobs b on e.data is null and b.digest = e.digest "
    "where c.kind = 'hold' and c.id = h.id and c.seq <= ? order by c.rev desc limit 1) "
    "from past.holds h where h.robot in (select robot from robot_updates)"
)


class Moment(NamedTuple):
    """Where a view of the past stands: the event, and the engine's time when it was recorded."""

    seq: int
    n: int
    at: float


class _Checkpoint(NamedTuple):
    moment: Moment
    state: bytes
    tables: bytes


class _PastLoader(Loader):
    """Gives the state that was folded, not the one that is newest in the file."""

    def __init__(self, database: sqlite3.Connection, loaded: Callable[[str], Loaded | None]) -> None:
        self._database, self._definitions = database, {}
        self._loaded = loaded

    def load(self, run: str) -> Loaded | None:
        return self._loaded(run)


class PastReading(Reading):
    """What queries run on instead of the file. Valid inside `Past.at` alone."""

    def __init__(self, path: Path, database: sqlite3.Connection, loader: Loader) -> None:
        super().__init__(path)
        self._database, self._past_loader = database, loader

    @property
    def connection(self) -> sqlite3.Connection:
        return self._database

    @property
    def loader(self) -> Loader:
        return self._past_loader


class Past:
    """`projectors` are those of the host that keep tables from a run's events, beside the built-in ones."""

    def __init__(self, path: Path, projectors: Sequence[Projector] = ()) -> None:
        self._path, self._projectors = Path(path), (GateProjector(), *projectors)
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, _Folding] = OrderedDict()

    @contextmanager
    def at(self, run: str, seq: int) -> Iterator[tuple[PastReading, Moment]]:
        """The run as it was after the newest of its events up to `seq`.

        Raises KeyError when there is no such run, or it had not begun by then; StoreCorrupt when an event that is
        needed was redacted.
        """
        with self._lock:
            folding = self._runs.pop(run, None)
            if folding is None:
                folding = _Folding(self._path, run, self._projectors)
            self._runs[run] = folding
            while len(self._runs) > RUNS_HELD:
                self._runs.popitem(last=False)[1].close()
            yield folding.go_to(seq)

    def close(self) -> None:
        with self._lock:
            while self._runs:
                self._runs.popitem()[1].close()


class _Folding:
    """One run's scratch database, and where in its history it stands."""

    def __init__(self, path: Path, run: str, projectors: Sequence[Projector]) -> None:
        self.run, self._projectors = run, projectors
        self._database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, uri=True)
        try:
            self._database.execute("attach database ? as past", (f"file:{path.absolute()}?mode=ro",))
            row = self._database.execute("select number, attributes from past.runs where id = ?", (run,)).fetchone()
            if row is None:
                raise KeyError(run)
            self._number, self._attributes = int(row[0]), str(row[1])
            self._create()
        except BaseException:
            self._database.close()
            raise
        self._loader = _PastLoader(self._database, self._loaded)
        self.reading = PastReading(path, self._database, self._loader)
        self._moment, self._state = Moment(0, 0, 0.0), State.new(run)
        self._kept = [_Checkpoint(self._moment, core_state.encode(self._state), self._database.serialize())]

    def close(self) -> None:
        self._database.close()

    def _create(self) -> None:
        """Empty tables as the file has them. Who a robot is comes from the mirror of today; what held it, from then."""
        marks = ",".join("?" * len(REBUILT))
        for (sql,) in self._database.execute(
            f"select sql from past.sqlite_master where tbl_name in ({marks}) and sql is not null order by type desc",
            REBUILT,
        ).fetchall():
            self._database.execute(sql)
        self._database.execute("create temp table robots as select * from past.robots where 0")
        self._database.execute("create temp table holds (id, robot, state)")

    # -- moving -----------------------------------------------------------------------------------------------------

    def go_to(self, seq: int) -> tuple[PastReading, Moment]:
        row = self._database.execute(
            "select seq, n, at from past.events where run = ? and seq <= ? order by seq desc limit 1", (self.run, seq)
        ).fetchone()
        if row is None:
            raise KeyError(self.run)
        wanted = Moment(int(row[0]), int(row[1]), row[2] / 1e6)
        if wanted.n != self._moment.n:
            near = self._kept[bisect_right([one.moment.n for one in self._kept], wanted.n) - 1]
            if wanted.n < self._moment.n or near.moment.n > self._moment.n:
                self._back_to(near)
            self._forward(wanted)
            self._finish(wanted)
        return self.reading, wanted

    def _back_to(self, checkpoint: _Checkpoint) -> None:
        self._database.deserialize(checkpoint.tables)
        self._state, self._moment = core_state.decode(checkpoint.state), checkpoint.moment

    def _forward(self, wanted: Moment) -> None:
        while self._moment.n < wanted.n:
            self._database.execute("begin")
            try:
                self._fold(min(wanted.n, (self._moment.n // SPACING + 1) * SPACING))
                self._database.execute("commit")
            except BaseException:
                self._database.execute("rollback")
                self._back_to(self._kept[0])  # the state went on while the tables did not: from the beginning
                raise
            if self._moment.n % SPACING == 0 and self._moment.n > self._kept[-1].moment.n:
                self._keep()

    def _keep(self) -> None:
        self._kept.append(_Checkpoint(self._moment, core_state.encode(self._state), self._database.serialize()))
        if len(self._kept) > CHECKPOINTS:
            del self._kept[1::2]

    def _fold(self, upto: int) -> None:
        """The events up to that number, in one batch, as the writer takes them."""
        rows, cursor = Rows(), self._database.cursor()
        recorded: list[Recorded] = []
        for seq, n, type_, version, at, actor, cause, data in self._database.execute(
            _EVENTS, (self.run, self._moment.n, upto)
        ).fetchall():
            if data is None:
                raise StoreCorrupt(f"event {n} of {self.run} was redacted: what followed can't be shown as it was")
            event, who = decode_event(data, version), actor_of(actor)
            apply(self._state, event)
            commit = Commit(
                run=self.run, before=n - 1, events=[event], data=[data], at=at, actor=who, cause=cause, done=_nobody
            )
            commit.first = seq
            rows.take(commit, CORE)
            recorded.append(Recorded(seq, self.run, n, type_, at / 1e6, who, cause, data, event, self._state.workflow))
            self._moment = Moment(seq, n, at / 1e6)
        rows.write(cursor)
        for projector in self._projectors:
            wanted = [one for one in recorded if one.type in projector.wants]
            if wanted:
                projector.apply(wanted, cursor)

    def _mirror(self, seq: int) -> None:
        """The robots of a rollout as the mirror has them, and the holds that they were under then."""
        if not self._database.execute("select 1 from robot_updates limit 1").fetchone():
            return
        if not self._database.execute("select 1 from temp.robots limit 1").fetchone():
            self._database.execute(
                "insert into temp.robots select * from past.robots where id in (select robot from robot_updates)"
            )
            self._database.execute("update temp.robots set hold = ''")
        self._database.execute("delete from temp.holds")
        self._database.execute(_HOLDS, (seq,))

    def _finish(self, wanted: Moment) -> None:
        """What is computed from the state a moment leads to: the run's line, and what it listens for."""
        definition = self._loader.definition(self._state.digest)
        self._database.execute("delete from runs")
        self._database.execute("delete from waits")
        if definition is not None:
            line = run_line(self._number, self._state, definition, wanted.at, self._attributes)
            self._database.execute(
                "insert into runs (number, id, workflow, digest, title, status, n, seq, started_at, updated_at, ended_at, "
                "ending, waiting_on, step, started_by, gates, attention, parent, attributes) "
                f"values ({','.join('?' * 19)})",
                (
                    *(line.number, self.run, line.workflow, line.digest, line.title, line.status, wanted.n, wanted.seq),
                    *(line.started_at, line.updated_at, line.ended_at, line.ending, line.waiting_on, line.step),
                    *(line.started_by, line.gates, line.attention, line.parent, line.attributes),
                ),
            )
            self._database.executemany(
                "insert or ignore into waits (run, path, event, correlate) values (?, ?, ?, ?)",
                [(self.run, *one) for one in awaited(self._state, definition)],
            )
        self._mirror(wanted.seq)

    def _loaded(self, run: str) -> Loaded | None:
        if run != self.run:
            return None
        return Loaded(run, self._number, self._state.digest, self._attributes, self._state, self._moment.n)


def _nobody(commit: Commit, error: BaseException | None) -> None:
    """Nobody waits for a commit that is only folded again."""


def record_at(reading: Reading, kind: str, id_: str, seq: int) -> dict[str, Any] | None:
    """A record as it was after event `seq`, from its changes alone; None when it was not there yet.

    Raises StoreCorrupt when one of its changes was redacted.
    """
    from engine.store.record_projection import lay_over

    record: dict[str, Any] = {}
    for at, actor, data in reading.all(
        "select e.at, e.actor, coalesce(e.data, b.data) from record_changes c join events e on e.seq = c.seq "
        "left join blobs b on e.data is null and b.digest = e.digest "
        "where c.kind = ? and c.id = ? and c.seq <= ? order by c.rev",
        (kind, id_, seq),
    ):
        if data is None:
            raise StoreCorrupt(f"a change of {id_} was redacted: it can't be shown as it was")
        lay_over(record, msgspec.json.decode(data), at=at / 1e6, by=actor_of(actor).id)
    return record or None
