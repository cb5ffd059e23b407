"""What a verdict promises: no pass on missing data, no dilution, few false alarms, real regressions caught."""

from __future__ import annotations

import random

import msgspec
import pytest

from engine.core.health import judge
from engine.core.verdicts import Tally, install_verdict
from tests.unit.rollout.worlds import rules, track, window


def test_four_of_four_executed_failed_is_not_forty_percent() -> None:
    found = install_verdict(Tally(planned=10, offline=6, failed=4))
    assert found.word == "FAIL"
    assert "4/4 executed failed" in found.sentence
    assert "6 offline" in found.sentence


@pytest.mark.parametrize(
    ("failed", "ok", "word"),
    [
        (1, 0, "PENDING"),
        (2, 5, "FAIL"),
        (2, 6, "PENDING"),
        (3, 13, "FAIL"),
        (4, 24, "FAIL"),
        (3, 14, "PENDING"),
        (6, 47, "FAIL"),
    ],
)
def test_install_abort_follows_the_bound(failed: int, ok: int, word: str) -> None:
    assert install_verdict(Tally(planned=60, ok=ok, failed=failed)).word == word


def test_timed_out_and_rejected_count_as_failures() -> None:
    assert install_verdict(Tally(planned=10, ok=1, timed_out=1, rejected=1)).word == "FAIL"


def test_a_healthy_canary_passes_and_says_what_it_rules_out() -> None:
    found = judge(window(ratio=1.0, seed=1), rules())
    assert found.verdict.word == "PASS"
    assert "x3 ruled out" in found.verdict.sentence
    assert "not shown worse" in found.verdict.sentence
    assert "safe" not in found.verdict.sentence


def test_a_regression_fails_with_ratio_bounds_and_e() -> None:
    found = judge(window(ratio=5.0, seed=3), rules())
    assert found.verdict.word == "FAIL"
    assert "x control [" in found.verdict.sentence
    assert ">= 20" in found.verdict.sentence


def test_false_alarms_are_rare_and_regressions_are_caught_when_watched_all_the_time() -> None:
    alarms = caught = 0
    for seed in range(120):
        healthy = judge(window(ratio=1.0, seed=seed), rules())
        alarms += any(e >= 20 for _, e in healthy.e_path)
        caught += judge(window(ratio=4.0, seed=1000 + seed), rules()).verdict.word == "FAIL"
    assert alarms <= 4
    assert caught >= 108


def test_missing_telemetry_never_passes() -> None:
    found = judge(window(ratio=1.0, seed=1, heard=0.12), rules())
    assert found.verdict.word == "INCONCLUSIVE"
    assert "12%" in found.verdict.sentence and "120 of 1000 heartbeats" in found.verdict.sentence
    assert not found.coverage_ok


def test_missing_control_telemetry_never_passes_either() -> None:
    good = window(ratio=1.0, seed=1)
    deaf = msgspec.structs.replace(good, control=tuple(msgspec.structs.replace(t, heard=10.0) for t in good.control))
    assert judge(deaf, rules()).verdict.word == "INCONCLUSIVE"
    assert "coverage of the control 10%" in judge(deaf, rules()).verdict.sentence
    past = msgspec.structs.replace(deaf, weak=True, buckets=())
    assert "coverage of the canaries' own past 10%" in judge(past, rules()).verdict.sentence


def test_no_robots_no_pass() -> None:
    good = window(ratio=1.0, seed=1)
    assert judge(msgspec.structs.replace(good, canary=()), rules()).verdict.word == "INCONCLUSIVE"


def test_idle_canaries_are_inconclusive() -> None:
    good = window(ratio=1.0, seed=1)
    idle = msgspec.structs.replace(
        good, canary=tuple(msgspec.structs.replace(t, hours=0.0, moments={}) for t in good.canary)
    )
    assert judge(idle, rules()).verdict.word == "INCONCLUSIVE"


def test_negative_exposure_is_inconclusive() -> None:
    good = window(ratio=1.0, seed=1)
    odd = msgspec.structs.replace(good, canary=(msgspec.structs.replace(good.canary[0], hours=-3.0), *good.canary[1:]))
    assert judge(odd, rules()).verdict.word == "INCONCLUSIVE"


