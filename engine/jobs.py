"""What the engine does by itself for as long as it lives: asks the remote systems how they are, mirrors the fleet."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec

from engine.api.config import Settings
from engine.capabilities.connections import Connections
from engine.capabilities.ports import ActionError
from engine.capabilities.rollout.fleet import Mirror, Statements
from engine.capabilities.rollout.reads import RolloutReads
from engine.contract.fleet import RobotRow
from engine.contract.system import ConnectorHealth, VerifyReport
from engine.hosts.clock import Clock
from engine.hosts.embedded import Host
from engine.store.errors import StoreError
from engine.store.records import Actor

log = logging.getLogger("quarterdeck.jobs")
CHECK_S = 30.0
"""Real seconds between looks at the remote systems."""
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


class Health:
    """What the remote systems last answered."""

    def __init__(self, connections: Connections, settings: Settings) -> None:
        self._connections, self._settings = connections, settings
        self.seen: tuple[ConnectorHealth, ...] = ()

    async def watch(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(CHECK_S)

    async def look(self) -> None:
        found = []
        for name, said in (await self._connections.check()).items():
            configured = self._settings.connectors.get(name)
            found.append(
                ConnectorHealth(
                    name=name,
                    kind=configured.kind if configured else "joined",
                    url=configured.url if configured else "",
                    ok=not said.startswith("error: "),
                    checked_at=time.time(),
                    message=said.removeprefix("error: "),
                )
            )
        self.seen = tuple(found)


class FleetSync:
    """Reads the owners of the fleet again and again and keeps the mirror's rows; new drift is told as an event."""

    def __init__(self, host: Host, mirror: Mirror, clock: Clock, every_s: float) -> None:
        self._host, self._mirror, self._clock = host, mirror, clock
        self._every_s = every_s
        self._failed = ""

    async def run(self) -> None:
        await self.remember()
        while True:
            await self.once()
            await asyncio.sleep(max(LEAST_S, self._clock.real_duration(self._every_s)))

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


async def lasting(what: str, work: Coroutine[Any, Any, None]) -> None:
    """A job of the engine's life: that it ended is said, and ends nothing else."""
    try:
        await work
    except Exception:
        log.exception("%s ended", what)
