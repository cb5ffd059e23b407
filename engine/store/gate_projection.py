"""The inbox: one row per gate, with the votes in it. Gates are rare, so each of their events may read its row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from engine.core import events as e
from engine.core.state import path as path_of
from engine.store import statements as sql
from engine.store.records import Cursor, Recorded
from engine.store.tables import GateRow

Json = Any


class StoredVote(Struct, omit_defaults=True):
    """A vote as the detail shows it. `void`: the evidence changed after it; `refused`: why it did not count."""

    person: str
    answer: str
    at: float
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


_COLUMNS = tuple(column.name for column in sql.table(GateRow).columns)
_SELECT = f"select {', '.join(_COLUMNS)} from gates where id = ?"
_decoder = msgspec.json.Decoder(StoredGate)


def seating(seats: Sequence[dict[str, Json]], votes: Sequence[StoredVote]) -> list[list[str]]:
    """Who sits where: a maximum matching of approving voters to seats (nobody sits twice)."""
    slots = [index for index, seat in enumerate(seats) for _ in range(int(seat.get("count", 1)))]
    taken: dict[int, int] = {}

    def fits(vote: StoredVote, seat: dict[str, Json]) -> bool:
        if seat.get("person"):
            return bool(seat["person"] == vote.person)
        if seat.get("group"):
            return seat["group"] in vote.groups
        return not seat.get("role") or seat["role"] in vote.roles

    def place(voter: int, tried: set[int]) -> bool:
        for slot, seat in enumerate(slots):
            if slot in tried or not fits(votes[voter], seats[seat]):
                continue
            tried.add(slot)
            if slot not in taken or place(taken[slot], tried):
                taken[slot] = voter
                return True
        return False

    for voter in range(len(votes)):
        place(voter, set())
    filled: list[list[str]] = [[] for _ in seats]
    for slot, voter in sorted(taken.items()):
        filled[slots[slot]].append(votes[voter].person)
    return filled


def counting(gate: StoredGate) -> list[StoredVote]:
    """The votes that stand and agree: for approval, or for whatever the newest of them chose."""
    standing = [vote for vote in gate.votes if not vote.void and not vote.refused]
    negative = {"reject", "abort"}
    return [vote for vote in standing if vote.answer not in negative]


class GateProjector:
    """Keeps `gates`."""

    tables: tuple[str, ...] = ("gates",)
    wants = frozenset(
        {
            "GateOpened",
            "EvidenceChanged",
            "VoteCast",
            "VoteChanged",
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
            filled = seating(view.seats, counting(view))
            row["seats_total"] = sum(int(seat.get("count", 1)) for seat in view.seats)
            row["seats_open"] = row["seats_total"] - sum(len(people) for people in filled)
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
                    digest=event.evidence_digest,
                    roles=event.roles,
                    groups=event.groups,
                    rationale=event.rationale,
                    on_behalf_of=event.on_behalf_of,
                )
            )
        case e.VoteWithdrawn():
            view.votes = [vote for vote in view.votes if vote.refused or vote.person != event.person]
        case e.VoteRefused():
            view.votes.append(
                StoredVote(person=event.person, answer=event.answer, at=event.at, refused=event.reason or event.code)
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
            row["escalated"], row["expires_at"] = True, event.expires
        case e.GatePassed():
            row["state"], row["closed_at"], view.answer = "passed", event.at, event.answer
        case e.GateRejected():
            row["state"], row["closed_at"], view.answer = "rejected", event.at, event.answer
        case e.GateExpired():
            row["state"], row["closed_at"] = "expired", event.at
        case e.GateWithdrawn():
            row["state"], row["closed_at"] = "withdrawn", event.at
