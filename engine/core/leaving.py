"""A token has to go elsewhere, or to end: interrupted, timed out, cancelled, or stopped with its map.

What waits is withdrawn at once. What is in flight is asked to stop and its answer awaited: an action that may still
act is never abandoned, or it would overtake its own compensation.
"""

from __future__ import annotations

from engine.core import events as e
from engine.core import state as s
from engine.core.deciding import Deciding
from engine.core.definition import Step
from engine.core.ending import go_down, item_stopped
from engine.core.failing import raise_error
from engine.core.state import Token, item_scope

RESTING = frozenset({s.WAIT, s.EVENT, s.GATE, s.OBSERVE, s.RETRY, s.DEFERRED, s.HELD, s.MAP, s.CHILD})


def leave(d: Deciding, token: Token) -> bool:
    """Takes the token where its `leave` says, if nothing of it is in flight. True when it may move on at once."""
    going = token.leave
    if going is None or _in_flight(d, token, stop=_ends(token)):
        return False
    _withdraw(d, token)
    step = d.definition.steps.get(token.step)
    if going.timeout and step is not None:
        d.emit(e.StepLeft(scope=token.scope, step=token.step, fence=token.fence, goto=""))
        d.emit(
            e.StepFailed(
                scope=token.scope,
                step=token.step,
                fence=d.next_fence(),
                attempt=token.attempt,
                failure=e.Failure(error="Timeout", message=f"{token.path} took too long", kind="timeout"),
                at=d.now,
                retryable=False,
                acted=False,
            )
        )
        return True
    if going.goto is not None:
        d.emit(e.StepLeft(scope=token.scope, step=token.step, fence=token.fence, goto=going.goto))
        return True
    if going.raise_ is not None and step is not None:
        failure = e.Failure(error=going.raise_, message=f"event {going.event}", detail=token.event)
        return raise_error(d, token, step, failure)
    if token.scope:
        item_stopped(d, token)
    else:
        go_down(d)
    return False


def stop(d: Deciding, token: Token) -> None:
    """Ends an item's token as soon as nothing of it is in flight."""
    if _in_flight(d, token, stop=True):
        return
    _withdraw(d, token)
    item_stopped(d, token)


def stop_items(d: Deciding, token: Token) -> bool:
    """Stops the running items of a map. True when none is left."""
    items = token.items
    if items is None:
        return True
    for index in sorted(items.running):
        item = d.state.tokens.get(item_scope(token.scope, token.step, index))
        if item is not None:
            stop(d, item)
    return not items.running


def withdraw_question(d: Deciding, token: Token, reason: str) -> None:
    question = token.question
    if question is not None:
        d.emit(e.GateWithdrawn(scope=token.scope, step=token.step, gate=question.id, at=d.now, reason=reason))


def _ends(token: Token) -> bool:
    going = token.leave
    return going is not None and going.goto is None and going.raise_ is None and not going.timeout


def _in_flight(d: Deciding, token: Token, *, stop: bool) -> bool:
    """Whether something of the token may still act; what does is asked, once, to stop."""
    asked = token.stopping and (not stop or _ends(token))
    if token.phase == s.CALL:
        if not asked:
            _ask(d, token, stop, None)
        return True
    if token.phase == s.CHILD and token.child is not None:
        mode = _on_cancel(d.definition.steps.get(token.step))
        if mode == "leave":
            return False
        if not asked:
            _ask(d, token, stop, token.child.id if mode == "cancel" else None)
        return True
    if token.phase == s.MAP and not stop_items(d, token):
        if not asked:
            _ask(d, token, stop, None)
        return True
    return False


def _on_cancel(step: Step | None) -> str:
    return "wait" if step is None or step.child is None else step.child.on_cancel


def _ask(d: Deciding, token: Token, stop: bool, child: str | None) -> None:
    d.emit(e.StepCancelRequested(scope=token.scope, step=token.step, fence=token.fence, child=child, stop=stop))


def _withdraw(d: Deciding, token: Token) -> None:
    """Nothing outside is to answer this token any more."""
    withdraw_question(d, token, "the step was left")
    d.disarm_all(token)
    if token.phase in RESTING:
        d.emit(e.StepCancelled(scope=token.scope, step=token.step, fence=token.fence))
