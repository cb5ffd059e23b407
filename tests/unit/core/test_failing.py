"""Errors: retries, doubt, fallbacks, people, and undoing."""

from __future__ import annotations

import pytest

from engine.core import commands as c
from engine.core import effects as f
from engine.core import events as e
from engine.core.backoff import retry_delay
from engine.core.definition import (
    Catch,
    Compensate,
    Definition,
    Escalation,
    Interrupt,
    Map,
    OnFailure,
    Outcome,
    Retry,
    Step,
    Wait,
)
from tests.unit.core.rig import Rig, action, flow, undo, voter

TWICE = Retry(attempts=3, first=10.0, jitter="none")


def test_retries_back_off_and_keep_the_key_and_the_input() -> None:
    rig = Rig(flow(action("a", retry=TWICE, with_={"t": "${run.id}"}))).start()
    rig.fail("a")
    assert rig.phase("a") == "retry" and rig.token("a").timers[0].due == 1010.0
    rig.fire("a", "retry")
    rig.fail("a")
    assert rig.token("a").timers[0].due == 1010.0 + 20.0
    rig.fire("a", "retry")
    first, second, third = rig.of(e.StepScheduled)
    assert first.key == second.key == third.key and first.input == third.input
    assert [one.attempt for one in (first, second, third)] == [1, 2, 3]
    assert first.fence < second.fence < third.fence
    rig.fail("a")
    assert rig.phase("a") == "gate"


def test_jitter_is_full_seeded_and_the_same_each_time() -> None:
    def delay(salt: str, after: float | None = None) -> float:
        return retry_delay(first=2, factor=2, cap=300, jitter="full", retry_after=after, attempt=4, salt=salt)

    several = [delay(f"run|{n}") for n in range(500)]
    assert min(several) < 1.0 and max(several) > 15.0 and all(0 <= one <= 16.0 for one in several)
    assert delay("x") == delay("x") and delay("x", after=99.0) == 99.0
    assert retry_delay(first=2, factor=1e9, cap=300, jitter="none", retry_after=None, attempt=400, salt="") == 300


@pytest.mark.parametrize("how", ["never", "not retryable"])
def test_never_beats_all_and_so_does_an_action_that_says_no(how: str) -> None:
    retry = Retry(attempts=5, never=("Forbidden",)) if how == "never" else TWICE
    rig = Rig(flow(action("a", retry=retry, catch=(Catch(error=("*",), goto="b"),)), action("b"))).start()
    rig.fail("a", "Forbidden", retryable=how == "never")
    assert rig.calls() == ["do.a", "do.b"]


def test_retry_after_is_honoured() -> None:
    rig = Rig(flow(action("a", retry=TWICE))).start()
    rig.fail("a", retry_after=77.0)
    assert rig.token("a").timers[0].due == 1077.0


def test_catch_takes_the_first_that_names_the_error_and_whose_condition_holds() -> None:
    catches = (
        Catch(error=("Other",), goto="x"),
        Catch(error=("Boom",), when="error.message == 'big'", goto="x"),
        Catch(error=("Boom",), when="nonsense(", goto="x"),
        Catch(error=("*",), goto="b"),
    )
    tell = {"e": "${error.error}", "r": "${steps.a.error.message}"}
    rig = Rig(flow(action("a", catch=catches), action("b", with_=tell), action("x"))).start()
    rig.fail("a", message="small")
    assert rig.of(e.StepScheduled)[-1].input == {"e": "Boom", "r": "small"}


def test_a_catch_can_raise_another_error_and_fail_ends_the_run() -> None:
    rig = Rig(flow(action("a", catch=(Catch(error=("Boom",), raise_="Worse"),)))).start()
    rig.fail("a")
    assert rig.of(e.RunFailed)[0].failure.error == "Worse"
    rig = Rig(flow(action("a", next="fail"))).start()
    rig.complete("a")
    assert rig.of(e.RunFailed)[0].failure.error == "Failed"


