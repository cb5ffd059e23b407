"""`qd runs`: runs and every verb on them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click
import msgspec

from app import plain, wire
from app.cli import pictures
from app.cli.session import REFUSED, Session, address, inputs, options, part, risky
from engine.contract.common import CommandAnswer, Json
from engine.contract.runs import EventView, RunDetail, RunPage, Waiting

ENDS = {"RunCompleted": 0, "RunFailed": REFUSED, "RunCancelled": REFUSED, "RunTerminated": REFUSED}


@click.group()
def runs() -> None:
    """Runs: list, show, start, watch, explain, and every verb on them."""


runs.add_command(pictures.graph)
runs.add_command(pictures.timeline)


@runs.command("ls")
@click.option("--status", default="", help="running, waiting, suspended, completed, failed, cancelled, attention ...")
@click.option("--workflow", default="")
@click.option("--text", default="", help="Words to look for.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--cursor", default="", help="Where the page before ended.")
@click.option(
    "--filter", "words", default="", metavar="TEXT", help="As in the console: 'waiting -status:failed w:NAME'."
)
@options
def ls(session: Session, *, status: str, workflow: str, text: str, limit: int, cursor: str, words: str) -> None:
    """Runs, newest first."""
    if words:
        from screens import run_filter

        asked = run_filter.parse(words)
        if not isinstance(asked, run_filter.RunFilter):
            raise click.UsageError(f"--filter {asked.word}: {asked.reason}")
        status, workflow, text = status or asked.status, workflow or asked.workflow, text or asked.text
    page = session.get("/v1/runs", RunPage, status=status, workflow=workflow, text=text, limit=limit, cursor=cursor)
    session.show(page, lambda: _page(page))


def _page(page: RunPage) -> str:
    rows = [
        (r.id, r.workflow, r.status, plain.moment(r.updated_at), r.ending or r.waiting_on or r.step) for r in page.rows
    ]
    heads = ("run", "workflow", "status", "updated", "what")
    shown = plain.table(rows, heads, empty="no run: qd runs start WORKFLOW")
    return f"{shown}\n(more: --cursor {plain.clean(page.next)})" if page.next else shown


@runs.command()
@click.argument("run")
@click.option("--at", type=click.IntRange(0), default=0, metavar="EVENT", help="As it was after this event.")
@options
def show(session: Session, run: str, at: int) -> None:
    """Everything about one run, now or as it was."""
    detail = session.get(f"/v1/runs/{part(run)}", RunDetail, at=at)
    session.show(detail, lambda: _detail(detail))


def _detail(detail: RunDetail) -> str:
    head = detail.run
    lines = [
        f"{head.id}  {head.workflow}  {head.status}{'  ' + head.ending if head.ending else ''}",
        f"{head.title}",
        f"started {plain.moment(head.started_at)} by {head.started_by or '-'}, updated {plain.moment(head.updated_at)}",
        f"inputs  {msgspec.json.encode(detail.inputs).decode()}",
    ]
    if detail.cause is not None:
        about = f" about {detail.cause.subject}" if detail.cause.subject else ""
        lines.append(f"because {detail.cause.event}{about}, event {detail.cause.seq}: qd trace {head.id}")
    if detail.error:
        lines.append(f"error   {detail.error}")
    lines = [plain.clean(line, 2000) for line in lines]
    rows = [
        (s.path, s.kind, s.status, s.attempt, plain.moment(s.started_at), s.error or s.detail) for s in detail.steps
    ]
    lines += [
        "",
        plain.table(rows, ("step", "kind", "status", "try", "started", "detail"), empty="no step has started"),
    ]
    if detail.waiting:
        lines += ["", _waiting(detail.waiting)]
    return "\n".join(lines)


@runs.command()
@click.argument("run")
@options
def explain(session: Session, run: str) -> None:
    """What the run waits for, who or what can move it, until when, and what happens then."""
    found = session.get(f"/v1/runs/{part(run)}/explain", tuple[Waiting, ...])
    session.show(found, lambda: _waiting(found))


def _waiting(found: tuple[Waiting, ...]) -> str:
    lines = []
    for wait in found:
        who = f"; can be moved by {', '.join(wait.who)}" if wait.who else ""
        until = f"; until {plain.moment(wait.until)}" if wait.until else ""
        then = f", then {wait.then}" if wait.then else ""
        lines.append(plain.clean(f"{wait.path}: waits for {wait.what}{who}{until}{then}", 2000))
        if wait.gate:
            lines.append(plain.clean(f"    qd gates show {wait.gate}"))
    return "\n".join(lines) or "waits for nothing"


@runs.command()
@click.argument("workflow")
@click.option("--input", "pairs", multiple=True, metavar="NAME=VALUE", help="One input; the value is JSON, else text.")
@click.option("--inputs", "file", metavar="FILE", help="All inputs as a JSON object (- for stdin).")
@click.option("--dry-run", is_flag=True, help="Say what would happen.")
@click.option("--id", "ident", default="", help="Idempotence: the same id starts one run.")
@options
def start(
    session: Session, *, workflow: str, pairs: tuple[str, ...], file: str | None, dry_run: bool, ident: str
) -> None:
    """Start a run of WORKFLOW."""
    answer = session.command("run.start", workflow, {"inputs": inputs(pairs, file)}, preview=dry_run, id=ident)
    session.done(answer, f"started {plain.clean(answer.target)}: qd runs watch {plain.clean(answer.target)}")


@runs.command()
@click.argument("run")
@click.option("--after", type=click.IntRange(0), default=0, help="From this event on.")
@options
def watch(session: Session, run: str, after: int) -> None:
    """Follow a run to its end. Exit code 0 when it completed."""
    session.get(f"/v1/runs/{part(run)}", RunDetail)  # an unknown run would be watched for ever
    sys.exit(follow(session, run=run, after=after))


def follow(session: Session, *, run: str = "", after: int = 0) -> int:
    """Prints events until the run ends (or the engine does); the exit code."""
    read = msgspec.json.Decoder(EventView)
    path = address("/v1/feed", mode="events", run=run, after=after)
    for _, _, data in wire.stream(session.home, path, session.headers):
        event = read.decode(data)
        click.echo(plain.as_json(event, indent=False) if session.json else line(event))
        if run and event.type in ENDS:
            return ENDS[event.type]
    return 0


def line(event: EventView) -> str:
    """One event as one line."""
    who = event.actor.id if event.actor.kind in ("person", "connector") else event.actor.kind
    return plain.clean(
        f"{plain.moment(event.at)} {event.seq:>6} {event.run:<10} {who:<12} {event.text or event.type}", 400
    )


def _verb(name: str, verb: str, says: str, done: str, *parameters: Any, build: Callable[..., dict[str, Json]]) -> None:
    """One verb on one run as a command: they differ in their arguments alone."""

    @click.option("--dry-run", is_flag=True, help="Say what would happen.")
    @click.option("--id", "ident", default="", help="Idempotence: the same id is done once.")
    @options
    def command(session: Session, *, run: str, dry_run: bool, ident: str, **given: Any) -> None:
        risk = {name: given.pop(name) for name in ("phrase", "yes") if name in given}
        args = {key: value for key, value in build(**given).items() if value is not None}
        answer: CommandAnswer
        if risk:
            answer = risky(session, verb, run, args, dry_run=dry_run, id=ident, **risk)
        else:
            answer = session.command(verb, run, args, preview=dry_run, id=ident)
        session.done(answer, f"{plain.clean(run)} {done}")

    for parameter in (*reversed(parameters), click.argument("run")):  # what is put on last stands first
        command = parameter(command)
    runs.command(name, help=says)(command)


_REASON = click.option("--reason", default="", help="Why; it is recorded.")
_WHY = click.option("--reason", required=True, help="Why; it is recorded.")
RISK = (
    click.option("--phrase", default="", help="The typed phrase, when it can't be typed here."),
    click.option("--yes", is_flag=True, help="Take the phrase as it is now."),
)
_verb("cancel", "run.cancel", "Stop, wait for what is in flight, then undo.", "is being cancelled", _REASON, build=dict)
_verb("suspend", "run.suspend", "Start nothing more until resumed.", "is suspended", _REASON, build=dict)
_verb("resume", "run.resume", "Go on.", "goes on", build=dict)
_verb("terminate", "run.terminate", "Stop now and undo nothing.", "is terminated", _WHY, *RISK, build=dict)
_verb("retry", "run.retry", "Try a step again.", "tries again", click.argument("path"), build=dict)
_verb("comment", "run.comment", "Say something on a run.", "has your comment", click.argument("text"), build=dict)


def _skip(path: str, reason: str, output: str | None) -> dict[str, Json]:
    return {"path": path, "reason": reason, "output": inputs([f"o={output}"], None)["o"] if output else None}


def _redrive(step: str, reason: str, pairs: tuple[str, ...], file: str | None) -> dict[str, Json]:
    return {"step": step, "reason": reason, "inputs": inputs(pairs, file) or None}


_verb(
    "skip",
    "run.skip",
    "Go on as if a step had been done.",
    "goes on",
    click.argument("path"),
    _WHY,
    click.option("--output", default=None, metavar="JSON", help="What the step is to have given."),
    *RISK,
    build=_skip,
)
_verb(
    "override-window",
    "run.override-window",
    "Let a step act although a window is closed (needs the role the definition names).",
    "may act once",
    click.argument("path"),
    _WHY,
    *RISK,
    build=dict,
)
_verb(
    "migrate",
    "run.migrate",
    "Move a run at rest to another definition of its workflow.",
    "is on the other definition",
    click.argument("digest"),
    _REASON,
    build=dict,
)


def _signal(event: str, pairs: tuple[str, ...]) -> dict[str, Json]:
    return {"event": event, "data": inputs(pairs, None)}


_verb(
    "signal",
    "run.signal",
    "Give a run an event it may be waiting for.",
    "has the event",
    click.argument("event"),
    click.option("--data", "pairs", multiple=True, metavar="NAME=VALUE", help="One field of its data."),
    build=_signal,
)
_verb(
    "redrive",
    "run.redrive",
    "Go on from a step of a failed run, with changed inputs if given.",
    "goes on",
    click.argument("step"),
    _REASON,
    click.option("--input", "pairs", multiple=True, metavar="NAME=VALUE"),
    click.option("--inputs", "file", metavar="FILE"),
    build=_redrive,
)
