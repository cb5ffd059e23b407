"""The embedded host: commands once, effects after their commit, runs that go on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.core import commands as c
from engine.core.definition import Child, Concurrency, Emit, FormField, Gate, Map, Outcome, Retry, Seat, Step, Wait
from engine.hosts.clock import ScaledClock
from engine.store import chain, integrity
from engine.store.errors import StoreReadOnly
from engine.store.loading import Loader
from tests.unit.hosts.conftest import ANA, World, action_step, workflow


async def test_a_run_goes_through_its_steps(world: World) -> None:
    world.act("one")
    world.act("two")
    host = await world.open()
    await world.register(host, workflow(action_step("one", next="two"), action_step("two")))
    run = await world.start(host)
    await world.until(run, "RunCompleted")
    assert world.calls == [("one", run), ("two", run)]
    detail = world.reads().run_detail(run)
    assert detail is not None
    assert [(step.path, step.status) for step in detail.steps] == [("one", "completed"), ("two", "completed")]
    assert detail.run.status == "completed"
    assert detail.run.started_by == "ana"


async def test_a_command_asked_twice_is_done_once_and_answered_the_same(world: World) -> None:
    world.act("one")
    host = await world.open()
    await world.register(host, workflow(action_step("one")))
    answers = await asyncio.gather(*(host.start_run("flow", {}, id="same", actor=ANA) for _ in range(5)))
    later = await host.start_run("flow", {}, id="same", actor=ANA)
    assert {(answer.run, answer.seq, answer.events) for answer in [*answers, later]} == {
        ("run-1", answers[0].seq, answers[0].events)
    }
    assert [answer.repeated for answer in answers] == [False, True, True, True, True]
    assert world.query("select count(*) from runs")[0][0] == 1
    stored = host.answered("same")
    assert stored is not None
    assert stored.run == "run-1"
    assert host.answered("other") is None


async def test_a_refused_command_keeps_its_answer_too(world: World) -> None:
    host = await world.open()
    rest = Step(id="rest", kind="wait", wait=Wait(for_=1000.0))
    await world.register(host, workflow(rest))
    run = await world.start(host)
    first = await host.submit(run, c.Resume(by="ana"), id="resume", actor=ANA)
    again = await host.submit(run, c.Resume(by="ana"), id="resume", actor=ANA)
    assert first.refusal is not None
    assert again.refusal == first.refusal
    assert again.repeated
    assert world.events(run).count("CommandRefused") == 1


async def test_a_preview_changes_nothing(world: World) -> None:
    world.act("one")
    host = await world.open()
    await world.register(host, workflow(Step(id="rest", kind="wait", wait=Wait(for_=1000.0))))
    before = host.journal.seq
    foreseen = await host.start_run("flow", {}, id="p1", actor=ANA, preview=True)
    assert "RunStarted" in foreseen.events
    run = await world.start(host)
    here = host.journal.seq
    cancelled = await host.submit(run, c.Cancel(by="ana"), id="p2", actor=ANA, preview=True)
    assert "RunCancelRequested" in cancelled.events
    assert before < here == host.journal.seq
    assert (await world.ask(host, run, c.Cancel(by="ana"))).refusal is None


async def test_unknown_runs_and_workflows_are_refused_with_what_is_known(world: World) -> None:
    host = await world.open()
    await world.register(host, workflow(Step(id="rest", kind="wait", wait=Wait(for_=1000.0))))
    missing = await host.start_run("flaw", {}, id="1", actor=ANA)
    assert missing.refusal is not None
    assert "flow" in missing.refusal.fix
    nobody = await host.submit("run-99", c.Cancel(by="ana"), id="2", actor=ANA)
    assert nobody.refusal is not None
    assert nobody.refusal.code == "not_found"
    with pytest.raises(ValueError, match="printable"):
        await host.start_run("flow", {}, id="two\nlines", actor=ANA)


async def test_a_restart_goes_on_where_it_was(world: World) -> None:
    gate = asyncio.Event()

    async def hang(context: Any, values: dict[str, Any]) -> Any:
        if not context.recovered:
            await gate.wait()
        return {"recovered": context.recovered, "key": context.key}

    world.act("one")
    world.act("slow", hang)
    first = await world.open()
    await world.register(first, workflow(action_step("one", next="slow"), action_step("slow")))
    run = await world.start(first)
    await world.when(lambda: len(world.calls) >= 2)
    await first.close()
    second = await world.open()
    await world.until(run, "RunCompleted")
    assert world.calls == [("one", run), ("slow", run), ("slow", run)]
    assert world.contexts[1].key == world.contexts[2].key
    assert world.datas(run, "StepCompleted")[-1]["output"]["recovered"] is True
    assert await world.start(second) == "run-2"


async def test_runs_that_rest_are_not_loaded_at_boot(world: World) -> None:
    first = await world.open()
    await world.register(first, workflow(Step(id="rest", kind="wait", wait=Wait(for_=1000.0))))
    runs = [await world.start(first) for _ in range(5)]
    await first.close()
    second = await world.open()
    assert len(second.runs) == 0
    assert (await world.ask(second, runs[3], c.Cancel(by="ana"))).refusal is None
    await world.until(runs[3], "RunCancelled")


async def test_a_timer_that_came_due_while_no_engine_ran_fires_once(world: World) -> None:
    world.act("after")
    first = await world.open()
    rest = Step(id="rest", kind="wait", wait=Wait(for_=0.3), next="after")
    await world.register(first, workflow(rest, action_step("after")))
    run = await world.start(first)
    await first.close()
    await asyncio.sleep(0.5)
    second = await world.open()
    await world.until(run, "RunCompleted")
    await asyncio.sleep(0.7)
    assert world.events(run).count("TimerFired") == 1
    assert len(second.alarms) == 0
    assert world.query("select count(*) from timers")[0][0] == 0


async def test_two_hundred_timers_at_once_all_fire(world: World) -> None:
    host = await world.open()
    await world.register(host, workflow(Step(id="rest", kind="wait", wait=Wait(for_=0.3))))
    runs = await asyncio.gather(*(world.start(host) for _ in range(200)))
    for run in runs:
        await world.until(run, "RunCompleted")
    assert all(world.events(run).count("TimerFired") == 1 for run in runs)


async def test_a_timer_the_alarm_clock_lost_is_found_by_the_sweep(world: World) -> None:
    host = await world.open(horizon_s=0.4)
    await world.register(host, workflow(Step(id="rest", kind="wait", wait=Wait(for_=0.2))))
    host.alarms.arm = lambda key, due: None  # type: ignore[method-assign]
    run = await world.start(host)
    del host.alarms.arm
    await world.until(run, "RunCompleted", seconds=3)


async def test_a_stale_timer_loses_and_leaves_the_table(world: World) -> None:
    host = await world.open()
    await world.register(host, workflow(Step(id="rest", kind="wait", wait=Wait(for_=1000.0))))
    run = await world.start(host)
    world.query("insert into timers values (?, '', 'rest', 77, 'wait', 1.0)", run)
    host.alarms.sweep()
    for _ in range(100):
        if not world.query("select 1 from timers where fence = 77"):
            break
        await asyncio.sleep(0.02)
    else:
        raise AssertionError("the stale timer stands")
    assert world.state(run).open
    assert "TimerFired" not in world.events(run)


async def test_timers_of_a_suspended_run_are_held_until_it_is_resumed(world: World) -> None:
    host = await world.open(horizon_s=0.4)
    await world.register(host, workflow(Step(id="rest", kind="wait", wait=Wait(for_=0.3))))
    run = await world.start(host)
    await world.ask(host, run, c.Suspend(by="ana"))
    await asyncio.sleep(0.8)
    assert "RunCompleted" not in world.events(run)
    await world.ask(host, run, c.Resume(by="ana"))
    await world.until(run, "RunCompleted")


async def test_time_may_run_faster_than_life(world: World) -> None:
    import time

    clock = ScaledClock(1_800_000_000.0, time.time(), 6000.0)
    host = await world.open(clock=clock)
    await world.register(host, workflow(Step(id="rest", kind="wait", wait=Wait(for_=3600.0))))
    run = await world.start(host)
    began = time.monotonic()
    await world.until(run, "RunCompleted")
    assert 0.4 < time.monotonic() - began < 5
    assert world.state(run).ended_at - world.state(run).started_at >= 3600


async def test_children_answer_their_parent_also_over_a_restart(world: World) -> None:
    hold = asyncio.Event()

    async def work(context: Any, values: dict[str, Any]) -> Any:
        if not context.recovered:
            await hold.wait()
        return {"found": values["what"]}

    world.act("work", work)
    first = await world.open()
    child = workflow(
        action_step("work", with_={"what": "${inputs.what}"}),
        name="child",
        inputs={"what": FormField(type="string")},
    )
    await world.register(first, child)
    step = Step(id="sub", kind="child", child=Child(workflow="child", key="'k'"), with_={"what": "robot"})
    await world.register(first, workflow(step))
    run = await world.start(first)
    await world.when(lambda: world.calls)
    await first.close()
    await world.open()
    await world.until(run, "RunCompleted")
    detail = world.reads().run_detail(run)
    assert detail is not None
    (name,) = detail.children
    other = world.reads().run_detail(name)
    assert other is not None
    assert other.parent == run
    assert world.datas(run, "ChildEnded")[0]["status"] == "completed"


async def test_a_child_of_no_known_workflow_fails_its_step(world: World) -> None:
    host = await world.open()
    await world.register(host, workflow(Step(id="sub", kind="child", child=Child(workflow="gone", key="'k'"))))
    run = await world.start(host)
    await world.until(run, "ChildEnded")
    assert world.datas(run, "ChildEnded")[0]["failure"]["error"] == "NoSuchWorkflow"


async def test_only_so_many_hold_a_lock_and_the_next_in_line_gets_it(world: World) -> None:
    doors = {}

    async def work(context: Any, values: dict[str, Any]) -> None:
        doors[context.run] = asyncio.Event()
        await doors[context.run].wait()

    world.act("work", work)
    first = await world.open()
    limited = workflow(action_step("work"), concurrency=Concurrency(key="'cohort-7'", limit=2))
    await world.register(first, limited)
    runs = [await world.start(first) for _ in range(4)]
    await world.when(lambda: len(world.calls) >= 2)
    await asyncio.sleep(0.1)
    assert sorted(run for _, run in world.calls) == runs[:2]
    doors[runs[0]].set()
    await world.until(runs[2], "LockAcquired")
    await first.close()
    world.calls.clear()
    doors.clear()
    await world.open()
    await world.when(lambda: len(world.calls) >= 2)
    assert sorted(run for _, run in world.calls) == runs[1:3]
    for run in runs[1:]:
        await world.when(lambda run=run: run in doors)
        doors[run].set()
        await world.until(run, "RunCompleted")


async def test_an_emitted_event_reaches_whoever_waits_for_it(world: World) -> None:
    host = await world.open()
    waiting = Step(id="hear", kind="wait", wait=Wait(event="robot.ready"))
    await world.register(host, workflow(waiting, name="hearer"))
    await world.register(
        host, workflow(Step(id="say", kind="emit", emit=Emit(event="robot.ready"), with_={"robot": "r1"}), name="sayer")
    )
    hearers = [await world.start(host, "hearer") for _ in range(3)]
    await world.start(host, "sayer")
    for run in hearers:
        await world.until(run, "RunCompleted")
        assert world.datas(run, "EventReceived")[0]["data"] == {"robot": "r1"}
    for _ in range(100):
        if world.query("select delivered from outbox") == [(1,)]:
            break
        await asyncio.sleep(0.02)
    else:
        raise AssertionError("not marked")


async def test_an_outside_event_is_taken_in_once(world: World) -> None:
    host = await world.open()
    await world.register(host, workflow(Step(id="hear", kind="wait", wait=Wait(event="alarm"))))
    run = await world.start(host)
    first = await host.publish("alarm", {"n": 1}, id="e1", actor=ANA, source="webhook/site")
    second = await host.publish("alarm", {"n": 1}, id="e1", actor=ANA, source="webhook/site")
    assert not first.repeated
    assert second.repeated
    await world.until(run, "RunCompleted")
    assert world.query("select count(*) from events where type = 'EventPublished'") == [(1,)]


async def test_state_from_a_snapshot_is_the_state_from_the_events(world: World) -> None:
    world.act("work")
    host = await world.open()
    item = Step(id="all.work", kind="action", action="work", retry=Retry())
    every = Step(id="all", kind="map", map=Map(over=list(range(40)), start="all.work", parallel=7), next="ask")
    gate = Gate(
        question="sure?",
        seats=(Seat(role="approver"),),
        expires=3600.0,
        on_timeout=Outcome(raise_="Late"),
        on_reject=Outcome(raise_="No"),
    )
    await world.register(host, workflow(every, item, Step(id="ask", kind="gate", gate=gate)))
    run = await world.start(host)
    await world.until(run, "GateOpened")
    await host.close()
    with_snapshot = world.state(run)
    assert with_snapshot.n == len(world.events(run))
    world.query("delete from snapshots")
    assert world.state(run) == with_snapshot
    world.query("insert into snapshots values (?, 3, '1', x'7b7d')", run)
    assert world.state(run) == with_snapshot
    assert Loader(world.path).state_at(run, 5).n == 5


async def test_a_full_disk_keeps_what_actions_report_and_goes_on(world: World) -> None:
    go = asyncio.Event()

    async def work(context: Any, values: dict[str, Any]) -> Any:
        await go.wait()
        return {"kept": "x" * 20_000}

    world.act("work", work)
    host = await world.open()
    await world.register(host, workflow(action_step("work", next="more"), action_step("more", action="work")))
    run = await world.start(host)
    connection = host.journal._writer.connection
    pages = connection.execute("pragma page_count").fetchone()[0]
    connection.execute(f"pragma max_page_count = {pages}")
    go.set()
    for _ in range(200):
        if host.state[0] == "read_only":
            break
        await asyncio.sleep(0.01)
    with pytest.raises(StoreReadOnly, match="room"):
        await world.ask(host, run, c.Comment(by="ana", text="can you hear me"))
    connection.execute("pragma max_page_count = 1000000")
    await world.until(run, "RunCompleted")
    assert host.state[0] == "ok"
    assert world.calls == [("work", run), ("work", run)]
    assert chain.check(world.path).bad == 0


async def test_a_redacted_payload_is_gone_and_the_chain_holds(world: World) -> None:
    async def work(context: Any, values: dict[str, Any]) -> Any:
        return {"patient": "secret name"}

    world.act("work", work)
    host = await world.open()
    await world.register(host, workflow(action_step("work"), action_step("rest")))
    run = await world.start(host)
    await world.until(run, "RunCompleted")
    rows = world.reads().events(run=run).rows
    seqs = [row.seq for row in rows if "secret" in str(row.data)]
    for seq in seqs:
        answer = await host.redact(seq, reason="asked by the customer", id=f"redact-{seq}", actor=ANA)
        assert answer.refusal is None
    await host.close()
    whole = b"".join(path.read_bytes() for path in world.path.parent.iterdir() if path.suffix != ".key")
    assert integrity.verify(world.path).ok
    assert all("secret" not in str(row.data) for row in world.reads().events(run=run).rows)
    assert whole
    detail = world.reads().run_detail(run)
    assert detail is not None
    assert "redacted" in detail.error


async def test_a_listener_that_does_not_keep_up_is_told_and_harms_nobody(world: World) -> None:
    world.act("one")
    host = await world.open()
    await world.register(host, workflow(action_step("one")))
    await asyncio.sleep(0.1)
    slow = host.feed.subscribe(bound=10)
    quick = host.subscribe()
    for _ in range(10):
        await world.until(await world.start(host), "RunCompleted")
    assert slow.overflowed
    assert await slow.get() == []
    await asyncio.sleep(0.1)
    seen = await quick.get()
    assert [record.seq for record in seen] == list(range(seen[0].seq, host.journal.seq + 1))
    slow.reset()
    await world.start(host)
    assert (await slow.get())[0].type == "RunStarted"
