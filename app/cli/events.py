"""`qd events`: what is recorded, what is told outward, and telling one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from app import plain, wire
from app.cli.runs import follow as follow_events
from app.cli.runs import line
from app.cli.session import Session, address, inputs, options
from engine.contract.common import Json
from engine.contract.events import FateView, OutEvent, OutEventPage
from engine.contract.runs import EventPage, EventView
from engine.contract.system import EngineStatus

TOLD = ("Emitted", "EventPublished")
"""The facts of the history that are told outward."""


@click.group()
def events() -> None:
    """Events: list, emit, follow."""


@events.command("ls")
@click.option("--run", default="", help="One run alone.")
@click.option("--after", type=click.IntRange(0), default=0, help="From this event on.")
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True)
@click.option("--told", is_flag=True, help="Only events told to runs, rules and other systems, newest first.")
@click.option("--event", "name", default="", help="Told events of this name; may end in *.")
@click.option("--subject", default="", help="Told events about this.")
@click.option("--before", type=click.IntRange(0), default=0, help="Told events older than this one.")
@options
def ls(session: Session, *, run: str, after: int, limit: int, told: bool, name: str, subject: str, before: int) -> None:
    """Events of the history, in order; with --told, --event or --subject those that are told outward."""
    if told or name or subject or before:
        page = session.get(
            "/v1/cloudevents",
            OutEventPage,
            event=name,
            subject=subject,
            run=run,
            before=before,
            limit=min(limit, 500),
        )
        session.show(page, lambda: _told(page))
        return
    found = session.get("/v1/events", EventPage, run=run, after=after, limit=limit)
    session.show(found, lambda: "\n".join(line(event) for event in found.rows) or "no events")


def _told(page: OutEventPage) -> str:
    rows = [
        (e.seq, plain.moment(e.at), e.event, e.subject, e.actor, became(e.fates) or ("-" if e.delivered else "waits"))
        for e in page.rows
    ]
    shown = plain.table(rows, ("event", "at", "name", "about", "from", "became"), empty="no event was told yet")
    return f"{shown}\n(more: --before {page.next})" if page.next else shown


def became(fates: tuple[FateView, ...]) -> str:
    """What rules and runs made of an event, in a few words."""
    opened = [fate.run for fate in fates if fate.outcome == "opened"]
    attached = [fate.run for fate in fates if fate.outcome == "attached"]
    rest = {word: sum(fate.outcome == word for fate in fates) for word in ("ignored", "failed")}
    parts = [
        f"opened {', '.join(opened[:3])}" if opened else "",
        f"moved {', '.join(attached[:3])}" if attached else "",
    ]
    parts += [f"{word} by {count}" for word, count in rest.items() if count]
    return "; ".join(part for part in parts if part)


@events.command()
@click.argument("event")
@options
def show(session: Session, event: str) -> None:
    """One told event: what it says, what became of it, the CloudEvent it leaves as."""
    found = session.get(f"/v1/cloudevents/{event.strip(' #')}", OutEvent)
    session.show(found, lambda: _one(found))


def _one(found: OutEvent) -> str:
    lines = [
        plain.clean(f"event {found.seq}  {found.event}  {found.subject}"),
        plain.clean(f"at {plain.moment(found.at)} from {found.actor} ({found.source})"),
        f"follows from event {found.cause}, {found.depth} deep" if found.cause else "no cause is known",
    ]
    for fate in found.fates:
        who = fate.rule or "waiting run"
        why = f": {fate.reason}" if fate.reason else ""
        lines.append(plain.clean(f"{fate.outcome} {fate.run} by {who}{why}", 400))
    lines += ["", plain.clean_lines(plain.as_json(found.envelope))]
    return "\n".join(lines)


@events.command()
@click.argument("event", required=False, default="")
@click.option("--data", "pairs", multiple=True, metavar="NAME=VALUE", help="One field; the value is JSON, else text.")
@click.option("--data-file", metavar="FILE", help="All fields as one JSON object (- for stdin).")
@click.option("--subject", default="", help="What it is about: a robot, a record, a run.")
@click.option("--cloudevent", metavar="FILE", help="A whole CloudEvent 1.0 as JSON (- for stdin) instead.")
@click.option("--dry-run", is_flag=True, help="Say what would happen (see also: qd triggers explain).")
@click.option("--id", "ident", default="", help="Idempotence: the same id is told once.")
@options
def emit(
    session: Session,
    *,
    event: str,
    pairs: tuple[str, ...],
    data_file: str | None,
    subject: str,
    cloudevent: str | None,
    dry_run: bool,
    ident: str,
) -> None:
    """Tell an event to runs that wait for it and to rules."""
    args: dict[str, Json]
    if cloudevent is not None:
        if event or pairs or data_file or subject:
            raise click.UsageError("a whole CloudEvent says all itself")
        args = {"envelope": _envelope(cloudevent)}
    elif not event:
        raise click.UsageError("which event? Name one, or give --cloudevent FILE")
    else:
        args = {"event": event, "data": inputs(pairs, data_file)}
        if subject:
            args["subject"] = subject
    answer = session.command("event.emit", "", args, preview=dry_run, id=ident)
    name = event or (answer.result or {}).get("event", "")
    session.done(answer, f"told {plain.clean(name)}: qd events ls --event {plain.clean(name)}")


def _envelope(file: str) -> Json:
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return msgspec.json.decode(raw)
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise click.UsageError(f"{file}: not JSON: {error}") from error


@events.command()
@click.option("--run", default="", help="One run alone.")
@click.option("--after", default=-1, help="From this event on (default: from now on).")
@click.option("--cloudevents", is_flag=True, help="Told events alone, as CloudEvents 1.0, one JSON object a line.")
@options
def follow(session: Session, *, run: str, after: int, cloudevents: bool) -> None:
    """Every event as it is recorded; JSON Lines with --json."""
    start = session.get("/v1/status", EngineStatus).head if after < 0 else after
    if not cloudevents:
        sys.exit(follow_events(session, run=run, after=start))
    for envelope in told_since(session, run=run, after=start):
        click.echo(plain.as_json(envelope, indent=False))


def told_since(session: Session, *, run: str, after: int) -> Any:
    """CloudEvents as they are told, from the live feed."""
    read = msgspec.json.Decoder(EventView)
    path = address("/v1/feed", mode="events", run=run, after=after)
    for _, _, data in wire.stream(session.home, path, session.headers):
        event = read.decode(data)
        if event.type in TOLD:
            yield session.get(f"/v1/cloudevents/{event.seq}", OutEvent).envelope
