"""Keeps the thread of causes (`event_threads`, `run_threads`, `run_groups`, `event_fates`), inside the writer's transaction.

Rules:
1. The cause of an event that a run emits is the event that moved the run last: the one that started it, or one it took
   since. A child's cause is its parent's. An event told with a record's change belongs to that record's run. What a run
   told itself, or people on its records, is no new cause for it: a case that is touched ten times is not ten deep.
2. An event from outside may name its cause (`qdcause`); one that nobody knows is none.
3. `depth` counts the different runs (and events from outside) that an event's causes lead through, itself included: what
   stops a circle of triggers. Two open runs that tell each other things are no deeper for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from engine.core import events as e
from engine.store.records import Cursor, Recorded

Json = Any
ROUTED = "EventRouted"
RECORDS = "/quarterdeck/records/"
LONGEST = 64

_THREAD = (
    "insert or ignore into event_threads (seq, key, event, source, subject, at, run, record, cause, depth, subject_n) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_RUN = (
    "insert into run_threads (run, cause, latest) values (?, ?, ?) "
    "on conflict (run) do update set latest = excluded.latest"
)
_GROUP = "insert or ignore into run_groups (workflow, name, run) values (?, ?, ?)"
_FATE = "insert or ignore into event_fates (seq, rule, event, outcome, run, key, reason, at) values (?, ?, ?, ?, ?, ?, ?, ?)"


class _Told(NamedTuple):
    """An event as it was told: what runs call it, its name, where it comes from."""

    key: str
    event: str
    source: str
    subject: str
    run: str = ""
    record: str = ""


class CausalityProjector:
    """Called by the writer with what it wants, in the order of the journal."""

    tables: tuple[str, ...] = ("event_threads", "run_threads", "run_groups", "event_fates")
    wants = frozenset({"RunStarted", "EventReceived", "Emitted", "EventPublished", ROUTED})

    def apply(self, rows: list[Recorded], connection: Cursor) -> None:
        for row in rows:
            _HANDLERS[row.type](row, connection)


def key_of(run: str, n: int) -> str:
    """How an event that a run emitted is called."""
    return f"{run}/{n}"


def _started(row: Recorded, db: Cursor) -> None:
    event = row.event
    if not isinstance(event, e.RunStarted):
        return
    group = event.attributes.get("correlate")
    if group is not None:
        name = group if isinstance(group, str) else msgspec.json.encode(group).decode()
        db.execute(_GROUP, (event.workflow, name, row.run))
    cause = 0
    if event.origin is not None:
        cause = event.origin.event
        fate = (row.seq, event.origin.rule, cause, "opened", row.run, event.origin.key, "", row.at)
        db.execute(_FATE, fate)
    elif event.parent:
        cause = _latest(db, event.parent)
    if cause:
        db.execute(_RUN, (row.run, cause, cause))


def _received(row: Recorded, db: Cursor) -> None:
    event = row.event
    if not isinstance(event, e.EventReceived):
        return
    db.execute("select seq, run, record from event_threads where key = ?", (event.id,))
    found = db.fetchone()
    if found is None:
        return  # a person's signal to this run alone
    seq, owner = found[0], found[1] or _run_of(db, found[2])
    if not event.taken_by:
        return  # it was recorded by the run, and moved nothing in it
    db.execute(_FATE, (row.seq, "", seq, "attached", row.run, "", "moved " + ", ".join(event.taken_by[:3]), row.at))
    if owner != row.run:
        db.execute(_RUN, (row.run, 0, seq))  # of a run that is known, only the latest changes


def _emitted(row: Recorded, db: Cursor) -> None:
    event = row.event
    if isinstance(event, e.Emitted):
        told = _Told(key_of(row.run, row.n), event.event, f"/quarterdeck/runs/{row.run}", event.subject or "", row.run)
        _keep(row, db, told, _latest(db, row.run))


def _published(row: Recorded, db: Cursor) -> None:
    told = msgspec.json.decode(row.data)
    source, run, record = told["source"], told.get("run") or "", ""
    if source.startswith(RECORDS):
        record = source.removeprefix(RECORDS)
        cause = _latest(db, run or _run_of(db, record))
    else:
        cause = _named(db, told.get("cause") or "")
    key = f"{source}/{told['id']}"
    _keep(row, db, _Told(key, told["event"], source, told.get("subject") or "", run, record), cause)


def _routed(row: Recorded, db: Cursor) -> None:
    told = msgspec.json.decode(row.data)
    for fate in told["outcomes"]:
        if fate["outcome"] != "opened":  # told by the start of the run itself
            values = (row.seq, fate["rule"], told["event"], fate["outcome"], fate.get("run", ""), fate.get("key", ""))
            db.execute(_FATE, (*values, fate.get("reason", ""), row.at))


def _keep(row: Recorded, db: Cursor, told: _Told, cause: int) -> None:
    depth, subject_n = 1, 1
    if cause:
        depth = _depth(db, told.run or _run_of(db, told.record), cause)
    if told.subject:
        db.execute("select subject_n from event_threads where subject = ? order by seq desc limit 1", (told.subject,))
        found = db.fetchone()
        subject_n = found[0] + 1 if found else 1
    who = (told.key, told.event, told.source, told.subject, row.at, told.run, told.record)
    db.execute(_THREAD, (row.seq, *who, cause, depth, subject_n))


def _run_of(db: Cursor, record: str) -> str:
    """The run that a record (kind/id) belongs to: the first that touched it."""
    kind, _, id_ = record.partition("/")
    if not id_:
        return ""
    db.execute(
        "select run from record_changes where kind = ? and id = ? and run != '' order by rev limit 1", (kind, id_)
    )
    found = db.fetchone()
    return str(found[0]) if found else ""


def _depth(db: Cursor, owner: str, cause: int) -> int:
    """Different runs along the causes, of which the newest `LONGEST` are looked at: a circle of triggers is shorter."""
    seen: set[str] = {owner or "this"}
    for _ in range(LONGEST):
        if not cause:
            break
        db.execute("select run, record, cause from event_threads where seq = ?", (cause,))
        found = db.fetchone()
        if found is None:
            break
        seen.add(found[0] or _run_of(db, found[1]) or f"event {cause}")
        cause = found[2]
    return len(seen)


def _latest(db: Cursor, run: str) -> int:
    db.execute("select latest from run_threads where run = ?", (run,))
    found = db.fetchone()
    return int(found[0]) if found else 0


def _named(db: Cursor, key: str) -> int:
    if not key:
        return 0
    db.execute("select seq from event_threads where key = ?", (key,))
    found = db.fetchone()
    return int(found[0]) if found else 0


_HANDLERS: dict[str, Callable[[Recorded, Cursor], None]] = {
    "RunStarted": _started,
    "EventReceived": _received,
    "Emitted": _emitted,
    "EventPublished": _published,
    ROUTED: _routed,
}
