"""What one person did with the inbox that is nobody else's business: what they saw last, put off, or hold not theirs.

It stands beside the settings, readable by its owner alone, and says nothing about the gates themselves: a question that
is put off still waits, still expires, and is counted for everybody else. A gate is told apart by its id and the moment it
opened, so that another installation's gate of the same id is another gate. Consoles and commands share the file: each
reads it again before it writes.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from engine.contract.gates import GateSummary

MOST = 500
"""Gates remembered per person; the longest untouched go first."""
SEEN, LATER, OTHERS = "seen", "later", "others"


class Remembered:
    """`settings` is the console's settings file, whose neighbour this is; None remembers for this session alone."""

    def __init__(self, settings: Path | None) -> None:
        self._path = None if settings is None else settings.with_name("inbox.json")
        self._people: dict[str, dict[str, dict[str, float]]] | None = None

    def seen(self, person: str, gate: GateSummary) -> int:
        """The event up to which they saw it; 0 when they never did."""
        return int(self._of(person, SEEN).get(key(gate), 0))

    def see(self, person: str, gate: GateSummary, seq: int) -> None:
        if seq > self.seen(person, gate):
            self._set(person, SEEN, key(gate), seq)

    def until(self, person: str, gate: GateSummary, now: float) -> float:
        """Until when it is put off (the engine's time); 0 when it is not, or not any more."""
        until = self._of(person, LATER).get(key(gate), 0.0)
        return until if until > now else 0.0

    def put_off(self, person: str, gate: GateSummary, until: float) -> None:
        self._set(person, LATER, key(gate), until)

    def is_others(self, person: str, gate: GateSummary) -> bool:
        """Whether they said that it is for others to answer."""
        return key(gate) in self._of(person, OTHERS)

    def leave_to_others(self, person: str, gate: GateSummary) -> None:
        self._set(person, OTHERS, key(gate), 1.0)

    def bring_back(self, person: str, gate: GateSummary) -> None:
        """Into the inbox again, whatever took it out."""
        people = self._read()
        for what in (LATER, OTHERS):
            people.get(person, {}).get(what, {}).pop(key(gate), None)
        self._write(people)

    def hidden(self, person: str, gate: GateSummary, now: float) -> bool:
        return bool(self.until(person, gate, now)) or self.is_others(person, gate)

    # -- the file ---------------------------------------------------------------------------------------------------

    def _of(self, person: str, what: str) -> dict[str, float]:
        if self._people is None:
            self._people = self._read()
        return self._people.get(person, {}).get(what, {})

    def _set(self, person: str, what: str, name: str, value: float) -> None:
        people = self._read()
        held = people.setdefault(person, {}).setdefault(what, {})
        held.pop(name, None)
        held[name] = value
        while len(held) > MOST:
            del held[next(iter(held))]
        self._write(people)

    def _read(self) -> dict[str, dict[str, dict[str, float]]]:
        """What stands in the file; what this session holds, when there is none. A file that can't be read is nothing."""
        if self._path is None:
            return self._people or {}
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(person): _checked(kept) for person, kept in found.items()} if isinstance(found, dict) else {}

    def _write(self, people: dict[str, dict[str, dict[str, float]]]) -> None:
        self._people = people
        if self._path is None:
            return
        with contextlib.suppress(OSError):  # a read-only home remembers for this session
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = self._path.with_suffix(f".{os.getpid()}")
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                json.dump(people, file)
            os.replace(fresh, self._path)


def key(gate: GateSummary) -> str:
    return f"{gate.id}@{gate.opened_at:.0f}"


def _checked(kept: Any) -> dict[str, dict[str, float]]:
    if not isinstance(kept, dict):
        return {}
    return {
        str(what): {str(name): float(value) for name, value in held.items() if isinstance(value, int | float)}
        for what, held in kept.items()
        if isinstance(held, dict)
    }
