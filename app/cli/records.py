"""`qd records`: records of any kind as they stand, and what is kept as evidence."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from app import plain
from app.cli.filtering import FILTER, narrowed
from app.cli.session import REFUSED, Session, end, options, part
from engine.contract.records import EvidenceText, RecordEvent, RecordPage, RecordView


@click.group()
def records() -> None:
    """Records of any kind: list, show, history; evidence."""


@records.command("kinds")
@options
def kinds(session: Session) -> None:
    """What kinds of records there are."""
    found = session.get("/v1/records", tuple[str, ...])
    session.show(found, lambda: "\n".join(found))


@records.command("ls")
@click.argument("kind")
@click.option("--state", default="", help="One state, or several with commas.")
@click.option("--text", default="", help="Words that occur in it.")
@click.option("--where", default="", metavar="COLUMN:VALUE", help="Columns with a value; several with commas.")
@click.option("--sort", default="", metavar="COLUMN", help="A column, with - in front for the largest first.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@FILTER
@options
def ls(session: Session, kind: str, *, state: str, text: str, where: str, sort: str, limit: int, words: str) -> None:
    """Records of a kind, newest change first."""
    page = session.get(
        f"/v1/records/{part(kind)}", RecordPage, state=state, text=text, where=where, sort=sort, limit=limit
    )
    if words:
        typed = [(row, msgspec.convert(row, RecordView)) for row in page.rows]
        kept = narrowed(typed, words, now=page.as_of, inner=lambda pair: pair[1])
        page = msgspec.structs.replace(page, rows=tuple(row for row, _ in kept))

    def told() -> str:
        rows = [msgspec.convert(row, RecordView) for row in page.rows]
        lines = [f"{row.id}  {row.state}  {row.title}" for row in rows]
        counts = ", ".join(f"{count} {name}" for name, count in page.states.items()) or "none yet"
        return "\n".join(plain.clean(line, 300) for line in [*lines, f"{page.total} found; all: {counts}"])

    session.show(page, told)


@records.command("show")
@click.argument("kind")
@click.argument("id_", metavar="ID")
@options
def show(session: Session, kind: str, id_: str) -> None:
    """Everything about one record."""
    found = session.get(f"/v1/records/{part(kind)}/{part(id_)}", dict[str, Any])
    session.show(found, lambda: "\n".join(f"{name}: {plain.clean(value, 500)}" for name, value in found.items()))


@records.command("history")
@click.argument("kind")
@click.argument("id_", metavar="ID")
@options
def history(session: Session, kind: str, id_: str) -> None:
    """Every change of one record: when, by whom, from where to where, why."""
    found = session.get(f"/v1/records/{part(kind)}/{part(id_)}/history", tuple[RecordEvent, ...])

    def line(event: RecordEvent) -> str:
        move = f"{event.from_} -> {event.to}" if event.from_ != event.to else event.to
        why = f": {event.reason}" if event.reason else ""
        return f"{plain.moment(event.at)}  {event.rev:>3}  {event.actor.id}  {move}  {', '.join(event.set)}{why}"

    session.show(found, lambda: "\n".join(plain.clean(line(event), 300) for event in found))


@records.command("evidence")
@click.argument("digest")
@options
def evidence(session: Session, digest: str) -> None:
    """What is kept under a digest, and whether it still is what was kept."""
    found = session.get(f"/v1/evidence/{part(digest)}", EvidenceText)
    session.show(found, lambda: plain.clean_lines(found.text) or f"{found.size_b:,} bytes of {found.media}")
    if not found.sound:
        end(f"{plain.clean(digest)} is no longer what was kept", REFUSED)
