"""What the engine does by itself for as long as it lives: verifies its history, mirrors the fleet."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.capabilities.ports import ActionError
from engine.capabilities.rollout.fleet import Mirror, Statements
from engine.capabilities.rollout.reads import RolloutReads
from engine.contract.fleet import RobotRow
from engine.contract.system import VerifyReport
from engine.hosts.clock import Clock
from engine.hosts.embedded import Host
from engine.hosts.telling import Telling
from engine.store.errors import StoreError
from engine.store.records import Actor

log = logging.getLogger("quarterdeck.jobs")
SETTLE_S = 10.0
"""Real seconds after the start that belong to runs and people."""
LEAST_S = 2.0
"""Real seconds between two readings of the fleet, however fast the sandbox's clock runs."""
COMPONENT = "software"
"""What an update server installs on a robot as a whole; the mirror knows no parts of it."""
ALL = 1_000_000
_MIRROR = Actor(kind="connector", id="fleet")


class Soundness:
    """Whether the long history before the newest anchor still holds: verified once, by a process that gives way, after the
    engine has begun to serve."""

    def __init__(self, database: Path) -> None:
        self._database, self._problem = database, ""

    def state(self, journal: tuple[str, str]) -> tuple[str, str]:
        """The journal's state and message, unless something worse is known."""
        return ("damaged", self._problem) if self._problem and journal[0] == "ok" else journal

    async def look(self) -> None:
        await asyncio.sleep(SETTLE_S)
        folder = str(self._database.parent)
        command = ("-m", "engine", "--config", folder, "--state", folder, "--run", folder, "--verify")
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        try:
            said, _ = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            raise
        found = msgspec.json.decode(said, type=VerifyReport)
        if not found.ok:
            at = f" at event {found.first_bad}" if found.first_bad else ""
            self._problem = f"the recorded history does not hold{at}: {found.problem}; qd doctor says what to do"
            log.critical("%s", self._problem)


class FleetWatch:
    """Mirrors the fleet as long as somebody serves it: the systems it is joined from may come and go."""

    def __init__(self, host: Host, ports: Mapping[str, Any], clock: Clock, every_s: float) -> None:
        self._host, self._ports, self._clock, self._every_s = host, ports, clock, every_s
        self._made_of: tuple[Any, Any] = (None, None)
        self._sync: FleetSync | None = None

    async def run(self) -> None:
        while True:
            fleet, updates = self._ports.get("fleet"), self._ports.get("updates")
            if fleet is not self._made_of[0] or updates is not self._made_of[1]:
                self._made_of, self._sync = (fleet, updates), None
                if fleet is not None and updates is not None:
                    mirror = Mirror(fleet, updates, self._clock.now)
                    self._sync = FleetSync(self._host, mirror, self._clock, self._every_s)
                    await self._sync.remember()
            if self._sync is not None:
                await self._sync.once()
            await asyncio.sleep(max(LEAST_S, self._clock.real_duration(self._every_s)) if self._sync else LEAST_S)


class FleetSync:
    """Reads the owners of the fleet again and again and keeps the mirror's rows; new drift is told as an event."""

    def __init__(self, host: Host, mirror: Mirror, clock: Clock, every_s: float) -> None:
        self._host, self._mirror, self._clock = host, mirror, clock
        self._every_s = every_s
        self._failed = ""

    async def remember(self) -> None:
        """Begins with the rows an earlier engine left."""
        reads = RolloutReads(self._host.journal.path)
        self._mirror.remember((await asyncio.to_thread(reads.robot_page, limit=ALL)).rows)

    async def once(self) -> None:
        """One reading. An owner that can't be read is logged once, and the rows keep their age."""
        try:
            await self._write(await self._mirror.look())
            for row in self._mirror.drifted:
                await self._tell(row)
                self._mirror.told(row)
        except (ActionError, StoreError) as error:
            if str(error) != self._failed:
                log.warning("the fleet could not be read: %s", error)
            self._failed = str(error)
        else:
            self._failed = ""

    async def _tell(self, row: RobotRow) -> None:
        """One drift is one event: by its id the inbox takes it once, also when another engine saw it first."""
        data = {
            "robot": row.id,
            "component": COMPONENT,
            "site": row.site,
            "desired": row.desired,
            "reported": row.reported,
            "since": row.differs_since,
            "unknown": self._mirror.unknown(row.reported),
        }
        await self._host.publish(
            "qd.update.drift",
            data,
            id=f"drift/{row.id}/{COMPONENT}/{row.reported}/{row.differs_since:.3f}",
            actor=_MIRROR,
            source="fleet",
            subject=row.id,
        )

    async def _write(self, statements: Statements) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(commit: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self._host.system.write([(sql, rows) for sql, rows in statements if rows], done)
        await future


class SinkWatch:
    """Tells events on as long as somebody takes them: a sink may come, go, or be another one."""

    def __init__(self, host: Host, ports: Mapping[str, Any]) -> None:
        self._host, self._ports = host, ports

    async def run(self) -> None:
        sink: Any = None
        telling: asyncio.Task[None] | None = None
        try:
            while True:
                found = self._ports.get("sink")
                if found is not sink:
                    await _ended(telling)
                    sink, telling = found, None
                    if sink is not None:
                        name = (
                            self._ports["systems"].first("sink") or "sink"
                        )  # each has a place of its own in the history
                        telling = asyncio.create_task(lasting("telling", Telling(self._host, sink, name).run()))
                await asyncio.sleep(LEAST_S)
        finally:
            await _ended(telling)


async def _ended(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def lasting(what: str, work: Coroutine[Any, Any, None]) -> None:
    """A job of the engine's life: that it ended is said, and ends nothing else."""
    try:
        await work
    except Exception:
        log.exception("%s ended", what)
