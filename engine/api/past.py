"""Things as they were: any run, rollout, gate or record after any of its events, stepped through and compared.

A view of the past is given by the same code that gives today's, over the run's events folded anew (`engine.store.past`)
or over the record's changes. It is read-only by nature: what may be done is asked of today.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from engine.api import sentences
from engine.api.consequences import otherwise
from engine.api.differences import differences
from engine.api.problems import Denied, not_found
from engine.capabilities import subjects
from engine.capabilities.rollout.reads import RolloutReads
from engine.contract.gates import GateDetail
from engine.contract.history import DiffView, Moment, PastView
from engine.contract.rollouts import RolloutDetail
from engine.contract.runs import RunDetail
from engine.store.details import run_detail
from engine.store.errors import StoreCorrupt
from engine.store.gate_queries import GateQueries
from engine.store.past import Moment as Stand
from engine.store.past import PastReading, record_at
from engine.store.records import actor_of

if TYPE_CHECKING:
    from engine.api.access import Caller
    from engine.api.door import Door

Json = Any
NEWEST = 1 << 62
SEEN = {"case": "/v1/cases/{case}/view"}
"""Kinds of records whose screen shows more than the record: the read that gives it."""
_THEN = "you look at the past"
_MOMENT = "e.seq, e.at, e.type, e.actor, coalesce(e.data, (select b.data from blobs b where b.digest = e.digest))"
_DATA = "coalesce(e.data, (select b.data from blobs b where b.digest = e.digest))"
_GATE_EVENTS = (
    *("GateOpened", "EvidenceChanged", "VoteCast", "VoteChanged", "VoteWithdrawn", "VoteRefused", "VoteAbstained"),
    *("DelegationGranted", "GateClaimed", "InfoRequested", "ReminderSent", "GateEscalated"),
    *("GatePassed", "GateRejected", "GateExpired", "GateWithdrawn"),
)


# -- views at a moment --------------------------------------------------------------------------------------------------


def run_at(door: Door, run: str, seq: int) -> RunDetail:
    """A run with its steps, what it waited for and why, after event `seq`."""
    with _past(door, "run", run, run, seq) as (reading, moment):
        detail = run_detail(reading, run, moment.at)
    if detail is None:
        raise _not_yet("run", run, seq)
    book = door.book.reads.reading
    children = tuple(
        row[0]
        for row in book.all(
            "select r.id from runs r where r.parent = ? and exists "
            "(select 1 from events e where e.run = r.id and e.n = 1 and e.seq <= ?) order by r.number",
            (run, moment.seq),
        )
    )
    told = int(book.one("select count(*) from event_threads where run = ? and seq <= ?", (run, moment.seq))[0])
    return msgspec.structs.replace(detail, children=children, told=told, verbs=dict.fromkeys(detail.verbs, _THEN))


def rollout_at(door: Door, rollout: str, seq: int) -> RolloutDetail:
    """A rollout with its stages, signals and robots. Who a robot is comes from today's mirror, what it did from then."""
    with _past(door, "rollout", rollout, rollout, seq) as (reading, moment):
        detail = RolloutReads(reading, now=lambda: moment.at).rollout_detail(rollout)
    if detail is None:
        raise _not_yet("rollout", rollout, seq)
    return msgspec.structs.replace(detail, verbs=dict.fromkeys(detail.verbs, _THEN), pause_ack=None)


def gate_at(door: Door, gate: str, seq: int) -> GateDetail:
    """A gate with the evidence, seats and votes of that moment: what somebody who decided then had before them."""
    run = gate.rpartition(".")[0]
    with _past(door, "gate", gate, run, seq) as (reading, _):
        detail = GateQueries(reading).detail(gate)
    if detail is None:
        raise _not_yet("gate", gate, seq)
    shown = msgspec.structs.replace(detail.gate, mine=_THEN) if detail.gate.state == "open" else detail.gate
    reject, timeout = otherwise(door, detail)
    return msgspec.structs.replace(detail, gate=shown, on_reject=reject, on_timeout=timeout)


def record_then(door: Door, kind: str, id_: str, seq: int) -> Any:
    """A record of any kind after event `seq`, in the shape of its kind."""
    reads = door.book.reads
    reads.entity(kind)
    try:
        plain = record_at(reads.reading, kind, id_, seq)
    except StoreCorrupt as error:
        raise Denied(409, "redacted", str(error)) from error
    if plain is None:
        raise _not_yet(kind, id_, seq)
    return reads.decode(kind, msgspec.json.encode(plain))


