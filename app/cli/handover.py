"""`qd handover`: what happened, what waits, what ends soon, since my last shift; offered, and accepted by the receiver."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from app import plain
from app.cli.access import Duration
from app.cli.session import DRY_RUN, ONCE, REFUSED, Session, end, options
from engine.contract.common import Json
from engine.contract.oncall import HANDOVER_STATES, HandoverRecord, OnCallView, ShiftLine, ShiftReport

KIND = "handover"


@click.group(invoke_without_command=True)
@click.option("--since", type=Duration(), default=0.0, help="How far back, e.g. 8h; my last shift otherwise.")
@click.option("--within", type=Duration(), default=0.0, help="What ends within this time (2h otherwise).")
@click.option("--of", "whose", default="", metavar="NAME", help="As this person's handover would say it.")
@click.option("--markdown", is_flag=True, help="As Markdown, to paste or to print.")
@options
def handover(session: Session, *, since: float, within: float, whose: str, markdown: bool) -> None:
    """What a shift has to know. Without a command: how things stand now, since my last shift."""
    context = click.get_current_context()
    if context.invoked_subcommand is not None:
        return
    begun = session.now() - since if since else 0
    found = session.get("/v1/oncall/report", ShiftReport, person=whose, since=begun, within=within)
    session.show(found, lambda: as_markdown(found) if markdown else as_text(found))


@handover.command("ls")
@click.option("--state", type=click.Choice(HANDOVER_STATES), help="Only these.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@options
def ls(session: Session, *, state: str | None, limit: int) -> None:
    """Handovers, newest change first."""
    rows = session.records(KIND, HandoverRecord, state=state or "", limit=limit)
    cells = [
        (r.id, r.state, r.giver, r.receiver or r.to or "-", plain.moment(r.answered_at or r.offered_at or r.created_at), ", ".join(r.transferred or r.incidents) or "-", r.note)
        for r in rows
    ]  # fmt: skip
    heads = ("handover", "state", "from", "to", "when", "command of", "note")
    session.show(rows, lambda: plain.table(cells, heads, empty="nothing was handed over yet"))


@handover.command("show")
@click.argument("handover_", metavar="HANDOVER")
@click.option("--markdown", is_flag=True, help="As Markdown.")
@options
def show(session: Session, *, handover_: str, markdown: bool) -> None:
    """One handover, with the report it was made with."""
    found = session.record(KIND, handover_, HandoverRecord)
    session.show(found, lambda: document(found) if markdown else whole(found))


@handover.command("offer")
@click.option("--to", default="", metavar="PERSON", help="To whom; whoever takes it otherwise.")
@click.option("--note", default="", help="What they would not see from the list.")
@click.option("--since", type=Duration(), default=0.0, help="How far back; my shift otherwise.")
@click.option("--prepare", is_flag=True, help="Keep it, and offer it later: qd handover send HANDOVER.")
@ONCE
@options
def offer(session: Session, *, to: str, note: str, since: float, prepare: bool, ident: str) -> None:
    """Offer your shift as it stands. You stay on duty, and in command, until it is accepted."""
    args: dict[str, Json] = {"to": to, "note": note, **({"since": session.now() - since} if since else {})}
    made = session.command("handover.prepare", "", args, id=ident)
    if prepare:
        session.done(made, f"{made.target} is prepared; nobody is asked yet")
        return
    answer = session.command("handover.offer", made.target, {}, id=f"{made.id}/offer")
    session.done(
        answer, f"{made.target} is offered to {to or 'whoever takes it'}; you are on duty until it is accepted"
    )


@handover.command("send")
@click.argument("handover_", metavar="HANDOVER")
@click.option("--to", default="", metavar="PERSON", help="To whom.")
@click.option("--note", default="", help="Instead of the note it was prepared with.")
@ONCE
@options
def send(session: Session, *, handover_: str, to: str, note: str, ident: str) -> None:
    """Offer one that was prepared."""
    answer = session.command("handover.offer", handover_, {"to": to, "note": note}, id=ident)
    session.done(answer, f"{handover_} is offered")


@handover.command("accept")
@click.argument("handover_", metavar="[HANDOVER]", required=False, default="")
@DRY_RUN
@ONCE
@options
def accept(session: Session, *, handover_: str, dry_run: bool, ident: str) -> None:
    """Take a shift over. Command of the named incidents is yours from then on."""
    held = session.record(KIND, handover_ or _offered(session), HandoverRecord)
    answer = session.command("handover.accept", held.id, {"digest": held.digest}, preview=dry_run, id=ident)
    result = answer.result if isinstance(answer.result, dict) else {}
    led = ", ".join(str(one) for one in result.get("transferred") or ())
    kept = [f"  not gone over: {name} ({why})" for name, why in result.get("kept") or ()]
    said = f"{held.id}: you are on duty, {held.giver} no longer" + (f"; you command {led}" if led else "")
    session.done(answer, "\n".join(plain.clean(line) for line in (said, *kept)))


@handover.command("decline")
@click.argument("handover_", metavar="HANDOVER")
@click.option("--reason", required=True, help="Why not.")
@ONCE
@options
def decline(session: Session, *, handover_: str, reason: str, ident: str) -> None:
    """It stays with who offers it."""
    answer = session.command("handover.decline", handover_, {"reason": reason}, id=ident)
    session.done(answer, f"{handover_} is declined")


@handover.command("withdraw")
@click.argument("handover_", metavar="HANDOVER")
@click.option("--reason", default="", help="Why.")
@ONCE
@options
def withdraw(session: Session, *, handover_: str, reason: str, ident: str) -> None:
    """Take back what you offered."""
    answer = session.command("handover.withdraw", handover_, {"reason": reason}, id=ident)
    session.done(answer, f"{handover_} is withdrawn")


def _offered(session: Session) -> str:
    """The one handover that waits for me."""
    view = session.get("/v1/oncall", OnCallView)
    found = [
        one for one in view.handovers if one.state == "offered" and one.giver != view.me and one.to in ("", view.me)
    ]
    if len(found) == 1:
        return found[0].id
    ids = ", ".join(one.id for one in found)
    end(f"refused: which one? {ids} wait for you" if found else "refused: no handover is offered to you", REFUSED)


# -- as text -------------------------------------------------------------------------------------------------------

_HEADS = ("commands", "waits", "expires", "happened")


def _title(name: str, report: ShiftReport) -> str:
    return {
        "commands": f"Commanded by {report.person}",
        "waits": "Waits",
        "expires": f"Ends within {plain.span(report.within_s)}",
        "happened": f"Happened since {plain.moment(report.since)}",
    }[name]


def _when(name: str, line: ShiftLine, report: ShiftReport) -> str:
    if name == "expires" or (line.kind == "gate" and name == "waits" and line.at):
        left = line.at - report.at
        return f"in {plain.span(left)}" if left > 0 else f"overdue {plain.span(-left)}"
    return time.strftime("%H:%MZ", time.gmtime(line.at)) if line.at else "-"


def as_text(report: ShiftReport) -> str:
    """For a terminal: one table a list."""
    counts = ", ".join(f"{word} {count}" for word, count in report.counts.items())
    said = [f"since {plain.moment(report.since)} ({plain.clean(report.why_since)}); {counts}"]
    for name in _HEADS:
        lines: Sequence[ShiftLine] = getattr(report, name)
        if not lines and name == "commands":
            continue
        cells = [(line.level, line.id, _when(name, line, report), line.who or "-", line.text) for line in lines]
        said += [
            "",
            _title(name, report).upper(),
            plain.table(cells, ("", "what", "when", "who", "says"), empty="nothing"),
        ]
        if report.more.get(name):
            said.append(f"and {report.more[name]} more")
    return "\n".join(said)


def whole(one: HandoverRecord) -> str:
    """One handover for a terminal."""
    lines = [
        f"{one.id}  {one.state}  {one.giver} -> {one.receiver or one.to or 'whoever takes it'}",
        *([f"offered {plain.moment(one.offered_at)}"] if one.offered_at else []),
        *([f"{one.state} {plain.moment(one.answered_at)}" + (f": {one.answered_why}" if one.answered_why else "")] if one.answered_at else []),
        *([f"command gone over: {', '.join(one.transferred)}"] if one.transferred else []),
        *[f"not gone over: {name} ({why})" for name, why in one.kept],
    ]  # fmt: skip
    note = plain.clean_lines(one.note) if one.note else "no note"
    return "\n".join([*(plain.clean(line) for line in lines), "", note, "", as_text(one.report)])


def as_markdown(report: ShiftReport) -> str:
    """To paste into a chat or a wiki: text from outside can't become markup."""
    said = [f"since {plain.moment(report.since)} ({_safe(report.why_since)})", ""]
    if report.counts:
        said += [", ".join(f"{word} {count}" for word, count in report.counts.items()), ""]
    for name in _HEADS:
        lines: Sequence[ShiftLine] = getattr(report, name)
        if not lines and name == "commands":
            continue
        said += [f"## {_safe(_title(name, report))}", ""]
        said += [_item(name, line, report) for line in lines] or ["nothing"]
        said += [f"- and {report.more[name]} more"] if report.more.get(name) else []
        said.append("")
    return "\n".join(said).rstrip()


def document(one: HandoverRecord) -> str:
    to = one.receiver or one.to or "whoever takes it"
    answered = f", {one.state} {plain.moment(one.answered_at)}" if one.answered_at else f", {one.state}"
    head = [f"# Handover {one.id}: {_safe(one.giver)} to {_safe(to)}{answered}", ""]
    head += [*(f"> {_safe(line)}" for line in one.note.splitlines()), ""] if one.note else []
    if one.transferred:
        head += [f"Command of {_safe(', '.join(one.transferred))} went over to {_safe(one.receiver)}.", ""]
    head += [f"Command of {_safe(name)} did not go over: {_safe(why)}." for name, why in one.kept]
    return "\n".join([*head, as_markdown(one.report)])


def _item(name: str, line: ShiftLine, report: ShiftReport) -> str:
    strong = f"**{_safe(line.id)}**" if line.level == "alarm" else _safe(line.id)
    who = f" ({_safe(line.who)})" if line.who else ""
    return f"- {strong} {_safe(line.text)}{who}, {_when(name, line, report)}"


def _safe(text: str) -> str:
    """One line whose markup signs are signs."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>#|" else char for char in plain.clean(text))
