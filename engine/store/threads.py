"""Reads the thread of causes: events with what became of them, and the tree that one of them belongs to.

The tree: an event follows from its cause; a run from the event that opened it (or its parent); what a run emitted stands
under the run, at the event that had moved it last. So each event stands once; a run stands where it was opened and again
at each event it took later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from engine.contract.events import FateView, OutEvent, OutEventPage, Trace, TraceNode
from engine.store.records import actor_of

Json = Any
All = Callable[[str, tuple[Any, ...]], Sequence[Any]]

MOST = 1_000
"""Lines of a tree that are given; beyond it `cut` is set."""
LONGEST = 200
"""Causes that are followed upwards."""
DATA = 4 * 1024
"""Bytes of an event's data that a list carries; the event itself has all."""

_EVENT = (
    "select t.seq, t.key, t.event, t.at, t.source, t.subject, t.run, t.record, t.cause, t.depth, t.subject_n, "
    "coalesce(o.delivered, 1), e.actor, coalesce(e.data, b.data) from event_threads t join events e on e.seq = t.seq "
    "left join blobs b on e.data is null and b.digest = e.digest left join outbox o on o.seq = t.seq"
)


class Threads:
    """Over any connection: `all` gives the rows of a statement."""

    def __init__(self, all: Callable[..., Sequence[Any]]) -> None:
        self._all = all

    # -- events ------------------------------------------------------------------------------------------------------

    def event(self, seq: int) -> OutEvent | None:
        """One event with its data and fates."""
        rows = self._all(f"{_EVENT} where t.seq = ?", (seq,))
        return self._view(rows[0], whole=True) if rows else None

    def key(self, seq: int) -> str:
        """What runs and other systems know an event by; empty when there is none."""
        rows = self._all("select key from event_threads where seq = ?", (seq,)) if seq else ()
        return str(rows[0][0]) if rows else ""

    def root_key(self, event: OutEvent) -> str:
        """The key of the first cause of an event."""
        key, cause = event.key, event.cause
        for _ in range(LONGEST):
            rows = self._all("select key, cause from event_threads where seq = ?", (cause,)) if cause else ()
            if not rows:
                break
            key, cause = rows[0]
        return key

    def page(
        self, *, event: str = "", subject: str = "", run: str = "", record: str = "", before: int = 0, limit: int = 100
    ) -> OutEventPage:
        """Events, newest first. `event` may end in `*`."""
        where, values = ["1"], []
        if event.endswith("*"):
            where.append("substr(t.event, 1, ?) = ?")
            values += [len(event) - 1, event[:-1]]
        elif event:
            where.append("t.event = ?")
            values.append(event)
        for column, value in (("subject", subject), ("run", run), ("record", record)):
            if value:
                where.append(f"t.{column} = ?")
                values.append(value)
        if before:
            where.append("t.seq < ?")
            values.append(before)
        rows = self._all(f"{_EVENT} where {' and '.join(where)} order by t.seq desc limit ?", (*values, limit))
        total = self._all("select count(*) from event_threads", ())[0][0]
        views = tuple(self._view(row) for row in rows)
        return OutEventPage(rows=views, next=str(views[-1].seq) if len(views) == limit else None, total=total)

    def fates(self, seq: int) -> tuple[FateView, ...]:
        """What became of an event. A run that a rule gave it to stands there once, with what it did with it."""
        rows = self._all(
            "select rule, outcome, run, key, reason, at from event_fates where event = ? order by seq, rule", (seq,)
        )
        found = [FateView(rule=r, outcome=o, run=run, key=k, reason=why, at=at) for r, o, run, k, why, at in rows]
        by_rule = {fate.run for fate in found if fate.rule and fate.outcome == "attached"}
        return tuple(fate for fate in found if fate.rule or fate.run not in by_rule)

    def _view(self, row: Sequence[Any], *, whole: bool = False) -> OutEvent:
        seq, key, event, at, source, subject, run, record, cause, depth, subject_n, delivered, actor, data = row
        told: dict[str, Json] = {}
        if data is not None and (whole or len(data) <= DATA):
            told = msgspec.json.decode(data)
        who = actor_of(actor)
        return OutEvent(
            seq=seq,
            key=key,
            event=event,
            at=at,
            source=source,
            subject=subject,
            actor=f"run:{run}" if run else who.id,
            run=run,
            record=record,
            cause=cause,
            depth=depth,
            subject_n=subject_n,
            delivered=bool(delivered),
            data=told.get("data"),
            fates=self.fates(seq),
        )

    # -- the tree ----------------------------------------------------------------------------------------------------

    def trace(self, name: str) -> Trace | None:
        """The thread of an event (sequence or key), a run, a gate, a record, or what an event was about."""
        found = self._named(name)
        if found is None:
            return None
        kind, id_ = found
        top = self._top(kind, id_)
        tree = _Tree(self, here=id_)
        tree.grow(top)
        return Trace(
            id=id_, kind=kind, nodes=tuple(tree.nodes), path=tuple(tree.path_to(id_)), cut=len(tree.nodes) >= MOST
        )

    def _named(self, name: str) -> tuple[str, str] | None:
        digits = name.removeprefix("event").strip(" :#-")
        if digits.isdecimal() and len(digits) <= 18 and self.row(int(digits)) is not None:
            return "event", str(int(digits))
        run = name.partition(".")[0] if name.startswith("run-") else name
        if self._all("select 1 from runs where id = ?", (run,)):
            return "run", run
        record = name.partition("/")[2] if "/" in name else name
        by_key = self._all("select seq from event_threads where key = ?", (name,))
        if by_key:
            return "event", str(by_key[0][0])
        told = self._all(
            "select seq from event_threads where record in (select kind||'/'||id from record_changes where id = ?) "
            "order by seq limit 1",
            (record,),
        )
        touched = self._all(
            "select kind, run from record_changes where id = ? and run != '' order by seq limit 1", (record,)
        )
        if touched and not (told and self._made_many(*touched[0])):
            return "run", str(touched[0][1])
        told = told or self._all("select seq from event_threads where subject = ? order by seq desc limit 1", (name,))
        return ("event", str(told[0][0])) if told else None

    def _made_many(self, kind: str, run: str) -> bool:
        """Whether a run made several records of a kind: then it does not stand for one of them."""
        count = "select count(*) from record_changes where run = ? and kind = ? and rev = 1"
        return bool(self._all(count, (run, kind))[0][0] > 1)

    def _top(self, kind: str, id_: str) -> tuple[str, str]:
        """The first cause."""
        for _ in range(LONGEST):
            above = self._above(kind, id_)
            if above is None:
                break
            kind, id_ = above
        return kind, id_

    def _above(self, kind: str, id_: str) -> tuple[str, str] | None:
        if kind == "event":
            row = self.row(int(id_))
            if row is None:
                return None
            _, _, _, run, record, cause = row
            if cause:
                return "event", str(cause)
            run = run or self.run_of(record)
            return ("run", run) if run else None
        rows = self._all(
            "select coalesce(t.cause, 0), r.parent from runs r left join run_threads t on t.run = r.id where r.id = ?",
            (id_,),
        )
        if not rows:
            return None
        cause, parent = rows[0]
        if parent:
            return "run", parent
        return ("event", str(cause)) if cause else None

    def row(self, seq: int) -> Any | None:
        """seq, event, at, run, record, cause."""
        rows = self._all("select seq, event, at, run, record, cause from event_threads where seq = ?", (seq,))
        return rows[0] if rows else None

    def run_of(self, record: str) -> str:
        """The run that first touched a record (kind/id)."""
        kind, _, id_ = record.partition("/")
        if not id_:
            return ""
        rows = self._all(
            "select run from record_changes where kind = ? and id = ? and run != '' order by rev limit 1", (kind, id_)
        )
        return str(rows[0][0]) if rows else ""

    def following(self, seq: int) -> list[tuple[int, str]]:
        """Events that follow from this one: (seq, the run they stand under)."""
        rows = self._all("select seq, run, record from event_threads where cause = ? order by seq limit 1000", (seq,))
        return [(row[0], row[1] or self.run_of(row[2])) for row in rows]

    def first_of(self, run: str) -> list[int]:
        """Events that a run told before any event had moved it."""
        rows = self._all("select seq from event_threads where run = ? and cause = 0 order by seq limit 1000", (run,))
        found = {row[0] for row in rows}
        by_people = self._all(
            "select t.seq from event_threads t join record_changes c on c.kind||'/'||c.id = t.record "
            "where c.run = ? and c.rev = (select min(rev) from record_changes where kind = c.kind and id = c.id and run != '') "
            "and t.run = '' and t.cause = 0 limit 1000",
            (run,),
        )
        return sorted(found | {row[0] for row in by_people})

    def taken_from_elsewhere(self, run: str, root: tuple[str, str]) -> list[int]:
        """Events of other threads that moved this run to tell something itself."""
        rows = self._all(
            "select distinct t.cause from event_threads t left join run_threads r on r.run = t.run "
            "where t.run = ? and t.cause != 0 and t.cause != coalesce(r.cause, 0) order by t.cause limit 100",
            (run,),
        )
        return [row[0] for row in rows if self._top("event", str(row[0])) != root]

    def handed_on(self, event: OutEvent, owner: str) -> int:
        """The next event of the same record, when another run told it; 0 when there is none."""
        if not event.record:
            return 0
        rows = self._all(
            "select seq, run from event_threads where record = ? and seq > ? order by seq limit 1",
            (event.record, event.seq),
        )
        return int(rows[0][0]) if rows and rows[0][1] and rows[0][1] != owner else 0

    def children(self, run: str) -> list[tuple[int, str]]:
        """Child runs with the fact they began with."""
        rows = self._all(
            "select e.seq, r.id from runs r join events e on e.run = r.id and e.n = 1 where r.parent = ? "
            "order by e.seq limit 1000",
            (run,),
        )
        return [(row[0], row[1]) for row in rows]

    def run_node(self, run: str) -> tuple[Any, ...] | None:
        """workflow, title, started, status, ending, by, records made."""
        rows = self._all(
            "select workflow, title, started_at, status, ending, started_by, waiting_on from runs where id = ?", (run,)
        )
        if not rows:
            return None
        made = self._all(
            "select distinct kind, id from record_changes where run = ? and rev = 1 and kind != 'evidence' order by seq limit 50",
            (run,),
        )
        return (*rows[0], tuple(f"{kind} {id_}" for kind, id_ in made))


