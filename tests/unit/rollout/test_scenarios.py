"""Every scenario of the sandbox to its end, on virtual time: what must hold whatever the seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from engine.capabilities.ports import ActionError
from engine.capabilities.registry import Registry
from engine.core import events as e
from engine.core.events import GateOpened
from tests.unit.rollout.recording import Recording
from tests.unit.rollout.simulated import RELEASE, Simulation, versions


def careful(gate: GateOpened) -> str:
    """Signs what was planned, promotes what passed, and rolls back whatever failed or stayed unclear."""
    return "approve" if gate.step == "signoff" or gate.step.endswith(".promotion") else "reject"


def touched_outside(sim: Simulation) -> set[str]:
    """Robots that got an order though they are in no stage that was dispatched."""
    dispatched = {x.output["stage"] for x in sim.of(e.StepCompleted) if x.step == "stages.dispatch"}
    freeze = next(x.output for x in sim.of(e.StepCompleted) if x.step == "freeze")
    allowed = {name for stage in freeze["stages"] if stage["name"] in dispatched for name in stage["robots"]}
    return set(sim.world.truth()["touched"]) - allowed  # type: ignore[call-overload]


@pytest.mark.parametrize("seed", [7, 11])
async def test_a_regressing_canary_is_rolled_back_by_policy(seed: int, tmp_path: Path) -> None:
    sim = Simulation("canary-regression", seed, vote=careful)
    recording = Recording(sim, tmp_path / "q.db")
    await sim.run()
    recording.catch_up()
    assert sim.ending == "rolled_back"
    assert RELEASE not in versions(sim)
    assert touched_outside(sim) == set()
    assert [gate.step for gate in sim.of(e.GateOpened)] == ["signoff"], "nobody had to be asked"
    detail = recording.reads.rollout_detail("run-1")
    assert detail is not None and detail.rollout.state == "rolled_back"
    assert [v.word for v in detail.verdicts][-1] == "FAIL"
    assert detail.rollout.counts.executed <= 10


async def test_robots_that_went_back_under_an_engine_that_died_are_told_of(tmp_path: Path) -> None:
    """The engine after it finds them where they were, and whoever recorded their installs knows that they had left."""
    sim = Simulation("canary-regression", 7, vote=careful)
    await sim.run()
    (tmp_path / "whole").mkdir()
    whole = Recording(sim, tmp_path / "whole" / "q.db")
    whole.catch_up()
    at, event = next(
        (i, one)
        for i, (_, one) in enumerate(sim.events)
        if isinstance(one, e.StepCompleted) and "restored" in (one.output or {})
    )
    gone = event.output["restored"]
    assert gone and event.output["found_back"] == []
    sim.events[at] = (
        sim.events[at][0],
        replace(event, output=event.output | {"restored": [], "found_back": [*gone, "X-1"]}),
    )
    cut = Recording(sim, tmp_path / "q.db")
    cut.catch_up()
    robots = "select robot, state, reported from robot_updates order by robot"
    found = cut.connection.execute(robots).fetchall()
    assert found == whole.connection.execute(robots).fetchall()
    assert {row[0] for row in found if row[1] == "rolled_back"} >= set(gone)
    sentence = "select json_extract(view, '$.sentence') from rollouts"
    assert cut.connection.execute(sentence).fetchall() == whole.connection.execute(sentence).fetchall()


async def test_a_regression_at_a_wider_stage_is_paused_by_policy_and_rolled_back_by_people() -> None:
    sim = Simulation("stage-regression", 7, vote=careful)
    await sim.run()
    assert sim.ending == "rolled_back"
    assert RELEASE not in versions(sim)
    assert touched_outside(sim) == set()
    passed = [x.data["stage"] for x in sim.of(e.Emitted) if x.event == "qd.rollout.stage.passed"]
    paused = [x.data for x in sim.of(e.Emitted) if x.event == "qd.rollout.paused"]
    assert "canary" in passed
    assert paused and paused[0]["by"] == "policy"
    assert sim.of(e.GateRejected)[-1].step == "stages.decide"


async def test_a_typed_rollback_takes_a_paused_rollout_down() -> None:
    sim = Simulation("stage-regression", 7, vote=lambda gate: "approve" if gate.step == "signoff" else None)
    sim.on_event = lambda event: None

    def press(event: e.Event) -> None:
        if isinstance(event, e.GateOpened) and event.step == "stages.decide":
            sim.after(60, lambda: sim.signal("rollout.rollback"))

    sim.on_event = press
    await sim.run()
    assert sim.ending == "rolled_back"
    assert sim.of(e.RunFailed)[0].failure.error == "RollbackAsked"
    assert RELEASE not in versions(sim)


async def test_an_outage_of_the_metrics_never_promotes_and_does_not_gate_the_way_back() -> None:
    sim = Simulation("telemetry-outage", 7, vote=careful)
    await sim.run()
    words = {
        sample["verdict"]["word"]
        for step in ("stages.health", "stages.extended", "stages.extended_again")
        for sample in sim.samples(step)
    }
    assert "PASS" not in words
    assert not [x for x in sim.of(e.Emitted) if x.event == "qd.rollout.stage.passed"]
    assert sim.ending == "rolled_back"
    assert RELEASE not in versions(sim)


async def test_two_approvals_do_not_promote_on_data_that_is_missing() -> None:
    sim = Simulation("telemetry-outage", 7, vote=lambda gate: "approve")
    await sim.run(limit_s=60 * 3600)
    refused = [x for x in sim.of(e.StepFailed) if x.failure.error == "PromotionRefused"]
    assert refused, "people said go on, the data said nothing"
    assert not [x for x in sim.of(e.Emitted) if x.event == "qd.rollout.stage.passed"]


async def test_a_promotion_that_can_not_ask_for_its_data_is_measured_on() -> None:
    """Nobody has to answer for an owner that is away: no second question is put to people."""
    sim = Simulation("telemetry-outage", 7, vote=lambda gate: "approve")

    async def away(context: Any, given: Any) -> Any:
        raise ActionError("Unreachable", "the metrics cannot be reached", kind="communication")

    listed = dict(sim.registry.actions)
    sim.registry = Registry(listed | {"rollout.promote": replace(listed["rollout.promote"], run=away)})
    await sim.run(limit_s=60 * 3600)
    steps = [x.step for x in sim.of(e.StepFailed) if x.failure.error == "Unreachable"]
    assert "stages.promote_early" in steps
    assert not [x for x in sim.of(e.GateOpened) if x.step.startswith("stages.promote_early")]
    assert not [x for x in sim.of(e.Emitted) if x.event == "qd.rollout.stage.passed"]


@pytest.mark.parametrize("seed", [7, 3])
async def test_offline_canaries_pause_on_executed_robots_only(seed: int) -> None:
    sim = Simulation("offline-canaries", seed, vote=careful)
    await sim.run()
    failing = next(x.sample for x in sim.of(e.SampleJudged) if x.verdict == "fail")
    counts = failing["counts"]
    assert counts["failed"] == counts["executed"] >= 2
    assert counts["offline"] > 0
    assert f"{counts['failed']}/{counts['executed']} executed" in failing["verdict"]["sentence"]
    assert any(x.event == "qd.rollout.paused" for x in sim.of(e.Emitted))
    assert RELEASE not in versions(sim)


async def test_failing_installs_stop_the_stage() -> None:
    sim = Simulation("install-failures", 7, vote=careful)
    await sim.run()
    assert sim.ending == "rolled_back"
    assert touched_outside(sim) == set()


async def test_failed_installs_can_be_tried_again() -> None:
    answers = iter(["approve", "reject"])
    sim = Simulation(
        "install-failures",
        7,
        vote=lambda gate: next(answers, "reject") if gate.step == "stages.install_decide" else careful(gate),
    )
    await sim.run()
    again = [x.output for x in sim.of(e.StepCompleted) if x.step == "stages.retry"]
    assert again and again[0]["robots"]
    assert len(sim.of(e.ObservationStarted)) >= 2


async def test_robots_that_cannot_go_back_are_named_before_anyone_signs(tmp_path: Path) -> None:
    sim = Simulation("rollback-blocked", 7, vote=careful)
    recording = Recording(sim, tmp_path / "q.db")
    await sim.run()
    recording.catch_up()
    gate = next(gate for gate in sim.of(e.GateOpened) if gate.step == "signoff")
    named = {b["robot"] for b in gate.evidence["preflight"]["blocked"]}
    assert sim.ending == "rollback_incomplete"
    left = {name for name, version in sim.world.truth()["versions"].items() if version == RELEASE}  # type: ignore[attr-defined]
    assert left and left <= named
    revert = next(x.output for x in sim.of(e.StepCompleted) if x.undo is not None)
    assert {name for name, _ in revert["blocked"]} == left
    assert not left & set(revert["restored"])


@pytest.mark.slow
async def test_a_healthy_release_reaches_the_whole_fleet() -> None:
    sim = Simulation("healthy", 7, vote=careful)
    await sim.run()
    assert sim.ending in ("completed", "completed_with_exceptions")
    assert versions(sim)[RELEASE] >= 198
    assert {x.data["stage"] for x in sim.of(e.Emitted) if x.event == "qd.rollout.stage.passed"} == {
        "canary",
        "10 %",
        "30 %",
        "100 %",
    }


async def test_a_rejected_plan_touches_nobody() -> None:
    sim = Simulation("healthy", 7, vote=lambda gate: "reject")
    await sim.run()
    assert sim.ending == "rejected"
    assert sim.world.truth()["touched"] == []


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        ({"selector": "site:NOWHERE"}, "EmptyCohort"),
        ({"version": "9.9.9"}, "NoSuchRelease"),
        ({"plan": {"sok": "2h"}}, "BadPlan"),
    ],
)
async def test_what_no_retry_can_mend_ends_at_once_with_its_reason(inputs: dict[str, object], error: str) -> None:
    sim = Simulation("healthy", 7, vote=careful, robots=20)
    await sim.run(**inputs)  # type: ignore[arg-type]
    assert sim.ending == "aborted"
    assert sim.of(e.RunFailed)[0].failure.error == error
    assert not sim.of(e.GateOpened)


async def test_pause_stops_what_has_not_begun_and_resume_goes_on(tmp_path: Path) -> None:
    sim = Simulation("healthy", 7, vote=careful, robots=40)
    recording = Recording(sim, tmp_path / "q.db")
    seen: list[str] = []

    def press(event: e.Event) -> None:
        if isinstance(event, e.SampleJudged) and event.step == "stages.install" and event.number == 3 and not seen:
            seen.append("paused")
            sim.after(30, lambda: sim.signal("rollout.pause"))
            sim.after(3600, look)

    def look() -> None:
        recording.catch_up()
        detail = recording.reads.rollout_detail("run-1")
        assert detail is not None
        assert detail.rollout.state == "paused"
        assert detail.pause_ack is not None and detail.pause_ack[0]
        assert detail.verbs["rollout.resume"] == "" and detail.verbs["rollout.rollback"] == ""
        seen.append("looked")
        sim.signal("rollout.resume")

    sim.on_event = press
    await sim.run(limit_s=6 * 3600)
    assert seen == ["paused", "looked"]
    recording.catch_up()
    detail = recording.reads.rollout_detail("run-1")
    assert detail is not None and detail.rollout.state == "running"


async def test_operators_can_extend_and_then_promote_early() -> None:
    sim = Simulation("healthy", 7, vote=careful, robots=60)
    pressed: list[str] = []

    def press(event: e.Event) -> None:
        if isinstance(event, e.SampleJudged) and event.scope == "stages#0":
            if event.step == "stages.health" and event.number == 2 and not pressed:
                pressed.append("extend")
                sim.after(10, lambda: sim.signal("rollout.extend"))
            if event.step == "stages.extended" and event.number == 2 and len(pressed) == 1:
                pressed.append("promote")
                sim.after(10, lambda: sim.signal("rollout.promote"))

    sim.on_event = press
    await sim.run(limit_s=12 * 3600)
    assert pressed == ["extend", "promote"]
    assert "canary" in [x.data["stage"] for x in sim.of(e.Emitted) if x.event == "qd.rollout.stage.passed"]
