"""The actions on tickets and pages: those of a case that has a ticket, and the plain ones any workflow may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.capabilities.ports import Action, ActionError, Context, InDoubt, optional, required
from engine.capabilities.records import Emit
from engine.capabilities.systems.ports import NewTicket, Paging, Ticket, Tickets
from engine.capabilities.tickets import casework
from engine.capabilities.tickets.converging import Converging
from engine.capabilities.tickets.paging import page_case, page_told
from engine.capabilities.tickets.turns import turn
from engine.contract.cases import CASE_OVER, CaseView
from engine.contract.tickets import LINK_OVER, Agreed, TicketLink

Json = Any
Input = dict[str, Json]
PACK, CASES = "tickets", "maintenance"
NOTHING = {"outcome": "none", "link": "", "system": ""}


def _port(context: Context, system: str, capability: str = "tickets") -> Any:
    return context.port(f"{capability}@{system}" if system else capability)


def _name(context: Context, system: str, capability: str = "tickets") -> str:
    """The system that is asked when none is named. Raises ActionError `NotConfigured` when nobody serves it."""
    if not system:
        _port(context, "", capability)
        system = str(context.port("systems").connections.first(capability))
    return system


async def _case(context: Context, id: str) -> CaseView:
    case: CaseView | None = await context.records.get("case", id)
    if case is None:
        raise ActionError("NoSuchCase", f"there is no case {id[:60]}", kind="validation", retryable=False)
    return case


async def links_of(records: Any, case: str) -> list[TicketLink]:
    """The tickets of a case, those that are still kept in step."""
    return [one for one in await records.find("ticket_link", where={"case": case}) if one.state not in LINK_OVER]


# -- a case and its ticket ---------------------------------------------------------------------------------------------


async def plan(context: Context, given: Input) -> Json:
    """What is to be done about a case, or about a ticket of which something was heard."""
    if given.get("link"):
        link: TicketLink | None = await context.records.get("ticket_link", str(given["link"]))
        if link is None or link.state == "unlinked":
            return {**NOTHING, "why": f"{given['link']} is kept in step no more"}
        return {"outcome": "open" if not link.ticket else "sync", "link": link.id, "system": link.system, "why": ""}
    if given.get("ticket"):
        where = {"system": str(given.get("system") or ""), "ticket": str(given["ticket"])}
        found = [one for one in await context.records.find("ticket_link", where=where) if one.state != "unlinked"]
        if not found:
            return {**NOTHING, "why": f"{where['system']}/{where['ticket']} belongs to no case"}
        return {"outcome": "sync", "link": found[0].id, "system": found[0].system, "why": ""}
    if not given.get("case"):
        return {**NOTHING, "why": "neither a case nor a ticket is named"}
    async with turn(str(given["case"])):
        return await _for_case(context, await _case(context, str(given["case"])))


async def _for_case(context: Context, case: CaseView) -> Json:
    known = await links_of(context.records, case.id)
    if known:
        one = known[0]
        return {"outcome": "open" if not one.ticket else "sync", "link": one.id, "system": one.system, "why": ""}
    policy = context.policy(PACK)
    system, _, ticket = case.external_ref.partition("/")
    if ticket and case.source == "ticket" and case.state not in CASE_OVER:
        link = await _adopted(context, case, system, ticket)
        return {"outcome": "sync", "link": link.id, "system": system, "why": f"{case.id} came from {case.external_ref}"}
    why = casework.wanted(case, policy)
    if not why:
        return {**NOTHING, "why": f"{case.id} gets no ticket: P{case.priority}, {case.state.replace('_', ' ')}"}
    system = _name(context, str(policy["system"]))
    link = await context.records.create(
        "ticket_link",
        {"case": case.id, "system": system, "title": case.title, "run": context.run},
        key=f"link/{case.id}",
        reason=f"{case.id} gets a ticket: {why}",
    )
    return {"outcome": "open", "link": link.id, "system": system, "why": why}


async def _adopted(context: Context, case: CaseView, system: str, ticket: str) -> TicketLink:
    """A ticket that was opened again after its case was closed belongs to the case that came of it."""
    for old in await context.records.find("ticket_link", where={"system": system, "ticket": ticket}):
        if old.state != "unlinked":
            await context.records.change("ticket_link", old.id, to="unlinked", reason=f"{case.id} has {ticket} now")
    link: TicketLink = await context.records.create(
        "ticket_link",
        {"case": case.id, "system": system, "ticket": ticket, "title": case.title},
        key=f"adopt/{case.id}",
        state="synced",
        reason=f"{case.id} came from it",
    )
    return link


async def _linked(context: Context, given: Input) -> TicketLink:
    link: TicketLink | None = await context.records.get("ticket_link", str(given["link"]))
    if link is None:
        raise ActionError("NoSuchTicket", f"there is no {given['link']}", kind="validation", retryable=False)
    return link


async def raise_(context: Context, given: Input) -> Json:
    """Opens the ticket of a case. The link's number is the key: however often this is asked, one ticket is opened."""
    async with turn((await _linked(context, given)).case):
        return await _raised(context, await _linked(context, given))


