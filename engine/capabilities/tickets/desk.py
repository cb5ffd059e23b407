"""What people do with tickets of cases: open one, link one that is there, choose where both sides disagree, let go."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from engine.capabilities.desk import Args, Desk, DeskVerb, Foreseen, Name, Short
from engine.capabilities.ports import ActionError
from engine.capabilities.records import RecordError
from engine.capabilities.tickets.merging import decided
from engine.capabilities.tickets.turns import turn
from engine.contract.cases import CASE_OVER, CaseView
from engine.contract.tickets import LINK_OVER, TICKET_FIELDS, TicketConflict, TicketLink

Json = Any
Choice = Literal["", "ours", "theirs"]
TRIES = 4
"""Times a person's choice is written anew because a comparison of both wrote the link meanwhile."""
TICKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._#-]{0,99}")


class OpenTicket(Args, frozen=True):
    """A ticket for a case the policy gives none."""

    system: Short = ""


class LinkTicket(Args, frozen=True):
    """A ticket that is there already belongs to this case."""

    ticket: Name
    system: Short = ""


class Nothing(Args, frozen=True): ...


class Unlink(Args, frozen=True):
    reason: Short = ""


class Resolve(Args, frozen=True):
    """Whose value stands, by field."""

    title: Choice = ""
    priority: Choice = ""
    assignee: Choice = ""
    meaning: Choice = ""


def _system(desk: Desk, given: str) -> str:
    """The ticket system that is meant."""
    name = given or str(desk.policy("tickets")["system"])
    try:
        desk.port(f"tickets@{name}" if name else "tickets")
        return name or str(desk.port("systems").connections.first("tickets"))
    except ActionError as error:
        desk.refuse("no_system", error.message, "qd connectors ls", field="system")


async def _none_yet(desk: Desk, case: CaseView) -> None:
    for one in await desk.records.find("ticket_link", where={"case": case.id}):
        if one.state not in LINK_OVER:
            desk.refuse(
                "linked", f"{case.id} has {one.ticket or 'a ticket on its way'} ({one.id})", "qd tickets unlink"
            )


async def _open(desk: Desk, case: CaseView, args: OpenTicket) -> Json:
    if case.state in CASE_OVER:
        desk.refuse("closed", f"{case.id} is {case.state}", "nothing is left to be done about it")
    system = _system(desk, args.system)
    async with turn(case.id):
        await _none_yet(desk, case)
        link = await desk.records.create(
            "ticket_link", {"case": case.id, "system": system, "title": case.title}, key="open",
            reason=f"{desk.person} asks for a ticket",
        )  # fmt: skip
    return await _go(desk, link)


async def _link(desk: Desk, case: CaseView, args: LinkTicket) -> Json:
    await _none_yet(desk, case)
    if not TICKET.fullmatch(args.ticket):
        desk.refuse("bad_ticket", f"{args.ticket[:60]!r} is no ticket's number", field="ticket")
    system = _system(desk, args.system)
    for one in await desk.records.find("ticket_link", where={"system": system, "ticket": args.ticket}):
        if one.state not in LINK_OVER and one.case != case.id:
            desk.refuse(
                "taken", f"{system}/{args.ticket} belongs to {one.case}", f"qd tickets unlink {one.id}", "ticket"
            )
    try:
        found = await desk.port(f"tickets@{system}").read(args.ticket)
    except ActionError as error:
        desk.refuse("no_ticket", error.message, field="ticket")
    async with turn(case.id):
        await _none_yet(desk, case)
        fields = {"case": case.id, "system": system, "ticket": args.ticket, "title": found.title, "url": found.url}
        link = await desk.records.create(
            "ticket_link", fields, key="link", state="synced", reason=f"linked by {desk.person}"
        )
    if not case.external_ref:
        ref = f"{system}/{args.ticket}"
        await desk.records.change("case", case.id, set={"external_ref": ref}, reason=f"its ticket is {ref}")
    return await _go(desk, link)


async def _sync(desk: Desk, link: TicketLink, args: Nothing) -> Json:
    if link.state == "unlinked":
        desk.refuse("unlinked", f"{link.id} is kept in step no more", f"qd tickets link {link.case} {link.ticket}")
    return await _go(desk, link)


async def _unlink(desk: Desk, link: TicketLink, args: Unlink) -> Json:
    if link.state == "unlinked":
        desk.refuse("unlinked", f"{link.id} is unlinked already")
    said = f"unlinked by {desk.person}" + (f": {args.reason}" if args.reason else "")
    found = await desk.records.change("ticket_link", link.id, to="unlinked", reason=said)
    return {"id": found.id, "state": found.state}


