"""Taking robots out of dispatch and giving them back. Each reason (an incident, a hold) stands by itself: a robot goes
back when the last one is gone, not when the first is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


async def keep_out(records: Any, robots: Sequence[str], why: str, reason: str) -> list[str]:
    """Out of dispatch for `why` (an id); returns those that newly are."""
    from engine.capabilities.fleet.robots import ensure_robot

    fresh = []
    for name in robots:
        record = await ensure_robot(records, name)
        holds = list(record.holds)
        if why in holds:
            continue
        await records.change("robot", name, set={"holds": [*holds, why], "dispatchable": False}, reason=reason)
        fresh.append(name)
    return fresh


async def let_back(records: Any, robots: Sequence[str], why: str, reason: str) -> list[str]:
    """`why` no longer keeps them; returns those that may be dispatched again."""
    back = []
    for name in robots:
        record = await records.get("robot", name)
        if record is None or why not in record.holds:
            continue
        left = [one for one in record.holds if one != why]
        free = not left and record.state not in ("out_of_service", "retired")
        await records.change("robot", name, set={"holds": left, "dispatchable": free}, reason=reason)
        if free:
            back.append(name)
    return back
