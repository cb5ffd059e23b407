"""Promises of update servers, metrics servers and the joined fleet."""

from __future__ import annotations

import math
from typing import Any

from engine.capabilities.systems.conformance.promise import Bench, NotTried, clean, must, promise, refuses, sane

STATES = ("idle", "assigned", "downloading", "installing", "failed", "done")
STRANGER = "no-such-robot-qd-check"
ROBOT = {"robot": "a robot that may be assigned the version it already has"}
HOUR_S = 3600.0


@promise("updates", "releases have a version, a digest that names its algorithm, and a size")
async def releases_are_named(port: Any, bench: Bench) -> None:
    found = await port.releases()
    if not found:
        raise NotTried("the server holds no software")
    for one in found:
        must(one.version, f"release {one.id} has no version")
        must(":" in one.digest or not one.digest, f"release {one.version}: digest {one.digest!r} names no algorithm")
        must(one.size_b >= 0, f"release {one.version}: negative size")
        clean(one, f"release {one.version}")
    must(len({one.id for one in found}) == len(found), "two releases have one id")


@promise("updates", "there is one report for each robot, in the words all servers share")
async def reports_are_sound(port: Any, bench: Bench) -> None:
    found = await port.reports()
    if not found:
        raise NotTried("the server knows no robot")
    must(len({one.robot for one in found}) == len(found), "a robot is reported twice")
    for one in found:
        must(one.state in STATES, f"{one.robot}: state {one.state!r} is none of {', '.join(STATES)}")
        must(0 <= one.progress <= 100, f"{one.robot}: progress {one.progress}")
        sane(one.last_seen_at, bench.now(), f"{one.robot}: last_seen_at")
        clean(one, f"report of {one.robot!r}")


@promise("updates", "reports can be asked for some robots; unknown ones are left out")
async def reports_can_be_narrowed(port: Any, bench: Bench) -> None:
    everyone = await port.reports()
    must(not await port.reports([STRANGER]), "there is a report for a robot nobody knows")
    must(not await port.reports([]), "asked for no robot, it reported some")
    if everyone:
        one = everyone[0].robot
        found = [report.robot for report in await port.reports([one, STRANGER])]
        must(found == [one], f"asked for {one}, it reported {', '.join(found[:3]) or 'nobody'}")


@promise("updates", "an unknown robot or version is refused before anything is sent", write=True)
async def strangers_are_refused(port: Any, bench: Bench) -> None:
    releases = await port.releases()
    if not releases:
        raise NotTried("the server holds no software")
    key = bench.key("stranger")
    await refuses(port.assign([STRANGER], releases[0].version, key=key), "NoSuchRobot")
    robots = await port.reports()
    if robots:
        await refuses(port.assign([robots[0].robot], f"0.0.0-{bench.mark}", key=key), "NoSuchRelease")


@promise("updates", "assigning twice with one key changes nothing the second time", write=True, needs=ROBOT)
async def assigning_twice_is_assigning_once(port: Any, bench: Bench) -> None:
    robot = bench.given["robot"]
    before = await port.reports([robot])
    must(before, f"the server does not know {robot}")
    version = before[0].reported
    if not version or version not in {one.version for one in await port.releases()}:
        raise NotTried(f"the server holds no software of the version {robot} has")
    if before[0].desired not in ("", version):
        raise NotTried(f"{robot} is being updated to {before[0].desired}; it is left alone")
    key = bench.key("assign")
    bench.undo(f"target of {robot}", lambda: port.withdraw([robot], key=bench.key("withdraw")))
    for _ in range(2):
        must(list(await port.assign([robot], version, key=key)) == [robot], f"{robot} does not have its target")
    after = (await port.reports([robot]))[0]
    must(after.state in ("idle", "done"), f"{robot} is {after.state}: it would install the version it has")


@promise("updates", "withdrawing what stands still is no error", write=True, needs=ROBOT)
async def withdrawing_nothing_is_no_error(port: Any, bench: Bench) -> None:
    robot = bench.given["robot"]
    before = await port.reports([robot])
    if before and before[0].desired not in ("", before[0].reported):
        raise NotTried(f"{robot} is being updated; it is left alone")
    key = bench.key("stand-still")
    must(list(await port.withdraw([robot], key=key)) == [robot], f"{robot} does not stand still")
    must(list(await port.withdraw([robot], key=key)) == [robot], f"{robot} does not stand still the second time")


@promise("signals", "a signal nobody sends is empty, not an error")
async def an_unknown_signal_is_empty(port: Any, bench: Bench) -> None:
    name = bench.mark.replace("-", "_")
    must(not await port.instant(name), "a signal that does not exist has values")
    must(not await port.range(name, bench.now() - 600, bench.now(), 60), "a signal that does not exist has a past")


@promise("signals", "labels are values, never part of the question")
async def labels_can_not_break_out(port: Any, bench: Bench) -> None:
    hostile = 'x"} or vector(1) or {a="\\\n'
    must(not await port.instant(bench.mark.replace("-", "_"), {"robot": hostile}), "a label became part of the query")


@promise("signals", "a range is in time order with finite values", needs={"signal": "the name of a signal robots send"})
async def ranges_are_in_order(port: Any, bench: Bench) -> None:
    end = math.floor(bench.now())
    found = await port.range(bench.given["signal"], end - HOUR_S, end, 60)
    if not found:
        raise NotTried("nothing of that name within the last hour")
    for robot, samples in found.items():
        times = [sample.t for sample in samples]
        must(times == sorted(times), f"{robot}: the samples are not in time order")
        must(all(math.isfinite(sample.value) for sample in samples), f"{robot}: a value that is no number")
        for at in times[:1] + times[-1:]:
            sane(at, bench.now(), f"{robot}: a sample's time")


@promise("fleet", "each robot stands there once, with clean text")
async def robots_stand_there_once(port: Any, bench: Bench) -> None:
    found = await port.robots()
    if not found:
        raise NotTried("there is no robot")
    must(len({one.id for one in found}) == len(found), "a robot stands there twice")
    for one in found[:2000]:
        must(one.battery is None or 0 <= one.battery <= 1, f"{one.id}: battery {one.battery} is not between 0 and 1")
        sane(one.last_seen_at, bench.now(), f"{one.id}: last_seen_at")
        clean(one, f"robot {one.id!r}")
