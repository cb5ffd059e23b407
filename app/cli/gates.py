"""`qd gates`: questions to people."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from app import plain
from app import settings as stored
from app.cli.filtering import FILTER, narrowed
from app.cli.session import Session, asks, inputs, options, part, phrase_for
from app.remembered import Remembered
from engine.contract.gates import GateDetail, GatePage, GateSummary
from engine.contract.history import Looker
from engine.contract.system import Me

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@click.group()
def gates() -> None:
    """Questions to people: list, show, approve, reject, delegate."""


@gates.command("ls")
@click.option("--state", default="open", show_default=True, help="open, passed, rejected, expired, withdrawn, all")
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True)
@click.option("--hidden", is_flag=True, help="Also what you put off or left to others, with the reason.")
@FILTER
@options
def ls(session: Session, *, state: str, limit: int, hidden: bool, words: str) -> None:
    """The inbox, by deadline. As JSON it is always whole."""
    page = session.get("/v1/gates", GatePage, state=state, limit=limit)
    page = msgspec.structs.replace(page, rows=narrowed(page.rows, words, now=page.as_of))
    kept, person = Remembered(stored.file_of(session.home)), session.get("/v1/me", Me).person
    away = {g.id: _away(kept, person, g, page.as_of) for g in page.rows} if state == "open" else {}
    out = sum(map(bool, away.values()))
    rows = [
        (
            g.id,
            g.kind,
            f"{g.seats_total - g.seats_open}/{g.seats_total}",
            plain.moment(g.expires_at),
            away.get(g.id) or g.mine or "you may",
            g.question,
        )
        for g in page.rows
        if hidden or not away.get(g.id)
    ]
    heads = ("gate", "kind", "seats", "expires", "mine", "question")
    more = f"\n({out} put off or left to others: --hidden shows them)" if out and not hidden else ""
    session.show(page, lambda: plain.table(rows, heads, empty="nobody is asked anything") + more)


@gates.command()
@click.argument("gate")
@click.option("--at", type=click.IntRange(0), default=0, metavar="EVENT", help="As it was after this event.")
@options
def show(session: Session, gate: str, at: int) -> None:
    """One question: its evidence, who may answer, who has; now or as it was when somebody decided."""
    detail = session.get(f"/v1/gates/{part(gate)}", GateDetail, at=at)
    session.show(detail, lambda: text(detail))


@gates.command()
@click.argument("gate")
@options
def lookers(session: Session, gate: str) -> None:
    """Who has it on their screen now."""
    found = session.get(f"/v1/gates/{part(gate)}/lookers", tuple[Looker, ...])
    rows = [(one.person, f"{one.since:.0f} s", f"{one.seen:.0f} s ago") for one in found]
    session.show(found, lambda: plain.table(rows, ("person", "for", "last heard"), empty="nobody looks at it now"))


def text(detail: GateDetail) -> str:
    """A gate for people."""
    gate = detail.gate
    lines = [plain.clean(f"{gate.id}  {gate.state}  {gate.question}", 2000)]
    lines.append(f"expires {plain.moment(gate.expires_at)}: {plain.clean(detail.on_timeout) or '-'}")
    lines.append(f"you: {plain.clean(gate.mine) or 'may answer'}")
    lines += [f"  {plain.clean(line)}" for line in detail.consequences]
    for seat in detail.seats:
        lines.append(
            plain.clean(f"seat {seat.label}: {len(seat.filled_by)} of {seat.count} {', '.join(seat.filled_by)}")
        )
    for vote in detail.votes:
        note = f" (refused: {vote.refused})" if vote.refused else " (void)" if vote.void else ""
        lines.append(plain.clean(f"vote {vote.person}: {vote.answer}{note} {vote.rationale}"))
    lines.append(f"evidence {plain.clean(detail.evidence_digest)}")
    lines.append(plain.clean_lines(msgspec.json.format(msgspec.json.encode(detail.evidence), indent=2).decode()))
    return "\n".join(lines)


def _voting(answer: str) -> Any:
    def command(
        session: Session,
        *,
        gate: str,
        rationale: str,
        pairs: tuple[str, ...],
        digest: str,
        phrase: str,
        yes: bool,
        dry_run: bool,
        ident: str,
    ) -> None:
        detail = session.get(f"/v1/gates/{part(gate)}", GateDetail)
        if not digest and not yes and asks():
            click.echo(text(detail), err=True)
        args = {
            "answer": answer,
            "evidence_digest": digest or detail.evidence_digest,
            "rationale": rationale,
            "form": inputs(pairs, None),
        }
        # who may not vote is told so by the vote itself, which is recorded
        asked = detail.phrase and answer == "approve" and not detail.gate.mine
        preview = session.command("gate.vote", gate, args, preview=True) if dry_run or asked else None
        if dry_run and preview:
            session.done(preview, "")
            return
        if preview:
            args["phrase"] = phrase_for(preview, given=phrase, yes=yes)
        done = session.command("gate.vote", gate, args, id=ident)
        session.done(done, f"{answer} on {plain.clean(gate)} is recorded")

    for decorate in (
        options,
        click.option("--id", "ident", default="", help="Idempotence: the same id votes once."),
        click.option("--dry-run", is_flag=True, help="Say what would happen."),
        click.option("--yes", is_flag=True, help="Ask nothing; take the phrase as it is now."),
        click.option("--phrase", default="", help="The typed phrase, when it can't be typed here."),
        click.option(
            "--evidence", "digest", default="", help="The digest that was looked at (default: the current one)."
        ),
        click.option("--form", "pairs", multiple=True, metavar="NAME=VALUE", help="One field of the gate's form."),
        click.option("--rationale", default="", help="Why; it is recorded."),
        click.argument("gate"),
    ):
        command = decorate(command)
    return command


gates.command("approve", help="Vote for it, on the evidence as it stands.")(_voting("approve"))
gates.command("reject", help="Vote against it.")(_voting("reject"))


@gates.command()
@click.argument("gate")
@click.argument("answer")
@click.option("--rationale", default="")
@options
def answer(session: Session, gate: str, answer: str, rationale: str) -> None:
    """Give another answer than approve or reject (an escalation's retry, skip or abort)."""
    detail = session.get(f"/v1/gates/{part(gate)}", GateDetail)
    args = {"answer": answer, "evidence_digest": detail.evidence_digest, "rationale": rationale}
    session.done(session.command("gate.vote", gate, args), f"{plain.clean(answer)} on {plain.clean(gate)} is recorded")


@gates.command()
@click.argument("gate")
@options
def withdraw(session: Session, gate: str) -> None:
    """Take your vote back."""
    session.done(session.command("gate.withdraw", gate), f"your vote on {plain.clean(gate)} is withdrawn")


@gates.command()
@click.argument("gate")
@click.argument("reason", default="")
@options
def abstain(session: Session, gate: str, reason: str) -> None:
    """No vote from you, on the record: it fills no seat, another has to answer."""
    session.done(session.command("gate.abstain", gate, {"reason": reason}), f"you abstain on {plain.clean(gate)}")


@gates.command()
@click.argument("gate")
@click.option("--hours", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True, help="How long.")
@click.option("--others", is_flag=True, help="It is for others to answer: until you bring it back.")
@click.option("--back", is_flag=True, help="Into your inbox again.")
@options
def later(session: Session, gate: str, hours: float, others: bool, back: bool) -> None:
    """Out of your inbox for a while. Nothing changes for anybody else: it waits, expires and is counted as before."""
    shown = session.get(f"/v1/gates/{part(gate)}", GateDetail).gate
    kept, person = Remembered(stored.file_of(session.home)), session.get("/v1/me", Me).person
    if back:
        kept.bring_back(person, shown)
    elif others:
        kept.leave_to_others(person, shown)
    else:
        kept.put_off(person, shown, session.now() + hours * 3600)
    word = _away(kept, person, shown, session.now()) or "in the inbox"
    session.show({"gate": shown.id, "inbox": word}, lambda: plain.clean(f"{shown.id}: {word}"))


def _away(kept: Remembered, person: str, gate: GateSummary, now: float) -> str:
    """Why it is not in this person's inbox; empty when it is."""
    if kept.is_others(person, gate):
        return "left to others"
    until = kept.until(person, gate, now)
    return f"put off until {plain.moment(until)}" if until else ""


@gates.command()
@click.argument("gate")
@click.argument("to")
@click.option("--for", "span", default="8h", show_default=True, help="How long: 30m, 8h, 2d (the engine's clock).")
@options
def delegate(session: Session, gate: str, to: str, span: str) -> None:
    """Let TO vote on this gate with your roles for a while."""
    seconds = _seconds(span)
    until = session.now() + seconds
    session.done(
        session.command("gate.delegate", gate, {"to": to, "until": until}),
        f"{plain.clean(to)} may vote on {plain.clean(gate)} until {plain.moment(until)}",
    )


@gates.command()
@click.argument("gate")
@options
def claim(session: Session, gate: str) -> None:
    """Say that you are looking at it."""
    session.done(session.command("gate.claim", gate), f"you look at {plain.clean(gate)}")


@gates.command()
@click.argument("gate")
@click.argument("question")
@options
def ask(session: Session, gate: str, question: str) -> None:
    """Ask for more before deciding."""
    session.done(session.command("gate.ask", gate, {"question": question}), f"asked on {plain.clean(gate)}")


def _seconds(span: str) -> float:
    try:
        return float(span[:-1]) * _UNITS[span[-1]]
    except (ValueError, KeyError, IndexError):
        raise click.UsageError(f"--for wants a time such as 30m or 8h, not {span!r}") from None
