"""Checks that a gate can be passed at all by the people who are known: seats are filled by matching, not first come.

One person fills one seat, however many roles they hold. Who an `exclude` keeps out is known only when it is a literal;
`run.started_by` may be anyone who may start the workflow, so each of them is tried.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from engine.language.draft import Draft, Step

_LITERAL = re.compile(r"""'([^'\\]*)'|"([^"\\]*)\"""")

KINDS = ("role", "group", "person")
GROUP = "@"
"""A person so named stands for the members of a group: how many they are shows only when they connect."""


def check(draft: Draft, people: Mapping[str, Collection[str]], roles: Collection[str] | None) -> None:
    starters = _starters(draft, people)
    by_hand_only = all("manual" in trigger for trigger in draft.values.get("triggers", ()))
    for _, step in draft.steps():
        seats = step.values.get("seats", ()) if step.kind == "gate" else ()
        # A seat that was told to be malformed, or of a role that does not exist, is not told again to be empty.
        sound = all(sum(key in seat for key in KINDS) == 1 for seat in seats)
        if seats and sound and (roles is None or all(seat["role"] in roles for seat in seats if "role" in seat)):
            _gate(draft, step, people, starters, by_hand_only)


def unfilled(seats: Sequence[Mapping[str, Any]], people: Mapping[str, Collection[str]]) -> int | None:
    """The index of a seat that can't be filled by these people when all others are; None when all can be.

    Seats of a group are taken as filled: who is in a group is known only when someone connects.
    """
    places = [
        (index, seat)
        for index, seat in enumerate(seats)
        if "group" not in seat
        for _ in range(min(seat.get("count", 1), len(people) + 1))
    ]
    taken: dict[str, int] = {}

    def sit(place: int, tried: set[str]) -> bool:
        seat = places[place][1]
        for person, roles in people.items():
            fits = seat.get("role") in roles if "role" in seat else seat.get("person") == person
            if fits and person.startswith(GROUP):
                return True
            if fits and person not in tried:
                tried.add(person)
                if person not in taken or sit(taken[person], tried):
                    taken[person] = place
                    return True
        return False

    return next((places[place][0] for place in range(len(places)) if not sit(place, set())), None)


def _gate(
    draft: Draft, step: Step, people: Mapping[str, Collection[str]], starters: list[str], by_hand_only: bool
) -> None:
    seats = step.values["seats"]
    excluded = step.values.get("exclude", ())
    named = {match[1] or match[2] for text in excluded if (match := _LITERAL.fullmatch(text))}
    left = {person: roles for person, roles in people.items() if person not in named}
    index = unfilled(seats, left)
    if index is not None:
        draft.error(
            f"{step.field}.seats.{index}",
            f"nobody known can fill this seat{' after exclude' if named else ''} beside the others",
            _who(seats[index], left),
        )
        return
    if not any(text.strip() == "run.started_by" for text in excluded):
        return
    stuck = [
        one for one in starters if unfilled(seats, {p: roles for p, roles in left.items() if p != one}) is not None
    ]
    if stuck and len(stuck) == len(starters) and by_hand_only and not any(one.startswith(GROUP) for one in people):
        draft.error(
            f"{step.field}.seats",
            "whoever starts the run is excluded, and the others can't fill the seats",
            _who(seats[0], left),
        )
    elif stuck:
        draft.warn(
            f"{step.field}.seats",
            f"when {', '.join(sorted(stuck)[:5])} starts the run, the others can't fill the seats",
            "give a role to one more person",
        )


def _starters(draft: Draft, people: Mapping[str, Collection[str]]) -> list[str]:
    """Who may start the workflow by hand: holders of the manual triggers' roles, or anyone when none is named."""
    roles = {
        role for trigger in draft.values.get("triggers", ()) for role in trigger.get("manual", {}).get("roles", ())
    }
    return [
        person for person, held in people.items() if not person.startswith(GROUP) and (not roles or roles & set(held))
    ]


def _who(seat: Mapping[str, Any], people: Mapping[str, Collection[str]]) -> str:
    if "role" not in seat:
        return f"{seat.get('person')!r} is not known or excluded"
    holders = sorted(person for person, roles in people.items() if seat["role"] in roles)
    if not holders:
        return f"the role {seat['role']!r} is held by nobody: give it to someone in the policy file"
    return f"the role {seat['role']!r} is held by {', '.join(holders[:5])}"
