"""The failures a staged rollout is known for, one by one: what is shown, what is kept, what happens next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.capabilities.packs import load_pack
from engine.capabilities.ports import ActionError, Robot, Sample
from engine.capabilities.rollout import actions
from engine.capabilities.rollout.claims import Claims
from engine.capabilities.rollout.measure import measure
from engine.capabilities.rollout.planning import freeze
from engine.core import commands as c
from engine.core import events as e
from engine.core.events import GateOpened
from tests.unit.rollout.recording import Recording
from tests.unit.rollout.simulated import Simulation
from tests.unit.rollout.test_actions import NEW, OLD, Ctx, Owners, frozen, on_new
from tests.unit.rollout.test_installs import RELEASES, Stage


def test_downloaded_but_never_rebooted_times_out_and_says_so() -> None:
    """It stays online and says it is installing, for ever: that is no robot that is merely late."""
    stage = Stage(3)
    stage.look()
    for name in ("R0", "R1"):
        stage.report(name, state="installing")
    stage.report("R2", state="done", reported=NEW)
    stage.look()
    found = stage.look(after=3600)
    assert stage.state("R0") == stage.state("R1") == "timed_out"
    assert found.sample["counts"]["timed_out"] == 2 and found.sample["verdict"]["word"] == "FAIL"
    assert sorted(found.sample["timed_out"]) == [[name, "in progress for more than 60 min"] for name in ("R0", "R1")]


def test_deferred_for_ever_is_shown_with_its_reason_and_ends_with_people() -> None:
    stage = Stage(4)
    for name in stage.robots:
        stage.set(name, busy=True)
    found = stage.look(after=80 * 3600)
    assert not found.send and not found.sample["finished"] and found.sample["verdict"]["word"] != "PASS"
    assert found.sample["waits"] == [["working: an install waits until it is idle", 4]]


async def test_a_robot_whose_hardware_was_swapped_mid_stage_is_not_told() -> None:
    """The stage was signed for rev-B; a spare of another revision now carries the name."""
    owners = Owners()
    stage = (await frozen(owners))["stages"][0]
    owners.held[1] = msgspec.structs.replace(owners.held[1], models=("amr-600/rev-B",))
    owners.fleet |= {f"X{i}": msgspec.structs.replace(owners.fleet["R0"], id=f"X{i}") for i in range(16)}
    owners.set("R1", variant="rev-C")
    sample = await actions.advance(Ctx(owners), {"stage": stage, "before": None})
    assert all("R1" not in names for _, names, _ in owners.calls)
    assert sample["robots"]["R1"][0] == "deferred" and "not for rev-C" in sample["robots"]["R1"][5]


async def test_a_release_that_changes_under_its_name_mid_stage_goes_to_nobody_else() -> None:
    owners = Owners()
    stage = (await frozen(owners))["stages"][0]
    owners.held[1] = msgspec.structs.replace(owners.held[1], digest="another")
    sample = await actions.advance(Ctx(owners), {"stage": stage, "before": None})
    assert not owners.calls and sample["waits"][0][0] == f"release {NEW} changed its content since it was signed"


def test_another_control_plane_is_left_alone_and_named() -> None:
    """Two that set the same robot's target would take it from each other at every look."""
    stage = Stage(3)
    stage.report("R0", state="assigned", desired="4.9.9")
    assert "R0" not in stage.look().send
    assert stage.state("R0") == "deferred" and stage.sample["robots"]["R0"][5] == "another update is under way: 4.9.9"  # type: ignore[index]
    stage.report("R0", state="done", reported="4.9.9")
    assert "R0" not in stage.look().send
    assert stage.sample["robots"]["R0"][5] == f"runs 4.9.9, was {OLD} when signed"  # type: ignore[index]
    assert stage.sample["counts"]["executed"] == 0  # type: ignore[index]


def test_a_target_taken_over_by_another_control_plane_is_not_taken_back() -> None:
    stage = Stage(3)
    assert "R1" in stage.look().send
    stage.report("R1", state="assigned", desired="4.9.9")
    assert "R1" not in stage.look().send and stage.state("R1") == "deferred"


def signs(gate: GateOpened) -> str | None:
    return "approve" if gate.step == "signoff" else None


async def test_robots_of_another_open_rollout_are_left_out_and_named(tmp_path: Path) -> None:
    """One open rollout per robot and component, whatever the two selectors were called."""
    sim = Simulation("healthy", 7, vote=lambda gate: None, robots=60)
    recording = Recording(sim, tmp_path / "q.db")
    await sim.run(limit_s=3600)
    recording.catch_up()
    cohort = next(x.output for x in sim.of(e.StepCompleted) if x.step == "freeze")["cohort"]["robots"]
    claims = Claims(tmp_path / "q.db")
    found = claims.claimed([*cohort, "somebody-else"], but="run-2")
    assert set(found) == set(cohort) and set(found.values()) == {"in rollout run-1 (4.8.1), which is open"}
    assert claims.claimed(cohort, but="run-1") == {}, "it does not stand in its own way"

    class Two(Claims):
        def claimed(self, robots: Any, *, but: str) -> dict[str, str]:
            return {"R1": found[cohort[0]]} if but == "run-1" else {}

    owners = Owners()
    two = Two(tmp_path / "q.db")
    given = {"version": NEW, "selector": "all"}
    second = await actions.freeze(Ctx(owners, two), given)
    assert "R1" not in second["cohort"]["robots"] and ["R1", found[cohort[0]]] in second["exclusions"]
    with pytest.raises(ActionError, match=r"leaves no robot to update \(1 excluded: R1 in rollout run-1") as empty:
        await actions.freeze(Ctx(owners, two), given | {"only": ["R1"]})
    assert empty.value.error == "EmptyCohort"
    both = await frozen(owners)  # as if both had frozen at the same moment
    with pytest.raises(ActionError, match="R1: in rollout run-1") as refused:
        await actions.preflight(Ctx(owners, two), {"cohort": both})
    assert refused.value.error == "PreflightFailed"
    wave = await actions.freeze(Ctx(owners, two), given | {"incident": "I-44"})
    assert "R1" in wave["cohort"]["robots"], "what an incident decided is not held up by the rollout it puts right"

    sim.submit(c.Cancel(by="olga"))
    assert not sim.state.open
    recording.catch_up()
    assert claims.claimed(cohort, but="run-2") == {}, "a rollout that has ended lets go"


