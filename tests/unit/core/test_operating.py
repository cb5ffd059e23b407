"""What operators can do, what is refused to them, and that refusals are recorded."""

from __future__ import annotations

import pytest

from engine.core import commands as c
from engine.core import effects as f
from engine.core import events as e
from engine.core.decide import preview
from engine.core.definition import Definition, FormField, Gate, Limits, Observe, Outcome, Retry, Seat, Step, Wait
from engine.core.explain import explain
from engine.core.state import encode
from engine.store.lines import waiting_words
from tests.unit.core.rig import EVALUATOR, Rig, action, flow, undo, voter

SUSPEND, RESUME = c.Suspend(by="op", reason="look"), c.Resume(by="op")


def wait(id: str, seconds: float, next: str = "done") -> Step:
    return Step(id=id, kind="wait", wait=Wait(for_=seconds), next=next)


def test_a_suspended_run_starts_nothing_keeps_results_and_fires_its_timers_in_due_order_on_resume() -> None:
    rig = Rig(flow(action("a", "b"), action("b"))).start()
    rig.do(SUSPEND)
    rig.do(SUSPEND)
    assert rig.code == "already" and rig.of(e.CommandRefused)[0].verb == "Suspend"
    rig.complete("a", 1)
    assert rig.calls() == ["do.a"] and rig.phase("a") == "done"
    rig.do(RESUME)
    assert rig.calls() == ["do.a", "do.b"]
    rig.do(RESUME)
    assert rig.code == "not_suspended"

    from engine.core.definition import Map

    many = flow(
        Step(id="m", kind="map", map=Map(over="${[30, 10, 20]}", start="m.w", parallel=3)),
        Step(id="m.w", kind="wait", wait=Wait(for_="${item}"), next="m.a"),
        action("m.a", with_={"i": "${item}"}),
    )
    rig = Rig(many).start()
    rig.do(SUSPEND)
    rig.now = 1025.0
    for _, token, timer in rig.timers()[:2]:
        rig.do(c.FireTimer(scope=token.scope, step=token.step, fence=timer.fence, purpose=timer.purpose))
        assert rig.code == "suspended"
    rig.do(RESUME)
    assert [one.scope for one in rig.of(e.TimerFired)] == ["m#1", "m#2"], "in due order; the third is not due"
    assert [one.input["i"] for one in rig.of(e.StepScheduled)] == [10, 20]
    assert len([one for one in rig.owed() if isinstance(one, f.ArmTimer)]) == 1


def test_a_suspended_run_can_be_cancelled_and_takes_votes_without_moving() -> None:
    definition = flow(
        Step(
            id="g",
            kind="gate",
            gate=Gate(
                question="?",
                seats=(Seat(role="m"),),
                expires=60.0,
                on_timeout=Outcome(goto="fail"),
                on_reject=Outcome(goto="fail"),
            ),
            next="b",
        ),
        action("b"),
    )
    rig = Rig(definition).start()
    rig.do(SUSPEND)
    rig.vote(voter("x", "m"))
    assert rig.of(e.GatePassed) and rig.calls() == []
    rig.do(RESUME)
    assert rig.calls() == ["do.b"]
    rig = Rig(definition).start()
    rig.do(SUSPEND)
    rig.do(c.Cancel(by="op"))
    assert rig.state.status == "cancelled" and rig.of(e.GateWithdrawn)


def test_undoing_is_never_held() -> None:
    rig = Rig(flow(action("a", "fail", compensate=undo("a")))).start()
    rig.complete("a")
    rig.do(SUSPEND)
    assert rig.code == "in_flight" and not rig.state.suspended


def test_terminating_an_undoing_leaves_no_timer_behind() -> None:
    rig = Rig(flow(action("a", "fail", compensate=undo("a")))).start()
    rig.complete("a")
    rig.fail("a", "Down")
    armed = rig.of(e.TimerArmed)[-1]
    rig.do(c.Terminate(by="op", reason="stop it"))
    cancelled = rig.of(e.TimerCancelled)[-1]
    assert (armed.purpose, armed.fence) == (cancelled.purpose, cancelled.fence)
    assert rig.state.status == "terminated" and [one.step for one in rig.state.undo] == ["a"], (
        "what is not undone is kept"
    )


