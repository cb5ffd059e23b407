"""What operators can do to a run. Every verb that is not done is refused with its reason, and recorded."""

from __future__ import annotations

from engine.core import commands as c
from engine.core import events as e
from engine.core import state as s
from engine.core.answering import fire
from engine.core.deciding import Deciding
from engine.core.drive import drive
from engine.core.ending import let_go
from engine.core.entering import bare
from engine.core.evaluator import ExpressionError
from engine.core.failing import again, same_attempt
from engine.core.forms import FormError, checked
from engine.core.leaving import withdraw_question
from engine.core.state import Timer, Token
from engine.core.voting import record


def _open(d: Deciding, verb: str, by: str) -> bool:
    if d.state.open:
        return True
    record(d, (verb, by), "closed", f"{d.state.run} is {d.state.status}")
    return False


def suspend(d: Deciding, command: c.Suspend) -> None:
    """Nothing new starts; what is in flight ends; timers are held. Undoing is never held."""
    if not _open(d, "Suspend", command.by):
        return
    if d.state.suspended:
        record(d, ("Suspend", command.by), "already", f"{d.state.run} is suspended")
    elif d.state.status != "running" or d.state.closing:
        record(d, ("Suspend", command.by), "in_flight", "the run is ending, and undoing is never held")
    else:
        d.emit(e.RunSuspended(by=command.by, at=d.now, reason=command.reason))


def resume(d: Deciding, command: c.Resume) -> None:
    """Everything that rests moves on, then each timer that fell due meanwhile fires, in due order."""
    state = d.state
    if not _open(d, "Resume", command.by):
        return
    if not state.suspended:
        record(d, ("Resume", command.by), "not_suspended", f"{state.run} is not suspended")
        return
    d.emit(e.RunResumed(by=command.by, at=d.now))
    for scope in sorted(state.tokens):
        d.touch(scope)
    drive(d)
    for due in _due(d):
        fire(d, due)
        drive(d)


def _due(d: Deciding) -> list[c.FireTimer]:
    armed: list[tuple[float, str, str, Timer]] = [
        (timer.due, token.scope, token.step, timer)
        for token in d.state.tokens.values()
        for timer in token.timers
        if timer.due <= d.now
    ]
    deadline = d.state.deadline
    if deadline is not None and deadline.due <= d.now:
        armed.append((deadline.due, "", "", deadline))
    armed.sort(key=lambda one: one[:3])
    return [
        c.FireTimer(scope=scope, step=step, fence=timer.fence, purpose=timer.purpose) for _, scope, step, timer in armed
    ]


def cancel(d: Deciding, command: c.Cancel) -> None:
    """Stops what waits, waits for what is in flight, then undoes. Suspension does not hold it."""
    state = d.state
    if not _open(d, "Cancel", command.by):
        return
    if state.closing or state.status != "running":
        record(d, ("Cancel", command.by), "already", f"{state.run} is ending ({state.closing or state.status})")
        return
    waiting = state.lock_wanted
    d.emit(e.RunCancelRequested(by=command.by, at=d.now, reason=command.reason))
    if waiting:
        let_go(d)
        d.emit(e.RunCancelled(at=d.now, by=command.by, reason=command.reason))
        return
    d.touch("")


def terminate(d: Deciding, command: c.Terminate) -> None:
    """Ends the run now and undoes nothing. What is in flight is told to stop; its answer will be refused, and kept."""
    if not _open(d, "Terminate", command.by):
        return
    undoing = d.state.undoing
    for token in [undoing] if undoing is not None else [d.state.tokens[scope] for scope in sorted(d.state.tokens)]:
        withdraw_question(d, token, "the run was terminated")
        d.disarm_all(token)
        if token.phase == s.CALL or (token.phase == s.CHILD and token.child is not None):
            d.emit(
                e.StepCancelRequested(
                    scope=token.scope,
                    step=token.step,
                    fence=token.fence,
                    child=token.child.id if token.child is not None else None,
                    stop=True,
                )
            )
    let_go(d)
    d.emit(e.RunTerminated(at=d.now, by=command.by, reason=command.reason))


