"""Taking robots out of service and giving them back, many at once. Each reason (an incident, a legal hold) stands by
itself: a robot goes back when the last one is gone, and a person's decision is named for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.capabilities.fleet import robots as lifecycle


async def keep_out(records: Any, robots: Sequence[str], why: str, reason: str) -> list[str]:
    """Out of service for `why` (an id); returns those that newly are."""
    fresh = []
    for name in robots:
        known = await records.get("robot", name)
        if known is not None and (why in known.holds or known.state == "retired"):
            continue
        await lifecycle.keep_out(records, name, why, reason)
        fresh.append(name)
    return fresh


async def let_back(
    records: Any, robots: Sequence[str], why: str, reason: str, *, gate: str, by: Sequence[str]
) -> list[str]:
    """`why` no longer keeps them; returns those that nothing keeps any more. `gate` and `by` name the decision."""
    back = []
    for name in robots:
        known = await records.get("robot", name)
        if known is None or why not in known.holds:
            continue
        record = await lifecycle.give_back(
            records, name, why, reason, gate=gate or "break-glass", person=", ".join(by) or "engine"
        )
        if record is not None and record.dispatchable:
            back.append(name)
    return back
