"""The fleet's mirror on a real history: drift is one event, whatever happens to the engine in between."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from engine.capabilities.rollout.fleet import Mirror
from engine.capabilities.rollout.projection import RolloutProjector
from engine.hosts.clock import VirtualClock
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.jobs import FleetSync
from engine.language import Expressions
from engine.store.errors import StoreError
from tests.unit.rollout.test_actions import NEW, OLD, Owners

LATER = 2 * 3600.0


@contextlib.asynccontextmanager
async def engine(database: Path, owners: Owners, clock: VirtualClock) -> AsyncIterator[tuple[Host, FleetSync]]:
    """An engine that has just started: it begins with what the one before has written."""
    host = await Host.open(
        Config(database=database, actions={}, evaluator=Expressions(), clock=clock, projectors=[RolloutProjector()])
    )
    try:
        mirror = Mirror(owners, owners, clock.now)  # type: ignore[arg-type]
        sync = FleetSync(host, mirror, clock, 60.0)
        await sync.remember()
        yield host, sync
    finally:
        await host.close()


def told(database: Path) -> list[dict[str, Any]]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("select data from events where type = 'EventPublished' order by seq").fetchall()
    return [msgspec.json.decode(row[0]) for row in rows]


async def test_drift_is_published_once_also_over_restarts(tmp_path: Path) -> None:
    database, owners, clock = tmp_path / "quarterdeck.db", Owners(), VirtualClock(1_000_000.0)
    owners.desired["R0"] = NEW
    async with engine(database, owners, clock) as (_, sync):
        await sync.once()
    assert told(database) == []
    clock.advance(LATER)
    for _ in range(2):  # the deadline went on while no engine ran, and a second engine says nothing again
        async with engine(database, owners, clock) as (_, sync):
            await sync.once()
            await sync.once()
    (event,) = told(database)
    assert event["event"] == "qd.update.drift" and event["source"] == "fleet"
    assert event["data"] == {
        "robot": "R0",
        "component": "software",
        "site": "HAM2",
        "desired": NEW,
        "reported": OLD,
        "since": 1_000_000.0,
        "unknown": False,
    }


async def test_a_drift_that_could_not_be_written_is_told_at_the_next_reading(tmp_path: Path, monkeypatch: Any) -> None:
    database, owners, clock = tmp_path / "quarterdeck.db", Owners(), VirtualClock(1_000_000.0)
    owners.desired["R0"] = owners.desired["R1"] = NEW
    async with engine(database, owners, clock) as (host, sync):
        await sync.once()
        clock.advance(LATER)
        with monkeypatch.context() as patched:

            async def full(*args: Any, **more: Any) -> None:
                raise StoreError("the disk is full")

            patched.setattr(host, "publish", full)
            await sync.once()
        assert told(database) == []
        await sync.once()
    assert sorted(event["data"]["robot"] for event in told(database)) == ["R0", "R1"]
