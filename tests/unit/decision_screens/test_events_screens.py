"""Events, threads and the catalogue, by keyboard."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from engine.contract.events import FateView, OutEvent, OutEventPage, Trace, TraceNode, TriggerView
from engine.contract.system import WorkflowView
from screens import thread
from screens.form import FormScreen
from screens.run import RunScreen
from screens.trace import TraceScreen
from screens.workflows import field_of, inputs_of
from tests.fakes import BASE, FakeClient
from tests.unit.decision_screens.conftest import At

SPIKE = OutEvent(
    seq=1042,
    key="monitor/s1",
    event="qd.intervention.spike",
    at=BASE - 400,
    source="monitor",
    subject="4.8.1/HAM2",
    actor="monitor",
    data={"version": "4.8.1", "site": "HAM2", "k": 9, "note": "\x1b[31mred\x1b]0;owned\x07"},
    fates=(
        FateView(outcome="opened", rule="correction-loop:qd.intervention.spike", run="run-195", at=BASE - 399),
        FateView(
            outcome="ignored",
            rule="fleet-hotfix:qd.intervention.spike",
            reason="the filter says no: event.data.low > 1.0",
        ),
    ),
)
ACCEPTED = replace(
    SPIKE,
    seq=1077,
    key="run-195/12",
    event="qd.correction.accepted",
    subject="K-12",
    source="/quarterdeck/runs/run-195",
    run="run-195",
    cause=1042,
    depth=2,
    at=BASE - 100,
    data={"correction": "K-12"},
    fates=(FateView(outcome="attached", rule="data-to-training:x", run="run-190", reason="run-190 is open for pick"),),
)
LOST = replace(
    SPIKE,
    seq=1080,
    key="x/1",
    event="qd.robot.battery",
    subject="HAM2-amr-0001",
    at=BASE - 20,
    fates=(FateView(outcome="failed", rule="maintenance-intake:qd.robot.battery", reason="event.data has no 'robot'"),),
)
NODES = (
    TraceNode(
        kind="event",
        id="1042",
        level=0,
        label="qd.intervention.spike",
        subject="4.8.1/HAM2",
        at=BASE - 400,
        fates=SPIKE.fates,
    ),
    TraceNode(
        kind="run",
        id="run-195",
        level=1,
        how="opened",
        label="correction-loop",
        at=BASE - 399,
        state="waiting: label review",
        records=("correction K-12",),
    ),
    TraceNode(
        kind="event",
        id="1077",
        level=2,
        how="emitted",
        label="qd.correction.accepted",
        subject="K-12",
        at=BASE - 100,
        here=True,
    ),
    TraceNode(
        kind="run", id="run-190", level=3, how="attached", label="data-to-training", at=BASE - 900, state="running"
    ),
    TraceNode(kind="event", id="1090", level=1, how="followed", label="qd.case.opened", subject="M-3", at=BASE - 50),
)
RULES = (
    TriggerView(
        name="correction-loop:qd.intervention.spike",
        workflow="correction-loop",
        version=1,
        kind="event",
        on="qd.intervention.spike",
        dedupe="event.data.version",
        within_s=14_400.0,
        rate="600 per 1h",
        counts={"opened": 3, "ignored": 2},
    ),
    TriggerView(
        name="fleet-hotfix:qd.artifact.revoked",
        workflow="fleet-hotfix",
        version=1,
        kind="event",
        on="qd.artifact.revoked",
        must=True,
    ),
    TriggerView(
        name="w:cron", workflow="nightly", version=1, kind="cron", on="0 3 * * *", zone="Europe/Berlin", missed="once"
    ),
)
FLOWS = (
    WorkflowView(
        workflow="staged-rollout",
        version=2,
        digest="sha256:1",
        title="Staged Rollout",
        source="shipped/staged-rollout.yaml",
        registered_at=BASE - 9000,
        runs=12,
        triggers=("event qd.artifact.eligible", "manual release-manager"),
        text="quarterdeck: 1\nworkflow: staged-rollout\n",
        graph=({"id": "freeze", "name": "freeze", "kind": "action", "title": "Freeze the targets"},),
        inputs={
            "version": {"type": "string", "title": "Release", "required": True},
            "exclude": {"type": "array", "items": {"type": "string"}, "default": []},
            "plan": {"type": "object", "default": {}},
        },
    ),
)


def client() -> FakeClient:
    made = FakeClient()
    made.answers_to |= {
        "/v1/cloudevents": OutEventPage(rows=(LOST, ACCEPTED, SPIKE), total=3),
        "/v1/cloudevents/1042": SPIKE,
        "/v1/cloudevents/1077": ACCEPTED,
        "/v1/cloudevents/1090": LOST,
        "/v1/triggers": RULES,
        "/v1/trace/1077": Trace(id="1077", kind="event", nodes=NODES, path=("1042", "run-195", "1077")),
        "/v1/trace/run-195": Trace(id="run-195", kind="run", nodes=NODES),
        "/v1/workflows": FLOWS,
        "/v1/workflows/staged-rollout": FLOWS[0],
    }
    return made


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_events_say_what_became_of_them(at: At, size: tuple[int, int]) -> None:
    async with at(":events", size=size, client=client()) as desk:
        text = desk.text
        assert "3 events, 1 run opened, \u2717 1 met a failing rule, the last 20s ago." in text
        assert "intervention.spike" in text and "run-195" in text
        assert "1 rule failed" in text
        assert "\x1b" not in text


async def test_enter_shows_the_thread_and_arrows_walk_it_both_ways(at: At) -> None:
    async with at(":events", client=client()) as desk:
        await desk.press("j", "enter")
        screen: Any = desk.console.screen
        assert isinstance(screen, TraceScreen)
        assert "event 1077: 3 events, 2 runs, from qd.intervention.spike, 2 still open." in desk.text
        assert screen.node().id == "1077"
        await desk.press("left")
        assert screen.node().id == "run-195"
        await desk.press("left", "left")
        assert screen.node().id == "1042"
        assert "this is where the thread begins" in desk.text
        await desk.press("right", "right", "right")
        assert screen.node().id == "run-190"
        await desk.press("right")
        assert "nothing follows from this yet" in desk.text
        await desk.press("o", "e")
        assert "run-190 is open for pick" in desk.text
        await desk.press("escape", "t", "right", "enter")
        assert isinstance(desk.console.screen, RunScreen) and desk.console.screen.run_id == "run-195"
        await desk.press("h")
        assert isinstance(desk.console.screen, TraceScreen) and desk.console.screen.asked == "run-195"


async def test_what_an_event_says_is_cleaned(at: At) -> None:
    async with at(":events", client=client()) as desk:
        await desk.press("j", "j", "e")
        assert "What became of it" in desk.text and "4.8.1" in desk.text
        assert "the filter says no: event.data.low > 1.0" in desk.text
        assert "\x1b" not in desk.text and "owned" in desk.text
        await desk.press("escape")
        assert "ABOUT" in desk.text


async def test_rules_stand_beside_the_events(at: At) -> None:
    async with at(":events", client=client()) as desk:
        await desk.press("o")
        assert "must" in desk.text and "cron 0 3 * * *" in desk.text
        await desk.press("j", "e")
        text = desk.text
        assert "once per" in text or "guards" in text or "zone" in text
        await desk.press("escape", "escape")
        assert "ABOUT" in desk.text


async def test_an_event_is_told_by_hand(at: At) -> None:
    fake = client()
    async with at(":events", client=fake) as desk:
        await desk.press("plus")
        assert isinstance(desk.console.screen, FormScreen)
        await desk.write("qd.test.hello")
        await desk.press("ctrl+s")
        await desk.settle(0.3)
        sent = desk.sent("event.emit")
        assert [one.args for one in sent] == [{"event": "qd.test.hello"}]


async def test_a_workflow_is_started_with_a_form_made_from_its_inputs(at: At) -> None:
    fake = client()
    async with at(":workflows", size=(160, 45), client=fake) as desk:
        assert "1 workflow, 1 of them started by events or the clock; 12 runs so far." in desk.text
        assert "Freeze the targets" in desk.text
        await desk.press("plus")
        assert isinstance(desk.console.screen, FormScreen)
        assert "Release *" in desk.text
        await desk.write("4.9.0")
        await desk.press("ctrl+s")
        await desk.settle(0.3)
        sent = desk.sent("run.start")
        assert [(one.target, one.args) for one in sent] == [("staged-rollout", {"inputs": {"version": "4.9.0"}})]


async def test_a_workflow_shows_its_steps_and_its_text(at: At) -> None:
    async with at(":workflows", client=client()) as desk:
        await desk.press("enter")
        assert "Asks for" in desk.text and "(needed)" in desk.text
        await desk.press("escape", "d")
        assert "workflow: staged-rollout" in desk.text


async def test_a_workflow_whose_starters_i_am_not_among_says_who_is(at: At) -> None:
    fake = client()
    fake.answers_to["/v1/workflows"] = (replace(FLOWS[0], starters=("data-lead",)),)
    async with at(":workflows", client=fake) as desk:
        await desk.press("plus")
        assert "staged-rollout is started by data-lead" in desk.text
        assert not isinstance(desk.console.screen, FormScreen)


def test_every_kind_of_input_has_its_field_and_reads_back() -> None:
    view = FLOWS[0]
    assert inputs_of(view, {"version": "1", "exclude": "a, b,", "plan": '{"x": 1}'}) == {
        "version": "1",
        "exclude": ["a", "b"],
        "plan": {"x": 1},
    }
    assert field_of("n", {"type": "integer", "minimum": 1, "required": False}).kind == "number"
    assert field_of("b", {"type": "boolean", "default": True}).start == "yes"
    assert field_of("c", {"type": "string", "enum": ["a", "b"]}).options == (("a", "a"), ("b", "b"))
    assert field_of("o", {"type": "object"}).kind == "long"


def test_branches_are_drawn_as_a_tree() -> None:
    assert thread.branches(NODES) == [
        "",
        "\u251c\u2500 ",
        "\u2502  \u2514\u2500 ",
        "\u2502     \u2514\u2500 ",
        "\u2514\u2500 ",
    ]
    assert thread.plain_branches("\u2502  \u2514\u2500 ") == "|  `- "


def test_a_long_thread_shows_the_way_here_and_what_follows_and_counts_the_rest() -> None:
    def event(id: str, level: int, *, here: bool = False) -> TraceNode:
        return TraceNode(kind="event", id=id, level=level, label=id, here=here)

    nodes = [
        event("a", 0),
        event("b", 1),
        event("b1", 2),
        event("c", 1),
        event("d", 2),
        event("e", 2, here=True),
        event("e1", 3),
        event("f", 2),
        event("g", 1),
        event("g1", 2),
    ]
    kept = thread.focused(nodes, roomy=3)
    assert [(node.level, node.label) for node in kept] == [
        (0, "a"),
        (1, "2 more"),
        (1, "c"),
        (2, "1 more"),
        (2, "e"),
        (3, "e1"),
        (2, "1 more"),
        (1, "2 more"),
    ]
    assert thread.focused(nodes) == nodes


def test_the_same_event_again_and_again_is_one_line_with_its_count() -> None:
    def event(label: str, level: int, subject: str = "M-1", *, here: bool = False) -> TraceNode:
        return TraceNode(kind="event", id="1", level=level, label=label, subject=subject, here=here)

    nodes = [
        event("a", 0, here=True),
        *[event("late", 1)] * 3,
        event("late", 1, "M-2"),
        event("late", 1, "M-2"),
        event("x", 2),
        event("late", 1, "M-2"),
    ]
    kept = thread.focused(nodes, roomy=3)
    assert [(node.level, node.label) for node in kept] == [
        (0, "a"),
        (1, "late \u00d73"),
        (1, "late"),
        (1, "late"),
        (2, "x"),
        (1, "late"),
    ]
