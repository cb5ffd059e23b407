"""The path through a run: every kind of step, choices, skips, waits, maps, children and endings."""

from __future__ import annotations

import pytest

from engine.core import commands as c
from engine.core import effects as f
from engine.core import events as e
from engine.core.deciding import WindowState
from engine.core.definition import (
    Case,
    Catch,
    Child,
    Concurrency,
    Definition,
    Emit,
    FormField,
    Interrupt,
    Map,
    OnFailure,
    Outcome,
    Step,
    Wait,
    Windows,
)
from engine.core.drive import Runaway
from tests.unit.core.rig import Rig, action, flow, undo


def test_a_linear_step_costs_two_events_and_the_last_output_is_the_runs() -> None:
    rig = Rig(flow(action("a", "b"), action("b"))).start()
    rig.complete("a", {"x": 1})
    assert rig.names() == ["RunStarted", "StepScheduled", "StepCompleted", "StepScheduled"]
    rig.complete("b", {"ending": "all well", "y": 2})
    done = rig.of(e.RunCompleted)[0]
    assert (done.output, done.ending) == ({"ending": "all well", "y": 2}, "all well")


def test_inputs_are_checked_and_completed_before_anything_is_recorded() -> None:
    fields = {"rate": FormField(type="number", maximum=1), "n": FormField(type="integer", default=3, required=False)}
    rig = Rig(flow(action("a"), inputs=fields))
    for bad, field in [({}, "inputs.rate"), ({"rate": 2}, "inputs.rate"), ({"rate": 1, "what": 1}, "inputs.what")]:
        rig.start(bad)
        assert rig.code == "bad_input" and rig.last.refusal and rig.last.refusal.field == field
    assert rig.events == []
    rig.start({"rate": 1})
    assert rig.state.inputs == {"rate": 1.0, "n": 3}
    assert isinstance(rig.state.inputs["rate"], float)
    rig.start({"rate": 1})
    assert rig.code == "already"


def test_expressions_see_inputs_outputs_and_the_run() -> None:
    rig = Rig(flow(action("a", "b"), action("b", with_={"v": "${steps.a.output.v}", "t": "by ${run.started_by}"})))
    rig.start(by="cy").complete("a", {"v": [1, 2]})
    assert rig.of(e.StepScheduled)[-1].input == {"v": [1, 2], "t": "by cy"}


def test_a_step_whose_condition_is_false_is_skipped_and_a_choice_takes_its_first_true_case() -> None:
    choice = Step(
        id="pick", kind="choice", choice=(Case(when="1 > 2", goto="no"), Case(when="True", goto="yes")), otherwise="no"
    )
    rig = Rig(flow(action("a", "pick", when="False"), choice, action("yes"), action("no"))).start()
    assert rig.names() == ["RunStarted", "StepSkipped", "ChoiceTaken", "StepScheduled"]
    assert rig.calls() == ["do.yes"]


def test_emit_publishes_and_goes_on() -> None:
    tell = Step(id="tell", kind="emit", emit=Emit(event="x.done"), with_={"run": "${run.id}", "ending": "told"})
    rig = Rig(flow(tell)).start()
    assert [one for one in rig.effects if isinstance(one, f.Publish)] == [
        f.Publish(event="x.done", data={"run": "run-1", "ending": "told"}, subject=None)
    ]
    assert rig.state.ending == "told"


@pytest.mark.parametrize(
    ("wait", "due"),
    [
        (Wait(for_="90s"), 1090.0),
        (Wait(for_=60.0), 1060.0),
        (Wait(until="1970-01-01T01:00:00Z"), 3600.0),
        (Wait(until="${1500}"), 1500.0),
    ],
)
def test_a_wait_ends_when_its_time_comes(wait: Wait, due: float) -> None:
    rig = Rig(flow(Step(id="w", kind="wait", wait=wait))).start()
    armed = rig.of(e.TimerArmed)[0]
    assert (armed.purpose, armed.due) == ("wait", due)
    rig.fire("w", "wait")
    assert rig.state.status == "completed"
    rig.do(c.FireTimer(scope="", step="w", fence=armed.fence, purpose="wait"))
    assert rig.code in {"closed", "stale"}


