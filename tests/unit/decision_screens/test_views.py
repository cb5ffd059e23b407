"""What the decision screens say, as lines: the rules of words and numbers, at 80 and 160 columns, with hostile text."""

from __future__ import annotations

import re

import pytest

from engine.contract.rollouts import Counts, SignalRow
from screens import evidence, figures, fleet_view, gate_view, layout, rollout_plots, rollout_view
from screens.layout import Line
from screens.widgets.parts import plain, width, wrap
from tests import fake_gates, fake_rollouts, fake_world
from tests.fake_world import BASE

FLEET = fake_world.robots()
ROLLOUTS = {row.id: fake_rollouts.rollout_detail(row, FLEET) for row in fake_rollouts.rollout_summaries()}
KINDS = {spec["kind"]: f"run-{spec['n']}" for spec in fake_rollouts.SPECS}


def said(lines: list[Line], cells: int = 400) -> str:
    return "\n".join("".join(text for text, _ in part).rstrip() for line in lines for part in wrap(line, cells, 2))


def facts(kind: str, cells: int = 78) -> str:
    return said(rollout_view.facts(ROLLOUTS[KINDS[kind]], BASE, cells))


def test_the_domain_screen_is_all_there() -> None:
    detail = ROLLOUTS["run-192"]
    text = said([rollout_view.sentence(detail, BASE)]) + "\n" + facts("fail")
    for words in (
        "FAIL: interventions 2.7x control [1.3 5.2], E 30 >= 20",
        "lab 3 ✓",
        "▸CANARY 10 ✗",
        "plan 10 eligible 9 deferred 1 offline 0",
        "executed 9 ok 8 failed 1 unknown 0",
        "2.7 [1.3 5.2]",
        "31/1100h",
        "98%",
        "worst: HAM2 x rev-C 6 in 48h",
        "permutation p .012",
        "dispersion 1.6",
        "9 feasible, 0 blocked, 1 on hold",
        "pause ack: owner yes, robots 9/9",
    ):
        assert words in text, words


def test_offline_robots_never_dilute() -> None:
    text = facts("offline", 158)
    assert "offline 6" in text and "executed 4 ok 0 failed 4" in text
    assert "4/4 100% of executed" in text and "40" not in re.sub(
        r"\d+\.\d", "", text.split("executed 4")[1].split("\n")[0]
    )


def test_a_pause_is_requested_until_every_robot_says_so() -> None:
    text = facts("pausing")
    assert "pause requested" in text
    assert "robots 31/84" in text and "53 have not answered" in text


def test_robots_that_cannot_go_back_are_named_before_the_key() -> None:
    text = facts("blocked")
    assert "11 feasible, 3 blocked" in text
    assert text.count("can't go back: bootloader refuses 4.8.0") == 3


def test_low_coverage_stands_out() -> None:
    lines = rollout_view.signals(ROLLOUTS[KINDS["outage"]], 78)
    toned = [part for line in lines for part in line if isinstance(part, tuple) and part[0].strip() == "12%"]
    assert toned and all(tone == "caution" for _, tone in toned)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cells", [76, 78, 110, 158])
def test_words_rules_and_width(kind: str, cells: int) -> None:
    """No percentage without k/n on its line, never "safe", tables inside the width."""
    detail = ROLLOUTS[KINDS[kind]]
    lines = rollout_view.facts(detail, BASE, cells, roomy=True)
    for line in lines:
        text = plain(line)
        assert "safe" not in text.lower()
    for line in [*rollout_view.signals(detail, cells), *rollout_view.split(detail, "site", cells)]:
        assert width(line) <= cells, plain(line)
    for line in rollout_view.split(detail, "variant", cells):
        for share in re.findall(r"\d+%", plain(line)):
            assert re.search(rf"\d+/\d+ {share}", plain(line)), plain(line)


@pytest.mark.parametrize("kind", KINDS)
def test_plots_fit_and_have_an_ascii_form(kind: str) -> None:
    detail = ROLLOUTS[KINDS[kind]]
    for ascii in (False, True):
        for line in rollout_plots.plot_lines(detail, BASE, 76, 40, ascii=ascii):
            assert width(line) <= 76 or "observed" in plain(line)
            assert not ascii or plain(line).isascii() or "observed" in plain(line)


def test_other_stages_say_what_they_were() -> None:
    text = said(rollout_view.facts(ROLLOUTS["run-194"], BASE, 78, chosen=1))
    assert "stage canary" in text and "[canary 10]" in text and "passed" in text


