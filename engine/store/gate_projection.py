"""The inbox: one row per gate, with the votes in it. Gates are rare, so each of their events may read its row."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from engine.core import events as e
from engine.core.gates import ABSTAINED, seating
from engine.core.state import Ballot, Question
from engine.core.state import path as path_of
from engine.store import statements as sql
from engine.store.records import Cursor, Recorded

Json = Any


class StoredVote(Struct, omit_defaults=True):
    """A vote as the detail shows it. `void`: the evidence changed after it; `refused`: why it did not count."""

    person: str
    answer: str
    at: float
    via: str = ""
    digest: str = ""
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    rationale: str = ""
    on_behalf_of: str | None = None
    void: bool = False
    refused: str = ""


class StoredGate(Struct, omit_defaults=True):
    """What the detail needs beside the columns. `evidence_seq` is the event that holds the evidence."""

    scope: str
    step: str
    fence: int
    seats: tuple[dict[str, Json], ...]
    excluded: tuple[str, ...]
    answers: tuple[str, ...]
    form: dict[str, Json]
    evidence_digest: str
    evidence_at: float
    evidence_seq: int
    votes: list[StoredVote] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    delegations: list[tuple[str, str, float]] = field(default_factory=list)
    answer: str = ""
    escalated_to: str | None = None


_COLUMNS = sql.GATE_COLUMNS
_SELECT = f"select {', '.join(_COLUMNS)} from gates where id = ?"
_decoder = msgspec.json.Decoder(StoredGate)


def question_of(view: StoredGate, row: dict[str, Any]) -> Question:
    """The gate as the core's judge sees it, so that lists count seats by the same matching that decides."""
    return Question(
        id=row["id"],
        kind=row["kind"],
        question=row["question"],
        seats=view.seats,
        excluded=view.excluded,
        evidence={},
        digest=view.evidence_digest,
        opened=row["opened_at"],
        expires=row["expires_at"],
        answers=view.answers,
        escalated_to=view.escalated_to,
        votes=[
            Ballot(
                person=vote.person,
                answer=vote.answer,
                digest=vote.digest,
                at=vote.at,
                roles=vote.roles,
                groups=vote.groups,
                on_behalf_of=vote.on_behalf_of,
                void=vote.void,
            )
            for vote in view.votes
            if not vote.refused
        ],
    )


def seated(view: StoredGate, row: dict[str, Any]) -> list[tuple[dict[str, Json], str | None]]:
    """Each single seat and who fills it, for the answer that is nearest to being given (never a rejection)."""
    question = question_of(view, row)
    answers = [answer for answer in view.answers if answer not in ("reject", "abort")] or list(view.answers)[:1]
    seatings = [seating(question, answer) for answer in answers]
    return max(seatings, key=lambda places: sum(person is not None for _, person in places), default=[])


class GateProjector:
    """Keeps `gates`."""

    tables: tuple[str, ...] = ("gates",)
    wants = frozenset(
        {
            "GateOpened",
            "EvidenceChanged",
            "VoteCast",
            "VoteChanged",
            "VoteAbstained",
            "VoteWithdrawn",
            "VoteRefused",
            "DelegationGranted",
            "GateClaimed",
            "InfoRequested",
            "GateEscalated",
            "GatePassed",
            "GateRejected",
            "GateExpired",
            "GateWithdrawn",
        }
    )

    def apply(self, rows: list[Recorded], connection: Cursor) -> None:
        changed: dict[str, tuple[dict[str, Any], StoredGate]] = {}
        for record in rows:
            event: Any = record.event
            if isinstance(event, e.GateOpened):
                changed[event.gate] = _opened(record, event)
                continue
            entry = changed.get(event.gate) or _load(connection, event.gate)
            if entry is None:
                continue  # a refusal that names a gate this run never had
            changed[event.gate] = entry
            _apply(entry[0], entry[1], record, event)
        for row, view in changed.values():
            places = seated(view, row)
            row["seats_total"] = len(places)
            row["seats_open"] = sum(person is None for _, person in places)
            row["view"] = msgspec.json.encode(view)
            connection.execute(sql.GATE, tuple(row[name] for name in _COLUMNS))


