"""Maintenance in the console, by keyboard alone: what stands there at 80x24, and what each key sends."""

from __future__ import annotations

from typing import Any

import pytest

from engine.contract.cases import UNWATCHED, ProblemView
from engine.contract.robots import RobotRecord
from screens import form
from screens.case import CaseScreen
from screens.cases import CasesScreen
from screens.form import FormScreen
from screens.gate import GateScreen
from screens.widgets.text import Page
from tests.unit.cases import fake_cases
from tests.unit.cases.conftest import At


@pytest.fixture(autouse=True)
def no_drafts() -> None:
    form.drafts.clear()


async def test_a_case_is_filed_in_less_than_ten_keys_and_the_text(at: At) -> None:
    """The promise to whoever stands beside a broken robot at three in the morning."""
    async with at("", client=fake_cases.client()) as desk:
        keys = 0
        for key in ("0", "plus"):
            await desk.press(key)
            keys += 1
        robot = desk.client.fleet[20]
        await desk.write(robot.id)
        await desk.press("enter")
        await desk.write("left drive hums")
        await desk.press("ctrl+s")
        keys += 2
        (sent,) = desk.sent("case.open")
        assert sent.args == {
            "robot": robot.id, "symptom": "left drive hums", "impact": 3, "urgency": 2, "safety_related": False,
        }  # fmt: skip
        assert keys < 10 and isinstance(desk.console.screen, CasesScreen)


async def test_an_open_case_of_the_robot_is_said_while_one_types(at: At) -> None:
    async with at(":cases", client=fake_cases.client()) as desk:
        await desk.press("plus")
        await desk.write(desk.client.fleet[1].id)
        assert "open on it: M-311 left drive overcurrent" in desk.text


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_the_queue_says_what_is_late_and_tells_the_case_under_the_cursor(at: At, size: tuple[int, int]) -> None:
    async with at(":cases", client=fake_cases.client(), size=size) as desk:
        assert "1 P1" in desk.text and "due in <30 min: 1" in desk.text and "late: 1" in desk.text
        assert "ack late" in desk.text and "restore in 16m" in desk.text
        assert "same build elsewhere: 10 robots, 0 with this fault" in desk.text
        await desk.press("j")
        about = desk.console.screen.query_one("#about", Page).text
        assert "similar: 4 in 90 d, fixed 3 by connector loose connection (median 2.1 h)" in " ".join(about.split())
        assert "second person" in desk.text
        lines = desk.text.splitlines()
        assert len(lines) <= size[1] and all(len(line) <= size[0] for line in lines)


async def test_claiming_and_starting_act_at_once(at: At) -> None:
    async with at(":cases", client=fake_cases.client()) as desk:
        await desk.press("j", "a")
        await desk.press("s")
        assert [(one.verb, one.target) for one in desk.sent()] == [("case.claim", "M-311"), ("case.start", "M-311")]


async def test_what_can_not_be_done_says_why(at: At) -> None:
    async with at(":cases", client=fake_cases.client()) as desk:
        await desk.press("o")
        assert "only what somebody works on can be held" in desk.text and not desk.sent()
        await desk.press("j", "j", "j", "a")
        assert "M-313 is verifying" in desk.text and not desk.sent()


async def test_a_hold_needs_what_it_waits_for(at: At) -> None:
    client = fake_cases.client()
    row = fake_cases.case(client, 311, 1, state="in_progress", assignee="tom", technicians=("tom",))
    client.answers_to["/v1/cases/M-311/view"] = fake_cases.detail(row)
    async with at(":case M-311", client=client) as desk:
        await desk.press("o")
        await desk.press("ctrl+s")
        assert "Waits for: needed" in desk.text and not desk.sent()
        await desk.press("up", "v", "down")
        await desk.write("vendor ticket 9")
        await desk.press("enter", "enter")
        (sent,) = desk.sent()
        assert sent.verb == "case.hold" and sent.args == {"reason": "vendor", "ref": "vendor ticket 9"}


async def test_a_fault_is_coded_and_resolved_with_first_letters(at: At) -> None:
    client = fake_cases.client()
    row = fake_cases.case(client, 311, 1, state="in_progress", assignee="tom", technicians=("tom",))
    client.answers_to["/v1/cases/M-311/view"] = fake_cases.detail(row)
    async with at(":case M-311", client=client) as desk:
        await desk.press("f")
        screen: Any = desk.console.screen
        assert isinstance(screen, FormScreen)
        assert "still needed to resolve" in desk.text
        await desk.press("tab", "l", "tab", "i", "tab", "tab", "c", "tab")
        await desk.write("J7 reseated")
        await desk.press("tab")
        await desk.write("connector J7: A-1 out, A-2 in; wheel")
        await desk.press("ctrl+s")
        (sent,) = desk.sent()
        assert sent.verb == "case.resolve" and sent.target == "M-311"
        assert sent.args == {
            "mode": "overcurrent", "mechanism": "loose_connection", "cause": "installation",
            "detection": "operator_report", "item": "connector", "resolution": "J7 reseated",
            "parts": ["connector J7: A-1 out, A-2 in", "wheel"],
        }  # fmt: skip