def test_a_wait_for_an_event_takes_the_one_that_matches_and_has_it_as_output() -> None:
    wait = Wait(event="ticket.closed", filter="event.data.n == 2", correlate="'T1'")
    rig = Rig(
        flow(Step(id="w", kind="wait", wait=wait, timeout=50.0, next="b"), action("b", with_={"by": "${event.by}"}))
    ).start()
    assert rig.signal("other", n=2, subject="T1").refusal is not None and rig.code == "not_waiting"
    rig.signal("ticket.closed", n=1, subject="T1")
    rig.signal("ticket.closed", n=2, subject="T2")
    assert rig.phase("w") == "event"
    rig.signal("ticket.closed", id="e9", n=2, subject="T1", by="bo")
    assert rig.state.root.results["w"]["output"]["id"] == "e9"
    assert rig.of(e.EventReceived)[-1].taken_by == ("w",)
    assert rig.of(e.StepScheduled)[-1].input == {"by": "bo"}
    assert rig.of(e.TimerCancelled)[-1].purpose == "timeout"
    rig.signal("ticket.closed", id="e9", n=2, subject="T1")
    assert rig.code == "duplicate"


def test_an_event_that_comes_too_early_is_not_kept() -> None:
    rig = Rig(flow(action("a", "w"), Step(id="w", kind="wait", wait=Wait(event="go")))).start()
    rig.signal("go")
    rig.complete("a")
    assert rig.phase("w") == "event"


def map_flow(**spec: object) -> Definition:
    spec.setdefault("over", "${inputs.robots}")
    return flow(
        Step(id="m", kind="map", map=Map(start="m.push", as_="robot", **spec), next="end"),  # type: ignore[arg-type]
        action("m.push", "m.check", with_={"robot": "${robot}", "index": "${index}"}),
        action("m.check", with_={"was": "${steps.push.output}", "first": "${steps.get('m')}"}),
        action("end", with_={"all": "${steps.m.output}"}),
        inputs={"robots": FormField(type="array")},
    )


def test_a_map_runs_at_most_parallel_items_and_keeps_their_outputs_in_order() -> None:
    rig = Rig(map_flow(parallel=2)).start({"robots": ["r1", "r2", "r3"]})
    assert set(rig.state.tokens) == {"", "m#0", "m#1"}
    rig.complete("m#1.push", "p1")
    assert rig.of(e.StepScheduled)[-1].input["was"] == "p1"
    rig.complete("m#1.check", "c1")
    assert set(rig.state.tokens) == {"", "m#0", "m#2"}, "the ended item left, the third started"
    assert rig.of(e.StepScheduled)[-1].input == {"robot": "r3", "index": 2}
    for path in ("m#0.push", "m#0.check", "m#2.push", "m#2.check"):
        rig.complete(path, path)
    assert rig.of(e.StepScheduled)[-1].input == {"all": ["m#0.check", "c1", "m#2.check"]}


def test_an_empty_map_passes_and_a_map_over_no_list_fails() -> None:
    rig = Rig(map_flow()).start({"robots": []})
    assert rig.phase("end") == "call"
    rig = Rig(map_flow(over="${1}")).start({"robots": []})
    assert rig.phase("m") == "gate" and rig.of(e.StepFailed)[0].failure.kind == "validation"


def test_a_map_tolerates_so_many_failures_and_no_more() -> None:
    rig = Rig(map_flow(parallel=4, tolerate="25%")).start({"robots": ["r1", "r2", "r3", "r4"]})
    rig.fail("m#0.push")
    assert "m#0" not in rig.state.tokens and rig.of(e.ItemFailed)[0].failure.error == "Boom"
    rig.complete("m#1.push")
    rig.fail("m#2.push", "Bang")
    asked = rig.of(e.StepCancelRequested)
    assert {event.scope for event in asked} == {"m#1", "m#3"}, "what is in flight is asked to stop"
    assert rig.phase("m") == "map", "and waited for"
    rig.complete("m#1.check")
    rig.fail("m#3.push")
    assert len(rig.of(e.ItemCancelled)) == 2
    assert rig.of(e.MapConcluded)[0].failed == 2
    failure = rig.of(e.StepFailed)[-1].failure
    assert (failure.error, failure.detail["index"]) == ("Bang", 2)
    assert rig.phase("m") == "gate", "people are asked about the map as a whole"


def test_maps_nest_and_inner_items_see_the_outer_one() -> None:
    definition = flow(
        Step(id="s", kind="map", map=Map(over="${[1, 2]}", start="s.x", as_="stage")),
        Step(id="s.x", kind="map", map=Map(over="${['a', 'b']}", start="s.x.y", as_="robot", parallel=2)),
        action("s.x.y", with_={"v": "${str(stage) + robot}"}),
    )
    rig = Rig(definition).start()
    assert set(rig.state.tokens) == {"", "s#0", "s#0/x#0", "s#0/x#1"}
    assert [event.input["v"] for event in rig.of(e.StepScheduled)] == ["1a", "1b"]
    for scope in ("s#0/x#0", "s#0/x#1", "s#1/x#1", "s#1/x#0"):
        rig.complete(f"{scope}.y", scope)
    assert rig.state.output == [["s#0/x#0", "s#0/x#1"], ["s#1/x#0", "s#1/x#1"]]


