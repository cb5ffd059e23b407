"""The facts of a run. One event type = one frozen struct = one documented row; names are past tense.

An event carries everything `apply` and `effects` need: resolved inputs, absolute due times, evaluated results.
The envelope (sequence, number in run, time, actor, cause, hashes) is the journal's and is not repeated here, except
where a decision depended on it (`at`, `by`).

A *scope* is one token: `""` is the run's own graph, `stages#0` the first item of map `stages`, `stages#0/x#2` an
item inside it. A step visited by a token is written as *path*: `stages#0.dispatch` (scope, dot, step name).
`fence` rises with every entry of a token into a step or attempt; answers and timers carry the fence they belong to.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Json = Any


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag=True):
    """Base of all events. `type` is the class name; `v` its version."""


class Failure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error with its name (matched by `catch`), its kind (the taxonomy) and what a person can read."""

    error: str
    message: str = ""
    kind: Literal[
        "configuration",
        "validation",
        "expression",
        "authentication",
        "authorization",
        "timeout",
        "communication",
        "conflict",
        "unavailable",
        "unknown",
        "domain",
    ] = "domain"
    detail: Json = None


class RunStarted(Event, frozen=True, kw_only=True):
    workflow: str
    digest: str
    inputs: dict[str, Json]
    by: str
    at: float
    parent: str | None = None
    parent_scope: str = ""
    parent_step: str = ""
    parent_fence: int = 0
    trigger: str | None = None
    deadline: float | None = None
    engine: str = ""
    attributes: dict[str, Json] = {}


class LockWaited(Event, frozen=True, kw_only=True):
    key: str
    holders: tuple[str, ...] = ()


class LockAcquired(Event, frozen=True, kw_only=True):
    key: str


class LockReleased(Event, frozen=True, kw_only=True):
    key: str


