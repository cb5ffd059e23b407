"""The ticket port against the real Roundup: written once, found again, nobody overtaken."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

import connectors.roundup
from connectors.roundup import Roundup
from engine.capabilities.ports import ActionError, InDoubt
from engine.capabilities.systems import conformance
from engine.capabilities.systems.ports import NewTicket
from engine.capabilities.tickets.marking import mark
from tests.integration.connectors.ground import WallClock
from tests.services.roundup import RoundupServer, roundup

__all__ = ["roundup"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(240)]


def built(server: RoundupServer, password: str = "", **options: Any) -> Roundup:
    settings = server.settings(**options)
    config = {"url": settings["url"], "secret": settings["secret"], **settings["options"]}
    found: Roundup = connectors.roundup.connector.build(config, lambda _: password or server.password, WallClock(), {})[
        "tickets"
    ]
    return found


@pytest.fixture
async def tickets(roundup: RoundupServer) -> AsyncIterator[Roundup]:
    found = built(roundup)
    yield found
    await found.close()


async def test_check_proves_the_account_and_rights_are_told(roundup: RoundupServer, tickets: Roundup) -> None:
    assert await tickets.check() == "Roundup (REST 1) as admin"
    assert {one.name: one.has for one in await tickets.rights()}["read issue"] is True
    wrong = built(roundup, password="no such password")
    with pytest.raises(ActionError) as caught:
        await wrong.check()
    assert caught.value.kind == "authentication" and "no such password" not in caught.value.message
    await wrong.close()


async def test_the_conformance_suite_holds(tickets: Roundup) -> None:
    report = await conformance.check({"tickets": tickets}, system="roundup", now=time.time, write=True, given={})
    conformance.assert_kept(report)


async def test_a_ticket_is_opened_once_per_key(roundup: RoundupServer, tickets: Roundup) -> None:
    before = roundup.count()
    new = NewTicket(title="HAM2-amr-0417 drive overcurrent", body="wheel L\nsecond line", priority="P2")
    first = await tickets.open(new, key="run-1/open")
    again = await tickets.open(new, key="run-1/open", in_doubt=True)
    assert (first.id, first.title, first.body, first.priority, first.meaning, first.state) == (
        again.id, new.title, "wheel L\nsecond line", "P2", "open", "unread",
    )  # fmt: skip
    found = await tickets.find("run-1/open")
    assert found is not None and found.id == first.id and await tickets.find("run-1/other") is None
    assert roundup.count() == before + 1


async def test_a_ticket_whose_first_message_was_all_that_arrived_is_finished(
    roundup: RoundupServer, tickets: Roundup
) -> None:
    with roundup.client() as http:
        given = {"content": "half", "author": "admin", "date": ".", "messageid": f"<{mark('half')}@quarterdeck>"}
        http.post("/msg", json=given).raise_for_status()
    before = roundup.count("msg")
    opened = await tickets.open(NewTicket(title="half written", body="half"), key="half", in_doubt=True)
    assert opened.body == "half" and roundup.count("msg") == before


async def test_comments_come_once_keep_the_state_and_name_their_author(
    roundup: RoundupServer, tickets: Roundup
) -> None:
    ticket = await tickets.open(NewTicket(title="comments", body="b"), key="comments")
    await tickets.update(ticket.id, {"meaning": "resolved"}, version=ticket.version, key="u")
    one = await tickets.comment(ticket.id, "moved to dock 3", key="c1")
    again = await tickets.comment(ticket.id, "moved to dock 3", key="c1", in_doubt=True)
    assert one.id == again.id and one.key == mark("c1") and one.author == "admin"
    roundup.say(ticket.id, "bearing ordered\x1b[31m", author="kay")
    found = await tickets.read(ticket.id)
    assert (found.comments[0].text, found.comments[0].author) == ("moved to dock 3", "admin")
    assert found.comments[1].author == "kay" and "\x1b" not in found.comments[1].text and not found.comments[1].key
    assert found.meaning == "resolved"  # a message alone would have reopened it


async def test_a_write_never_overtakes_somebody_else(roundup: RoundupServer, tickets: Roundup) -> None:
    ticket = await tickets.open(NewTicket(title="race", body="b", priority="P3"), key="race")
    roundup.set(ticket.id, title="race, renamed there")
    with pytest.raises(ActionError) as caught:
        await tickets.update(ticket.id, {"priority": "P1"}, version=ticket.version, key="u1")
    assert caught.value.error == "Conflict"
    now = await tickets.read(ticket.id)
    after = await tickets.update(
        ticket.id, {"priority": "P1", "assignee": "kay", "meaning": "in_progress"}, version=now.version, key="u2"
    )
    assert (after.priority, after.assignee, after.meaning, after.title) == (
        "P1",
        "kay",
        "in_progress",
        "race, renamed there",
    )
    same = await tickets.update(
        ticket.id, {"priority": "P1", "assignee": "kay"}, version=now.version, key="u2", in_doubt=True
    )
    assert same.version == after.version  # it had arrived: nothing was sent


async def test_what_is_not_there_is_said_by_name(roundup: RoundupServer, tickets: Roundup) -> None:
    ticket = await tickets.open(NewTicket(title="names", body="b"), key="names")
    with pytest.raises(ActionError) as nobody:
        await tickets.update(ticket.id, {"assignee": "nobody-here"}, version="", key="u")
    assert nobody.value.error == "NoSuchUser"
    roundup.retire(ticket.id)
    for id in (ticket.id, "99999", "../user/1"):
        with pytest.raises(ActionError) as gone:
            await tickets.read(id)
        assert gone.value.error == "NoSuchTicket"


async def test_a_file_is_attached_once(roundup: RoundupServer, tickets: Roundup) -> None:
    ticket = await tickets.open(NewTicket(title="files", body="b"), key="files")
    for again in (False, True):
        await tickets.attach(ticket.id, "bundle.json", b'{"a": 1}', "application/json", key="f1", in_doubt=again)
    with roundup.client() as http:
        files = http.get(f"/issue/{ticket.id}").json()["data"]["attributes"]["files"]
        assert len(files) == 1
        assert http.get(f"/file/{files[0]['id']}/binary_content").content == b'{"a": 1}'


async def test_issues_are_listed_in_pages_then_only_what_changed(
    roundup: RoundupServer, tickets: Roundup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connectors.roundup, "PAGE", 3)
    for n in range(4):
        await tickets.open(NewTicket(title=f"listed {n}", body="b"), key=f"listed-{n}")
    seen: dict[str, Any] = {}
    cursor, full, pages = "", True, 0
    while True:
        page = await tickets.pull("issue", cursor)
        cursor, pages, full = page.cursor, pages + 1, full and page.full
        seen |= {one.id: one for one in page.objects}
        if not page.more:
            break
    assert full and pages >= 2 and len(seen) == roundup.count() and page.owner_now > 0
    ours = await tickets.find("listed-2")
    assert ours is not None and seen[ours.id].name == "listed 2" and seen[ours.id].data["meaning"] == "open"
    roundup.set(ours.id, status="in-progress")
    changed: dict[str, Any] = {}
    for _ in range(9):
        delta = await tickets.pull("issue", cursor)
        assert not delta.full
        changed, cursor = changed | {one.id: one for one in delta.objects}, delta.cursor
        if not delta.more:
            break
    assert changed[ours.id].state == "in-progress"
    with pytest.raises(ActionError) as lost:
        await tickets.pull("issue", "nonsense")
    assert lost.value.error == "CursorLost"


async def test_an_unanswered_write_is_in_doubt_and_then_found(
    roundup: RoundupServer, tickets: Roundup, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = roundup.count()
    for step in ("_say", "_post_once"):
        made = getattr(tickets, step)

        async def cut(*given: Any, made: Any = made) -> str:
            await made(*given)
            raise InDoubt("Unanswered", "the line went dead", kind="unknown")

        monkeypatch.setattr(tickets, step, cut)
        with pytest.raises(InDoubt):
            await tickets.open(NewTicket(title="dark", body="b"), key="dark")
        monkeypatch.setattr(tickets, step, made)
    await tickets.open(NewTicket(title="dark", body="b"), key="dark", in_doubt=True)
    assert roundup.count() == before + 1 and roundup.count("msg", messageid=mark("dark")) == 1
