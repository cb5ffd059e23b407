"""Robots and versions that nobody may touch: asked at every freeze, at every look, and before anybody is sent back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine.capabilities.packs import load_pack
from engine.capabilities.ports import ActionError
from engine.capabilities.rollout import actions
from engine.capabilities.rollout.installs import look
from engine.capabilities.rollout.restraints import Restraints, restraints
from tests.unit.rollout.test_actions import NEW, OLD, Ctx, Owners, on_new
from tests.unit.rollout.test_installs import Stage


class Kept:
    """The records that restrain, as the book would find them."""

    def __init__(self, **kinds: list[Any]) -> None:
        self.kinds = kinds

    async def find(self, kind: str, *, state: Any = (), limit: int = 200) -> list[Any]:
        if kind not in self.kinds:
            raise ValueError(f"no records of kind {kind}")
        return self.kinds[kind]


def hold(robot: str) -> Any:
    return SimpleNamespace(id="H-1", robot=robot, incident="I-44", purpose="legal")


def incident(**more: Any) -> Any:
    return SimpleNamespace(**{"id": "I-44", "version": NEW, "draft": False, "released_rollouts": False, **more})


def context(owners: Owners, **kinds: list[Any]) -> Any:
    made: Any = Ctx(owners)
    made.records = Kept(**kinds)
    return made


async def test_holds_leases_incidents_and_revocations_restrain_drafts_and_released_ones_do_not() -> None:
    found = await restraints(
        context(
            Owners(),
            hold=[hold("R0")],
            robot=[SimpleNamespace(id="R1", lease="L-7"), SimpleNamespace(id="R2", lease="")],
            artifact=[SimpleNamespace(id="A-1", version="4.9.0")],
            incident=[incident(), incident(version="5.0", draft=True), incident(version="5.1", released_rollouts=True)],
        )
    )
    assert (
        found.of("R0") == "legal hold H-1 (I-44)" and "control lease (L-7)" in found.of("R1") and found.of("R2") == ""
    )
    assert set(found.barred) == {"4.9.0", NEW}
    assert await restraints(context(Owners())) == Restraints(), (
        "an installation without those records is not restrained"
    )


def looked(stage: Stage, **restraint: Any) -> Any:
    found = look(
        stage=stage.stage,
        before=stage.sample,
        retried=None,
        reports=stage.reports,
        robots=stage.robots,
        now=stage.now,
        **restraint,
    )
    stage.sample, stage.now = found.sample, stage.now + 300
    return found


def test_a_restrained_robot_waits_and_is_in_no_denominator() -> None:
    stage = Stage(3)
    found = looked(stage, restrained={"R0": "legal hold H-1"})
    assert (
        "R0" not in found.send
        and found.memory["R0"].state == "deferred"
        and found.memory["R0"].reason == "legal hold H-1"
    )
    assert found.sample["counts"]["deferred"] >= 1 and found.sample["counts"]["executed"] == 0


def test_a_robot_that_was_told_and_has_not_begun_is_told_off_one_that_installs_is_not_touched() -> None:
    stage = Stage(3)
    first = looked(stage)
    assert first.send
    told = first.send[0]
    for name in first.send:
        stage.reports[name] = type(stage.reports[name])(robot=name, state="assigned", desired=NEW, reported=OLD)
    assert looked(stage, restrained={told: "legal hold H-1"}).told_off == [told]
    stage.reports[told] = type(stage.reports[told])(robot=told, state="installing", desired=NEW, reported=OLD)
    busy = looked(stage, restrained={told: "legal hold H-1"})
    assert busy.told_off == [] and busy.memory[told].state == "installing"


def test_a_barred_version_goes_to_nobody() -> None:
    found = looked(Stage(4), barred="incident I-44 is open on 4.8.1")
    assert found.send == [] and {memory.reason for memory in found.memory.values()} == {
        "incident I-44 is open on 4.8.1"
    }


async def test_a_freeze_leaves_held_robots_out_and_refuses_a_barred_version() -> None:
    owners = Owners()
    frozen = await actions.freeze(context(owners, hold=[hold("R0")]), {"version": NEW, "selector": "all"})
    assert "R0" not in frozen["cohort"]["robots"] and ["R0", "legal hold H-1 (I-44)"] in frozen["exclusions"]
    with pytest.raises(ActionError, match="incident I-44 is open") as refused:
        await actions.freeze(context(owners, incident=[incident()]), {"version": NEW, "selector": "all"})
    assert refused.value.error == "Barred"


async def test_a_rollback_leaves_a_held_robot_as_it_is_and_names_it() -> None:
    """What it knows about an incident outweighs that it runs the wrong release."""
    owners = Owners()
    frozen = await actions.freeze(Ctx(owners), {"version": NEW, "selector": "all"})
    on_new(owners, "R0", "R1")
    undone = await actions.revert(context(owners, hold=[hold("R0")]), {"stage": frozen["stages"][0]})
    assert undone["restored"] == ["R1"] and undone["blocked"] == [["R0", "legal hold H-1 (I-44)"]]
    assert owners.fleet["R0"].version == NEW and all("R0" not in call[1] for call in owners.calls)


async def test_resuming_is_refused_while_the_incident_is_open() -> None:
    with pytest.raises(ActionError, match="I-44") as refused:
        await actions.clear(context(Owners(), incident=[incident()]), {"version": NEW})
    assert refused.value.error == "StillBarred"
    assert (await actions.clear(context(Owners()), {"version": NEW}))["clear"]


async def test_a_release_below_a_bootloaders_floor_is_found_before_anybody_signs() -> None:
    owners = Owners()
    owners.set("R0", rollback_floor="4.9.0")
    frozen = await actions.freeze(Ctx(owners), {"version": NEW, "selector": "all"})
    with pytest.raises(ActionError, match=r"bootloader refuses versions below 4\.9\.0"):
        await actions.preflight(Ctx(owners), {"cohort": frozen})


def test_the_default_pack_has_every_number_an_emergency_wave_overrides() -> None:
    rollout, hotfix = load_pack("rollout"), load_pack("hotfix")
    assert {"settle", "poll", "health_every", "extend", "install_limit", "resolution", "min_tasks", "rate"} <= set(
        rollout
    )
    assert all({"name", "share"} <= set(stage) for stage in hotfix["waves"])
