"""The facts of gates: questions to people, their answers, and the answers that did not count."""

from __future__ import annotations

from typing import Any

from engine.core.event import Event

Json = Any


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
    """A vote that counts, with the roles it counts by, on the evidence it names."""

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
    """The vote is taken back, by its voter, or because the person it stood in for voted themselves."""

    scope: str
    step: str
    gate: str
    person: str
    at: float


class VoteAbstained(Event, frozen=True, kw_only=True):
    """Somebody who may answer does not, on purpose. It fills no seat and is no answer; a vote may still follow it."""

    scope: str
    step: str
    gate: str
    person: str
    evidence_digest: str
    at: float
    reason: str = ""
    on_behalf_of: str | None = None


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
    """Until then `to` may vote with what `giver` holds, at this gate. No chains."""

    gate: str
    scope: str
    step: str
    giver: str
    to: str
    until: float
    roles: tuple[str, ...]
    groups: tuple[str, ...] = ()


class GateClaimed(Event, frozen=True, kw_only=True):
    """Somebody says that they look after it. It binds nobody."""

    scope: str
    step: str
    gate: str
    person: str
    at: float


class InfoRequested(Event, frozen=True, kw_only=True):
    """Somebody who may answer asks for more before they do."""

    scope: str
    step: str
    gate: str
    person: str
    question: str
    at: float


class ReminderSent(Event, frozen=True, kw_only=True):
    """The gate has stood open for so long that people are reminded."""

    scope: str
    step: str
    gate: str
    at: float


class GateEscalated(Event, frozen=True, kw_only=True):
    """Nobody decided, or somebody rejected, and the declared role is asked too, until `expires`."""

    scope: str
    step: str
    gate: str
    fence: int
    role: str
    at: float
    expires: float


class GatePassed(Event, frozen=True, kw_only=True):
    """Every seat is filled (or people answered the engine's own question). `form` merges those of the counting votes."""

    scope: str
    step: str
    gate: str
    fence: int
    answer: str
    form: dict[str, Json]
    at: float
    votes: tuple[str, ...] = ()


class GateRejected(Event, frozen=True, kw_only=True):
    """One person who may answer rejected it."""

    scope: str
    step: str
    gate: str
    fence: int
    answer: str
    at: float
    by: str
    rationale: str = ""


class GateExpired(Event, frozen=True, kw_only=True):
    """Nobody decided in time. It never means approval."""

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