def test_out_of_retries_people_are_asked_with_the_whole_context() -> None:
    rig = Rig(
        flow(
            action(
                "a", title="Push it", retry=TWICE, with_={"x": 1}, escalate=Escalation(role="sre", runbook="http://rb")
            )
        )
    ).start()
    for _ in range(2):
        rig.fail("a", message="no")
        rig.fire("a", "retry")
    rig.fail("a", message="no")
    question = rig.token("a").question
    assert question is not None and question.escalation and question.answers == ("retry", "skip", "abort")
    assert question.evidence["input"] == {"x": 1} and len(question.evidence["attempts"]) == 3
    assert question.evidence["runbook"] == "http://rb" and "Push it failed with Boom" in question.question
    rig.vote(voter("eve", "dev"), "retry")
    assert rig.code == "wrong_role"
    rig.vote(voter("sam", "sre"), "approve")
    assert rig.code == "bad_answer"
    rig.vote(voter("sam", "sre"), "retry")
    assert rig.of(e.StepScheduled)[-1].attempt == 4
    rig.fail("a")
    assert rig.phase("a") == "retry", "a new round of retries"
    rig.fire("a", "retry")
    rig.complete("a", 1)
    assert rig.state.status == "completed"


@pytest.mark.parametrize(("answer", "status"), [("skip", "completed"), ("abort", "failed"), (None, "failed")])
def test_people_can_skip_or_abort_and_silence_aborts(answer: str | None, status: str) -> None:
    rig = Rig(flow(action("a", "b"), Step(id="b", kind="choice", otherwise="done"))).start()
    rig.fail("a")
    if answer is None:
        rig.fire("a", "expiry")
    else:
        rig.vote(voter("o", "operator"), answer)
    assert rig.state.status == status


def test_an_item_of_a_tolerant_map_fails_without_asking_and_one_of_a_strict_map_asks() -> None:
    def robots(tolerate: int) -> Rig:
        return Rig(
            flow(Step(id="m", kind="map", map=Map(over="${[1, 2]}", start="m.a", tolerate=tolerate)), action("m.a"))
        ).start()

    tolerant, strict = robots(1), robots(0)
    tolerant.fail("m#0.a")
    assert tolerant.phase("m#1.a") == "call" and not tolerant.state.gates
    strict.fail("m#0.a")
    assert strict.phase("m#0.a") == "gate"


def test_an_expression_that_fails_asks_people_and_retry_enters_the_step_anew() -> None:
    rig = Rig(flow(action("a", with_={"x": "${inputs.missing}"}))).start()
    assert rig.phase("a") == "gate" and rig.of(e.StepFailed)[0].failure.kind == "expression"
    rig.vote(voter("o", "operator"), "retry")
    assert rig.phase("a") == "gate" and len(rig.of(e.GateOpened)) == 2
    rig.vote(voter("o", "operator"), "skip")
    assert rig.state.status == "completed"


# doubt


def test_what_was_sent_and_not_answered_is_read_back_and_never_blindly_sent_again() -> None:
    rig = Rig(flow(action("a", effect="once", reads_back=True, key="'k'", retry=TWICE))).start()
    rig.fail("a", "Lost", kind="unknown", in_doubt=True)
    assert rig.phase("a") == "retry" and rig.token("a").timers[0].due == 1005.0
    rig.fire("a", "retry")
    back = rig.of(e.StepScheduled)[-1]
    assert back.in_doubt and back.attempt == 1 and back.key == "k", "no attempt is spent"
    effect = rig.effects[-1]
    assert isinstance(effect, f.RunAction) and effect.in_doubt
    rig.fail("a", "NotDone")
    rig.fire("a", "retry")
    again = rig.of(e.StepScheduled)[-1]
    assert (again.attempt, again.in_doubt) == (2, False), "known not to have happened: an ordinary retry"


def test_a_once_that_cannot_be_read_back_asks_a_person_at_once() -> None:
    rig = Rig(flow(action("a", effect="once", key="'k'", retry=Retry(attempts=9)))).start()
    rig.fail("a", "Timeout", kind="timeout")
    question = rig.token("a").question
    assert question is not None and question.evidence["in_doubt"] and "not answered" in question.question
    rig.vote(voter("o", "operator"), "retry")
    assert rig.of(e.StepScheduled)[-1].attempt == 2


def test_reading_back_is_given_up_after_a_quarter_of_an_hour() -> None:
    rig = Rig(flow(action("a", effect="once", reads_back=True, key="'k'"))).start()
    tries = 0
    while rig.phase("a") != "gate":
        rig.fail("a", "Lost", kind="unknown", in_doubt=True)
        if rig.phase("a") == "retry":
            rig.fire("a", "retry")
        tries += 1
    assert tries == 19 and 840 < rig.now - 1000 < 1100


