"""How facts about a run as a whole change what is known of it; a part of `apply`, under the same two rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.core import events as e
from engine.core import state as s
from engine.core.state import State, Token


def _run_started(state: State, event: e.RunStarted) -> None:
    state.status = "running"
    state.workflow, state.version, state.digest = event.workflow, event.version, event.digest
    state.inputs, state.attributes = event.inputs, event.attributes
    state.by, state.started_at, state.trigger = event.by, event.at, event.trigger
    state.parent, state.parent_scope = event.parent, event.parent_scope
    state.parent_step, state.parent_fence = event.parent_step, event.parent_fence
    state.tokens = {"": Token(scope="")}


def _lock_waited(state: State, event: e.LockWaited) -> None:
    state.lock, state.lock_limit, state.lock_queue, state.lock_wanted = event.key, event.limit, event.queue, True


def _lock_acquired(state: State, event: e.LockAcquired) -> None:
    state.lock_wanted = False


def _lock_released(state: State, event: e.LockReleased) -> None:
    state.lock, state.lock_wanted = None, False


def _window_held(state: State, event: e.WindowHeld) -> None:
    token = state.tokens[event.scope]
    token.step, token.fence, token.phase, token.held = event.step, event.fence, s.HELD, event.window
    state.fence = max(state.fence, event.fence)


def _window_overridden(state: State, event: e.WindowOverridden) -> None:
    token = state.tokens[event.scope]
    token.overridden = event.step
    if token.phase == s.HELD:
        token.phase, token.goto, token.held = s.ENTER, event.step, ""


def _suspended(state: State, event: e.RunSuspended) -> None:
    state.suspended = True


def _resumed(state: State, event: e.RunResumed) -> None:
    state.suspended = False


def _cancel_requested(state: State, event: e.RunCancelRequested) -> None:
    state.suspended = False
    state.closing, state.cancelled_by, state.cancel_reason = "cancelled", event.by, event.reason
    state.cause = e.Failure(error="Cancelled", message=event.reason)
    state.tokens[""].leave = s.Leave()


def _migrated(state: State, event: e.RunMigrated) -> None:
    state.digest = event.digest
    state.version = event.version or state.version


def _redriven(state: State, event: e.RunRedriven) -> None:
    old = state.tokens.get("")
    state.status, state.closing, state.cause, state.suspended = "running", "", None, False
    state.inputs, state.ended_at, state.output, state.ending = event.inputs, None, None, ""
    state.undone, state.undo_failed = [], []
    state.tokens = {"": Token(scope="", goto=event.step, results=old.results if old is not None else {})}


def _closed(state: State, status: str, at: float, ending: str) -> None:
    """What a closed run keeps is what a redrive needs: the results of its own steps, and what is not undone."""
    root = state.tokens.get("")
    state.status, state.ended_at, state.ending = status, at, ending
    state.suspended = False
    state.deadline = state.undoing = state.lock = None
    state.lock_wanted = False
    state.gates = {}
    state.tokens = {"": Token(scope="", phase=s.STOPPED, results=root.results)} if root is not None else {}


def _completed(state: State, event: e.RunCompleted) -> None:
    state.output = event.output
    _closed(state, "completed", event.at, event.ending)
    state.undo = []
    state.tokens = {}


def _failed(state: State, event: e.RunFailed) -> None:
    state.cause, state.output = event.failure, event.output
    _closed(state, "failed", event.at, event.ending)


def _cancelled(state: State, event: e.RunCancelled) -> None:
    _closed(state, "cancelled", event.at, event.ending)


def _terminated(state: State, event: e.RunTerminated) -> None:
    _closed(state, "terminated", event.at, "terminated")


def _timed_out(state: State, event: e.RunTimedOut) -> None:
    _closed(state, "timed_out", event.at, event.ending)


def _compensation_started(state: State, event: e.CompensationStarted) -> None:
    state.status = "compensating"


def _compensation_failed(state: State, event: e.CompensationFailed) -> None:
    state.undo_failed.append(s.path(event.scope, event.step))
    state.undo.pop()
    state.undoing = None


def _compensation_concluded(state: State, event: e.CompensationConcluded) -> None:
    state.status = "concluding"
    old = state.tokens[""]
    phase, goto = (s.ENTER, event.goto) if event.goto else (s.STOPPED, "")
    state.tokens = {"": Token(scope="", phase=phase, goto=goto, results=old.results, error=state.cause)}


RUN_TABLE: dict[type[e.Event], Callable[[State, Any], None]] = {
    e.RunStarted: _run_started,
    e.LockWaited: _lock_waited,
    e.LockAcquired: _lock_acquired,
    e.LockReleased: _lock_released,
    e.WindowHeld: _window_held,
    e.WindowOverridden: _window_overridden,
    e.RunSuspended: _suspended,
    e.RunResumed: _resumed,
    e.RunCancelRequested: _cancel_requested,
    e.RunMigrated: _migrated,
    e.RunRedriven: _redriven,
    e.RunCompleted: _completed,
    e.RunFailed: _failed,
    e.RunCancelled: _cancelled,
    e.RunTerminated: _terminated,
    e.RunTimedOut: _timed_out,
    e.CompensationStarted: _compensation_started,
    e.CompensationFailed: _compensation_failed,
    e.CompensationConcluded: _compensation_concluded,
}