def _at(d: Deciding, verb: str, by: str, path: str) -> Token | None:
    scope = path.rpartition(".")[0]
    token = d.state.tokens.get(scope) or d.state.tokens.get("")
    if token is None or token.path != path:
        token = next((one for one in d.state.tokens.values() if one.path == path), None)
    if token is None:
        record(d, (verb, by), "not_found", f"nothing of {d.state.run} stands at {path}", field="path")
    return token


def _steerable(d: Deciding, verb: str, by: str, path: str) -> Token | None:
    """The token at `path` of a run that can be steered now."""
    if not _open(d, verb, by):
        return None
    if d.state.suspended:
        record(d, (verb, by), "suspended", f"{d.state.run} is suspended: resume it first")
        return None
    if d.state.status == "compensating" or d.state.lock_wanted:
        record(d, (verb, by), "in_flight", f"{d.state.run} is {'undoing' if not d.state.lock_wanted else 'queued'}")
        return None
    token = _at(d, verb, by, path)
    if token is not None and token.leave is not None:
        record(d, (verb, by), "in_flight", f"{path} is being left")
        return None
    return token


def retry_step(d: Deciding, command: c.RetryStep) -> None:
    """Tries again now: a step that waits for its next attempt, was deferred, or about which people are asked."""
    token = _steerable(d, "RetryStep", command.by, command.path)
    if token is None:
        return
    asked = token.question is not None and token.question.escalation
    if token.phase not in (s.RETRY, s.DEFERRED) and not asked:
        code = "in_flight" if token.phase in (s.CALL, s.CHILD) else "not_waiting"
        record(d, ("RetryStep", command.by), code, f"{command.path} has no failed attempt to repeat")
        return
    withdraw_question(d, token, f"retried by {command.by}")
    for timer in [one for one in token.timers if one.purpose in ("retry", "defer", "expiry", "reminder")]:
        d.disarm(token, timer)
    if token.phase == s.DEFERRED:
        same_attempt(d, token)
    else:
        again(d, token, in_doubt=token.doubts > 0 and not asked)
    d.touch(token.scope)


def skip_step(d: Deciding, command: c.SkipStep) -> None:
    """Goes on as if the step had ended with `output`. Gates are answered by their seats and can't be skipped."""
    token = _steerable(d, "SkipStep", command.by, command.path)
    if token is None:
        return
    question = token.question
    if question is not None and not question.escalation:
        record(d, ("SkipStep", command.by), "not_waiting", "a gate is answered by its seats, it can't be skipped")
        return
    if token.phase in (s.CALL, s.CHILD) or (token.items is not None and token.items.running):
        record(
            d,
            ("SkipStep", command.by),
            "in_flight",
            f"{command.path} is in flight",
            fix="wait for it, or cancel the run",
        )
        return
    withdraw_question(d, token, f"skipped by {command.by}")
    d.disarm_all(token)
    d.emit(
        e.StepSkipped(scope=token.scope, step=token.step, by=command.by, reason=command.reason, output=command.output)
    )
    d.touch(token.scope)


def redrive(d: Deciding, command: c.Redrive) -> None:
    """Goes on from a step of the run's own graph: a run at rest, or one that ended without completing."""
    state = d.state
    step = d.definition.steps.get(command.step)
    if state.status in ("completed", "new"):
        record(d, ("Redrive", command.by), "closed", f"{state.run} is {state.status}")
        return
    if state.open and (state.in_flight or state.closing or state.status != "running" or state.lock_wanted):
        record(
            d, ("Redrive", command.by), "in_flight", f"{state.run} has something in flight", fix="wait, or cancel it"
        )
        return
    if step is None or step.parent:
        record(
            d, ("Redrive", command.by), "not_found", f"{command.step} is no step of the run's own graph", field="step"
        )
        return
    inputs = state.inputs
    if command.inputs is not None:
        try:
            fields = d.definition.inputs
            inputs = checked(fields, command.inputs, {name: field.default for name, field in fields.items()})
        except FormError as error:
            record(d, ("Redrive", command.by), "bad_input", str(error), field=f"inputs.{error.field}")
            return
    was_open = state.open
    if was_open:
        _abandon(d)
    d.emit(e.RunRedriven(by=command.by, at=d.now, step=command.step, inputs=inputs, reason=command.reason))
    if not was_open:
        try:
            begin(d)
        except (ExpressionError, ValueError) as error:
            failure = e.Failure(error="ExpressionError", message=str(error), kind="expression")
            d.emit(e.RunFailed(at=d.now, failure=failure))
            return
    d.touch("")