async def _raised(context: Context, link: TicketLink) -> Json:
    port: Tickets = _port(context, link.system)
    if link.ticket:
        return {"link": link.id, "ticket": link.ticket, "url": link.url}
    case = await _case(context, link.case)
    policy = context.policy(PACK)
    rank = f"P{case.priority}" if case.priority else ""
    new = NewTicket(
        title=case.title, body=casework.body(case), priority=rank, labels=tuple(str(one) for one in policy["labels"])
    )
    try:
        ticket = await port.open(new, key=f"{link.id}/{link.created_at:.3f}", in_doubt=context.in_doubt)
    except ActionError as error:
        await _failing(context, link, error)
        raise
    system = link.system
    ours, ref = casework.ours(case, policy), f"{system}/{ticket.id}"
    agreed = {
        "title": Agreed(ours=case.title, theirs=ticket.title),
        "priority": Agreed(ours=ours["priority"], theirs=ticket.priority),
        "assignee": Agreed(ours="", theirs=ticket.assignee),
        "meaning": Agreed(ours="open", theirs=ticket.meaning),
    }
    facts = {"link": link.id, "case": case.id, "system": system, "ticket": ticket.id, "url": ticket.url}
    await context.records.change(
        "ticket_link",
        link.id,
        to="synced",
        set={
            "ticket": ticket.id, "system": system, "url": ticket.url, "their_state": ticket.state, "synced_at": context.now(),
            "agreed": {name: {"ours": one.ours, "theirs": one.theirs} for name, one in agreed.items()},
            "changed_there": ticket.changed_at, "error": "", "failing_since": 0.0,
        },
        reason=f"{ref} was opened for {case.id}",
        emit=(Emit("qd.ticket.opened", facts, subject=case.id),),
    )  # fmt: skip
    if not case.external_ref:
        await context.records.change("case", case.id, set={"external_ref": ref}, reason=f"its ticket is {ref}")
    return {"link": link.id, "ticket": ticket.id, "url": ticket.url}


async def sync(context: Context, given: Input) -> Json:
    """Brings a case and its ticket together. What they disagree about is kept with the link and told."""
    async with turn((await _linked(context, given)).case):
        return await _synced(context, await _linked(context, given), fresh=bool(given.get("fresh")))


async def _synced(context: Context, link: TicketLink, *, fresh: bool) -> Json:
    if link.state == "unlinked" or not link.ticket:
        return {"link": link.id, "state": link.state, "conflicts": []}
    port: Tickets = _port(context, link.system)
    work = Converging(
        context.records, context.vault, port, policy=context.policy(PACK), cases=context.policy(CASES), now=context.now,
        key=f"{context.key}/{link.id}", in_doubt=context.in_doubt,
    )  # fmt: skip
    try:
        found = await work.run(link, fresh=fresh)
    except ActionError as error:
        await _failing(context, link, error)
        raise
    return {"link": found.id, "state": found.state, "conflicts": [one.field for one in found.conflicts]}


async def _failing(context: Context, link: TicketLink, error: ActionError) -> None:
    """What stands between a case and its ticket is shown with it; what was sent and not answered is looked up first."""
    if isinstance(error, InDoubt):
        return
    now = await context.records.get("ticket_link", link.id) or link
    await context.records.change(
        "ticket_link",
        link.id,
        to="failing",
        set={"error": error.message[:300], "failing_since": now.failing_since or context.now()},
        reason=error.message[:300],
    )


async def due(context: Context, given: Input) -> Json:
    """Tickets that nobody has looked at for as long as the policy says: a word about them may have been lost."""
    since = context.now() - float(context.policy(PACK)["recheck"])
    states = ("opening", "synced", "conflict", "failing")
    rows = await context.records.find("ticket_link", state=states, limit=1_000, order="synced_at")
    late = [one for one in rows if one.synced_at < since]
    kept = []
    for one in late:
        case = await context.records.get("case", one.case)
        if case is None or case.state not in CASE_OVER or one.state != "synced":
            kept.append(one.id)
    return {"links": kept[: int(given.get("most") or 200)], "open": len(rows)}


# -- plain actions -----------------------------------------------------------------------------------------------------


def _shown(ticket: Ticket) -> Json:
    return {
        "ticket": ticket.id, "title": ticket.title, "state": ticket.state, "meaning": ticket.meaning, "url": ticket.url,
        "priority": ticket.priority, "assignee": ticket.assignee, "version": ticket.version,
    }  # fmt: skip


async def open_(context: Context, given: Input) -> Json:
    port: Tickets = _port(context, str(given.get("system") or ""))
    new = NewTicket(
        title=str(given["title"])[:250],
        body=str(given.get("body") or ""),
        priority=str(given.get("priority") or ""),
        labels=tuple(str(one) for one in given.get("labels") or ()),
    )
    return _shown(await port.open(new, key=context.key, in_doubt=context.in_doubt))


async def read(context: Context, given: Input) -> Json:
    return _shown(await _port(context, str(given.get("system") or "")).read(str(given["ticket"])))