async def test_a_step_of_the_runbook_and_the_checklist(at: At) -> None:
    client = fake_cases.client()
    row = fake_cases.case(client, 311, 1, state="in_progress", assignee="tom", technicians=("tom",))
    client.answers_to["/v1/cases/M-311/view"] = fake_cases.detail(row)
    async with at(":case M-311", client=client) as desk:
        await desk.press("m", "tab")
        await desk.write("0.3 A")
        await desk.press("ctrl+s")
        await desk.press("v", "y", "tab", "y", "tab", "n", "ctrl+s")
        assert [(one.verb, one.args) for one in desk.sent()] == [
            ("case.step", {"step": 3, "value": "0.3 A"}),
            ("case.check", {"done": ["lock-out removed and tools counted", "guards and e-stop tested"]}),
        ]


async def test_the_return_to_service_is_a_question_and_b_leads_there(at: At) -> None:
    async with at(":case M-313", client=fake_cases.client()) as desk:
        assert "waits for its return to service" in desk.text
        assert "3.2 of 8 robot-h, 11 of 30 tasks, clean" in desk.text
        await desk.press("B")
        assert isinstance(desk.console.screen, GateScreen) and not desk.sent()


async def test_out_of_service_is_one_key_and_back_is_none(at: At) -> None:
    client = fake_cases.client()
    row = fake_cases.case(client, 311, 1, dispatch_hold=False)
    client.answers_to["/v1/cases/M-311/view"] = fake_cases.detail(row)
    async with at(":case M-311", client=client) as desk:
        await desk.press("B")
        assert [(one.verb, one.target) for one in desk.sent()] == [("case.takeout", "M-311")]
    async with at(":case M-311", client=fake_cases.client()) as desk:
        await desk.press("B")
        assert not desk.sent() and "returns by the gate" in desk.text


@pytest.mark.parametrize(
    ("key", "said"), [("equals_sign", "others"), ("e", "Context bundle"), ("t", "Nothing has happened yet")]
)
async def test_pages_beside_the_case_and_back(at: At, key: str, said: str) -> None:
    async with at(":case M-311", client=fake_cases.client()) as desk:
        await desk.press(key)
        assert said in desk.text
        await desk.press("escape")
        assert isinstance(desk.console.screen, CaseScreen) and "similar: 4" in desk.text


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_hostile_text_stays_text(at: At, size: tuple[int, int]) -> None:
    async with at(":cases", client=fake_cases.client(hostile=True), size=size) as desk:
        await desk.press("j")
        assert "\x1b" not in desk.text and "\u202e" not in desk.text and "\x9b" not in desk.text
        await desk.press("enter")
        assert "\x1b" not in desk.text and isinstance(desk.console.screen, CaseScreen)


async def test_an_empty_queue_says_what_to_do(at: At) -> None:
    async with at(":cases", client=fake_cases.client(empty=True)) as desk:
        assert "No case is open. + files one." in desk.text


async def test_a_case_that_is_not_there_leads_back(at: At) -> None:
    async with at(":case M-9999", client=fake_cases.client()) as desk:
        assert "there is nothing at" in desk.text
        await desk.press("escape")


async def test_a_case_is_filed_from_the_robot_under_the_cursor(at: At) -> None:
    client = fake_cases.client()
    client.held["robot"] = [
        RobotRecord(
            id=min(one.id for one in client.fleet),
            kind="robot",
            state="out_of_service",
            dispatchable=False,
            holds=("M-311",),
        )
    ]
    async with at(":fleet", client=client) as desk:
        assert "✗ M-311" in desk.text
        await desk.press("plus")
        await desk.write("squeals")
        await desk.press("ctrl+s")
        (sent,) = desk.sent("case.open")
        assert sent.args["robot"] in {one.id for one in client.fleet} and sent.args["symptom"] == "squeals"


async def test_a_problem_is_found_by_what_it_is_about(at: At) -> None:
    client = fake_cases.client()
    client.held["problem"] = [
        ProblemView(id="PRB-7", kind="problem", state="open", title="overcurrent on rev-C", mode="overcurrent"),
        ProblemView(id="PRB-8", kind="problem", state="closed", title="noise", mode="noise"),
    ]
    async with at(":case M-311", client=client) as desk:
        await desk.press("K")
        await desk.write("overc")
        assert "PRB-7  overcurrent on rev-C" in desk.text and "PRB-8" not in desk.text
        await desk.press("enter", "enter")
        (sent,) = desk.sent("case.link")
        assert sent.args == {"problem": "PRB-7"}


async def test_a_case_that_nothing_watches_says_so_and_is_watched_again_by_a_key(at: At) -> None:
    client = fake_cases.client()
    left = fake_cases.case(client, 311, 1, warnings=(f"{UNWATCHED}: its run was cancelled or failed",))
    client.answers_to["/v1/cases/M-311/view"] = fake_cases.detail(left)
    async with at(":case M-311", client=client) as desk:
        assert "Nothing watches M-311 any more" in desk.text
        await desk.press("W")
        assert [(one.verb, one.target) for one in desk.sent()] == [("case.watch", "M-311")]
    async with at(":case M-312", client=fake_cases.client()) as desk:
        await desk.press("W")
        assert not desk.sent() and "its run looks after it" in desk.text