def test_a_read_in_doubt_is_simply_tried_again() -> None:
    rig = Rig(flow(action("a", effect="read", retry=TWICE))).start()
    rig.fail("a", in_doubt=True)
    assert rig.of(e.StepFailed) and not rig.of(e.StepInDoubt)


def test_a_busy_target_is_asked_later_and_spends_no_attempt() -> None:
    rig = Rig(flow(action("a"))).start()
    for _ in range(5):
        token = rig.token("a")
        rig.do(c.Defer(scope="", step="a", fence=token.fence, seconds=30.0, reason="robot busy"))
        assert rig.phase("a") == "deferred"
        rig.fire("a", "defer")
    assert {one.attempt for one in rig.of(e.StepScheduled)} == {1} and rig.now == 1150.0


def test_a_late_answer_of_an_older_attempt_is_refused_and_kept() -> None:
    rig = Rig(flow(action("a", retry=TWICE))).start()
    old = rig.token("a").fence
    rig.fail("a", "Timeout", kind="timeout")
    rig.fire("a", "retry")
    rig.do(c.Complete(scope="", step="a", fence=old, output="late"))
    assert rig.code == "stale" and rig.of(e.ResultRefused)[0].output == "late"
    assert rig.phase("a") == "call"


def test_a_stale_timer_loses_and_is_recorded() -> None:
    rig = Rig(flow(action("a", retry=TWICE))).start()
    rig.fail("a")
    fence = rig.token("a").timers[0].fence
    rig.fire("a", "retry")
    rig.do(c.FireTimer(scope="", step="a", fence=fence, purpose="retry"))
    assert rig.code == "stale" and len(rig.of(e.StepScheduled)) == 2


def test_once_is_marked_before_it_is_sent_and_a_restart_reads_it_back() -> None:
    rig = Rig(flow(action("a", effect="once", key="'k'"))).start()
    fence = rig.token("a").fence
    assert [one.in_doubt for one in rig.owed() if isinstance(one, f.RunAction)] == [False]
    rig.do(c.MarkStarted(scope="", step="a", fence=fence, owner="host-1"))
    (owed,) = rig.owed()
    assert isinstance(owed, f.RunAction) and owed.recovered and owed.started and owed.in_doubt


# undoing


def saga(**rest: object) -> Definition:
    return flow(
        action("a", "b", compensate=undo("a", of="a")),
        action("b", "c", compensate=undo("b")),
        action("c", compensate=undo("c"), catch=(Catch(error=("*",), raise_="Broken"),)),
        **rest,
    )


def test_compensation_is_recorded_ahead_and_runs_in_reverse_once_each() -> None:
    rig = Rig(saga()).start()
    assert rig.of(e.StepScheduled)[0].compensation is not None, "with the first StepScheduled, ahead of the action"
    rig.complete("a")
    rig.complete("b")
    rig.fail("c", "Boom")
    assert rig.of(e.CompensationStarted)[0].steps == ("c", "b", "a")
    for step in ("c", "b", "a"):
        rig.complete(step)
    assert rig.calls()[3:] == ["undo.c", "undo.b", "undo.a"]
    assert rig.of(e.CompensationConcluded)[0].undone == ("c", "b", "a")
    assert rig.state.status == "failed" and rig.state.undo == []
    keys = [one.key for one in rig.of(e.StepScheduled) if one.undo is not None]
    assert len(set(keys)) == 3


def test_an_action_in_doubt_is_undone_too() -> None:
    rig = Rig(flow(action("a", effect="once", key="'k'", compensate=undo("a")))).start()
    rig.fail("a", in_doubt=True)
    rig.vote(voter("o", "operator"), "abort")
    assert rig.calls() == ["do.a", "undo.a"]


def test_an_action_refused_before_it_could_act_is_not_undone() -> None:
    rig = Rig(saga()).start()
    rig.complete("a")
    rig.complete("b")
    rig.fail("c", "Forbidden", kind="authorization")
    assert rig.of(e.CompensationStarted)[0].steps == ("b", "a")


