"""The engine is killed between an order at an update server and its record; after the restart each robot has its order once.

hawkBit and Mender are contract servers built from published documents; metrics come from a few lines that speak Prometheus.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import parse_qsl

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.integration.connectors.engine_room import EngineRoom, serving
from tests.integration.connectors.fault_proxy import FaultProxy
from tests.integration.connectors.ground import WallClock
from tests.services.contract.hawkbit import HawkBitServer
from tests.services.contract.mender import MenderServer

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]
OLD, NEW = "1.0.0", "1.1.0"
ROBOTS = [f"HAM2-AMR-{n:02d}" for n in range(1, 13)]
SPEED = 20.0
"""Of the engine's clock: between two looks at robots that go back it waits ten of its seconds at least."""
WRITES = ("POST", "PUT", "PATCH", "DELETE")


def metrics(clock: WallClock) -> Starlette:
    """Robots that are well and idle, as Prometheus would say by the engine's clock."""
    told: dict[str, dict[str, str]] = {
        "robot_info": {"site": "HAM2", "region": "eu", "customer": "Nordlicht", "variant": "amr-600"},
        "robot_mode": {"mode": "AUTOMATIC"},
    }
    values = {"robot_battery_ratio": "0.9", "robot_busy": "0", "robot_disk_free_bytes": "6e9"}

    async def query(request: Request) -> Response:
        now = clock.now()
        asked = dict(parse_qsl((await request.body()).decode())).get("query", "")
        rows = []
        for name in {*told, *values, "robot_last_heartbeat_timestamp_seconds"}:
            for robot in ROBOTS if name in asked else ():
                value = str(now) if name.endswith("timestamp_seconds") else values.get(name, "1")
                labels = {"__name__": name, "robot": robot} | told.get(name, {})
                rows.append({"metric": labels, "value": [now, value]})
        return JSONResponse({"status": "success", "data": {"resultType": "vector", "result": rows}})

    async def build(request: Request) -> Response:
        return JSONResponse({"status": "success", "data": {"version": "2.42.0"}})

    return Starlette(
        routes=[Route("/api/v1/query", query, methods=["POST"]), Route("/api/v1/status/buildinfo", build)],
    )


class HawkBitSite:
    kind = "hawkbit"

    def __init__(self) -> None:
        self.server = HawkBitServer()
        old = self.server.add_set("nav", OLD)
        self.new = self.server.add_set("nav", NEW)
        for name in ROBOTS:
            self.server.add_target(name, type="amr-600", installed=old)
        self.secret, self.options = self.server.password, {"username": self.server.username}

    def orders(self, robot: str) -> int:
        return sum(1 for one in self.server.actions.values() if one["target"] == robot)

    def live(self, robot: str, *, fails: bool = False) -> None:
        while given := self.server.polls(robot):
            if given == "cancelAction":
                self.server.says(robot, "canceled")
            else:
                self.server.says(robot, "error" if fails else "finished", "self test failed" if fails else "installed")

    def withdrawn(self, robot: str) -> int:
        return sum(1 for m, path, _ in self.server.writes if m == "DELETE" and f"/{robot}/" in path)


class MenderSite:
    kind = "mender"

    def __init__(self) -> None:
        self.server = MenderServer()
        for version in (OLD, NEW):
            self.server.add_release(version)
        self.ids = {name: self.server.add_device(name, artifact=OLD) for name in ROBOTS}
        self.secret, self.options = self.server.token, {"robot": "identity/serial"}

    def orders(self, robot: str) -> int:
        return sum(1 for one in self.server.deployments.values() if self.ids[robot] in one["devices"])

    def live(self, robot: str, *, fails: bool = False) -> None:
        while self.server.asks(self.ids[robot]):
            self.server.says(self.ids[robot], "failure" if fails else "success", "error: self test failed")

    def withdrawn(self, robot: str) -> int:
        return sum(1 for m, path, _ in self.server.writes if m == "DELETE" and path.endswith(self.ids[robot]))


