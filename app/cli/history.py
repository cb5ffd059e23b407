"""`qd history`: the record."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from app import plain, soundness, wire
from app.attach import Unreachable
from app.cli.gateways import play
from app.cli.runs import line
from app.cli.session import REFUSED, Session, address, options
from app.home import candidates
from engine.contract.runs import EventView
from engine.contract.system import VerifyReport


@click.group()
def history() -> None:
    """The record: verify, export, play what was recorded."""


history.add_command(play)


@history.command()
@options
def verify(session: Session) -> None:
    """Recompute the whole hash chain. Works without an engine, too."""
    try:
        report = session.get("/v1/history/verify", VerifyReport)
    except Unreachable:
        home = next((h for h in candidates() if h.startable and h.database.exists()), None)
        if home is None:
            raise
        report = soundness.verify(home)  # no engine is needed for it, and a damaged history lets none start
    session.show(report, lambda: _report(report))
    if not report.ok:
        sys.exit(REFUSED)


def _report(report: VerifyReport) -> str:
    if report.ok:
        return f"ok: {report.events} events, head {report.head[:16]}, in {report.seconds:.2f} s"
    at = f" at event {report.first_bad}" if report.first_bad is not None else ""
    return f"NOT OK{at}: {plain.clean(report.problem)}"


@history.command()
@click.option("--run", default="", help="One run alone.")
@click.option("--after", type=click.IntRange(0), default=0, help="From this event on.")
@click.option("--out", metavar="FILE", help="Into a file (0600) instead of to the terminal.")
@options
def export(session: Session, run: str, after: int, out: str | None) -> None:
    """All events as JSON Lines; as a table of lines on a terminal without --json."""
    rows = wire.lines(session.home, address("/v1/history/export", run=run, after=after), session.headers, silence=120.0)
    if out:
        count = 0
        path = Path(out)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for row in rows:
                file.write(row + b"\n")
                count += 1
        session.show({"events": count, "file": str(path)}, lambda: f"{count} events in {path}")
        return
    _print(rows, plain_text=sys.stdout.isatty() and not session.json)


def _print(rows: Iterator[bytes], *, plain_text: bool) -> None:
    read = msgspec.json.Decoder(EventView)
    for row in rows:
        event = read.decode(row)
        click.echo(line(event) if plain_text else plain.as_json(event, indent=False))