def test_retry_step_does_not_wait_for_the_backoff() -> None:
    rig = Rig(flow(action("a", retry=Retry(attempts=3, first=500.0, jitter="none")))).start()
    rig.do(c.RetryStep(by="op", path="a"))
    assert rig.code == "in_flight"
    rig.fail("a")
    rig.do(c.RetryStep(by="op", path="a"))
    assert rig.phase("a") == "call" and rig.of(e.StepScheduled)[-1].attempt == 2 and rig.of(e.TimerCancelled)
    rig.do(c.RetryStep(by="op", path="nowhere"))
    assert rig.code == "not_found"


def test_retry_step_answers_the_engines_question() -> None:
    rig = Rig(flow(action("a"))).start()
    rig.fail("a")
    assert rig.phase("a") == "gate"
    rig.do(c.RetryStep(by="op", path="a"))
    assert rig.phase("a") == "call" and rig.of(e.GateWithdrawn) and not rig.state.gates


def test_skip_step_goes_on_with_an_output_but_never_past_a_gate_or_over_an_action_in_flight() -> None:
    rig = Rig(flow(wait("w", 9.0, "a"), action("a", with_={"o": "${steps.w.output}"}))).start()
    rig.do(c.SkipStep(by="op", path="w", reason="done by hand", output={"x": 1}))
    assert rig.of(e.StepScheduled)[0].input == {"o": {"x": 1}}
    skipped = rig.of(e.StepSkipped)[0]
    assert (skipped.by, skipped.reason) == ("op", "done by hand")
    rig.do(c.SkipStep(by="op", path="a", reason="x"))
    assert rig.code == "in_flight"
    gate = Gate(question="?", seats=(Seat(role="m"),), expires=60.0, on_timeout=Outcome(), on_reject=Outcome())
    rig = Rig(flow(Step(id="g", kind="gate", gate=gate))).start()
    rig.do(c.SkipStep(by="op", path="g", reason="x"))
    assert rig.code == "not_waiting" and rig.phase("g") == "gate"


def test_redrive_goes_on_from_a_step_of_a_failed_run_with_changed_inputs() -> None:
    definition = flow(
        action("a", "b"),
        action("b", "fail", with_={"n": "${inputs.n}", "a": "${steps.a.output}"}),
        inputs={"n": FormField(type="integer")},
    )
    rig = Rig(definition).start({"n": 1})
    rig.complete("a", "kept")
    rig.complete("b")
    assert rig.state.status == "failed"
    rig.do(c.Redrive(by="op", step="nope"))
    assert rig.code == "not_found"
    rig.do(c.Redrive(by="op", step="b", inputs={"n": "x"}))
    assert rig.code == "bad_input"
    rig.do(c.Redrive(by="op", step="b", inputs={"n": 2}, reason="fixed"))
    assert rig.of(e.StepScheduled)[-1].input == {"n": 2, "a": "kept"}
    rig.do(c.Redrive(by="op", step="a"))
    assert rig.code == "in_flight"


def test_redrive_of_a_run_at_rest_withdraws_what_waits_and_a_completed_run_stays_so() -> None:
    rig = Rig(flow(action("a", "w"), wait("w", 60.0))).start()
    rig.complete("a")
    rig.do(c.Redrive(by="op", step="a"))
    assert rig.phase("a") == "call" and rig.of(e.TimerCancelled) and rig.of(e.StepCancelled)
    rig.complete("a")
    rig.fire("w", "wait")
    rig.do(c.Redrive(by="op", step="a"))
    assert rig.code == "closed"


def test_migrate_only_at_rest_and_only_where_every_token_finds_its_step() -> None:
    rig = Rig(flow(wait("w", 60.0, "a"), action("a"))).start()
    newer = flow(wait("w", 60.0, "b"), action("b"), digest="sha256:new", version=2)
    other = flow(wait("x", 60.0), digest="sha256:other")

    def migrate(definition: Definition, digest: str | None = None) -> str:
        rig.definition = definition
        rig.do(c.Migrate(by="op", digest=digest or definition.digest))
        return rig.code

    old = rig.definition
    assert migrate(other) == "bad_definition"
    assert migrate(newer, "sha256:lie") == "bad_definition"
    assert migrate(newer) == "" and (rig.state.digest, rig.state.version) == ("sha256:new", 2)
    rig.fire("w", "wait")
    assert rig.calls() == ["do.b"]
    assert migrate(old) == "in_flight"


