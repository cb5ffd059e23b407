"""Mender, against a contract server built from its published documents (not Mender itself, which can't be had here)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from connectors.http import Bearer, HttpClient
from connectors.mender import Mender, connector
from connectors.mender_login import Login
from connectors.mender_rows import Naming, seconds
from engine.capabilities.ports import ActionError, InDoubt
from engine.capabilities.systems import conformance
from tests.services.contract.mender import MenderServer

ROBOTS = [f"HAM2-AMR-{i:02d}" for i in range(1, 6)]
OLD, NEW = "nav-1.0.0", "nav-1.1.0"


class Wall:
    def now(self) -> float:
        return time.time()


class Lossy(httpx.AsyncBaseTransport):
    """Hands calls to the server; `lose` of them it answers, and the answer never arrives."""

    def __init__(self, server: MenderServer) -> None:
        self._inner, self.lose = httpx.ASGITransport(app=server.app), 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        if self.lose and request.method == "POST" and request.url.path.endswith("/deployments"):
            self.lose -= 1
            raise httpx.ReadError("the line went dead", request=request)
        return answer


class Ground:
    def __init__(self, **how: Any) -> None:
        self.server = MenderServer(**how)
        for name in (OLD, NEW):
            self.server.add_release(name)
        self.ids = {name: self.server.add_device(name, artifact=OLD) for name in ROBOTS}
        self.line = Lossy(self.server)
        self.mender = Mender(self.client(), Wall(), Naming.read("identity/serial", "nav-{version}"))

    def client(self) -> HttpClient:
        return HttpClient(
            "http://127.0.0.1:9",
            name="Mender",
            auth=Bearer(lambda: self.server.token),
            transport=self.line,
            rate_per_s=10_000,
        )

    async def state(self, robot: str) -> tuple[str, str, str]:
        (found,) = await self.mender.reports([robot])
        return found.state, found.desired, found.reported

    def says(self, robot: str, status: str, log: str = "") -> None:
        self.server.says(self.ids[robot], status, log)


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    made = Ground()
    yield made
    await made.mender.close()


async def test_it_proves_the_token_and_says_what_may_be_read(ground: Ground) -> None:
    assert (await ground.mender.check()).startswith("Mender")
    assert all(r.has is not False for r in await ground.mender.rights())
    http = ground.client()
    http.use(Bearer(lambda: "old token"))
    with pytest.raises(ActionError) as caught:
        await Mender(http, Wall()).check()
    assert caught.value.error == "Unauthenticated" and "old token" not in caught.value.message


async def test_it_keeps_the_promises_of_the_port(ground: Ground) -> None:
    conformance.connector(connector)
    report = await conformance.check(
        {"updates": ground.mender}, system="mender", now=time.time, write=True, given={"robot": ROBOTS[0]}
    )
    conformance.assert_kept(report)
    assert report.kept >= 6, conformance.sentences(report)


async def test_a_user_name_logs_in_and_again_when_the_token_is_no_longer_taken(ground: Ground) -> None:
    http = ground.client()
    http.use(Login(http, ground.server.username, lambda: ground.server.password))
    mender = Mender(http, Wall())
    await mender.check()
    ground.server.token = "renewed"
    await mender.check()
    await mender.close()


async def test_releases_say_what_they_are_made_for(ground: Ground) -> None:
    ground.server.add_release("nav-2.0.0", "amr-600", "amr-900")
    ground.server.add_release("bootloader-9")
    found = {r.version: r for r in await ground.mender.releases()}
    assert set(found) == {"1.0.0", "1.1.0", "2.0.0"}
    assert found["1.1.0"].digest.startswith("sha256:") and found["1.1.0"].models == ("amr-600",)
    assert found["2.0.0"].models == ("amr-600", "amr-900") and found["2.0.0"].digest.startswith("files:")


async def test_a_deployment_is_made_for_exactly_these_robots_and_followed_until_done(ground: Ground) -> None:
    robot = ROBOTS[0]
    assert await ground.state(robot) == ("idle", "1.0.0", "1.0.0")
    assert await ground.mender.assign([robot], "1.1.0", key="k") == [robot]
    (made,) = ground.server.deployments.values()
    assert made["devices"] == [ground.ids[robot]] and made["artifact_name"] == NEW
    assert await ground.state(robot) == ("assigned", "1.1.0", "1.0.0"), "not in devices/list yet: it has not asked"
    ground.server.asks(ground.ids[robot])
    assert (await ground.state(robot))[0] == "assigned"
    for said, shown in (("downloading", "downloading"), ("installing", "installing"), ("rebooting", "installing")):
        ground.says(robot, said)
        assert await ground.state(robot) == (shown, "1.1.0", "1.0.0")
    ground.server.items[ground.ids[robot]]["shown"] = OLD
    ground.says(robot, "success")
    assert await ground.state(robot) == ("done", "1.1.0", "1.1.0"), "the inventory comes hours later"
    assert await ground.mender.assign([robot], "1.1.0", key="later") == [robot]
    assert len(ground.server.deployments) == 1
    await asyncio.sleep(0.01)
    ground.server.inventory(ground.ids[robot])
    assert await ground.state(robot) == ("done", "1.1.0", "1.1.0")
    assert await ground.mender.assign([robot], "1.0.0", key="back") == [robot]
    ground.says(robot, "success")
    assert await ground.state(robot) == ("done", "1.0.0", "1.0.0")


async def test_assigning_twice_is_one_deployment(ground: Ground) -> None:
    for _ in range(2):
        assert await ground.mender.assign([ROBOTS[0], ROBOTS[0]], "1.1.0", key="k") == [ROBOTS[0]]
    assert await ground.mender.assign(ROBOTS[:2], "1.1.0", key="k") == ROBOTS[:2]
    assert [len(d["devices"]) for d in ground.server.deployments.values()] == [1, 1], (
        "the second only for who was missing"
    )


async def test_a_deployment_whose_answer_was_lost_is_found_by_its_name(ground: Ground) -> None:
    ground.line.lose = 1
    assert await ground.mender.assign(ROBOTS[:3], "1.1.0", key="k") == ROBOTS[:3]
    assert len(ground.server.deployments) == 1
    assert sum(1 for m, p, _ in ground.server.writes if m == "POST") == 1


async def test_what_can_not_be_is_refused_before_anything_is_sent(ground: Ground) -> None:
    ground.server.add_release("nav-3.0.0", "amr-900")
    for robots, version, error in (
        ([ROBOTS[0], "HAM2-AMR-99"], "1.1.0", "NoSuchRobot"),
        ([ROBOTS[0]], "9.9.9", "NoSuchRelease"),
        ([ROBOTS[0]], "../../devices", "NoSuchRelease"),
        (ROBOTS[:2], "3.0.0", "NotCompatible"),
    ):
        with pytest.raises(ActionError) as caught:
            await ground.mender.assign(robots, version, key="k")
        assert (caught.value.error, caught.value.retryable) == (error, False)
    assert ground.server.writes == []


async def test_what_has_not_begun_is_aborted_for_that_robot_and_what_has_is_left(ground: Ground) -> None:
    waiting, begun, other = ROBOTS[:3]
    await ground.mender.assign([waiting, begun, other], "1.1.0", key="k")
    ground.says(begun, "downloading")
    for _ in range(2):
        assert await ground.mender.withdraw([waiting, begun], key="w") == [waiting]
    assert await ground.state(waiting) == ("idle", "1.0.0", "1.0.0")
    assert (await ground.state(begun))[0] == "downloading" and (await ground.state(other))[0] == "assigned"
    assert ground.server.asks(ground.ids[waiting]) is None
    assert sum(1 for m, _, _ in ground.server.writes if m == "DELETE") == 1
    await ground.mender.withdraw([other], key="w")
    assert await ground.mender.assign([waiting, other], "1.1.0", key="k") == [waiting, other], (
        "called back, ordered again"
    )
    assert ground.server.asks(ground.ids[waiting]) is not None
    await ground.mender.withdraw([waiting, other], key="w2")
    assert await ground.mender.assign([waiting, other], "1.1.0", key="k") == [waiting, other], (
        "with the same key as well"
    )


async def test_a_new_target_takes_the_place_of_one_that_has_not_begun(ground: Ground) -> None:
    """A device works its deployments off oldest first: without the abort it would take the old one before the new."""
    ground.server.add_release("nav-1.2.0")
    await ground.mender.assign([ROBOTS[0]], "1.1.0", key="k")
    assert await ground.mender.assign([ROBOTS[0]], "1.2.0", key="k2") == [ROBOTS[0]]
    given = ground.server.asks(ground.ids[ROBOTS[0]])
    assert given is not None and given["artifact_name"] == "nav-1.2.0"


async def test_a_failure_waits_for_a_retry_says_why_and_is_retried_once_per_key(ground: Ground) -> None:
    robot = ROBOTS[0]
    await ground.mender.assign([robot], "1.1.0", key="k")
    ground.says(robot, "installing")
    ground.says(robot, "failure", "2026-11-23 info: begin\n2026-11-23 error: \x1b[31mchecksum mismatch\nend")
    assert await ground.state(robot) == ("failed", "1.1.0", "1.0.0")
    first = await ground.mender.first_error(robot)
    assert "checksum mismatch" in first and "\x1b" not in first
    await ground.mender.assign([robot], "1.1.0", key="k9")
    assert len(ground.server.deployments) == 1, "the same order again would be a retry nobody asked for"
    ground.line.lose = 1
    await ground.mender.retry([robot, ROBOTS[1]], key="r")
    assert len(ground.server.deployments) == 2
    ground.says(robot, "failure", "again")
    await ground.mender.retry([robot], key="r")
    assert len(ground.server.deployments) == 2, "the same key is the same retry"
    await ground.mender.retry([robot], key="r2")
    assert len(ground.server.deployments) == 3


async def test_a_failure_that_was_withdrawn_is_over(ground: Ground) -> None:
    robot = ROBOTS[0]
    await ground.mender.assign([robot], "1.1.0", key="k")
    ground.says(robot, "failure")
    assert await ground.mender.withdraw([robot], key="w") == [robot]
    assert await ground.state(robot) == ("idle", "1.0.0", "1.0.0")
    await ground.mender.retry([robot], key="r")
    assert len(ground.server.deployments) == 1
    assert await ground.mender.assign([robot], "1.1.0", key="k2") == [robot]
    assert (await ground.state(robot))[0] == "assigned"


async def test_no_artifact_for_a_robot_is_a_failure_here(ground: Ground) -> None:
    ground.server.items[ground.ids[ROBOTS[0]]]["type"] = ""
    await ground.mender.assign([ROBOTS[0]], "1.1.0", key="k")
    ground.server.asks(ground.ids[ROBOTS[0]])
    assert (await ground.state(ROBOTS[0]))[0] == "failed"
    assert "no artifact" in await ground.mender.first_error(ROBOTS[0])


async def test_aborting_a_whole_deployment_says_before_what_it_leaves(ground: Ground) -> None:
    await ground.mender.assign(ROBOTS, "1.1.0", key="k")
    (id_,) = ground.server.deployments
    ground.says(ROBOTS[0], "success")
    ground.says(ROBOTS[1], "installing")
    assert await ground.mender.split(id_) == (1, 1, 3)
    for _ in range(2):
        await ground.mender.abort_deployment(id_)
    assert (await ground.state(ROBOTS[0]))[0] == "done"
    assert {(await ground.state(r))[0] for r in ROBOTS[1:]} == {"idle"}
    with pytest.raises(ActionError) as caught:
        await ground.mender.abort_deployment("nobody")
    assert caught.value.error == "NotFound"


async def test_many_robots_and_deployments_are_read_in_pages_however_short_they_are() -> None:
    ground = Ground(page=50)
    for i in range(230):
        ground.server.add_device(f"UTR1-AMR-{i:03d}", artifact=OLD)
    assert len(await ground.mender.reports()) == 235
    assert len(await ground.mender.devices()) == 235
    for i in range(70):
        await ground.mender.assign([f"UTR1-AMR-{i:03d}"], "1.1.0", key=f"k{i}")
        ground.server.says(
            next(d for d, row in ground.server.items.items() if row["serial"] == f"UTR1-AMR-{i:03d}"), "success"
        )
    assert sum(1 for r in await ground.mender.reports() if r.reported == "1.1.0") == 70
    ground.server.reads.clear()
    await ground.mender.reports()
    assert len(ground.server.reads) < 10, "what is finished was read before"
    seen, cursor, more = set(), "", True
    while more:
        pulled = await ground.mender.pull("device", cursor)
        assert pulled.full
        seen |= {o.name for o in pulled.objects}
        cursor, more = pulled.cursor, pulled.more
    assert len(seen) == 235 and cursor == ""
    first = await ground.mender.pull("rollout", "")
    assert first.more and len(first.objects) == 50 and first.objects[0].state == "finished"
    ground.server.items.popitem()
    began = await ground.mender.pull("device", "")
    ground.server.items.popitem()
    with pytest.raises(ActionError) as caught:
        await ground.mender.pull("device", began.cursor)
    assert caught.value.error == "CursorLost"
    assert {o.id for o in (await ground.mender.pull("software", "")).objects} == {OLD, NEW}
    await ground.mender.close()


async def test_a_release_that_went_in_between_is_refused_and_nothing_hangs_in_doubt(ground: Ground) -> None:
    real = ground.mender._release

    async def then_gone(artifact: str) -> set[str]:
        found = await real(artifact)
        del ground.server.artifacts[artifact]
        return found

    ground.mender._release = then_gone  # type: ignore[method-assign]
    with pytest.raises(ActionError) as caught:
        await ground.mender.assign([ROBOTS[0]], "1.1.0", key="k")
    assert caught.value.error == "NoSuchRelease" and not isinstance(caught.value, InDoubt)


def test_settings_that_can_not_work_are_refused() -> None:
    with pytest.raises(ActionError, match="version"):
        connector.build({"url": "https://m.example", "secret": "m", "artifact": "nav"}, lambda n: "", Wall(), {})
    assert seconds("2016-03-11T13:03:17.063493443Z") == pytest.approx(1457701397.063, abs=0.001)
    assert seconds("2016-10-03T16:58:51.639Z") == pytest.approx(1475513931.639) and seconds("yesterday") == 0.0
