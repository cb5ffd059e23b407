"""What follows when an attempt fails, is in doubt, or a question ends badly.

The order: retries, then the step's own way out (`on_timeout`, `on_reject`), then `catch`, then people, then the scope
ends with the error. `never` beats all retries. People (a gate the engine opens, with the whole context as evidence)
answer `retry`, `skip` or `abort`; silence aborts. An item of a map that tolerates failures ends without asking, unless
its step says `escalate`: its map has declared what failures mean.

What was sent and not answered is in doubt: it is read back, spending no attempt; an `effect: once` that can't be read
back is never sent again unless a person says so.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.core import events as e
from engine.core.backoff import DOUBT_TRIES, doubt_delay, retry_delay
from engine.core.deciding import Deciding
from engine.core.definition import Escalation, Outcome, Step
from engine.core.entering import enter
from engine.core.evaluator import ExpressionError
from engine.core.gates import evidence_digest, seat_label
from engine.core.state import Token, described, path

Json = Any

ANSWERS = ("retry", "skip", "abort")
UNTOUCHED = frozenset({"configuration", "validation", "expression", "authentication", "authorization"})
"""Kinds of errors with which an owner refuses before it acts."""


def failed(d: Deciding, token: Token) -> bool:
    """An attempt ended with an error."""
    step, failure = d.step(token), _failure(token)
    retry = step.retry
    if token.retryable and token.attempt - token.round < retry.attempts and failure.error not in retry.never:
        _retry(d, token, step, failure)
        return False
    if failure.error == "Timeout" and step.on_timeout is not None:
        if step.on_timeout.escalate is not None:
            _ask(
                d,
                token,
                step,
                failure,
                Escalation(
                    role=step.on_timeout.escalate,
                    expires=step.on_timeout.expires or d.definition.escalate.expires,
                    runbook=d.definition.escalate.runbook,
                ),
            )
            return False
        return take(d, token, step, step.on_timeout, failure)
    return _caught_asked_or_broken(d, token, step, failure)


def doubtful(d: Deciding, token: Token) -> bool:
    """It was sent and not answered."""
    step, failure = d.step(token), _failure(token)
    effect = token.call.effect if token.call is not None else step.effect
    if effect == "once" and not step.reads_back:
        _ask(d, token, step, failure, step.escalate or d.definition.escalate)
        return False
    if token.doubts <= DOUBT_TRIES:
        fence, due = d.next_fence(), d.now + doubt_delay(token.doubts)
        d.emit(
            e.StepRetryScheduled(
                scope=token.scope, step=step.id, fence=fence, attempt=token.attempt, due=due, failure=failure
            )
        )
        d.arm(token, step.id, fence, "retry", due)
        return False
    return _caught_asked_or_broken(d, token, step, failure)


def answered(d: Deciding, token: Token) -> bool:
    """People (or their silence) decided about a step that was out of retries."""
    step, failure = d.step(token), _failure(token)
    if token.answer == "retry":
        return again(d, token)
    if token.answer == "skip":
        d.emit(e.StepSkipped(scope=token.scope, step=step.id, by=token.reason, reason=f"after {failure.error}"))
        return True
    if failure.error == "Timeout" and step.on_timeout is not None:
        return take(d, token, step, step.on_timeout, failure)
    d.emit(e.ErrorRaised(scope=token.scope, step=step.id, failure=failure))
    return True


def rejected(d: Deciding, token: Token) -> bool:
    step = d.step(token)
    failure = e.Failure(error="GateRejected", message=f"rejected by {token.reason}", kind="authorization")
    return take(d, token, step, None if step.gate is None else step.gate.on_reject, failure)


def expired(d: Deciding, token: Token) -> bool:
    step = d.step(token)
    failure = e.Failure(error="GateExpired", message="nobody decided in time", kind="timeout")
    return take(d, token, step, None if step.gate is None else step.gate.on_timeout, failure)


def take(d: Deciding, token: Token, step: Step, outcome: Outcome | None, failure: e.Failure) -> bool:
    """Follows a declared way out. Without one the error stands."""
    if outcome is not None and outcome.goto is not None:
        d.emit(e.FallbackTaken(scope=token.scope, step=step.id, failure=failure, goto=outcome.goto))
        return True
    if outcome is not None and outcome.raise_ is not None:
        failure = msgspec.structs.replace(failure, error=outcome.raise_)
    return raise_error(d, token, step, failure)


def raise_error(d: Deciding, token: Token, step: Step, failure: e.Failure) -> bool:
    """An error raised on purpose: the step's own catch may take it, nobody is asked."""
    if not _caught(d, token, step, failure):
        d.emit(e.ErrorRaised(scope=token.scope, step=step.id, failure=failure))
    return True


