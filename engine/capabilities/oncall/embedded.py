"""The shift's own reads, for verbs at the desk: a report is made at the moment it is prepared, not when somebody looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.capabilities.oncall import things
from engine.capabilities.oncall.report import report
from engine.capabilities.oncall.shelf import OwnShelf, head
from engine.capabilities.oncall.things import Thing
from engine.capabilities.subjects import Home, catalogue
from engine.contract.oncall import ShiftReport

Json = Any


class Shifts:
    """Reads the engine's own projections. Call it in a thread."""

    def __init__(self, database: Path, policy: Callable[[str], dict[str, Json]]) -> None:
        self._database, self._policy = database, policy
        self._shelf: OwnShelf | None = None

    @property
    def shelf(self) -> OwnShelf:
        if self._shelf is None:  # the file is there by the time anybody asks
            self._shelf = OwnShelf(self._database, catalogue())
        return self._shelf

    def report(self, person: str, now: float, since: float = 0.0) -> ShiftReport:
        return report(self.shelf, person, now, policy=self._policy("maintenance"), since=since)

    def thing(self, id: str, kind: str = "") -> Thing | None:
        return things.find(self.shelf, id, kind)

    def head(self) -> int:
        return head(self.shelf)

    def alert(self, system: str, id: str) -> tuple[str, str, float] | None:
        """An alert as it is mirrored: name, robot, since when it fires."""
        return things.alert(self.shelf, system, id)


def embedded(home: Home) -> dict[str, Any]:
    return {"oncall": Shifts(home.state / "quarterdeck.db", home.policy)}
