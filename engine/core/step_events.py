"""The facts of steps: what was scheduled and answered, timers, events, observations, maps and children."""

from __future__ import annotations

from typing import Any, Literal

from engine.core.event import Event, Failure

Json = Any


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
    in_doubt: bool = False


class StepStarted(Event, frozen=True, kw_only=True):
    """Recorded before the first byte is sent of an `effect: once` action: after a crash it is in doubt, not repeated."""

    scope: str
    step: str
    fence: int
    owner: str


class StepCompleted(Event, frozen=True, kw_only=True):
    """The action (or the wait, or the undo) ended well."""

    scope: str
    step: str
    fence: int
    output: Json = None
    at: float = 0.0
    undo: int | None = None


class StepFailed(Event, frozen=True, kw_only=True):
    """An attempt failed. `acted` false: it was refused before it could act, so there is nothing to undo."""

    scope: str
    step: str
    fence: int
    attempt: int
    failure: Failure
    at: float = 0.0
    undo: int | None = None
    retryable: bool = True
    retry_after: float | None = None
    acted: bool = True


class StepTimedOut(Event, frozen=True, kw_only=True):
    """The step as a whole took too long: what waits is withdrawn, what is in flight awaited."""

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
    undo: int | None = None


class StepRetryScheduled(Event, frozen=True, kw_only=True):
    """Attempt `attempt` is made at `due`, under a new fence."""

    scope: str
    step: str
    fence: int
    attempt: int
    due: float
    failure: Failure | None = None
    undo: int | None = None


class StepDeferred(Event, frozen=True, kw_only=True):
    """The target was busy or offline: tried again at `due`, no attempt spent. `acted`: an earlier try may have acted."""

    scope: str
    step: str
    fence: int
    due: float
    reason: str
    undo: int | None = None
    acted: bool = False


class StepSkipped(Event, frozen=True, kw_only=True):
    """The step was passed over: its condition was false, or people (`by`) decided so and gave its output."""

    scope: str
    step: str
    by: str = ""
    reason: str = ""
    output: Json = None


class StepCancelled(Event, frozen=True, kw_only=True):
    """The step stopped waiting because its token goes elsewhere or ends."""

    scope: str
    step: str
    fence: int
    reason: str = ""


class StepCancelRequested(Event, frozen=True, kw_only=True):
    """What is in flight is asked to stop; its answer is still waited for. `child` is the child run to cancel, if one is.

    `stop`: the token ends once it has answered (else it goes where its interrupt or time-out says).
    """

    scope: str
    step: str
    fence: int
    child: str | None = None
    stop: bool = False


class StepLeft(Event, frozen=True, kw_only=True):
    """Nothing of the step is in flight any more: the interrupt takes the token to `goto`."""

    scope: str
    step: str
    fence: int
    goto: str


class ResultRefused(Event, frozen=True, kw_only=True):
    """An answer from an attempt that no longer holds the step."""

    scope: str
    step: str
    fence: int
    reason: str
    output: Json = None


class FallbackTaken(Event, frozen=True, kw_only=True):
    """A declared way out was taken: a `catch`, an `on_timeout` or an `on_reject`."""

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
    """The first case that was true was taken; without one, `otherwise`."""

    scope: str
    step: str
    goto: str
    case: int | None = None


class Emitted(Event, frozen=True, kw_only=True):
    """An event for the outside, for triggers and for runs that wait."""

    scope: str
    step: str
    event: str
    data: dict[str, Json] = {}
    subject: str | None = None


class TimerArmed(Event, frozen=True, kw_only=True):
    """`purpose`: wait, sample, observe_end, expiry, reminder, retry, timeout, deadline, window, defer. `due` is UTC epoch seconds."""

    scope: str
    step: str
    fence: int
    purpose: str
    due: float


class TimerFired(Event, frozen=True, kw_only=True):
    """An armed timer fired, once."""

    scope: str
    step: str
    fence: int
    purpose: str
    at: float


class TimerCancelled(Event, frozen=True, kw_only=True):
    """The timer is no longer needed. If it fires all the same, it loses."""

    scope: str
    step: str
    fence: int
    purpose: str


class EventAwaited(Event, frozen=True, kw_only=True):
    """The step waits for an event, narrowed by the value of `correlate` if there is one."""

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
    """An event takes the token elsewhere: at once if it only waits, else once what is in flight has answered."""

    scope: str
    step: str
    fence: int
    event: str
    goto: str | None = None
    raise_: str | None = None
    id: str = ""
    data: dict[str, Json] = {}
    by: str = ""


class ObservationStarted(Event, frozen=True, kw_only=True):
    """Samples are taken every `every` seconds from now on, until `until` if there is one."""

    scope: str
    step: str
    fence: int
    at: float
    every: float
    until: float | None = None


class SampleJudged(Event, frozen=True, kw_only=True):
    """One sample of an observation. `verdict`: pass, fail, unsure, error.

    `ready`: were time up now, it would conclude with a pass (enough samples, enough exposure, and this one passes).
    """

    scope: str
    step: str
    fence: int
    number: int
    verdict: Literal["pass", "fail", "unsure", "error"]
    at: float
    sample: Json = None
    failure: Failure | None = None
    ready: bool = False


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
    """The list was evaluated; its items start as room allows, and at most `tolerate` may fail."""

    scope: str
    step: str
    fence: int
    items: tuple[Json, ...]
    parallel: int
    tolerate: int
    as_: str = "item"


class ItemStarted(Event, frozen=True, kw_only=True):
    """One item has a token of its own, in scope `<map>#<index>`."""

    scope: str
    step: str
    index: int


class ItemCompleted(Event, frozen=True, kw_only=True):
    """The item came to its end; its output is that of its last step."""

    scope: str
    step: str
    index: int
    output: Json = None


class ItemFailed(Event, frozen=True, kw_only=True):
    """The item ended with an error and counts against the map's tolerance."""

    scope: str
    step: str
    index: int
    failure: Failure


class ItemCancelled(Event, frozen=True, kw_only=True):
    """The item was stopped because its map, or the run, goes elsewhere."""

    scope: str
    step: str
    index: int


class MapConcluded(Event, frozen=True, kw_only=True):
    """Every started item has ended. If too many failed, `StepFailed` follows."""

    scope: str
    step: str
    fence: int
    completed: int
    failed: int


class ChildStarted(Event, frozen=True, kw_only=True):
    """Another run is to start, under the id `child`, as part of this one."""

    scope: str
    step: str
    fence: int
    child: str
    workflow: str
    inputs: dict[str, Json]
    key: str


class ChildEnded(Event, frozen=True, kw_only=True):
    """The child run ended. If it did not complete, `StepFailed` follows."""

    scope: str
    step: str
    fence: int
    child: str
    status: str
    output: Json = None
    failure: Failure | None = None