class World:
    """One update server behind a proxy that kills the engine after the `at`-th write from now."""

    room: EngineRoom

    def __init__(self, site: Any) -> None:
        self.site, self.at = site, 0
        self.left = list(ROBOTS)

    def acted(self, method: str, path: str, status: int) -> bool:
        if not self.room.alive:
            return True
        if not self.at or method not in WRITES or status >= 400 or path.endswith("/search"):
            return False
        self.at -= 1
        if self.at:
            return False
        self.room.kill()
        return True

    def take(self, count: int) -> list[str]:
        found, self.left = self.left[:count], self.left[count:]
        return found

    async def done(self, action: str, **given: Any) -> Any:
        return await self.room.output(await self.room.run_of(action, given, timeout="1h"))

    async def killed(self, action: str, *, writes: int = 1, **given: Any) -> Any:
        """Its output, from an engine that died after so many writes and came again."""
        kills, self.at = self.room.kills, writes
        run = await self.room.run_of(action, given, timeout="1h")
        await self.room.died(kills)
        await self.room.start()
        return await self.room.output(run)

    async def stage(self, robots: list[str]) -> dict[str, Any]:
        found = await self.done("rollout.freeze", version=NEW, selector="all", only=robots)
        inside = [one for one in found["stages"] if set(one["robots"]) & set(robots)]
        whole = sorted(name for one in inside for name in one["robots"])
        assert whole == sorted(robots), found["stages"]
        return {**inside[0], "robots": whole, "size": len(whole)}


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=[HawkBitSite, MenderSite], ids=["hawkbit", "mender"]
)
async def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    site = request.param()
    found, begun = World(site), time.time()
    clock = {"sim0": begun, "wall0": begun, "speed": SPEED}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(site.server.app))
        proxy = await stack.enter_async_context(FaultProxy(server, answered=found.acted))
        signals = await stack.enter_async_context(serving(metrics(WallClock(**clock))))
        systems = {
            "depot": {"kind": site.kind, "url": proxy.url, "secret": "depot", "options": site.options},
            "signals": {"kind": "prometheus", "url": signals},
        }
        found.room = EngineRoom(tmp_path_factory.mktemp("kill"), systems, {"depot": site.secret}, clock=clock)
        await found.room.start()
        try:
            yield found
        finally:
            await found.room.close()


async def test_an_order_is_given_once(world: World) -> None:
    robots = world.take(2)
    stage = await world.stage(robots)
    told = await world.killed("rollout.advance", stage=stage)
    assert {told["robots"][name][0] for name in robots} <= {"notified", "planned", "downloading"}, told["robots"]
    assert [world.site.orders(name) for name in robots] == [1, 1]
    again = await world.done("rollout.advance", stage=stage, before=told)
    assert [world.site.orders(name) for name in robots] == [1, 1] and again["sent"] == 0


async def test_what_is_called_back_is_called_back_once(world: World) -> None:
    robots = world.take(2)
    stage = await world.stage(robots)
    await world.done("rollout.advance", stage=stage)
    paused = await world.killed("rollout.pause", stage=stage)
    assert sum(world.site.withdrawn(name) for name in robots) == 2
    assert paused["split"][1] == 0
    for name in robots:
        world.site.live(name)
    found = await world.done("rollout.finish", cohort={**_cohort(robots), "version": NEW})
    assert found["counts"]["on_previous"] == 2, "nobody installed what was called back"


async def test_a_retry_is_one_retry(world: World) -> None:
    """On hawkBit the first write is the mark that says which failure is answered, the second the order."""
    after = 2 if world.site.kind == "hawkbit" else 1
    (robot,) = world.take(1)
    stage = await world.stage([robot])
    await world.done("rollout.advance", stage=stage)
    world.site.live(robot, fails=True)
    await world.killed("rollout.retry", writes=after, stage=stage)
    assert world.site.orders(robot) == 2