def again(d: Deciding, token: Token, *, in_doubt: bool = False) -> bool:
    """One more attempt: the same call under a new fence, or, for what is no action, the step entered anew."""
    call = token.call
    if call is None:
        return enter(d, token, token.step)
    d.emit(
        msgspec.structs.replace(
            call,
            fence=d.next_fence(),
            attempt=token.attempt if in_doubt else token.attempt + 1,
            at=d.now,
            compensation=None,
            in_doubt=in_doubt,
        )
    )
    return False


def same_attempt(d: Deciding, token: Token) -> None:
    """The same attempt, after the target was busy."""
    if token.call is not None:
        d.emit(
            msgspec.structs.replace(
                token.call, fence=d.next_fence(), at=d.now, compensation=None, in_doubt=token.doubts > 0
            )
        )


def _failure(token: Token) -> e.Failure:
    return token.failure or e.Failure(error="Failed")


def _retry(d: Deciding, token: Token, step: Step, failure: e.Failure) -> None:
    retry, fence = step.retry, d.next_fence()
    due = d.now + retry_delay(
        first=retry.first,
        factor=retry.factor,
        cap=retry.cap,
        jitter=retry.jitter,
        retry_after=token.retry_after,
        attempt=token.attempt - token.round,
        salt=f"{d.state.run}|{token.scope}|{step.id}|{token.attempt}|{d.seed}",
    )
    d.emit(
        e.StepRetryScheduled(
            scope=token.scope, step=step.id, fence=fence, attempt=token.attempt + 1, due=due, failure=failure
        )
    )
    d.arm(token, step.id, fence, "retry", due)


def _caught_asked_or_broken(d: Deciding, token: Token, step: Step, failure: e.Failure) -> bool:
    if _caught(d, token, step, failure):
        return True
    if step.escalate is None and _tolerated(d, token):
        d.emit(e.ErrorRaised(scope=token.scope, step=step.id, failure=failure))
        return True
    _ask(d, token, step, failure, step.escalate or d.definition.escalate)
    return False


def _tolerated(d: Deciding, token: Token) -> bool:
    items = d.state.tokens[token.parent].items if token.scope else None
    return items is not None and items.tolerate > 0


def _caught(d: Deciding, token: Token, step: Step, failure: e.Failure) -> bool:
    """Takes the first fallback that names the error. A condition that can't be evaluated takes nothing."""
    for catch in step.catch:
        if failure.error not in catch.error and "*" not in catch.error:
            continue
        if catch.when is not None:
            try:
                if not d.evaluator.truth(catch.when, d.env(token, {"error": described(failure)})):
                    continue
            except ExpressionError:
                continue
        if catch.goto is not None:
            d.emit(e.FallbackTaken(scope=token.scope, step=step.id, failure=failure, goto=catch.goto))
        else:
            raised = msgspec.structs.replace(failure, error=catch.raise_ or failure.error)
            d.emit(e.ErrorRaised(scope=token.scope, step=step.id, failure=raised))
        return True
    return False


def _ask(d: Deciding, token: Token, step: Step, failure: e.Failure, who: Escalation) -> None:
    """Opens a gate of the engine's own: what failed, with what input, how often, and what can be done."""
    place = path(token.scope, step.id)
    doubt = token.doubts > 0
    what = "was sent and not answered" if doubt else f"failed with {failure.error}"
    question = f"{step.title or place} {what}: {failure.message or 'no message'}. Retry, skip or abort?"
    evidence: dict[str, Json] = {
        "run": d.state.run,
        "workflow": d.state.workflow,
        "step": place,
        "action": step.action or (step.observe.source if step.observe else step.kind),
        "input": token.call.input if token.call is not None else None,
        "in_doubt": doubt,
        "error": described(failure),
        "attempts": [msgspec.to_builtins(one) for one in token.tries],
        "inputs": d.state.inputs,
        "result": token.results.get(step.name),
    }
    if token.scope:
        evidence["item"] = token.item
    if who.runbook:
        evidence["runbook"] = who.runbook
    fence, expires = d.next_fence(), d.now + who.expires
    seat: dict[str, Json] = {"count": 1, "role": who.role}
    d.emit(
        e.GateOpened(
            scope=token.scope,
            step=step.id,
            fence=fence,
            gate=f"{d.state.run}.{fence}",
            kind="escalation",
            question=question,
            seats=(seat | {"label": seat_label(seat)},),
            excluded=(),
            evidence=evidence,
            evidence_digest=evidence_digest(question, evidence),
            at=d.now,
            expires=expires,
            answers=ANSWERS,
            escalation=True,
        )
    )
    d.arm(token, step.id, fence, "expiry", expires)
