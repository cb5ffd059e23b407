"""The simulated world keeps its promises: same seed, same life; each scenario shows what it is for."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from connectors.sandbox.robot import Robot
from connectors.sandbox.scenarios import PREVIOUS, RELEASE, SCENARIOS
from connectors.sandbox.signals_server import INVENTORY, OWN, _series
from connectors.sandbox.sites import SITES, VARIANTS, profiles
from connectors.sandbox.timeline import connected, operating
from connectors.sandbox.world import HISTORY_S, World

HOUR = 3600.0
NEW_ID, OLD_ID = 3, 2


class Life:
    """A world whose clock the test moves: one second of it is one simulated hour."""

    def __init__(self, scenario: str, seed: int = 7, robots: int = 200) -> None:
        self._wall = 0.0
        self.world = World(SCENARIOS[scenario], seed, HOUR, robots, clock=lambda: self._wall)
        self.world.start()

    def hours(self, hours: float, looks: int = 1) -> float:
        start = self._wall
        for look in range(1, looks + 1):
            self._wall = start + hours * look / looks
            self.world.now()
        return self.world.now()

    def tell(self, names: list[str], software: int) -> None:
        now = self.world.now()
        for name in names:
            self.world.assign(self.world.robots[name], software, now)

    def robot(self, name: str) -> Robot:
        return self.world.robots[name]

    def rate(self, names: list[str], start: float, end: float) -> tuple[int, float]:
        """(interventions, operating hours) between two times, over robots that did not boot in between."""
        events, hours = 0, 0.0
        for name in names:
            line = self.robot(name).line
            events += sum(1 for t in line.interventions if start < t <= end)
            first, last = line.at(start), line.at(end)
            assert first and last and first.boot == last.boot
            hours += (operating(last, end) - operating(first, start)) / HOUR
        return events, hours


def drawn(life: Life, count: int, seed: int = 1) -> list[str]:
    return random.Random(seed).sample(sorted(life.world.robots), count)


def story(scenario: str, seed: int, looks: int) -> Any:
    life = Life(scenario, seed)
    life.tell(drawn(life, 10), NEW_ID)
    life.hours(30, looks)
    truth = life.world.truth()
    return truth, {r.id: [(s.t0, s.mode, s.version) for s in r.line.segments] for r in life.world.robots.values()}


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_the_same_seed_lives_the_same_life_however_often_somebody_looks(scenario: str) -> None:
    assert story(scenario, 7, looks=1) == story(scenario, 7, looks=997)
    assert story(scenario, 7, looks=1) != story(scenario, 8, looks=1)


def test_the_fleet_has_every_site_variant_region_and_lookalikes() -> None:
    fleet = profiles(7, 200)
    assert len(fleet) == 200 == len({p.id for p in fleet}) == len({p.serial for p in fleet})
    assert {p.site for p in fleet} == {s.id for s in SITES} and {p.region for p in fleet} == {"eu", "us", "apac"}
    assert {(p.site, p.variant) for p in fleet} == {(s.id, v[0]) for s in SITES for v in VARIANTS}
    assert {"HAM2-AMR-17", "HAM2-AMR-71"} <= {p.id for p in fleet}
    assert profiles(7, 200) == fleet and profiles(8, 200) != fleet
    for size in (1, 8, 24, 500):
        assert len(profiles(3, size)) == size


def test_robots_need_people_about_six_times_in_a_hundred_hours_and_differ() -> None:
    life = Life("healthy")
    start = life.world.now()
    end = life.hours(100)
    names = sorted(life.world.robots)
    events, hours = life.rate(names, start, end)
    assert 200 * 100 * 0.7 < hours < 200 * 100 * 0.92
    assert 5.0 < events / hours * 100 < 7.0
    counts = sorted(life.rate([n], start, end)[0] for n in names)
    assert counts[-1] > counts[len(counts) // 2] + 3


def test_modes_come_and_go_as_a_fleet_lives() -> None:
    life = Life("healthy")
    life.hours(72)
    seen = {s.mode for r in life.world.robots.values() for s in r.line.segments}
    assert seen == {"AUTOMATIC", "SEMIAUTOMATIC", "INTERVENED", "MANUAL", "SERVICE", "TEACH_IN"}
    assert any(s.charging for r in life.world.robots.values() for s in r.line.segments)
    offline = [r for r in life.world.robots.values() if any(not s.online for s in r.line.segments)]
    assert len(offline) > 50
    assert all(r.online or r.due["net"] < float("inf") for r in life.world.robots.values()), "nobody is lost for good"


def test_an_install_takes_its_time_and_counters_start_again() -> None:
    life = Life("healthy")
    (name,) = drawn(life, 1)
    before = life.world.now()
    life.tell([name], NEW_ID)
    robot, phases = life.robot(name), []
    for _ in range(400):
        now = life.hours(1 / 120)
        phase = robot.install.phase if robot.install else robot.device.state
        if not phases or phases[-1] != phase:
            phases.append(phase)
        if phase == "Finished":
            break
    assert phases[-5:] == ["downloading", "installing", "rebooting", "starting", "Finished"] or "waiting" in phases
    assert 8 * 60 < now - before < 2 * HOUR
    assert robot.version == robot.device.sw_version == RELEASE
    segment = robot.line.at(now)
    assert segment is not None and operating(segment, now) < now - before, "operating seconds restarted with the boot"
    assert connected(segment, now) > HISTORY_S * 0.8, "heartbeats are counted by the receiver and go on"
    assert [(d.robot, d.source, d.target, d.error) for d in life.world.log] == [(name, PREVIOUS, RELEASE, "")]


def test_a_bad_release_shows_and_goes_away_with_it() -> None:
    life = Life("canary-regression")
    canary = drawn(life, 40)
    rest = [n for n in life.world.robots if n not in canary]
    life.tell(canary, NEW_ID)
    start = life.hours(3)
    end = life.hours(60)
    canary = [n for n in canary if life.robot(n).version == RELEASE]
    bad, hours = life.rate(canary, start, end)
    good, others = life.rate(rest, start, end)
    assert 4.5 < (bad / hours) / (good / others) < 7.5
    life.tell(canary, OLD_ID)
    start = life.hours(6)
    end = life.hours(60)
    back = [n for n in canary if life.robot(n).version == PREVIOUS]
    assert len(back) >= len(canary) - 2
    events, hours = life.rate(back, start, end)
    assert events / hours < 0.10


def test_stage_regression_spares_the_first_ten_and_hits_the_next() -> None:
    life = Life("stage-regression")
    wave = drawn(life, 10)
    life.tell(wave, NEW_ID)
    life.hours(3)
    later = [n for n in drawn(life, 80, seed=2) if n not in wave]
    life.tell(later, NEW_ID)
    start = life.hours(6)
    end = life.hours(60)
    first = life.rate([n for n in wave if life.robot(n).version == RELEASE], start, end)
    wide = life.rate([n for n in later if life.robot(n).version == RELEASE], start, end)
    assert first[0] / first[1] < 0.09
    assert wide[0] / wide[1] > 0.16


def test_the_metrics_of_updated_robots_stop_and_only_theirs() -> None:
    life = Life("telemetry-outage")
    canary = drawn(life, 10)
    life.tell(canary, NEW_ID)
    now = life.hours(4)
    updated = [n for n in canary if life.robot(n).version == RELEASE]
    assert len(updated) >= 8
    for name in updated:
        robot = life.robot(name)
        assert robot.online and robot.last_poll(now) > now - 2 * robot.profile.poll_s, (
            "it still talks to the update server"
        )
        assert all(_series(robot, metric, [now], life.world) == [] for metric in OWN)
        assert all(_series(robot, metric, [now], life.world)[0][1] for metric in INVENTORY)
    life.tell(updated, OLD_ID)
    now = life.hours(4)
    assert all(_series(life.robot(n), "robot_mode", [now], life.world) for n in updated if life.robot(n).online)


def test_six_of_the_first_ten_go_offline_and_the_others_fail() -> None:
    life = Life("offline-canaries")
    canary = drawn(life, 10)
    life.tell(canary, NEW_ID)
    assert sum(1 for n in canary if not life.robot(n).online) >= 6
    life.hours(4)
    assert sorted({d.robot for d in life.world.log if d.error}) == sorted(
        n for n in canary if life.robot(n).device.state == "Error"
    )
    assert len([d for d in life.world.log if d.error]) == 4 and not [d for d in life.world.log if not d.error]
    assert sum(1 for n in canary if not life.robot(n).online) >= 6, "and stay away"


def test_three_of_ten_installs_fail_and_most_succeed_when_retried() -> None:
    life = Life("install-failures")
    names = [n for n in life.world.robots if life.robot(n).online]
    life.tell(names, NEW_ID)
    life.hours(8)
    failed = [n for n in names if life.robot(n).device.state == "Error"]
    assert 0.2 < len(failed) / len(names) < 0.4
    predicted = {n for n in names if life.world.will_fail(life.robot(n), RELEASE)}
    assert set(failed) <= predicted
    now = life.world.now()
    for name in failed:
        life.world.force(life.robot(name), True, now)
    life.hours(8)
    mended = sum(1 for n in failed if life.robot(n).version == RELEASE)
    assert 0.5 < mended / len(failed) < 0.9
    assert all(not life.robot(n).device.force for n in failed if life.robot(n).install is None and life.robot(n).online)


def test_the_bootloader_of_some_refuses_the_way_back_and_says_so() -> None:
    life = Life("rollback-blocked")
    blocked = [n for n, r in life.world.robots.items() if r.profile.variant == "rev-C"][:6]
    free = [n for n, r in life.world.robots.items() if r.profile.variant == "rev-A"][:6]
    assert set(life.world.truth()["floors"].values()) == {RELEASE}  # type: ignore[attr-defined]
    life.tell(blocked + free, NEW_ID)
    life.hours(6)
    took = [n for n in blocked + free if life.robot(n).version == RELEASE]
    assert set(blocked) & set(took) and set(free) & set(took), "the release itself installs everywhere"
    life.tell(took, OLD_ID)
    life.hours(6)
    for name in took:
        robot = life.robot(name)
        assert robot.version == (RELEASE if name in blocked else PREVIOUS)
        if name in blocked:
            assert robot.device.state == "Error" and "anti-rollback floor is 4.8.1" in (robot.device.log or "")


def test_a_person_at_the_robot_is_never_surprised_by_an_install() -> None:
    """No install begins while somebody works on it; it waits until the robot is automatic and without an order."""
    life = Life("healthy")
    names = sorted(life.world.robots)
    life.tell(names, NEW_ID)
    life.hours(24, looks=200)
    for name in names:
        line = life.robot(name).line
        for before, after in itertools.pairwise(line.segments):
            if after.mode == "STARTUP" and before.mode != "STARTUP":
                assert before.mode in ("AUTOMATIC", "SEMIAUTOMATIC") and before.op_rate == 0
    assert sum(1 for n in names if life.robot(n).version == RELEASE) >= 195


def test_counters_only_rise_between_boots_and_are_absent_when_nobody_hears_them() -> None:
    life = Life("healthy")
    life.tell(drawn(life, 20), NEW_ID)
    now = life.hours(40)
    times = [now - 40 * HOUR + k * 300 for k in range(481)]
    for robot in life.world.robots.values():
        boots = {s.boot for s in robot.line.segments}
        for metric in ("robot_interventions_total", "robot_operating_seconds_total", "robot_tasks_total"):
            ((_, points),) = _series(robot, metric, times, life.world)
            for (t0, v0), (t1, v1) in itertools.pairwise(points):
                assert float(v1) >= float(v0) or any(t0 < b <= t1 for b in boots)
            for t, _ in points:
                segment = robot.line.at(t)
                assert segment is not None and segment.online
    assert any(len(_series(r, "robot_mode", times, life.world)[0][1]) < len(times) for r in life.world.robots.values())


def test_an_order_for_software_nobody_has_leaves_the_device_assigned_to_nothing() -> None:
    life = Life("healthy")
    (name,) = drawn(life, 1)
    life.tell([name], 99)
    life.hours(4)
    assert life.robot(name).version == PREVIOUS and life.world.target(life.robot(name)) is None
    assert life.world.log == []
