"""Observations: what passes, what fails, what stays unsure, and that no data never passes."""

from __future__ import annotations

from typing import Any

import pytest

from engine.core import commands as c
from engine.core import events as e
from engine.core.definition import Catch, Interrupt, Limits, Observe, Step, Wait
from tests.unit.core.rig import Rig, action, flow


def watch(**rest: Any) -> Rig:
    spec: dict[str, Any] = {"source": "health", "every": 10.0, "pass_": "sample.ok"} | rest
    step = Step(
        id="o",
        kind="observe",
        observe=Observe(**spec),
        with_={"before": "${sample}"},
        next="good",
        catch=tuple(Catch(error=(name,), goto=name.lower()) for name in ("Fail", "Unsure", "NoData")),
    )
    tell = {"v": "${steps.o.verdict}", "n": "${steps.o.samples}", "out": "${steps.o.output}"}
    return Rig(flow(step, *(action(name, with_=tell) for name in ("good", "fail_", "unsure", "nodata")), **{})).start()


def sample(rig: Rig, output: Any = None, *, error: str | None = None) -> None:
    if error is None:
        rig.complete("o", output)
    else:
        rig.fail("o", error)


def verdict(rig: Rig) -> str:
    concluded = rig.of(e.ObservationConcluded)
    return concluded[0].verdict if concluded else "open"


def test_the_first_passing_sample_passes_and_each_sample_sees_the_one_before() -> None:
    rig = watch()
    sample(rig, {"ok": False, "n": 1})
    rig.fire("o", "sample")
    assert [one.input for one in rig.of(e.StepScheduled)] == [{"before": None}, {"before": {"ok": False, "n": 1}}]
    sample(rig, {"ok": True, "n": 2})
    assert verdict(rig) == "pass"
    assert rig.of(e.StepScheduled)[-1].input == {"v": "pass", "n": 2, "out": {"ok": True, "n": 2}}


def test_min_samples_and_exposure_hold_back_a_pass() -> None:
    rig = watch(min_samples=2, exposure="sample.hours > 5")
    for given, expected in [
        ({"ok": True, "hours": 9}, "open"),
        ({"ok": True, "hours": 1}, "open"),
        ({"ok": True, "hours": 6}, "pass"),
    ]:
        sample(rig, given)
        assert verdict(rig) == expected
        if expected == "open":
            rig.fire("o", "sample")


@pytest.mark.parametrize(
    ("last", "expected"),
    [({"ok": True}, "pass"), ({"ok": False}, "unsure"), (None, "no_data")],
)
def test_hold_decides_at_the_end_by_the_newest_sample(last: Any, expected: str) -> None:
    rig = watch(hold=True, for_=25.0)
    for given in ({"ok": True}, {"ok": True}):
        sample(rig, given)
        assert verdict(rig) == "open"
        rig.fire("o", "sample")
    if last is None:
        sample(rig, error="Down")
    else:
        sample(rig, last)
    rig.fire("o", "observe_end")
    assert verdict(rig) == expected


def test_an_end_that_comes_while_a_sample_is_on_its_way_waits_for_it() -> None:
    rig = watch(hold=True, for_=25.0)
    rig.fire("o", "observe_end")
    assert verdict(rig) == "open" and rig.phase("o") == "call"
    sample(rig, {"ok": True})
    assert verdict(rig) == "pass"


def test_time_that_runs_out_without_a_pass_is_unsure() -> None:
    rig = watch(for_=5.0)
    sample(rig, {"ok": False})
    rig.fire("o", "observe_end")
    assert verdict(rig) == "unsure" and rig.calls()[-1] == "do.unsure"


def test_failing_samples_conclude_beyond_their_limit() -> None:
    rig = watch(fail="sample.bad", limits=Limits(fail=1))
    sample(rig, {"ok": True, "bad": True})
    assert verdict(rig) == "open", "fail is asked before pass, and one is allowed"
    rig.fire("o", "sample")
    sample(rig, {"ok": True, "bad": True})
    assert verdict(rig) == "fail"


def test_too_many_unsure_samples_conclude_unsure() -> None:
    rig = watch(limits=Limits(unsure=1))
    sample(rig, {"ok": False})
    rig.fire("o", "sample")
    sample(rig, {"ok": False})
    assert verdict(rig) == "unsure"


def test_errors_in_a_row_are_no_data_and_a_good_sample_starts_the_count_again() -> None:
    rig = watch(limits=Limits(error_in_a_row=2), hold=True, for_=1000.0)
    for step in ("error", "ok", "error", "error"):
        sample(rig, {"ok": True}) if step == "ok" else sample(rig, error="Down")
        if verdict(rig) == "open":
            rig.fire("o", "sample")
    assert verdict(rig) == "no_data" and rig.of(e.SampleJudged)[-1].number == 4
    assert rig.calls()[-1] == "do.nodata"


@pytest.mark.parametrize("output", [{}, None, {"ok": "yes"}, {"ok": 1}])
def test_a_condition_that_cannot_be_evaluated_is_an_error_never_a_pass(output: Any) -> None:
    rig = watch(limits=Limits(error_in_a_row=1))
    sample(rig, output)
    assert verdict(rig) == "no_data"


def test_a_busy_source_is_asked_again_later() -> None:
    rig = watch()
    token = rig.token("o")
    rig.do(c.Defer(scope="", step="o", fence=token.fence, seconds=5.0, reason="rate limit"))
    rig.fire("o", "defer")
    sample(rig, {"ok": True})
    assert verdict(rig) == "pass"


def test_cancel_waits_for_the_sample_on_its_way() -> None:
    rig = watch()
    rig.do(c.Cancel(by="ana"))
    assert rig.state.open
    sample(rig, {"ok": True})
    assert rig.state.status == "cancelled" and verdict(rig) == "open"


def test_an_interrupted_observation_leaves_its_newest_sample_for_the_next_visit() -> None:
    step = Step(
        id="o",
        kind="observe",
        observe=Observe(source="health", every=10.0, pass_="sample.ok"),
        with_={"before": "${sample if sample else steps.get('o')}"},
        interrupt=(Interrupt(event="pause", goto="held"),),
    )
    held = Step(id="held", kind="wait", wait=Wait(for_=5.0), next="o")
    rig = Rig(flow(step, held)).start()
    sample(rig, {"ok": False, "n": 1})
    rig.fire("o", "sample")
    rig.signal("pause")
    sample(rig, {"ok": True, "n": 2})
    assert rig.phase("held") == "wait" and verdict(rig) == "open", "asked to leave, it does not conclude"
    rig.fire("held", "wait")
    before = rig.of(e.StepScheduled)[-1].input["before"]
    assert before == {"output": {"ok": True, "n": 2}, "verdict": "interrupted", "samples": 2, "reason": ""}