class Then:
    """What a subject's read may use when it looks back: records as they were, tables of the run that worked on them."""

    def __init__(self, door: Door, caller: Caller, seq: int, at: float) -> None:
        self._door, self._seq, self._at = door, seq, at
        self.person, self.vault, self.policy, self.ports = caller.person, door.vault, door.pack, door.ports

    def now(self) -> float:
        return self._at

    def get(self, kind: str, id: str) -> Any | None:
        plain = record_at(self._door.book.reads.reading, kind, id, self._seq)
        return None if plain is None else self._door.book.reads.decode(kind, msgspec.json.encode(plain))

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
        """Records that are the thing's today (what names their owner does not change), each as it was then."""
        reads = self._door.book.reads
        states = (state,) if isinstance(state, str) and state else tuple(state or ())
        found = [self.get(kind, one.id) for one in reads.find(kind, where=where, text=text, limit=limit, order=order)]
        return [one for one in found if one is not None and (not states or one.state in states)]

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        rows: list[Any] = self._door.book.reads.reading.all(sql, parameters)
        return rows

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        return self._door.book.reads.reading.one(sql, parameters)


def _seen_at(door: Door, caller: Caller, kind: str, id_: str, seq: int) -> Any:
    """A record with everything around it, as its subject's own read shows it, and the question open about it then."""
    record = record_then(door, kind, id_, seq)
    read = next((one for one in subjects.reads() if one.path == SEEN[kind]), None)
    if read is None:
        return record
    named = read.path.rpartition("{")[2].partition("}")[0]
    found = read.give(Then(door, caller, seq, _time_of(door, seq)), {named: id_}, {})
    if found is None:
        raise _not_yet(kind, id_, seq)
    return msgspec.structs.replace(found, gate=_open_gate(door, record.run, seq) if record.run else "")


def _open_gate(door: Door, run: str, seq: int) -> str:
    """The newest question of a run that was open after event `seq`."""
    gate = ""
    for type_, id_ in door.book.reads.reading.all(
        f"select e.type, json_extract({_DATA}, '$.gate') from events e where e.run = ? and e.seq <= ? and e.type in "
        "('GateOpened', 'GatePassed', 'GateRejected', 'GateExpired', 'GateWithdrawn') order by e.seq",
        (run, seq),
    ):
        gate = id_ if type_ == "GateOpened" else "" if id_ == gate else gate
    return gate


def thing_at(door: Door, caller: Caller, kind: str, id_: str, seq: int) -> Any:
    """Any thing as its screen shows it."""
    plain: dict[str, Callable[[Door, str, int], Any]] = {"run": run_at, "rollout": rollout_at, "gate": gate_at}
    if kind in plain:
        return plain[kind](door, id_, seq)
    if kind in SEEN:
        return _seen_at(door, caller, kind, id_, seq)
    return record_then(door, kind, id_, seq)


# -- moments ------------------------------------------------------------------------------------------------------------


class _Events:
    """The events of one thing that are steps: those that change what is seen of it."""

    def __init__(self, door: Door, kind: str, id_: str) -> None:
        self._reading = door.book.reads.reading
        self.kind, self.id = kind, id_
        if kind in ("run", "rollout"):
            marks = ",".join("?" * len(sentences.NOISE))
            self._from, self._args = f"events e where e.run = ? and e.type not in ({marks})", (id_, *sentences.NOISE)
        elif kind == "gate":
            marks = ",".join("?" * len(_GATE_EVENTS))
            self._from = f"events e where e.run = ? and e.type in ({marks}) and json_extract({_DATA}, '$.gate') = ?"
            self._args = (id_.rpartition(".")[0], *_GATE_EVENTS, id_)
        else:
            door.book.reads.entity(kind)  # says which kinds there are
            self._from = "record_changes c join events e on e.seq = c.seq where c.kind = ? and c.id = ?"
            self._args = (kind, id_)

    def _one(self, what: str, rest: str, *args: Any) -> Any:
        return self._reading.one(f"select {what} from {self._from}{rest}", (*self._args, *args))

    def ends(self) -> tuple[int, int, int]:
        """(first, last, how many); zeros when there is no such thing."""
        row = self._one("min(e.seq), max(e.seq), count(*)", "")
        return int(row[0] or 0), int(row[1] or 0), int(row[2])

    def stepped(self, seq: int, step: int) -> int:
        """The event `step` steps from the newest one up to `seq`; the first or the last when there are not as many."""
        row = self._one("e.seq", " and e.seq <= ? order by e.seq desc limit 1", seq)
        here = int(row[0]) if row else 0
        if step:
            compare, order = ("<", "desc") if step < 0 else (">", "asc")
            rest = f" and e.seq {compare} ? order by e.seq {order} limit 1 offset ?"
            row = self._one("e.seq", rest, here, abs(step) - 1)
            if row is None:
                first, last, _ = self.ends()
                return first if step < 0 else last
            here = int(row[0])
        return here

    def has(self, type_: str, seq: int) -> int:
        """The newest event of a type up to `seq`; 0 when there is none."""
        row = self._one("e.seq", " and e.seq <= ? and e.type = ? order by e.seq desc limit 1", seq, type_)
        return int(row[0]) if row else 0

    def moment(self, seq: int) -> Moment:
        row = self._reading.one(f"select {_MOMENT} from events e where e.seq = ?", (seq,))
        return _moment(row, int(self._one("count(*)", " and e.seq <= ?", seq)[0]), self.ends()[2])

    def newest(self, limit: int) -> tuple[Moment, ...]:
        rows = self._reading.all(
            f"select {_MOMENT} from {self._from} order by e.seq desc limit ?", (*self._args, limit)
        )
        of = self.ends()[2]
        return tuple(_moment(row, of - len(rows) + place, of) for place, row in enumerate(reversed(rows), 1))


