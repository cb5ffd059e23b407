"""Moves every token that has a move to make, until none has. One command, its facts and all that follow: one commit."""

from __future__ import annotations

from collections.abc import Callable

from engine.core import events as e
from engine.core import state as s
from engine.core.deciding import Deciding
from engine.core.definition import DONE
from engine.core.ending import conclude, scope_broken
from engine.core.entering import enter
from engine.core.failing import answered, doubtful, expired, failed, rejected
from engine.core.leaving import leave, stop_items
from engine.core.state import Token
from engine.core.undoing import move_undo

BUDGET = 200_000
"""Moves in one decision. Only a graph that loops without ever waiting gets there; the loader refuses those."""


class Runaway(RuntimeError):
    """The definition loops without waiting. Nothing of this decision is committed; the run stands as it was."""


def drive(d: Deciding) -> None:
    state, budget = d.state, BUDGET
    while d.ready:
        if state.suspended or state.lock_wanted:
            return
        scope = d.ready.popleft()
        if state.status == "compensating":
            move_undo(d, conclude)
            continue
        token = state.tokens.get(scope)
        while token is not None and state.open and state.status != "compensating":
            budget -= 1
            if budget < 0:
                raise Runaway(f"{state.run} loops without waiting at {token.path}")
            if token.leave is not None:
                going = leave(d, token)
            else:
                move = _MOVES.get(token.phase)
                going = move is not None and move(d, token)
            token = state.tokens.get(scope) if going else None


def _enter(d: Deciding, token: Token) -> bool:
    return enter(d, token, token.goto or _first(d, token))


def _first(d: Deciding, token: Token) -> str:
    """Where a fresh token begins."""
    if not token.scope:
        return d.definition.start
    outer = d.definition.steps[d.state.tokens[token.parent].step].map
    return DONE if outer is None else outer.start


def _done(d: Deciding, token: Token) -> bool:
    return enter(d, token, d.definition.steps[token.step].next)


def _map(d: Deciding, token: Token) -> bool:
    """Starts items while there is room, and concludes once all have ended or too many have failed."""
    items = token.items
    if items is None:
        return False
    broken = len(items.failures) > items.tolerate
    if broken:
        if not stop_items(d, token):
            return False
    else:
        while items.next < len(items.items) and len(items.running) < items.parallel:
            index = items.next
            d.emit(e.ItemStarted(scope=token.scope, step=token.step, index=index))
            d.touch(s.item_scope(token.scope, token.step, index))
        if items.running:
            return False
    d.disarm_all(token)
    failures = items.failures
    d.emit(
        e.MapConcluded(
            scope=token.scope,
            step=token.step,
            fence=token.fence,
            completed=items.completed,
            failed=len(failures),
        )
    )
    if broken:
        index, failure = failures[-1]
        d.emit(
            e.StepFailed(
                scope=token.scope,
                step=token.step,
                fence=token.fence,
                attempt=1,
                failure=e.Failure(
                    error=failure.error,
                    message=f"item {index}: {failure.message}",
                    kind=failure.kind,
                    detail={"index": index, "failed": len(failures), "tolerated": items.tolerate},
                ),
                at=d.now,
                retryable=False,
                acted=False,
            )
        )
    return True


_MOVES: dict[str, Callable[[Deciding, Token], bool]] = {
    s.ENTER: _enter,
    s.DONE: _done,
    s.FAILED: failed,
    s.DOUBT: doubtful,
    s.ANSWERED: answered,
    s.REJECTED: rejected,
    s.EXPIRED: expired,
    s.BROKEN: scope_broken,
    s.MAP: _map,
}
