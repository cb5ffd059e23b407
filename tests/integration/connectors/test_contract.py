"""One contract, two worlds: what the ports promise holds against gooseBit and Prometheus and against the sandbox."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

import connectors.prometheus
from connectors.goosebit import GooseBit
from engine.capabilities.connections import Connections
from engine.capabilities.ports import ActionError, Fleet, InDoubt, InstallReport, Signals
from tests.integration.connectors.ground import Ground, connected

pytestmark = pytest.mark.timeout(180)
VDA_MODES = {"STARTUP", "AUTOMATIC", "SEMIAUTOMATIC", "INTERVENED", "MANUAL", "SERVICE", "TEACH_IN"}


def updates(links: Connections) -> GooseBit:
    found: GooseBit = links.port("updates")
    return found


async def until(links: Connections, ground: Ground, robots: list[str], done: Callable[[InstallReport], bool]) -> None:
    limit = time.monotonic() + ground.patience
    while True:
        reports = await updates(links).reports(robots)
        if all(done(r) for r in reports):
            return
        assert time.monotonic() < limit, reports
        await asyncio.sleep(0.1)


def tries(ground: Ground, robot: str) -> int:
    return sum(1 for i in ground.truth()["installs"] if i["robot"] == robot)


async def test_check_names_the_servers_and_proves_the_credentials(ground: Ground, links: Connections) -> None:
    found = await links.check()
    assert "0.2.12" in found["updates"] and found["signals"].startswith("Prometheus 2.")
    wrong = connected(ground, secret=lambda _: "wrong password")
    answer = await wrong.check()
    assert answer["updates"].startswith("error:") and "wrong password" not in answer["updates"]
    with pytest.raises(ActionError) as caught:
        await updates(wrong).releases()
    assert (caught.value.error, caught.value.kind, caught.value.retryable) == (
        "Unauthenticated",
        "authentication",
        False,
    )
    await wrong.close()


async def test_releases_carry_version_digest_and_hardware(ground: Ground, links: Connections) -> None:
    found = {r.version: r for r in await updates(links).releases()}
    assert {ground.old, ground.new} <= set(found)
    assert found[ground.new].digest.startswith("sha1:") and len(found[ground.new].digest) == 45
    assert set(found[ground.new].models) == {"amr-600/rev-A", "amr-600/rev-B", "amr-600/rev-C"}


async def test_the_fleet_is_joined_from_both_owners(ground: Ground, links: Connections) -> None:
    fleet: Fleet = links.port("fleet")
    limit = time.monotonic() + ground.patience
    while True:  # the first scrape of a fresh Prometheus takes a moment
        robots = {r.id: r for r in await fleet.robots()}
        if sum(1 for r in robots.values() if r.site and r.mode in VDA_MODES) >= len(robots) * 0.8:
            break
        assert time.monotonic() < limit, robots
        await asyncio.sleep(0.3)
    assert len(robots) == len(ground.truth()["versions"])
    one = robots[ground.take(1)[0]]
    assert one.serial and one.region and one.customer and one.variant.startswith("rev-") and one.rollback_floor
    assert one.version == ground.old and one.online and one.battery is not None and one.disk_free_b


async def test_an_assigned_robot_installs_and_is_reported_until_done(ground: Ground, links: Connections) -> None:
    robots = ground.take(3)
    assert sorted(await updates(links).assign(robots, ground.new, key="k1")) == sorted(robots)
    assert {r.desired for r in await updates(links).reports(robots)} == {ground.new}
    await until(links, ground, robots, lambda r: r.state == "done" and r.reported == ground.new)
    assert all(ground.truth()["versions"][r] == ground.new for r in robots)
    # and all the way back: an older version is assigned like any other
    assert sorted(await updates(links).assign(robots, ground.old, key="k2")) == sorted(robots)
    await until(links, ground, robots, lambda r: r.state == "done" and r.reported == ground.old)
    assert {ground.truth()["versions"][r] for r in robots} == {ground.old}


async def test_assigning_twice_changes_nothing(ground: Ground, links: Connections) -> None:
    (robot,) = ground.take(1)
    await updates(links).assign([robot], ground.new, key="k")
    assert await updates(links).assign([robot, robot], ground.new, key="k") == [robot]
    await until(links, ground, [robot], lambda r: r.state == "done")
    before = tries(ground, robot)
    assert await updates(links).assign([robot], ground.new, key="k") == [robot]
    await asyncio.sleep(1.5)
    assert tries(ground, robot) == before == 1


async def test_an_unknown_robot_or_release_changes_nothing_at_all(ground: Ground, links: Connections) -> None:
    (robot,) = ground.take(1)
    for robots, version, error in (
        ([robot, "HAM2-AMR-00"], ground.new, "NoSuchRobot"),
        ([robot, "../software"], ground.new, "NoSuchRobot"),
        ([robot], "9.9.9", "NoSuchRelease"),
    ):
        with pytest.raises(ActionError) as caught:
            await updates(links).assign(robots, version, key="k")
        assert (caught.value.error, caught.value.kind, caught.value.retryable) == (error, "validation", False)
    (report,) = await updates(links).reports([robot])
    assert report.desired in ("", ground.old) and report.state == "idle"
    assert "HAM2-AMR-00" not in {r.robot for r in await updates(links).reports()}


async def test_a_half_applied_batch_is_reported_robot_by_robot(ground: Ground, links: Connections) -> None:
    """A robot that vanishes between check and write: gooseBit changes those before it, answers 500, skips the rest."""
    robots = ground.take(3)
    server = updates(links)
    original = server._patch

    async def with_a_ghost(ids: list[str], change: dict[str, object]) -> None:
        await original([ids[0], "GHOST-AMR-01", *ids[1:]], change)

    server._patch = with_a_ghost  # type: ignore[method-assign, assignment]
    with pytest.raises(InDoubt):
        await server.assign(robots, ground.new, key="k")
    wanted = {r.robot: r.desired for r in await server.reports(robots)}
    assert wanted[robots[0]] == ground.new and {wanted[r] for r in robots[1:]} <= {"", ground.old}
    server._patch = original  # type: ignore[method-assign]
    assert sorted(await server.assign(robots, ground.new, key="k")) == sorted(robots), "the same call completes it"


async def test_withdrawn_before_it_started_it_stands_still(ground: Ground, links: Connections) -> None:
    robots = ground.take(2)
    ground.offline(robots)
    await updates(links).assign(robots, ground.new, key="k")
    assert {r.state for r in await updates(links).reports(robots)} == {"assigned"}
    assert sorted(await updates(links).withdraw(robots, key="w")) == sorted(robots)
    reports = await updates(links).reports(robots)
    assert {(r.state, r.desired, r.reported) for r in reports} == {("idle", ground.old, ground.old)}
    assert sorted(await updates(links).withdraw(robots, key="w")) == sorted(robots), "withdrawing twice changes nothing"


async def test_what_has_begun_is_not_withdrawn(ground: Ground, links: Connections) -> None:
    (robot,) = ground.take(1)
    await updates(links).assign([robot], ground.new, key="k")
    await until(links, ground, [robot], lambda r: r.state in ("downloading", "installing", "done"))
    still = await updates(links).withdraw([robot], key="w")
    await until(links, ground, [robot], lambda r: r.state == "done")
    await asyncio.sleep(2.5)
    assert ground.truth()["versions"][robot] == ground.new, "it was not sent back behind anybody's back"
    assert still in ([], [robot])


async def test_a_failed_install_waits_for_a_retry_and_says_why(ground: Ground, links: Connections) -> None:
    robot = ground.take_failing()
    await updates(links).assign([robot], ground.new, key="k")
    await until(links, ground, [robot], lambda r: r.state == "failed")
    (report,) = await updates(links).reports([robot])
    assert report.error and report.reported == ground.old
    first = await updates(links).first_error(robot)
    assert (
        any(word in first for word in ("failed", "error", "could not"))
        and "\x1b" not in first
        and "\u202e" not in first
    )
    assert len(first) <= 201
    await updates(links).assign([robot], ground.new, key="k")
    await asyncio.sleep(1.5)
    assert tries(ground, robot) == 1, "an assignment that stands is no retry"
    ground.mend(robot)
    await updates(links).retry([robot], key="r")
    limit = time.monotonic() + ground.patience
    while tries(ground, robot) < 2:
        assert time.monotonic() < limit
        await asyncio.sleep(0.1)


async def test_a_robot_in_error_takes_a_new_target(ground: Ground, links: Connections) -> None:
    """gooseBit skips robots in Error: without `force_update` a rollback would silently reach none of them."""
    robot = ground.take_failing()
    (other,) = ground.take(1)
    await updates(links).assign([robot, other], ground.new, key="k")
    await until(links, ground, [robot], lambda r: r.state == "failed")
    await until(links, ground, [other], lambda r: r.state == "done")
    ground.mend(robot)
    await updates(links).assign([robot, other], ground.old, key="back")
    await until(links, ground, [robot, other], lambda r: r.state in ("done", "idle") and r.reported == ground.old)
    assert {ground.truth()["versions"][r] for r in (robot, other)} == {ground.old}


async def test_a_new_order_after_a_withdrawn_failure_is_tried_at_once(ground: Ground, links: Connections) -> None:
    robot = ground.take_failing()
    await updates(links).assign([robot], ground.new, key="k")
    await until(links, ground, [robot], lambda r: r.state == "failed")
    await updates(links).withdraw([robot], key="w")
    (report,) = await updates(links).reports([robot])
    assert (report.state, report.desired) == ("idle", ground.old)
    ground.mend(robot)
    await updates(links).assign([robot], ground.new, key="k2")
    limit = time.monotonic() + ground.patience
    while tries(ground, robot) < 2:
        assert time.monotonic() < limit, "the server skips a robot in Error: the new order had to force it"
        await asyncio.sleep(0.1)


async def test_counters_come_per_robot_and_in_order(ground: Ground, links: Connections) -> None:
    signals: Signals = links.port("signals")
    robots = ground.take(2)
    await asyncio.sleep(3)
    now = ground.clock.now()
    step = 60.0 if ground.name == "sandbox" else 1.0
    found = await signals.range("robot_operating_seconds_total", now - 40 * step, now, step, robots)
    assert sorted(found) == sorted(robots)
    for points in found.values():
        assert [p.t for p in points] == sorted({p.t for p in points})
        assert points[-1].value >= points[0].value >= 0
    latest = await signals.instant("robot_heartbeats_total", {"robot": robots[0]})
    assert len(latest) == 1 and latest[0][0]["robot"] == robots[0] and latest[0][1].value > 0
    assert await signals.range("robot_no_such_metric", now - 10, now, 1) == {}
    assert await signals.range("robot_heartbeats_total", now - 10, now, step, []) == {}


async def test_long_robot_lists_are_asked_in_chunks(
    ground: Ground, links: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connectors.prometheus, "CHUNK", 5)
    signals: Signals = links.port("signals")
    robots = sorted(ground.truth()["versions"])[:17]
    now = ground.clock.now()
    found = await signals.range("robot_poll_interval_seconds", now - 2, now, 1, [*robots, "x|y", 'a"b', "c\\d"])
    assert sorted(found) == robots


async def test_hostile_query_parts_are_refused_before_they_are_sent(ground: Ground, links: Connections) -> None:
    signals: Signals = links.port("signals")
    for name, labels in (("up or vector(1)", {}), ("up", {'a="b"} or up{c': "d"})):
        with pytest.raises(ActionError) as caught:
            await signals.instant(name, labels)
        assert caught.value.kind == "validation"
    assert await signals.instant("robot_info", {"robot": '"} or robot_info{robot="x'}) == []
