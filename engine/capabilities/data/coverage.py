"""Coverage: how many episodes each cell of the plan has, what is missing, and how evenly it is filled."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from engine.contract.datasets import Cell, Stratum
from engine.contract.sessions import SessionView

PLAIN = ("task", "site", "robot", "variant", "operator", "region", "customer", "outcome")


def dimension(session: SessionView, name: str) -> str:
    """A session's value in one dimension: one of its fields, else one of its conditions (light, scene, shift …)."""
    value = getattr(session, name) if name in PLAIN else session.conditions.get(name, "")
    return str(value or "unknown")


def key(dims: Mapping[str, str]) -> str:
    """A cell's name: `task=bin-pick day site=HAM2`."""
    return " ".join(f"{name}={value}" for name, value in dims.items())


def strata(
    declared: Sequence[Stratum], sessions: Iterable[SessionView], *, dims: Sequence[str], need: int
) -> list[Stratum]:
    """The cells to fill: those the dataset declares; where it declares none, every combination of the values that occur.

    A value `*` in a declared stratum stands for each value that occurs.
    """
    sessions = list(sessions)
    if not declared:
        declared = [Stratum(dims=dict.fromkeys(dims, "*"), need=need)]
    found: dict[str, Stratum] = {}
    for stratum in declared:
        cells: list[dict[str, str]] = [{}]
        for name, value in stratum.dims.items():
            values = sorted({dimension(one, name) for one in sessions}) if value == "*" else [value]
            cells = [{**cell, name: each} for cell in cells for each in values]
        for cell in cells:
            if cell:
                found.setdefault(key(cell), Stratum(dims=cell, need=stratum.need))
    return list(found.values())


def matrix(
    wanted: Sequence[Stratum], sessions: Iterable[SessionView], waived: Mapping[str, tuple[str, float]], now: float
) -> list[Cell]:
    """Each cell with what it has, the shortest first. A waiver counts until its time."""
    names = sorted({tuple(stratum.dims) for stratum in wanted})
    have: Counter[str] = Counter()
    for session in sessions:
        for dims in names:
            have[key({name: dimension(session, name) for name in dims})] += 1
    cells = []
    for stratum in wanted:
        name = key(stratum.dims)
        by, until = waived.get(name, ("", 0.0))
        holds = bool(by) and (not until or until > now)
        cells.append(
            Cell(
                key=name,
                dims=dict(stratum.dims),
                have=have[name],
                need=stratum.need,
                waived=by if holds else "",
                waived_until=until if holds else 0.0,
            )
        )
    return sorted(cells, key=lambda cell: (not cell.short, cell.have - cell.need, cell.key))


def effective(cells: Sequence[Cell]) -> float | None:
    """N_eff = exp(-sum p ln p): how many evenly filled cells would be as varied. None when nothing is there."""
    total = sum(cell.have for cell in cells)
    if not total:
        return None
    shares = [cell.have / total for cell in cells if cell.have]
    return round(math.exp(-sum(share * math.log(share) for share in shares)), 3)