def test_before_the_soak_is_over_the_word_is_pending() -> None:
    found = judge(window(ratio=1.0, seed=1), rules(soak_until=30 * 3600.0))
    assert found.verdict.word == "PENDING"
    assert "soak ends in 6h00" in found.verdict.sentence


def test_too_little_exposure_is_pending() -> None:
    assert judge(window(ratio=1.0, seed=1), rules(expected_events=500.0)).verdict.word == "PENDING"


def test_one_critical_event_fails_at_once() -> None:
    good = window(ratio=1.0, seed=1)
    lost = msgspec.structs.replace(good.canary[0], moments={"localisation lost": (60.0,)})
    found = judge(msgspec.structs.replace(good, canary=(lost, *good.canary[1:])), rules(soak_until=1e9))
    assert found.verdict.word == "FAIL"
    assert "critical" in found.verdict.sentence and "c0" in found.verdict.sentence


def test_failure_outranks_missing_data() -> None:
    assert judge(window(ratio=6.0, seed=3, heard=0.1), rules()).verdict.word == "FAIL"


def test_fewer_than_five_controls_never_pass_and_run_no_e() -> None:
    found = judge(window(ratio=1.0, seed=1, controls=4), rules())
    assert found.verdict.word == "INCONCLUSIVE"
    assert found.e_path == ()


def test_own_history_is_labelled_weak() -> None:
    found = judge(msgspec.structs.replace(window(ratio=5.0, seed=1), weak=True), rules())
    assert found.e_path == ()
    assert "weak" in found.control and found.verdict.word != "PASS"


def test_the_last_stage_is_watched_not_held_to_a_ratio() -> None:
    assert judge(window(ratio=1.0, seed=1, controls=0), rules(ratio_limit=None)).verdict.word == "PASS"


def test_slower_cycles_fail() -> None:
    good, rng = window(ratio=1.0, seed=1), random.Random(5)
    slow = tuple(msgspec.structs.replace(t, levels={"cycle time": rng.gauss(48, 1)}) for t in good.canary)
    usual = tuple(msgspec.structs.replace(t, levels={"cycle time": rng.gauss(41, 1)}) for t in good.control)
    found = judge(
        msgspec.structs.replace(good, canary=slow, control=usual), rules(continuous=(("cycle time", "s", "higher"),))
    )
    assert found.verdict.word == "FAIL"
    assert "cycle time +1" in found.verdict.sentence


def test_a_bad_stratum_is_not_averaged_away() -> None:
    rng = random.Random(2)
    canary = tuple(track(f"c{i}", rate=0.06, rng=rng) for i in range(40))
    canary += tuple(track(f"d{i}", rate=0.5, rng=rng, stratum="HAM2/rev-C") for i in range(4))
    control = tuple(
        track(f"b{i}", rate=0.06, rng=rng, stratum="HAM2/rev-C" if i % 2 else "HAM2/rev-B") for i in range(40)
    )
    found = judge(
        msgspec.structs.replace(window(ratio=1.0, seed=1), canary=canary, control=control, buckets=()), rules()
    )
    assert found.verdict.word == "FAIL"
    assert "HAM2/rev-C" in found.verdict.sentence and found.worst.startswith("HAM2/rev-C")


def test_the_digest_binds_the_verdict_to_its_inputs() -> None:
    one, two = judge(window(ratio=1.0, seed=1), rules()), judge(window(ratio=1.0, seed=1), rules())
    assert one.verdict.inputs_digest == two.verdict.inputs_digest
    assert judge(window(ratio=1.0, seed=2), rules()).verdict.inputs_digest != one.verdict.inputs_digest


def test_late_events_take_their_place_in_time() -> None:
    good = window(ratio=4.0, seed=4)
    shuffled = msgspec.structs.replace(good, canary=tuple(reversed(good.canary)), control=tuple(reversed(good.control)))
    assert judge(good, rules()).e_path == judge(shuffled, rules()).e_path
