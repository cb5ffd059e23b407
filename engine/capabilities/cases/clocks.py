"""The clocks of a case: acknowledged, begun, restored. Pure: a case, the policy and a time in, what stands where out.

A clock stops only while the case is on hold for a reason the policy names, at most as long as it allows for that
reason, and only for the first few holds of a case: a hold is a wait for something, not a place to park a case.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from engine.contract.cases import CASE_OVER, CaseView, Clock, HoldSpan

Json = Any
NAMES = ("ack", "respond", "restore")


class Due(Struct, frozen=True):
    """A share of a clock that has been reached: somebody further up is told."""

    clock: str
    share: float
    level: str


def stops(holds: Sequence[HoldSpan], policy: Mapping[str, Json], now: float) -> list[tuple[float, float]]:
    """The stretches in which the clocks stand still (UTC epoch s), cut at what the policy allows each reason."""
    allowed: Mapping[str, float] = policy["hold_stops"]
    found = []
    for span in holds[: int(policy["hold_most"])]:
        longest = float(allowed.get(span.reason, 0.0))
        end = min(span.ended or now, span.since + longest)
        if end > span.since:
            found.append((span.since, end))
    return found


def used(since: float, until: float, standing: Sequence[tuple[float, float]]) -> float:
    """Seconds of a clock between two times, without those in which it stood still (stretches don't overlap)."""
    still = sum(max(0.0, min(until, end) - max(since, start)) for start, end in standing)
    return max(0.0, until - since - still)


def clocks(case: CaseView, policy: Mapping[str, Json], now: float) -> tuple[Clock, ...]:
    """All clocks of a case. Before triage there are none: nobody has promised anything yet."""
    if not case.priority:
        return ()
    limits: Mapping[str, float] = policy["clocks"][f"P{case.priority}"]
    standing = stops(case.holds, policy, now)
    start = case.clock_started_at or case.created_at
    met = {"ack": case.acked_at, "respond": case.responded_at, "restore": case.resolved_at}
    found = []
    for name in NAMES:
        limit, done = float(limits[name]), met[name] if met[name] >= start else 0.0
        elapsed = used(start, done or now, standing)
        due = start + limit + _still(start, standing) if limit else 0.0
        state = _state(case, elapsed > limit, bool(done), _stands(case, standing, now)) if limit else "none"
        found.append(Clock(name=name, limit_s=limit, used_s=elapsed, due=due, met_at=done, state=state))
    return tuple(found)


def _state(case: CaseView, late: bool, met: bool, stands: bool) -> str:
    if met:
        return "late" if late else "met"
    if case.state in CASE_OVER:
        return "none"
    if late:
        return "breached"
    return "stopped" if stands else "running"


def _stands(case: CaseView, standing: Sequence[tuple[float, float]], now: float) -> bool:
    """The case is on hold and its hold still stops the clocks."""
    return case.state == "on_hold" and any(begin <= now <= end for begin, end in standing)


def _still(start: float, standing: Sequence[tuple[float, float]]) -> float:
    return sum(max(0.0, end - max(start, begin)) for begin, end in standing)


def reached(case: CaseView, policy: Mapping[str, Json], now: float) -> list[Due]:
    """Shares of the clocks that are reached and were not told yet, each with the level it goes to.

    The later the share, the further up: half of a clock is told to the level that has the case, the whole of it two up.
    """
    told = {(one.clock, one.share) for one in case.escalations if one.at >= (case.clock_started_at or 0.0)}
    levels: Sequence[str] = policy["levels"]
    base = levels.index(case.level) if case.level in levels else 0
    found = []
    for clock in clocks(case, policy, now):
        if clock.state not in ("running", "breached") or not clock.limit_s:
            continue
        for step, share in enumerate(sorted(policy["escalate_at"])):
            if clock.used_s >= share * clock.limit_s and (clock.name, share) not in told:
                found.append(Due(clock.name, share, levels[min(base + step, len(levels) - 1)]))
    return found


def next_look(case: CaseView, policy: Mapping[str, Json], now: float) -> float:
    """Seconds until the case has to be looked at again: the next share of a running clock, the end of what a hold may
    stop, at most the policy's `recheck`; never less than a second."""
    wait = float(policy["recheck"])
    for clock in clocks(case, policy, now):
        if clock.state == "running" and clock.limit_s:
            for share in policy["escalate_at"]:
                left = share * clock.limit_s - clock.used_s
                if left > 0:
                    wait = min(wait, left)
    for _, end in stops(case.holds, policy, math.inf):
        if end > now:
            wait = min(wait, end - now)
    return max(1.0, wait)


def matters(case: CaseView, policy: Mapping[str, Json], now: float) -> Clock | None:
    """The clock a list shows: the first that is not met, by what is left of it."""
    open_ones = [one for one in clocks(case, policy, now) if one.state in ("running", "stopped", "breached")]
    return min(open_ones, key=lambda one: one.left_s, default=None)
