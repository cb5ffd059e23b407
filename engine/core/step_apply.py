"""How facts about steps change what is known of a run; a part of `apply`, under the same two rules.

While a compensation runs nothing else moves, so every answer and timer then belongs to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.core import events as e
from engine.core import state as s
from engine.core.state import State, Timer, Token

TRIES_KEPT = 20
EVENTS_REMEMBERED = 64


def _holder(state: State, scope: str) -> Token:
    return state.undoing if state.undoing is not None else state.tokens[scope]


def _stand(state: State, event: Any) -> Token:
    """The token of the event's scope, now standing at the event's step under the event's fence."""
    token = state.tokens[event.scope]
    token.step = event.step
    token.fence = event.fence
    state.fence = max(state.fence, event.fence)
    return token


def _settle(token: Token) -> None:
    """The visit is over: what belonged to its attempts goes."""
    token.call = None
    token.attempt = token.round = token.doubts = 0
    token.undo = -1
    if token.tries or token.failure is not None:
        token.tries = []
        token.failure = token.retry_after = None
        token.retryable = True
    if token.started:
        token.started = ""


def _drop_refused(state: State, token: Token) -> None:
    """An action that was refused before it could act has nothing to undo."""
    if token.undo >= 0 and not token.acted:
        state.undo = [undo for undo in state.undo if undo.number != token.undo]


def _name(step: str) -> str:
    return step.rpartition(".")[2]


def _scheduled(state: State, event: e.StepScheduled) -> None:
    if event.undo is not None:
        token = state.undoing
        if token is None:
            state.undoing = token = Token(scope=event.scope)
        token.step, token.fence = event.step, event.fence
        state.fence = event.fence
    else:
        token = state.tokens[event.scope]
        token.step = event.step
        token.fence = event.fence
        state.fence = event.fence
        if event.attempt == 1 and not event.in_doubt and not event.sample:
            token.acted = False
            token.undo = -1
    token.phase = s.CALL
    token.attempt = event.attempt
    token.call = event
    if token.started:
        token.started = ""
    if event.compensation is not None:
        undo = s.undo_of(event)
        state.undo.append(undo)
        state.undo_count = undo.number + 1
        token.undo = undo.number


def _started(state: State, event: e.StepStarted) -> None:
    _holder(state, event.scope).started = event.owner


def _step_completed(state: State, event: e.StepCompleted) -> None:
    if event.undo is not None:
        state.undone.append(s.path(event.scope, event.step))
        state.undo.pop()
        state.undoing = None
        return
    token = state.tokens[event.scope]
    if token.phase == s.EVENT:
        token.event = event.output
        token.awaited = ""
        token.correlate = None
    token.results[_name(event.step)] = {"output": event.output}
    token.output = event.output
    token.phase = s.DONE
    _settle(token)


def _step_failed(state: State, event: e.StepFailed) -> None:
    token = _holder(state, event.scope)
    if event.undo is None:
        token = _stand(state, event)
    token.phase = s.FAILED
    token.attempt = event.attempt
    token.failure, token.retryable, token.retry_after = event.failure, event.retryable, event.retry_after
    token.doubts = 0
    if event.acted:
        token.acted = True
    _remember(token, event)


def _in_doubt(state: State, event: e.StepInDoubt) -> None:
    token = _holder(state, event.scope)
    token.phase = s.DOUBT
    token.failure = event.failure
    token.acted = True
    token.doubts += 1
    _remember(token, event)


def _remember(token: Token, event: e.StepFailed | e.StepInDoubt) -> None:
    token.tries.append(
        s.Try(attempt=event.attempt, at=event.at, error=event.failure.error, message=event.failure.message)
    )
    del token.tries[:-TRIES_KEPT]


def _retry_scheduled(state: State, event: e.StepRetryScheduled) -> None:
    token = _holder(state, event.scope)
    token.phase, token.fence = s.RETRY, event.fence
    state.fence = max(state.fence, event.fence)


def _deferred(state: State, event: e.StepDeferred) -> None:
    token = _holder(state, event.scope)
    token.phase, token.fence, token.reason = s.DEFERRED, event.fence, event.reason
    if event.acted:
        token.acted = True
    state.fence = max(state.fence, event.fence)


def _skipped(state: State, event: e.StepSkipped) -> None:
    token = state.tokens[event.scope]
    token.step = event.step
    result: dict[str, Any] = {"output": event.output, "skipped": True}
    if event.by:
        result.update(by=event.by, reason=event.reason)
        token.output = event.output
    token.results[_name(event.step)] = result
    token.phase, token.answer, token.reason, token.held, token.awaited = s.DONE, "", "", "", ""
    token.items = token.child = token.observation = None
    _settle(token)


