"""How scopes and runs end: well, or by going down: what is in flight first, then the undo stack, then `on_failure`.

A run never just dies. On its way down it has a `cause`, and what could not be undone is named in `run.undo_failed`.
"""

from __future__ import annotations

from typing import Any

from engine.core import events as e
from engine.core.deciding import Deciding
from engine.core.state import Token, path
from engine.core.undoing import undo_next

Json = Any

ENDING_LENGTH = 64


def scope_done(d: Deciding, token: Token) -> bool:
    """The scope came to its end. An item ends in its map, the root ends the run."""
    if token.scope:
        d.emit(e.ItemCompleted(**_item(d, token), output=token.output))
        d.touch(token.parent)
    elif d.state.status == "concluding":
        close(d)
    else:
        let_go(d)
        ending = ending_of(token.output) or "completed"
        d.emit(e.RunCompleted(at=d.now, output=token.output, ending=ending))
    return False


def scope_broken(d: Deciding, token: Token) -> bool:
    """The scope ended with an error: an item counts against its map's tolerance, the root takes the run down."""
    if token.scope:
        failure = token.failure or e.Failure(error="Failed")
        d.emit(e.ItemFailed(**_item(d, token), failure=failure))
        d.touch(token.parent)
    else:
        go_down(d)
    return False


def item_stopped(d: Deciding, token: Token) -> None:
    d.emit(e.ItemCancelled(**_item(d, token)))
    d.touch(token.parent)


def _item(d: Deciding, token: Token) -> dict[str, Any]:
    return {"scope": token.parent, "step": d.state.tokens[token.parent].step, "index": token.index}


def go_down(d: Deciding) -> None:
    """Nothing of the run is in flight any more: undo what was done, newest first, then conclude."""
    state = d.state
    if state.status != "running":
        close(d)
        return
    if state.undo and d.definition.on_failure.compensate == "reverse":
        cause = state.cause or e.Failure(error="Failed")
        steps = tuple(path(undo.scope, undo.step) for undo in reversed(state.undo))
        d.emit(e.CompensationStarted(cause=cause, steps=steps, at=d.now))
        undo_next(d)
    else:
        conclude(d)


def conclude(d: Deciding) -> None:
    """The undo stack is empty, or not to be run."""
    state = d.state
    start = d.definition.on_failure.start or ""
    if state.closing == "cancelled" and not state.undo_failed:
        start = ""  # cancelled on purpose and all undone: there is no failure to take care of
    if start or state.status == "compensating":
        d.emit(
            e.CompensationConcluded(undone=tuple(state.undone), failed=tuple(state.undo_failed), at=d.now, goto=start)
        )
    if start:
        d.touch("")
    else:
        close(d)


def close(d: Deciding) -> None:
    """The run ends, by the name of what took it down."""
    state = d.state
    root = state.tokens.get("")
    output = root.output if root is not None and state.status == "concluding" else None
    closing, cause = state.closing, state.cause or e.Failure(error="Failed")
    let_go(d)
    named = ending_of(output) or ("rollback_incomplete" if state.undo_failed else "")
    if closing == "cancelled":
        by, reason = state.cancelled_by, state.cancel_reason
        d.emit(e.RunCancelled(at=d.now, by=by, reason=reason, ending=named or "cancelled"))
    elif closing == "timed_out":
        d.emit(e.RunTimedOut(at=d.now, ending=named or "timed_out"))
    else:
        d.emit(e.RunFailed(at=d.now, failure=cause, ending=named or "failed", output=output))


def let_go(d: Deciding) -> None:
    """What a closed run must not hold: its deadline and its lock."""
    deadline = d.state.deadline
    if deadline is not None:
        d.emit(e.TimerCancelled(scope="", step="", fence=deadline.fence, purpose="deadline"))
    if d.state.lock is not None:
        d.emit(e.LockReleased(key=d.state.lock))


def ending_of(output: Json) -> str:
    """The definition's own word for how the run ended: `ending` in the output of the last step."""
    word = output.get("ending") if isinstance(output, dict) else None
    return word[:ENDING_LENGTH] if isinstance(word, str) else ""
