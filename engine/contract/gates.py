"""Gates: questions to people."""

from __future__ import annotations

from engine.contract.common import Json, Page, View


class SeatView(View, frozen=True, kw_only=True):
    """Who may fill it: holders of `role`, members of `group`, or one `person` (exactly one is set)."""

    label: str
    count: int
    filled_by: tuple[str, ...] = ()
    role: str = ""
    group: str = ""
    person: str = ""


class VoteView(View, frozen=True, kw_only=True):
    person: str
    answer: str
    at: float
    rationale: str = ""
    on_behalf_of: str | None = None
    void: bool = False
    refused: str = ""
    via: str = ""


class GateSummary(View, frozen=True, kw_only=True):
    """One row of the inbox. `mine`: empty when I may vote, else the reason why not. `state`: open, passed, rejected,
    expired, withdrawn.
    """

    id: str
    run: str
    path: str
    kind: str
    question: str
    opened_at: float
    expires_at: float
    seats_open: int
    seats_total: int
    state: str = "open"
    mine: str = ""
    claimed_by: str = ""
    subject: str = ""
    escalated: bool = False
    rollout: str = ""


class GatePage(Page, frozen=True, kw_only=True):
    rows: tuple[GateSummary, ...] = ()


class GateDetail(View, frozen=True, kw_only=True):
    """`evidence` as it stands; a vote must name `evidence_digest`. `phrase` is what must be typed to approve, if any.

    `consequences` say what approval does ("+84 robots, 6 sites"); `on_timeout` and `on_reject` what else can happen.
    """

    gate: GateSummary
    evidence: Json
    evidence_digest: str
    evidence_at: float
    seats: tuple[SeatView, ...]
    votes: tuple[VoteView, ...]
    excluded: tuple[str, ...]
    answers: tuple[str, ...]
    form: dict[str, Json] = {}
    on_timeout: str = ""
    on_reject: str = ""
    consequences: tuple[str, ...] = ()
    phrase: str = ""
    who_can: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()
    escalated_to: str = ""
    """Nobody answered in time: holders of this role may take any open seat now."""
