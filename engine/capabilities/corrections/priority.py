"""What to work on first, with the five factors that say why; and which side of the split each correction goes to.

score = w_sev · ln(1+n_30d) · (1−coverage) · novelty · quality · 2^(−age_d / half life). Pure.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from engine.contract.corrections import SEVERITIES, Factors

Json = Any
DAY = 86_400.0


def factors(
    *,
    severity: str,
    n_30d: int,
    coverage: float,
    coverage_says: str,
    novelty: float,
    quality: float,
    newest_at: float,
    now: float,
    policy: Mapping[str, Json],
) -> Factors:
    """`coverage`, `novelty`, `quality` are shares of one and are held there."""
    weight = float(policy["severity_weight"][severity])
    half = float(policy["half_life"]) / DAY
    age = max(0.0, now - newest_at) / DAY
    covered, new, good = (min(1.0, max(0.0, value)) for value in (coverage, novelty, quality))
    score = weight * math.log1p(n_30d) * (1 - covered) * new * good * 2 ** (-age / half)
    return Factors(
        score=score,
        severity=severity,
        w_sev=weight,
        n_30d=n_30d,
        coverage=covered,
        coverage_says=coverage_says,
        novelty=new,
        quality=good,
        age_d=age,
        half_life_d=half,
        at=now,
    )


def worst(severities: Sequence[str]) -> str:
    """The worst that happened in a cluster."""
    return max(severities, key=SEVERITIES.index, default="nuisance")


class Piece(Struct, frozen=True, kw_only=True):
    """A correction as the split sees it. `session` and `fingerprint` tie groups together; `bound` is a side it already has."""

    id: str
    group: str
    session: str
    fingerprint: str = ""
    wanted: str = ""
    bound: str = ""


class Split(Struct, frozen=True, kw_only=True):
    """Side of each correction by id ("train" or "eval"), one sentence, and wishes that could not be met with why."""

    sides: dict[str, str]
    says: str
    refused: dict[str, str] = {}


def split(pieces: Sequence[Piece], *, eval_share: float, seed: int) -> Split:
    """Grouped: whatever shares a site-day and robot, a session, or a near-duplicate recording is on one side, whole.

    Sides that are already given bind; then what people asked for; then groups in the order of a seeded hash go to
    evaluation until its share is reached. A cluster of several free groups feeds both sides.
    """
    bundles = _bundles(pieces)
    sides: dict[str, str] = {}
    refused: dict[str, str] = {}
    free: list[list[Piece]] = []
    for bundle in bundles:
        bound = {piece.bound for piece in bundle if piece.bound}
        asked = {piece.wanted for piece in bundle if piece.wanted in ("train", "eval")}
        side = ""
        if bound:
            side = "eval" if "eval" in bound else "train"  # what evaluation has seen must never be learnt from
            why = f"its group is on the {side} side already"
        elif len(asked) == 1:
            side, why = next(iter(asked)), ""
        elif asked:
            side, why = "eval", "its group was asked for both sides; the careful one is evaluation"
        if not side:
            free.append(bundle)
            continue
        for piece in bundle:
            sides[piece.id] = side
            if piece.wanted in ("train", "eval") and piece.wanted != side:
                refused[piece.id] = why
    free.sort(key=lambda bundle: _draw(seed, min(piece.group for piece in bundle)))
    total = len(pieces)
    target = eval_share * total
    have = sum(side == "eval" for side in sides.values())
    alone = len(bundles) < 2
    for at, bundle in enumerate(free):
        last = at == len(free) - 1 and not any(side == "train" for side in sides.values())
        nearer = abs(have + len(bundle) - target) < abs(have - target) or (have == 0 and len(free) > 1)
        side = "eval" if nearer and not alone and not last else "train"
        have += len(bundle) if side == "eval" else 0
        for piece in bundle:
            sides[piece.id] = side
    n_eval = sum(side == "eval" for side in sides.values())
    says = f"{total - n_eval} train / {n_eval} eval of {total} in {len(bundles)} groups (site-day and robot)"
    if alone and total:
        says += "; one group only, so nothing could be kept for evaluation"
    return Split(sides=sides, says=says, refused=refused)


def _bundles(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Pieces that must stay together, by union over group, session and fingerprint."""
    parent = list(range(len(pieces)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    seen: dict[tuple[str, str], int] = {}
    for i, piece in enumerate(pieces):
        for tie in (("group", piece.group), ("session", piece.session), ("print", piece.fingerprint)):
            if tie[1]:
                parent[root(i)] = root(seen.setdefault(tie, i))
    found: dict[int, list[Piece]] = {}
    for i, piece in enumerate(pieces):
        found.setdefault(root(i), []).append(piece)
    return list(found.values())


def _draw(seed: int, group: str) -> str:
    return hashlib.sha256(f"{seed}/{group}".encode()).hexdigest()


def chosen(ids: Sequence[str], share: float, *, salt: str, least: int = 0) -> set[str]:
    """A share of ids by hash: the same ones whoever asks and whenever."""
    wanted = min(len(ids), max(least, math.ceil(share * len(ids) - 1e-9)))
    return set(sorted(ids, key=lambda id: hashlib.sha256(f"{salt}/{id}".encode()).hexdigest())[:wanted])