class _Next(NamedTuple):
    """A line to be written: `under` is the event a run hangs on, `run` who took an event of another thread."""

    kind: str
    id: str
    level: int
    how: str = ""
    under: int = 0
    run: str = ""


class _Tree:
    """Written out line by line, deepest first, without recursion: a thread may be long."""

    def __init__(self, threads: Threads, here: str) -> None:
        self._threads, self._here = threads, here
        self.nodes: list[TraceNode] = []
        self._seen: set[tuple[str, str, str]] = set()
        self._root = ("", "")

    def grow(self, top: tuple[str, str]) -> None:
        self._root = top
        stack: list[_Next] = [_Next(*top, level=0)]
        while stack and len(self.nodes) < MOST:
            one = stack.pop()
            mark = (one.kind, one.id, one.how if one.kind == "run" else "")
            if one.kind == "event" and one.how != "later":
                if mark in self._seen:
                    continue
                self._seen.add(mark)
            stack.extend(reversed(self._event(one) if one.kind == "event" else self._run(one)))

    def _event(self, one: _Next) -> list[_Next]:
        seq = int(one.id)
        found = self._threads.event(seq)
        if found is None:
            return []
        self.nodes.append(
            TraceNode(
                kind="event",
                id=str(seq),
                level=one.level,
                how=one.how,
                label=found.event,
                at=found.at,
                actor=found.actor,
                subject=found.subject,
                depth=found.depth,
                fates=found.fates,
                here=str(seq) == self._here and one.how != "later",
            )
        )
        if one.how == "later":
            return []  # another run goes on with the record: what follows stands there
        following = self._threads.following(seq)
        if one.how == "took":  # of another thread: only what it made the run do belongs here
            return [_Next("event", str(s), one.level + 1, "emitted") for s, run in following if run == one.run]
        runs: dict[str, str] = {}
        owner = found.run or self._threads.run_of(found.record)
        for fate in found.fates:
            if fate.run and fate.run != owner and fate.outcome in ("opened", "attached"):
                runs.setdefault(fate.run, fate.outcome)
        below = [_Next("run", run, one.level + 1, outcome, under=seq) for run, outcome in runs.items()]
        for other, run in following:
            if run not in runs:  # nobody's, or of a child of one of them
                below.append(_Next("event", str(other), one.level + 1, "followed"))
        later = self._threads.handed_on(found, owner)
        if later:
            below.append(_Next("event", str(later), one.level + 1, "later"))
        return below

    def _run(self, one: _Next) -> list[_Next]:
        run, level, how, under = one.id, one.level, one.how, one.under
        found = self._threads.run_node(run)
        if found is None:
            return []
        workflow, title, at, status, ending, by, waiting, records = found
        again = how == "attached"
        self.nodes.append(
            TraceNode(
                kind="run",
                id=run,
                level=level,
                how=how,
                label=workflow,
                title="" if again else title,
                at=at,
                state=ending or (f"{status}: {_cut(waiting)}" if waiting and status == "waiting" else status),
                actor="" if again else by,
                records=() if again else records,
                here=run == self._here and not again,
            )
        )
        if under:
            told = [seq for seq, owner in self._threads.following(under) if owner == run]
        else:
            told = self._threads.first_of(run)
        below = [(seq, _Next("event", str(seq), level + 1, "emitted")) for seq in told]
        if not again:
            for began, child in self._threads.children(run):
                below.append((began, _Next("run", child, level + 1, "child", under=under)))
            for seq in self._threads.taken_from_elsewhere(run, self._root):
                below.append((seq, _Next("event", str(seq), level + 1, "took", run=run)))
        return [line for _, line in sorted(below)]

    def path_to(self, id_: str) -> list[str]:
        """The ids from the root down to the line that was asked for."""
        path: list[TraceNode] = []
        for node in self.nodes:
            del path[node.level :]
            path.append(node)
            if node.here:
                return [one.id for one in path]
        return []


def _cut(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
