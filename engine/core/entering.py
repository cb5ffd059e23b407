"""A token comes to a step. One function per kind; each evaluates all it needs before it makes its first fact."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from engine.core import events as e
from engine.core import observing
from engine.core.deciding import Deciding, WindowState
from engine.core.definition import DONE, FAIL, Step
from engine.core.durations import seconds
from engine.core.ending import scope_done
from engine.core.evaluator import ExpressionError
from engine.core.gates import evidence_digest, seat_label
from engine.core.state import Token, path

Json = Any

DEFAULT_TIMEOUT = 86_400.0
"""Every attempt ends some day, or a cancel would wait for ever."""
WINDOW_POLL = 300.0
"""How often a closed window without a known end is looked at again."""


def enter(d: Deciding, token: Token, target: str) -> bool:
    """Takes the token to `target`. True when it may move on at once."""
    if target == DONE:
        return scope_done(d, token)
    step = d.definition.steps.get(target)
    if step is None:
        failed = target == FAIL
        failure = e.Failure(
            error="Failed" if failed else "NoSuchStep",
            message="the definition ends here with `fail`" if failed else f"no step {target!r} in this definition",
            kind="domain" if failed else "configuration",
        )
        d.emit(e.ErrorRaised(scope=token.scope, step=token.step, failure=failure))
        return True
    try:
        if step.when is not None and not d.evaluator.truth(step.when, d.env(token)):
            d.emit(e.StepSkipped(scope=token.scope, step=step.id))
            return True
        return _ENTER[step.kind](d, token, step)
    except (ExpressionError, ValueError) as error:
        kind: Any = "expression" if isinstance(error, ExpressionError) else "validation"
        failure = e.Failure(error="ExpressionError", message=str(error), kind=kind)
        d.emit(
            e.StepFailed(
                scope=token.scope,
                step=step.id,
                fence=d.next_fence(),
                attempt=0,
                failure=failure,
                at=d.now,
                retryable=False,
                acted=False,
            )
        )
        return True


def bare(d: Deciding, token: Token, cel: str) -> Json:
    """The value of a bare expression."""
    return d.evaluator.value("${" + cel + "}", d.env(token))


def values(d: Deciding, token: Token, template: dict[str, Json], extra: dict[str, Json] | None = None) -> Any:
    return d.evaluator.value(template, d.env(token, extra)) if template else {}


def length(d: Deciding, token: Token, given: str | float) -> float:
    """Seconds of a duration that may be a template."""
    if isinstance(given, str):
        return seconds(d.evaluator.value(given, d.env(token)))
    return float(given)


def _timeout(d: Deciding, token: Token, step: Step) -> float | None:
    return None if step.timeout is None else length(d, token, step.timeout)


def _key(d: Deciding, token: Token, step: Step, fence: int) -> str:
    """Stable over the attempts of one visit, so that the owner can tell a repetition from a new wish."""
    if step.key is None:
        return f"{d.state.run}/{path(token.scope, step.id)}/{fence}"
    key = bare(d, token, step.key)
    if key is None or key == "":
        raise ValueError(f"the key of step {step.id} is empty")
    return key if isinstance(key, str) else msgspec.json.encode(key).decode()


# windows


def closed_window(d: Deciding, token: Token, step: Step) -> tuple[str, WindowState] | None:
    """The first honoured window that is closed to this step now. One nobody knows anything about is closed."""
    windows = d.definition.windows
    if windows is None or not windows.honour or d.state.status != "running":
        return None
    if step.id in windows.exempt or token.overridden == step.id:
        return None
    for name in windows.honour:
        known = (d.windows or {}).get(name)
        if known is None:
            return name, WindowState(open=False, reason="nothing is known of this window")
        if not known.open:
            return name, known
    return None


def _held(d: Deciding, token: Token, step: Step) -> bool:
    closed = closed_window(d, token, step)
    if closed is None:
        return False
    name, window = closed
    fence = d.next_fence()
    d.emit(e.WindowHeld(scope=token.scope, step=step.id, fence=fence, window=name, until=window.until))
    due = window.until if window.until is not None and window.until > d.now else d.now + WINDOW_POLL
    d.arm(token, step.id, fence, "window", due)
    return True


# kinds


def _action(d: Deciding, token: Token, step: Step) -> bool:
    if step.effect != "read" and d.definition.windows is not None and _held(d, token, step):
        return False
    fence = d.state.fence + 1
    timeout = _timeout(d, token, step)
    d.emit(
        e.StepScheduled(
            scope=token.scope,
            step=step.id,
            fence=fence,
            attempt=1,
            action=step.action or "",
            input=values(d, token, step.with_),
            key=_key(d, token, step, fence),
            effect=step.effect,
            at=d.now,
            timeout=DEFAULT_TIMEOUT if timeout is None else timeout,
            heartbeat=step.heartbeat,
            compensation=None if step.compensate is None else _compensation(d, token, step),
        )
    )
    return False


def _compensation(d: Deciding, token: Token, step: Step) -> dict[str, Json] | None:
    undo = step.compensate
    if undo is None:
        return None
    number = d.state.undo_count
    retry = undo.retry
    return {
        "number": number,
        "action": undo.action,
        "input": values(d, token, undo.with_),
        "key": f"{d.state.run}/{path(token.scope, step.id)}/undo{number}",
        "attempts": retry.attempts,
        "first": retry.first,
        "factor": retry.factor,
        "cap": retry.cap,
        "jitter": retry.jitter,
        "never": list(retry.never),
        "timeout": undo.timeout,
    }


def _gate(d: Deciding, token: Token, step: Step) -> bool:
    gate = step.gate
    if gate is None:
        raise ValueError(f"step {step.id} is no gate")
    env = d.env(token)
    seats = []
    for seat in gate.seats:
        if seat.when is not None and not d.evaluator.truth(seat.when, env):
            continue
        plain: dict[str, Json] = {"count": seat.count}
        for kind in ("role", "group", "person"):
            if getattr(seat, kind) is not None:
                plain[kind] = getattr(seat, kind)
        seats.append(plain | {"label": seat_label(plain)})
    if not seats:
        raise ValueError(f"gate {step.id} needs nobody's vote now: a gate without a seat would let everything through")
    excluded: list[str] = []
    for one in gate.exclude:
        who = bare(d, token, one)
        people = [who] if isinstance(who, str) else who
        if not isinstance(people, list) or not all(isinstance(person, str) and person for person in people):
            raise ValueError(f"`exclude: {one}` must give a person or a list of people")
        excluded += people
    form = {}
    for name, field in gate.form.items():
        plain = msgspec.to_builtins(field)
        if "default" in plain:
            plain["default"] = d.evaluator.value(plain["default"], env)
        form[name] = plain
    evidence = values(d, token, gate.evidence)
    question = str(d.evaluator.value(gate.question, env))
    expires = d.now + length(d, token, gate.expires)
    fence = d.next_fence()
    d.emit(
        e.GateOpened(
            scope=token.scope,
            step=step.id,
            fence=fence,
            gate=f"{d.state.run}.{fence}",
            kind=gate.kind,
            question=question,
            seats=tuple(seats),
            excluded=tuple(dict.fromkeys(excluded)),
            evidence=evidence,
            evidence_digest=evidence_digest(question, evidence),
            at=d.now,
            expires=expires,
            remind=gate.remind,
            form=form,
        )
    )
    d.arm(token, step.id, fence, "expiry", expires)
    if gate.remind:
        d.arm(token, step.id, fence, "reminder", d.now + gate.remind[0])
    return False


def _wait(d: Deciding, token: Token, step: Step) -> bool:
    wait = step.wait
    if wait is None:
        raise ValueError(f"step {step.id} does not wait")
    fence = d.next_fence()
    if wait.event is not None:
        timeout = _timeout(d, token, step)
        correlate = None if wait.correlate is None else bare(d, token, wait.correlate)
        d.emit(e.EventAwaited(scope=token.scope, step=step.id, fence=fence, event=wait.event, correlate=correlate))
        if timeout is not None:
            d.arm(token, step.id, fence, "timeout", d.now + timeout)
        return False
    if wait.until is not None:
        due = _moment(d.evaluator.value(wait.until, d.env(token)))
    else:
        due = d.now + length(d, token, 0.0 if wait.for_ is None else wait.for_)
    d.arm(token, step.id, fence, "wait", due)
    return False


def _moment(value: Json) -> float:
    """A point in time: UTC epoch seconds, or ISO 8601 (without an offset it is UTC)."""
    if isinstance(value, bool) or value is None:
        raise ValueError("`until` needs a time")
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("`until` needs a time")
    return float(value)


def _observe(d: Deciding, token: Token, step: Step) -> bool:
    observe = step.observe
    if observe is None:
        raise ValueError(f"step {step.id} does not observe")
    every = length(d, token, observe.every)
    until = None if observe.for_ is None else d.now + length(d, token, observe.for_)
    timeout = _timeout(d, token, step)
    first = observing.sample_input(d, token, step, None)
    fence = d.next_fence()
    d.emit(e.ObservationStarted(scope=token.scope, step=step.id, fence=fence, at=d.now, every=every, until=until))
    if until is not None:
        d.arm(token, step.id, fence, "observe_end", until)
    if timeout is not None:
        d.arm(token, step.id, fence, "timeout", d.now + timeout)
    observing.schedule(d, token, step, first)
    return False


def _choice(d: Deciding, token: Token, step: Step) -> bool:
    env = d.env(token)
    for number, case in enumerate(step.choice):
        if d.evaluator.truth(case.when, env):
            d.emit(e.ChoiceTaken(scope=token.scope, step=step.id, goto=case.goto, case=number))
            return True
    d.emit(e.ChoiceTaken(scope=token.scope, step=step.id, goto=step.otherwise or FAIL))
    return True


def _map(d: Deciding, token: Token, step: Step) -> bool:
    spec = step.map
    if spec is None:
        raise ValueError(f"step {step.id} is no map")
    over = d.evaluator.value(spec.over, d.env(token))
    if not isinstance(over, (list, tuple)):
        raise ValueError(f"step {step.id} maps over {type(over).__name__}, not over a list")
    timeout = _timeout(d, token, step)
    fence = d.next_fence()
    d.emit(
        e.MapExpanded(
            scope=token.scope,
            step=step.id,
            fence=fence,
            items=tuple(over),
            parallel=spec.parallel if spec.parallel > 0 else max(1, len(over)),
            tolerate=_tolerated(spec.tolerate, len(over)),
            as_=spec.as_,
        )
    )
    if timeout is not None:
        d.arm(token, step.id, fence, "timeout", d.now + timeout)
    return True


def _tolerated(given: int | str, count: int) -> int:
    """How many of `count` items may fail; a share is rounded down."""
    if isinstance(given, str):
        share = float(given.strip().removesuffix("%")) / (100.0 if "%" in given else 1.0)
        return math.floor(count * share + 1e-9) if "%" in given else int(share)
    return given


def _child(d: Deciding, token: Token, step: Step) -> bool:
    child = step.child
    if child is None:
        raise ValueError(f"step {step.id} starts no child")
    if d.definition.windows is not None and _held(d, token, step):
        return False
    key = bare(d, token, child.key)
    timeout = _timeout(d, token, step)
    inputs = values(d, token, step.with_)
    fence = d.next_fence()
    d.emit(
        e.ChildStarted(
            scope=token.scope,
            step=step.id,
            fence=fence,
            child=f"{d.state.run}-{fence}",
            workflow=child.workflow,
            inputs=inputs,
            key=key if isinstance(key, str) else msgspec.json.encode(key).decode(),
        )
    )
    if timeout is not None:
        d.arm(token, step.id, fence, "timeout", d.now + timeout)
    return False


def _emit(d: Deciding, token: Token, step: Step) -> bool:
    emit = step.emit
    if emit is None:
        raise ValueError(f"step {step.id} emits nothing")
    subject = None if emit.subject is None else str(d.evaluator.value(emit.subject, d.env(token)))
    data = values(d, token, step.with_)
    d.emit(e.Emitted(scope=token.scope, step=step.id, event=emit.event, data=data, subject=subject))
    return True


_ENTER: dict[str, Callable[[Deciding, Token, Step], bool]] = {
    "action": _action,
    "gate": _gate,
    "wait": _wait,
    "observe": _observe,
    "choice": _choice,
    "map": _map,
    "child": _child,
    "emit": _emit,
}
