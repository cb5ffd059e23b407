"""Tickets of a case as they are looked at: both sides of every field, and how old what we know is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.capabilities.reads import Look, Read
from engine.capabilities.tickets import casework
from engine.contract.cases import CaseView
from engine.contract.tickets import (
    LINK_OVER,
    TICKET_FIELDS,
    CaseTickets,
    TicketDetail,
    TicketLink,
    TicketPage,
    TicketSide,
)

Json = Any
PACK = "tickets"


def _sides(link: TicketLink, case: CaseView | None, policy: Mapping[str, Json]) -> tuple[TicketSide, ...]:
    ours = casework.ours(case, policy) if case is not None else {}
    standing = {one.field: one for one in link.conflicts}
    found = []
    for name in TICKET_FIELDS:
        here, there = ours.get(name, ""), link.theirs.get(name, "")
        agreed, conflict = link.agreed.get(name), standing.get(name)
        word, why = "agreed", ""
        if conflict is not None:
            word, why = "conflict", conflict.why
        elif name in link.left_out:
            word, why = "left out", link.left_out[name]
        elif agreed is not None and here != agreed.ours:
            word = "ours"
        elif agreed is not None and there != agreed.theirs:
            word = "theirs"
        found.append(TicketSide(field=name, ours=here, theirs=there, word=word, why=why))
    return tuple(found)


def detail(look: Look, link: TicketLink) -> TicketDetail:
    policy = look.policy(PACK)
    case = look.get("case", link.case)
    age = look.now() - link.synced_at if link.synced_at else 0.0
    stale = age if link.state not in ("unlinked", "opening") and age > float(policy["stale"]) else 0.0
    return TicketDetail(
        link=link, sides=_sides(link, case, policy), case_state=case.state if case is not None else "", stale_s=stale
    )


def _one(look: Look, at: dict[str, str], query: dict[str, str]) -> TicketDetail | None:
    link = look.get("ticket_link", at["link"])
    return detail(look, link) if link is not None else None


def of_case(look: Look, case: str) -> CaseTickets:
    """Tickets and pages of a case; those that are kept in step first."""
    links = look.find("ticket_link", where={"case": case}, limit=20)
    pages: list[TicketPage] = look.find("ticket_page", where={"case": case}, limit=20)
    shown = sorted(links, key=lambda one: one.state in LINK_OVER)
    return CaseTickets(tickets=tuple(detail(look, one) for one in shown), pages=tuple(pages), as_of=look.now())


def of_cases(look: Look) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Case -> its ticket and the fields about which both disagree, for every ticket that is kept in step."""
    states = ("opening", "synced", "conflict", "failing")
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for one in look.find("ticket_link", state=states, limit=2_000, order="created_at"):
        said = f"{one.system}/{one.ticket}" if one.ticket else f"{one.system}/\u2026"
        found[one.case] = (said, tuple(each.field for each in one.conflicts))
    return found


def system(look: Look) -> str:
    """The system a ticket would be opened in; empty when none is connected."""
    systems = look.ports.get("systems")
    if systems is None:
        return ""
    return str(look.policy(PACK)["system"] or systems.connections.first("tickets"))


def _of_case(look: Look, at: dict[str, str], query: dict[str, str]) -> CaseTickets | None:
    return of_case(look, at["case"]) if look.get("case", at["case"]) is not None else None


READS = (
    Read(path="/v1/cases/{case}/tickets", shape=CaseTickets, says="tickets and pages of a case", give=_of_case),
    Read(path="/v1/tickets/{link}/view", shape=TicketDetail, says="a ticket and its case, side by side", give=_one),
)
