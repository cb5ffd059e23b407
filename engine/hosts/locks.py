"""Concurrency keys: who holds one, who asks for it, in the order of asking. The truth is in the runs' events (and the
`locks` table); this is the running engine's copy of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple


class Asking(NamedTuple):
    run: str
    limit: int


class Locks:
    """Grants in the order of asking. `grant(run, key)` and `deny(run, key, holders)` tell the run."""

    def __init__(self, grant: Callable[[str, str], None], deny: Callable[[str, str, tuple[str, ...]], None]) -> None:
        self._grant, self._deny = grant, deny
        self._holders: dict[str, OrderedDict[str, None]] = {}
        self._queues: dict[str, OrderedDict[str, Asking]] = {}

    def held(self, key: str, run: str) -> None:
        """The file says that the run has it (at boot)."""
        self._holders.setdefault(key, OrderedDict())[run] = None

    def holders(self, key: str) -> tuple[str, ...]:
        return tuple(self._holders.get(key, ()))

    def take(self, key: str, run: str, limit: int, queue: bool) -> None:
        """Asks for the key; the answer comes by `grant` or `deny`. Asking twice changes nothing."""
        holders = self._holders.setdefault(key, OrderedDict())
        waiting = self._queues.setdefault(key, OrderedDict())
        if run in holders:
            self._grant(run, key)  # granted before, but the run had not yet recorded it
        elif run in waiting:
            return
        elif not waiting and len(holders) < limit:
            holders[run] = None
            self._grant(run, key)
        elif queue:
            waiting[run] = Asking(run, limit)
        else:
            self._deny(run, key, tuple(holders))

    def free(self, key: str, run: str) -> None:
        """The run lets the key go, or asks no longer; the next ones in line get it."""
        holders, waiting = self._holders.get(key, OrderedDict()), self._queues.get(key, OrderedDict())
        holders.pop(run, None)
        waiting.pop(run, None)
        while waiting:
            first = next(iter(waiting.values()))
            if len(holders) >= first.limit:
                return
            waiting.pop(first.run)
            holders[first.run] = None
            self._grant(first.run, key)
        if not holders:
            self._holders.pop(key, None)
            self._queues.pop(key, None)
