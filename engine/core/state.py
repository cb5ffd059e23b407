"""What is known of a run at one moment: the fold of its events, and nothing that can't be rebuilt from them.

Rules:
1. Only `apply` writes here, and it only copies what an event says.
2. Work per event is constant: tokens that ended leave, and nothing scans all of them in the common case.
3. A snapshot is a cache. It is stamped with `CORE_VERSION`; on any doubt it is thrown away and the events are folded.

A *token* stands at one step of one scope: the root's scope is `""`, an item's is `stages#0`. Its `phase` says what it
waits for, or, in the phases of `MOVING`, that a decision is due (it rests there only while the run is suspended).
Outputs above 32 KiB are kept by reference: the host replaces them before it hands a result in.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from engine.core.event import Failure
from engine.core.events import StepScheduled

Json = Any

CORE_VERSION = 1
"""Raised when the shape or meaning of `State` changes; snapshots of another version are folded anew."""

ENTER = "enter"
DONE = "done"
FAILED = "failed"
DOUBT = "doubt"
BROKEN = "broken"
ANSWERED = "answered"
REJECTED = "rejected"
EXPIRED = "expired"
CALL = "call"
RETRY = "retry"
DEFERRED = "deferred"
WAIT = "wait"
EVENT = "event"
GATE = "gate"
OBSERVE = "observe"
MAP = "map"
CHILD = "child"
HELD = "held"
STOPPED = "stopped"

MOVING = frozenset({ENTER, DONE, FAILED, DOUBT, BROKEN, ANSWERED, REJECTED, EXPIRED, MAP})
"""Phases in which a decision may be due. In all others something outside is waited for."""

OPEN = frozenset({"running", "compensating", "concluding"})
"""Statuses of a run that can still move. `new` has not started; every other one is closed."""


class Timer(Struct, omit_defaults=True):
    """An armed timer. It fires once, and only while it stands here: that is how a stale one loses."""

    purpose: str
    fence: int
    due: float


class Ballot(Struct, omit_defaults=True):
    """One person's newest vote at an open gate."""

    person: str
    answer: str
    digest: str
    at: float
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    on_behalf_of: str | None = None
    form: dict[str, Json] = field(default_factory=dict)
    rationale: str = ""
    void: bool = False


class Grant(Struct, omit_defaults=True):
    """A delegation at one gate: `to` may vote with `roles` of `giver` until then."""

    giver: str
    to: str
    until: float
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class Question(Struct, omit_defaults=True):
    """An open gate."""

    id: str
    kind: str
    question: str
    seats: tuple[dict[str, Json], ...]
    excluded: tuple[str, ...]
    evidence: dict[str, Json]
    digest: str
    opened: float
    expires: float
    form: dict[str, Json] = field(default_factory=dict)
    answers: tuple[str, ...] = ("approve", "reject")
    escalation: bool = False
    escalated_to: str | None = None
    remind: tuple[float, ...] = ()
    reminded: int = 0
    votes: list[Ballot] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    claimed_by: str = ""
    asked: int = 0


class Observation(Struct, omit_defaults=True):
    """An observation under way. `over`: its time ran out while a sample was on its way. `trouble`: why the newest sample
    could not be had; empty when it could.
    """

    fence: int
    since: float
    every: float
    until: float | None = None
    samples: int = 0
    fails: int = 0
    unsures: int = 0
    errors_in_a_row: int = 0
    ready: bool = False
    last: str = ""
    sample: Json = None
    over: bool = False
    trouble: str = ""


class Items(Struct, omit_defaults=True):
    """A map under way. Only running items have tokens; `outputs` holds what is not null."""

    items: tuple[Json, ...]
    parallel: int
    tolerate: int
    as_: str = "item"
    next: int = 0
    running: set[int] = field(default_factory=set)
    outputs: dict[int, Json] = field(default_factory=dict)
    completed: int = 0
    failures: list[tuple[int, Failure]] = field(default_factory=list)


class ChildRun(Struct, omit_defaults=True):
    """A child run that was started and has not ended."""

    id: str
    workflow: str
    inputs: dict[str, Json]
    key: str
    asked_to_cancel: bool = False


class Leave(Struct, omit_defaults=True):
    """Where a token goes as soon as nothing of it is in flight any more. Without any field: it ends."""

    goto: str | None = None
    raise_: str | None = None
    timeout: bool = False
    event: str = ""


class Try(Struct, omit_defaults=True):
    """One failed attempt, kept for the people who may be asked."""

    attempt: int
    at: float
    error: str
    message: str