def child_step(**rest: object) -> Step:
    return Step(id="kid", kind="child", child=Child(workflow="other", key="'k'", **rest), with_={"a": 1})  # type: ignore[arg-type]


def test_a_child_is_started_once_and_its_end_moves_the_parent() -> None:
    rig = Rig(flow(child_step())).start()
    start = next(one for one in rig.effects if isinstance(one, f.StartChild))
    assert (start.child, start.workflow, start.inputs) == ("run-1-1", "other", {"a": 1})
    assert any(isinstance(one, f.StartChild) for one in rig.owed()), "a restarted host starts it again"
    end = c.EndChild(scope="", step="kid", fence=start.fence, child="run-1-1", status="completed", output=5)
    rig.do(end)
    assert rig.state.output == 5
    rig.do(end)
    assert rig.code == "closed" and rig.of(e.ResultRefused)


def test_a_failed_child_fails_its_step_and_a_child_tells_its_parent() -> None:
    rig = Rig(flow(child_step())).start()
    rig.do(c.EndChild(scope="", step="kid", fence=1, child="run-1-1", status="failed"))
    assert rig.of(e.StepFailed)[0].failure.error == "ChildFailed"
    child = Rig(flow(action("a")), run="run-2").start(parent="run-1", parent_step="kid", parent_fence=1)
    child.complete("a", "out")
    told = next(one for one in child.effects if isinstance(one, f.TellParent))
    assert (told.parent, told.step, told.fence, told.status, told.output) == ("run-1", "kid", 1, "completed", "out")


def test_an_interrupt_moves_what_waits_at_once_and_what_runs_once_it_answered() -> None:
    stop = (Interrupt(event="pause", goto="paused"),)
    wait = Step(id="w", kind="wait", wait=Wait(for_=60.0), interrupt=stop)
    rig = Rig(flow(wait, action("paused", with_={"why": "${event.data.why}"}))).start()
    rig.signal("pause", why="x")
    assert rig.names()[-6:] == [
        "EventReceived",
        "InterruptTaken",
        "TimerCancelled",
        "StepCancelled",
        "StepLeft",
        "StepScheduled",
    ]
    assert rig.of(e.StepScheduled)[-1].input == {"why": "x"}
    rig = Rig(flow(action("a", "b", interrupt=stop), action("b"), action("paused"))).start()
    rig.signal("pause")
    assert rig.phase("a") == "call" and isinstance(rig.effects[-1], f.CancelAction)
    rig.signal("pause")
    assert len(rig.of(e.StepCancelRequested)) == 1, "asked once"
    rig.complete("a")
    assert rig.calls() == ["do.a", "do.paused"]


def test_an_interrupt_inside_an_item_that_raises_fails_the_map_upwards() -> None:
    spec = Map(over="${[1, 2]}", start="m.w", parallel=2)
    roll = (Interrupt(event="roll", raise_="RolledBack"),)
    definition = flow(
        Step(id="m", kind="map", map=spec, next="end", catch=(Catch(error=("RolledBack",), goto="back"),)),
        Step(id="m.w", kind="wait", wait=Wait(for_=60.0), interrupt=roll),
        action("end"),
        action("back"),
    )
    rig = Rig(definition).start()
    rig.signal("roll")
    assert rig.of(e.EventReceived)[0].taken_by == ("m#0.w", "m#1.w")
    assert rig.calls() == ["do.back"]
    assert rig.state.root.error is not None and rig.state.root.error.error == "RolledBack"


def test_the_innermost_handler_hides_an_event_from_the_maps_around() -> None:
    inner = (Interrupt(event="pause", goto="m.held"),)
    outer = (Interrupt(event="pause", goto="paused"), Interrupt(event="abort", goto="paused"))
    definition = flow(
        Step(id="m", kind="map", map=Map(over="${[1]}", start="m.w"), interrupt=outer),
        Step(id="m.w", kind="wait", wait=Wait(for_=60.0), interrupt=inner, next="done"),
        action("m.held"),
        action("paused"),
    )
    rig = Rig(definition).start()
    rig.signal("pause")
    assert rig.calls() == ["do.m.held"]
    rig.signal("abort")
    assert rig.phase("m") == "map" and rig.of(e.StepCancelRequested), "the item's action is awaited first"
    rig.complete("m#0.held")
    assert rig.calls() == ["do.m.held", "do.paused"]


