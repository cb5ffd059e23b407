"""The same actions over other update servers: the pattern does not know which one serves it.

Both servers are contract servers built from published documents; gooseBit itself is driven in the integration tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from connectors.fleet import JoinedFleet
from engine.capabilities.packs import load_pack
from engine.capabilities.ports import ActionError, Sample
from engine.capabilities.rollout import actions
from tests.unit.connectors import test_hawkbit, test_mender
from tests.unit.rollout.test_actions import Ctx

OLD, NEW = "1.0.0", "1.1.0"
BROKEN = "HAM2-AMR-03"


class Metrics:
    """What robots say of themselves: their mode and battery, not their version (that is the update server's to say)."""

    def __init__(self, robots: Sequence[str]) -> None:
        self.robots = robots

    async def instant(
        self, name: str, labels: dict[str, str] | None = None, at: float | None = None
    ) -> list[tuple[dict[str, str], Sample]]:
        told = {
            "robot_info": ({"site": "HAM2", "region": "eu", "customer": "Nordlicht"}, 1.0),
            "robot_mode": ({"mode": "AUTOMATIC"}, 1.0),
            "robot_battery_ratio": ({}, 0.9),
            "robot_busy": ({}, 0.0),
            "robot_last_heartbeat_timestamp_seconds": ({}, 100.0),
            "robot_disk_free_bytes": ({}, 6e9),
        }.get(name)
        return (
            []
            if told is None or labels or at is not None
            else [({"robot": r, **told[0]}, Sample(100.0, told[1])) for r in self.robots]
        )

    async def range(
        self, name: str, start: float, end: float, step: float, robots: Sequence[str] | None = None
    ) -> dict[str, list[Sample]]:
        return {}

    async def check(self) -> str:
        return "metrics in memory"


class HawkBitSite:
    def __init__(self) -> None:
        self.ground = test_hawkbit.Ground()
        self.updates, self.robots = self.ground.hawkbit, test_hawkbit.ROBOTS
        self.bad = {BROKEN}

    def step(self) -> None:
        server = self.ground.server
        for robot in self.robots:
            while given := server.polls(robot):
                if given == "cancelAction":
                    server.says(robot, "canceled")
                elif robot in self.bad:
                    server.says(robot, "error", "self test failed: lidar timeout")
                else:
                    server.says(robot, "finished", "installed")


class MenderSite:
    def __init__(self) -> None:
        self.ground = test_mender.Ground()
        self.updates, self.robots = self.ground.mender, test_mender.ROBOTS
        self.bad = {BROKEN}

    def step(self) -> None:
        for robot in self.robots:
            while self.ground.server.asks(self.ground.ids[robot]):
                if robot in self.bad:
                    self.ground.says(robot, "failure", "error: self test failed: lidar timeout")
                else:
                    self.ground.says(robot, "success")


class Site(Ctx):
    def __init__(self, made: Any) -> None:
        super().__init__(made)
        self.updates = made.updates
        self.fleet = JoinedFleet(made.updates, Metrics(made.robots), test_hawkbit.Wall())

    def now(self) -> float:
        return test_hawkbit.Wall().now()

    def port(self, capability: str) -> Any:
        if capability in ("updates", "fleet"):
            return self.updates if capability == "updates" else self.fleet
        raise ActionError("NotConfigured", f"no {capability} here", kind="configuration", retryable=False)

    def policy(self, pack: str) -> dict[str, Any]:
        return load_pack("rollout", overrides={"stages": [{"name": "only", "share": 1.0}]})


@pytest.mark.parametrize("made", [HawkBitSite, MenderSite], ids=["hawkbit", "mender"])
async def test_a_stage_is_frozen_checked_installed_paused_and_brought_back(made: Any) -> None:
    site = made()
    context = Site(site)
    cohort = await actions.freeze(context, {"version": NEW, "selector": "all"})
    assert sorted(cohort["cohort"]["robots"]) == sorted(site.robots)
    assert cohort["cohort"]["previous"] == OLD
    checked = await actions.preflight(context, {"cohort": cohort})
    assert checked["owner"]["pause"] and checked["server"] and checked["ready"] == len(site.robots)
    (stage,) = cohort["stages"]
    await actions.dispatch(context, {"stage": stage, "selector": "all"})

    before: Any = None
    for _ in range(12):
        before = await actions.advance(context, {"stage": stage, "before": before})
        site.step()
        counts = before["counts"]
        if counts["ok"] + counts["failed"] == len(site.robots):
            break
    assert (counts["ok"], counts["failed"]) == (len(site.robots) - 1, 1), before
    assert [(name, "lidar timeout" in error) for name, error in before["failed"]] == [(BROKEN, True)]

    site.bad.clear()
    again = await actions.retry(context, {"stage": stage})
    assert again["robots"] == [BROKEN]
    site.step()
    assert {r.reported for r in await site.updates.reports()} == {NEW}

    back = await actions.revert(context, {"stage": stage})
    assert sorted(back["restored"]) == sorted(site.robots) and not back["blocked"], back
    assert {r.reported for r in await site.updates.reports()} == {OLD}
    done = await actions.finish(context, {"cohort": cohort["cohort"], "cause": "RolledBack"})
    assert done["ending"] == "rolled_back" and done["counts"]["on_previous"] == len(site.robots)
    await site.updates.close()


@pytest.mark.parametrize("made", [HawkBitSite, MenderSite], ids=["hawkbit", "mender"])
async def test_a_pause_stops_what_has_not_begun_and_it_goes_on_afterwards(made: Any) -> None:
    site = made()
    site.bad.clear()
    context = Site(site)
    cohort = await actions.freeze(context, {"version": NEW, "selector": "all"})
    (stage,) = cohort["stages"]
    sample: Any = await actions.advance(context, {"stage": stage, "before": None})
    assert sample["sent"] > 0
    paused = await actions.pause(context, {"stage": stage})
    assert len(paused["stopped"]) == sample["sent"] and not paused["running"] and paused["limits"]
    site.step()
    assert {r.reported for r in await site.updates.reports()} == {OLD}, "no robot installed what was called back"
    for _ in range(12):
        sample = await actions.advance(context, {"stage": stage, "before": sample})
        site.step()
        if sample["counts"]["ok"] == len(site.robots):
            break
    assert sample["counts"]["ok"] == len(site.robots), sample
    await site.updates.close()
