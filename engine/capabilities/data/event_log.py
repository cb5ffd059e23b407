"""What a recording says happened in it: messages of its events topic, as JSON or as JSON in a `std_msgs/String`.

A message names its `event` (or `kind`), and a `phase` of begin or end when it lasts; `duration_s` when its length is known.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.capabilities.data.facts import Event

NAMES = ("event", "kind", "type")
TEXT = 200


class EventLog:
    """At most `limit` events; the rest is counted."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.cut = 0
        self._done: list[Event] = []
        self._open: dict[str, tuple[int, str]] = {}

    def take(self, encoding: str, payload: memoryview, time: int) -> None:
        if len(payload) > 64 * 1024:
            return
        if encoding == "cdr":
            size = int.from_bytes(payload[4:8], "little") if len(payload) >= 8 else 0
            payload = payload[8 : 8 + max(0, size - 1)]
        try:
            found: Any = msgspec.json.decode(payload)
        except msgspec.MsgspecError:
            return
        if isinstance(found, dict):
            self.say(found, time)

    def say(self, found: dict[str, Any], time: int) -> None:
        """One event message."""
        kind = next((str(found[name])[:60] for name in NAMES if isinstance(found.get(name), str)), "")
        if not kind:
            return
        text, phase = str(found.get("text") or found.get("reason") or "")[:TEXT], found.get("phase")
        if phase in ("begin", "start"):
            if len(self._open) < 100:
                self._open.setdefault(kind, (time, text))
        elif phase == "end":
            begun, said = self._open.pop(kind, (time, text))
            self._add(Event(begun, time, kind, said or text))
        else:
            length = found.get("duration_s")
            lasts = float(length) if isinstance(length, int | float) and 0 <= length < 86_400 else 0.0
            self._add(Event(time, time + int(lasts * 1e9), kind, text))

    def finish(self, end: int) -> tuple[list[Event], int]:
        """Events in the order of time; those that never ended last to the end."""
        for kind, (begun, text) in self._open.items():
            self._add(Event(begun, max(begun, end), kind, text))
        self._open = {}
        return sorted(self._done, key=lambda event: event.t0), self.cut

    def _add(self, event: Event) -> None:
        if len(self._done) < self.limit:
            self._done.append(event)
        else:
            self.cut += 1
