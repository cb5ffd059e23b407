"""Pictures in text: the graph of a run, its time, what was drawn stays in its cells."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.common import ActorView
from engine.contract.rollouts import (
    Counts,
    RobotUpdate,
    RolloutDetail,
    RolloutSummary,
    Series,
    SeriesPoint,
    StageView,
    Verdict,
)
from engine.contract.runs import EventView, RunDetail
from screens import rollout_plots, run_views
from screens.pictures import gantt, graph, lanes, sites
from screens.pictures.lanes import GONE, OPEN, TAKEN, Lanes, Way
from screens.widgets.parts import plain, width
from screens.widgets.rows import Wide
from tests.unit.console.test_run_views import detail, step


def drawn(one: RunDetail, zoom: int = 2) -> list[str]:
    return [plain(line) for line in graph.lines(one, 1000, 100, zoom=zoom)]


# -- lanes ---------------------------------------------------------------------------------------------------------


def lane_text(ways: list[Way], rows: int, most: int = 4) -> list[str]:
    held = Lanes(ways, most)
    return ["".join(text for text, _ in held.line(row)) for row in range(rows)]


def test_a_way_down_is_one_line_from_its_row_to_its_target() -> None:
    assert lane_text([Way(0, 2, OPEN)], 3) == ["\u256d\u2500", "\u2502 ", "\u2570\u2500"]


def test_a_way_back_up_is_drawn_the_other_way_round() -> None:
    assert lane_text([Way(2, 0, TAKEN)], 3) == ["\u250f\u2501", "\u2503 ", "\u2517\u2501"]


def test_ways_to_one_row_share_its_lane() -> None:
    text = lane_text([Way(0, 3, OPEN), Way(1, 3, OPEN), Way(2, 3, TAKEN)], 4)
    assert [line[0] for line in text] == ["\u256d", "\u251c", "\u2523", "\u2517"]


def test_a_way_that_crosses_another_lets_it_stand() -> None:
    text = lane_text([Way(0, 9, OPEN), Way(2, 5, OPEN)], 10)
    assert text[0] == "\u256d\u2500\u2500\u2500" and text[2] == "\u2502 \u256d\u2500" and text[9].startswith("\u2570")


def test_ways_without_a_lane_are_told_in_words() -> None:
    held = Lanes([Way(0, 9, OPEN), Way(1, 8, TAKEN)], 1)
    assert [way.target for way in held.left] == [9]
    assert Lanes([Way(0, 1, GONE)], 0).left


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 3)), max_size=25), st.integers(0, 6))
def test_lanes_keep_their_width_and_lose_no_way(found: list[tuple[int, int, int]], most: int) -> None:
    sources: set[int] = set()
    ways = []
    for source, target, weight in found:
        if source != target and source not in sources:
            sources.add(source)
            ways.append(Way(source, target, weight))
    held = Lanes(ways, most)
    assert held.count <= most
    for row in range(21):
        assert width(lanes.joined(held.line(row))) == 2 * held.count
    for way in ways:
        assert way in held.left or (held.leaves(way.source) >= 1 and held.arrives(way.target) >= way.weight)


# -- the graph -----------------------------------------------------------------------------------------------------


def test_the_branch_taken_is_heavy_and_the_one_not_taken_is_not() -> None:
    one = detail(
        step("freeze", 1),
        step("sign", 2),
        step("stages", 3),
        step("decide", 5),
        step("undo", 6, "running", False),
    )
    text = "\n".join(drawn(one))
    assert "bad taken" in text and "good not taken" in text
    assert "\u25b8 undo" in text
    assert "\u2504 finish" in text


def test_a_choice_says_itself_where_it_went() -> None:
    one = detail(step("decide", 1, detail="undo"), step("undo", 2, "running", False))
    choice = [s if s.step != "decide" else _kind(s, "choice") for s in one.steps]
    one = _with(one, steps=tuple(choice))
    assert "bad taken" in "\n".join(drawn(one))


def test_ways_that_only_end_the_run_share_a_line() -> None:
    text = drawn(detail(step("freeze", 1), step("sign", 2, "waiting", False)))
    assert any("did not end it: Empty" in line for line in text)
    assert any("can end it: reject" in line for line in text)


def test_items_of_a_map_are_counted_and_indented() -> None:
    one = detail(
        step("freeze", 1),
        step("sign", 2),
        step("stages", 3, "running", False),
        step("stages#0.go", 4),
        step("stages#1.go", 5, "failed", error="timeout: 30 s"),
    )
    text = "\n".join(drawn(one))
    assert "  \u2717 go" in text and "2 items" in text and "timeout: 30 s" in text


def test_before_the_first_step_everything_is_ahead() -> None:
    text = "\n".join(drawn(detail()))
    assert "not taken" not in text and "\u25cb freeze" in text


@pytest.mark.parametrize("status", run_views.ENDED)
def test_of_an_ended_run_nothing_is_ahead(status: str) -> None:
    assert any("\u2504 sign" in line for line in drawn(detail(step("freeze", 1), status=status)))


def test_zoom_goes_from_what_was_taken_to_everything() -> None:
    one = detail(step("freeze", 1), step("sign", 2, "waiting", False))
    shown = [[node.id for node in graph.Picture(one, 1000).shown(zoom)] for zoom in range(3)]
    assert shown[0] == ["freeze", "sign", "stages"]
    assert set(shown[0]) <= set(shown[1]) <= set(shown[2]) and len(shown[2]) == len(one.graph)
    assert graph.counts(graph.Picture(one, 1000), 0) == "3 of 7 steps"


@pytest.mark.parametrize("zoom", range(3))
@pytest.mark.parametrize("cells", [40, 80, 200])
def test_the_graph_keeps_to_its_cells(zoom: int, cells: int) -> None:
    one = detail(step("freeze", 1), step("sign", 2, "waiting", False))
    assert all(width(line) <= cells for line in graph.lines(one, 1000, cells, zoom=zoom))


def test_every_step_has_its_row_and_only_steps_can_be_chosen() -> None:
    one = detail(step("freeze", 1))
    rows = graph.rows(one, 1000, zoom=2)
    assert [key for key, cells in rows if not isinstance(cells, Wide)] == [node.id for node in one.graph]
    assert len({key for key, _ in rows}) == len(rows)


def test_ways_stand_under_the_steps_of_a_table() -> None:
    """A table begins its columns one cell in; a row over all columns has to do so itself."""
    for _, cells in graph.rows(detail(step("freeze", 1)), 1000, zoom=2):
        if isinstance(cells, Wide):
            assert plain(cells.parts).startswith(" ")


def test_the_step_under_way_is_the_one_that_began_last() -> None:
    one = detail(step("freeze", 1), step("stages", 3, "running", False), step("stages#0.go", 4, "running", False))
    assert graph.under_way(run_views.visits(one)) == "stages.go"
    assert graph.under_way({}) == ""


# -- time ----------------------------------------------------------------------------------------------------------


@given(st.floats(0, 2e9), st.floats(1, 1e8), st.integers(10, 200))
def test_an_axis_keeps_to_its_cells_and_is_in_order(first: float, size: float, cells: int) -> None:
    text = gantt.axis(gantt.Window(first, first + size), cells)
    assert len(text) <= cells


def test_zooming_keeps_what_is_looked_at_where_it_is() -> None:
    window = gantt.Window(100, 200)
    closer = window.zoomed(0.5, 150)
    assert closer == gantt.Window(125, 175) and closer.zoomed(2.0, 150) == window
    assert window.moved(0.25) == gantt.Window(125, 225)
    assert gantt.Window(0, 1).zoomed(0.1, 0).seconds == gantt.LEAST_S


@given(st.integers(1, 300), st.floats(-500, 500), st.floats(1, 1000))
def test_a_bar_is_exactly_as_wide_as_its_column(cells: int, first: float, size: float) -> None:
    one = step("freeze", 1, "running", False)
    window = gantt.Window(first, first + size)
    assert width(gantt.bar(one, window, cells, 300.0, [gantt.Try(10, 20, True), gantt.Try(30, None)])) == cells


def test_tries_and_the_pause_between_them_are_told_apart() -> None:
    one = step("freeze", 1, "completed")
    tries = [gantt.Try(10.0, 11.0, True), gantt.Try(13.0, 15.0)]
    text = plain(gantt.bar(one, gantt.Window(10, 15.0001), 20, 99, tries))
    assert "\u2717" in text and "\u00b7\u00b7" in text and text.endswith("\u2501")


def test_what_lies_outside_the_window_is_pointed_at() -> None:
    one = step("freeze", 1)  # from 10 to 15
    assert plain(gantt.bar(one, gantt.Window(100, 200), 10, 99)).startswith("\u2039")
    assert plain(gantt.bar(one, gantt.Window(0, 5), 10, 99)).endswith("\u203a")


def test_attempts_are_read_from_events() -> None:
    def event(seq: int, type_: str, at: float, **data: Any) -> EventView:
        return EventView(
            seq=seq,
            run="run-1",
            n=seq,
            type=type_,
            at=at,
            actor=ActorView(kind="engine", id=""),
            cause="",
            data={"scope": "stages#0", "step": "go", **data},
        )

    found = gantt.tries(
        [
            event(1, "StepScheduled", 1.0),
            event(2, "StepFailed", 2.0),
            event(3, "StepScheduled", 5.0),
            event(4, "StepCompleted", 6.0),
        ]
    )
    assert found == {"stages#0.go": [gantt.Try(1.0, 2.0, True), gantt.Try(5.0, 6.0)]}
    assert gantt.tries([event(1, "StepScheduled", 1.0), event(2, "StepCompleted", 2.0)]) == {}


@pytest.mark.parametrize("cells", [40, 80, 160])
def test_the_timeline_keeps_to_its_cells(cells: int) -> None:
    one = detail(step("freeze", 1), step("sign", 2, "waiting", False))
    page = gantt.lines(one, 1000, cells)
    assert all(width(line) <= cells for line in page[:-1])
    assert plain(gantt.lines(detail(), 1000, cells)[0]) == "No step has begun."


# -- rollouts ------------------------------------------------------------------------------------------------------


def rollout(*robots: RobotUpdate, stages: tuple[str, ...] = ("lab", "all"), **more: Any) -> RolloutDetail:
    head = RolloutSummary(
        id="run-1",
        run="run-1",
        artifact="a",
        version="2",
        previous="1",
        cohort="all",
        robots=len(robots),
        state="running",
        stage=stages[0],
        stage_index=0,
        stages=stages,
        verdict="",
        sentence="",
        counts=Counts(),
        started_at=0,
        updated_at=0,
    )
    views = tuple(
        StageView(name=name, index=n, size=1, state="pending", targets_digest="") for n, name in enumerate(stages)
    )
    return RolloutDetail(rollout=head, targets_digest="", stages=views, robots=robots, **more)


def robot(name: str, state: str, site: str = "HAM2", stage: str = "lab") -> RobotUpdate:
    return RobotUpdate(
        robot=name, stage=stage, state=state, from_version="1", to_version="2", reported="1", site=site, variant="v"
    )


def test_a_site_where_it_hurts_stands_first_and_shows_each_robot() -> None:
    page = [
        plain(line)
        for line in sites.lines(
            rollout(
                robot("a", "healthy", "AUS3"),
                robot("b", "failed", "HAM2"),
                robot("c", "healthy", "HAM2"),
                robot("d", "planned", "HAM2", "all"),
            ),
            80,
        )
    ]
    assert page[1].startswith("HAM2") and "\u2717\u25cf" in page[1] and page[1].rstrip().endswith("\u00b7")
    assert page[2].startswith("AUS3") and "\u2717 failed 1" in page[-1]


@given(st.lists(st.tuples(st.sampled_from([*sites.SIGNS, "new_state"]), st.integers(0, 9)), min_size=1, max_size=300))
def test_the_map_counts_every_robot_and_keeps_to_its_cells(found: list[tuple[str, int]]) -> None:
    one = rollout(*[robot(f"r{n}", state, f"S{site}") for n, (state, site) in enumerate(found)])
    page = sites.lines(one, 70)
    assert all(width(line) <= 70 for line in page)
    totals = [int(plain(line).split()[1]) for line in page[1 : page.index([""])]]
    assert sum(totals) == len(found)


def test_a_cell_for_several_robots_shows_the_worst_of_them() -> None:
    robots = [robot(f"r{n:03}", "healthy") for n in range(300)]
    page = [plain(line) for line in sites.lines(rollout(*robots, robot("x", "failed")), 60)]
    assert "\u2717" in page[1] and "a cell stands for" in page[-1] + page[-2]
    assert "not frozen" in plain(sites.lines(rollout(), 60)[0])


def test_verdicts_stand_under_the_plot_when_they_were_given() -> None:
    series = Series(name="x", unit="", points=tuple(SeriesPoint(t=float(t), canary=1.0, control=1.0) for t in (0, 100)))
    verdicts = (
        Verdict(word="INCONCLUSIVE", sentence="", stage="lab", at=10.0),
        Verdict(word="FAIL", sentence="", stage="lab", at=99.0),
    )
    line = plain(rollout_plots.verdict_marks(rollout(verdicts=verdicts), series, 66)[0])
    assert line[6 + 6] == "?" and "lab inconclusive" in line and line.rstrip().endswith("lab fail\u2717")
    assert width(line) <= 66
    assert rollout_plots.verdict_marks(rollout(), series, 66) == []


def _kind(one: Any, kind: str) -> Any:
    return msgspec.structs.replace(one, kind=kind)


def _with(one: Any, **more: Any) -> Any:
    return msgspec.structs.replace(one, **more)
