"""A case and its ticket, through the real book: both converge, nothing is overwritten, nothing is written twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.capabilities.desk import Refusal
from engine.capabilities.ports import ActionError
from engine.contract.tickets import Agreed
from tests.unit.cases.ground import MINUTE
from tests.unit.tickets.tracker import SYSTEM, TicketGround, dies


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[TicketGround]:
    made = await TicketGround.open(tmp_path)
    assert isinstance(made, TicketGround)
    made.begin()
    yield made
    await made.keeper.settle()
    await made.host.close()


async def linked(ground: TicketGround, **more: Any) -> tuple[str, str]:
    """A case with its ticket: (case, link)."""
    case = await ground.queued(**{"impact": 2, "urgency": 1, **more})
    return case, await ground.sync(case=case)


def words(ground: TicketGround, link: str) -> dict[str, str]:
    return {one.field: one.why for one in ground.link(link).conflicts}


async def test_a_case_of_weight_gets_one_ticket_and_a_light_one_none(ground: TicketGround) -> None:
    case, link = await linked(ground)
    await ground.sync(case=case)
    ticket = ground.ticket(link)
    assert (ticket.title, ticket.priority, ticket.meaning) == (ground.case(case).title, "P2", "open")
    assert case in ticket.body and "closed by a second person" in ticket.body
    assert ground.case(case).external_ref == f"{SYSTEM}/{ticket.id}" and ground.link(link).state == "synced"
    assert ground.tracker.writes.count("open") == 1 and ground.told("qd.ticket.opened")[0]["case"] == case
    light = await ground.queued("HAM2-02", "hums", impact=3, urgency=3)
    assert await ground.sync(case=light) == "" and len(ground.tracker.tickets) == 1


async def test_changes_go_over_in_both_directions(ground: TicketGround) -> None:
    case, link = await linked(ground)
    await ground.do("tom", "case.claim", case)
    await ground.do("tom", "case.start", case)
    await ground.sync(case=case)
    assert (ground.ticket(link).assignee, ground.ticket(link).meaning) == ("tom", "in_progress")
    ground.tracker.set(ground.ticket(link).id, title="HAM2-01: wheel motor L", priority="P1", assignee="mara")
    await ground.sync(ticket=ground.ticket(link).id)
    found = ground.case(case)
    assert (found.title, found.priority, found.assignee) == ("HAM2-01: wheel motor L", 1, "mara")
    assert "mara" in found.technicians and found.dispatch_hold  # P1 leaves dispatch, wherever it was said
    assert not ground.link(link).conflicts
    ground.tracker.set(ground.ticket(link).id, meaning="on_hold")
    await ground.sync(ticket=ground.ticket(link).id)
    held = ground.case(case)
    assert held.state == "on_hold" and held.holds[-1].ref == f"{SYSTEM}/{ground.ticket(link).id}"
    ground.tracker.set(ground.ticket(link).id, meaning="in_progress")
    await ground.sync(ticket=ground.ticket(link).id)
    assert ground.case(case).state == "in_progress" and ground.case(case).holds[-1].ended


async def test_what_both_changed_is_shown_and_neither_is_overwritten(ground: TicketGround) -> None:
    case, link = await linked(ground)
    await ground.do("cy", "case.weigh", case, impact=1, urgency=1, reason="a second robot")
    ground.tracker.set(ground.ticket(link).id, priority="P3", title="renamed there")
    before = list(ground.tracker.writes)
    await ground.sync(case=case)
    found = ground.link(link)
    (conflict,) = found.conflicts
    assert (found.state, conflict.field, conflict.ours, conflict.theirs, conflict.base) == (
        "conflict", "priority", "P1", "P3", "P2",
    )  # fmt: skip
    assert ground.case(case).priority == 1 and ground.ticket(link).priority == "P3"
    assert ground.case(case).title == "renamed there"  # the other fields went on
    assert ground.tracker.writes == before and ground.told("qd.ticket.conflict")[0]["fields"] == ["priority"]
    await ground.sync(case=case)
    assert len(ground.told("qd.ticket.conflict")) == 1  # told once, not at every look
    said = await ground.foresee("cy", "ticket.resolve", link, priority="ours")
    assert said.sentences == (f"priority: {found.ticket} becomes P1; P3 there is overwritten",)
    await ground.do("cy", "ticket.resolve", link, priority="ours")
    await ground.sync(link=link, fresh=True)
    assert ground.ticket(link).priority == "P1" and ground.link(link).state == "synced"
    assert ground.told("qd.ticket.agreed")


async def test_theirs_is_chosen_and_a_change_after_the_choice_asks_again(ground: TicketGround) -> None:
    case, link = await linked(ground)
    await ground.do("cy", "case.weigh", case, impact=1, urgency=1, reason="a second robot")
    ground.tracker.set(ground.ticket(link).id, priority="P3")
    await ground.sync(case=case)
    await ground.do("cy", "ticket.resolve", link, priority="ours")
    ground.tracker.set(ground.ticket(link).id, priority="P4")  # before it was carried out
    await ground.sync(link=link, fresh=True)
    assert ground.ticket(link).priority == "P4" and [one.theirs for one in ground.link(link).conflicts] == ["P4"]
    await ground.do("cy", "ticket.resolve", link, priority="theirs")
    await ground.sync(link=link, fresh=True)
    assert ground.case(case).priority == 4 and ground.link(link).state == "synced"


async def test_what_is_chosen_while_both_are_compared_stands(ground: TicketGround) -> None:
    case, link = await linked(ground)
    await ground.do("cy", "case.weigh", case, impact=1, urgency=1, reason="a second robot")
    await ground.do("cy", "case.note", case, text="both wheels")
    ground.tracker.set(ground.ticket(link).id, priority="P3")
    await ground.sync(case=case)
    await ground.do("cy", "case.note", case, text="and the gearbox")
    comment = ground.tracker.comment

    async def chosen_meanwhile(*given: Any, **named: Any) -> Any:
        ground.tracker.comment = comment  # type: ignore[method-assign]
        await ground.do("cy", "ticket.resolve", link, priority="ours")
        return await comment(*given, **named)

    ground.tracker.comment = chosen_meanwhile  # type: ignore[method-assign]
    await ground.sync(case=case)
    await ground.sync(link=link, fresh=True)
    assert ground.ticket(link).priority == "P1" and ground.link(link).state == "synced"


async def test_a_choice_stands_although_a_comparison_was_written_just_before(ground: TicketGround) -> None:
    case, link = await linked(ground)
    await ground.do("cy", "case.weigh", case, impact=1, urgency=1, reason="a second robot")
    ground.tracker.set(ground.ticket(link).id, priority="P3")
    await ground.sync(case=case)
    read = ground.link(link)
    await ground.do("cy", "case.note", case, text="both wheels")
    await ground.sync(case=case)
    assert ground.link(link).rev > read.rev
    await ground.do("cy", "ticket.resolve", link, stale=read, priority="ours")
    await ground.sync(link=link, fresh=True)
    assert ground.ticket(link).priority == "P1" and ground.link(link).state == "synced"


async def test_a_choice_between_what_stands_no_more_is_refused(ground: TicketGround) -> None:
    case, link = await linked(ground)
    await ground.do("cy", "case.weigh", case, impact=1, urgency=1, reason="a second robot")
    ground.tracker.set(ground.ticket(link).id, priority="P3")
    await ground.sync(case=case)
    read = ground.link(link)
    ground.tracker.set(ground.ticket(link).id, priority="P4")
    await ground.sync(case=case)
    with pytest.raises(Refusal, match="priority is P1 here and P4 there by now") as refused:
        await ground.do("cy", "ticket.resolve", link, stale=read, priority="theirs")
    assert refused.value.field == "priority" and ground.case(case).priority == 1


async def test_let_go_while_both_are_compared_it_stays_so(ground: TicketGround) -> None:
    case, link = await linked(ground)
    await ground.do("cy", "case.weigh", case, impact=1, urgency=1, reason="a second robot")

    real = ground.tracker.update

    async def let_go_meanwhile(*given: Any, **named: Any) -> Any:
        await ground.do("cy", "ticket.unlink", link)
        return await real(*given, **named)

    ground.tracker.update = let_go_meanwhile  # type: ignore[method-assign]
    await ground.sync(case=case)
    assert ground.link(link).state == "unlinked"


async def test_a_ticket_closes_no_case(ground: TicketGround) -> None:
    case, link = await linked(ground)
    ground.tracker.set(ground.ticket(link).id, meaning="closed")
    await ground.sync(ticket=ground.ticket(link).id)
    assert ground.case(case).state == "queued" and "gate return_to_service" in words(ground, link)["meaning"]
    with pytest.raises(Refusal) as refused:
        await ground.do("cy", "ticket.resolve", link, meaning="theirs")
    assert refused.value.code == "not_by_ticket"
    await ground.do("cy", "ticket.resolve", link, meaning="ours")
    await ground.sync(link=link, fresh=True)
    assert ground.ticket(link).meaning == "open" and ground.link(link).state == "synced"


async def test_a_case_that_is_resolved_here_meets_a_ticket_resolved_there(ground: TicketGround) -> None:
    case, link = await linked(ground)
    ground.tracker.set(ground.ticket(link).id, meaning="resolved")
    await ground.sync(ticket=ground.ticket(link).id)
    assert words(ground, link)
    await ground.resolved(case)
    await ground.sync(case=case)
    assert ground.link(link).state == "synced" and ground.ticket(link).assignee == "tom"
    ground.tracker.set(ground.ticket(link).id, meaning="open")
    await ground.sync(ticket=ground.ticket(link).id)
    assert ground.case(case).state == "reopened"  # the repair did not hold, says the other side


async def test_an_owner_with_fewer_words_agrees_all_the_same(ground: TicketGround) -> None:
    ground.tracker.few_words = True
    case, link = await linked(ground)
    await ground.resolved(case)
    await ground.sync(case=case)
    await ground.book("eva").change("case", case, to="verifying", reason="verified")
    facts = {"gate": "g", "person": "eva", "clean": True}
    await ground.book("eva").change("case", case, to="closed", reason="given back", facts=facts)
    await ground.sync(case=case)
    assert ground.ticket(link).meaning == "resolved" and ground.link(link).state == "synced"
    before = list(ground.tracker.writes)
    await ground.sync(case=case)
    assert ground.tracker.writes == before


async def test_opened_again_after_the_case_was_closed_becomes_a_case_of_its_own(ground: TicketGround) -> None:
    case, link = await linked(ground)
    await ground.resolved(case)
    await ground.book("eva").change("case", case, to="verifying", reason="verified")
    facts = {"gate": "g", "person": "eva", "clean": True}
    await ground.book("eva").change("case", case, to="closed", reason="given back", facts=facts)
    await ground.sync(case=case)
    ticket = ground.ticket(link).id
    ground.tracker.set(ticket, meaning="open")
    for _ in range(2):
        await ground.sync(ticket=ticket)
    (said,) = ground.told("qd.ticket.changed")
    assert said["external_ref"] == f"{SYSTEM}/{ticket}" and ground.case(case).state == "closed"
    event = {"event": "qd.ticket.changed", "data": said}
    (report,) = (await ground.act("case.intake", run="intake", event=event))["reports"]
    opened = await ground.act("case.open", run="run-new", **{k: v for k, v in report.items() if k != "detector"})
    for action in ("case.enrich", "case.triage", "case.route"):
        await ground.act(action, run="run-new", case=opened["case"])
    again = await ground.sync(case=opened["case"])
    assert again != link and ground.link(again).ticket == ticket and ground.link(link).state == "unlinked"
    assert len(ground.tracker.tickets) == 1


async def test_notes_and_comments_come_over_once_whoever_dies_in_between(ground: TicketGround) -> None:
    case, link = await linked(ground)
    await ground.do("tom", "case.note", case, text="phase current 0.7 A")
    dies(ground.tracker)
    await ground.sync(case=case)
    ground.tracker.say(ground.ticket(link).id, "bearing is ordered")
    await ground.sync(ticket=ground.ticket(link).id)
    await ground.sync(case=case)
    texts = [one.text for one in ground.ticket(link).comments]
    assert texts == ["tom: phase current 0.7 A", "bearing is ordered"] and ground.tracker.writes.count("comment") == 1
    assert [(one.by, one.text) for one in ground.case(case).notes] == [
        ("tom", "phase current 0.7 A"), (f"kay ({SYSTEM})", "bearing is ordered"),
    ]  # fmt: skip


async def test_two_that_heard_of_the_same_ticket_write_once(ground: TicketGround) -> None:
    case = await ground.queued(impact=2, urgency=1)
    await ground.do("tom", "case.note", case, text="phase current 0.7 A")
    opened = [ground.sync(case=case), ground.do("cy", "ticket.open", case)]
    await asyncio.gather(*opened, return_exceptions=True)
    await ground.sync(case=case)
    links = await ground.book("cy").find("ticket_link", where={"case": case})
    assert len(links) == 1 and len(ground.tracker.tickets) == 1
    await ground.do("tom", "case.note", case, text="0.8 A")
    await asyncio.gather(ground.sync(case=case), ground.sync(ticket="OPS-1"), ground.sync(link=links[0].id))
    assert [one.text for one in ground.tracker.tickets["OPS-1"].comments] == [
        "tom: phase current 0.7 A", "tom: 0.8 A",
    ]  # fmt: skip


async def test_files_are_attached_once_with_their_content(ground: TicketGround) -> None:
    case, link = await linked(ground)
    await ground.sync(case=case)
    names = [one for one in ground.tracker.writes if one.startswith("attach")]
    assert names == [f"attach context-{case}.json"] and b"robot" in next(iter(ground.tracker.files.values()))
    ground.tracker.traits["attach"] = "no files"
    assert ground.link(link).attached == (ground.case(case).bundle,)


async def test_a_write_that_was_not_answered_is_found_and_not_done_again(ground: TicketGround) -> None:
    case = await ground.queued(impact=2, urgency=1)
    dies(ground.tracker)
    link = await ground.sync(case=case)
    assert len(ground.tracker.tickets) == 1
    await ground.do("tom", "case.claim", case)
    dies(ground.tracker)
    await ground.sync(case=case)
    assert ground.tracker.writes.count("update assignee") == 1 and ground.link(link).state == "synced"


async def test_who_is_quicker_there_is_not_overtaken(ground: TicketGround) -> None:
    case, link = await linked(ground)
    await ground.do("cy", "case.weigh", case, impact=1, urgency=1, reason="a second robot")

    def quicker() -> None:
        ground.tracker.before = lambda: None
        ground.tracker.set(ground.ticket(link).id, priority="P4")

    ground.tracker.before = quicker
    await ground.sync(case=case)
    assert ground.ticket(link).priority == "P4" and [one.field for one in ground.link(link).conflicts] == ["priority"]


async def test_a_name_nobody_has_there_stops_only_its_own_field(ground: TicketGround) -> None:
    case, link = await linked(ground)
    await ground.do("zoe", "case.claim", case)
    await ground.do("zoe", "case.start", case)
    await ground.sync(case=case)
    assert ground.ticket(link).meaning == "in_progress" and "nobody is called zoe" in words(ground, link)["assignee"]
    before = list(ground.tracker.writes)
    await ground.sync(case=case)
    assert ground.tracker.writes == before
    ground.packs["tickets"]["people"] = {"zoe": "tom-there"}
    await ground.sync(link=link, fresh=True)
    assert ground.ticket(link).assignee == "tom-there" and ground.link(link).state == "synced"
    ground.tracker.set(ground.ticket(link).id, assignee="kay")
    await ground.sync(ticket=ground.ticket(link).id)
    ground.tracker.set(ground.ticket(link).id, assignee="tom-there")
    await ground.sync(ticket=ground.ticket(link).id)
    assert ground.case(case).assignee == "zoe"


async def test_a_workflow_without_that_state_is_a_conflict_with_its_reason(ground: TicketGround) -> None:
    case, link = await linked(ground)
    ground.tracker.no_way_to = {"resolved"}
    await ground.resolved(case)
    await ground.sync(case=case)
    assert words(ground, link) == {"meaning": "no way to resolved"} and ground.ticket(link).assignee == "tom"


async def test_less_urgent_from_there_is_not_taken_for_a_case_about_safety(ground: TicketGround) -> None:
    case, link = await linked(ground, safety_related=True)
    ground.tracker.set(ground.ticket(link).id, priority="P5")
    await ground.sync(ticket=ground.ticket(link).id)
    assert ground.case(case).priority < 5 and "about safety" in words(ground, link)["priority"]


async def test_a_ticket_that_is_gone_is_said_and_the_case_goes_on(ground: TicketGround) -> None:
    case, link = await linked(ground)
    del ground.tracker.tickets[ground.link(link).ticket]
    await ground.sync(link=link)
    await ground.sync(link=link)
    assert ground.link(link).state == "gone" and len(ground.told("qd.ticket.gone")) == 1
    assert await ground.sync(case=case) != link  # it gets another one


async def test_what_stands_between_is_shown_while_it_does(ground: TicketGround) -> None:
    case, link = await linked(ground)
    ground.tracker.lost = True
    for _ in range(2):
        with pytest.raises(ActionError):
            await ground.sync(case=case)
        ground.clock.advance(MINUTE)
    found = ground.link(link)
    assert found.state == "failing" and "cannot be reached" in found.error
    assert found.failing_since < ground.clock.now() - MINUTE
    ground.tracker.lost = False
    await ground.sync(case=case)
    assert ground.link(link).state == "synced" and not ground.link(link).error


async def test_a_ticket_that_is_there_already_is_linked_and_compared(ground: TicketGround) -> None:
    case = await ground.queued("HAM2-02", "hums", impact=3, urgency=3)
    other, _ = await linked(ground)
    ground.tracker.tickets["OPS-9"] = ground.tracker.tickets["OPS-1"].__class__(
        id="OPS-9", title="loud robot", state="open", meaning="in_progress", priority="P1", assignee="kay", version="4"
    )
    for ticket, code in (("OPS-77", "no_ticket"), ("../x", "bad_ticket"), ("OPS-1", "taken")):
        with pytest.raises(Refusal) as refused:
            await ground.do("cy", "ticket.link", case, ticket=ticket)
        assert refused.value.code == code
    link = (await ground.do("cy", "ticket.link", case, ticket="OPS-9"))["id"]
    await ground.sync(link=link)
    found = ground.case(case)
    assert found.assignee == "kay"  # only there
    assert {one.field for one in ground.link(link).conflicts} == {"priority", "meaning"}  # never compared: nobody wins
    assert ground.link(link).agreed["title"] == Agreed(ours=found.title, theirs="loud robot")
    with pytest.raises(Refusal) as twice:
        await ground.do("cy", "ticket.open", case)
    assert twice.value.code == "linked"
    await ground.do("cy", "ticket.unlink", link, reason="the wrong one")
    assert ground.link(link).state == "unlinked"
    opened = await ground.do("cy", "ticket.open", case)
    await ground.sync(link=opened["id"])
    assert ground.link(opened["id"]).state == "synced" and other != case


async def test_tickets_nobody_spoke_of_are_looked_at(ground: TicketGround) -> None:
    _, link = await linked(ground)
    assert (await ground.act("ticket.due"))["links"] == []
    ground.clock.advance(16 * MINUTE)
    assert (await ground.act("ticket.due"))["links"] == [link]


async def test_what_people_do_with_a_page_is_taken_over_and_wakes_nobody_again(ground: TicketGround) -> None:
    case = await ground.queued(impact=1, urgency=1)
    await ground.act("page.case", case=case)
    ((_, key),) = ground.pager.told
    assert (await ground.act("page.told", key=key, state="acknowledged"))["state"] == "acknowledged"
    assert (await ground.act("page.told", key=key, state="triggered"))["state"] == "raised"
    put_away = await ground.act("page.told", key=key, state="resolved")
    assert put_away["state"] == "acknowledged" and "resolved" in put_away["why"]
    await ground.act("page.case", case=case)
    assert [what for what, _ in ground.pager.told] == ["raise"], "the case stands, and nobody is woken for it twice"
    assert (await ground.act("page.told", key="somebody else's", state="resolved"))["page"] == ""


async def test_somebody_is_woken_once_and_no_longer_when_it_is_claimed(ground: TicketGround) -> None:
    case = await ground.queued(impact=1, urgency=1)
    for _ in range(2):
        await ground.act("page.case", case=case)
    await ground.do("tom", "case.claim", case)
    for _ in range(2):
        await ground.act("page.case", case=case)
    await ground.resolved(case)
    for _ in range(2):
        await ground.act("page.case", case=case)
    assert [what for what, _ in ground.pager.told] == ["raise", "acknowledge", "resolve"]
    assert len({key for _, key in ground.pager.told}) == 1
    told = await ground.act("page.told", key=ground.pager.told[0][1], state="acknowledged")
    assert told["state"] == "ended", "what comes late changes nothing"
    light = await ground.queued("HAM2-02", "hums", impact=3, urgency=3)
    assert (await ground.act("page.case", case=light))["state"] == "none"