async def test_robots_are_told_to_go_back_once(world: World) -> None:
    """Both run the new release. One goes back while no engine lives, the other when there is one again."""
    robots = world.take(2)
    stage = await world.stage(robots)
    await world.done("rollout.advance", stage=stage)
    for name in robots:
        world.site.live(name)
    orders, kills = [world.site.orders(name) for name in robots], world.room.kills

    async def living() -> None:
        while world.room.kills == kills:  # noqa: ASYNC110 - a process has no event for it
            await asyncio.sleep(0.05)
        world.site.live(robots[0])
        while not world.room.alive:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        while True:
            world.site.live(robots[1])
            await asyncio.sleep(0.2)

    task = asyncio.create_task(living())
    try:
        back = await world.killed("rollout.revert", stage={**stage, "poll_s": 20.0})
    finally:
        task.cancel()
    assert (back["blocked"], back["unreachable"]) == ([], [])
    assert sorted([*back["restored"], *back["found_back"]]) == sorted(robots)
    assert [world.site.orders(name) for name in robots] == [one + 1 for one in orders]
    found = await world.done("rollout.finish", cohort={**_cohort(robots), "version": NEW})
    assert found["counts"]["on_previous"] == 2


async def test_a_rollout_of_its_own_is_made_and_moved_once(world: World) -> None:
    if world.site.kind != "hawkbit":
        pytest.skip("Mender has no rollouts of its own kind")
    robots = world.take(2)
    wanted: dict[str, Any] = {"version": NEW, "filter": f"controllerId=in=({','.join(robots)})", "system": "depot"}
    groups = [{"name": "one", "share": 50}, {"name": "two"}]
    made = await world.killed("owner.create", **wanted, groups=groups)
    where: dict[str, Any] = {"rollout": made["rollout"], "system": "depot"}
    assert (await world.killed("owner.move", **where, call="start"))["state"] in ("starting", "running")
    assert (await world.killed("owner.move", **where, call="pause"))["state"] == "paused"
    assert (await world.done("owner.move", **where, call="resume"))["state"] == "running"
    await world.killed("owner.next", **where, group="two")
    posts = [path.rpartition("/")[2] for m, path, _ in world.site.server.writes if m == "POST" and "/rollouts" in path]
    assert sorted(posts) == ["pause", "resume", "rollouts", "start", "triggerNextGroup"]
    assert [world.site.orders(name) for name in robots] == [1, 1]


async def test_a_rollout_of_its_own_is_decided_and_ended_once(world: World) -> None:
    if world.site.kind != "hawkbit":
        pytest.skip("Mender has no rollouts of its own kind")
    server, (robot,) = world.site.server, world.take(1)
    wanted: dict[str, Any] = {"version": NEW, "filter": f"controllerId=={robot}", "system": "depot"}
    server.approval = True
    rollouts = [await world.done("owner.create", **wanted, groups=[{"name": name}]) for name in ("yes", "no")]
    asked, refused = ({"rollout": one["rollout"], "system": "depot"} for one in rollouts)
    before = len(server.writes)
    approved = await world.killed("owner.move", **asked, call="approve", remark="run 7", by=["ana", "bo"])
    assert approved["state"] == "ready"
    assert (await world.killed("owner.move", **refused, call="deny", remark="run 8"))["state"] == "approval_denied"
    await world.done("owner.move", **asked, call="start")
    await world.done("owner.move", **asked, call="pause")
    assert (await world.killed("owner.move", **asked, call="resume"))["state"] == "running"
    assert (await world.killed("owner.move", **asked, call="stop"))["state"] in ("stopping", "stopped")
    posts = [path.rpartition("/")[2] for m, path, _ in server.writes[before:] if m == "POST" and "/rollouts" in path]
    assert sorted(posts) == ["approve", "deny", "pause", "resume", "start", "stop"]
    assert world.site.orders(robot) <= 1


def _cohort(robots: list[str]) -> dict[str, Any]:
    return {"robots": robots, "origin": {}, "previous": OLD, "version": NEW}
