"""Rollouts that the update server holds itself: moved once, approved with who approved, refused where there are none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from engine.capabilities.ports import ActionError, InDoubt
from engine.capabilities.rollout import owner
from tests.unit.connectors.test_hawkbit import FILTER, ROBOTS, Ground
from tests.unit.rollout.test_actions import Ctx

GROUPS = [{"name": "canary", "share": 30, "failure": 10}, {"name": "rest", "pause_after": False}]


class Site(Ctx):
    def __init__(self, updates: Any) -> None:
        super().__init__(updates)
        self.asked: list[str] = []

    def port(self, capability: str) -> Any:
        self.asked.append(capability)
        return self.owners


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    made = Ground(approval=True)
    yield made
    await made.hawkbit.close()


async def test_one_is_made_approved_started_and_led_on_with_every_answer_lost_on_the_way(ground: Ground) -> None:
    context = Site(ground.hawkbit)

    async def twice(action: Any, given: dict[str, Any]) -> Any:
        ground.line.lose["POST"] = 1
        with pytest.raises(InDoubt):
            await action(context, given)
        return await action(context, given)

    made = await twice(owner.create, {"version": "1.1.0", "filter": FILTER, "groups": GROUPS, "system": "depot"})
    assert context.asked[-1] == "updates@depot" and made["robots"] == len(ROBOTS)
    where = {"rollout": made["rollout"]}
    found = await owner.look(context, where)
    assert found["state"] == "waiting_for_approval"
    assert [(g["name"], g["robots"], g["fails_above"]) for g in found["groups"]] == [
        ("canary", 2, "10"),
        ("rest", 4, "1"),
    ]
    approved = await twice(owner.move, {**where, "call": "approve", "remark": "run-7", "by": ["ana", "bo"]})
    assert approved["state"] == "ready"
    assert ground.server.rollouts[int(made["rollout"])]["approvalRemark"] == "run-7, by ana and bo"
    assert (await twice(owner.move, {**where, "call": "start"}))["state"] == "running"
    await twice(owner.next_group, {**where, "group": "rest"})
    assert {g["state"] for g in (await owner.look(context, where))["groups"]} == {"running"}
    posts = [path.rpartition("/")[2] for method, path, _ in ground.server.writes if method == "POST"]
    assert sorted(posts) == ["approve", "rollouts", "start", "triggerNextGroup"], "each was done once"


async def test_what_its_state_does_not_allow_is_refused_by_name(ground: Ground) -> None:
    context = Site(ground.hawkbit)
    made = await owner.create(context, {"version": "1.1.0", "filter": FILTER, "groups": GROUPS})
    where = {"rollout": made["rollout"]}
    for action, given, error in (
        (owner.move, {"call": "resume"}, "IllegalState"),
        (owner.move, {"call": "triggerNextGroup"}, "BadMove"),
        (owner.next_group, {"group": "nobody"}, "NoSuchGroup"),
        (owner.create, {"version": "1.1.0", "filter": FILTER, "groups": [{"nme": "x"}]}, "BadPlan"),
        (owner.create, {"version": "1.1.0", "filter": " ", "groups": GROUPS}, "BadPlan"),
        (owner.create, {"version": "9", "filter": FILTER, "groups": GROUPS}, "NoSuchRelease"),
    ):
        with pytest.raises(ActionError) as caught:
            await action(context, {**where, **given})
        assert (caught.value.error, caught.value.retryable) == (error, False)
    with pytest.raises(ActionError) as caught:
        await owner.look(Site(object()), where)
    assert caught.value.error == "Unsupported"
