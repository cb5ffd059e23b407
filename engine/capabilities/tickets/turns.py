"""One at a time per case: two runs that heard of the same ticket (the case moved, the ticket moved) would both find that a
comment is missing there, and both write it. One engine has one process, so a lock in memory is enough; who dies in his
turn is asked again, and finds what he wrote."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

_turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


def turn(case: str) -> asyncio.Lock:
    """The lock of a case's tickets; forgotten when nobody holds or awaits it."""
    found = _turns.get(case)
    if found is None:
        found = _turns[case] = asyncio.Lock()
    return found