def _step_cancelled(state: State, event: e.StepCancelled) -> None:
    token = state.tokens[event.scope]
    token.phase = s.STOPPED
    token.timers = []
    token.awaited, token.held = "", ""
    token.items = token.child = token.observation = None
    _settle(token)


def _cancel_step(state: State, event: e.StepCancelRequested) -> None:
    token = _holder(state, event.scope)
    token.stopping = True
    if event.stop:
        token.leave = s.Leave()
    if event.child is not None and token.child is not None:
        token.child.asked_to_cancel = True


def _step_timed_out(state: State, event: e.StepTimedOut) -> None:
    token = state.tokens[event.scope]
    token.leave = s.Leave(timeout=True)
    _cut_short(token, "timed_out")


def _go(token: Token, target: str) -> None:
    token.phase, token.goto = s.ENTER, target
    token.leave, token.stopping = None, False


def _left(state: State, event: e.StepLeft) -> None:
    token = state.tokens[event.scope]
    _go(token, event.goto)
    _settle(token)


def _fallback(state: State, event: e.FallbackTaken) -> None:
    token = state.tokens[event.scope]
    _drop_refused(state, token)
    name = _name(event.step)
    token.results[name] = {**token.results.get(name, {}), "error": s.described(event.failure)}
    token.error = event.failure
    token.answer = token.reason = ""
    _go(token, event.goto)
    _settle(token)


def _raised(state: State, event: e.ErrorRaised) -> None:
    token = state.tokens[event.scope]
    _drop_refused(state, token)
    token.step = event.step
    token.leave, token.stopping, token.answer, token.reason = None, False, "", ""
    _settle(token)
    token.phase, token.failure = s.BROKEN, event.failure
    if not event.scope and state.status == "running":
        state.cause, state.closing = event.failure, "failed"


def _choice(state: State, event: e.ChoiceTaken) -> None:
    token = state.tokens[event.scope]
    token.step = event.step
    token.results[_name(event.step)] = {"goto": event.goto}
    token.phase, token.goto = s.ENTER, event.goto


def _emitted(state: State, event: e.Emitted) -> None:
    token = state.tokens[event.scope]
    token.step, token.phase = event.step, s.DONE
    token.results[_name(event.step)] = {"output": event.data}
    token.output = event.data


# timers and events


def _timer_armed(state: State, event: e.TimerArmed) -> None:
    if event.purpose == "deadline":
        state.deadline = Timer(purpose="deadline", fence=event.fence, due=event.due)
        return
    token = _holder(state, event.scope)
    if event.purpose == "wait":
        token = _stand(state, event)
        token.phase = s.WAIT
    token.timers.append(Timer(purpose=event.purpose, fence=event.fence, due=event.due))


def _timer_gone(state: State, event: e.TimerFired | e.TimerCancelled) -> None:
    if event.purpose == "deadline":
        state.deadline = None
        return
    token = _holder(state, event.scope)
    token.timers = [one for one in token.timers if one.purpose != event.purpose or one.fence != event.fence]


def _timer_fired(state: State, event: e.TimerFired) -> None:
    _timer_gone(state, event)
    if event.purpose == "deadline":
        if state.status == "running" and not state.closing:
            state.closing = "timed_out"
            state.cause = e.Failure(error="RunTimeout", message="the run's time is up", kind="timeout")
            state.tokens[""].leave = s.Leave()
    elif event.purpose == "observe_end":
        observation = state.tokens[event.scope].observation
        if observation is not None:
            observation.over = True


def _awaited(state: State, event: e.EventAwaited) -> None:
    token = _stand(state, event)
    token.phase, token.awaited, token.correlate = s.EVENT, event.event, event.correlate


def _received(state: State, event: e.EventReceived) -> None:
    state.seen.append(event.id)
    del state.seen[:-EVENTS_REMEMBERED]


def _interrupted(state: State, event: e.InterruptTaken) -> None:
    token = state.tokens[event.scope]
    token.leave = s.Leave(goto=event.goto, raise_=event.raise_, event=event.event)
    _cut_short(token, "interrupted")
    token.event = {"event": event.event, "id": event.id, "data": event.data, "by": event.by}


# observations, maps, children


def _observation_started(state: State, event: e.ObservationStarted) -> None:
    token = _stand(state, event)
    token.phase = s.OBSERVE
    token.observation = s.Observation(fence=event.fence, since=event.at, every=event.every, until=event.until)


def _judged(state: State, event: e.SampleJudged) -> None:
    token = state.tokens[event.scope]
    seen = token.observation
    token.phase, token.call, token.started = s.OBSERVE, None, ""
    if seen is None:
        return
    seen.samples, seen.last, seen.ready = event.number, event.verdict, event.ready
    seen.trouble = s.told(event.failure)
    if event.verdict == "error":
        seen.errors_in_a_row += 1
    else:
        seen.errors_in_a_row = 0
        seen.sample = event.sample
        seen.fails += event.verdict == "fail"
        seen.unsures += event.verdict == "unsure"
    if token.leave is not None:
        _cut_short(token, token.results.get(_name(token.step), {}).get("verdict", "interrupted"))


