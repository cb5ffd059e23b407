"""The default numbers of the first three patterns: they stand in the policy packs, and what stands there is what counts."""

from __future__ import annotations

from typing import Any

import pytest

from engine.capabilities.models import packing
from engine.capabilities.packs import load_pack
from engine.capabilities.rollout import measure
from engine.capabilities.rollout.planning import freeze
from engine.contract.models import PackPlan
from tests.unit.rollout.test_installs import NEW, RELEASES, robot

DAY, HOUR, MINUTE = 86_400.0, 3_600.0, 60.0

DEFAULTS: dict[str, dict[str, Any]] = {
    "data": {
        "profile.frame_drop": 0.01, "profile.gap_frames": 3, "profile.skew": 0.020, "profile.duration_min": 3.0,
        "profile.duration_max": 10 * MINUTE, "profile.max_repairs": 2, "profile.lerobot_data_mb": 100,
        "profile.lerobot_video_mb": 200, "profile.lerobot_files": 1000, "labels.overlap_share": 0.10, "labels.overlap_min": 50,
        "labels.alpha_accept": 0.80, "labels.alpha_tentative": 0.667, "labels.audit_n": 59, "labels.audit_allowed": 0,
        "labels.resolution": 0.5, "coverage.need": 20, "coverage.collect": 14 * DAY, "coverage.late": 7 * DAY,
        "training.preemptions": 5, "shift.psi": 0.2,
    },
    "release": {
        "plan.alpha": 0.05, "plan.margin": 0.05, "plan.task_margin": 0.10, "plan.n_max": 200, "plan.batch": 25,
        "hardware.n_max": 50, "hardware.answer": 5 * DAY, "rounds": 2, "retries": 1, "evidence_age": 14 * DAY,
        "latency_share": 0.8, "approval": 72 * HOUR, "eligible_for": 30 * DAY, "replay_limit": 2 * HOUR, "build_limit": HOUR,
        "smoke_limit": 4 * HOUR, "smoke.robots": 2, "auto_approve": False, "sim_policies": 5,
    },
    "rollout": {
        "soak": 24 * HOUR, "min_tasks": 30, "settle": 30 * MINUTE, "heartbeat": 30.0, "stragglers": 30 * DAY,
        "robot_timeout": 60 * MINUTE, "rate.base_per_min": 5, "rate.factor": 1.5, "rate.after": 5, "site_concurrency": 0.20,
        "min_battery": 0.5, "install_limit_rate": 0.05, "min_failures": 2, "e_alarm": 20.0, "rho0": 1.25, "coverage": 0.90,
        "min_control": 5, "continuous_p": 0.01, "continuous_worse": 0.10, "baseline_per_100h": 2.0,
    },
}  # fmt: skip


@pytest.mark.parametrize(("pack", "path"), [(pack, path) for pack, paths in DEFAULTS.items() for path in paths])
def test_a_default_stands_in_its_policy_pack(pack: str, path: str) -> None:
    found: Any = load_pack(pack)
    for part in path.split("."):
        found = found[part]
    assert found == pytest.approx(DEFAULTS[pack][path])


def test_the_stages_of_a_rollout_are_those_of_the_book() -> None:
    stages = {one["name"]: one for one in load_pack("rollout")["stages"]}
    assert [one.get("share") for one in stages.values()] == [None, 0.01, 0.10, 0.30, 1.0]
    canary = stages["canary"]
    assert (canary["min"], canary["max"], canary["sites"], canary["every_variant"]) == (3, 10, 2, True)
    assert [one["ratio_limit"] for one in stages.values()] == [None, 3.0, 2.0, 1.5, None]
    assert [one["expected_events"] for one in stages.values()] == [0, 6, 16, 50, 0]
    assert [name for name, one in stages.items() if one.get("auto_rollback")] == ["canary"]


RULES = {
    "min_tasks": 7, "e_alarm": 33.0, "rho0": 1.5, "coverage": 0.7, "min_control": 9, "continuous_p": 0.02, "continuous_early_p": 0.003,
    "continuous_worse": 0.3, "baseline_per_100h": 5.0,
}  # fmt: skip
INSTALLS = {
    "site_concurrency": 0.5, "min_battery": 0.3, "min_executed": 2, "install_limit_rate": 0.2, "min_failures": 4, "min_disk": 5,
}  # fmt: skip


def stage_of(**plan: Any) -> dict[str, Any]:
    policy = load_pack("rollout", overrides={"stages": [{"name": "only", "share": 1.0, "ratio_limit": 2.5}], **plan})
    robots = [robot(f"R{i}") for i in range(4)]
    made = freeze(selector="all", exclude=[], version=NEW, robots=robots, releases=RELEASES, policy=policy, now=0.0)
    found: dict[str, Any] = made["stages"][0]
    return found


@pytest.mark.parametrize("name", RULES)
def test_a_verdict_is_made_by_the_numbers_of_the_pack(name: str) -> None:
    found = measure._rules(stage_of(**{name: RULES[name]}), {}, 0, 0.0)
    assert getattr(found, name) == RULES[name] and found.ratio_limit == 2.5


@pytest.mark.parametrize("name", INSTALLS)
def test_an_install_goes_by_the_numbers_of_the_pack(name: str) -> None:
    assert stage_of(**{name: INSTALLS[name]})["rules"][name] == INSTALLS[name]


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [("soak", "2h", "soak_s"), ("settle", "5m", "settle_s"), ("robot_timeout", "9m", "robot_timeout_s"), ("poll", "1m", "poll_s"),
     ("straggler_after", "3h", "straggler_after_s"), ("decide", "2d", "decide_s"), ("revert_timeout", "4h", "revert_timeout_s")],
)  # fmt: skip
def test_times_of_a_stage_are_those_of_the_pack(name: str, value: str, key: str) -> None:
    unit = {"m": MINUTE, "h": HOUR, "d": DAY}[value[-1]]
    assert stage_of(**{name: value})[key] == float(value[:-1]) * unit


@pytest.mark.parametrize(
    ("name", "value"), [("alpha", 0.01), ("margin", 0.02), ("task_margin", 0.3), ("n_max", 40), ("batch", 7)]
)
def test_a_pack_that_says_nothing_is_filled_up_from_the_policy(name: str, value: float) -> None:
    policy = load_pack("release", overrides={"plan": {name: value}})
    assert getattr(packing.filled(PackPlan(), policy), name) == value
