"""What can be asked of a run. A command is turned by `decide` into events, or into a typed refusal.

The host adds what is the command's own in the journal (its id, the whole actor, the time); here stands only what a
decision depends on. `by` is the person or service as the policy knows it.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from engine.core.events import Failure
from engine.core.run_events import Origin

Json = Any


class Command(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="verb", tag=True):
    """Base of all commands."""


class Voter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who acts: the person, and what the policy file says they hold at this moment."""

    person: str
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class Start(Command, frozen=True, kw_only=True):
    """Begins a run. Inputs are checked against the definition; one that does not fit leaves no trace but the refusal."""

    run: str
    inputs: dict[str, Json]
    by: str
    parent: str | None = None
    parent_scope: str = ""
    parent_step: str = ""
    parent_fence: int = 0
    trigger: str | None = None
    attributes: dict[str, Json] = field(default_factory=dict)
    origin: Origin | None = None


class GrantLock(Command, frozen=True, kw_only=True):
    """The host has the lock for this run."""

    key: str


class DenyLock(Command, frozen=True, kw_only=True):
    """The lock is full and the definition says to refuse rather than to queue: the run ends."""

    key: str
    holders: tuple[str, ...] = ()


class MarkStarted(Command, frozen=True, kw_only=True):
    """An `effect: once` action is about to be sent: recorded before the first byte."""

    scope: str
    step: str
    fence: int
    owner: str


class Complete(Command, frozen=True, kw_only=True):
    """An action, sample or compensation answered."""

    scope: str
    step: str
    fence: int
    output: Json = None
    undo: int | None = None


class Fail(Command, frozen=True, kw_only=True):
    """An action, sample or compensation failed. `in_doubt`: it was sent and not answered. `retry_after`: seconds.

    `recovered` is that of the `RunAction`: an earlier try may have acted, whatever this one says.
    """

    scope: str
    step: str
    fence: int
    failure: Failure
    undo: int | None = None
    in_doubt: bool = False
    retry_after: float | None = None
    retryable: bool = True
    recovered: bool = False


class Defer(Command, frozen=True, kw_only=True):
    """The target is busy or offline: ask again in `seconds`, spending no attempt."""

    scope: str
    step: str
    fence: int
    seconds: float
    reason: str
    recovered: bool = False


class FireTimer(Command, frozen=True, kw_only=True):
    """An armed timer is due. One that is not armed any more loses."""

    scope: str
    step: str
    fence: int
    purpose: str


class ReceiveEvent(Command, frozen=True, kw_only=True):
    """An outside event or an operator's signal (`rollout.pause` …) for this run."""

    event: str
    id: str
    data: dict[str, Json]
    by: str


class EndChild(Command, frozen=True, kw_only=True):
    """A child run ended; `status` is `completed` or how else it ended."""

    scope: str
    step: str
    fence: int
    child: str
    status: str
    output: Json = None
    failure: Failure | None = None


class Vote(Command, frozen=True, kw_only=True):
    """An answer at a gate, on the evidence whose digest it names."""

    gate: str
    voter: Voter
    answer: str
    evidence_digest: str
    rationale: str = ""
    form: dict[str, Json] = field(default_factory=dict)


class WithdrawVote(Command, frozen=True, kw_only=True):
    """Takes the person's own vote back, while the gate is open."""

    gate: str
    voter: Voter


class Abstain(Command, frozen=True, kw_only=True):
    """Says, on the record, that the person will not answer: another has to."""

    gate: str
    voter: Voter
    reason: str = ""


class Delegate(Command, frozen=True, kw_only=True):
    """`voter` lets `to` vote with `voter`'s roles until then. No chains: a delegate can't delegate."""

    gate: str
    voter: Voter
    to: str
    until: float


class Claim(Command, frozen=True, kw_only=True):
    """Says who looks after the gate."""

    gate: str
    voter: Voter


class AskInfo(Command, frozen=True, kw_only=True):
    """Asks for more before answering."""

    gate: str
    voter: Voter
    question: str


class UpdateEvidence(Command, frozen=True, kw_only=True):
    """The evidence of an open gate changed: votes on the old one are void."""

    gate: str
    evidence: dict[str, Json]


class Suspend(Command, frozen=True, kw_only=True):
    """Starts nothing new and holds timers; what is in flight ends."""

    by: str
    reason: str = ""


class Resume(Command, frozen=True, kw_only=True):
    """Moves on, and fires what fell due meanwhile, in due order."""

    by: str


class Cancel(Command, frozen=True, kw_only=True):
    """Stops, waits for what is in flight, then compensates."""

    by: str
    reason: str = ""


class Terminate(Command, frozen=True, kw_only=True):
    """Stops now and undoes nothing."""

    by: str
    reason: str


class RetryStep(Command, frozen=True, kw_only=True):
    """Tries the step at `path` again now, instead of waiting or asking people."""

    by: str
    path: str


class SkipStep(Command, frozen=True, kw_only=True):
    """Goes on as if the step at `path` had ended with `output`."""

    by: str
    path: str
    reason: str
    output: Json = None


class Redrive(Command, frozen=True, kw_only=True):
    """Goes on from `step`: a run at rest, or one that ended without completing."""

    by: str
    step: str
    reason: str = ""
    inputs: dict[str, Json] | None = None


class Migrate(Command, frozen=True, kw_only=True):
    """Goes on under the definition with `digest`, which is the one handed to `decide`."""

    by: str
    digest: str
    reason: str = ""


class Comment(Command, frozen=True, kw_only=True):
    """Says something about the run. It moves nothing."""

    by: str
    text: str
    step: str | None = None


class OverrideWindow(Command, frozen=True, kw_only=True):
    """Lets what stands at `path` through a closed window. Needs the role the definition names, and a reason."""

    voter: Voter
    path: str
    reason: str


class Refusal(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a command was not done. `code` is stable; `fix` says what the reader can do."""

    code: str
    reason: str
    fix: str = ""
    field: str = ""


RefusalCode = Literal[
    "not_found",
    "not_open",
    "closed",
    "wrong_role",
    "excluded",
    "duplicate",
    "stale_evidence",
    "expired",
    "frozen",
    "bad_form",
    "bad_answer",
    "bad_input",
    "stale",
    "not_waiting",
    "ended",
    "suspended",
    "not_suspended",
    "already",
    "no_chain",
    "in_flight",
    "bad_definition",
]
