"""Compensation: the undo stack, run from its top, one at a time. An undo that can't be done is named, and the rest go on.

Each undo was recorded ahead of the action it undoes, with a key of its own, so that running it again after a crash is
the same undo and never another.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.core import events as e
from engine.core import state as s
from engine.core.backoff import DOUBT_TRIES, doubt_delay, retry_delay
from engine.core.deciding import Deciding
from engine.core.state import Token, Undo


def undo_next(d: Deciding) -> bool:
    """Schedules the newest undo. False when nothing is left to undo."""
    if not d.state.undo:
        return False
    schedule_undo(d, d.state.undo[-1], attempt=1, in_doubt=False)
    return True


def schedule_undo(d: Deciding, undo: Undo, *, attempt: int, in_doubt: bool) -> None:
    d.emit(
        e.StepScheduled(
            scope=undo.scope,
            step=undo.step,
            fence=d.next_fence(),
            attempt=attempt,
            action=undo.action,
            input=undo.input,
            key=undo.key,
            effect="idempotent",
            at=d.now,
            timeout=undo.timeout,
            undo=undo.number,
            in_doubt=in_doubt,
        )
    )


def move_undo(d: Deciding, after: Callable[[Deciding], None]) -> None:
    """What is next in the undoing; `after` is called once the stack is empty."""
    token = d.state.undoing
    if token is not None:
        if token.phase in (s.FAILED, s.DOUBT):
            _try_again_or_name_it(d, token)
        if d.state.undoing is not None:
            return
    if not undo_next(d):
        after(d)


def _try_again_or_name_it(d: Deciding, token: Token) -> None:
    undo = d.state.undo[-1]
    failure = token.failure or e.Failure(error="Failed")
    fence = d.next_fence()
    if token.phase == s.DOUBT and token.doubts <= DOUBT_TRIES:
        attempt, due = token.attempt, d.now + doubt_delay(token.doubts)
    elif (
        token.phase == s.FAILED
        and token.retryable
        and token.attempt < undo.attempts
        and failure.error not in undo.never
    ):
        attempt = token.attempt + 1
        due = d.now + retry_delay(
            first=undo.first,
            factor=undo.factor,
            cap=undo.cap,
            jitter=undo.jitter,
            retry_after=token.retry_after,
            attempt=token.attempt,
            salt=f"{undo.key}|{token.attempt}|{d.seed}",
        )
    else:
        d.emit(e.CompensationFailed(scope=undo.scope, step=undo.step, undo=undo.number, failure=failure, at=d.now))
        return
    d.emit(
        e.StepRetryScheduled(
            scope=undo.scope,
            step=undo.step,
            fence=fence,
            attempt=attempt,
            due=due,
            failure=failure,
            undo=undo.number,
        )
    )
    d.arm(token, undo.step, fence, "retry", due)