def test_a_preview_answers_and_changes_nothing() -> None:
    rig = Rig(flow(action("a", compensate=undo("a"), next="w"), wait("w", 60.0))).start()
    rig.complete("a")
    before = encode(rig.state)
    seen = preview(rig.definition, rig.state, c.Cancel(by="op"), now=rig.now, evaluator=EVALUATOR)
    assert any(isinstance(event, e.CompensationStarted) for event in seen.events)
    assert encode(rig.state) == before


def test_comments_never_move_a_run_not_even_a_closed_one() -> None:
    rig = Rig(flow(action("a"))).start()
    rig.complete("a")
    rig.do(c.Comment(by="op", text="fine"))
    assert rig.of(e.CommentAdded)[0].text == "fine"
    rig.do(c.Cancel(by="op"))
    assert rig.code == "closed" and rig.of(e.CommandRefused)


@pytest.mark.parametrize("kind", ["call", "wait", "gate", "retry", "suspended"])
def test_explain_says_what_who_until_when_and_then(kind: str) -> None:
    gate = Gate(
        question="Go?",
        seats=(Seat(role="m", count=2),),
        expires=60.0,
        on_timeout=Outcome(escalate="boss", goto="fail"),
        on_reject=Outcome(goto="fail"),
    )
    step = {
        "call": action("a", timeout=30.0),
        "wait": wait("a", 60.0),
        "gate": Step(id="a", kind="gate", gate=gate),
        "retry": action("a", retry=Retry(attempts=2, jitter="none")),
        "suspended": wait("a", 60.0),
    }[kind]
    rig = Rig(flow(step)).start()
    if kind == "retry":
        rig.fail("a", "Down")
    if kind == "suspended":
        rig.do(SUSPEND)
    told = explain(rig.definition, rig.state, rig.now)
    first = told[0]
    expected = {
        "call": ("do.a to answer", ("do.a",), 1030.0, "the attempt times out"),
        "wait": ("a time", (), 1060.0, "the run goes on to done"),
        "gate": ("2 more to answer: Go?", ("role m",), 1060.0, "the gate expires: boss is asked"),
        "retry": ("the next attempt after Down", (), 1002.0, "attempt 2 of 2"),
        "suspended": ("a time", (), 1060.0, "the run goes on to done"),
    }[kind]
    assert (first.what, first.who, first.until, first.then) == expected
    assert first.path == "a" and first.can
    assert (kind == "suspended") == any("suspended" in one.what for one in told)
    rig.do(c.Terminate(by="op", reason="x"))
    assert explain(rig.definition, rig.state, rig.now) == []


def test_who_is_away_is_told_while_it_is_tried_again() -> None:
    """The words of the newest failure, cut: between attempts, during the next one, and in the line of a list."""
    rig = Rig(flow(action("a", retry=Retry(attempts=3, jitter="none")))).start()
    away = f"gooseBit cannot be reached:\n{'x' * 500}"
    rig.fail("a", "Unreachable", kind="communication", message=away)
    said = explain(rig.definition, rig.state, rig.now)[0].what
    assert said.startswith("the next attempt after Unreachable: gooseBit cannot be reached: xx") and len(said) < 220
    assert "gooseBit" in waiting_words(rig.state, rig.definition)
    rig.fire("a", "retry")
    assert rig.phase("a") == "call"
    assert "(attempt 2, after Unreachable: gooseBit" in explain(rig.definition, rig.state, rig.now)[0].what
    assert "gooseBit" in waiting_words(rig.state, rig.definition)


def test_who_is_away_is_told_while_nothing_can_be_sampled() -> None:
    observe = Observe(source="health", every=10.0, pass_="sample.ok", limits=Limits(error_in_a_row=5))
    rig = Rig(flow(Step(id="o", kind="observe", observe=observe))).start()

    def told() -> list[str]:
        return [explain(rig.definition, rig.state, rig.now)[0].what, waiting_words(rig.state, rig.definition)]

    rig.fail("o", "Unreachable", kind="communication", message="Prometheus cannot be reached")
    assert all("Prometheus" in one for one in told()), told()
    rig.fire("o", "sample")
    assert rig.phase("o") == "call" and all("Prometheus" in one for one in told()), told()
    rig.complete("o", {"ok": False})
    assert not any("Prometheus" in one for one in told()), told()