def _abandon(d: Deciding) -> None:
    """Withdraws everything that waits, from the inside out; nothing of it is in flight."""
    for scope in sorted(d.state.tokens, key=lambda one: (-one.count("/") - bool(one), one)):
        token = d.state.tokens[scope]
        withdraw_question(d, token, "the run was redriven")
        d.disarm_all(token)
        if token.step:
            d.emit(e.StepCancelled(scope=scope, step=token.step, fence=token.fence, reason="redriven"))


def begin(d: Deciding) -> None:
    """What a run asks for before its first step: its deadline and its lock. Raises what the evaluator raises."""
    definition, root = d.definition, d.state.root
    key = None
    if definition.concurrency is not None:
        key = str(bare(d, root, definition.concurrency.key))
    if definition.timeout is not None:
        d.arm(root, "", d.next_fence(), "deadline", d.now + definition.timeout)
    if key is not None and definition.concurrency is not None:
        spec = definition.concurrency
        d.emit(e.LockWaited(key=key, limit=spec.limit, queue=spec.when_full == "queue"))


def migrate(d: Deciding, command: c.Migrate) -> None:
    """Goes on under another definition: the one handed in. Only at rest, and only if every token finds its step."""
    state, definition = d.state, d.definition
    if not _open(d, "Migrate", command.by):
        return
    if command.digest != definition.digest or definition.workflow != state.workflow:
        record(
            d, ("Migrate", command.by), "bad_definition", "that is not a definition of this workflow", field="digest"
        )
        return
    if state.in_flight or state.closing or state.status != "running":
        record(d, ("Migrate", command.by), "in_flight", f"{state.run} is not at rest", fix="suspend it and wait")
        return
    for token in state.tokens.values():
        step = definition.steps.get(token.step) if token.step else None
        if token.step and (step is None or not _same_shape(token, step.kind)):
            record(d, ("Migrate", command.by), "bad_definition", f"the new definition has no {token.path} of that kind")
            return
    if state.digest == command.digest:
        record(d, ("Migrate", command.by), "already", f"{state.run} runs under that definition")
        return
    d.emit(
        e.RunMigrated(by=command.by, at=d.now, digest=command.digest, reason=command.reason, version=definition.version)
    )


def _same_shape(token: Token, kind: str) -> bool:
    needs = {
        s.GATE: "gate",
        s.WAIT: "wait",
        s.EVENT: "wait",
        s.OBSERVE: "observe",
        s.MAP: "map",
        s.CHILD: "child",
    }.get(token.phase)
    if token.question is not None and token.question.escalation:
        return True
    return needs is None or needs == kind


def comment(d: Deciding, command: c.Comment) -> None:
    d.emit(e.CommentAdded(by=command.by, text=command.text, at=d.now, step=command.step))


def override_window(d: Deciding, command: c.OverrideWindow) -> None:
    """Lets one visit of a step through a closed window: what it holds now, or the approval its gate waits for."""
    person = command.voter.person
    windows = d.definition.windows
    token = _steerable(d, "OverrideWindow", person, command.path)
    if token is None:
        return
    if windows is None or windows.override is None or windows.override not in command.voter.roles:
        needed = windows.override if windows is not None and windows.override else "nobody"
        record(d, ("OverrideWindow", person), "wrong_role", f"only {needed} may override a window here")
    elif token.phase not in (s.HELD, s.GATE):
        record(d, ("OverrideWindow", person), "not_waiting", f"{command.path} is not held by a window")
    elif not command.reason:
        record(d, ("OverrideWindow", person), "bad_input", "say why", field="reason")
    else:
        if token.phase == s.HELD:
            d.disarm_all(token)
        d.emit(e.WindowOverridden(scope=token.scope, step=token.step, by=person, reason=command.reason))
        d.touch(token.scope)
