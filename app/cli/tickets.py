"""`qd tickets`: tickets elsewhere that belong to cases; both sides of each, and what they disagree about."""

from __future__ import annotations

from typing import Any

import click

from app import plain
from app.cli.session import DRY_RUN, ONCE, REFUSED, USAGE, Session, end, options, part
from engine.contract.common import Json
from engine.contract.tickets import LINK_OVER, TICKET_FIELDS, CaseTickets, TicketDetail, TicketLink

_SIDE = click.Choice(("ours", "theirs"))


@click.group()
def tickets() -> None:
    """Tickets of cases: list, show, open, link, sync, resolve."""


@tickets.command("ls")
@click.option("--state", default="", help="opening, synced, conflict, failing, gone or unlinked; several with commas.")
@click.option("--system", default="", help="Only tickets of this system.")
@click.option("--conflicts", is_flag=True, help="Only those somebody has to choose in.")
@options
def ls(session: Session, *, state: str, system: str, conflicts: bool) -> None:
    """Tickets that belong to cases, newest change first."""
    states = "conflict" if conflicts else state or "opening,synced,conflict,failing,gone"
    where = {"system": system} if system else {}
    found = session.records("ticket_link", TicketLink, state=states, where=where)
    now = session.now()
    rows = [
        (
            one.id,
            one.case,
            f"{one.system}/{one.ticket}" if one.ticket else f"{one.system}/-",
            one.state,
            one.their_state or "-",
            _ago(now - one.synced_at) if one.synced_at else "-",
            ", ".join(each.field for each in one.conflicts) or one.error or "-",
            one.title,
        )
        for one in found
    ]
    heads = ("link", "case", "ticket", "state", "there", "compared", "to settle", "title")
    session.show(found, lambda: plain.table(rows, heads, empty="no case has a ticket: qd tickets open CASE"))


def _ago(length_s: float) -> str:
    minutes = max(0, int(length_s // 60))
    if minutes < 60:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 2880 else f"{minutes // 1440} d ago"


@tickets.command()
@click.argument("ticket")
@options
def show(session: Session, ticket: str) -> None:
    """A ticket and its case side by side; TICKET is a link (TL-3) or a case (M-311)."""
    found = _details(session, ticket)
    session.show(found, lambda: "\n\n".join(_text(one, session.now()) for one in found))


def _details(session: Session, name: str) -> tuple[TicketDetail, ...]:
    if name.upper().startswith("TL-"):
        return (session.get(f"/v1/tickets/{part(name)}/view", TicketDetail),)
    found = session.get(f"/v1/cases/{part(name)}/tickets", CaseTickets)
    if not found.tickets:
        end(f"{plain.clean(name)} has no ticket: qd tickets open {plain.clean(name)}", REFUSED)
    return found.tickets


def _text(one: TicketDetail, now: float) -> str:
    link = one.link
    head = f"{link.id}  {link.case} ({one.case_state or '-'})  {link.system}/{link.ticket or '-'} ({link.their_state or '-'})"
    lines = [f"{head}  {link.state}", link.url]
    lines += [f"! {link.error}"] if link.error else []
    lines += [f"STALE: compared {_ago(one.stale_s)}"] if one.stale_s else []
    lines += [f"compared {_ago(now - link.synced_at)}"] if link.synced_at and not one.stale_s else []
    rows = [(side.field, side.ours or "-", side.theirs or "-", side.word, side.why) for side in one.sides]
    table = plain.table(rows, ("field", "here", "there", "", "why"), empty="nothing is known of it yet")
    chosen = " ".join(f"--{each.field} ours|theirs" for each in link.conflicts)
    tail = f"\nto settle it: qd tickets resolve {link.id} {chosen}" if chosen else ""
    return "\n".join(plain.clean(line, 1000) for line in lines if line) + "\n" + table + tail


def _link(session: Session, name: str) -> str:
    """The link that is meant by its number or by its case's."""
    if name.upper().startswith("TL-"):
        return name
    live = [one for one in _details(session, name) if one.link.state not in LINK_OVER]
    if not live:
        end(f"{plain.clean(name)} has no ticket that is kept in step", REFUSED)
    return live[0].link.id


def _do(session: Session, verb: str, target: str, said: str, *, dry_run: bool, ident: str, **args: Json) -> None:
    kept = {name: value for name, value in args.items() if value not in ("", None)}
    answer = session.command(verb, target, kept, preview=dry_run, id=ident)
    found = answer.result if isinstance(answer.result, dict) else {}
    run = f"  run {plain.clean(found['run'])}" if found.get("run") else ""
    session.done(answer, f"{plain.clean(found.get('id') or target)} {said}{run}")


@tickets.command("open")
@click.argument("case")
@click.option("--system", default="", help="Where; the first ticket system otherwise.")
@DRY_RUN
@ONCE
@options
def open_(session: Session, *, case: str, system: str, dry_run: bool, ident: str) -> None:
    """Open a ticket for a case, whatever the policy says of its kind."""
    _do(session, "ticket.open", case, "is being opened", dry_run=dry_run, ident=ident, system=system)


@tickets.command()
@click.argument("case")
@click.argument("ticket")
@click.option("--system", default="", help="Where it is; the first ticket system otherwise.")
@DRY_RUN
@ONCE
@options
def link(session: Session, *, case: str, ticket: str, system: str, dry_run: bool, ident: str) -> None:
    """A ticket that is there already belongs to this case."""
    _do(session, "ticket.link", case, "is linked", dry_run=dry_run, ident=ident, ticket=ticket, system=system)


@tickets.command()
@click.argument("ticket")
@click.option("--reason", default="", help="Why.")
@DRY_RUN
@ONCE
@options
def unlink(session: Session, *, ticket: str, reason: str, dry_run: bool, ident: str) -> None:
    """Case and ticket go separate ways; both stay as they are."""
    _do(session, "ticket.unlink", _link(session, ticket), "is let go", dry_run=dry_run, ident=ident, reason=reason)


@tickets.command()
@click.argument("ticket")
@DRY_RUN
@ONCE
@options
def sync(session: Session, *, ticket: str, dry_run: bool, ident: str) -> None:
    """Bring a case and its ticket together now; what was refused before is tried again."""
    _do(session, "ticket.sync", _link(session, ticket), "is being compared", dry_run=dry_run, ident=ident)


@tickets.command()
@click.argument("ticket")
@click.option("--title", type=_SIDE, help="Whose title stands.")
@click.option("--priority", type=_SIDE, help="Whose priority stands.")
@click.option("--assignee", type=_SIDE, help="Whose assignee stands.")
@click.option("--meaning", type=_SIDE, help="Whose state stands; a ticket closes no case.")
@click.option("--all", "every", type=_SIDE, help="One side in everything they disagree about.")
@DRY_RUN
@ONCE
@options
def resolve(session: Session, *, ticket: str, every: str | None, dry_run: bool, ident: str, **given: Any) -> None:
    """Choose where a case and its ticket disagree. Nothing is overwritten before somebody did."""
    id_ = _link(session, ticket)
    chosen = {name: given[name] for name in TICKET_FIELDS if given.get(name)}
    if every:
        standing = session.get(f"/v1/tickets/{part(id_)}/view", TicketDetail).link.conflicts
        chosen = {one.field: every for one in standing} | chosen
    if not chosen:
        end("say in which field, and whose value stands: --priority ours", USAGE)
    _do(session, "ticket.resolve", id_, "is settled", dry_run=dry_run, ident=ident, **chosen)