@pytest.mark.parametrize("how", ["fail", "defer", "skip"])
def test_a_refusal_of_a_repeated_call_does_not_prove_that_nothing_was_done(how: str) -> None:
    """The host died with the first call under way; the second one was refused, was deferred first, or given up."""
    rig = Rig(flow(action("a", compensate=undo("a"), catch=(Catch(error=("*",), goto="fail"),), next="fail"))).start()
    token = rig.token("a")
    if how != "fail":
        rig.do(c.Defer(scope="", step="a", fence=token.fence, seconds=1.0, reason="busy", recovered=True))
    if how == "skip":
        rig.do(c.SkipStep(by="op", path="a", reason="x"))
    else:
        if how == "defer":
            rig.fire("a", "defer")
        rig.fail("a", "Forbidden", kind="authorization", recovered=how == "fail")
    assert rig.calls()[-1] == "undo.a"


def test_each_visit_has_an_undo_and_a_key_of_its_own() -> None:
    definition = flow(
        Step(id="m", kind="map", map=Map(over="${[1, 2, 3]}", start="m.push", parallel=3), next="fail"),
        action("m.push", compensate=Compensate(action="pull", with_={"r": "${item}"})),
    )
    rig = Rig(definition).start()
    for item in range(3):
        rig.complete(f"m#{item}.push")
    for item in (2, 1, 0):
        rig.complete(f"m#{item}.push")
    undos = [one for one in rig.of(e.StepScheduled) if one.undo is not None]
    assert [one.input["r"] for one in undos] == [3, 2, 1] and len({one.key for one in undos}) == 3


def test_an_undo_is_retried_and_one_that_cannot_be_done_is_named() -> None:
    definition = saga(on_failure=OnFailure(start="on_failure.tell"))
    steps = {**definition.steps, "on_failure.tell": action("on_failure.tell", with_={"left": "${run.undo_failed}"})}
    rig = Rig(Definition(workflow="w", version=1, steps=steps, start="a", on_failure=definition.on_failure)).start()
    rig.complete("a")
    rig.complete("b")
    rig.fail("c")
    rig.fail("c", "Down")
    rig.fire("c", "retry")
    rig.complete("c")
    for _ in range(4):
        rig.fail("b", "Blocked")
        rig.fire("b", "retry")
    rig.fail("b", "Blocked")
    assert rig.of(e.CompensationFailed)[0].failure.error == "Blocked"
    rig.complete("a")
    assert rig.of(e.StepScheduled)[-1].input == {"left": ["b"]}
    rig.complete("on_failure.tell")
    assert rig.state.ending == "rollback_incomplete"


def test_an_undo_in_doubt_is_read_back_under_its_own_key() -> None:
    rig = Rig(flow(action("a", compensate=undo("a"), next="fail"))).start()
    rig.complete("a")
    rig.fail("a", "Lost", kind="unknown", in_doubt=True)
    rig.fire("a", "retry")
    first, second = [one for one in rig.of(e.StepScheduled) if one.undo is not None]
    assert (first.key, second.in_doubt) == (second.key, True)
    rig.complete("a")
    assert rig.state.status == "failed" and rig.state.undone == ["a"]


def test_a_failing_run_may_leave_things_as_they_are() -> None:
    rig = Rig(saga(on_failure=OnFailure(compensate="none"))).start()
    rig.complete("a")
    rig.complete("b")
    rig.fail("c", "Boom")
    assert rig.state.status == "failed" and "undo.a" not in rig.calls()


# cancel


def test_cancel_waits_for_what_is_in_flight_then_undoes_it() -> None:
    rig = Rig(saga()).start()
    rig.complete("a")
    rig.do(c.Cancel(by="ana", reason="wrong release"))
    assert rig.phase("b") == "call" and isinstance(rig.effects[-1], f.CancelAction)
    rig.do(c.Cancel(by="ana"))
    assert rig.code == "already"
    rig.complete("b")
    assert rig.calls() == ["do.a", "do.b", "undo.b"]
    rig.complete("b")
    rig.complete("a")
    cancelled = rig.of(e.RunCancelled)[0]
    assert (cancelled.by, cancelled.reason) == ("ana", "wrong release")


