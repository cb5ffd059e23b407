"""`qd engine`: the process itself."""

from __future__ import annotations

import os
import sys
import time

import click

from app import attach, plain
from app.attach import Unreachable
from app.cli.session import REFUSED, Session, end, find, options
from app.home import Home, HomeError, candidates, prepare
from engine.contract.system import EngineStatus


@click.group()
def engine() -> None:
    """Start, stop and look at the engine."""


def ours() -> Home:
    """The installation that a start or a log belongs to."""
    for home in candidates():
        if home.startable:
            return home
    return candidates()[0]


@engine.command()
@options
def start(session: Session) -> None:
    """Start the engine, if none runs. It outlives this terminal."""
    home = ours()
    started = attach.ensure(home)
    status = Session(home=home).get("/v1/status", EngineStatus)
    session.show(status, lambda: f"{'started' if started else 'already running'}: pid {status.pid}, {status.socket}")


@engine.command()
@click.option("--force", is_flag=True, help="SIGTERM the process when it doesn't answer.")
@options
def stop(session: Session, force: bool) -> None:
    """Stop the engine. Runs are kept and go on with the next start."""
    try:
        home = find()
    except Unreachable:
        home = ours()
        if not attach.alive(home):
            session.show({"stopped": False, "running": False}, lambda: "no engine runs")
            return
        if not force:
            raise
        attach.ask_to_end(home)
    else:
        Session(home=home, person=session.person).command("engine.stop", args={})
    # one that we only know by its socket (a tunnel, systemd's) has its lock where we can't see it
    if home.startable and not attach.gone(home, 15.0):
        end("the engine has not ended after 15 s: see qd engine logs, or use --force", REFUSED)
    session.show({"stopped": True, "running": False}, lambda: "stopped")


@engine.command()
@options
def status(session: Session) -> None:
    """How the engine is."""
    found = session.get("/v1/status", EngineStatus)
    session.show(found, lambda: _status(found))


def _status(found: EngineStatus) -> str:
    rows = [
        ("state", f"{found.state}{': ' + found.message if found.message else ''}"),
        ("pid", found.pid),
        ("version", found.version),
        ("socket", found.socket),
        ("database", found.database),
        ("up", plain.span(found.uptime_s)),
        ("environment", found.environment + (f", {found.scenario} (seed {found.seed})" if found.scenario else "")),
        ("clock", f"{plain.moment(found.now)}{f', {found.speed:g}x life' if found.speed != 1 else ''}"),
        ("events", found.head),
        ("open", f"{found.runs_open} runs, {found.gates_open} gates"),
        ("clients", found.clients),
    ]
    rows += [(f"{c.kind} {c.name}", f"{'ok' if c.ok else 'NOT OK'} {c.url} {c.message}") for c in found.connectors]
    return "\n".join(f"{name:<12} {plain.clean(value)}" for name, value in rows)


@engine.command()
@click.option(
    "-n", "--lines", type=click.IntRange(1), default=40, show_default=True, help="How many of the last lines."
)
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is added.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def logs(lines: int, follow: bool, as_json: bool) -> None:
    """The engine's log. Read from its file: no engine is needed."""

    def show(text: str) -> None:
        click.echo(plain.as_json({"line": text}, indent=False) if as_json else plain.clean(text, 2000))

    home = next((h for h in candidates() if h.startable and h.log.exists()), ours())
    if not home.log.exists():
        end(f"there is no log at {home.log}", REFUSED)
    for row in attach.tail(home.log, lines).splitlines():
        show(row)
    if not follow:
        return
    with home.log.open(encoding="utf-8", errors="replace") as file:
        file.seek(0, os.SEEK_END)
        while True:
            if line := file.readline():
                show(line.rstrip("\n"))
            else:
                time.sleep(0.3)


@engine.command()
def run() -> None:
    """Run the engine here, in the foreground, logging to this terminal."""
    home = ours()
    try:
        prepare(home)
    except HomeError as error:
        end(str(error), REFUSED)
    command = [sys.executable, "-m", "engine", *home.engine_arguments(), "--foreground"]
    sys.stdout.flush()
    os.execve(command[0], command, attach.engine_environment())