def _cut_short(token: Token, verdict: str) -> None:
    """An observation that is left leaves its newest sample behind, so that a later visit can go on from it."""
    seen = token.observation
    if seen is not None:
        name = _name(token.step)
        output = token.results.get(name, {}).get("output") if seen.sample is None else seen.sample
        token.results[name] = {"output": output, "verdict": verdict, "samples": seen.samples, "reason": ""}


def _concluded(state: State, event: e.ObservationConcluded) -> None:
    token = state.tokens[event.scope]
    token.results[_name(event.step)] = {
        "output": event.output,
        "verdict": event.verdict,
        "samples": event.samples,
        "reason": event.reason,
    }
    token.output, token.phase, token.observation = event.output, s.DONE, None
    _settle(token)


def _expanded(state: State, event: e.MapExpanded) -> None:
    token = _stand(state, event)
    token.phase = s.MAP
    token.items = s.Items(items=event.items, parallel=event.parallel, tolerate=event.tolerate, as_=event.as_)


def _items(state: State, event: Any) -> s.Items:
    items = state.tokens[event.scope].items
    if items is None:
        raise KeyError(f"no map is open at {s.path(event.scope, event.step)}")
    return items


def _item_started(state: State, event: e.ItemStarted) -> None:
    items = _items(state, event)
    items.next = event.index + 1
    items.running.add(event.index)
    scope = s.item_scope(event.scope, event.step, event.index)
    state.tokens[scope] = Token(scope=scope, index=event.index, as_name=items.as_, item=items.items[event.index])


def _item_ended(state: State, event: e.ItemCompleted | e.ItemFailed | e.ItemCancelled) -> None:
    items = _items(state, event)
    del state.tokens[s.item_scope(event.scope, event.step, event.index)]
    items.running.discard(event.index)
    if isinstance(event, e.ItemCompleted):
        items.completed += 1
        if event.output is not None:
            items.outputs[event.index] = event.output
    elif isinstance(event, e.ItemFailed):
        items.failures.append((event.index, event.failure))


def _map_concluded(state: State, event: e.MapConcluded) -> None:
    token, items = state.tokens[event.scope], _items(state, event)
    output = [items.outputs.get(index) for index in range(len(items.items))]
    token.results[_name(event.step)] = {
        "output": output,
        "completed": event.completed,
        "failed": event.failed,
        "failures": [{"index": i, "error": f.error, "message": f.message} for i, f in items.failures],
    }
    token.output, token.phase, token.items = output, s.DONE, None
    _settle(token)


def _child_started(state: State, event: e.ChildStarted) -> None:
    token = _stand(state, event)
    token.phase = s.CHILD
    token.child = s.ChildRun(id=event.child, workflow=event.workflow, inputs=event.inputs, key=event.key)


def _child_ended(state: State, event: e.ChildEnded) -> None:
    token = state.tokens[event.scope]
    token.results[_name(event.step)] = {"output": event.output, "status": event.status, "child": event.child}
    token.output, token.phase, token.child = event.output, s.DONE, None
    if event.status == "completed":
        _settle(token)


STEP_TABLE: dict[type[e.Event], Callable[[State, Any], None]] = {
    e.StepScheduled: _scheduled,
    e.StepStarted: _started,
    e.StepCompleted: _step_completed,
    e.StepFailed: _step_failed,
    e.StepInDoubt: _in_doubt,
    e.StepRetryScheduled: _retry_scheduled,
    e.StepDeferred: _deferred,
    e.StepSkipped: _skipped,
    e.StepCancelled: _step_cancelled,
    e.StepCancelRequested: _cancel_step,
    e.StepTimedOut: _step_timed_out,
    e.StepLeft: _left,
    e.FallbackTaken: _fallback,
    e.ErrorRaised: _raised,
    e.ChoiceTaken: _choice,
    e.Emitted: _emitted,
    e.TimerArmed: _timer_armed,
    e.TimerFired: _timer_fired,
    e.TimerCancelled: _timer_gone,
    e.EventAwaited: _awaited,
    e.EventReceived: _received,
    e.InterruptTaken: _interrupted,
    e.ObservationStarted: _observation_started,
    e.SampleJudged: _judged,
    e.ObservationConcluded: _concluded,
    e.MapExpanded: _expanded,
    e.ItemStarted: _item_started,
    e.ItemCompleted: _item_ended,
    e.ItemFailed: _item_ended,
    e.ItemCancelled: _item_ended,
    e.MapConcluded: _map_concluded,
    e.ChildStarted: _child_started,
    e.ChildEnded: _child_ended,
}
