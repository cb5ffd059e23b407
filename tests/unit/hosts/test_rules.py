"""What rules make of events: opened, attached, ignored with the reason; bounded by depth and rate; each of them known."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.capabilities.events.rules import Limits
from engine.capabilities.packs import load_pack
from engine.core.definition import Burst, Definition, Emit, FormField, Rate, Step, Trigger, Wait
from engine.core.durations import spelled
from engine.hosts.clock import VirtualClock
from engine.store.threads import Threads
from tests.unit.hosts.conftest import ANA, World, action_step, workflow

ANY = {"robot": FormField(type="string", required=False)}


def flow(trigger: Trigger, *steps: Step, name: str = "flow", **more: Any) -> Definition:
    return workflow(*(steps or (action_step("one"),)), name=name, triggers=(trigger,), inputs=ANY, **more)


def wait_for(event: str, id: str = "wait", **more: Any) -> Step:
    return Step(id=id, kind="wait", wait=Wait(event=event), **more)


def fates(world: World, event: str = "") -> list[tuple[str, str, str]]:
    """(outcome, run, reason) in order."""
    return world.query(
        "select f.outcome, f.run, f.reason from event_fates f join event_threads t on t.seq = f.event "
        "where (? = '' or t.event = ?) and f.rule != '' order by f.event, f.seq",
        event,
        event,
    )


def runs(world: World) -> list[str]:
    return [row[0] for row in world.query("select id from runs order by number")]


def threads(world: World) -> Threads:
    return Threads(lambda sql, values=(): world.query(sql, *values))


async def tell(host: Any, event: str, id: str, data: dict[str, Any] | None = None, **more: Any) -> None:
    await host.publish(event, data or {}, id=id, actor=ANA, source="site", **more)


async def told(world: World, count: int) -> None:
    """Every event so far was seen to."""
    await world.when(lambda: world.query("select count(*) from outbox where delivered = 1")[0][0] >= count)


async def test_every_rule_says_what_it_made_of_an_event(world: World) -> None:
    world.act("one")
    host = await world.open()
    await world.register(host, flow(Trigger(event="low", filter="event.data.site == 'HAM2'")))
    await tell(host, "low", "e1", {"site": "UTR1"})
    await tell(host, "low", "e2", {"site": "HAM2"})
    await told(world, 2)
    assert fates(world) == [
        ("ignored", "", "the filter says no: event.data.site == 'HAM2'"),
        ("opened", "run-1", ""),
    ]
    assert world.query("select count(*) from events where type = 'EventRouted'") == [(2,)]


async def test_a_rule_sees_subject_source_and_time(world: World) -> None:
    world.act("one")
    host = await world.open()
    said = {"robot": "${event.subject + ' ' + event.source + ' ' + (event.time.startsWith('20') ? '20' : '?')}"}
    await world.register(host, flow(Trigger(event="low", with_=said)))
    await tell(host, "low", "e1", subject="r7")
    await world.when(lambda: runs(world))
    assert world.datas("run-1", "RunStarted")[0]["inputs"] == {"robot": "r7 site 20"}


async def test_within_lets_the_same_key_start_again_later_and_never_beside_an_open_run(world: World) -> None:
    clock = VirtualClock()
    world.act("one")
    host = await world.open(clock=clock)
    await world.register(host, flow(Trigger(event="low", dedupe="event.data.id", within=3600.0), wait_for("go")))
    await tell(host, "low", "e1", {"id": "r1"})
    await told(world, 1)
    clock.advance(7200)
    await tell(host, "low", "e2", {"id": "r1"})
    await told(world, 2)
    assert fates(world)[1] == ("ignored", "run-1", "run-1 of the same key is open")
    await tell(host, "go", "g1")
    await world.until("run-1", "RunCompleted")
    await tell(host, "low", "e3", {"id": "r1"})
    await world.when(lambda: len(runs(world)) == 2)
    await tell(host, "go", "g2")
    await world.until("run-2", "RunCompleted")
    await tell(host, "low", "e4", {"id": "r1"})
    await told(world, 6)
    assert fates(world, "low")[3] == ("ignored", "run-2", "the same key opened run-2 within 1h")


async def test_an_event_of_the_group_goes_to_its_open_run_also_one_that_does_not_wait_for_it(world: World) -> None:
    world.act("one")
    host = await world.open()
    await world.register(host, flow(Trigger(event="low", correlate="event.data.id"), wait_for("go")))
    await tell(host, "low", "e1", {"id": "r1"})
    await tell(host, "low", "e2", {"id": "r1"})
    await told(world, 2)
    assert fates(world) == [("opened", "run-1", ""), ("attached", "run-1", "run-1 is open for r1")]
    await world.until("run-1", "EventReceived")
    assert world.datas("run-1", "EventReceived")[0]["id"] == "site/e2"


async def test_a_rule_that_opens_nothing_only_attaches(world: World) -> None:
    world.act("one")
    host = await world.open()
    trigger = Trigger(event="session", correlate="event.data.campaign", opens=False)
    await world.register(host, flow(trigger, wait_for("session")))
    await tell(host, "session", "e1", {"campaign": "c1"})
    await told(world, 1)
    assert fates(world) == [("ignored", "", "no run of flow is open for c1")]
    run = await world.start(host, "flow", attributes={"correlate": "c1"})
    await tell(host, "session", "e2", {"campaign": "c1"})
    await told(world, 2)
    assert fates(world)[1] == ("attached", run, f"{run} is open for c1")
    assert len(world.datas(run, "EventReceived")) == 1


async def test_a_burst_opens_once_enough_different_ones_came(world: World) -> None:
    clock = VirtualClock()
    world.act("one")
    host = await world.open(clock=clock)
    burst = Burst(count=3, within=600.0, of="event.data.robot")
    await world.register(host, flow(Trigger(event="drift", filter="event.data.site != 'lab'", burst=burst)))
    for at, (robot, site) in enumerate((("r1", "a"), ("r1", "a"), ("r2", "lab"), ("r3", "a"))):
        await tell(host, "drift", f"e{at}", {"robot": robot, "site": site})
    await told(world, 4)
    assert runs(world) == []
    assert fates(world)[3][2] == "2 of 3 different event.data.robot within 10m"
    await tell(host, "drift", "e5", {"robot": "r4", "site": "a"})
    await world.when(lambda: runs(world))
    clock.advance(3600)
    await tell(host, "drift", "e6", {"robot": "r5", "site": "a"})
    await told(world, 6)
    assert len(runs(world)) == 1


async def test_a_rule_opens_no_more_runs_than_its_rate_unless_it_must(world: World) -> None:
    world.act("one")
    host = await world.open()
    rate = Rate(limit=2, per=3600.0)
    await world.register(host, flow(Trigger(event="low", rate=rate)))
    await world.register(host, flow(Trigger(event="low", rate=rate, must=True), name="safety"))
    for at in range(4):
        await tell(host, "low", f"e{at}")
        await told(world, at + 1)
    opened = [row for row in fates(world) if row[0] == "opened"]
    ignored = [row for row in fates(world) if row[0] == "ignored"]
    assert (len(opened), len(ignored)) == (6, 2)
    assert "its limit is 2" in ignored[0][2]


async def test_a_circle_of_triggers_ends_at_the_depth_limit(world: World) -> None:
    host = await world.open()
    for here, there in (("ping", "pong"), ("pong", "ping")):
        say = Step(id="say", kind="emit", emit=Emit(event=there))
        await world.register(host, flow(Trigger(event=here), say, name=here))
    await tell(host, "ping", "e1")
    await world.when(lambda: any("deep" in row[2] for row in fates(world)))
    depth = int(load_pack("events")["max_depth"])
    assert len(runs(world)) == depth
    assert [row[0] for row in world.query("select depth from event_threads order by seq")] == list(range(1, depth + 2))
    found = threads(world).trace("ping") or threads(world).trace(runs(world)[-1])
    assert found is not None
    assert [node.level for node in found.nodes] == list(range(2 * depth + 1))


async def test_muted_rules_are_silent_and_say_so_and_what_must_be_heard_is_heard(world: World) -> None:
    world.act("one")
    pack = {**load_pack("events"), "muted": ["low"]}
    host = await world.open(policy=lambda name: pack if name == "events" else {})
    await world.register(host, flow(Trigger(event="low")))
    await world.register(host, flow(Trigger(event="low", must=True), name="safety"))
    await tell(host, "low", "e1")
    await told(world, 1)
    assert sorted(fates(world)) == [("ignored", "", "muted by policy"), ("opened", "run-1", "")]


async def test_two_that_mean_the_same_at_the_same_instant_start_one_run(world: World) -> None:
    world.act("one")
    host = await world.open()
    trigger = Trigger(event="low", dedupe="event.data.id", correlate="event.data.site")
    await world.register(host, flow(trigger, wait_for("go")))
    await asyncio.gather(*(tell(host, "low", f"e{at}", {"id": f"r{at % 2}", "site": "s"}) for at in range(6)))
    await told(world, 6)
    assert runs(world) == ["run-1"]
    assert sorted(row[0] for row in fates(world)) == ["attached"] * 3 + ["ignored"] * 2 + ["opened"]


async def test_an_event_offered_again_after_a_crash_opens_nothing_twice(world: World) -> None:
    world.act("one")
    host = await world.open()
    await world.register(host, flow(Trigger(event="low", dedupe="event.data.id", within=60.0)))
    await tell(host, "low", "e1", {"id": "r1"})
    await told(world, 1)
    await host.close()
    world.query("update outbox set delivered = 0")  # as if it had ended before the event was marked
    world.query("delete from commands")
    await world.open()
    await told(world, 1)
    assert runs(world) == ["run-1"]
    assert fates(world) == [("opened", "run-1", "")]


async def test_an_event_follows_from_what_moved_its_run_last(world: World) -> None:
    host = await world.open()
    first = Step(id="first", kind="emit", emit=Emit(event="asked"), next="hold")
    last = Step(id="last", kind="emit", emit=Emit(event="finished"))
    await world.register(host, flow(Trigger(event="begin"), first, wait_for("more", "hold", next="last"), last))
    await tell(host, "begin", "e1")
    await world.until("run-1", "EventAwaited")
    await tell(host, "more", "e2", cause="site/e1")
    await world.until("run-1", "RunCompleted")
    await told(world, 4)
    rows = world.query(
        "select t.event, c.event, t.depth from event_threads t left join event_threads c on c.seq = t.cause order by t.seq"
    )
    assert rows == [("begin", None, 1), ("asked", "begin", 2), ("more", "begin", 2), ("finished", "more", 3)]


async def test_a_thread_reads_from_its_first_cause_whatever_of_it_was_asked_for(world: World) -> None:
    host = await world.open()
    say = Step(id="say", kind="emit", emit=Emit(event="made", subject="d1"))
    await world.register(host, flow(Trigger(event="asked"), say, name="maker"))
    use = Step(id="use", kind="emit", emit=Emit(event="used"))
    await world.register(host, flow(Trigger(event="nothing"), wait_for("made", next="use"), use, name="user"))
    user = await world.start(host, "user")
    await world.until(user, "EventAwaited")
    await tell(host, "asked", "e1", subject="thing")
    await world.until(user, "RunCompleted")
    await told(world, 3)
    whole = threads(world).trace("thing")
    assert whole is not None
    told_as = [(node.level, node.kind, node.label, node.how) for node in whole.nodes]
    assert told_as == [
        (0, "event", "asked", ""),
        (1, "run", "maker", "opened"),
        (2, "event", "made", "emitted"),
        (3, "run", "user", "attached"),
        (4, "event", "used", "emitted"),
    ]
    made = next(node.id for node in whole.nodes if node.label == "made")
    for name in (made, f"event {made}", "run-2", "d1"):
        found = threads(world).trace(name)
        assert found is not None
        assert [node.id for node in found.nodes] == [node.id for node in whole.nodes]
        assert found.path[0] == whole.nodes[0].id
    mine = threads(world).trace(user)
    assert mine is not None
    assert [(node.kind, node.label, node.how) for node in mine.nodes] == [
        ("run", "user", ""),
        ("event", "made", "took"),
        ("event", "used", "emitted"),
    ]
    assert threads(world).trace("nobody") is None


async def test_the_thread_can_be_rebuilt_from_the_history(world: World) -> None:
    import sqlite3

    import msgspec

    from engine.store.causality import CausalityProjector
    from engine.store.loading import decode_event
    from engine.store.records import Recorded, actor_of

    host = await world.open()
    say = Step(id="say", kind="emit", emit=Emit(event="pong"))
    await world.register(host, flow(Trigger(event="ping", filter="event.id != 'site/e2'"), say))
    await tell(host, "ping", "e1")
    await tell(host, "ping", "e2")
    await told(world, 3)
    await host.close()
    tables = CausalityProjector.tables
    before = {table: world.query(f"select * from {table} order by 1, 2") for table in tables}
    connection = sqlite3.connect(world.path)
    cursor = connection.cursor()
    for table in tables:
        cursor.execute(f"delete from {table}")
    rows = []
    for seq, run, n, type_, at, actor, cause, data in connection.execute(
        "select seq, run, n, type, at, actor, cause, data from events order by seq"
    ):
        if type_ in CausalityProjector.wants:
            event = decode_event(data) if run else None
            rows.append(Recorded(seq, run, n, type_, at / 1e6, actor_of(actor), cause, data, event))
    CausalityProjector().apply(rows, cursor)
    connection.commit()
    connection.close()
    assert msgspec.json.encode(before) == msgspec.json.encode(
        {table: world.query(f"select * from {table} order by 1, 2") for table in tables}
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0s"), (0.25, "250ms"), (90, "1m30s"), (5400, "1h30m"), (86_400, "1d"), (694_861, "1w1d")],
)
def test_lengths_of_time_are_spelled_as_they_are_written(seconds: float, words: str) -> None:
    assert spelled(seconds) == words


def test_the_shipped_limits_are_read() -> None:
    limits = Limits.of({})
    assert (limits.max_depth, limits.rate["per"], limits.muted) == (6, 3600.0, ())


async def test_what_people_do_on_a_records_run_is_no_deeper_chain(world: World) -> None:
    """A case that is touched ten times still opens what follows from it."""
    from engine.capabilities.entities import Catalogue, Entity
    from engine.capabilities.records import Emit as Told
    from engine.contract.records import RecordView

    case = Entity(
        kind="case",
        table="cases",
        prefix="M",
        shape=RecordView,
        start=("open",),
        moves={"open": ("worked",), "worked": ("open",)},
    )

    async def make(context: Any, values: dict[str, Any]) -> None:
        await context.records.create("case", {"title": "x"}, key="one", id="M-1", emit=(Told("case.opened"),))

    world.act("one", make)
    host = await world.open(catalogue=Catalogue((case,)))
    hold = wait_for("case.touched", "hold", next="hold")
    await world.register(host, flow(Trigger(event="begin"), action_step("one", next="hold"), hold))
    await tell(host, "begin", "e1")
    await told(world, 2)
    desk = host.book.bound(actor=ANA, cause="cmd-1")
    for to in ("worked", "open") * 5:
        await desk.change("case", "M-1", to=to, emit=(Told("case.touched"),))
    await told(world, 12)
    rows = world.query("select event, depth, cause from event_threads order by seq")
    begin = world.query("select seq from event_threads where event = 'begin'")[0][0]
    assert {(depth, cause) for event, depth, cause in rows if event != "begin"} == {(2, begin)}
    found = threads(world).trace("M-1")
    assert found is not None and found.id == "run-1"
    assert [node.level for node in found.nodes] == [0, 1, *([2] * 11)]


async def test_runs_that_tell_each_other_things_are_no_deeper_for_it(world: World) -> None:
    host = await world.open()
    for here, mine, other in (("a", "from.a", "from.b"), ("b", "from.b", "from.a")):
        say = Step(id="say", kind="emit", emit=Emit(event=mine), next="hold")
        await world.register(
            host, flow(Trigger(event=f"begin.{here}"), wait_for(other, "hold", next="say"), say, name=here)
        )
    for here in ("a", "b"):
        await tell(host, f"begin.{here}", here)
    await world.when(lambda: len(world.query("select 1 from waits")) == 2)
    await tell(host, "from.b", "kick")
    await world.when(lambda: world.query("select count(*) from event_threads")[0][0] > 20)
    await host.close()
    depths = [row[0] for row in world.query("select depth from event_threads order by seq")]
    assert max(depths) == 3  # the kick and the two of them, however long it goes on


def test_limits_may_be_overridden_in_words_and_nonsense_is_said() -> None:
    from engine.capabilities.packs import PackError

    pack = load_pack("events", overrides={"rate": {"per": "10m"}, "retention": {"inbox": "7d"}})
    limits = Limits.of(pack)
    assert (limits.rate, limits.retention["inbox"]) == ({"limit": 600.0, "per": 600.0}, 7 * 86_400.0)
    with pytest.raises(PackError, match="events"):
        Limits.of(load_pack("events", overrides={"rate": {"per": "soon"}}))
    with pytest.raises(PackError):
        load_pack("events", overrides={"max_dept": 3})


async def test_events_that_a_quiet_waits_out_share_what_becomes_of_the_last(world: World) -> None:
    world.act("one")
    host = await world.open()
    await world.register(host, flow(Trigger(event="low", debounce=0.2, correlate="'all'"), wait_for("go")))
    for at in range(3):
        await tell(host, "low", f"e{at}")
    await told(world, 3)
    assert [(outcome, run) for outcome, run, _ in fates(world)] == [
        ("attached", "run-1"),
        ("attached", "run-1"),
        ("opened", "run-1"),
    ]
    assert "with site/e2, which followed within 200ms" in fates(world)[0][2]
    assert world.datas("run-1", "RunStarted")[0]["origin"]["key"] == "site/e2"
    await world.until("run-1", "EventReceived", 2)
    assert [event["id"] for event in world.datas("run-1", "EventReceived")] == ["site/e0", "site/e1"]