def test_why_binds_the_verdict_to_its_inputs() -> None:
    text = said(rollout_view.why(ROLLOUTS["run-192"], BASE, 78))
    assert "✗ e-process interventions: E 30 >= 20" in text
    assert "inputs " in text and "revision 3" in text


def test_zero_of_zero_is_not_a_percentage() -> None:
    assert figures.share(0, 0) == "0/0"
    assert "%" not in plain(figures.counts(Counts(planned=3)))


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (SignalRow(name="x", unit="", canary="", control="", ratio=2.66, low=1.28, high=5.15), "2.7 [1.3 5.2]"),
        (SignalRow(name="x", unit="", canary="", control="", ratio=2.0, low=1.0, high=float("inf")), "2.0 [1.0 ∞]"),
        (SignalRow(name="x", unit="", canary="", control="", text="U95 2.5/100h"), "U95 2.5/100h"),
        (SignalRow(name="x", unit="", canary="", control=""), "-"),
    ],
)
def test_ratios_carry_their_bounds(row: SignalRow, text: str) -> None:
    assert figures.bounds(row) == text


def test_old_data_says_stale() -> None:
    assert figures.aged(BASE - 30, BASE, 60) == ("30s old", "muted")
    assert figures.aged(BASE - 252, BASE, 60) == ("STALE 4m12s", "caution")


def gate(name: str, **options: bool) -> str:
    detail = next(one for one in fake_gates.gate_details(**options) if one.gate.id == name)
    return said([gate_view.sentence(detail, BASE), *gate_view.facts(detail, BASE, 78)])


def test_a_gate_says_what_each_answer_and_what_silence_does() -> None:
    text = gate("run-195.7")
    for words in (
        "if approved",
        "if rejected        ends the rollout",
        "if nobody answers  holds",
        "start 118 EU-AMR",
        "0/2 filled",
        "○ site-lead  open",
        "who can: dana (release-manager), piet (site-lead)",
        "may not: mara (started the run)",
        "digest ",
        "UTR1-AMR-09",
    ):
        assert words in text, words


def test_refused_votes_stay_visible() -> None:
    text = gate("run-194.31")
    assert "mara wanted approve: refused, excluded: started this run" in text
    assert "● release-manager  dana" in text


def test_not_mine_says_why() -> None:
    assert "You can't vote: needs the role site-lead." in gate("run-198.44")


def test_silence_never_approves_even_when_the_engine_says_nothing() -> None:
    detail = fake_gates.gate_details()[2]
    from msgspec.structs import replace

    assert "silence never approves" in said(gate_view.consequences(replace(detail, on_timeout=""), 77))


def test_changed_evidence_marks_the_changed_row() -> None:
    before = evidence.lines({"a": 1, "rows": [{"x": "one", "y": 1}, {"x": "two", "y": 2}]}, BASE, 70)
    after = evidence.lines({"a": 1, "rows": [{"x": "one", "y": 1}, {"x": "two", "y": 3}]}, BASE, 70)
    marked = [plain(line) for line in evidence.marked(after, before)]
    assert [line for line in marked if line.startswith("~ ")] == ["~   two  3"]
    assert [line for line in marked if line.startswith("- ")] == ["-   two  2"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [],
        "text",
        3,
        [1, 2],
        {"deep": {"a": {"b": {"c": {"d": {"e": 1}}}}}},
        [{"a": [{"b": 1}]}],
        {"n": float("nan")},
        {"x": "y" * 9000},
    ],
)
def test_any_evidence_can_be_shown(value: object) -> None:
    lines = evidence.lines(value, BASE, 76)
    assert lines and all(len(plain(line)) < 4000 for line in lines)


def test_evidence_is_bounded() -> None:
    lines = evidence.lines(
        {"rows": [{"robot": f"r{i}", **{f"c{j}": j for j in range(30)}} for i in range(5000)]}, BASE, 76
    )
    assert len(lines) < 60
    assert "4960 more rows" in said(lines) and "columns left out" in said(lines)


