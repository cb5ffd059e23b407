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
from app.cli.session import REFUSED, Session, address, options, part
from app.home import candidates
from engine.contract.history import DiffView, Moment, PastView
from engine.contract.runs import EventView
from engine.contract.system import VerifyReport
from screens.places import THINGS


@click.group()
def history() -> None:
    """The record: things as they were, what differs between two moments; verify, export, play."""


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
@click.argument("id")
@click.option(
    "--kind", default="", help="run, rollout, gate, case or another kind of record; told from the id if left out."
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@options
def moments(session: Session, id: str, kind: str, limit: int) -> None:
    """The events at which a thing can be looked at as it was, oldest first."""
    found = session.get(_path(id, kind, "moments"), tuple[Moment, ...], limit=limit)
    rows = [(one.seq, plain.moment(one.at), one.actor, one.text or one.type) for one in found]
    session.show(found, lambda: plain.table(rows, ("event", "at", "who", "what"), empty="nothing happened to it"))


@history.command()
@click.argument("id")
@click.option("--kind", default="", help="As for moments.")
@click.option("--at", type=click.IntRange(0), default=0, metavar="EVENT", help="After this event; 0 is now.")
@click.option("--step", type=int, default=0, help="So many events before (-1) or after it.")
@options
def show(session: Session, id: str, kind: str, at: int, step: int) -> None:
    """A thing as it was: which event, and its whole view as it would have been read then."""
    found = session.get(_path(id, kind, "then"), PastView, at=at, step=step)
    session.show(found, lambda: f"{_stand(found.here)}\n{_document(found.view)}")


@history.command()
@click.argument("id")
@click.argument("a", type=click.IntRange(0))
@click.argument("b", type=click.IntRange(0), default=0)
@click.option("--kind", default="", help="As for moments.")
@options
def diff(session: Session, id: str, a: int, b: int, kind: str) -> None:
    """What differs between the events A and B of a thing. Without B: now."""
    found = session.get(_path(id, kind, "diff"), DiffView, a=a, b=b)
    session.show(found, lambda: _differences(found))


def _path(id: str, kind: str, what: str) -> str:
    return f"/v1/history/{part(kind or kind_of(id))}/{part(id)}/{what}"


def kind_of(id: str) -> str:
    """What an id is of, by its shape: `run-12`, `run-12.3` (a gate), `M-311`."""
    prefix, _, rest = id.partition("-")
    found = next((thing.record for thing in THINGS if thing.record and thing.prefix and thing.prefix == prefix), "")
    if prefix == "run":
        return "gate" if "." in rest else "run"
    if not found:
        raise click.UsageError(f"it can't be told what {id!r} is of: give --kind")
    return found


def _differences(found: DiffView) -> str:
    lines = [f"A  {_stand(found.a)}", f"B  {_stand(found.b)}", ""]
    for one in found.changes:
        before, after = plain.as_json(one.before, indent=False), plain.as_json(one.after, indent=False)
        said = {"added": f"+ {one.path}: {after}", "gone": f"- {one.path}: {before}"}
        lines.append(plain.clean(said.get(one.word, f"~ {one.path}: {before} -> {after}"), 2000))
    if not found.changes:
        lines.append("nothing differs")
    return "\n".join([*lines, "(more differs than is listed)"] if found.cut else lines)


def _stand(here: Moment) -> str:
    return plain.clean(
        f"event {here.seq} ({here.place} of {here.of})  {plain.moment(here.at)}  {here.actor}: {here.text}", 500
    )


def _document(view: object) -> str:
    return plain.clean_lines(msgspec.json.format(msgspec.json.encode(view), indent=2).decode())


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
