"""The history as JSON Lines, streamed in pages: an export of any length costs the memory of one page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from engine.api.door import Door
from engine.api.inert import encode
from engine.api.views import event_view

_PAGE = 1000


async def export(door: Door, *, run: str = "", after: int = 0) -> AsyncIterator[bytes]:
    """One `EventView` a line, up to the head as it stood when asked."""
    head, last = await asyncio.to_thread(door.reads.head), after
    while last < head and not door.stopping.is_set():
        rows = (await asyncio.to_thread(door.reads.events, run=run, after=last, limit=_PAGE)).rows
        if not rows:
            return
        last = rows[-1].seq
        yield b"".join(encode(event_view(row)) + b"\n" for row in rows if row.seq <= head)
