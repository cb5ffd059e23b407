"""The read side: what is asked of the journal, as the contract's structs. Synchronous, any thread, changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.contract.common import ActorView
from engine.contract.gates import GateDetail, GatePage, GateSummary
from engine.contract.runs import EventPage, EventView, RunDetail, RunPage, RunSummary
from engine.contract.system import VerifyReport, WorkflowView
from engine.store import integrity
from engine.store.details import run_detail
from engine.store.gate_queries import GateQueries
from engine.store.graph import graph_of
from engine.store.reading import Reading
from engine.store.records import actor_of
from engine.store.run_queries import OPEN_STATUS, RunQueries

COUNTS_S = 0.5
"""Counting all runs costs some milliseconds at 100,000: done at most this often."""
COUNTS_SHARE = 20
"""Counting a million takes a tenth of a second: it is done a twentieth of the time at most."""

_EVENT = (
    "select e.seq, e.run, e.n, e.type, e.at, e.actor, e.cause, coalesce(e.data, b.data), e.hash, e.digest from events e "
    "left join blobs b on e.data is null and b.digest = e.digest"
)


def event_view(row: Sequence[Any]) -> EventView:
    """A stored event. A redacted payload shows as its digest."""
    actor = actor_of(row[5])
    data = msgspec.json.decode(row[7]) if row[7] is not None else {"redacted": row[9].hex() if row[9] else ""}
    return EventView(
        seq=row[0],
        run=row[1],
        n=row[2],
        type=row[3],
        at=row[4] / 1e6,
        actor=ActorView(kind=actor.kind, id=actor.id, via=actor.via, on_behalf_of=actor.on_behalf_of),
        cause=row[6],
        data=data,
        hash=row[8].hex(),
    )


class Queries:
    """Everything that is read. `now` is the engine's clock, for what is said about waiting."""

    def __init__(self, database: Path, *, now: Callable[[], float] = time.time) -> None:
        self.database, self.now = Path(database), now
        self.reading = Reading(self.database)
        self._runs, self._gates = RunQueries(self.reading), GateQueries(self.reading)
        self._counts: tuple[float, dict[str, int]] = (0.0, {})
        self._counting_s = 0.0

    # -- runs --------------------------------------------------------------------------------------------------------

    def run_page(
        self,
        *,
        status: str = "",
        workflow: str = "",
        text: str = "",
        sort: str = "-updated",
        cursor: str = "",
        limit: int = 50,
    ) -> RunPage:
        """One page of runs. Raises ValueError, with what is right, for a filter that makes no sense."""
        return self._runs.page(
            status=status, workflow=workflow, text=text, sort=sort, cursor=cursor, limit=limit, now=self.now()
        )

    def run_rows(self, ids: Sequence[str]) -> tuple[RunSummary, ...]:
        return self._runs.rows(ids)

    def run_detail(self, run: str) -> RunDetail | None:
        """Everything about one run; None when there is none of that id."""
        return run_detail(self.reading, run, self.now())

    # -- history -----------------------------------------------------------------------------------------------------

    def head(self) -> int:
        """The sequence of the newest event."""
        row = self.reading.one("select seq from events order by seq desc limit 1")
        return int(row[0]) if row else 0

    def events(self, *, run: str = "", after: int = 0, limit: int = 200) -> EventPage:
        """Events in order, from the one after `after` (a global sequence), of one run or of all."""
        limit = max(1, min(limit, 5000))
        if run:
            rows = self.reading.all(f"{_EVENT} where e.run = ? and e.seq > ? order by e.n limit {limit}", (run, after))
            total = int(self.reading.one("select coalesce(max(n), 0) from events where run = ?", (run,))[0])
        else:
            rows = self.reading.all(f"{_EVENT} where e.seq > ? order by e.seq limit {limit}", (after,))
            total = self.head()
        next_ = str(rows[-1][0]) if len(rows) == limit else None
        return EventPage(rows=tuple(map(event_view, rows)), next=next_, total=total, as_of=self.now())

    def verify(self) -> VerifyReport:
        """Re-computes the chain and compares it with the anchors."""
        found = integrity.verify(self.database)
        return VerifyReport(
            ok=found.ok,
            events=found.events,
            head=found.head,
            seconds=found.seconds,
            first_bad=found.first_bad,
            problem=found.problem,
        )

    # -- gates -------------------------------------------------------------------------------------------------------

    def gate_page(self, *, state: str = "open", limit: int = 200) -> GatePage:
        return self._gates.page(state=state, limit=limit, now=self.now())

    def gate_rows(self, ids: Sequence[str]) -> tuple[GateSummary, ...]:
        return self._gates.rows(ids)

    def gate_detail(self, gate: str) -> GateDetail | None:
        return self._gates.detail(gate)

    # -- the rest ----------------------------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Runs by status, `runs`, `runs_open`, `gates_open`."""
        counted, found = self._counts
        if time.monotonic() - counted < max(COUNTS_S, self._counting_s * COUNTS_SHARE) and found:
            return dict(found)
        began = time.perf_counter()
        found = {
            status: int(number)
            for status, number in self.reading.all("select status, count(*) from runs group by status")
        }
        found["runs"] = sum(found.values())
        found["runs_open"] = sum(found.get(status, 0) for status in OPEN_STATUS)
        found["gates_open"] = int(self.reading.one("select count(*) from gates where state = 'open'")[0])
        self._counting_s = time.perf_counter() - began
        self._counts = (time.monotonic(), found)
        return dict(found)

    def workflows(self) -> tuple[WorkflowView, ...]:
        """The newest version of each registered workflow."""
        rows = self.reading.all(
            "select workflow, digest from definitions d where version = "
            "(select max(version) from definitions where workflow = d.workflow) order by workflow"
        )
        return tuple(view for workflow, digest in rows if (view := self._workflow(workflow, digest, full=False)))

    def workflow(self, name: str) -> WorkflowView | None:
        """One workflow in full: its text, inputs and graph."""
        row = self.reading.one(
            "select digest from definitions where workflow = ? order by version desc limit 1", (name,)
        )
        return self._workflow(name, row[0], full=True) if row else None

    def _workflow(self, name: str, digest: str, *, full: bool) -> WorkflowView | None:
        definition = self.reading.loader.definition(digest)
        row = self.reading.one(
            "select version, title, source, text, registered_at from definitions where digest = ?", (digest,)
        )
        if definition is None or row is None:
            return None
        runs = 0
        for (status,) in self.reading.all("select distinct status from runs where workflow = ?", (name,)):
            counted = self.reading.one("select count(*) from runs where workflow = ? and status = ?", (name, status))
            runs += int(counted[0])
        triggers = []
        for trigger in definition.triggers:
            if trigger.cron:
                triggers.append(f"cron {trigger.cron} {trigger.zone}")
            elif trigger.event:
                triggers.append(f"event {trigger.event}")
            elif trigger.webhook:
                triggers.append(f"webhook {trigger.webhook}")
            else:
                triggers.append("manual " + ", ".join(trigger.roles))
        return WorkflowView(
            workflow=name,
            version=row[0],
            digest=digest,
            title=row[1],
            source=row[2],
            registered_at=row[4],
            runs=runs,
            triggers=tuple(triggers),
            starters=tuple(dict.fromkeys(role for trigger in definition.triggers for role in trigger.roles)),
            text=row[3] if full else "",
            graph=tuple(msgspec.to_builtins(node) for node in graph_of(definition)) if full else (),
            inputs={field: msgspec.to_builtins(spec) for field, spec in definition.inputs.items()} if full else {},
        )
