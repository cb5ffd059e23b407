"""The built-in projections, kept in the same transaction as the events: runs, steps, timers, waits, locks.

Each event type has at most one entry in a table of small functions that turn it into rows for `executemany`: the cost
per event is constant. Order inside one transaction: what opens before what ends, because within a batch a thing is
opened at most once and never opens again under the same key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.core import events as e
from engine.core.state import path as path_of
from engine.store import statements as sql
from engine.store.records import Commit, Cursor

Row = tuple[Any, ...]


class Rows:
    """What one batch writes beside its events."""

    __slots__ = (
        "blobs",
        "commands",
        "locks",
        "locks_held",
        "locks_off",
        "migrated",
        "opened",
        "runs",
        "runs_changed",
        "snapshots",
        "steps_closed",
        "steps_ended",
        "steps_waiting",
        "timers",
        "timers_off",
        "timers_off_runs",
        "waits",
        "waits_off",
    )

    def __init__(self) -> None:
        self.opened: list[Row] = []
        self.steps_waiting: list[Row] = []
        self.steps_ended: list[Row] = []
        self.steps_closed: list[Row] = []
        self.timers: dict[str, dict[Row, Row]] = {}
        self.timers_off: list[Row] = []
        self.timers_off_runs: list[Row] = []
        self.locks: list[Row] = []
        self.locks_held: list[Row] = []
        self.locks_off: list[Row] = []
        self.waits: dict[str, list[Row]] = {}
        self.migrated: list[Row] = []
        self.runs: dict[int, Row] = {}
        self.runs_changed: dict[int, Row] = {}
        self.snapshots: dict[str, Row] = {}
        self.commands: list[Row] = []
        self.blobs: list[Row] = []

    def take(self, commit: Commit, core: str) -> None:
        """Adds what one commit changes; its `first` is known."""
        run, seq, at = commit.run, commit.first, commit.at / 1e6
        for type_, event in zip(commit.types, commit.events, strict=False):
            handler = HANDLERS.get(type_)
            if handler is not None:
                handler(self, run, seq, at, event)
            seq += 1
        last, n = seq - 1, commit.before + len(commit.data)
        line = commit.line
        if line is not None:
            if commit.before == 0:
                self.runs[line.number] = (
                    *(line.number, run, line.workflow, line.digest, line.title, line.status, n, last),
                    *(line.started_at, line.updated_at, line.ended_at, line.ending, line.waiting_on, line.step),
                    *(line.started_by, line.gates, line.attention, line.parent, line.attributes),
                )
            else:
                self.runs_changed[line.number] = (
                    *(line.status, n, last, line.updated_at, line.ended_at, line.ending),
                    *(line.waiting_on, line.step, line.gates, line.attention, line.number),
                )
        if commit.snapshot is not None:
            self.snapshots[run] = (run, n, core, commit.snapshot)
        if commit.waits is not None:
            self.waits[run] = [(run, *wait) for wait in commit.waits]
        if commit.command is not None and commit.answer is not None:
            self.commands.append((commit.command, at, run, commit.answer(commit.first)))

    def write(self, cursor: Cursor) -> None:
        """Everything that was taken, a statement per table."""
        many = cursor.executemany
        for statement, values in (
            (sql.BLOB, self.blobs),
            (sql.RUN, list(self.runs.values())),
            (sql.RUN_CHANGE, list(self.runs_changed.values())),
            (sql.RUN_MIGRATED, self.migrated),
            (sql.STEP, self.opened),
            (sql.STEP_WAIT, self.steps_waiting),
            (sql.STEP_END, self.steps_ended),
            (sql.STEP_CLOSE, self.steps_closed),
            # gone before armed: a timer that fired and was armed anew in one commit (an escalated gate) stands
            (sql.TIMER_OFF, self.timers_off),
            (sql.TIMERS_OFF, self.timers_off_runs),
            (sql.TIMER, [row for timers in self.timers.values() for row in timers.values()]),
            (sql.LOCK, self.locks),
            (sql.LOCK_HELD, self.locks_held),
            (sql.LOCK_OFF, self.locks_off),
            (sql.WAITS_OFF, [(run,) for run in self.waits]),
            (sql.WAIT, [row for waits in self.waits.values() for row in waits]),
            (sql.SNAPSHOT, list(self.snapshots.values())),
            (sql.COMMAND, self.commands),
        ):
            if values:
                many(statement, values)


def _open(kind: str, status: str) -> Callable[[Rows, str, int, float, Any], None]:
    def handler(rows: Rows, run: str, seq: int, at: float, event: Any) -> None:
        rows.opened.append(
            (run, path_of(event.scope, event.step), event.fence, kind, status, 1, at, None, None, seq, None, "", "")
        )

    return handler


def _instant(kind: str) -> Callable[[Rows, str, int, float, Any], None]:
    """A step that is over in the moment it is reached; it has no fence, so its sequence tells its visits apart."""

    def handler(rows: Rows, run: str, seq: int, at: float, event: Any) -> None:
        detail = event.goto if kind == "choice" else event.event
        path = path_of(event.scope, event.step)
        rows.opened.append((run, path, seq, kind, "completed", 1, at, at, None, seq, seq, "", detail))

    return handler


def _end(status: str) -> Callable[[Rows, str, int, float, Any], None]:
    def handler(rows: Rows, run: str, seq: int, at: float, event: Any) -> None:
        path = path_of(event.scope, event.step)
        rows.steps_ended.append((status, at, seq, "", "", run, path, event.fence))

    return handler


def _close(status: str) -> Callable[[Rows, str, int, float, Any], None]:
    """Ends whatever is open at a path (the event names no fence)."""

    def handler(rows: Rows, run: str, seq: int, at: float, event: Any) -> None:
        detail = getattr(event, "reason", "") or ""
        rows.steps_closed.append((status, at, seq, detail, run, path_of(event.scope, event.step), seq))

    return handler


def _scheduled(rows: Rows, run: str, seq: int, at: float, event: e.StepScheduled) -> None:
    if event.sample:
        return  # the observation has its row; its samples are in the history
    kind = "action" if event.undo is None else "compensation"
    path = path_of(event.scope, event.step)
    rows.opened.append(
        (run, path, event.fence, kind, "scheduled", event.attempt, at, None, None, seq, None, "", event.action)
    )


def _started(rows: Rows, run: str, seq: int, at: float, event: e.StepStarted) -> None:
    path = path_of(event.scope, event.step)
    rows.steps_waiting.append(("running", None, None, "", event.owner, run, path, event.fence))


def _completed(rows: Rows, run: str, seq: int, at: float, event: e.StepCompleted) -> None:
    status = "completed" if event.undo is None else "compensated"
    rows.steps_ended.append((status, at, seq, "", "", run, path_of(event.scope, event.step), event.fence))


def _failed(rows: Rows, run: str, seq: int, at: float, event: e.StepFailed) -> None:
    failure, path = event.failure, path_of(event.scope, event.step)
    rows.steps_ended.append(("failed", at, seq, failure.error, failure.message, run, path, event.fence))


def _in_doubt(rows: Rows, run: str, seq: int, at: float, event: e.StepInDoubt) -> None:
    failure, path = event.failure, path_of(event.scope, event.step)
    rows.steps_ended.append(("in_doubt", at, seq, failure.error, failure.message, run, path, event.fence))


def _again(rows: Rows, run: str, seq: int, at: float, event: Any) -> None:
    """A retry or a deferral: the step rests until `due`; the next attempt has a row of its own."""
    path = path_of(event.scope, event.step)
    retry = isinstance(event, e.StepRetryScheduled)
    status, attempt = ("retrying", event.attempt) if retry else ("waiting", 1)
    failure = event.failure if retry else None
    error, detail = (failure.error, failure.message) if failure else ("", "" if retry else event.reason)
    if not retry:
        rows.steps_ended.append(("deferred", at, seq, "", event.reason, run, path, event.fence))
    rows.opened.append((run, path, -seq, "action", status, attempt, at, None, event.due, seq, None, error, detail))


def _skipped(rows: Rows, run: str, seq: int, at: float, event: e.StepSkipped) -> None:
    path = path_of(event.scope, event.step)
    rows.steps_closed.append(("skipped", at, seq, event.reason, run, path, seq))
    rows.opened.append((run, path, -seq, "skip", "skipped", 1, at, at, None, seq, seq, "", event.reason))


def _timer_armed(rows: Rows, run: str, seq: int, at: float, event: e.TimerArmed) -> None:
    key = (run, event.scope, event.step, event.fence, event.purpose)
    rows.timers.setdefault(run, {})[key] = (*key, event.due)
    path = path_of(event.scope, event.step)
    if event.purpose == "wait":
        rows.opened.append((run, path, event.fence, "wait", "waiting", 1, at, None, event.due, seq, None, "", ""))


def _timer_gone(rows: Rows, run: str, seq: int, at: float, event: Any) -> None:
    key = (run, event.scope, event.step, event.fence, event.purpose)
    if run in rows.timers:
        rows.timers[run].pop(key, None)
    rows.timers_off.append(key)
    if event.purpose in ("retry", "defer"):
        path = path_of(event.scope, event.step)
        rows.steps_closed.append(("over", at, seq, "", run, path, seq))


def _received(rows: Rows, run: str, seq: int, at: float, event: e.EventReceived) -> None:
    for path in event.taken_by:
        rows.steps_closed.append(("completed", at, seq, event.event, run, path, seq))


def _run_over(rows: Rows, run: str, seq: int, at: float, event: Any) -> None:
    rows.timers.pop(run, None)
    rows.timers_off_runs.append((run,))


def _migrated(rows: Rows, run: str, seq: int, at: float, event: e.RunMigrated) -> None:
    rows.migrated.append((event.digest, run))


def _lock_waited(rows: Rows, run: str, seq: int, at: float, event: e.LockWaited) -> None:
    rows.locks.append((event.key, run, seq, False))


def _lock_held(rows: Rows, run: str, seq: int, at: float, event: e.LockAcquired) -> None:
    rows.locks.append((event.key, run, seq, True))  # ignored when the asking stands there already
    rows.locks_held.append((True, event.key, run))


def _lock_off(rows: Rows, run: str, seq: int, at: float, event: e.LockReleased) -> None:
    rows.locks_off.append((event.key, run))


HANDLERS: dict[str, Callable[[Rows, str, int, float, Any], None]] = {
    "StepScheduled": _scheduled,
    "StepStarted": _started,
    "StepCompleted": _completed,
    "StepFailed": _failed,
    "StepTimedOut": _end("timed_out"),
    "StepInDoubt": _in_doubt,
    "StepRetryScheduled": _again,
    "StepDeferred": _again,
    "StepSkipped": _skipped,
    "StepLeft": _close("left"),
    "StepCancelled": _close("cancelled"),
    "ChoiceTaken": _instant("choice"),
    "Emitted": _instant("emit"),
    "GateOpened": _open("gate", "waiting"),
    "GatePassed": _end("completed"),
    "GateRejected": _end("rejected"),
    "GateExpired": _end("expired"),
    "GateWithdrawn": _close("cancelled"),
    "EventAwaited": _open("wait", "waiting"),
    "EventReceived": _received,
    "InterruptTaken": _end("interrupted"),
    "ObservationStarted": _open("observe", "waiting"),
    "ObservationConcluded": _end("completed"),
    "MapExpanded": _open("map", "running"),
    "MapConcluded": _end("completed"),
    "ChildStarted": _open("child", "running"),
    "ChildEnded": _end("completed"),
    "TimerArmed": _timer_armed,
    "TimerFired": _timer_gone,
    "TimerCancelled": _timer_gone,
    "LockWaited": _lock_waited,
    "LockAcquired": _lock_held,
    "LockReleased": _lock_off,
    "RunMigrated": _migrated,
    "RunCompleted": _run_over,
    "RunFailed": _run_over,
    "RunCancelled": _run_over,
    "RunTerminated": _run_over,
    "RunTimedOut": _run_over,
}
"""Event type -> what it changes. Types that are not here change no built-in table (gates: `gate_projection.py`)."""
