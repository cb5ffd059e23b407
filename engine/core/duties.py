"""What the host owes: `effects` of one committed event, and `pending`, everything that is owed after a restart.

Two rules:
1. `effects` reads the event, and of the state only what never changes in a run (who its parent is): the state may be
   ahead of the event.
2. Together they lose nothing: what `effects` gave and was not answered, `pending` gives again. Only what has no answer
   (`Publish`, `Notify`) is not in `pending`: the host derives it again from the events themselves, by its own cursor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from engine.core import events as e
from engine.core import state as s
from engine.core.definition import Definition
from engine.core.effects import (
    ArmTimer,
    CancelAction,
    CancelChild,
    DisarmTimer,
    Effect,
    FreeLock,
    Notify,
    Publish,
    RunAction,
    StartChild,
    TakeLock,
    TellParent,
)
from engine.core.state import State, Token

Json = Any


def effects(state: State, event: e.Event) -> list[Effect]:
    """What has to be done because this event was committed."""
    derive = _TABLE.get(type(event))
    return [] if derive is None else derive(state, event)


def pending(definition: Definition, state: State) -> list[Effect]:
    """Everything a restarted host must do again for this run, from its state alone.

    A `RunAction` here has `recovered` set. With `in_doubt` set too, an `effect: once` had been started: call the action
    only if it reads back, else answer `Fail(in_doubt=True)`. A child that ended meanwhile is answered with `EndChild`.
    While the run is suspended its timers are not armed: resuming fires those that are due and arms the rest again.
    """
    owed: list[Effect] = []
    if not state.open:
        return owed
    if state.lock_wanted and state.lock is not None:
        owed.append(TakeLock(key=state.lock, limit=state.lock_limit, queue=state.lock_queue))
    if state.deadline is not None:
        owed.append(_arm("", "", state.deadline))
    tokens = [state.undoing] if state.undoing is not None else list(state.tokens.values())
    for token in tokens:
        owed += [_arm(token.scope, token.step, timer) for timer in token.timers]
        owed += _flying(token)
    return owed


def _flying(token: Token) -> list[Effect]:
    """What the token has outside, and whether it has been asked to stop."""
    owed: list[Effect] = []
    if token.phase == s.CALL and token.call is not None:
        once = token.call.effect == "once" and bool(token.started)
        owed.append(
            msgspec.structs.replace(
                _run_action(token.call),
                recovered=True,
                started=bool(token.started),
                in_doubt=token.call.in_doubt or once,
            )
        )
        if token.stopping:
            owed.append(CancelAction(scope=token.scope, step=token.step, fence=token.fence))
    elif token.phase == s.CHILD and token.child is not None:
        child = token.child
        owed.append(
            StartChild(
                scope=token.scope,
                step=token.step,
                fence=token.fence,
                child=child.id,
                workflow=child.workflow,
                inputs=child.inputs,
            )
        )
        if child.asked_to_cancel:
            owed.append(CancelChild(child=child.id))
    return owed


def _arm(scope: str, step: str, timer: s.Timer) -> ArmTimer:
    return ArmTimer(scope=scope, step=step, fence=timer.fence, purpose=timer.purpose, due=timer.due)


def _run_action(event: e.StepScheduled) -> RunAction:
    return RunAction(
        scope=event.scope,
        step=event.step,
        fence=event.fence,
        attempt=event.attempt,
        action=event.action,
        input=event.input,
        key=event.key,
        effect=event.effect,
        timeout=event.timeout,
        heartbeat=event.heartbeat,
        undo=event.undo,
        in_doubt=event.in_doubt,
    )


def _scheduled(state: State, event: e.StepScheduled) -> list[Effect]:
    return [_run_action(event)]


def _armed(state: State, event: e.TimerArmed) -> list[Effect]:
    return [ArmTimer(scope=event.scope, step=event.step, fence=event.fence, purpose=event.purpose, due=event.due)]


def _disarmed(state: State, event: e.TimerCancelled) -> list[Effect]:
    return [DisarmTimer(scope=event.scope, step=event.step, fence=event.fence, purpose=event.purpose)]


def _asked_to_stop(state: State, event: e.StepCancelRequested) -> list[Effect]:
    if event.child is not None:
        return [CancelChild(child=event.child)]
    return [CancelAction(scope=event.scope, step=event.step, fence=event.fence)]


def _child(state: State, event: e.ChildStarted) -> list[Effect]:
    return [
        StartChild(
            scope=event.scope,
            step=event.step,
            fence=event.fence,
            child=event.child,
            workflow=event.workflow,
            inputs=event.inputs,
        )
    ]


def _lock_wanted(state: State, event: e.LockWaited) -> list[Effect]:
    return [TakeLock(key=event.key, limit=event.limit, queue=event.queue)]


def _lock_released(state: State, event: e.LockReleased) -> list[Effect]:
    return [FreeLock(key=event.key)]


def _emitted(state: State, event: e.Emitted) -> list[Effect]:
    return [Publish(event=event.event, data=event.data, subject=event.subject)]


def _gate_opened(state: State, event: e.GateOpened) -> list[Effect]:
    return [Notify(what="gate_opened", gate=event.gate)]


def _reminded(state: State, event: e.ReminderSent) -> list[Effect]:
    return [Notify(what="reminder", gate=event.gate)]


def _gate_escalated(state: State, event: e.GateEscalated) -> list[Effect]:
    return [Notify(what="gate_escalated", gate=event.gate, role=event.role)]


def _tell(state: State, status: str, output: Json = None, failure: e.Failure | None = None) -> list[Effect]:
    if state.parent is None:
        return []
    return [
        TellParent(
            parent=state.parent,
            scope=state.parent_scope,
            step=state.parent_step,
            fence=state.parent_fence,
            status=status,
            output=output,
            failure=None if failure is None else msgspec.to_builtins(failure),
        )
    ]


def _completed(state: State, event: e.RunCompleted) -> list[Effect]:
    return _tell(state, "completed", event.output)


def _failed(state: State, event: e.RunFailed) -> list[Effect]:
    return _tell(state, "failed", event.output, event.failure)


def _cancelled(state: State, event: e.RunCancelled) -> list[Effect]:
    return _tell(state, "cancelled", None, e.Failure(error="Cancelled", message=event.reason))


def _terminated(state: State, event: e.RunTerminated) -> list[Effect]:
    return _tell(state, "terminated", None, e.Failure(error="Terminated", message=event.reason))


def _timed_out(state: State, event: e.RunTimedOut) -> list[Effect]:
    return _tell(state, "timed_out", None, e.Failure(error="RunTimeout", kind="timeout"))


_TABLE: dict[type[e.Event], Callable[[State, Any], list[Effect]]] = {
    e.StepScheduled: _scheduled,
    e.TimerArmed: _armed,
    e.TimerCancelled: _disarmed,
    e.StepCancelRequested: _asked_to_stop,
    e.ChildStarted: _child,
    e.LockWaited: _lock_wanted,
    e.LockReleased: _lock_released,
    e.Emitted: _emitted,
    e.GateOpened: _gate_opened,
    e.ReminderSent: _reminded,
    e.GateEscalated: _gate_escalated,
    e.RunCompleted: _completed,
    e.RunFailed: _failed,
    e.RunCancelled: _cancelled,
    e.RunTerminated: _terminated,
    e.RunTimedOut: _timed_out,
}
