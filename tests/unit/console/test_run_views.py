"""A run as lines: why it waits, what went in and out."""

from __future__ import annotations

import pytest

from engine.contract.runs import GraphNode, RunDetail, RunSummary, StepView, Waiting
from screens import run_views
from screens.widgets.parts import plain

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


@pytest.mark.parametrize("status", run_views.ENDED)
def test_an_ended_run_waits_for_nothing(status: str) -> None:
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
