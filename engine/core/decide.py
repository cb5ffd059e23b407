"""What follows from a command: `decide(definition, state, command, …)` gives events, a typed refusal, or both.

The laws kept here:
1. Decisions are recorded, never re-derived: whatever depends on the clock, an expression, a window or a seed is in the
   events; `apply` only copies it.
2. `decide` is the only judge: of results (fences), timers (armed or not), votes, windows. What it refuses is recorded.
3. It runs to the fixpoint: the facts of one command and of everything that follows from it are one commit.
4. It changes `state` as it goes, for copying would cost more than deciding. If the commit fails, drop the state.
5. A closed run never moves. Only a redrive, which is a recorded command of a person, opens one again.

For authors of workflows:
- *Ending.* A run's own word for how it ended is `ending` in the output of its last step (of the last `on_failure` step,
  when it fails): `{emit: rollout.rolledback, with: {ending: rolled_back}, next: done}`. Without one it is `completed`,
  `failed`, or `rollback_incomplete` when something could not be undone. The output of the last step is the run's.
- *What steps leave behind* under `steps.<name>`: `output`; a gate also `answer form by rationale`; an observation also
  `verdict samples reason`; a map also `completed failed failures` and as output the list of its items' last outputs;
  a child also `status child`; a choice `goto`; a wait for an event has the event as output; a skipped step `skipped`;
  one whose error was caught `error`. A step that has not ended is absent.
- *Going down.* An error nobody takes, a cancel or the run's deadline: what waits is withdrawn, what is in flight is
  awaited, the undo stack runs in reverse, then `on_failure` runs with `run.cause`, `run.undone`, `run.undo_failed`
  (after a cancel only if something could not be undone).
- *Events* do not wait: one that comes before its step is entered is not kept for it.

Windows come in as data: `windows` names, for each window the definition honours, whether it is open now. One that is
honoured and not named is closed. A held step looks again when its timer fires.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.core import answering, operating, voting
from engine.core import commands as c
from engine.core import events as e
from engine.core.deciding import Deciding, Decision, WindowState
from engine.core.definition import Definition
from engine.core.drive import drive
from engine.core.environment import Environment
from engine.core.evaluator import Evaluator, ExpressionError
from engine.core.forms import FormError, checked
from engine.core.state import CORE_VERSION, State, Token, decode, encode

__all__ = ["Decision", "WindowState", "decide", "preview"]


def decide(
    definition: Definition,
    state: State,
    command: c.Command,
    *,
    now: float,
    seed: int = 0,
    evaluator: Evaluator,
    windows: Mapping[str, WindowState] | None = None,
) -> Decision:
    """The events that follow, already applied to `state`, and the refusal, if there is one.

    `now` is UTC epoch seconds; `seed` varies the jitter of retries. The definition must be the one the run is pinned to
    (for `Migrate`, the one it is to be pinned to). Raises `Runaway` for a graph that loops without waiting, which the
    loader refuses: nothing may be committed then.
    """
    d = Deciding(definition, state, now=now, seed=seed, evaluator=evaluator, windows=windows)
    if state.status == "new" and not isinstance(command, c.Start):
        d.refuse("not_found", f"there is no run {state.run}")
    else:
        _VERBS[type(command)](d, command)
        if d.ready:
            drive(d)
    return Decision(d.events, d.refusal)


def preview(
    definition: Definition,
    state: State,
    command: c.Command,
    *,
    now: float,
    seed: int = 0,
    evaluator: Evaluator,
    windows: Mapping[str, WindowState] | None = None,
) -> Decision:
    """What `decide` would answer, on a copy: the state stays as it is and nothing is to be committed."""
    copy = decode(encode(state))
    return decide(definition, copy, command, now=now, seed=seed, evaluator=evaluator, windows=windows)


def _start(d: Deciding, command: c.Start) -> None:
    """Inputs are checked and completed first: a run that can't start leaves no trace but the refusal."""
    state, definition = d.state, d.definition
    if state.status != "new":
        d.refuse("already", f"{state.run} has been started")
        return
    fields = definition.inputs
    try:
        inputs = checked(fields, command.inputs, {name: field.default for name, field in fields.items()})
    except FormError as error:
        d.refuse("bad_input", str(error), field=f"inputs.{error.field}")
        return
    draft = State(run=state.run, workflow=definition.workflow, inputs=inputs, by=command.by, started_at=d.now)
    try:
        attributes = {**definition.attributes, **command.attributes}
        if definition.attributes:
            env = Environment(draft, Token(scope=""))
            attributes = {**d.evaluator.value(definition.attributes, env), **command.attributes}
        if definition.concurrency is not None:
            d.evaluator.value("${" + definition.concurrency.key + "}", Environment(draft, Token(scope="")))
    except (ExpressionError, ValueError) as error:
        d.refuse("bad_input", f"the run can't start with these inputs: {error}", field="inputs")
        return
    d.emit(
        e.RunStarted(
            workflow=definition.workflow,
            version=definition.version,
            digest=definition.digest,
            inputs=inputs,
            by=command.by,
            at=d.now,
            parent=command.parent,
            parent_scope=command.parent_scope,
            parent_step=command.parent_step,
            parent_fence=command.parent_fence,
            trigger=command.trigger,
            deadline=None if definition.timeout is None else d.now + definition.timeout,
            engine=f"core-{CORE_VERSION}",
            attributes=attributes,
            origin=command.origin,
        )
    )
    operating.begin(d)
    d.touch("")


_VERBS: dict[type[c.Command], Callable[[Deciding, Any], None]] = {
    c.Start: _start,
    c.GrantLock: answering.grant_lock,
    c.DenyLock: answering.deny_lock,
    c.MarkStarted: answering.mark_started,
    c.Complete: answering.complete,
    c.Fail: answering.fail,
    c.Defer: answering.defer,
    c.FireTimer: answering.fire_timer,
    c.ReceiveEvent: answering.receive,
    c.EndChild: answering.end_child,
    c.Vote: voting.vote,
    c.WithdrawVote: voting.withdraw,
    c.Abstain: voting.abstain,
    c.Delegate: voting.delegate,
    c.Claim: voting.claim,
    c.AskInfo: voting.ask,
    c.UpdateEvidence: voting.update_evidence,
    c.Suspend: operating.suspend,
    c.Resume: operating.resume,
    c.Cancel: operating.cancel,
    c.Terminate: operating.terminate,
    c.RetryStep: operating.retry_step,
    c.SkipStep: operating.skip_step,
    c.Redrive: operating.redrive,
    c.Migrate: operating.migrate,
    c.Comment: operating.comment,
    c.OverrideWindow: operating.override_window,
}