def _moment(row: Sequence[Any], place: int, of: int) -> Moment:
    data = msgspec.json.decode(row[4]) if row[4] is not None else {}
    text, _ = sentences.sentence(row[2], data if isinstance(data, dict) else {})
    return Moment(seq=row[0], at=row[1] / 1e6, type=row[2], actor=actor_of(row[3]).id, text=text, place=place, of=of)


def then(door: Door, caller: Caller, kind: str, id_: str, *, at: int, step: int, type_: str = "") -> PastView:
    """The thing `step` steps from where it was at event `at` (0 = now). `type_`: the newest event of that type up to there."""
    events = _known(door, kind, id_)
    first, last, _ = events.ends()
    seq = events.stepped(at or NEWEST, step)
    if type_:
        seq = events.has(type_, seq)
        if not seq:
            raise Denied(404, "not_found", f"{id_[:100]} had no {type_[:60]} by then", field="type")
    if not seq:
        raise _not_yet(kind, id_, at)
    view = thing_at(door, caller, kind, id_, seq)
    return PastView(kind=kind, id=id_, here=events.moment(seq), first=first, last=last, view=msgspec.to_builtins(view))


def moments(door: Door, kind: str, id_: str, *, limit: int) -> tuple[Moment, ...]:
    """The newest events of a thing that are steps, oldest first."""
    return _known(door, kind, id_).newest(limit)


def diff(
    door: Door, caller: Caller, kind: str, id_: str, *, a: int, b: int, steps: tuple[int, int] = (0, 0)
) -> DiffView:
    """What differs between two moments, each moved by its steps; 0 is now. In the order of time, whichever came first."""
    events = _known(door, kind, id_)
    first, last, _ = events.ends()
    one, two = sorted(
        events.stepped(max(first, at or last), step) or first for at, step in zip((a, b), steps, strict=True)
    )
    before, after = (msgspec.to_builtins(thing_at(door, caller, kind, id_, seq)) for seq in (one, two))
    changes, cut = differences(before, after)
    here, there = events.moment(one), events.moment(two)
    return DiffView(kind=kind, id=id_, a=here, b=there, events=there.place - here.place, changes=changes, cut=cut)


def _known(door: Door, kind: str, id_: str) -> _Events:
    if kind == "rollout" and door.rollouts.rollout_detail(id_) is None:
        raise not_found("rollout", id_[:100])
    events = _Events(door, kind, id_)
    if not events.ends()[2]:
        raise not_found(kind, id_[:100])
    return events


@contextmanager
def _past(door: Door, kind: str, id_: str, run: str, seq: int) -> Iterator[tuple[PastReading, Stand]]:
    """`door.past.at`, with what can be wrong said as a refusal."""
    try:
        with door.past.at(run, seq) as found:
            yield found
    except KeyError as error:
        known = door.reads.run_rows((run,))
        raise (_not_yet(kind, id_, seq) if known else not_found(kind, id_[:100])) from error
    except StoreCorrupt as error:
        raise Denied(409, "redacted", str(error)) from error


def _not_yet(kind: str, id_: str, seq: int) -> Denied:
    said = f"{kind} {id_[:100]} was not there yet at event {seq}"
    return Denied(404, "not_yet", said, fix="a later event: qd history moments shows them", field="at")


def _time_of(door: Door, seq: int) -> float:
    row = door.book.reads.reading.one("select at from events where seq <= ? order by seq desc limit 1", (seq,))
    return float(row[0]) / 1e6 if row else 0.0
