"""Bookkeeping goes in time; what guards against doing something twice stays."""

from __future__ import annotations

from engine.core.definition import Trigger
from engine.hosts.clock import VirtualClock
from engine.hosts.retention import Retention
from tests.unit.hosts.conftest import ANA, World, action_step, workflow

DAY = 86_400.0


async def test_old_bookkeeping_goes_and_the_history_stays(world: World) -> None:
    clock = VirtualClock()
    world.act("one")
    host = await world.open(clock=clock)
    rules = (Trigger(event="low", dedupe="event.data.id"), Trigger(cron="0 3 * * *", missed="all"))
    await world.register(host, workflow(action_step("one"), triggers=rules))
    await host.publish("low", {"id": "r1"}, id="e1", actor=ANA, source="site")
    clock.advance(2 * DAY)
    host.triggers.plan_all()
    await world.when(lambda: world.query("select count(*) from runs") == [(3,)])
    await world.when(lambda: world.query("select count(*) from outbox where delivered = 1") == [(1,)])
    assert await Retention(host).sweep() == {}

    before = world.query("select count(*) from events")[0][0]
    clock.advance(100 * DAY)
    gone = await Retention(host).sweep()
    assert gone["outbox"] == 1
    assert gone["inbox"] == 2  # the event and the older of two cron times; the newest is kept
    assert gone["commands"] >= 3
    assert world.query("select count(*) from events")[0][0] >= before

    await host.publish("low", {"id": "r1"}, id="e9", actor=ANA, source="site")
    await world.when(lambda: world.query("select reason from event_fates where outcome = 'ignored'"))
    found = world.query("select reason from event_fates where outcome = 'ignored'")
    assert found == [("the same key opened run-1 before",)]  # once ever means ever
