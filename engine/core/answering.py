"""The outside answers: actions, children, timers, locks and events. What no longer holds its step is refused, and that
is recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.core import commands as c
from engine.core import events as e
from engine.core import observing, voting
from engine.core import state as s
from engine.core.deciding import Deciding
from engine.core.ending import let_go
from engine.core.entering import enter
from engine.core.evaluator import ExpressionError
from engine.core.failing import UNTOUCHED, again, same_attempt
from engine.core.state import Timer, Token, path
from engine.core.undoing import schedule_undo

Json = Any


def _stale(d: Deciding, command: Any, reason: str, output: Json = None) -> None:
    """An answer that came too late loses, and leaves a trace: its effect may have happened."""
    d.emit(e.ResultRefused(scope=command.scope, step=command.step, fence=command.fence, reason=reason, output=output))
    d.refuse("closed" if not d.state.open else "stale", reason)


def _holder(d: Deciding, command: c.Complete | c.Fail | c.Defer | c.MarkStarted) -> Token | None:
    """The token whose call this answers; None when that call no longer holds its step."""
    state = d.state
    token = state.undoing if state.undoing is not None else state.tokens.get(command.scope)
    if (
        token is None
        or not state.open
        or token.phase != s.CALL
        or token.fence != command.fence
        or token.step != command.step
        or token.scope != command.scope
    ):
        output = command.output if isinstance(command, c.Complete) else None
        _stale(d, command, f"{path(command.scope, command.step)} is no longer held by fence {command.fence}", output)
        return None
    return token


def complete(d: Deciding, command: c.Complete) -> None:
    token = _holder(d, command)
    if token is None or token.call is None:
        return
    if token.call.sample:
        observing.judged(d, token, command.output)
        return
    d.emit(
        e.StepCompleted(
            scope=command.scope,
            step=command.step,
            fence=command.fence,
            output=command.output,
            at=d.now,
            undo=token.call.undo,
        )
    )
    d.touch(command.scope)


def fail(d: Deciding, command: c.Fail) -> None:
    token = _holder(d, command)
    if token is None or token.call is None:
        return
    call, failure = token.call, command.failure
    if call.sample:
        observing.judged(d, token, None, failure)
        return
    unanswered = command.in_doubt or (call.effect == "once" and failure.kind in ("timeout", "unknown"))
    if unanswered and call.effect != "read":
        d.emit(
            e.StepInDoubt(
                scope=command.scope,
                step=command.step,
                fence=command.fence,
                attempt=token.attempt,
                failure=failure,
                at=d.now,
                undo=call.undo,
            )
        )
    else:
        d.emit(
            e.StepFailed(
                scope=command.scope,
                step=command.step,
                fence=command.fence,
                attempt=token.attempt,
                failure=failure,
                at=d.now,
                undo=call.undo,
                retryable=command.retryable,
                retry_after=command.retry_after,
                acted=call.effect != "read" and (command.recovered or failure.kind not in UNTOUCHED),
            )
        )
    d.touch(command.scope)


def defer(d: Deciding, command: c.Defer) -> None:
    token = _holder(d, command)
    if token is None or token.call is None:
        return
    due, fence = d.now + max(0.0, command.seconds), d.next_fence()
    d.emit(
        e.StepDeferred(
            scope=command.scope,
            step=command.step,
            fence=fence,
            due=due,
            reason=command.reason,
            undo=token.call.undo,
            acted=command.recovered,
        )
    )
    d.arm(token, command.step, fence, "defer", due)
    d.touch(command.scope)


def mark_started(d: Deciding, command: c.MarkStarted) -> None:
    token = _holder(d, command)
    if token is not None:
        d.emit(e.StepStarted(scope=command.scope, step=command.step, fence=command.fence, owner=command.owner))


def end_child(d: Deciding, command: c.EndChild) -> None:
    token = d.state.tokens.get(command.scope)
    if (
        token is None
        or not d.state.open
        or token.phase != s.CHILD
        or token.fence != command.fence
        or token.step != command.step
    ):
        _stale(d, command, f"no child of fence {command.fence} is awaited", command.output)
        return
    d.disarm_all(token)
    d.emit(
        e.ChildEnded(
            scope=command.scope,
            step=command.step,
            fence=command.fence,
            child=command.child,
            status=command.status,
            output=command.output,
            failure=command.failure,
        )
    )
    if command.status != "completed" and token.leave is None:
        failure = command.failure or e.Failure(error="ChildFailed", message=f"{command.child} {command.status}")
        d.emit(
            e.StepFailed(
                scope=command.scope,
                step=command.step,
                fence=command.fence,
                attempt=token.attempt + 1,
                failure=failure,
                at=d.now,
                acted=True,
            )
        )
    d.touch(command.scope)


def grant_lock(d: Deciding, command: c.GrantLock) -> None:
    if not d.state.lock_wanted or d.state.lock != command.key:
        d.refuse("already", f"{d.state.run} does not wait for {command.key}")
        return
    d.emit(e.LockAcquired(key=command.key))
    d.touch("")


def deny_lock(d: Deciding, command: c.DenyLock) -> None:
    if not d.state.lock_wanted or d.state.lock != command.key:
        d.refuse("already", f"{d.state.run} does not wait for {command.key}")
        return
    holders = ", ".join(command.holders) or "other runs"
    let_go(d)
    failure = e.Failure(error="Busy", message=f"{command.key} is held by {holders}", kind="conflict")
    d.emit(e.RunFailed(at=d.now, failure=failure, ending="refused"))


# timers


def fire_timer(d: Deciding, command: c.FireTimer) -> None:
    """A timer fires once, while it is armed. In a suspended run it is held; resuming fires it if it is due."""
    state = d.state
    if state.suspended:
        d.refuse("suspended", f"{state.run} is suspended: its timers fire, in due order, when it is resumed")
        return
    if not fire(d, command):
        _stale(d, command, f"timer {command.purpose} of fence {command.fence} is no longer armed")


def fire(d: Deciding, command: c.FireTimer) -> bool:
    state = d.state
    if not state.open:
        return False
    if command.purpose == "deadline":
        return _deadline(d, command)
    token = state.undoing if state.undoing is not None else state.tokens.get(command.scope)
    handler = _TIMERS.get(command.purpose)
    if token is None or handler is None:
        return False
    armed = next((one for one in token.timers if one.purpose == command.purpose and one.fence == command.fence), None)
    if armed is None:
        return False
    d.emit(e.TimerFired(scope=command.scope, step=command.step, fence=command.fence, purpose=command.purpose, at=d.now))
    handler(d, token, armed)
    d.touch(command.scope)
    return True


def _deadline(d: Deciding, command: c.FireTimer) -> bool:
    if d.state.deadline is None or d.state.deadline.fence != command.fence:
        return False
    d.emit(e.TimerFired(scope="", step="", fence=command.fence, purpose="deadline", at=d.now))
    if d.state.lock_wanted:
        let_go(d)
        d.emit(e.RunTimedOut(at=d.now))
    d.touch("")
    return True


def _waited(d: Deciding, token: Token, timer: Timer) -> None:
    d.disarm_all(token)
    d.emit(e.StepCompleted(scope=token.scope, step=token.step, fence=timer.fence, at=d.now))


def _retry(d: Deciding, token: Token, timer: Timer) -> None:
    if d.state.undoing is token:
        in_doubt = token.doubts > 0
        schedule_undo(d, d.state.undo[-1], attempt=token.attempt if in_doubt else token.attempt + 1, in_doubt=in_doubt)
    elif token.leave is None:
        again(d, token, in_doubt=token.doubts > 0)


def _deferred(d: Deciding, token: Token, timer: Timer) -> None:
    if d.state.undoing is token:
        schedule_undo(d, d.state.undo[-1], attempt=max(1, token.attempt), in_doubt=token.doubts > 0)
    elif token.leave is None:
        same_attempt(d, token)


def _window(d: Deciding, token: Token, timer: Timer) -> None:
    if token.leave is None:
        enter(d, token, token.step)


def _sample(d: Deciding, token: Token, timer: Timer) -> None:
    if token.leave is None:
        observing.next_sample(d, token)


def _observe_end(d: Deciding, token: Token, timer: Timer) -> None:
    if token.leave is None:
        observing.time_up(d, token)


def _timeout(d: Deciding, token: Token, timer: Timer) -> None:
    if token.leave is None:
        d.emit(e.StepTimedOut(scope=token.scope, step=token.step, fence=timer.fence, attempt=token.attempt, at=d.now))


def _expiry(d: Deciding, token: Token, timer: Timer) -> None:
    voting.expire(d, token)


def _reminder(d: Deciding, token: Token, timer: Timer) -> None:
    voting.remind(d, token, timer)


_TIMERS: dict[str, Callable[[Deciding, Token, Timer], None]] = {
    "wait": _waited,
    "retry": _retry,
    "defer": _deferred,
    "window": _window,
    "sample": _sample,
    "observe_end": _observe_end,
    "timeout": _timeout,
    "expiry": _expiry,
    "reminder": _reminder,
}


# events


def receive(d: Deciding, command: c.ReceiveEvent) -> None:
    """An event moves what waits for it, innermost first: who handles it hides it from the maps around."""
    state = d.state
    if not state.open:
        d.refuse("closed", f"{state.run} is {state.status}")
        return
    if command.id in state.seen:
        d.refuse("duplicate", f"event {command.id} was received before")
        return
    event = {"event": command.event, "id": command.id, "data": command.data, "by": command.by}
    taken: list[tuple[Token, Callable[[], None]]] = []
    shadow: set[str] = set()
    for scope in sorted(state.tokens, key=lambda one: (-one.count("/") - bool(one), one)):
        token = state.tokens[scope]
        if state.status == "compensating" or token.leave is not None:
            continue
        act = None if scope in shadow else _taker(d, token, event)
        if act is not None:
            taken.append((token, act))
        if (act is not None or scope in shadow) and scope:
            shadow.add(token.parent)
    d.emit(
        e.EventReceived(
            event=command.event,
            id=command.id,
            data=command.data,
            by=command.by,
            at=d.now,
            taken_by=tuple(token.path for token, _ in taken),
        )
    )
    for token, act in taken:
        act()
        d.touch(token.scope)
    if not taken:
        d.refuse("not_waiting", f"nothing in {state.run} waits for {command.event} now")


def _taker(d: Deciding, token: Token, event: dict[str, Json]) -> Callable[[], None] | None:
    """What the event does to this token, if anything. A filter that can't be evaluated takes nothing."""
    step = d.definition.steps.get(token.step)
    if step is None or token.phase in (s.ENTER, s.DONE, s.BROKEN, s.STOPPED):
        return None
    env = d.env(token, {"event": event})
    wait = step.wait
    if token.phase == s.EVENT and wait is not None and token.awaited == event["event"]:
        data = event["data"]
        correlated = token.correlate is None or token.correlate in (data.get("correlate"), data.get("subject"))
        if correlated and _holds(d, wait.filter, env):
            return lambda: _event_came(d, token, event)
    for interrupt in step.interrupt:
        if interrupt.event == event["event"] and _holds(d, interrupt.filter, env):
            taken = e.InterruptTaken(
                scope=token.scope,
                step=token.step,
                fence=token.fence,
                event=event["event"],
                goto=interrupt.goto,
                raise_=interrupt.raise_,
                id=event["id"],
                data=event["data"],
                by=event["by"],
            )
            return lambda: d.emit(taken)
    return None


def _event_came(d: Deciding, token: Token, event: dict[str, Json]) -> None:
    d.disarm_all(token)
    d.emit(e.StepCompleted(scope=token.scope, step=token.step, fence=token.fence, output=event, at=d.now))


def _holds(d: Deciding, condition: str | None, env: Any) -> bool:
    if condition is None:
        return True
    try:
        return d.evaluator.truth(condition, env)
    except ExpressionError:
        return False
