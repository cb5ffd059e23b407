"""What a run waits for: on what, who or what can move it, until when, and what happens then."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from engine.core import state as s
from engine.core.definition import Definition, Outcome, Step
from engine.core.gates import seat_label, seating
from engine.core.state import State, Token, path


class WaitingOn(Struct, frozen=True, kw_only=True):
    """One thing. `who` can move it, `until` is UTC epoch seconds, `then` what happens at that time, `can` the verbs that
    move it now, `gate` the id of the question, if it is one.
    """

    path: str
    what: str
    who: tuple[str, ...] = ()
    until: float | None = None
    then: str = ""
    can: tuple[str, ...] = ()
    gate: str = ""


def explain(definition: Definition, state: State, now: float) -> list[WaitingOn]:
    """Everything the run waits for, the most urgent first. Empty for a closed run, and only for one."""
    if not state.open:
        return []
    if state.lock_wanted:
        return [
            WaitingOn(
                path="",
                what=f"waits for {state.lock}: at most {state.lock_limit} at once",
                who=("the runs that hold it",),
                until=state.deadline.due if state.deadline is not None else None,
                then="the run's time is up" if state.deadline is not None else "",
                can=("cancel", "terminate"),
            )
        ]
    found: list[WaitingOn] = []
    if state.suspended:
        found.append(
            WaitingOn(path="", what="suspended: timers are held", who=("an operator",), can=("resume", "cancel"))
        )
    if state.undoing is not None:
        found.append(_undoing(state, state.undoing))
    else:
        for token in state.tokens.values():
            step = definition.steps.get(token.step)
            tell = _WHAT.get(token.phase)
            if tell is not None and step is not None:
                found.append(tell(state, token, step, now))
    found.sort(key=lambda one: (one.until is None, one.until or 0.0, one.path))
    return found


def trouble(token: Token) -> str:
    """What went wrong with the newest attempt or sample, in its own words; empty when nothing did."""
    return token.observation.trouble if token.observation is not None else s.told(token.failure)


def _until(token: Token, *purposes: str) -> float | None:
    return min((timer.due for timer in token.timers if timer.purpose in purposes), default=None)


def _undoing(state: State, token: Token) -> WaitingOn:
    undo = state.undo[-1] if state.undo else None
    what = f"undoing with {undo.action}, {len(state.undo)} left" if undo is not None else "undoing"
    failed = s.told(token.failure)
    after = f" after {failed}" if failed else ""
    return WaitingOn(
        path=path(token.scope, token.step),
        what=what if token.phase == s.CALL else f"{what}; waits to try again{after}",
        who=(undo.action if undo is not None else "the engine",),
        until=_until(token, "retry", "defer"),
        then="it is tried again" if token.timers else "",
        can=("terminate",),
    )


def _call(state: State, token: Token, step: Step, now: float) -> WaitingOn:
    call = token.call
    action = call.action if call is not None else ""
    failed = trouble(token)
    after = f", after {failed}" if failed else ""
    sample = call is not None and call.sample
    what = f"a sample of {action}{after}" if sample else f"{action} to answer"
    if call is not None and call.in_doubt:
        what = f"{action} to tell what became of a try that was not answered{after}"
    elif token.attempt > 1 and not sample:
        what += f" (attempt {token.attempt}{after})"
    if token.leave is not None:
        what += ", asked to stop"
    limit = call.at + call.timeout if call is not None and call.timeout is not None else None
    return WaitingOn(
        path=token.path,
        what=what,
        who=(action,),
        until=limit,
        then="the attempt times out" if limit is not None else "",
        can=("cancel", "terminate"),
    )


def _retry(state: State, token: Token, step: Step, now: float) -> WaitingOn:
    error = trouble(token) or "an error"
    doubt = token.doubts > 0
    return WaitingOn(
        path=token.path,
        what=f"the time to read back after {error}" if doubt else f"the next attempt after {error}",
        until=_until(token, "retry"),
        then="it is read back" if doubt else f"attempt {token.attempt + 1} of {step.retry.attempts + token.round}",
        can=("retry", "skip", "cancel"),
    )


def _deferred(state: State, token: Token, step: Step, now: float) -> WaitingOn:
    return WaitingOn(
        path=token.path,
        what=f"the target: {token.reason}",
        until=_until(token, "defer"),
        then="it is asked again, no attempt is spent",
        can=("retry", "skip", "cancel"),
    )


def _wait(state: State, token: Token, step: Step, now: float) -> WaitingOn:
    return WaitingOn(
        path=token.path,
        what="a time",
        until=_until(token, "wait"),
        then=f"the run goes on to {step.next}",
        can=("skip", "cancel"),
    )


def _event(state: State, token: Token, step: Step, now: float) -> WaitingOn:
    until = _until(token, "timeout")
    return WaitingOn(
        path=token.path,
        what=f"event {token.awaited}",
        who=(token.awaited,),
        until=until,
        then="" if until is None else _outcome(step.on_timeout, "the step times out"),
        can=("signal", "skip", "cancel"),
    )


def _gate(state: State, token: Token, step: Step, now: float) -> WaitingOn:
    question = token.question
    if question is None:
        return WaitingOn(path=token.path, what="a gate")
    answer = "approve" if "approve" in question.answers else question.answers[0]
    empty = [seat for seat, person in seating(question, answer) if person is None]
    who = tuple(dict.fromkeys(seat_label({**seat, "count": 1}).removeprefix("1 x ") for seat in empty))
    if question.escalated_to is not None:
        who = (*who, f"role {question.escalated_to}")
    if question.escalation:
        then = "silence aborts the step"
    else:
        way_out = step.gate.on_timeout if step.gate is not None else None
        asked = question.escalated_to is not None
        then = _outcome(way_out, "the gate expires", ask=not asked)
    return WaitingOn(
        path=token.path,
        what=f"{len(empty)} more to answer: {question.question}",
        who=who,
        until=question.expires,
        then=then,
        can=("vote", "delegate", "claim", "ask"),
        gate=question.id,
    )


def _observe(state: State, token: Token, step: Step, now: float) -> WaitingOn:
    seen = token.observation
    samples = 0 if seen is None else seen.samples
    last = f", the newest {seen.last}" if seen is not None and seen.last else ""
    if failed := trouble(token):
        last += f": {failed}"
    return WaitingOn(
        path=token.path,
        what=f"the next sample ({samples} taken{last})",
        until=_until(token, "sample", "observe_end", "timeout"),
        then="it is judged",
        can=("skip", "cancel"),
    )


def _child(state: State, token: Token, step: Step, now: float) -> WaitingOn:
    child = token.child
    until = _until(token, "timeout")
    return WaitingOn(
        path=token.path,
        what=f"child run {child.id} of {child.workflow}" if child is not None else "a child run",
        who=(child.id,) if child is not None else (),
        until=until,
        then="" if until is None else _outcome(step.on_timeout, "the step times out"),
        can=("cancel", "terminate"),
    )


def _held(state: State, token: Token, step: Step, now: float) -> WaitingOn:
    return WaitingOn(
        path=token.path,
        what=f"window {token.held} to open",
        until=_until(token, "window"),
        then="it is looked at again",
        can=("override-window", "skip", "cancel"),
    )


def _outcome(outcome: Outcome | None, event: str, *, ask: bool = True) -> str:
    if outcome is None:
        return event
    if ask and outcome.escalate is not None:
        return f"{event}: {outcome.escalate} is asked"
    if outcome.goto is not None:
        return f"{event}: on to {outcome.goto}"
    return f"{event}: {outcome.raise_}" if outcome.raise_ is not None else event


_WHAT: dict[str, Callable[[State, Token, Step, float], WaitingOn]] = {
    s.CALL: _call,
    s.RETRY: _retry,
    s.DEFERRED: _deferred,
    s.WAIT: _wait,
    s.EVENT: _event,
    s.GATE: _gate,
    s.OBSERVE: _observe,
    s.CHILD: _child,
    s.HELD: _held,
}
