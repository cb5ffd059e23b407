"""Feeds a simulation's events to the projector, as the journal's writer does, and reads them back through the read side."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from engine.capabilities.rollout.projection import RolloutProjector
from engine.capabilities.rollout.reads import RolloutReads
from engine.store import schema
from engine.store.lines import awaited
from engine.store.records import ENGINE, Recorded
from tests.unit.rollout.simulated import Simulation


class Recording:
    def __init__(self, sim: Simulation, path: Path) -> None:
        schema.create_private(path)
        schema.migrate(path)
        self.sim, self.path = sim, path
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.projector, self.written = RolloutProjector(), 0
        self.reads = RolloutReads(path, now=lambda: sim.time)

    def catch_up(self) -> None:
        """Everything decided since the last call, as one batch."""
        fresh = self.sim.events[self.written :]
        rows = [
            Recorded(
                self.written + i,
                "run-1",
                self.written + i,
                type(event).__name__,
                at,
                ENGINE,
                "",
                msgspec.json.encode(event),
                event,
                "staged-rollout",
            )
            for i, (at, event) in enumerate(fresh, 1)
            if type(event).__name__ in self.projector.wants
        ]
        self.written = len(self.sim.events)
        self.connection.execute("begin")
        self.projector.apply(rows, self.connection.cursor())
        self.connection.execute("delete from waits where run = 'run-1'")
        for path, event, correlate in awaited(self.sim.state, self.sim.definition) if self.sim.state.open else ():
            self.connection.execute(
                "insert or ignore into waits values (?, ?, ?, ?)", ("run-1", path, event, correlate)
            )
        self.connection.execute("commit")
