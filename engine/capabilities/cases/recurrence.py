"""When the same fault again is a problem, and how many reports are a flood. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from engine.contract.cases import UNKNOWN, CaseView

Json = Any
DAY = 86_400.0
NEVER = ("duplicate", "cancelled")


class Recurs(Struct, frozen=True, kw_only=True):
    """Why a fault is a problem, with the cases it rests on."""

    rule: str
    cases: tuple[str, ...]
    robots: tuple[str, ...]
    p: float | None = None


def recurs(case: CaseView, others: Sequence[CaseView], policy: Mapping[str, Json], now: float) -> Recurs | None:
    """Whether this case makes a problem with others of its mode. A mode nobody knows recurs with nothing, and a fault
    that was not found is none."""
    if case.mode in ("", UNKNOWN) or case.cause == "no_fault_found":
        return None
    same = [case] + [
        one for one in others if one.id != case.id and one.mode == case.mode and one.state not in NEVER
        and one.cause != "no_fault_found"
    ]  # fmt: skip
    rules = policy["recurrence"]
    rule = rules["robot"]
    mine = [one for one in same if one.robot == case.robot and now - one.created_at <= rule["within"]]
    if len(mine) >= rule["count"]:
        return _made(f"{len(mine)} times on {case.robot} in {rule['within'] / DAY:g} d", mine)
    rule = rules["variant"]
    alike = [one for one in same if one.variant == case.variant and now - one.created_at <= rule["within"]]
    robots = {one.robot for one in alike}
    if case.variant and len(robots) >= rule["robots"]:
        return _made(f"{len(robots)} robots of {case.variant} in {rule['within'] / DAY:g} d", alike)
    rule = rules["poisson"]
    recent = [one for one in alike if now - one.created_at <= rule["within"]]
    base = [
        one
        for one in same
        if one.variant == case.variant and rule["within"] < now - one.created_at <= rule["base_window"]
    ]
    expected = len(base) / (rule["base_window"] - rule["within"]) * rule["within"]
    if case.variant and base and len(recent) >= rule["least"]:
        p = poisson_tail(len(recent), expected)
        if p <= rule["p"]:
            return _made(
                f"{len(recent)} in {rule['within'] / DAY:g} d where {expected:.2g} were expected (p {p:.2g})", recent, p
            )
    return None


def poisson_tail(k: int, mean: float) -> float:
    """P(X >= k) for a Poisson variable; exact sum."""
    if k <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    term = below = math.exp(-mean)
    for i in range(1, k):
        term *= mean / i
        below += term
    return max(0.0, 1.0 - below)


def flooded(recent: Sequence[CaseView], detector: str, policy: Mapping[str, Json], now: float) -> CaseView | None:
    """The parent that takes a report in when one detector has opened more than the policy's count in its time: the oldest
    of them. None while there is no flood."""
    if not detector:
        return None
    rule = policy["flood"]
    same = [one for one in recent if one.detector == detector and now - one.created_at <= rule["within"]]
    if len(same) < rule["count"]:
        return None
    first = min(same, key=lambda one: (one.created_at, len(one.id), one.id))
    return next((one for one in same if one.id == first.parent), first)


def _made(rule: str, cases: Sequence[CaseView], p: float | None = None) -> Recurs:
    order = sorted(cases, key=lambda one: one.created_at)
    return Recurs(
        rule=rule, cases=tuple(one.id for one in order), robots=tuple(dict.fromkeys(one.robot for one in order)), p=p
    )