class Token(Struct, omit_defaults=True):
    """Where one scope stands. `fence` is that of the newest entry or attempt; `started` names the owner of a `once`."""

    scope: str
    phase: str = ENTER
    step: str = ""
    goto: str = ""
    fence: int = 0
    attempt: int = 0
    round: int = 0
    doubts: int = 0
    acted: bool = False
    undo: int = -1
    index: int = -1
    as_name: str = ""
    item: Json = None
    call: StepScheduled | None = None
    started: str = ""
    timers: list[Timer] = field(default_factory=list)
    results: dict[str, dict[str, Json]] = field(default_factory=dict)
    output: Json = None
    failure: Failure | None = None
    retryable: bool = True
    retry_after: float | None = None
    tries: list[Try] = field(default_factory=list)
    error: Failure | None = None
    event: dict[str, Json] | None = None
    awaited: str = ""
    correlate: Json = None
    question: Question | None = None
    answer: str = ""
    observation: Observation | None = None
    items: Items | None = None
    child: ChildRun | None = None
    held: str = ""
    overridden: str = ""
    reason: str = ""
    leave: Leave | None = None
    stopping: bool = False

    @property
    def parent(self) -> str:
        """The scope of the map this item belongs to; the root has none."""
        return self.scope.rpartition("/")[0]

    @property
    def path(self) -> str:
        return path(self.scope, self.step)


class Undo(Struct, omit_defaults=True):
    """A compensation, recorded ahead of the action it undoes. `number` is its index for ever, and its key's."""

    number: int
    scope: str
    step: str
    action: str
    input: dict[str, Json]
    key: str
    attempts: int = 1
    first: float = 2.0
    factor: float = 2.0
    cap: float = 300.0
    jitter: str = "full"
    never: tuple[str, ...] = ()
    timeout: float | None = None


class State(Struct, omit_defaults=True):
    """A run. `n` counts the events folded in; `status`: new, running, compensating, concluding, then closed for good
    (completed, failed, cancelled, terminated, timed_out), which only a redrive opens again.
    """

    run: str
    n: int = 0
    core: int = CORE_VERSION
    status: str = "new"
    workflow: str = ""
    version: int = 0
    digest: str = ""
    inputs: dict[str, Json] = field(default_factory=dict)
    attributes: dict[str, Json] = field(default_factory=dict)
    by: str = ""
    started_at: float = 0.0
    ended_at: float | None = None
    trigger: str | None = None
    parent: str | None = None
    parent_scope: str = ""
    parent_step: str = ""
    parent_fence: int = 0
    fence: int = 0
    suspended: bool = False
    lock: str | None = None
    lock_limit: int = 1
    lock_queue: bool = True
    lock_wanted: bool = False
    deadline: Timer | None = None
    tokens: dict[str, Token] = field(default_factory=dict)
    gates: dict[str, str] = field(default_factory=dict)
    gates_ended: dict[str, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    undo: list[Undo] = field(default_factory=list)
    undo_count: int = 0
    undoing: Token | None = None
    undone: list[str] = field(default_factory=list)
    undo_failed: list[str] = field(default_factory=list)
    closing: str = ""
    cause: Failure | None = None
    cancelled_by: str = ""
    cancel_reason: str = ""
    output: Json = None
    ending: str = ""

    @classmethod
    def new(cls, run: str) -> State:
        return cls(run=run)

    @property
    def open(self) -> bool:
        return self.status in OPEN

    @property
    def root(self) -> Token:
        return self.tokens[""]

    @property
    def in_flight(self) -> bool:
        """Whether something outside may still act for this run: an action, a sample, a child, a compensation."""
        return self.undoing is not None or any(token.phase in (CALL, CHILD) for token in self.tokens.values())


class StateMismatch(Exception):
    """A snapshot of another core version, or a damaged one. Nothing is lost: fold the events instead."""


def path(scope: str, step: str) -> str:
    """How people name a visit of a step: `stages#0.dispatch`; at the top the step's own id."""
    return f"{scope}.{step.rpartition('.')[2]}" if scope else step


def item_scope(scope: str, step: str, index: int) -> str:
    """The scope of one item of a map: `stages#0`, `stages#0/x#2`."""
    return f"{scope}/{step.rpartition('.')[2]}#{index}" if scope else f"{step}#{index}"


SAID = 160
"""Characters of an error's own words that are told where a run waits because of it."""


def told(failure: Failure | None) -> str:
    """A failure in its own words, which name who could not be reached; empty for none."""
    if failure is None:
        return ""
    words = " ".join(failure.message.split())
    said = words if len(words) <= SAID else f"{words[: SAID - 1]}…"
    return f"{failure.error}: {said}" if said else failure.error


def described(failure: Failure | None) -> Json:
    """A failure as expressions, evidence and results see it."""
    if failure is None:
        return None
    return {"error": failure.error, "message": failure.message, "kind": failure.kind, "detail": failure.detail}


def undo_of(event: StepScheduled) -> Undo:
    """The compensation an event records ahead of its action."""
    return msgspec.convert({"scope": event.scope, "step": event.step, **(event.compensation or {})}, Undo)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(State)


def encode(state: State) -> bytes:
    """The snapshot: JSON, so that any SQLite shell can read it."""
    return _encoder.encode(state)


def decode(data: bytes) -> State:
    """Raises StateMismatch when the snapshot can't be trusted."""
    try:
        state = _decoder.decode(data)
    except (msgspec.DecodeError, ValueError) as error:
        raise StateMismatch(f"the snapshot can't be read: {error}") from error
    if state.core != CORE_VERSION:
        raise StateMismatch(f"the snapshot was made by core {state.core}, this is core {CORE_VERSION}")
    return state
