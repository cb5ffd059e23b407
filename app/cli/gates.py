"""`qd gates`: questions to people."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from app import plain
from app.cli.session import Session, asks, inputs, options, part, phrase_for
from engine.contract.gates import GateDetail, GatePage

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@click.group()
def gates() -> None:
    """Questions to people: list, show, approve, reject, delegate."""


@gates.command("ls")
@click.option("--state", default="open", show_default=True, help="open, passed, rejected, expired, withdrawn, all")
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True)
@options
def ls(session: Session, state: str, limit: int) -> None:
    """The inbox, by deadline."""
    page = session.get("/v1/gates", GatePage, state=state, limit=limit)
    rows = [
        (
            g.id,
            g.kind,
            f"{g.seats_total - g.seats_open}/{g.seats_total}",
            plain.moment(g.expires_at),
            g.mine or "you may",
            g.question,
        )
        for g in page.rows
    ]
    heads = ("gate", "kind", "seats", "expires", "mine", "question")
    session.show(page, lambda: plain.table(rows, heads, empty="nobody is asked anything"))


@gates.command()
@click.argument("gate")
@options
def show(session: Session, gate: str) -> None:
    """One question: its evidence, who may answer, who has."""
    detail = session.get(f"/v1/gates/{part(gate)}", GateDetail)
    session.show(detail, lambda: text(detail))


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
