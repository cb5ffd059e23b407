"""Who has a thing on their screen at this moment. Held in memory alone, forgotten `KEPT_S` after the last word.

It is a courtesy among people ("lena is looking at it too"), never a ground for a decision: a console that hangs on a
dead line looks on for a while, so nobody's key is ever barred by it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from engine.contract.history import Looker

KEPT_S = 15.0
"""Three times the interval at which a screen says that it is still there."""
THINGS = 2_000
"""Things that are looked at at once; the longest unseen go first."""


class Presence:
    """`clock` is monotonic. Safe from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._seen: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}

    def look(self, kind: str, id_: str, person: str) -> tuple[Looker, ...]:
        """Says that `person` looks at it (nobody, when empty) and tells who else does, by name. Seconds ago, not times."""
        now = self._clock()
        with self._lock:
            held = self._seen.pop((kind, id_), {})
            held = {name: times for name, times in held.items() if now - times[1] < KEPT_S}
            if person:
                held[person] = (held[person][0] if person in held else now, now)
            if held:
                self._seen[kind, id_] = held
                while len(self._seen) > THINGS:
                    del self._seen[next(iter(self._seen))]
        return tuple(
            Looker(person=name, since=round(now - since, 1), seen=round(now - seen, 1))
            for name, (since, seen) in sorted(held.items())
            if name != person
        )

    def leave(self, kind: str, id_: str, person: str) -> None:
        """They look away."""
        with self._lock:
            self._seen.get((kind, id_), {}).pop(person, None)