def _opened(record: Recorded, event: e.GateOpened) -> tuple[dict[str, Any], StoredGate]:
    view = StoredGate(
        scope=event.scope,
        step=event.step,
        fence=event.fence,
        seats=event.seats,
        excluded=event.excluded,
        answers=event.answers,
        form=event.form,
        evidence_digest=event.evidence_digest,
        evidence_at=event.at,
        evidence_seq=record.seq,
    )
    row = {
        "id": event.gate,
        "run": record.run,
        "path": path_of(event.scope, event.step),
        "kind": event.kind,
        "question": event.question,
        "state": "open",
        "opened_at": event.at,
        "expires_at": event.expires,
        "seats_open": 0,
        "seats_total": 0,
        "claimed_by": "",
        "subject": _subject(event.evidence),
        "escalated": event.escalation,
        "rollout": record.run if record.workflow == "staged-rollout" else "",
        "seq": record.seq,
        "closed_at": None,
        "view": b"",
    }
    return row, view


def _subject(evidence: dict[str, Json]) -> str:
    """A few words on what it is about, if the evidence names them."""
    for name in ("subject", "title", "release", "version"):
        value = evidence.get(name)
        if isinstance(value, str):
            return value[:120]
    return ""


def _load(connection: Cursor, gate: str) -> tuple[dict[str, Any], StoredGate] | None:
    connection.execute(_SELECT, (gate,))
    found = connection.fetchone()
    if found is None:
        return None
    row = dict(zip(_COLUMNS, found, strict=True))
    return row, _decoder.decode(row["view"])


def _apply(row: dict[str, Any], view: StoredGate, record: Recorded, event: Any) -> None:
    row["seq"] = record.seq
    match event:
        case e.VoteCast():  # VoteChanged is one too
            view.votes = [vote for vote in view.votes if vote.refused or vote.person != event.person]
            view.votes.append(
                StoredVote(
                    person=event.person,
                    answer=event.answer,
                    at=event.at,
                    via=record.actor.via,
                    digest=event.evidence_digest,
                    roles=event.roles,
                    groups=event.groups,
                    rationale=event.rationale,
                    on_behalf_of=event.on_behalf_of,
                )
            )
        case e.VoteAbstained():
            view.votes = [vote for vote in view.votes if vote.refused or vote.person != event.person]
            view.votes.append(
                StoredVote(
                    person=event.person,
                    answer=ABSTAINED,
                    at=event.at,
                    via=record.actor.via,
                    digest=event.evidence_digest,
                    rationale=event.reason,
                    on_behalf_of=event.on_behalf_of,
                )
            )
        case e.VoteWithdrawn():
            view.votes = [vote for vote in view.votes if vote.refused or vote.person != event.person]
        case e.VoteRefused():
            view.votes.append(
                StoredVote(
                    person=event.person,
                    answer=event.answer,
                    at=event.at,
                    refused=event.reason or event.code,
                    via=record.actor.via,
                )
            )
            del view.votes[:-200]  # a refused vote repeated for ever must not grow the row; the history has them all
        case e.EvidenceChanged():
            view.evidence_digest, view.evidence_at, view.evidence_seq = event.evidence_digest, event.at, record.seq
            for vote in view.votes:
                vote.void = True
        case e.DelegationGranted():
            view.delegations.append((event.giver, event.to, event.until))
        case e.GateClaimed():
            row["claimed_by"] = event.person
        case e.InfoRequested():
            view.comments.append(f"{event.person} asks: {event.question}")
        case e.GateEscalated():
            row["escalated"], row["expires_at"], view.escalated_to = True, event.expires, event.role
        case e.GatePassed():
            row["state"], row["closed_at"], view.answer = "passed", event.at, event.answer
        case e.GateRejected():
            row["state"], row["closed_at"], view.answer = "rejected", event.at, event.answer
        case e.GateExpired():
            row["state"], row["closed_at"] = "expired", event.at
        case e.GateWithdrawn():
            row["state"], row["closed_at"] = "withdrawn", event.at