def test_cancel_withdraws_what_waits_and_stops_the_items_of_maps() -> None:
    definition = flow(
        Step(id="m", kind="map", map=Map(over="${[1, 2, 3]}", start="m.w", parallel=2)),
        Step(id="m.w", kind="wait", wait=Wait(for_=9.0), next="m.a"),
        action("m.a", compensate=undo("x")),
    )
    rig = Rig(definition).start()
    rig.fire("m#0.w", "wait")
    rig.do(c.Cancel(by="ana"))
    assert [one.scope for one in rig.of(e.ItemCancelled)] == ["" for _ in range(1)]
    assert "m#1" not in rig.state.tokens and rig.phase("m#0.a") == "call"
    rig.complete("m#0.a")
    assert rig.calls() == ["do.m.a", "undo.x"], "no third item was started"
    rig.complete("m#0.a")
    assert rig.state.status == "cancelled"


def test_what_is_in_flight_is_asked_to_stop_once() -> None:
    spec = Map(over="${[1, 2, 3]}", start="m.a", parallel=3)
    rig = Rig(flow(Step(id="m", kind="map", map=spec), action("m.a"))).start()
    rig.do(c.Cancel(by="ana"))
    rig.complete("m#0.a")
    rig.complete("m#1.a")
    asked = [one.scope for one in rig.of(e.StepCancelRequested) if one.scope]
    assert sorted(asked) == ["m#0", "m#1", "m#2"] and rig.state.open
    rig.complete("m#2.a")
    assert rig.state.status == "cancelled"


@pytest.mark.parametrize("undone", [True, False])
def test_after_a_cancel_on_failure_runs_only_if_something_could_not_be_undone(undone: bool) -> None:
    no_retry = Compensate(action="undo", retry=Retry(attempts=1))
    tell = action("on_failure.tell")
    rig = Rig(flow(action("a", compensate=no_retry), tell, on_failure=OnFailure(start="on_failure.tell"))).start()
    rig.do(c.Cancel(by="ana"))
    rig.complete("a")
    if undone:
        rig.complete("a")
        assert rig.state.status == "cancelled"
    else:
        rig.fail("a", "Blocked")
        assert rig.phase("on_failure.tell") == "call"
        rig.complete("on_failure.tell")
        assert rig.state.status == "cancelled"


@pytest.mark.parametrize(("mode", "asked"), [("cancel", True), ("wait", False)])
def test_cancel_treats_a_child_as_declared(mode: str, asked: bool) -> None:
    from engine.core.definition import Child

    rig = Rig(flow(Step(id="k", kind="child", child=Child(workflow="w", key="'k'", on_cancel=mode)))).start()  # type: ignore[arg-type]
    rig.do(c.Cancel(by="ana"))
    assert any(isinstance(one, f.CancelChild) for one in rig.effects) == asked
    assert rig.state.open
    rig.do(c.EndChild(scope="", step="k", fence=1, child="run-1-1", status="cancelled"))
    assert rig.state.status == "cancelled"


def test_cancel_leaves_a_child_that_is_to_live_on() -> None:
    from engine.core.definition import Child

    rig = Rig(flow(Step(id="k", kind="child", child=Child(workflow="w", key="'k'", on_cancel="leave")))).start()
    rig.do(c.Cancel(by="ana"))
    assert rig.state.status == "cancelled" and not any(isinstance(one, f.CancelChild) for one in rig.effects)


def test_terminate_ends_now_undoes_nothing_and_keeps_late_answers() -> None:
    rig = Rig(saga()).start()
    fence = rig.token("a").fence
    rig.do(c.Terminate(by="ana", reason="now"))
    assert rig.state.status == "terminated" and rig.calls() == ["do.a"]
    rig.do(c.Complete(scope="", step="a", fence=fence, output="did act"))
    assert rig.code == "closed" and rig.of(e.ResultRefused)[0].output == "did act"


def test_a_rejecting_outcome_may_raise_and_be_caught() -> None:
    wait = Step(
        id="w",
        kind="wait",
        wait=Wait(event="x"),
        timeout=5.0,
        on_timeout=Outcome(raise_="TooLate"),
        catch=(Catch(error=("TooLate",), goto="b"),),
        interrupt=(Interrupt(event="z", raise_="TooLate"),),
    )
    rig = Rig(flow(wait, action("b"))).start()
    rig.fire("w", "timeout")
    assert rig.calls() == ["do.b"]
    rig = Rig(flow(wait, action("b"))).start()
    rig.signal("z")
    assert rig.calls() == ["do.b"]