async def update(context: Context, given: Input) -> Json:
    port: Tickets = _port(context, str(given.get("system") or ""))
    names = ("title", "body", "priority", "assignee", "meaning")
    changes = {name: str(given[name]) for name in names if given.get(name) is not None}
    version = str(given.get("version") or "")
    done = await port.update(str(given["ticket"]), changes, version=version, key=context.key, in_doubt=context.in_doubt)
    return _shown(done)


async def comment(context: Context, given: Input) -> Json:
    port: Tickets = _port(context, str(given.get("system") or ""))
    made = await port.comment(str(given["ticket"]), str(given["text"]), key=context.key, in_doubt=context.in_doubt)
    return {"ticket": str(given["ticket"]), "comment": made.id}


async def attach(context: Context, given: Input) -> Json:
    """Something out of the vault, by its digest."""
    port: Tickets = _port(context, str(given.get("system") or ""))
    limit = int(context.policy(PACK)["attach_limit"])
    content = context.vault.read(str(given["digest"]), limit=limit)
    await port.attach(
        str(given["ticket"]), str(given["name"]), content, str(given.get("media") or "application/octet-stream"),
        key=context.key, in_doubt=context.in_doubt,
    )  # fmt: skip
    return {"ticket": str(given["ticket"]), "digest": str(given["digest"])}


async def page_raise(context: Context, given: Input) -> Json:
    port: Paging = _port(context, str(given.get("system") or ""), "paging")
    key = str(given.get("key") or context.key)
    details: Mapping[str, Json] = given.get("details") or {}
    raised = await port.raise_(
        str(given["summary"])[:1000], severity=str(given.get("severity") or "error"),
        source=str(given.get("source") or "quarterdeck"), link=str(given.get("link") or ""), details=details, key=key,
    )  # fmt: skip
    return {"key": raised or key}


async def page_acknowledge(context: Context, given: Input) -> Json:
    await _port(context, str(given.get("system") or ""), "paging").acknowledge(str(given["key"]))
    return {"key": str(given["key"])}


async def page_resolve(context: Context, given: Input) -> Json:
    await _port(context, str(given.get("system") or ""), "paging").resolve(str(given["key"]))
    return {"key": str(given["key"])}


def actions() -> Mapping[str, Action]:
    where = optional(system="string")
    shown = optional(
        ticket="string", title="string", state="string", meaning="string", url="string", priority="string",
        assignee="string", version="string",
    )  # fmt: skip
    table = (
        ("ticket.plan", plan, "Whether a case gets a ticket, or which link a ticket belongs to", "idempotent",
         optional(case="string", system="string", ticket="string", link="string"),
         optional(outcome="string", link="string", system="string", why="string")),
        ("ticket.raise", raise_, "Open the ticket of a case", "idempotent", required(link="string"),
         optional(link="string", ticket="string", url="string")),
        ("ticket.sync", sync, "Bring a case and its ticket together", "idempotent",
         required(link="string") | optional(fresh="boolean"),
         optional(link="string", state="string", conflicts="array")),
        ("ticket.due", due, "Tickets nobody looked at for long", "read", optional(most="integer"),
         optional(links="array", open="integer")),
        ("ticket.open", open_, "Open a ticket", "once",
         required(title="string") | optional(body="string", priority="string", labels="array") | where, shown),
        ("ticket.read", read, "Read a ticket", "read", required(ticket="string") | where, shown),
        ("ticket.update", update, "Change a ticket", "idempotent",
         required(ticket="string") | where
         | optional(title="string", body="string", priority="string", assignee="string", meaning="string", version="string"),
         shown),
        ("ticket.comment", comment, "Comment on a ticket", "once", required(ticket="string", text="string") | where,
         optional(ticket="string", comment="string")),
        ("ticket.attach", attach, "Attach something out of the vault to a ticket", "once",
         required(ticket="string", digest="string", name="string") | optional(media="string") | where,
         optional(ticket="string", digest="string")),
        ("page.raise", page_raise, "Wake somebody; once per key", "idempotent",
         required(summary="string")
         | optional(severity="string", source="string", link="string", details="object", key="string") | where,
         optional(key="string")),
        ("page.acknowledge", page_acknowledge, "Somebody is awake", "idempotent", required(key="string") | where,
         optional(key="string")),
        ("page.resolve", page_resolve, "It is over", "idempotent", required(key="string") | where, optional(key="string")),
        ("page.case", page_case, "Wake somebody for a case, or say that somebody has it, or that it is over", "idempotent",
         required(case="string") | where, optional(page="string", state="string", why="string")),
        ("page.told", page_told, "What people did at the paging system is taken over", "idempotent",
         required(key="string", state="string"), optional(page="string", state="string", why="string")),
    )  # fmt: skip
    return {
        name: Action(
            name=name,
            run=run,
            inputs=inputs,
            outputs=outputs,
            effect=effect,  # type: ignore[arg-type]
            reads_back=effect != "read",
            description=says,
        )
        for name, run, says, effect, inputs, outputs in table
    }
