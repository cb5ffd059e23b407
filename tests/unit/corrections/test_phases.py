"""What a recording gives: interventions, their likely cause, phases; and what is refused or only counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox import ring
from engine.capabilities.corrections import clips, clustering, detect, phases
from engine.capabilities.packs import load_pack
from engine.capabilities.ports import ActionError
from engine.contract.corrections import Span
from tests.unit.corrections.world import SPANS

POLICY = load_pack("correction", environment="sandbox")


def recorded(folder: Path, **more: Any) -> tuple[Path, list[dict[str, Any]]]:
    given = {"count": 1, "robots": 1, "interventions": 1, "causes": "policy", "seconds": 40} | more
    words = [word for key, value in given.items() for word in (f"--{key}", str(value))]
    options = ["sessions", str(folder), "--seed", "7", "--fleet", "60", *words]
    parsed: dict[str, Any] = {}

    class Out:
        def write(self, text: str) -> None:
            import json

            if text.strip():
                parsed.update(json.loads(text))

    import sys

    keep, sys.stdout = sys.stdout, Out()
    try:
        ring.main(options)
    finally:
        sys.stdout = keep
    first = parsed["recordings"][0]
    return folder / first["file"], first["interventions"]


def test_phases_are_what_happened(tmp_path: Path) -> None:
    path, truth = recorded(tmp_path)
    signals = clips.read(path)
    seen = detect.interventions(signals, POLICY)
    assert len(seen.cases) == 1 and seen.cases[0].t0 == pytest.approx(truth[0]["t0"], abs=0.15)
    found = {span.phase: span.t0 for span in phases.derive(signals, seen.cases[0].t0, seen.cases[0].t1, POLICY)}
    assert found["pre_intervention"] == -1.5, "15 frames at 10 Hz"
    assert found["recovery"] == pytest.approx(ring.HANDOVER_S, abs=0.5)
    assert found["correction"] == pytest.approx(ring.HANDOVER_S + ring.RECOVERY_S, abs=0.5)
    assert found["resume"] == pytest.approx(truth[0]["t1"] - truth[0]["t0"], abs=0.2)


@pytest.mark.parametrize(
    ("cause", "suggested", "flag"),
    [
        ("policy", "policy", ""),
        ("network", "network", "slow link"),
        ("hardware", "hardware", "hardware fault reported"),
        ("site_staff", "environment", ""),
        ("clock", "policy", "clocks differ"),
    ],
)
def test_the_likely_cause_is_suggested(tmp_path: Path, cause: str, suggested: str, flag: str) -> None:
    path, _ = recorded(tmp_path, causes=cause)
    case = detect.interventions(clips.read(path), POLICY).cases[0]
    assert detect.suggest(case, POLICY).cause == suggested
    assert not flag or any(flag in one for one in case.flags)


def test_a_flag_stuck_on_is_the_hardwares(tmp_path: Path) -> None:
    path, _ = recorded(tmp_path, causes="stuck")
    case = detect.interventions(clips.read(path), {**POLICY, "stuck_on": 20}).cases[0]
    assert "stuck on" in case.flags and detect.suggest(case, POLICY).cause == "hardware"


def test_a_flicker_is_counted_and_not_opened(tmp_path: Path) -> None:
    path, _ = recorded(tmp_path, causes="flicker")
    seen = detect.interventions(clips.read(path), POLICY)
    assert not seen.cases and len(seen.ignored) == 1 and "flicker" in seen.ignored[0]


def test_two_within_the_gap_are_one_case() -> None:
    signals = clips.Signals(start=0.0, end=100.0)
    signals.intervention = [(10, True, "human", "", 0), (12, False, "human", "", 0), (20, True, "human", "", 0), (25, False, "human", "", 0)]  # fmt: skip
    assert len(detect.interventions(signals, {**POLICY, "merge_gap": 20}).cases) == 1
    two = detect.interventions(signals, {**POLICY, "merge_gap": 5})
    assert len(two.cases) == 2 and two.human_s == 7 and two.count == 2


def test_a_flag_that_is_never_released_says_so() -> None:
    signals = clips.Signals(start=0.0, end=60.0)
    signals.intervention = [(10.0, True, "human", "op-1", 40.0)]
    case = detect.interventions(signals, POLICY).cases[0]
    assert (case.t0, case.t1) == (10.0, 60.0) and any("not released" in flag for flag in case.flags)


def test_without_a_flag_the_operating_mode_tells() -> None:
    signals = clips.Signals(start=0.0, end=60.0)
    signals.modes = [(0, "AUTOMATIC"), (10, "INTERVENED"), (20, "AUTOMATIC"), (40, "MANUAL")]
    found = detect.interventions(signals, {**POLICY, "merge_gap": 1}).cases
    assert [(one.t0, one.t1, one.by) for one in found] == [(10, 20, "human"), (40, 60.0, "site_staff")]


def test_a_recording_without_signals_gives_its_own_marks() -> None:
    assert [one.t0 for one in detect.interventions(clips.Signals(), POLICY, marks=[(5.0, 9.0)]).cases] == [5.0]


def test_a_session_is_flagged_by_its_rules_each_in_words() -> None:
    def why(**more: Any) -> tuple[str, ...]:
        given = {
            "count": 1,
            "hours": 1.0,
            "human_s": 10.0,
            "duration_s": 3600.0,
            "anomaly": 0.1,
            "site_rates": [],
            "calm": [],
        }
        return detect.judge(**{**given, **more}, policy=POLICY).why

    assert not why()
    assert "3 interventions" in why(count=3)[0]
    assert "site's median" in why(count=2, site_rates=[0.5, 0.5, 0.6])[0]
    assert "25 %" in why(human_s=900.0)[0]
    assert "ranks the queue only" in why(anomaly=0.9, calm=[0.01 * i for i in range(40)])[0]
    assert not why(anomaly=0.9, calm=[0.1, 0.2]), "too few calm sessions bound nothing"


def test_an_operator_who_takes_over_far_more_often_is_named_never_blamed() -> None:
    assert detect.often((1, 1.0), (0, 50.0), POLICY) == "", "one is nothing"
    assert detect.often((6, 20.0), (9, 30.0), POLICY) == ""
    told = detect.often((30, 20.0), (9, 60.0), POLICY)
    assert "10.0 x as often" in told and "30 in 20.0 h" in told
    assert detect.often((5, 2.0), (0, 0.0), POLICY) == "", "nobody to compare with"


def test_the_window_is_cut_raw_and_the_same_each_time(tmp_path: Path) -> None:
    path, truth = recorded(tmp_path)
    start, end = clips.window(truth[0]["t0"], truth[0]["t1"], POLICY)
    made = [clips.cut([path], tmp_path / name, start, end) for name in ("a.mcap", "b.mcap")]
    assert (tmp_path / "a.mcap").read_bytes() == (tmp_path / "b.mcap").read_bytes()
    assert made[0].messages == made[1].messages > 1_000 and "/camera/front" in made[0].topics
    assert clips.covered(made[0], start, end) > 0.8
    again = clips.read(tmp_path / "a.mcap")
    assert again.intervention and again.positions and again.zone == "tote lip"


def test_a_window_nobody_recorded_is_said_to_be_overwritten(tmp_path: Path) -> None:
    path, truth = recorded(tmp_path)
    with pytest.raises(ActionError) as error:
        clips.cut([path], tmp_path / "x.mcap", truth[0]["t0"] + 9_000, truth[0]["t0"] + 9_060)
    assert error.value.error == "EmptyWindow"


@pytest.mark.parametrize("body", [b"", b"PK\x03\x04 not a recording", b"\x89MCAP0\r\n" + b"\xff" * 200])
def test_what_is_no_recording_is_refused(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "x.mcap").write_bytes(body)
    with pytest.raises(ActionError) as error:
        clips.read(tmp_path / "x.mcap")
    assert error.value.error == "BadClip"


def test_a_truncated_recording_gives_what_stands_before_the_break(tmp_path: Path) -> None:
    path, _ = recorded(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    try:
        found = clips.read(path)
    except ActionError as error:
        assert error.error == "BadClip"
    else:
        assert found.truncated


def test_hostile_messages_are_counted_not_believed(tmp_path: Path) -> None:
    from mcap.writer import Writer

    path = tmp_path / "hostile.mcap"
    with path.open("wb") as stream:
        writer = Writer(stream)
        writer.start()
        channel = writer.register_channel("/intervention", "json", 0)
        state = writer.register_channel("/robot/state", "json", 0)
        bodies = [
            (channel, b"\xff\xfe"), (channel, b"[" * 100_000), (channel, b'{"active": "yes"}'), (channel, b"7"),
            (state, b'{"p": [1]}'), (state, b'{"p": ["a", NaN, 1e999]}'), (channel, b'{"active": true, "link_ms": "x", "by": 3}'),
        ]  # fmt: skip
        for n, (where, body) in enumerate(bodies):
            writer.add_message(where, int((1000 + n) * 1e9), body, int((1000 + n) * 1e9), n)
        writer.finish()  # type: ignore[no-untyped-call]
    found = clips.read(path)
    assert found.unreadable >= 5 and found.intervention == [(1006.0, True, "human", "", 0.0)]
    assert found.positions in ([], [(1005.0, (0.0, 0.0, 0.0))])


def test_a_known_answer_is_found_by_who_looks() -> None:
    shown = phases.shifted(SPANS, 1.5)
    place, true, was = phases.moved_edge(SPANS, shown) or (0, 0.0, 0.0)
    assert abs(was - true) == pytest.approx(1.5) and SPANS[place].t0 == true
    assert phases.left_wrong(SPANS, shown, shown) and not phases.left_wrong(SPANS, shown, SPANS)
    assert phases.same_edges(shown, shown) and not phases.same_edges(SPANS, shown)
    assert phases.wrong(shown, -30, 30) == ""


@pytest.mark.parametrize(
    ("spans", "why"),
    [
        ((), "no phase"),
        ((Span(t0=0, t1=1, phase="flying"),), "none of"),
        ((Span(t0=0, t1=1, phase="recovery"), Span(t0=2, t1=3, phase="post")), "gap"),
        ((Span(t0=1, t1=0, phase="recovery"),), "before it begins"),
        ((Span(t0=-90, t1=3, phase="recovery"),), "the clip has"),
        ((Span(t0=float("nan"), t1=3, phase="recovery"),), "before it begins"),
        ((Span(t0=-3, t1=3, phase="autonomous"),), "what the person did"),
        (tuple(Span(t0=i, t1=i + 1, phase="recovery") for i in range(50)), "at most"),
    ],
)
def test_phases_that_cannot_be_are_refused_with_the_reason(spans: tuple[Span, ...], why: str) -> None:
    assert why in phases.wrong(spans, -30.0, 30.0)


def item(id: str, *vector: float, task: str = "t") -> clustering.Item:
    return clustering.Item(id=id, cause="policy", task=task, zone="", features=vector, t0=float(len(id)))


def test_alike_are_together_whatever_the_order() -> None:
    rows = [item("a", 1, 0.1), item("bb", 1, 0.0), item("ccc", -1, 0.2), item("dddd", 1, 0.1, task="u")]
    found = clustering.assign(rows, [], reach=0.35)
    assert found == clustering.assign(rows[::-1], [], reach=0.35)
    assert found["a"] == found["bb"] and len(set(found.values())) == 3


def test_a_known_cluster_takes_its_like_in() -> None:
    known = clustering.Group(key="CL-1", cause="policy", task="t", zone="", centre=(1.0, 0.0), n=3)
    assert clustering.assign([item("a", 0.9, 0.1)], [known], reach=0.35) == {"a": "CL-1"}
    assert clustering.assign([item("a", 0.0, 1.0)], [known], reach=0.35) == {"a": "new:a"}


def test_clips_that_show_a_cluster_begin_with_its_middle() -> None:
    rows = [item(str(i), 1.0, 0.1 * i) for i in range(7)]
    picked = clustering.representative(rows)
    assert len(picked) == 3 and picked[0] == "3"
    assert clustering.nearest((1.0, 0.0), []) == 0.0 and clustering.nearest((1.0, 0.0), [(2.0, 0.0)]) == 1.0
