"""The facts of a run as a whole: how it starts, is held, undone, steered and ended."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from engine.core.event import Event, Failure

Json = Any


class Origin(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What started a run without a person: the sequence of the event (0 = a cron line), the rule, and the rule's key."""

    event: int
    rule: str
    key: str


class RunStarted(Event, frozen=True, kw_only=True):
    """A run begins, pinned to the digest of its definition, with checked inputs."""

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
    version: int = 0
    attributes: dict[str, Json] = {}
    origin: Origin | None = None


class LockWaited(Event, frozen=True, kw_only=True):
    """The run asks for a lock and does nothing until it has it. With `queue` false a full lock ends the run."""

    key: str
    holders: tuple[str, ...] = ()
    limit: int = 1
    queue: bool = True


class LockAcquired(Event, frozen=True, kw_only=True):
    """The run holds its lock and may move."""

    key: str


class LockReleased(Event, frozen=True, kw_only=True):
    """The run holds its lock no more, or waits for it no more."""

    key: str


class WindowHeld(Event, frozen=True, kw_only=True):
    """A closed calendar window holds the step. It is looked at again by a timer."""

    scope: str
    step: str
    fence: int
    window: str
    until: float | None = None


class WindowOverridden(Event, frozen=True, kw_only=True):
    """Somebody who may let this visit of the step through a closed window did, and said why."""

    scope: str
    step: str
    by: str
    reason: str


class CompensationStarted(Event, frozen=True, kw_only=True):
    """The undo stack will be run from its top. `steps` are the paths to undo, in that order."""

    cause: Failure
    steps: tuple[str, ...]
    at: float


class CompensationFailed(Event, frozen=True, kw_only=True):
    """One undo could not be done, and is not tried again. The others go on; the run knows what is left undone."""

    scope: str
    step: str
    undo: int
    failure: Failure
    at: float


class CompensationConcluded(Event, frozen=True, kw_only=True):
    """What could be undone is. The run goes on at `goto` (the first `on_failure` step), or ends."""

    undone: tuple[str, ...]
    failed: tuple[str, ...]
    at: float
    goto: str = ""


class CommentAdded(Event, frozen=True, kw_only=True):
    """Somebody said something about the run, or about one of its steps. It moves nothing."""

    by: str
    text: str
    at: float
    step: str | None = None


class RunSuspended(Event, frozen=True, kw_only=True):
    """Nothing new starts and timers are held; what is in flight ends."""

    by: str
    at: float
    reason: str = ""


class RunResumed(Event, frozen=True, kw_only=True):
    """The run moves again; timers that fell due meanwhile fire after this, in due order."""

    by: str
    at: float


class RunCancelRequested(Event, frozen=True, kw_only=True):
    """The run is to stop: what waits is withdrawn, what is in flight awaited, then it is undone."""

    by: str
    at: float
    reason: str = ""


class RunMigrated(Event, frozen=True, kw_only=True):
    """The run goes on under another definition of the same workflow."""

    by: str
    at: float
    digest: str
    reason: str = ""
    version: int = 0


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
    """The run came to its end. `ending` is the definition's own word for it."""

    at: float
    output: Json = None
    ending: str = "completed"


class RunFailed(Event, frozen=True, kw_only=True):
    """The run ended with an error, after undoing what could be undone."""

    at: float
    failure: Failure
    ending: str = "failed"
    output: Json = None


class RunCancelled(Event, frozen=True, kw_only=True):
    """The run ended because it was cancelled, after undoing what could be undone."""

    at: float
    by: str = ""
    reason: str = ""
    ending: str = "cancelled"


class RunTerminated(Event, frozen=True, kw_only=True):
    """The run was ended at once; nothing was undone."""

    at: float
    by: str
    reason: str = ""


class RunTimedOut(Event, frozen=True, kw_only=True):
    """The run's own time was up; what could be undone was."""

    at: float
    ending: str = "timed_out"
