"""The ticket on the case's screen, by keyboard alone at 80x24."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from engine.contract.tickets import Agreed, TicketConflict, TicketDetail, TicketLink, TicketPage, TicketSide
from screens import form
from screens.widgets.text import Page
from tests.fakes import BASE
from tests.unit.cases import fake_cases
from tests.unit.cases.fake_cases import HOSTILE
from tests.unit.decision_screens.conftest import At, at

__all__ = ["at"]


@pytest.fixture(autouse=True)
def no_drafts() -> None:
    form.drafts.clear()


def ticket(**more: Any) -> TicketDetail:
    conflict = TicketConflict(field="priority", ours="P2", theirs="P4", base="P3", since=BASE - 600)
    link = TicketLink(
        id="TL-3", kind="ticket_link", rev=4, state="conflict", title="left drive", created_at=BASE - 900, created_by="engine",
        updated_at=BASE, case="M-311", system="ops-desk", ticket="OPS-12", url="https://desk.example/OPS-12",
        agreed={"title": Agreed(ours="a", theirs="a")}, conflicts=(conflict,), comments={"1": "k"}, their_state="in work",
        changed_there=BASE - 60, synced_at=BASE - 30,
    )  # fmt: skip
    sides = (
        TicketSide(field="title", ours="left drive", theirs="left drive", word="agreed"),
        TicketSide(field="priority", ours="P2", theirs="P4", word="conflict"),
        TicketSide(field="assignee", ours="tom", theirs=more.pop("theirs", "kay"), word="left out", why="by policy"),
        TicketSide(field="meaning", ours="open", theirs="in_progress", word="theirs"),
    )
    return TicketDetail(link=replace(link, **more), sides=sides, case_state="queued")


def client(*tickets: TicketDetail, system: str = "ops-desk", pages: tuple[TicketPage, ...] = ()) -> Any:
    made = fake_cases.client()
    path = "/v1/cases/M-311/view"
    shown: Any = made.answers_to[path]
    made.answers_to[path] = replace(shown, tickets=tickets, ticket_system=system, pages=pages)
    return made


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_a_disagreement_is_seen_and_settled(at: At, size: tuple[int, int]) -> None:
    async with at(":case M-311", client=client(ticket()), size=size) as desk:
        assert "ticket ops-desk/OPS-12" in desk.text and "1 to choose" in desk.text
        assert "! priority: P2 here, P4 there (both changed: S chooses)" in desk.text
        await desk.press("J")
        text = desk.console.screen.query_one("#facts", Page).text
        assert "! S chooses" in text and "comes here" in text and "by policy" in text
        await desk.press("S")
        assert "M-311 and ops-desk/OPS-12 disagree" in desk.text
        await desk.press("right")
        await desk.press("ctrl+s")
        (sent,) = desk.sent("ticket.resolve")
        assert sent.target == "TL-3" and set(sent.args) == {"priority"}


async def test_a_case_without_a_ticket_gets_one_by_a_key(at: At) -> None:
    async with at(":case M-311", client=client()) as desk:
        assert "open one in ops-desk" in desk.text
        await desk.press("J")
        await desk.press("N")
        (sent,) = desk.sent("ticket.open")
        assert sent.target == "M-311"


async def test_without_a_ticket_system_nothing_of_it_is_shown(at: At) -> None:
    async with at(":case M-311", client=client(system="")) as desk:
        assert "ticket " not in desk.console.screen.query_one("#facts", Page).text
        await desk.press("N")
        assert "no ticket system is connected" in desk.text and not desk.sent("ticket.open")


async def test_what_stands_between_is_said_with_its_age_and_text_from_there_is_inert(at: At) -> None:
    failing = ticket(
        state="failing", conflicts=(), error="the desk cannot be reached", failing_since=BASE - 240, theirs=HOSTILE
    )
    page = TicketPage(
        id="PG-1", kind="ticket_page", rev=1, state="raised", title="", created_at=BASE, created_by="engine", updated_at=BASE,
        case="M-311", system="pd", key="k", raised_at=BASE - 60,
    )  # fmt: skip
    async with at(":case M-311", client=client(failing, pages=(page,))) as desk:
        assert "not in step for 4m" in desk.text and "somebody is being woken" in desk.text
        await desk.press("J")
        assert "\x1b" not in desk.text
