"""One look at a stage: who may begin, who counts, and what a robot says about itself."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.capabilities.packs import load_pack
from engine.capabilities.ports import InstallReport, Release, Robot
from engine.capabilities.rollout.eligibility import incompatibility, install_refusal, newer, rollback_refusal
from engine.capabilities.rollout.installs import look
from engine.capabilities.rollout.planning import freeze

OLD, NEW = "4.7.9", "4.8.1"
RELEASES = [Release(id="1", version=OLD, digest="a", size_b=1), Release(id="2", version=NEW, digest="b", size_b=1)]


def robot(name: str, **more: Any) -> Robot:
    fields = {
        "id": name,
        "site": "HAM2",
        "region": "eu",
        "variant": "rev-B",
        "mode": "AUTOMATIC",
        "version": OLD,
        "battery": 0.9,
        "online": True,
        "poll_s": 60.0,
    }
    return Robot(**{**fields, **more})


class Stage:
    """A stage whose robots are moved by hand, looked at again and again."""

    def __init__(self, count: int = 6, **plan: Any) -> None:
        self.robots = {f"R{i}": robot(f"R{i}", site=f"S{i}") for i in range(count)}
        self.robots |= {f"other{i}": robot(f"other{i}", site=f"S{i}") for i in range(count)}
        policy = load_pack(
            "rollout", overrides={"stages": [{"name": "only", "share": 1.0, "ratio_limit": None}], **plan}
        )
        found = freeze(
            selector="robot:R*",
            exclude=[],
            version=NEW,
            robots=list(self.robots.values()),
            releases=RELEASES,
            policy=policy,
            now=0.0,
        )
        self.stage = found["stages"][0]
        self.reports = {
            name: InstallReport(robot=name, state="idle", desired=OLD, reported=OLD) for name in self.robots
        }
        self.sample: dict[str, Any] | None = None
        self.now = 1000.0

    def look(self, after: float = 300.0, retried: Any = None) -> Any:
        self.now += after
        found = look(
            stage=self.stage,
            before=self.sample,
            retried=retried,
            reports=self.reports,
            robots=self.robots,
            now=self.now,
        )
        for name in found.send:
            self.report(name, state="assigned", desired=NEW)
        self.sample = found.sample
        return found

    def report(self, name: str, **more: Any) -> None:
        self.reports[name] = msgspec.structs.replace(self.reports[name], **more)
        if "reported" in more:
            self.robots[name] = msgspec.structs.replace(self.robots[name], version=more["reported"])

    def set(self, name: str, **more: Any) -> None:
        self.robots[name] = msgspec.structs.replace(self.robots[name], **more)

    def state(self, name: str) -> str:
        assert self.sample is not None
        return str(self.sample["robots"][name][0])


def test_a_good_install_ends_healthy_and_the_warm_up_counts_from_the_last() -> None:
    stage = Stage(2)
    assert sorted(stage.look().send) == ["R0", "R1"]
    stage.report("R0", state="installing")
    stage.look()
    assert stage.state("R0") == "installing"
    for name in ("R0", "R1"):
        stage.report(name, state="done", reported=NEW)
    found = stage.look()
    assert found.sample["finished"] and found.sample["verdict"]["word"] == "PASS"
    assert found.sample["settle_until"] == stage.now + 1800
    again = stage.look()
    assert again.sample["settle_until"] == found.sample["settle_until"], "a later look does not move it"
    assert again.send == [] and again.sample["changes"] == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mode": "MANUAL"}, "a person is on it"),
        ({"mode": "TEACH_IN"}, "a person is on it"),
        ({"mode": "INTERVENED"}, "taken over"),
        ({"mode": "SERVICE"}, "technician"),
        ({"mode": "STARTUP"}, "starting up"),
        ({"mode": "SOMETHING_NEW"}, "not known"),
        ({"mode": "UNKNOWN"}, "does not report"),
        ({"busy": True}, "idle"),
        ({"battery": 0.2}, "battery"),
        ({"battery": None}, "battery"),
        ({"pinned": True}, "pinned"),
    ],
)
def test_who_may_not_be_updated_is_deferred_with_the_reason(change: dict[str, Any], reason: str) -> None:
    stage = Stage(3)
    stage.set("R0", **change)
    assert "R0" not in stage.look().send
    assert stage.state("R0") == "deferred"
    assert reason in stage.sample["robots"]["R0"][5]  # type: ignore[index]


def test_a_charging_robot_may_be_updated_on_a_low_battery() -> None:
    assert install_refusal(robot("R", battery=0.2, charging=True), min_battery=0.5) == ""


def test_a_robot_that_goes_offline_before_it_began_is_offline_not_failed() -> None:
    stage = Stage(3)
    stage.look()
    stage.set("R0", online=False, mode="OFFLINE")
    stage.look(after=9 * 3600)
    assert stage.state("R0") == "offline"
    assert stage.sample["counts"]["failed"] == 0  # type: ignore[index]


def test_a_robot_that_began_and_vanished_has_timed_out() -> None:
    stage = Stage(3)
    stage.look()
    stage.report("R0", state="installing")
    stage.look()
    stage.set("R0", online=False, mode="OFFLINE")
    stage.look(after=600)
    assert stage.state("R0") == "rebooting"
    stage.look(after=3600)
    assert stage.state("R0") == "timed_out"


def test_two_failures_of_seven_stop_the_stage_whatever_is_offline() -> None:
    stage = Stage(10)
    for i in range(6):
        stage.set(f"R{i}", online=False, mode="OFFLINE")
    stage.look()
    for i in (6, 7):
        stage.report(f"R{i}", state="failed")
    found = stage.look()
    assert found.sample["verdict"]["word"] == "FAIL"
    assert found.sample["counts"]["executed"] == 2 and found.sample["counts"]["offline"] == 6
    assert sorted(found.newly_failed) == ["R6", "R7"]


def test_success_that_still_runs_the_old_binary_is_a_failure() -> None:
    stage = Stage(2)
    stage.look()
    stage.report("R0", state="done")
    stage.look()
    assert stage.state("R0") == "commit_pending"
    stage.look(after=3700)
    assert stage.state("R0") == "failed"
    assert OLD in stage.sample["robots"]["R0"][5]  # type: ignore[index]


def test_a_robot_that_goes_back_by_itself_counts_as_failed() -> None:
    stage = Stage(2)
    stage.look()
    stage.report("R0", state="done", reported=NEW)
    stage.look()
    stage.report("R0", reported=OLD)
    assert stage.look().sample["counts"]["failed"] == 1


def test_an_error_from_before_is_not_held_against_the_release() -> None:
    stage = Stage(2)
    stage.report("R0", state="failed")
    stage.look()
    stage.report("R0", state="failed", desired=NEW)
    stage.look()
    assert stage.state("R0") == "notified"
    stage.look(after=3700)
    assert stage.state("R0") == "failed"


def test_what_was_withdrawn_begins_anew() -> None:
    stage = Stage(2)
    stage.look()
    stage.report("R0", state="idle", desired=OLD)
    assert "R0" in stage.look().send


def test_an_engine_that_forgot_reads_back_instead_of_telling_twice() -> None:
    stage = Stage(2)
    stage.look()
    stage.sample = None
    assert stage.look().send == []
    assert stage.state("R0") == "notified"


def test_no_more_than_a_share_of_a_site_is_down_together() -> None:
    stage = Stage(20)
    for name in list(stage.robots):
        stage.set(name, site="HAM2")
    assert len(stage.look().send) == 8, "20 % of the 40 robots of the site"


def test_the_last_working_robot_of_a_site_stays() -> None:
    stage = Stage(2)
    stage.set("R0", site="X")
    stage.set("other0", site="X", online=False, mode="OFFLINE")
    assert "R0" not in stage.look().send
    assert "last working" in stage.sample["robots"]["R0"][5]  # type: ignore[index]


def test_the_rate_of_a_region_is_kept_and_grows_with_success() -> None:
    stage = Stage(60, poll="1m")
    assert len(stage.look().send) == 5
    for i in range(60):
        if stage.state(f"R{i}") == "notified":
            stage.report(f"R{i}", state="done", reported=NEW)
    # what is done counts from the next look on
    stage.look()
    assert stage.sample["counts"]["ok"] == 5  # type: ignore[index]
    for i in range(60):
        if stage.state(f"R{i}") == "notified":
            stage.report(f"R{i}", state="done", reported=NEW)
    assert len(stage.look().send) in (7, 11)


def test_those_out_of_reach_become_stragglers_after_a_while() -> None:
    stage = Stage(6)
    for i in (0, 1):
        stage.set(f"R{i}", online=False, mode="OFFLINE")
    stage.look()
    for i in range(2, 6):
        stage.report(f"R{i}", state="done", reported=NEW)
    assert not stage.look().sample["finished"]
    assert stage.look(after=13 * 3600).sample["finished"]


def test_too_few_executed_never_finish() -> None:
    stage = Stage(6)
    for i in range(5):
        stage.set(f"R{i}", online=False, mode="OFFLINE")
    stage.look()
    stage.report("R5", state="done", reported=NEW)
    assert not stage.look(after=48 * 3600).sample["finished"]


def test_a_failed_robot_can_be_tried_again() -> None:
    stage = Stage(2)
    stage.look()
    stage.report("R0", state="failed")
    stage.look()
    retried = {"robots": ["R0"], "at": stage.now + 1}
    stage.look(retried=retried)
    assert stage.state("R0") == "notified"
    stage.report("R0", state="done", reported=NEW)
    stage.look(retried=retried)
    assert stage.state("R0") == "healthy"


def test_a_robot_its_owner_forgot_is_unknown() -> None:
    stage = Stage(2)
    del stage.reports["R0"]
    assert stage.look().sample["counts"]["unknown"] == 1


@pytest.mark.parametrize(
    ("a", "b", "above"),
    [
        ("4.8.1", "4.7.9", True),
        ("4.10.0", "4.9.9", True),
        ("4.8.0", "4.8", False),
        ("4.8.0-rc1", "4.8.0", False),
        ("v4.8.1", "4.8.0", True),
    ],
)
def test_versions_compare_by_number(a: str, b: str, above: bool) -> None:
    assert newer(a, b) is above


def test_the_way_back_is_asked_of_floor_and_owner() -> None:
    assert rollback_refusal(robot("R"), OLD, RELEASES) == ""
    assert "bootloader" in rollback_refusal(robot("R", rollback_floor=NEW), OLD, RELEASES)
    assert "no longer holds" in rollback_refusal(robot("R"), "4.5.0", RELEASES)
    assert "not known" in rollback_refusal(robot("R"), "", RELEASES)


def test_a_release_is_for_its_hardware() -> None:
    release = Release(id="2", version=NEW, digest="b", size_b=1, models=("amr-600/rev-A", "amr-600/rev-B"))
    assert incompatibility(robot("R"), release) == ""
    assert "rev-C" in incompatibility(robot("R", variant="rev-C"), release)
