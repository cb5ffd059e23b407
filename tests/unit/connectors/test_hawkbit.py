"""hawkBit, against a contract server built from its published documents (not hawkBit itself, which can't be had here)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from connectors.hawkbit import RETRIED, HawkBit, connector
from connectors.hawkbit_rollouts import Stage
from connectors.hawkbit_rows import quoted
from connectors.http import Basic, HttpClient
from engine.capabilities.ports import ActionError, Deferred, InDoubt
from engine.capabilities.systems import conformance
from tests.services.contract.hawkbit import HawkBitServer
from tests.services.contract.rsql import Query

ROBOTS = [f"HAM2-AMR-{i:02d}" for i in range(1, 7)]


class Wall:
    def now(self) -> float:
        return time.time()


class Lossy(httpx.AsyncBaseTransport):
    """Hands calls to the server; `lose` of them it answers, and the answer never arrives."""

    def __init__(self, server: HawkBitServer) -> None:
        self._inner, self.lose = httpx.ASGITransport(app=server.app), {"POST": 0, "DELETE": 0, "PUT": 0}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        if self.lose.get(request.method, 0):
            self.lose[request.method] -= 1
            raise httpx.ReadError("the line went dead", request=request)
        return answer


class Ground:
    def __init__(self, **how: Any) -> None:
        self.server = HawkBitServer(**how)
        self.old = self.server.add_set("nav", "1.0.0")
        self.new = self.server.add_set("nav", "1.1.0")
        for name in ROBOTS:
            self.server.add_target(name, installed=self.old)
        self.line = Lossy(self.server)
        self.hawkbit = self.connect(self.server.password)

    def connect(self, password: str, **more: Any) -> HawkBit:
        auth = Basic(self.server.username, lambda: password)
        http = HttpClient("http://127.0.0.1:9", name="hawkBit", auth=auth, transport=self.line, rate_per_s=10_000)
        return HawkBit(http, Wall(), **more)

    async def state(self, robot: str) -> tuple[str, str, str]:
        (found,) = await self.hawkbit.reports([robot])
        return found.state, found.desired, found.reported

    def orders(self, robot: str) -> int:
        return sum(1 for a in self.server.actions.values() if a["target"] == robot)


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    made = Ground()
    yield made
    await made.hawkbit.close()


async def test_it_names_itself_and_proves_the_password(ground: Ground) -> None:
    assert (await ground.hawkbit.check()).startswith("Eclipse hawkBit")
    assert {r.name: r.has for r in await ground.hawkbit.rights()}["read robots"] is True
    wrong = ground.connect("wrong")
    with pytest.raises(ActionError) as caught:
        await wrong.check()
    assert caught.value.error == "Unauthenticated" and "wrong" not in caught.value.message


async def test_it_keeps_the_promises_of_the_port(ground: Ground) -> None:
    conformance.connector(connector)
    report = await conformance.check(
        {"updates": ground.hawkbit}, system="hawkbit", now=time.time, write=True, given={"robot": ROBOTS[0]}
    )
    conformance.assert_kept(report)
    assert report.kept >= 6, conformance.sentences(report)


async def test_only_sets_that_can_be_assigned_are_releases(ground: Ground) -> None:
    ground.server.add_set("nav", "2.0.0", complete=False)
    ground.server.add_set("nav", "3.0.0", valid=False)
    assert {r.version for r in await ground.hawkbit.releases()} == {"1.0.0", "1.1.0"}
    for version, word in (("2.0.0", "not complete"), ("9.9.9", "not there")):
        with pytest.raises(ActionError) as caught:
            await ground.hawkbit.assign(ROBOTS[:1], version, key="k")
        assert caught.value.error == "NoSuchRelease" and word in caught.value.message
    ground.server.add_set("tools", "1.1.0")
    with pytest.raises(ActionError, match="several sets"):
        await ground.hawkbit.assign(ROBOTS[:1], "1.1.0", key="k")
    named = ground.connect(ground.server.password, set_name="nav")
    assert await named.assign(ROBOTS[:1], "1.1.0", key="k") == ROBOTS[:1]


async def test_an_order_goes_from_assigned_to_done(ground: Ground) -> None:
    (robot, *_), hawkbit = ROBOTS, ground.hawkbit
    assert await ground.state(robot) == ("done", "1.0.0", "1.0.0")
    assert await hawkbit.assign([robot], "1.1.0", key="k") == [robot]
    assert await ground.state(robot) == ("assigned", "1.1.0", "1.0.0")
    ground.server.polls(robot)
    assert await ground.state(robot) == ("downloading", "1.1.0", "1.0.0")
    ground.server.says(robot, "running", "writing slot B")
    assert await ground.state(robot) == ("installing", "1.1.0", "1.0.0")
    ground.server.says(robot, "finished", "booted")
    assert await ground.state(robot) == ("done", "1.1.0", "1.1.0")
    assert await hawkbit.assign([robot], "1.0.0", key="back") == [robot]
    ground.server.installs(robot)
    assert await ground.state(robot) == ("done", "1.0.0", "1.0.0")


async def test_running_is_not_begun_until_the_robot_says_something(ground: Ground) -> None:
    """`running` is what hawkBit calls every order from its first moment."""
    robot = ROBOTS[0]
    await ground.hawkbit.assign([robot], "1.1.0", key="k")
    action = ground.server.open_action(robot)
    assert action is not None and action["status"] == "running"
    ground.server.targets[robot]["polled"] = int(time.time() * 1000) + 5
    assert (await ground.state(robot))[0] == "assigned", "polled, and its history holds only the server's own words"
    ground.server.says(robot, "running", "downloading 3 %")
    assert (await ground.state(robot))[0] == "installing"


@pytest.mark.parametrize("multi", [False, True], ids=["one order", "multi-assignment"])
async def test_assigning_twice_is_assigning_once(multi: bool) -> None:
    ground = Ground(multi=multi)
    for _ in range(2):
        assert await ground.hawkbit.assign([ROBOTS[0], ROBOTS[0]], "1.1.0", key="k") == [ROBOTS[0]]
    assert ground.orders(ROBOTS[0]) == 1
    ground.server.installs(ROBOTS[0])
    assert await ground.hawkbit.assign([ROBOTS[0]], "1.1.0", key="k") == [ROBOTS[0]]
    assert ground.orders(ROBOTS[0]) == 1
    await ground.hawkbit.close()


async def test_an_unknown_robot_changes_nothing_at_all(ground: Ground) -> None:
    for robots in ([ROBOTS[0], "HAM2-AMR-99"], [ROBOTS[0], "*"], [ROBOTS[0], "'),id==*,(name=='x"]):
        with pytest.raises(ActionError) as caught:
            await ground.hawkbit.assign(robots, "1.1.0", key="k")
        assert (caught.value.error, caught.value.retryable) == ("NoSuchRobot", False)
    assert ground.server.writes == []


async def test_what_has_not_begun_is_cancelled_and_what_has_is_left(ground: Ground) -> None:
    waiting, begun = ROBOTS[:2]
    await ground.hawkbit.assign([waiting, begun], "1.1.0", key="k")
    ground.server.polls(begun)
    for _ in range(2):
        assert await ground.hawkbit.withdraw([waiting, begun], key="w") == [waiting]
    assert await ground.state(waiting) == ("idle", "1.0.0", "1.0.0")
    assert (await ground.state(begun))[0] == "downloading"
    assert sum(1 for m, _, _ in ground.server.writes if m == "DELETE") == 1
    assert ground.server.polls(waiting) == "cancelAction"
    ground.server.says(waiting, "canceled")
    assert await ground.state(waiting) == ("done", "1.0.0", "1.0.0")


async def test_a_new_order_is_not_lost_while_the_old_one_is_being_cancelled(ground: Ground) -> None:
    """The server counts it as assigned until the robot agrees, and would answer `alreadyAssigned`."""
    robot = ROBOTS[0]
    await ground.hawkbit.assign([robot], "1.1.0", key="k")
    await ground.hawkbit.withdraw([robot], key="w")
    assert await ground.hawkbit.assign([robot], "1.1.0", key="again") == [robot]
    assert ground.server.polls(robot) == "deploymentBase"


async def test_a_robot_may_refuse_to_be_stopped(ground: Ground) -> None:
    robot = ROBOTS[0]
    await ground.hawkbit.assign([robot], "1.1.0", key="k")
    await ground.hawkbit.withdraw([robot], key="w")
    ground.server.polls(robot)
    ground.server.says(robot, "cancel_rejected", "flashing already")
    assert await ground.state(robot) == ("installing", "1.1.0", "1.0.0")
    assert await ground.hawkbit.withdraw([robot], key="w2") == []


async def test_a_failure_waits_for_a_retry_and_says_why(ground: Ground) -> None:
    robot = ROBOTS[0]
    await ground.hawkbit.assign([robot], "1.1.0", key="k")
    ground.server.polls(robot)
    ground.server.says(robot, "running", "slot B")
    ground.server.says(robot, "error", "self test failed: \x1b[31mlidar timeout")
    assert await ground.state(robot) == ("failed", "1.1.0", "1.0.0")
    first = await ground.hawkbit.first_error(robot)
    assert "self test failed" in first and "\x1b" not in first
    await ground.hawkbit.assign([robot], "1.1.0", key="k")
    assert ground.orders(robot) == 1, "the same order again would be a retry nobody asked for"
    await ground.hawkbit.retry([robot, ROBOTS[1]], key="r")
    assert ground.orders(robot) == 2 and ground.orders(ROBOTS[1]) == 0
    assert (await ground.state(robot))[0] == "assigned"


async def test_one_retry_is_one_retry_also_when_it_failed_again_before_we_heard(ground: Ground) -> None:
    robot = ROBOTS[0]
    await ground.hawkbit.assign([robot], "1.1.0", key="k")
    ground.server.says(robot, "error", "no")
    ground.line.lose["POST"] = 2  # the mark's answer is lost as well as the order's
    with pytest.raises(InDoubt):
        await ground.hawkbit.retry([robot], key="r")
    await ground.hawkbit.retry([robot], key="r")
    assert ground.server.targets[robot]["metadata"][RETRIED].endswith(f":{min(ground.server.actions)}")
    assert ground.orders(robot) == 2
    ground.server.says(robot, "error", "no again")
    await ground.hawkbit.retry([robot], key="r")
    assert ground.orders(robot) == 2, "the same key is the same retry"
    await ground.hawkbit.retry([robot], key="r2")
    assert ground.orders(robot) == 3


async def test_a_failure_that_was_withdrawn_is_over_and_a_new_order_is_tried(ground: Ground) -> None:
    robot = ROBOTS[0]
    await ground.hawkbit.assign([robot], "1.1.0", key="k")
    ground.server.says(robot, "error", "no")
    assert await ground.hawkbit.withdraw([robot], key="w") == [robot]
    assert await ground.state(robot) == ("idle", "1.0.0", "1.0.0")
    await ground.hawkbit.retry([robot], key="r")
    assert ground.orders(robot) == 1, "nothing is left to retry"
    assert await ground.hawkbit.assign([robot], "1.1.0", key="k2") == [robot]
    assert ground.orders(robot) == 2 and (await ground.state(robot))[0] == "assigned"


async def test_an_order_whose_answer_was_lost_is_read_back_not_sent_again(ground: Ground) -> None:
    ground.line.lose["POST"] = 1
    assert await ground.hawkbit.assign(ROBOTS[:3], "1.1.0", key="k") == ROBOTS[:3]
    assert sum(1 for m, p, _ in ground.server.writes if p.endswith("assignedTargets")) == 1


async def test_many_robots_are_read_in_pages_and_few_calls(ground: Ground) -> None:
    for i in range(1200):
        ground.server.add_target(f"UTR1-AMR-{i:04d}", installed=ground.old)
    ground.server.reads.clear()
    found = await ground.hawkbit.reports()
    assert len(found) == 1206 and {r.reported for r in found} == {"1.0.0"}
    assert len(ground.server.reads) < 15
    ground.server.reads.clear()
    await ground.hawkbit.devices()
    assert len(ground.server.reads) <= 3, "what is installed is known until the server installs something else"


async def test_a_list_that_shifts_while_it_is_read_is_read_anew(ground: Ground) -> None:
    for i in range(1000):
        ground.server.add_target(f"UTR1-AMR-{i:04d}", installed=ground.old)
    asked = []

    def vanish(request: Any) -> None:
        if request.url.path.endswith("/targets") and "499" in str(request.url.query):
            asked.append(1)
            if len(asked) == 1:
                del ground.server.targets[ROBOTS[0]]

    ground.server.before = vanish
    assert len(await ground.hawkbit.reports()) == 1005, "none is missing that is there"


async def test_the_mirror_is_filled_page_by_page_and_then_only_with_changes(ground: Ground) -> None:
    for i in range(600):
        ground.server.add_target(f"UTR1-AMR-{i:04d}", installed=ground.old)
    seen: dict[str, Any] = {}
    cursor, more = "", True
    while more:
        pulled = await ground.hawkbit.pull("device", cursor)
        assert pulled.full
        seen |= {o.id: o for o in pulled.objects}
        cursor, more = pulled.cursor, pulled.more
    assert len(seen) == 606 and seen[ROBOTS[0]].data["installed"] == "1.0.0"
    await asyncio.sleep(0.002)
    await ground.hawkbit.assign([ROBOTS[0]], "1.1.0", key="k")
    found: dict[str, Any] = {}
    more = True
    while more:  # rows of the newest millisecond come again
        changed = await ground.hawkbit.pull("device", cursor)
        assert not changed.full
        found |= {o.id: o for o in changed.objects}
        cursor, more = changed.cursor, changed.more
    assert found[ROBOTS[0]].state == "pending" and found[ROBOTS[0]].data["desired"] == "1.1.0"
    assert len((await ground.hawkbit.pull("software", "")).objects) == 2
    pulled = await ground.hawkbit.pull("device", "")
    del ground.server.targets[ROBOTS[1]]
    with pytest.raises(ActionError) as caught:
        await ground.hawkbit.pull("device", pulled.cursor)
    assert caught.value.error == "CursorLost"


# -- its own rollouts --------------------------------------------------------------------------------------------------

STAGES = (Stage(name="canary", share=30, failure=10), Stage(name="rest", pause_after=False))
FILTER = "controllerId==HAM2-AMR-*"


async def test_a_rollout_of_its_own_is_created_once_and_waits_until_it_is_ready() -> None:
    ground = Ground(creating_s=0.2)
    ground.line.lose["POST"] = 1
    asked = (("1.1.0", ground.new, FILTER, STAGES), {"key": "run/create"})
    with pytest.raises(InDoubt):
        await ground.hawkbit.create_rollout(*asked[0], **asked[1])  # type: ignore[arg-type]
    made = await ground.hawkbit.create_rollout(*asked[0], **asked[1], in_doubt=True)  # type: ignore[arg-type]
    assert len(ground.server.rollouts) == 1
    assert made.status == "creating" and made.totalTargets == 6
    with pytest.raises(Deferred):
        await ground.hawkbit.move_rollout(made.id, "start")
    await asyncio.sleep(0.25)
    assert (await ground.hawkbit.move_rollout(made.id, "start")).status == "running"
    assert (await ground.hawkbit.move_rollout(made.id, "start")).status == "running", "started twice is started once"
    assert sum(1 for _, p, _ in ground.server.writes if p.endswith("/start")) == 1
    groups = await ground.hawkbit.groups(made.id)
    assert [(g.name, g.status, g.totalTargets) for g in groups] == [("canary", "running", 2), ("rest", "scheduled", 4)]
    assert await ground.hawkbit.group_robots(made.id, groups[0].id) == ROBOTS[:2]
    for name in ROBOTS[:2]:
        ground.server.installs(name)
    assert (await ground.hawkbit.rollout(made.id)).status == "paused", "the success action of the first group"
    await ground.hawkbit.move_rollout(made.id, "resume")
    ground.server.polls(ROBOTS[2])
    ground.server.says(ROBOTS[2], "error", "no")
    found = await ground.hawkbit.rollout(made.id)
    assert (found.status, found.totalTargetsPerStatus["error"]) == ("paused", 1)
    await ground.hawkbit.move_rollout(made.id, "stop")
    assert (await ground.hawkbit.rollout(made.id)).status == "stopped"
    with pytest.raises(ActionError) as caught:
        await ground.hawkbit.move_rollout(made.id, "resume")
    assert caught.value.error == "IllegalState" and "stopped" in caught.value.message
    (mirrored,) = (await ground.hawkbit.pull("rollout", "")).objects
    assert mirrored.state == "stopped" and mirrored.data["robots"] == 6
    await ground.hawkbit.close()


async def test_where_the_tenant_asks_for_approval_it_waits_for_it() -> None:
    ground = Ground(approval=True)
    made = await ground.hawkbit.create_rollout("1.1.0", ground.new, FILTER, STAGES, key="k")
    assert (await ground.hawkbit.rollout(made.id)).status == "waiting_for_approval"
    with pytest.raises(ActionError) as caught:
        await ground.hawkbit.move_rollout(made.id, "start")
    assert caught.value.error == "IllegalState"
    denied = await ground.hawkbit.move_rollout(made.id, "deny", remark="not before the audit")
    assert (denied.status, denied.approvalRemark) == ("approval_denied", "not before the audit")
    assert (await ground.hawkbit.move_rollout(made.id, "approve", remark="G-12")).status == "ready"
    await ground.hawkbit.move_rollout(made.id, "start")
    await ground.hawkbit.move_rollout(made.id, "triggerNextGroup")
    assert {g.status for g in await ground.hawkbit.groups(made.id)} == {"running"}
    with pytest.raises(ActionError, match="groups left"):
        await ground.hawkbit.move_rollout(made.id, "triggerNextGroup")
    await ground.hawkbit.close()


def test_values_in_queries_are_values() -> None:
    fields = {"name": lambda row: row}
    for hostile in ("a,b", "a;name==*", "*", "it's", "back\\slash", "'),(name=='*", 'quote"d', "a b"):
        query = Query(f"name=={quoted(hostile)}", fields)
        assert query.test(hostile) and not query.test(hostile + "x") and not query.test("other")
