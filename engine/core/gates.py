"""Who may answer a gate, and when its seats are filled. The only judge of a vote; values in, values out.

Rules:
1. One person, one seat; one authority (a person or, by delegation, the one they stand in for), one vote.
2. Seats are filled by a maximum matching: whoever fits two kinds of seats takes the one that leaves the most filled.
   (First-fit refuses three in ten quorums that are truly met.)
3. Nobody excluded counts, neither as a voter nor as the giver of a delegation. A delegate can't delegate.
4. Only votes on the evidence as it stands count.
5. An abstention is kept beside the votes, fills no seat and is no answer: it never makes fewer people enough.
6. A gate that was escalated lets holders of that role take any open seat; it does not make fewer people enough.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from engine.core.commands import Voter
from engine.core.state import Ballot, Grant, Question

Json = Any

ABSTAINED = "abstain"
"""What stands in the place of an answer; no gate has it among its answers."""

_canonical = msgspec.json.Encoder(order="sorted")


def evidence_digest(question: str, evidence: dict[str, Json]) -> str:
    """What a vote must name: the SHA-256 over the question and its evidence in canonical JSON."""
    return "sha256:" + hashlib.sha256(_canonical.encode([question, evidence])).hexdigest()


def seat_label(seat: dict[str, Json]) -> str:
    """`2 x role safety-officer`."""
    kind = next((kind for kind in ("role", "group", "person") if kind in seat), "anyone")
    return f"{seat.get('count', 1)} x {kind} {seat.get(kind, '')}".strip()


def fits(seat: dict[str, Json], person: str, roles: Sequence[str], groups: Sequence[str]) -> bool:
    """Whether somebody holding these may sit here. A seat that names nothing fits nobody."""
    if "person" in seat:
        return bool(seat["person"] == person)
    if "role" in seat:
        return seat["role"] in roles
    return "group" in seat and seat["group"] in groups


def _fits(question: Question, seat: dict[str, Json], person: str, roles: Sequence[str], groups: Sequence[str]) -> bool:
    escalated = question.escalated_to is not None and question.escalated_to in roles
    return escalated or fits(seat, person, roles, groups)


def may_sit(question: Question, person: str, roles: Sequence[str], groups: Sequence[str]) -> bool:
    return any(_fits(question, seat, person, roles, groups) for seat in question.seats)


def counting(question: Question, answer: str) -> list[Ballot]:
    """The votes for `answer` that count on the evidence as it stands."""
    return [
        vote
        for vote in question.votes
        if not vote.void
        and vote.answer == answer
        and vote.digest == question.digest
        and vote.person not in question.excluded
        and vote.on_behalf_of not in question.excluded
    ]


def seating(question: Question, answer: str = "approve") -> list[tuple[dict[str, Json], str | None]]:
    """Each single seat with who fills it (or nobody), under a maximum matching of the counting votes."""
    seats = [seat for seat in question.seats for _ in range(int(seat.get("count", 1)))]
    votes = counting(question, answer)
    fitting = [
        [
            at
            for at, seat in enumerate(seats)
            if _fits(question, seat, vote.on_behalf_of or vote.person, vote.roles, vote.groups)
        ]
        for vote in votes
    ]
    taken: list[int | None] = [None] * len(seats)

    def seat_voter(voter: int, tried: set[int]) -> bool:
        """An augmenting path: sit down, asking whoever sits there to move over."""
        for at in fitting[voter]:
            if at in tried:
                continue
            tried.add(at)
            sitting = taken[at]
            if sitting is None or seat_voter(sitting, tried):
                taken[at] = voter
                return True
        return False

    for voter in range(len(votes)):
        seat_voter(voter, set())
    return [
        (seat, None if sitting is None else votes[sitting].person) for seat, sitting in zip(seats, taken, strict=True)
    ]


def filled(question: Question, answer: str = "approve") -> bool:
    places = seating(question, answer)
    return bool(places) and all(person is not None for _, person in places)


def grant_for(question: Question, person: str, now: float) -> Grant | None:
    """The delegation under which this person may vote now, if they have one."""
    return next(
        (
            grant
            for grant in question.grants
            if grant.to == person and now < grant.until and grant.giver not in question.excluded
        ),
        None,
    )


def standing(question: Question, voter: Voter, now: float) -> tuple[tuple[str, ...], tuple[str, ...], str | None] | str:
    """With which roles and groups, and on whose behalf, this person may answer; or the code of why they may not."""
    if voter.person in question.excluded:
        return "excluded"
    if may_sit(question, voter.person, voter.roles, voter.groups):
        return voter.roles, voter.groups, None
    grant = grant_for(question, voter.person, now)
    if grant is not None and may_sit(question, grant.giver, grant.roles, grant.groups):
        return grant.roles, grant.groups, grant.giver
    return "wrong_role"


def why_not(question: Question, voter: Voter, now: float) -> str:
    """Empty when this person may answer now, else the reason in words: for lists and keys, before anything is tried."""
    if now >= question.expires:
        return "the time to answer is over"
    place = standing(question, voter, now)
    if place == "excluded":
        return "you are excluded here (four eyes: who asked can't approve)"
    if place == "wrong_role":
        return "you hold none of: " + ", ".join(seat_label(seat) for seat in question.seats)
    mine = next((vote for vote in question.votes if vote.person == voter.person and not vote.void), None)
    return "" if mine is None or mine.digest != question.digest else f"you answered {mine.answer}"
