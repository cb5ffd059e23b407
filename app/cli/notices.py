"""`qd notices`: what people were told outside the console, and whether it arrived."""

from __future__ import annotations

import click

from app import plain
from app.cli.session import Session, options
from engine.contract.notices import NOTICE_STATES, NoticeView


@click.group()
def notices() -> None:
    """What people were told, through which channel, and whether it arrived."""


@notices.command("ls")
@click.option("--state", type=click.Choice(NOTICE_STATES), help="Only these.")
@click.option("--channel", default="", help="Only this channel.")
@click.option("--gate", default="", help="Only about this gate.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@options
def ls(session: Session, *, state: str | None, channel: str, gate: str, limit: int) -> None:
    """Messages to people, newest first."""
    where = {name: value for name, value in (("channel", channel), ("gate", gate)) if value}
    rows = session.records("notice", NoticeView, state=state or "", where=where, limit=limit)
    cells = [
        (r.id, r.state, plain.moment(r.told_at or r.created_at), r.channel, r.severity, r.title, r.link, r.error or "-")
        for r in rows
    ]
    heads = ("notice", "state", "when", "channel", "how bad", "what", "look", "why not")
    session.show(rows, lambda: plain.table(cells, heads, empty="nobody was told anything"))


@notices.command("show")
@click.argument("notice")
@options
def show(session: Session, notice: str) -> None:
    """One message as it was sent."""
    found = session.record("notice", notice, NoticeView)
    lines = [
        f"{found.id}  {found.state}  to {found.channel}" + (f" of {found.system}" if found.system else ""),
        f"tried {found.tries} times" + (f", told {plain.moment(found.told_at)}" if found.told_at else ""),
        *([f"why not: {found.error}"] if found.error else []),
        "",
        found.title,
    ]
    tail = "\n".join([plain.clean_lines(found.text), "", plain.clean(found.link)])
    session.show(found, lambda: "\n".join(plain.clean(line) for line in lines) + "\n" + tail)
