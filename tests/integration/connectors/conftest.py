"""The two worlds of the contract suite: gooseBit and Prometheus as they are, and the sandbox that imitates them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.sandbox.scenarios import PREVIOUS, RELEASE, SCENARIOS
from connectors.sandbox.world import World
from engine.capabilities.connections import Connections
from engine.capabilities.secrets import Secrets
from tests.integration.connectors.ground import Ground, Hand, WallClock, connected
from tests.services.fixtures import (
    NEW,
    OLD,
    GooseBitServer,
    PrometheusServer,
    RobotFleet,
    goosebit,
    prometheus,
    robot_fleet,
)

__all__ = ["goosebit", "prometheus", "robot_fleet"]
ROOT = Path(__file__).parent.parent.parent.parent
SEED = 11


class RealGround:
    name, old, new, patience = "real", OLD, NEW, 30.0

    def __init__(self, server: GooseBitServer, metrics: PrometheusServer, fleet: RobotFleet) -> None:
        self._fleet, self._password = fleet, server.password
        self._out: set[str] = set()
        self._failing: set[str] = set()
        self.take = Hand(fleet.ids)
        self.clock = WallClock()
        self.settings: dict[str, dict[str, Any]] = {
            "updates": {
                "kind": "goosebit",
                "url": server.url,
                "secret": "goosebit",
                "options": {"username": server.username},
            },
            "signals": {"kind": "prometheus", "url": metrics.url},
        }

    def secret(self, name: str) -> str:
        return {"goosebit": self._password}[name]

    def take_failing(self) -> str:
        (robot,) = self.take(1)
        self._failing.add(robot)
        self._fleet.set(fail={NEW: sorted(self._failing)})
        return robot

    def mend(self, robot: str) -> None:
        self._failing.discard(robot)
        self._fleet.set(fail={NEW: sorted(self._failing)})

    def offline(self, robots: list[str]) -> None:
        self._out.update(robots)
        self._fleet.set(offline=sorted(self._out))

    def truth(self) -> dict[str, Any]:
        return self._fleet.truth()


class SandboxGround:
    name, old, new, patience = "sandbox", PREVIOUS, RELEASE, 20.0

    def __init__(self, world: dict[str, Any], config: Path) -> None:
        self._world = world
        self.secret = Secrets(world["secrets"], config).get
        self.clock = WallClock(world["sim0"], world["wall0"], world["speed"])
        self.settings: dict[str, dict[str, Any]] = world["connectors"]
        twin = World(SCENARIOS[world["scenario"]], SEED, 1.0, world["robots"])
        twin.start()
        sound = [r.id for r in twin.robots.values() if r.online and not twin.will_fail(r, RELEASE)]
        failing = [r.id for r in twin.robots.values() if r.online and twin.will_fail(r, RELEASE)]
        self.take, self._failing = Hand(sound), Hand(failing)

    def take_failing(self) -> str:
        return self._failing(1)[0]

    def mend(self, robot: str) -> None:
        """Not needed: here most robots succeed when they are tried again."""

    def offline(self, robots: list[str]) -> None:
        body = {"token": self._world["control_token"], "offline": robots, "seconds": 10 * 86400}
        httpx.post(self._world["control_url"], json=body, trust_env=False, timeout=10).raise_for_status()

    def truth(self) -> dict[str, Any]:
        return dict(httpx.get(self._world["control_url"], trust_env=False, timeout=10).raise_for_status().json())


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxGround]:
    folder = tmp_path_factory.mktemp("world")
    arguments = ["--dir", folder, "--scenario", "install-failures", "--seed", SEED, "--speed", 1200]
    process = subprocess.Popen([sys.executable, "-m", "connectors.sandbox", *map(str, arguments)], cwd=ROOT)
    try:
        until = time.monotonic() + 30
        while not (folder / "world.json").exists():
            assert process.poll() is None and time.monotonic() < until, "the sandbox world did not start"
            time.sleep(0.05)
        yield SandboxGround(json.loads((folder / "world.json").read_text("utf-8")), folder / "config")
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(params=["sandbox", pytest.param("real", marks=pytest.mark.service)])
def ground(request: pytest.FixtureRequest) -> Ground:
    found: Ground = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def real(goosebit: GooseBitServer, prometheus: PrometheusServer, robot_fleet: RobotFleet) -> RealGround:
    return RealGround(goosebit, prometheus, robot_fleet)


@pytest.fixture
async def links(ground: Ground) -> AsyncIterator[Connections]:
    found = connected(ground)
    yield found
    await found.close()
