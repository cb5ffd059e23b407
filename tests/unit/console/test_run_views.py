"""A run as lines: paths taken, not taken, still possible; branches; a run that ended."""

from __future__ import annotations

import pytest

from engine.contract.runs import GraphNode, RunDetail, RunSummary, StepView, Waiting
from screens import run_views
from screens.widgets.parts import plain
from screens.widgets.rows import Wide

GRAPH = (
    GraphNode(
        id="freeze", name="freeze", kind="action", title="", edges=(("", "sign"), ("error Empty", "raise Empty"))
    ),
    GraphNode(id="sign", name="sign", kind="gate", title="", edges=(("", "stages"), ("reject", "raise Rejected"))),
    GraphNode(id="stages", name="stages", kind="map", title="", edges=(("", "decide"), ("each", "stages.go"))),
    GraphNode(id="stages.go", name="go", kind="action", title="", parent="stages", edges=(("", "done"),)),
    GraphNode(id="decide", name="decide", kind="choice", title="", edges=(("good", "finish"), ("bad", "undo"))),
    GraphNode(id="undo", name="undo", kind="action", title="", edges=(("", "fail"),)),
    GraphNode(id="finish", name="finish", kind="emit", title="", edges=(("", "done"),)),
)


def step(path: str, fence: int, status: str = "completed", ended: bool = True, **more: object) -> StepView:
    name = run_views.node_of(path)
    return StepView(
        path=path, step=name, kind="action", status=status, fence=fence, started_at=fence * 10.0,
        ended_at=fence * 10.0 + 5 if ended else None, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def detail(*steps: StepView, status: str = "running", **more: object) -> RunDetail:
    run = RunSummary(
        id="run-1",
        workflow="w",
        title="t",
        status=status,
        started_at=0,
        updated_at=9,
        ended_at=99 if status in run_views.ENDED else None,
    )
    return RunDetail(run=run, definition="w v1", digest="d", inputs={"a": 1}, graph=GRAPH, steps=steps, **more)  # type: ignore[arg-type]


def lines(one: RunDetail) -> list[str]:
    out = []
    for _, cells in run_views.path_rows(one, 1000):
        out.append(plain(list(cells.parts)) if isinstance(cells, Wide) else " | ".join(plain(cell) for cell in cells))
    return out


def test_the_branch_taken_and_the_one_not_taken() -> None:
    text = "\n".join(
        lines(
            detail(
                step("freeze", 1),
                step("sign", 2),
                step("stages", 3),
                step("decide", 5),
                step("undo", 6, "running", False),
            )
        )
    )
    assert "bad \u2500\u25b6 undo taken" in text
    assert "good \u2504\u25b7 finish  not taken" in text
    assert "\u25b8 undo" in text
    assert "\u2504 finish" in text and "not taken" in text


def test_errors_that_did_not_happen_take_one_line() -> None:
    text = lines(detail(step("freeze", 1), step("sign", 2, "waiting", False)))
    assert any("not taken: Empty" in line for line in text)
    assert any("\u2504 on: reject" in line for line in text)


def test_items_of_a_map_are_counted_and_indented() -> None:
    one = detail(
        step("freeze", 1),
        step("sign", 2),
        step("stages", 3, "running", False),
        step("stages#0.go", 4),
        step("stages#1.go", 5, "failed", error="timeout: 30 s"),
    )
    text = "\n".join(lines(one))
    assert "  \u2717 go" in text and "2 items" in text and "timeout: 30 s" in text


def test_before_the_first_step_everything_is_ahead() -> None:
    text = "\n".join(lines(detail()))
    assert "not taken" not in text and "\u25cb freeze" in text


@pytest.mark.parametrize("status", run_views.ENDED)
def test_of_an_ended_run_nothing_is_ahead(status: str) -> None:
    text = lines(detail(step("freeze", 1), status=status))
    assert any(line.startswith("\u2504 sign") for line in text)
    page = "\n".join(plain(line) for line in run_views.why(detail(status=status), 1000, ""))
    assert "waits for nothing" in page and "ended" in page


def test_why_names_who_until_when_and_what_then() -> None:
    waiting = Waiting(
        path="sign",
        what="2 more votes",
        who=("mara",),
        until=1600.0,
        then="expires",
        can=("gate.vote",),
        gate="run-1.2",
    )
    page = "\n".join(plain(line) for line in run_views.why(detail(step("freeze", 1), waiting=(waiting,)), 1000, ""))
    for word in ("2 more votes", "mara", "in 10m00s", "expires", "run-1.2"):
        assert word in page


def test_data_shows_inputs_outputs_and_says_when_there_are_none() -> None:
    one = detail(step("freeze", 1, input={"n": [1, 2]}, output=None))
    page = "\n".join(plain(line) for line in run_views.data_page(one, one.steps[0], None, 1000))
    assert "n: [" in page and "none" in page and "inputs of the run" in page
    huge = run_views.json_lines({"x": ["y" * 50] * 5_000})
    assert len(huge) <= run_views.JSON_LINES


def test_timeline_bars_stay_inside_the_column() -> None:
    one = detail(step("freeze", 1), step("sign", 2, "running", False))
    for _, cells in run_views.timeline_rows(one, 1000, 20):
        assert not isinstance(cells, Wide)
        assert len(plain(list(cells[4]))) <= 20
