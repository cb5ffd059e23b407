"""Freezing: which sessions may stay in, and which split each group goes to.

Rules: a group (site and day, robot, operator) is never divided; a group keeps the split it had in the snapshot before, so
that nothing a model was trained on is ever what it is tested with; what an evaluation pack holds is in no training set,
by content and by near-duplicate; a session without a basis, or whose region forbids it, is left out and counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from engine.contract.sessions import SessionView


class Reserved(Struct, frozen=True, kw_only=True):
    """What evaluation holds: sessions by id, contents by digest, motions by fingerprint."""

    sessions: frozenset[str] = frozenset()
    digests: frozenset[str] = frozenset()
    marks: frozenset[str] = frozenset()
    cases: int = 0


class Limits(Struct, frozen=True, kw_only=True):
    """What may be used: consent bases, licences ("" when none is asked for), regions data may come from."""

    bases: frozenset[str] = frozenset()
    licences: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()


def left_out(
    sessions: Sequence[SessionView], *, reserved: Reserved, limits: Limits, licence: str, basis: str = ""
) -> dict[str, tuple[str, str]]:
    """Session -> (reason code, reason) of those that may not stay. Earlier sessions win over their duplicates.

    `licence` and `basis` are the dataset's, for sessions that name none.
    """
    out: dict[str, tuple[str, str]] = {}
    contents: dict[str, str] = {}
    motions: dict[str, str] = {}
    for one in sorted(sessions, key=lambda each: (each.start_ns, each.id)):
        if one.id in reserved.sessions or {one.digest, one.content} & reserved.digests:
            out[one.id] = ("contaminated", "an evaluation pack holds it")
        elif {one.fingerprint, one.trajectory} & reserved.marks - {""}:
            out[one.id] = ("contaminated", "an evaluation pack holds nearly the same motion")
        elif limits.bases and (one.consent_basis or basis) not in limits.bases:
            out[one.id] = ("consent", f"its basis is {one.consent_basis or basis or 'not recorded'}")
        elif limits.regions and one.region and one.region not in limits.regions:
            out[one.id] = (
                "residency",
                f"recorded in {one.region}; this dataset takes {', '.join(sorted(limits.regions))}",
            )
        elif limits.licences and (one.licence or licence) not in limits.licences:
            out[one.id] = ("licence", f"its licence is {one.licence or licence or 'not recorded'}")
        elif (first := contents.get(one.content or one.digest)) is not None:
            out[one.id] = ("duplicate", f"the same content as {first}")
        elif one.trajectory and (first := motions.get(one.trajectory)) is not None:
            out[one.id] = ("near_duplicate", f"nearly the same motion as {first}")
        else:
            contents[one.content or one.digest] = one.id
            if one.trajectory:
                motions[one.trajectory] = one.id
    return out


def group_of(session: SessionView) -> str:
    """The unit that is never divided. A session that tells nothing is a group of its own."""
    return session.group or f"session|{session.id}"


def split(
    sessions: Sequence[SessionView], *, shares: Mapping[str, float], seed: int, before: Mapping[str, str]
) -> dict[str, str]:
    """Group -> split. `before` is what groups had; the others are dealt, largest first, to the split that is furthest
    below its share, in an order that the seed decides among equals.
    """
    sizes: dict[str, int] = {}
    for one in sessions:
        sizes[group_of(one)] = sizes.get(group_of(one), 0) + 1
    dealt = {group: before[group] for group in sizes if before.get(group) in shares}
    filled = dict.fromkeys(shares, 0)
    for group, name in dealt.items():
        filled[name] += sizes[group]
    total = len(sessions)
    fresh = sorted(
        (group for group in sizes if group not in dealt), key=lambda group: (-sizes[group], _dice(seed, group))
    )
    names = sorted(shares, key=lambda name: -shares[name])
    for group in fresh:
        lacking = max(names, key=lambda name: (shares[name] * total - filled[name], -names.index(name)))
        dealt[group] = lacking
        filled[lacking] += sizes[group]
    return dealt


def leaks(sessions: Iterable[SessionView], splits: Mapping[str, str], reserved: Reserved) -> list[str]:
    """What is still wrong after all that: contents or motions in two splits, or in evaluation. Empty, or no sign-off."""
    where: dict[str, str] = {}
    found: list[str] = []
    for one in sessions:
        name = splits.get(group_of(one), "")
        if not name:
            found.append(f"{one.id} is in no split")
        if one.id in reserved.sessions or {one.digest, one.content} & reserved.digests:
            found.append(f"{one.id} is held by an evaluation pack")
        for mark in {one.digest, one.content, one.fingerprint, one.trajectory} - {""}:
            if where.setdefault(mark, name) != name:
                found.append(f"{one.id}: its content is in {where[mark]} and in {name}")
                break
    return found


def _dice(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{group}".encode()).digest()