class WindowHeld(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    fence: int
    window: str
    until: float | None = None


class WindowOverridden(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    by: str
    reason: str


class StepScheduled(Event, frozen=True, kw_only=True):
    """An action, a sample source or a compensation is to run: the effect is derived from this event alone.

    `compensation` is recorded here, ahead of the action it undoes. `undo` is the index (in the undo stack) of the
    compensation that this event runs, when it runs one.
    """

    scope: str
    step: str
    fence: int
    attempt: int
    action: str
    input: dict[str, Json]
    key: str
    effect: Literal["read", "idempotent", "once"]
    at: float
    timeout: float | None = None
    heartbeat: float | None = None
    compensation: dict[str, Json] | None = None
    undo: int | None = None
    sample: bool = False


class StepStarted(Event, frozen=True, kw_only=True):
    """Recorded before the first byte is sent of an `effect: once` action: after a crash it is in doubt, not repeated."""

    scope: str
    step: str
    fence: int
    owner: str


class StepCompleted(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    fence: int
    output: Json = None
    at: float = 0.0
    undo: int | None = None


class StepFailed(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    fence: int
    attempt: int
    failure: Failure
    at: float = 0.0
    undo: int | None = None


class StepTimedOut(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    fence: int
    attempt: int
    at: float


class StepInDoubt(Event, frozen=True, kw_only=True):
    """The effect was sent and not answered. It is read back from its owner, never sent again blindly."""

    scope: str
    step: str
    fence: int
    attempt: int
    failure: Failure
    at: float


class StepRetryScheduled(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    fence: int
    attempt: int
    due: float
    failure: Failure | None = None


class StepDeferred(Event, frozen=True, kw_only=True):
    """The target was busy or offline: tried again at `due`, no attempt spent."""

    scope: str
    step: str
    fence: int
    due: float
    reason: str


class StepSkipped(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    by: str = ""
    reason: str = ""
    output: Json = None


class StepCancelled(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    fence: int
    reason: str = ""


class ResultRefused(Event, frozen=True, kw_only=True):
    """An answer from an attempt that no longer holds the step."""

    scope: str
    step: str
    fence: int
    reason: str
    output: Json = None


class FallbackTaken(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    failure: Failure
    goto: str


class ErrorRaised(Event, frozen=True, kw_only=True):
    """The scope ends with an error, on purpose (`raise`, `fail`) or because nothing took it."""

    scope: str
    step: str
    failure: Failure


class ChoiceTaken(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    goto: str
    case: int | None = None


class Emitted(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    event: str
    data: dict[str, Json] = {}
    subject: str | None = None


class GateOpened(Event, frozen=True, kw_only=True):
    """A question to people is open. `seats` are those needed now; `evidence_digest` is what a vote must name.

    `escalation` marks a gate the engine opened itself because a step was out of retries: its answers are
    `retry`, `skip` and `abort` and `evidence` holds the whole context.
    """

    scope: str
    step: str
    fence: int
    gate: str
    kind: str
    question: str
    seats: tuple[dict[str, Json], ...]
    excluded: tuple[str, ...]
    evidence: dict[str, Json]
    evidence_digest: str
    at: float
    expires: float
    remind: tuple[float, ...] = ()
    form: dict[str, Json] = {}
    answers: tuple[str, ...] = ("approve", "reject")
    escalation: bool = False


class EvidenceChanged(Event, frozen=True, kw_only=True):
    """The evidence is not what the votes saw: they are void (recorded, not deleted) and the question stands anew."""

    scope: str
    step: str
    gate: str
    evidence: dict[str, Json]
    evidence_digest: str
    at: float


class VoteCast(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    gate: str
    person: str
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    answer: str
    evidence_digest: str
    at: float
    rationale: str = ""
    form: dict[str, Json] = {}
    on_behalf_of: str | None = None


class VoteChanged(VoteCast, frozen=True, kw_only=True):
    """The same person thought again; only the newest vote counts."""


class VoteWithdrawn(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    gate: str
    person: str
    at: float


class VoteRefused(Event, frozen=True, kw_only=True):
    """A vote that did not count, and why: kept, because a refused approval is an audit fact."""

    scope: str
    step: str
    gate: str
    person: str
    answer: str
    code: str
    reason: str
    at: float


class DelegationGranted(Event, frozen=True, kw_only=True):
    gate: str
    scope: str
    step: str
    giver: str
    to: str
    until: float
    roles: tuple[str, ...]


class GateClaimed(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    gate: str
    person: str
    at: float


class InfoRequested(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    gate: str
    person: str
    question: str
    at: float


class ReminderSent(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    gate: str
    at: float


class GateEscalated(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    gate: str
    fence: int
    role: str
    at: float
    expires: float


class GatePassed(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    gate: str
    fence: int
    answer: str
    form: dict[str, Json]
    at: float
    votes: tuple[str, ...] = ()


class GateRejected(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    gate: str
    fence: int
    answer: str
    at: float
    by: str
    rationale: str = ""


class GateExpired(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    gate: str
    fence: int
    at: float


class GateWithdrawn(Event, frozen=True, kw_only=True):
    """The question no longer stands (interrupted, cancelled, skipped)."""

    scope: str
    step: str
    gate: str
    at: float
    reason: str = ""


class TimerArmed(Event, frozen=True, kw_only=True):
    """`purpose`: wait, sample, observe_end, expiry, reminder, retry, timeout, deadline, window, defer. `due` is UTC epoch seconds."""

    scope: str
    step: str
    fence: int
    purpose: str
    due: float


class TimerFired(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    fence: int
    purpose: str
    at: float


class TimerCancelled(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    fence: int
    purpose: str


class EventAwaited(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    fence: int
    event: str
    correlate: Json = None


class EventReceived(Event, frozen=True, kw_only=True):
    """An outside event, or an operator's signal, reached the run. `taken_by` are the paths it moved."""

    event: str
    id: str
    data: dict[str, Json]
    by: str
    at: float
    taken_by: tuple[str, ...] = ()


class InterruptTaken(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    fence: int
    event: str
    goto: str | None = None
    raise_: str | None = None


class ObservationStarted(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    fence: int
    at: float
    every: float
    until: float | None = None


class SampleJudged(Event, frozen=True, kw_only=True):
    """One sample of an observation. `verdict`: pass, fail, unsure, error."""

    scope: str
    step: str
    fence: int
    number: int
    verdict: Literal["pass", "fail", "unsure", "error"]
    at: float
    sample: Json = None
    failure: Failure | None = None


class ObservationConcluded(Event, frozen=True, kw_only=True):
    """`verdict`: pass, fail, unsure, no_data. `fail` raises `Fail`, `unsure` `Unsure`, `no_data` `NoData`."""

    scope: str
    step: str
    fence: int
    verdict: Literal["pass", "fail", "unsure", "no_data"]
    at: float
    reason: str = ""
    samples: int = 0
    output: Json = None


class MapExpanded(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    fence: int
    items: tuple[Json, ...]
    parallel: int
    tolerate: int


class ItemStarted(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    index: int


class ItemCompleted(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    index: int
    output: Json = None


class ItemFailed(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    index: int
    failure: Failure


class MapConcluded(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    fence: int
    completed: int
    failed: int


class ChildStarted(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    fence: int
    child: str
    workflow: str
    inputs: dict[str, Json]
    key: str


class ChildEnded(Event, frozen=True, kw_only=True):
    scope: str
    step: str
    fence: int
    child: str
    status: str
    output: Json = None
    failure: Failure | None = None


class CompensationStarted(Event, frozen=True, kw_only=True):
    """The undo stack will be run from its top. `steps` are the paths to undo, in that order."""

    cause: Failure
    steps: tuple[str, ...]
    at: float


class CompensationConcluded(Event, frozen=True, kw_only=True):
    undone: tuple[str, ...]
    failed: tuple[str, ...]
    at: float


class CommentAdded(Event, frozen=True, kw_only=True):
    by: str
    text: str
    at: float
    step: str | None = None


class RunSuspended(Event, frozen=True, kw_only=True):
    by: str
    at: float
    reason: str = ""


class RunResumed(Event, frozen=True, kw_only=True):
    by: str
    at: float


class RunCancelRequested(Event, frozen=True, kw_only=True):
    by: str
    at: float
    reason: str = ""


class RunMigrated(Event, frozen=True, kw_only=True):
    by: str
    at: float
    digest: str
    reason: str = ""


class RunRedriven(Event, frozen=True, kw_only=True):
    """The run goes on from `step` (a top-level step), with changed inputs if given."""

    by: str
    at: float
    step: str
    inputs: dict[str, Json]
    reason: str = ""


class CommandRefused(Event, frozen=True, kw_only=True):
    """A command that was not done, and why."""

    verb: str
    by: str
    code: str
    reason: str
    at: float


class RunCompleted(Event, frozen=True, kw_only=True):
    at: float
    output: Json = None
    ending: str = "completed"


class RunFailed(Event, frozen=True, kw_only=True):
    at: float
    failure: Failure
    ending: str = "failed"
    output: Json = None


class RunCancelled(Event, frozen=True, kw_only=True):
    at: float
    by: str = ""
    reason: str = ""


class RunTerminated(Event, frozen=True, kw_only=True):
    at: float
    by: str
    reason: str = ""


class RunTimedOut(Event, frozen=True, kw_only=True):
    at: float
