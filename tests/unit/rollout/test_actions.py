"""The actions against owners made of two dictionaries: the way back, what stops a dispatch, pause, and a mirror."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.capabilities.packs import load_pack
from engine.capabilities.ports import ActionError, InDoubt, InstallReport, Release, Robot, Sample
from engine.capabilities.registry import Registry, builtin
from engine.capabilities.rollout import actions
from engine.capabilities.rollout.fleet import Mirror
from engine.capabilities.rollout.measure import increase, rises
from engine.capabilities.rollout.undo import phrase

OLD, NEW = "4.7.9", "4.8.1"


class Owners:
    """An update server and a fleet. A robot takes its target at its next turn (`step`) when it is online."""

    traits = {"pause": "assignments are withdrawn one by one"}

    def __init__(self, count: int = 4) -> None:
        self.fleet = {
            f"R{i}": Robot(
                id=f"R{i}",
                site="HAM2",
                region="eu",
                variant="rev-B",
                mode="AUTOMATIC",
                version=OLD,
                battery=0.9,
                online=True,
            )
            for i in range(count)
        }
        self.desired = dict.fromkeys(self.fleet, OLD)
        self.state = dict.fromkeys(self.fleet, "idle")
        self.held = [
            Release(id="1", version=OLD, digest="a", size_b=1),
            Release(id="2", version=NEW, digest="b", size_b=1),
        ]
        self.calls: list[tuple[str, tuple[str, ...], str]] = []
        self.doubt = 0

    async def robots(self) -> list[Robot]:
        return list(self.fleet.values())

    async def releases(self) -> list[Release]:
        return self.held

    async def reports(self, robots: Any = None) -> list[InstallReport]:
        return [
            InstallReport(robot=n, state=self.state[n], desired=self.desired[n], reported=r.version)
            for n, r in self.fleet.items()
            if robots is None or n in robots
        ]

    async def assign(self, robots: Any, version: str, *, key: str) -> list[str]:
        self.calls.append(("assign", tuple(sorted(robots)), version))
        if self.doubt:
            self.doubt -= 1
            raise InDoubt("Unanswered", "sent and not answered")
        for name in robots:
            self.desired[name], self.state[name] = version, "assigned"
        return list(robots)

    async def withdraw(self, robots: Any, *, key: str) -> list[str]:
        self.calls.append(("withdraw", tuple(sorted(robots)), ""))
        for name in robots:
            self.desired[name], self.state[name] = self.fleet[name].version, "idle"
        return list(robots)

    async def retry(self, robots: Any, *, key: str) -> None:
        self.calls.append(("retry", tuple(sorted(robots)), ""))

    async def first_error(self, robot: str) -> str:
        return "disk full"

    def set(self, name: str, **more: Any) -> None:
        self.fleet[name] = msgspec.structs.replace(self.fleet[name], **more)

    def step(self) -> None:
        for name, robot in self.fleet.items():
            if robot.online and self.state[name] == "assigned":
                self.set(name, version=self.desired[name])
                self.state[name] = "done"


class Ctx:
    run, path, key, attempt, in_doubt, recovered = "run-1", "x", "key", 1, False, False
    records: Any = None
    vault: Any = None
    started_by = "test"

    def __init__(self, owners: Owners, claims: Any = None) -> None:
        self.owners, self.time, self.claims = owners, 1000.0, claims

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.owners.step()

    def heartbeat(self, progress: Any = None) -> None: ...

    def cancelled(self) -> bool:
        return False

    def port(self, capability: str) -> Any:
        if capability != "rollouts":
            return self.owners
        if self.claims is None:
            raise ActionError("NotConfigured", "no history of rollouts", kind="configuration", retryable=False)
        return self.claims

    def policy(self, pack: str) -> dict[str, Any]:
        return load_pack("rollout", overrides={"stages": [{"name": "only", "share": 1.0}]})


async def frozen(owners: Owners) -> dict[str, Any]:
    found: dict[str, Any] = await actions.freeze(Ctx(owners), {"version": NEW, "selector": "all"})
    return found


def on_new(owners: Owners, *names: str) -> None:
    for name in names:
        owners.set(name, version=NEW)
        owners.desired[name], owners.state[name] = NEW, "done"


async def test_the_way_back_touches_only_robots_that_were_touched() -> None:
    owners = Owners()
    stage = (await frozen(owners))["stages"][0]
    on_new(owners, "R0", "R1")
    found = await actions.revert(Ctx(owners), {"stage": stage})
    assert found["restored"] == ["R0", "R1"] and not found["blocked"] and not found["unreachable"]
    assert {n for _, names, _ in owners.calls for n in names} == {"R0", "R1"}


async def test_robots_that_cannot_go_back_are_named_and_left_alone() -> None:
    owners = Owners()
    stage = (await frozen(owners))["stages"][0]
    on_new(owners, "R0", "R1", "R2")
    owners.set("R1", rollback_floor=NEW)
    found = await actions.revert(Ctx(owners), {"stage": stage})
    assert found["restored"] == ["R0", "R2"]
    assert [name for name, _ in found["blocked"]] == ["R1"]
    assert "R1" not in {n for _, names, _ in owners.calls for n in names}


async def test_an_offline_robot_is_told_for_when_it_wakes_and_handed_on() -> None:
    owners = Owners()
    stage = (await frozen(owners))["stages"][0]
    on_new(owners, "R0", "R1")
    owners.set("R1", online=False, mode="OFFLINE")
    found = await actions.revert(Ctx(owners), {"stage": stage})
    assert found["restored"] == ["R0"]
    assert found["unreachable"] == [["R1", "offline: goes back when it wakes"]]
    assert owners.desired["R1"] == OLD


async def test_who_was_told_and_did_not_begin_is_stopped_first() -> None:
    owners = Owners()
    stage = (await frozen(owners))["stages"][0]
    owners.desired["R3"], owners.state["R3"] = NEW, "assigned"
    found = await actions.revert(Ctx(owners), {"stage": stage})
    assert found["stopped"] == ["R3"] and owners.fleet["R3"].version == OLD
    assert owners.calls[0][0] == "withdraw"


async def test_nobody_is_restarted_under_a_persons_hands() -> None:
    owners = Owners()
    stage = (await frozen(owners))["stages"][0]
    on_new(owners, "R0", "R1")
    owners.set("R0", mode="MANUAL")
    found = await actions.revert(Ctx(owners), {"stage": stage})
    assert found["restored"] == ["R1"]
    assert found["unreachable"][0][0] == "R0" and "a person is on it" in found["unreachable"][0][1]


async def test_lost_telemetry_is_no_reason_to_stay() -> None:
    owners = Owners()
    stage = (await frozen(owners))["stages"][0]
    on_new(owners, "R0")
    owners.set("R0", mode="UNKNOWN", battery=None)
    assert (await actions.revert(Ctx(owners), {"stage": stage}))["restored"] == ["R0"]


async def test_an_unanswered_order_is_read_back() -> None:
    owners = Owners()
    owners.doubt = 1
    stage = (await frozen(owners))["stages"][0]
    on_new(owners, "R0")
    assert (await actions.revert(Ctx(owners), {"stage": stage}))["restored"] == ["R0"]


async def test_asked_twice_it_ends_at_the_same_place() -> None:
    owners = Owners()
    stage = (await frozen(owners))["stages"][0]
    on_new(owners, "R0", "R1")
    await actions.revert(Ctx(owners), {"stage": stage})
    before = len(owners.calls)
    again = await actions.revert(Ctx(owners), {"stage": stage})
    assert again["restored"] == [] and len(owners.calls) == before


async def test_dispatch_stops_on_any_difference_to_what_was_signed() -> None:
    owners = Owners()
    given = {"stage": (await frozen(owners))["stages"][0], "selector": "site:HAM2"}
    await actions.dispatch(Ctx(owners), given)
    owners.set("R1", site="HAM5")
    with pytest.raises(ActionError) as raised:
        await actions.dispatch(Ctx(owners), given)
    assert raised.value.error == "TargetsChanged" and "R1" in raised.value.message
    owners.set("R1", site="HAM2")
    owners.held[1] = Release(id="2", version=NEW, digest="other", size_b=1)
    with pytest.raises(ActionError, match="changed its content"):
        await actions.dispatch(Ctx(owners), given)


async def test_preflight_names_what_cannot_go_back_and_stops_on_what_does_not_fit() -> None:
    owners = Owners()
    cohort = await frozen(owners)
    owners.set("R2", rollback_floor=NEW)
    found = await actions.preflight(Ctx(owners), {"cohort": cohort})
    assert [b["robot"] for b in found["blocked"]] == ["R2"]
    assert found["rollback"] | {"phrase": ""} == {"feasible": 3, "blocked": 1, "to_version": OLD, "phrase": ""}
    owners.held[1] = msgspec.structs.replace(owners.held[1], models=("amr/rev-X",))
    with pytest.raises(ActionError) as raised:
        await actions.preflight(Ctx(owners), {"cohort": cohort})
    assert raised.value.error == "PreflightFailed" and not raised.value.retryable


async def test_two_updates_of_one_robot_do_not_pass_preflight() -> None:
    owners = Owners()
    cohort = await frozen(owners)
    owners.desired["R1"] = "4.9.9"
    with pytest.raises(ActionError, match="another update is under way"):
        await actions.preflight(Ctx(owners), {"cohort": cohort})


async def test_pause_says_what_stops_what_runs_and_what_never_began() -> None:
    owners = Owners()
    stage = (await frozen(owners))["stages"][0]
    on_new(owners, "R0")
    owners.desired["R1"], owners.state["R1"] = NEW, "installing"
    owners.desired["R2"], owners.state["R2"] = NEW, "assigned"
    found = await actions.pause(Ctx(owners), {"stage": stage})
    assert found["stopped"] == ["R2"] and found["running"] == ["R1"] and found["split"] == [1, 1, 2]


async def test_an_order_nobody_confirmed_is_not_taken_as_given() -> None:
    owners = Owners()
    owners.doubt = 1
    owners.fleet |= {f"X{i}": msgspec.structs.replace(owners.fleet["R0"], id=f"X{i}") for i in range(16)}
    stage = (await frozen(Owners()))["stages"][0]
    sample = await actions.advance(Ctx(owners), {"stage": stage, "before": None})
    assert sample["sent"] > 0 and {state[0] for state in sample["robots"].values()} <= {"planned", "deferred"}


@pytest.mark.parametrize(
    ("version", "cause", "ending"),
    [
        (NEW, "", "completed"),
        (OLD, "", "completed_with_exceptions"),
        (OLD, "RollbackAsked", "rolled_back"),
        (NEW, "RollbackAsked", "rollback_incomplete"),
        (OLD, "Rejected", "rejected"),
        (OLD, "SignoffExpired", "aborted"),
    ],
)
async def test_endings_are_told_by_what_robots_run(version: str, cause: str, ending: str) -> None:
    owners = Owners()
    cohort = (await frozen(owners))["cohort"]
    if version == NEW:
        on_new(owners, *owners.fleet)
    found = await actions.finish(Ctx(owners), {"cohort": cohort, "cause": cause})
    assert found["ending"] == ending


async def drifting(owners: Owners, now: list[float]) -> Mirror:
    mirror = Mirror(owners, owners, lambda: now[0])  # type: ignore[arg-type]
    await mirror.look()
    owners.desired["R0"] = NEW
    await mirror.look()
    assert not mirror.drifted
    now[0] = 2 * 3600.0
    return mirror


async def test_the_mirror_sees_drift_only_past_its_deadline() -> None:
    mirror = await drifting(Owners(), [0.0])
    await mirror.look()
    assert [row.id for row in mirror.drifted] == ["R0"]


async def test_drift_is_told_once_for_each_version_a_robot_reports() -> None:
    owners, now = Owners(), [1.0]
    mirror = await drifting(owners, now)

    async def untold(**reports: Any) -> list[str]:
        owners.fleet["R0"] = msgspec.structs.replace(owners.fleet["R0"], **reports)
        await mirror.look()
        return [row.reported for row in mirror.drifted]

    assert await untold() == [OLD] == await untold(), "asked for again until it was told"
    mirror.told(mirror.drifted[0])
    assert await untold() == []
    assert await untold(online=False) == [] == await untold(online=True), "coming back is no new drift"
    owners.desired["R0"] = "4.9.9"
    await mirror.look()
    now[0] *= 2
    assert await untold() == [], "it still runs the same, whatever it should run now"
    assert await untold(version="4.7.7") == []
    now[0] *= 2
    assert await untold() == ["4.7.7"]
    mirror.told(mirror.drifted[0])
    assert await untold(version="4.9.9") == [] == await untold(version="4.7.7")
    now[0] *= 2
    assert await untold() == ["4.7.7"], "it had agreed in between"


async def test_a_mirror_goes_on_where_an_earlier_engine_left_it() -> None:
    owners, now = Owners(), [1.0]
    mirror = await drifting(owners, now)
    rows = mirror.rows(list(owners.fleet.values()), {r.robot: r for r in await owners.reports()}, 2.0)
    assert rows[0].differs_since == 1.0
    again = Mirror(owners, owners, lambda: now[0])  # type: ignore[arg-type]
    again.remember(rows)
    del owners.fleet["R3"]
    written = await again.look()
    assert [row.differs_since for row in again.drifted] == [1.0], "its deadline did not begin anew"
    assert ("delete from robots where id = ?", [("R3",)]) in written


async def test_the_mirror_forgets_robots_that_are_gone() -> None:
    owners = Owners()
    mirror = Mirror(owners, owners, lambda: 0.0)  # type: ignore[arg-type]
    await mirror.look()
    del owners.fleet["R3"]
    assert ("delete from robots where id = ?", [("R3",)]) in await mirror.look()


def test_the_phrase_is_made_of_what_would_be_touched() -> None:
    assert phrase(9, ["HAM2"]) == "rollback 9 HAM2"
    assert phrase(14, ["HAM2", "HAM5", "LYO1", "UTR1"]) == "rollback 14 4-sites"


def test_counters_that_restart_and_warm_ups_that_end_within_an_interval() -> None:
    points = [Sample(0, 10), Sample(300, 12), Sample(600, 1), Sample(900, 4)]
    assert rises(points, 0) == [(300, 2), (600, 1), (900, 3)]
    assert rises(points, 150) == [(600, 1), (900, 3)], "the interval of the warm-up's end is the warm-up's"
    assert increase(points, 150) == pytest.approx(1 + 1 + 3)
    assert increase([], 0) == 0 and rises([Sample(0, 1)], 0) == []


def test_actions_have_one_name_each() -> None:
    registry = builtin()
    assert all(name == action.name for name, action in registry.actions.items())
    assert "rollout.revert" in registry and registry.get("nothing") is None
    with pytest.raises(ValueError, match=r"rollout\.freeze"):
        registry.extended(dict(registry.actions))
    assert isinstance(registry, Registry)
