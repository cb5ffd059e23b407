"""One run in full: what the *Run* screen shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from engine.contract.runs import CauseView, RunDetail, StepView, Waiting
from engine.core.explain import explain
from engine.core.state import State
from engine.store.errors import StoreCorrupt
from engine.store.graph import graph_of
from engine.store.reading import Reading
from engine.store.run_queries import RunQueries

STEPS = 2_000
"""Newest visits shown; the history has them all."""
SHOWN = 16 * 1024
"""Bytes of an input or output shown here; larger ones are read from the history."""

_STATUS = {
    "timed_out": "failed",
    "rejected": "failed",
    "expired": "failed",
    "left": "cancelled",
    "interrupted": "cancelled",
}
_HIDDEN = frozenset({"over", "deferred"})
_VERBS = ("suspend", "resume", "cancel", "terminate", "retry", "skip", "redrive", "migrate", "comment")


def run_detail(reading: Reading, run: str, now: float) -> RunDetail | None:
    """None when there is no such run."""
    found = RunQueries(reading).rows([run])
    row = reading.one("select digest, parent from runs where id = ?", (run,))
    if not found or row is None:
        return None
    digest, parent = row
    definition = reading.loader.definition(digest)
    state, trouble = _state(reading, run)
    waiting: tuple[Waiting, ...] = ()
    if state is not None and definition is not None:
        waiting = tuple(
            Waiting(
                path=one.path, what=one.what, who=one.who, until=one.until, then=one.then, can=one.can, gate=one.gate
            )
            for one in explain(definition, state, now)
        )
    cause = state.cause if state is not None else None
    error = trouble or (f"{cause.error}: {cause.message}" if cause is not None else "")
    return RunDetail(
        run=found[0],
        definition=f"{definition.workflow} {definition.version}" if definition else "",
        digest=digest,
        inputs=state.inputs if state is not None else {},
        output=state.output if state is not None else None,
        error=error,
        graph=graph_of(definition) if definition else (),
        steps=_steps(reading, run),
        waiting=waiting,
        parent=parent or "",
        children=tuple(row[0] for row in reading.all("select id from runs where parent = ? order by number", (run,))),
        rollout=_rollout(reading, run),
        cause=_cause(reading, run),
        told=int(reading.one("select count(*) from event_threads where run = ?", (run,))[0]),
        verbs=_verbs(state),
    )


def _state(reading: Reading, run: str) -> tuple[State | None, str]:
    try:
        loaded = reading.loader.load(run)
    except StoreCorrupt as error:  # redacted: the lists still know it
        return None, str(error)
    return (loaded.state if loaded else None), ""


def _cause(reading: Reading, run: str) -> CauseView | None:
    row = reading.one(
        "select e.seq, e.event, e.subject, e.at from run_threads r join event_threads e on e.seq = r.cause where r.run = ?",
        (run,),
    )
    return CauseView(seq=row[0], event=row[1], subject=row[2], at=row[3]) if row else None


def _rollout(reading: Reading, run: str) -> str:
    row = reading.one("select id from rollouts where id = ?", (run,))
    return row[0] if row else ""


def _steps(reading: Reading, run: str) -> tuple[StepView, ...]:
    rows = reading.all(
        "select s.path, s.fence, s.kind, s.status, s.attempt, s.started_at, s.ended_at, s.due, s.error, s.detail, "
        f"case when length(a.data) <= {SHOWN} then a.data end, "
        f"case when length(z.data) <= {SHOWN} then z.data end "
        "from steps s left join events a on a.seq = s.first left join events z on z.seq = s.last "
        f"where s.run = ? order by s.first desc limit {STEPS}",
        (run,),
    )
    return tuple(_step(row) for row in reversed(rows) if row[3] not in _HIDDEN)


def _step(row: Sequence[Any]) -> StepView:
    path, fence, kind, status, attempt, started, ended, due, error, detail, first, last = row
    opening = msgspec.json.decode(first) if first else {}
    ending = msgspec.json.decode(last) if last else {}
    word = detail or (status if status in _STATUS else "")
    return StepView(
        path=path,
        step=path.rpartition(".")[2],
        kind=kind,
        status=_STATUS.get(status, status),
        fence=max(0, fence),
        attempt=attempt,
        started_at=started,
        ended_at=ended,
        due=due if ended is None else None,
        input=opening.get("input"),
        output=ending.get("output"),
        error=error,
        detail=word,
    )


def _verbs(state: State | None) -> dict[str, str]:
    """Why a verb can't be used now; the core has the last word when it is tried."""
    if state is None:
        return {f"run.{verb}": "the run's state can't be read" for verb in _VERBS}
    over = "" if state.open else f"the run is over ({state.status})"
    return {
        "run.suspend": over or ("it is suspended" if state.suspended else ""),
        "run.resume": over or ("" if state.suspended else "it is not suspended"),
        "run.cancel": over or ("it is already ending" if state.closing else ""),
        "run.terminate": over,
        "run.retry": over,
        "run.skip": over,
        "run.redrive": "" if not state.open else "the run is still going on",
        "run.migrate": over or ("something is in flight" if state.in_flight else ""),
        "run.comment": "",
    }