async def _unlink_foreseen(desk: Desk, link: TicketLink, args: Unlink) -> Foreseen:
    there = f"{link.system}/{link.ticket}"
    return Foreseen((f"{there} and {link.case} stay as they are and go separate ways from now on",))


def _chosen(desk: Desk, link: TicketLink, args: Resolve) -> dict[str, tuple[TicketConflict, str]]:
    """Field -> conflict and choice. Refused where there is none, and where the chosen side can't be given the value."""
    standing = {one.field: one for one in link.conflicts}
    found = {}
    for name in TICKET_FIELDS:
        choice = getattr(args, name)
        if not choice:
            continue
        if name not in standing:
            about = ", ".join(standing) or "nothing"
            desk.refuse("agreed", f"{link.id}: no disagreement about {name}", f"they disagree about {about}", name)
        conflict = standing[name]
        if choice == "theirs" and name == "meaning" and conflict.theirs in ("resolved", "closed", "cancelled"):
            desk.refuse(
                "not_by_ticket",
                f"{link.case} is resolved by its coding and closed by its gate, not because {link.ticket} is {conflict.theirs}",
                f"qd cases resolve {link.case} ..., or keep ours: the ticket is opened again",
                name,
            )
        found[name] = (conflict, choice)
    if not found:
        desk.refuse("no_choice", "which side stands, and in which field?", "e.g. priority=ours", field="priority")
    return found


async def _resolve(desk: Desk, link: TicketLink, args: Resolve) -> Json:
    chosen = _chosen(desk, link, args)
    for last in (False,) * (TRIES - 1) + (True,):
        try:
            settled = await _settled(desk, link, chosen)
        except RecordError as error:
            if error.error != "Conflict" or last:
                raise
        else:
            return await _go(desk, settled)
        link = await desk.records.get("ticket_link", link.id) or link  # a comparison wrote it down meanwhile
        again = _chosen(desk, link, args)
        for name, (conflict, _) in again.items():
            was = chosen[name][0]
            if (conflict.ours, conflict.theirs) != (was.ours, was.theirs):
                said = f"{conflict.ours or 'nothing'} here and {conflict.theirs or 'nothing'} there"
                desk.refuse("conflict", f"{link.id}: {name} is {said} by now", "look at it again and choose", name)
        chosen = again
    raise AssertionError("the last try ends or raises")


async def _settled(desk: Desk, link: TicketLink, chosen: dict[str, tuple[TicketConflict, str]]) -> TicketLink:
    """Written only on the link that was read: what a comparison noted meanwhile is not lost."""
    agreed = msgspec.to_builtins(link.agreed)
    agreed |= {name: msgspec.to_builtins(decided(conflict, choice)) for name, (conflict, choice) in chosen.items()}
    left = [msgspec.to_builtins(one) for one in link.conflicts if one.field not in chosen]
    said = ", ".join(f"{name}: {choice}" for name, (_, choice) in chosen.items())
    found: TicketLink = await desk.records.change(
        "ticket_link", link.id, set={"agreed": agreed, "conflicts": left}, reason=f"{desk.person} chose {said}",
        expect=link.rev,
    )  # fmt: skip
    return found


async def _resolve_foreseen(desk: Desk, link: TicketLink, args: Resolve) -> Foreseen:
    said = []
    for name, (conflict, choice) in _chosen(desk, link, args).items():
        ours, theirs = conflict.ours or "nothing", conflict.theirs or "nothing"
        if choice == "ours":
            said.append(f"{name}: {link.ticket} becomes {ours}; {theirs} there is overwritten")
        else:
            said.append(f"{name}: {link.case} becomes {theirs}; {ours} here is overwritten")
    return Foreseen(tuple(said))


async def _go(desk: Desk, link: TicketLink) -> Json:
    """Has it brought together now; what was refused before is tried again."""
    run = await desk.start("ticket-sync", {"link": link.id, "fresh": True}, {"case": link.case})
    return {"id": link.id, "case": link.case, "ticket": link.ticket, "state": link.state, "run": run}


VERBS = (
    DeskVerb(name="ticket.open", args=OpenTicket, says="open a ticket for a case", do=_open, kind="case"),
    DeskVerb(name="ticket.link", args=LinkTicket, says="link a ticket to a case", do=_link, kind="case"),
    DeskVerb(
        name="ticket.unlink", args=Unlink, says="let a ticket go", do=_unlink, foresee=_unlink_foreseen, kind="ticket_link"
    ),
    DeskVerb(name="ticket.sync", args=Nothing, says="bring a case and its ticket together", do=_sync, kind="ticket_link"),
    DeskVerb(
        name="ticket.resolve", args=Resolve, says="choose between a case and its ticket", do=_resolve,
        foresee=_resolve_foreseen, kind="ticket_link",
    ),
)  # fmt: skip