def test_a_saturated_site_gets_no_more_robots_and_stops_as_a_failure() -> None:
    """Downloads that crawl hold their places: nobody is added to the queue, and what never ends is counted."""
    stage = Stage(20)
    for name in list(stage.robots):
        stage.set(name, site="HAM2")
    first = stage.look().send
    for name in first:
        stage.report(name, state="downloading")
    assert not stage.look().send, "the site's share is down together already"
    assert {m[5] for n, m in stage.sample["robots"].items() if n not in first} == {  # type: ignore[index]
        "site limit: enough robots down together"
    }
    assert stage.look(after=3600).sample["verdict"]["word"] == "FAIL"


class Behind:
    """A metrics server: every counter rises steadily; the clocks of robots called R* are `late` seconds behind."""

    def __init__(self, late: float) -> None:
        self.late = late

    async def range(self, metric: str, start: float, end: float, step: float, robots: Any) -> dict[str, list[Sample]]:
        hertz = {"robot_operating_seconds_total": 1.0, "robot_heartbeats_total": 1 / 30, "robot_tasks_total": 0.01}
        rate = hertz.get(metric, 0.0)
        found: dict[str, list[Sample]] = {}
        for name in robots:
            newest = end - (self.late if name.startswith("R") else 0.0)
            grid = [start + i * step for i in range(int((end - start) / step) + 1)]
            found[name] = [Sample(t, 1000 + rate * t) for t in grid if t <= newest]
        return found


@pytest.mark.parametrize(("late", "word"), [(0.0, "PASS"), (20 * 3600.0, "INCONCLUSIVE")])
async def test_telemetry_stamped_before_the_install_is_not_counted_for_it(late: float, word: str) -> None:
    """A robot whose clock is hours behind reports its time on the new release as time on the old one."""
    robots = [Robot(id=f"{p}{i}", site="HAM2", region="eu", variant="rev-B", mode="AUTOMATIC", version=OLD, battery=0.9, online=True)
              for p, n in (("R", 6), ("c", 12)) for i in range(n)]  # fmt: skip
    stages = [{"name": "only", "share": 1.0, "ratio_limit": None}]
    policy = load_pack("rollout", overrides={"stages": stages, "min_tasks": 1})
    made = freeze(
        selector="robot:R*", exclude=[], version=NEW, robots=robots, releases=RELEASES, policy=policy, now=0.0
    )
    done = 1_000_000.0
    running = {r.id: msgspec.structs.replace(r, version=NEW if r.id.startswith("R") else OLD) for r in robots}
    installed = {name: ["healthy", done - 60, done - 60, done] for name in made["cohort"]["robots"]}
    found, sample = await measure(
        Behind(late), stage=made["stages"][0], cohort=made["cohort"], installed=installed, robots=running,  # type: ignore[arg-type]
        extensions=0, now=done + 26 * 3600,
    )  # fmt: skip
    assert found.verdict.word == word, found.verdict.sentence
    assert sample["coverage_ok"] is (word == "PASS")


async def test_a_rollback_that_fails_is_named_with_its_first_error_and_handed_on() -> None:
    class Stubborn(Owners):
        def step(self) -> None:
            super().step()
            if self.desired["R1"] == OLD and self.fleet["R1"].version == NEW:
                self.state["R1"] = "failed"

    owners = Stubborn()
    cohort = await frozen(owners)
    on_new(owners, "R0", "R1")
    owners.set("R1", online=False)
    context = Ctx(owners)

    async def wake(seconds: float) -> None:
        context.time += seconds
        if owners.desired["R1"] == OLD:
            owners.state["R1"] = "failed"
            owners.set("R1", online=True)
        owners.step()

    context.sleep = wake  # type: ignore[method-assign]
    undone = await actions.revert(context, {"stage": cohort["stages"][0]})
    assert undone["restored"] == ["R0"] and undone["unreachable"] == [["R1", "going back failed: disk full"]]
    assert [call for call in owners.calls if call[0] == "retry"] == [("retry", ("R1",), "")], (
        "tried once more, not for ever"
    )
    ended = await actions.finish(context, {"cohort": cohort["cohort"], "cause": "RollbackAsked"})
    assert ended["ending"] == "rollback_incomplete" and ended["exceptions"][0][0] == "R1"


async def test_a_resumed_rollout_does_not_restart_a_robot_that_a_person_paused() -> None:
    """Remote resume must not beat a person's hand at the robot: whoever stands there decides."""
    owners = Owners(20)
    stage = (await frozen(owners))["stages"][0]
    first = await actions.advance(Ctx(owners), {"stage": stage, "before": None})
    told = next(names[0] for verb, names, _ in owners.calls if verb == "assign")
    await actions.pause(Ctx(owners), {"stage": stage})
    owners.set(told, mode="INTERVENED")
    owners.calls.clear()
    await actions.clear(Ctx(owners), {"version": NEW})
    after = await actions.advance(Ctx(owners), {"stage": stage, "before": None, "earlier": first})
    assert all(told not in names for _, names, _ in owners.calls)
    assert after["robots"][told][0] == "deferred" and "a person has taken over" in after["robots"][told][5]