def test_a_step_that_takes_too_long_takes_its_declared_way_out() -> None:
    wait = Step(id="w", kind="wait", wait=Wait(event="go"), timeout=30.0, on_timeout=Outcome(goto="late"))
    rig = Rig(flow(wait, action("late"))).start()
    rig.fire("w", "timeout")
    assert rig.calls() == ["do.late"]
    assert rig.of(e.StepTimedOut) and rig.of(e.FallbackTaken)[0].failure.error == "Timeout"
    boss = Step(
        id="w", kind="wait", wait=Wait(event="go"), timeout=30.0, on_timeout=Outcome(escalate="boss", goto="late")
    )
    rig = Rig(flow(boss, action("late"))).start()
    rig.fire("w", "timeout")
    assert rig.phase("w") == "gate" and rig.token("w").question.seats[0]["role"] == "boss"  # type: ignore[union-attr]
    rig.fire("w", "expiry")
    assert rig.calls() == ["do.late"], "silence takes the declared way, it never goes on"


def test_the_runs_deadline_takes_it_down() -> None:
    rig = Rig(flow(action("a", compensate=undo("a")), timeout=100.0)).start()
    deadline = rig.state.deadline
    assert deadline is not None and deadline.due == 1100.0
    rig.now = 1100.0
    rig.do(c.FireTimer(scope="", step="", fence=deadline.fence, purpose="deadline"))
    assert rig.phase("a") == "call" and rig.of(e.StepCancelRequested)
    rig.complete("a")
    assert rig.calls() == ["do.a", "undo.a"]
    rig.complete("a")
    assert rig.state.status == "timed_out" and rig.state.undone == ["a"]


def test_on_failure_runs_after_the_undoing_and_knows_the_cause() -> None:
    definition = flow(
        action("a", "b", compensate=undo("a")),
        Step(id="b", kind="choice", otherwise="fail"),
        action(
            "on_failure.tell",
            with_={"cause": "${run.cause.error}", "undone": "${run.undone}", "error": "${error.error}"},
        ),
        on_failure=OnFailure(start="on_failure.tell"),
    )
    rig = Rig(definition).start()
    rig.complete("a")
    assert rig.calls() == ["do.a", "undo.a"]
    rig.complete("a")
    assert rig.of(e.StepScheduled)[-1].input == {"cause": "Failed", "undone": ["a"], "error": "Failed"}
    rig.complete("on_failure.tell", {"ending": "rolled back"})
    failed = rig.of(e.RunFailed)[0]
    assert (failed.failure.error, failed.ending) == ("Failed", "rolled back")


def test_locks_queue_or_refuse() -> None:
    queueing = flow(
        action("a"),
        concurrency=Concurrency(key="'fleet/' + inputs.region"),
        inputs={"region": FormField(type="string")},
    )
    rig = Rig(queueing).start({"region": "eu"})
    assert rig.effects == [f.TakeLock(key="fleet/eu", limit=1, queue=True)] and rig.owed() == rig.effects
    rig.do(c.GrantLock(key="fleet/us"))
    assert rig.code == "already"
    rig.do(c.GrantLock(key="fleet/eu"))
    assert rig.calls() == ["do.a"]
    rig.complete("a")
    assert f.FreeLock(key="fleet/eu") in rig.effects and rig.state.lock is None
    refusing = flow(action("a"), concurrency=Concurrency(key="'k'", when_full="refuse"))
    rig = Rig(refusing).start()
    rig.do(c.DenyLock(key="k", holders=("run-9",)))
    assert rig.state.status == "failed" and "run-9" in rig.of(e.RunFailed)[0].failure.message


def test_a_closed_window_holds_risky_steps_until_it_opens_or_is_overridden() -> None:
    definition = flow(
        action("look", "push", effect="read"),
        action("push", "back"),
        action("back"),
        windows=Windows(honour=("freeze",), override="breaker", exempt=("back",)),
    )
    rig = Rig(definition)
    rig.windows = {"freeze": WindowState(open=False, until=5000.0)}
    rig.start().complete("look")
    assert rig.phase("push") == "held" and rig.token("push").timers[0].due == 5000.0
    rig.fire("push", "window")
    assert rig.phase("push") == "held", "still closed: held again"
    override = c.OverrideWindow(voter=c.Voter(person="bo"), path="push", reason="outage")
    rig.do(override)
    assert rig.code == "wrong_role"
    rig.do(c.OverrideWindow(voter=c.Voter(person="bo", roles=("breaker",)), path="push", reason="outage"))
    assert rig.phase("push") == "call"
    rig.complete("push")
    assert rig.phase("back") == "call", "the way back is never held"
    rig = Rig(definition).start()
    rig.complete("look")
    assert rig.phase("push") == "held", "a window nobody knows anything about is closed"
    rig.windows = {"freeze": WindowState(open=True)}
    rig.fire("push", "window")
    assert rig.phase("push") == "call"


def test_a_graph_that_loops_without_waiting_is_stopped() -> None:
    loop = flow(Step(id="a", kind="choice", otherwise="b"), Step(id="b", kind="choice", otherwise="a"))
    with pytest.raises(Runaway):
        Rig(loop).start()
