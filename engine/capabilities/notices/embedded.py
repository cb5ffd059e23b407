"""Whether a gate still waits, for those who would tell people about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.capabilities.subjects import Home
from engine.store.reading import Reading


class Gates:
    """Reads the engine's own projection. Call it in a thread."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._reading: Reading | None = None

    def open(self, gate: str) -> bool:
        if self._reading is None:  # the file is there by the time anybody asks
            self._reading = Reading(self._database)
        row = self._reading.one("select state from gates where id = ?", (gate,))
        return row is not None and row[0] == "open"


def embedded(home: Home) -> dict[str, Any]:
    return {"gates": Gates(home.state / "quarterdeck.db")}
