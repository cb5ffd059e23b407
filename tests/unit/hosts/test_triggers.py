"""What starts a run without a person: each occurrence once."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from engine.capabilities.events.rules import rules_of
from engine.capabilities.events.times import next_time
from engine.core.definition import Definition, FormField, Trigger
from engine.hosts.clock import ScaledClock, VirtualClock
from tests.unit.hosts.conftest import ANA, World, action_step, workflow

ROBOT = {"robot": FormField(type="string", required=False)}


def triggered(trigger: Trigger, *, name: str = "flow", **more: Any) -> Definition:
    return workflow(action_step("one"), name=name, triggers=(trigger,), inputs=ROBOT, **more)


def runs(world: World) -> list[str]:
    return [row[0] for row in world.query("select id from runs order by number")]


def inputs(world: World, run: str) -> dict[str, Any]:
    found: dict[str, Any] = world.datas(run, "RunStarted")[0]["inputs"]
    return found


async def test_an_event_starts_a_run_with_what_it_carries(world: World) -> None:
    world.act("one")
    host = await world.open()
    await world.register(
        host,
        triggered(
            Trigger(event="robot.failed", filter="event.data.site == 'HAM2'", with_={"robot": "${event.data.id}"})
        ),
    )
    await host.publish("robot.failed", {"id": "r1", "site": "UTR1"}, id="e1", actor=ANA, source="site")
    await host.publish("robot.failed", {"id": "r2", "site": "HAM2"}, id="e2", actor=ANA, source="site")
    await host.publish("robot.failed", {"id": "r2", "site": "HAM2"}, id="e2", actor=ANA, source="site")
    await world.when(lambda: runs(world))
    await asyncio.sleep(0.1)
    assert runs(world) == ["run-1"]
    assert inputs(world, "run-1") == {"robot": "r2"}
    started = world.datas("run-1", "RunStarted")[0]
    assert started["trigger"] == "event robot.failed"
    assert world.query("select count(*) from outbox where delivered = 0") == [(0,)]


async def test_dedupe_names_what_counts_as_the_same(world: World) -> None:
    world.act("one")
    host = await world.open()
    await world.register(host, triggered(Trigger(event="low", dedupe="event.data.id")))
    for at, robot in enumerate(("r1", "r1", "r2")):
        await host.publish("low", {"id": robot}, id=f"e{at}", actor=ANA, source="site")
    await world.when(lambda: len(runs(world)) == 2)
    await asyncio.sleep(0.1)
    assert len(runs(world)) == 2


async def test_correlate_starts_none_while_one_of_that_key_goes_on(world: World) -> None:
    door = asyncio.Event()

    async def work(context: Any, values: dict[str, Any]) -> None:
        await door.wait()

    world.act("one", work)
    host = await world.open()
    await world.register(host, triggered(Trigger(event="low", correlate="event.data.id")))
    await host.publish("low", {"id": "r1"}, id="e1", actor=ANA, source="site")
    await world.when(lambda: runs(world))
    await host.publish("low", {"id": "r1"}, id="e2", actor=ANA, source="site")
    await host.publish("low", {"id": "r2"}, id="e3", actor=ANA, source="site")
    await world.when(lambda: len(runs(world)) == 2)
    door.set()
    await world.until("run-1", "RunCompleted")
    await host.publish("low", {"id": "r1"}, id="e4", actor=ANA, source="site")
    await world.when(lambda: len(runs(world)) == 3)


async def test_debounce_waits_for_quiet_and_takes_the_last(world: World) -> None:
    world.act("one")
    host = await world.open()
    trigger = Trigger(
        event="low", debounce=0.3, dedupe="event.id", correlate="'all'", with_={"robot": "${event.data.id}"}
    )
    await world.register(host, triggered(trigger))
    for at in range(4):
        await host.publish("low", {"id": f"r{at}"}, id=f"e{at}", actor=ANA, source="site")
        await asyncio.sleep(0.05)
    assert runs(world) == []
    await world.when(lambda: runs(world))
    await asyncio.sleep(0.4)
    assert runs(world) == ["run-1"]
    assert inputs(world, "run-1") == {"robot": "r3"}
    assert world.query("select count(*) from outbox where delivered = 0") == [(0,)]


async def test_an_event_that_waited_out_a_crash_starts_its_run_once(world: World) -> None:
    world.act("one")
    first = await world.open()
    await world.register(first, triggered(Trigger(event="low", debounce=0.2)))
    await first.publish("low", {"id": "r1"}, id="e1", actor=ANA, source="site")
    await first.close()
    assert runs(world) == []
    await world.open()
    await world.when(lambda: runs(world))
    await asyncio.sleep(0.3)
    assert runs(world) == ["run-1"]


async def test_an_expression_that_fails_starts_nothing_and_is_recorded(world: World) -> None:
    world.act("one")
    host = await world.open()
    await world.register(host, triggered(Trigger(event="low", filter="event.data.nothing.here > 3")))
    await host.publish("low", {}, id="e1", actor=ANA, source="site")
    await world.when(lambda: world.query("select 1 from events where type = 'TriggerFailed'"))
    assert runs(world) == []


async def test_a_run_that_emits_starts_the_next_workflow(world: World) -> None:
    from engine.core.definition import Emit, Step

    world.act("one")
    host = await world.open()
    await world.register(host, triggered(Trigger(event="campaign.done", with_={"robot": "${event.data.robot}"})))
    say = Step(id="say", kind="emit", emit=Emit(event="campaign.done"), with_={"robot": "r9"})
    await world.register(host, workflow(say, name="campaign"))
    await world.start(host, "campaign")
    await world.when(lambda: len(runs(world)) == 2)
    assert inputs(world, "run-2") == {"robot": "r9"}


async def test_a_webhook_source_starts_a_run(world: World) -> None:
    world.act("one")
    host = await world.open()
    await world.register(host, triggered(Trigger(webhook="annotation")))
    await host.publish("job.closed", {}, id="e1", actor=ANA, source="webhook/annotation")
    await world.when(lambda: runs(world))


async def test_a_cron_line_rings_on_the_engines_clock(world: World) -> None:
    import time

    start = datetime(2026, 11, 2, 7, 59, tzinfo=UTC).timestamp()
    world.act("one")
    host = await world.open(clock=ScaledClock(start, time.time(), 600.0))
    await world.register(host, triggered(Trigger(cron="*/5 * * * *", with_={"robot": "${event.data.time}"})))
    await world.when(lambda: len(runs(world)) >= 3)
    rung = [datetime.fromisoformat(inputs(world, run)["robot"]) for run in runs(world)[:3]]
    assert all(moment.minute % 5 == 0 and moment.second == 0 for moment in rung)
    assert [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(rung)] == [300.0, 300.0]


@pytest.mark.parametrize(
    ("missed", "started"), [("skip", []), ("once", ["10:00"]), ("all", ["08:00", "09:00", "10:00"])]
)
async def test_what_fell_due_while_no_engine_ran(world: World, missed: Any, started: list[str]) -> None:
    clock = VirtualClock(datetime(2026, 11, 2, 7, 30, tzinfo=UTC).timestamp())
    world.act("one")
    first = await world.open(clock=clock)
    trigger = Trigger(cron="0 * * * *", missed=missed, with_={"robot": "${event.data.time}"})
    await world.register(first, triggered(trigger))
    await first.close()
    clock.advance(3 * 3600)
    second = await world.open(clock=clock)
    await asyncio.sleep(0.3)
    assert [inputs(world, run)["robot"][11:16] for run in runs(world)] == started
    await second.close()
    await world.open(clock=clock)
    await asyncio.sleep(0.2)
    assert len(runs(world)) == len(started)


async def test_daylight_saving_moves_the_time_not_the_hour_people_read(world: World) -> None:
    clock = VirtualClock(datetime(2026, 10, 24, 12, tzinfo=UTC).timestamp())
    world.act("one")
    host = await world.open(clock=clock)
    trigger = Trigger(cron="30 8 * * *", zone="Europe/Berlin", missed="all", with_={"robot": "${event.data.time}"})
    await world.register(host, triggered(trigger))
    clock.advance(2 * 86_400)
    host.triggers.plan_all()
    await world.when(lambda: len(runs(world)) == 2)
    assert [inputs(world, run)["robot"] for run in runs(world)] == [
        "2026-10-25T08:30:00+01:00",
        "2026-10-26T08:30:00+01:00",
    ]


@pytest.mark.parametrize(
    ("cron", "rings"),
    [
        ("0 3 * * 1", "Mon Nov 02"),
        ("0 3 * * 0", "Sun Nov 01"),
        ("0 3 * * 7", "Sun Nov 01"),
        ("0 3 * * mon-fri", "Mon Nov 02"),
        ("0 3 5 * *", "Thu Nov 05"),
        ("0 3 5 * 3", "Wed Nov 04"),
        ("0 3 3 * 5", "Tue Nov 03"),
    ],
)
def test_the_days_of_a_cron_line_are_those_of_crontab(cron: str, rings: str) -> None:
    rule = rules_of(triggered(Trigger(cron=cron)))[0]
    after = datetime(2026, 10, 31, 12, tzinfo=UTC).timestamp()
    assert datetime.fromtimestamp(next_time(rule, after), UTC).strftime("%a %b %d %H:%M") == f"{rings} 03:00"


async def test_a_rule_keeps_what_it_did_when_the_triggers_are_reordered(world: World) -> None:
    world.act("one")
    host = await world.open()
    low, other = Trigger(event="low", dedupe="event.data.id"), Trigger(event="other")
    await world.register(host, triggered(low))
    await host.publish("low", {"id": "r1"}, id="e1", actor=ANA, source="site")
    await world.when(lambda: len(runs(world)) == 1)
    again = workflow(action_step("one"), name="flow", triggers=(other, low), inputs=ROBOT)
    await world.register(host, msgspec.structs.replace(again, version=2))
    await host.publish("low", {"id": "r1"}, id="e2", actor=ANA, source="site")
    await host.publish("other", {}, id="e3", actor=ANA, source="site")
    await world.when(lambda: len(runs(world)) == 2)
    await asyncio.sleep(0.1)
    assert [world.datas(run, "RunStarted")[0]["trigger"] for run in runs(world)] == ["event low", "event other"]
