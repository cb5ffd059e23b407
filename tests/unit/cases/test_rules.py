"""Clocks, priorities, hypotheses, recurrence and reliability as pure functions: the numbers of the policy, and its traps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from engine.capabilities.cases import clocks, judging, recurrence, reliability
from engine.capabilities.cases.coding import checked, coded
from engine.capabilities.cases.context import increase
from engine.capabilities.cases.intake import reports
from engine.capabilities.packs import load_pack
from engine.capabilities.ports import Sample
from engine.contract.cases import CaseView, Escalation, HoldSpan

POLICY = load_pack("maintenance")
T = 1_800_000_000.0
HOUR, DAY = 3_600.0, 86_400.0
CASE = CaseView(
    id="M-1", state="queued", robot="r1", site="HAM2", variant="rev-C", symptom="left drive overcurrent", source="operator",
    mode="overcurrent", created_at=T, clock_started_at=T, priority=2, impact=2, urgency=1, level="L1",
)  # fmt: skip


def names(case: CaseView, now: float) -> dict[str, str]:
    return {one.name: one.state for one in clocks.clocks(case, POLICY, now)}


@pytest.mark.parametrize(
    ("impact", "urgency", "rank"),
    [(1, 1, 1), (1, 2, 2), (2, 1, 2), (2, 2, 3), (1, 3, 3), (3, 1, 3), (2, 3, 4), (3, 2, 4), (3, 3, 5)],
)
def test_priority_is_impact_by_urgency(impact: int, urgency: int, rank: int) -> None:
    assert judging.priority(impact, urgency, POLICY) == rank


def test_the_clocks_of_the_policy() -> None:
    limits = {rank: POLICY["clocks"][rank] for rank in ("P1", "P2", "P3", "P4", "P5")}
    assert (limits["P1"]["ack"], limits["P1"]["restore"]) == (15 * 60, 4 * HOUR)
    assert (limits["P2"]["ack"], limits["P2"]["restore"]) == (HOUR, 8 * HOUR)
    assert (limits["P3"]["ack"], limits["P3"]["restore"]) == (8 * HOUR, 3 * DAY)
    assert (limits["P4"]["ack"], limits["P4"]["restore"]) == (DAY, 10 * DAY)
    assert clocks.clocks(replace(CASE, priority=5), POLICY, T + 99 * DAY)[2].state == "none"


def test_a_clock_is_met_late_or_breached() -> None:
    assert names(CASE, T + 60)["ack"] == "running"
    assert names(CASE, T + HOUR + 1)["ack"] == "breached"
    assert names(replace(CASE, acked_at=T + 60), T + DAY)["ack"] == "met"
    assert names(replace(CASE, acked_at=T + 2 * HOUR), T + DAY)["ack"] == "late"
    assert names(replace(CASE, state="cancelled"), T + DAY)["restore"] == "none"


def test_a_named_hold_stops_the_clocks_and_no_longer_than_it_may() -> None:
    held = replace(CASE, state="on_hold", holds=(HoldSpan(reason="parts", since=T + HOUR, ref="order"),))
    assert names(held, T + 2 * HOUR)["restore"] == "stopped"
    assert clocks.clocks(held, POLICY, T + 3 * HOUR)[2].used_s == HOUR
    longest = POLICY["hold_stops"]["parts"]
    late = T + HOUR + longest + 8 * HOUR
    assert names(held, late)["restore"] == "breached"
    ended = replace(held, state="in_progress", holds=(replace(held.holds[0], ended=T + 3 * HOUR),))
    assert clocks.clocks(ended, POLICY, T + 4 * HOUR)[2].used_s == 2 * HOUR
    assert clocks.clocks(ended, POLICY, T + 4 * HOUR)[2].due == T + 10 * HOUR


def test_an_unnamed_reason_and_one_hold_too_many_stop_nothing() -> None:
    nameless = replace(CASE, state="on_hold", holds=(HoldSpan(reason="lunch", since=T),))
    assert names(nameless, T + HOUR / 2)["restore"] == "running"
    spans = tuple(HoldSpan(reason="parts", since=T + i * 600, ended=T + i * 600 + 300, ref="x") for i in range(5))
    assert len(clocks.stops(spans, POLICY, T + DAY)) == POLICY["hold_most"] == 4


def test_half_three_quarters_and_the_whole_of_a_clock_are_told_once_and_further_up() -> None:
    now = T + 30 * 60
    (first,) = clocks.reached(CASE, POLICY, now)
    assert (first.clock, first.share, first.level) == ("ack", 0.5, "L1")
    told = replace(CASE, escalations=(Escalation(at=now, clock="ack", share=0.5, level="L1", to="x"),))
    assert clocks.reached(told, POLICY, now) == []
    late = {(one.clock, one.share): one.level for one in clocks.reached(told, POLICY, T + 8 * HOUR)}
    assert late["ack", 1.0] == "vendor" and late["restore", 0.75] == "L2" and late["restore", 1.0] == "vendor"


def test_the_next_look_is_the_next_share_or_the_end_of_what_a_hold_may_stop() -> None:
    assert clocks.next_look(CASE, POLICY, T) == 30 * 60
    assert clocks.next_look(replace(CASE, priority=5), POLICY, T) == POLICY["recheck"]
    held = replace(CASE, state="on_hold", holds=(HoldSpan(reason="site_access", since=T, ref="x"),))
    end = T + POLICY["hold_stops"]["site_access"]
    assert clocks.next_look(held, POLICY, end - 10) == 10
    assert clocks.next_look(CASE, POLICY, T + 30 * 60 - 0.001) >= 1.0


@pytest.mark.parametrize(
    ("symptom", "component", "mode"),
    [
        ("left drive overcurrent", "drive", "overcurrent"),
        ("Localisation LOST at dock 3", "lidar", "localisation_lost"),
        ("boot loop after update", "update", "boot_loop"),
        ("it is odd", "", "unknown"),
    ],
)
def test_a_symptom_names_its_component_and_mode(symptom: str, component: str, mode: str) -> None:
    assert judging.component_of(symptom, POLICY) == component
    assert judging.mode_of(symptom, POLICY) == mode


def test_the_build_is_looked_at_before_the_robot() -> None:
    """A bad release looks like many broken robots."""
    many = judging.Seen(same_build=40, with_fault=tuple(f"r{i}" for i in range(11)))
    guess, grounds = judging.hypothesis(CASE, many, POLICY)
    assert guess == "release" and "11 other robots on this build report the same" in " ".join(grounds)
    assert judging.hypothesis(CASE, judging.Seen(same_build=10), POLICY)[0] == "hardware"
    site = judging.Seen(same_build=10, with_fault=("a",), same_site=20, site_with_fault=("a", "b"))
    assert judging.hypothesis(CASE, site, POLICY)[0] == "site"
    assert judging.hypothesis(CASE, judging.Seen(known=False), POLICY)[0] == "unknown"


def test_safety_is_never_low_and_keeps_the_robot_out() -> None:
    risky = replace(CASE, impact=3, urgency=3, safety_related=True, cause="operation")
    assert judging.priority(*judging.weight(risky, POLICY), POLICY) <= 2
    assert "safety" in judging.keeps_out(risky, 5, POLICY)
    assert "P1" in judging.keeps_out(replace(CASE, cause="operation"), 1, POLICY)
    assert judging.keeps_out(replace(CASE, cause="operation"), 3, POLICY) == ""
    assert "not known" in judging.keeps_out(CASE, 5, POLICY)


def test_a_site_at_night_says_when_somebody_gets_in() -> None:
    policy = {**POLICY, "site_hours": {"HAM2": {"zone": "Europe/Berlin", "hours": "06:00-22:00"}}}
    night = datetime(2026, 11, 2, 2, 30, tzinfo=UTC).timestamp()  # 03:30 in Berlin
    assert judging.site_closed_until("HAM2", policy, night) == datetime(2026, 11, 2, 5, 0, tzinfo=UTC).timestamp()
    evening = datetime(2026, 11, 2, 21, 30, tzinfo=UTC).timestamp()
    assert judging.site_closed_until("HAM2", policy, evening) == datetime(2026, 11, 3, 5, 0, tzinfo=UTC).timestamp()
    assert judging.site_closed_until("HAM2", policy, night + 6 * HOUR) == 0
    assert judging.site_closed_until("MUC1", policy, night) == 0
    shift = {**POLICY, "site_hours": {"HAM2": {"zone": "UTC", "hours": "22:00-06:00"}}}
    assert judging.site_closed_until("HAM2", shift, night) == 0
    found = judging.route(replace(CASE, component="drive", region="eu"), policy, night)
    assert found.queue == "drive-EU" and found.runbook == "RB-22" and found.closed_until > night


def others(count: int, **more: Any) -> list[CaseView]:
    return [replace(CASE, id=f"M-{i + 10}", robot=f"r{i + 10}", created_at=T - i * 60, **more) for i in range(count)]


def test_recurrence_on_one_robot_and_on_a_variant() -> None:
    assert recurrence.recurs(CASE, [], POLICY, T) is None
    again = replace(CASE, id="M-9", created_at=T - 20 * DAY, state="closed")
    found = recurrence.recurs(CASE, [again], POLICY, T)
    assert found is not None and found.cases == ("M-9", "M-1") and "2 times on r1" in found.rule
    assert recurrence.recurs(CASE, [replace(again, created_at=T - 40 * DAY)], POLICY, T) is None
    variant = recurrence.recurs(CASE, others(2), POLICY, T)
    assert variant is not None and len(variant.robots) == 3 and "rev-C" in variant.rule
    assert recurrence.recurs(CASE, others(2, variant="rev-A"), POLICY, T) is None


@pytest.mark.parametrize("change", [{"mode": "unknown"}, {"mode": ""}, {"cause": "no_fault_found"}])
def test_what_is_not_known_or_was_no_fault_recurs_with_nothing(change: dict[str, str]) -> None:
    assert recurrence.recurs(replace(CASE, **change), others(5), POLICY, T) is None


def test_merged_and_cancelled_cases_do_not_count() -> None:
    assert recurrence.recurs(CASE, others(5, state="duplicate"), POLICY, T) is None


def test_poisson_tail_against_the_exact_values() -> None:
    """scipy.stats.poisson.sf(k - 1, mean)."""
    assert recurrence.poisson_tail(3, 0.2) == pytest.approx(0.0011484812448621096, rel=1e-12)
    assert recurrence.poisson_tail(1, 2.0) == pytest.approx(0.8646647167633873, rel=1e-12)
    assert recurrence.poisson_tail(0, 5.0) == 1.0 and recurrence.poisson_tail(2, 0.0) == 0.0


def test_a_flood_of_one_detector_has_one_parent() -> None:
    many = [replace(CASE, id=f"M-{i}", detector="vda:drive", created_at=T - i) for i in range(20)]
    parent = recurrence.flooded(many, "vda:drive", POLICY, T)
    assert parent is not None and parent.id == "M-19"  # the oldest
    assert recurrence.flooded(many[:19], "vda:drive", POLICY, T) is None
    assert recurrence.flooded(many, "", POLICY, T) is None
    assert recurrence.flooded(many, "vda:drive", POLICY, T + 700) is None


def test_chi_square_quantiles_are_exact() -> None:
    """scipy.stats.chi2.ppf, both branches of the incomplete gamma."""
    for p, k, exact in (
        (0.975, 2, 7.377758908227871), (0.025, 2, 0.05063561596857975), (0.975, 10, 20.483177350807395),
        (0.025, 10, 3.2469727802368396), (0.5, 1, 0.454936423119573), (0.975, 60, 83.29767487541088),
    ):  # fmt: skip
        assert reliability.chi2_quantile(p, k) == pytest.approx(exact, rel=1e-9)
    with pytest.raises(ValueError, match="quantile"):
        reliability.chi2_quantile(1.0, 2)


def test_reliability_shows_n_and_bounds_and_says_nothing_without_counters() -> None:
    down = [
        replace(CASE, id=f"M-{i}", state="closed", created_at=T - i * 10 * DAY, closed_at=T - i * 10 * DAY + 4 * HOUR,
                downtime_h=4.0, dispatch_hold=True)
        for i in range(1, 4)
    ]  # fmt: skip
    found = reliability.reliability("r1", "overcurrent", down, now=T, window_s=90 * DAY, productive_h=600.0)
    assert found.n == 3 and found.same_mode == 3 and found.mtbf_h == 200.0 and found.mttr_h == 4.0
    assert found.mtbf_low_h == pytest.approx(1200 / 17.534546, rel=1e-6)
    assert found.mtbf_high_h == pytest.approx(1200 / 1.2373442, rel=1e-6)
    assert found.unscheduled_down_h == pytest.approx(12.0) and found.availability == pytest.approx(1 - 12 / 2160)
    blind = reliability.reliability("r1", "overcurrent", down, now=T, window_s=90 * DAY, productive_h=None)
    assert blind.mtbf_h is None and blind.mtbf_low_h is None and blind.standby_h is None
    none = reliability.reliability("r2", "", down, now=T, window_s=90 * DAY, productive_h=600.0)
    assert none.n == 0 and none.mtbf_h is None and none.mtbf_low_h == pytest.approx(1200 / 7.377758908, rel=1e-6)
    assert none.mttr_h is None


def test_a_counter_that_starts_again_still_only_grows() -> None:
    assert increase([Sample(0, 10), Sample(1, 15), Sample(2, 2), Sample(3, 4)]) == 5 + 2 + 2
    assert increase([Sample(0, 10)]) == 0


def test_codes_and_checklists_know_what_they_have() -> None:
    assert coded({"mode": "overcurrent", "cause": ""}, POLICY["codes"]) is None
    field, reason, fix = coded({"mode": "overcurent"}, POLICY["codes"]) or ("", "", "")
    assert field == "mode" and "overcurent" in reason and "overcurrent" in fix
    items = ["a", "b"]
    assert checked(["1", "b"], items) == {"a": True, "b": True}
    assert isinstance(checked(["3"], items), str) and isinstance(checked(["c"], items), str)


@pytest.mark.parametrize(
    ("event", "data", "robots"),
    [
        ("qd.robot.update.failed", {"robots": [["r1", "no space"], ["r2", ""]], "version": "5"}, ["r1", "r2"]),
        ("qd.robot.update.failed", {"robots": ["r1", "r1"]}, ["r1"]),
        ("qd.rollback.incomplete", {"robots": ["r1"], "reasons": {"r1": "bootloader"}}, ["r1"]),
        ("qd.update.drift", {"robot": "r1", "desired": "4", "reported": "5"}, ["r1"]),
        ("qd.robot.error", {"robot": "r1", "level": "URGENT", "type": "motorError"}, ["r1"]),
        ("qd.robot.error", {"robot": "r1", "level": "WARNING", "type": "motorError"}, []),
        ("qd.robot.issue", {"robot": "r1", "category": "lift"}, ["r1"]),
        ("qd.correction.handedover", {"correction": "COR-1", "robot": "r1", "symptom": "gripper slips"}, ["r1"]),
        ("qd.robot.update.failed", {"robots": "r1"}, []),
        ("qd.robot.update.failed", {"robots": [None, 4, [], {"x": 1}]}, []),
        ("qd.something.else", {"robot": "r1"}, []),
    ],
)
def test_events_become_reports_whatever_shape_they_come_in(event: str, data: dict[str, Any], robots: list[str]) -> None:
    found = reports({"event": event, "data": data})
    assert [one["robot"] for one in found] == robots
    assert all(one["symptom"] and len(one["symptom"]) <= 500 for one in found)


def test_an_event_about_a_whole_fleet_is_cut() -> None:
    found = reports({"event": "qd.robot.update.failed", "data": {"robots": [f"r{i}" for i in range(5_000)]}})
    assert len(found) == 200