@pytest.mark.parametrize("text", fake_world.HOSTILE)
def test_hostile_text_is_inert_everywhere(text: str) -> None:
    from msgspec.structs import replace

    robot = replace(FLEET[0], id=text, serial=text, mode=text, site=text, lookalike=text, hold=text)
    detail = replace(ROLLOUTS["run-192"], worst=text, control=text, policy={text: text})
    question = replace(
        fake_gates.gate_details(hostile=True)[0],
        evidence={text: text, "rows": [{text: text}]},
        comments=(text,),
        who_can=(text,),
    )
    lines = [
        *fleet_view.detail(robot, BASE, 70),
        *rollout_view.facts(detail, BASE, 78, roomy=True),
        *gate_view.facts(question, BASE, 78),
    ]
    for line in lines:
        shown = plain(line)
        assert shown.isprintable(), repr(shown)
    for cell in fleet_view.cells(robot, BASE):
        assert plain(cell).isprintable()


def test_tables_give_way_where_there_is_most() -> None:
    rows = [["robot", "x" * 100, "ok"], ["robot-2", "y" * 80, "failed"]]
    lines = layout.table(rows, 40)
    assert all(width(line) <= 40 for line in lines)
    assert plain(lines[1]).endswith("failed") and "robot-2" in plain(lines[1])


def test_look_alikes_show_what_differs() -> None:
    from msgspec.structs import replace

    robot = replace(FLEET[0], id="HAM2-AMR-17", lookalike="HAM2-AMR-71")
    assert plain(fleet_view.flags(robot)).strip() == "≈ …71"
    assert "HAM2-AMR-71 (compare the serial" in said(fleet_view.detail(robot, BASE, 78))


HEALTH = {
    "verdict": {
        "word": "FAIL",
        "sentence": "interventions 2.8x control [1.7 4.6], E 27.1 >= 20",
        "reasons": ["soak ends in 2h30"],
    },
    "signals": [
        {
            "name": "interventions",
            "unit": "/100h",
            "canary": "24.6 25/102h",
            "control": "8.7 28/321h",
            "ratio": 2.82,
            "low": 1.7,
            "high": 4.6,
            "e": 27.1,
            "coverage": 0.98,
            "flag": "!",
        }
    ],
    "worst": "AUS3/rev-B 10 in 10h",
    "permutation_p": 0.006,
    "exposure_h": 101.6,
    "exposure_needed_h": 57.3,
    "controls": ["a"] * 59,
    "series": [{"name": "interventions", "points": [1] * 500}],
    "something_else": 7,
}


def test_a_health_sample_as_evidence_reads_like_the_rollout_screen() -> None:
    text = said(evidence.lines({"health": HEALTH}, BASE, 76))
    for words in (
        "✗ FAIL  interventions 2.8x",
        "soak ends in 2h30",
        "2.8 [1.7 4.6]",
        "98%",
        "worst: AUS3/rev-B",
        "102 robot-h of 57 needed",
        "something else",
    ):
        assert words in text, words
    assert "points" not in text


@pytest.mark.parametrize(
    "broken", [{**HEALTH, "signals": "none"}, {**HEALTH, "verdict": {"word": 3}}, {**HEALTH, "signals": [{"name": 1}]}]
)
def test_what_only_looks_like_a_health_sample_is_shown_as_it_is(broken: dict[str, object]) -> None:
    assert "something else" in said(evidence.lines(broken, BASE, 76))


def test_counts_as_evidence_are_denominators() -> None:
    assert "plan 10 eligible 9" in said(
        evidence.lines({"counts": {"planned": 10, "eligible": 9, "executed": 4, "ok": 4}}, BASE, 76)
    )


def test_rows_begin_with_what_they_are() -> None:
    lines = evidence.lines([{"points": 3, "name": "interventions"}], BASE, 76)
    assert plain(lines[0]).strip().startswith("name")


def test_a_sign_off_without_consequences_says_what_it_begins() -> None:
    from msgspec.structs import replace

    detail = fake_gates.gate_details()[0]
    grounds = {
        "plan": {"stages": [{"name": "canary", "robots": 10}, {"name": "all"}]},
        "cohort": {"robots": 200, "sites": ["A", "B"], "customers": ["x"]},
    }
    text = said(gate_view.consequences(replace(detail, consequences=(), evidence=grounds), 77))
    assert "200 robots, 2 sites, 1 customer, in 2 stages" in text and "first canary: 10 robots" in text


def test_an_inconclusive_verdict_is_named() -> None:
    from msgspec.structs import replace

    detail = ROLLOUTS["run-193"]
    detail = replace(detail, rollout=replace(detail.rollout, sentence="coverage of the stage 0% (0 of 900 heartbeats)"))
    assert plain(rollout_view.sentence(detail, BASE)).startswith("? INCONCLUSIVE: coverage of the stage")
