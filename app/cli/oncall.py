"""`qd oncall`: who is on duty, what I watch, what rings in my terminal."""

from __future__ import annotations

import click

from app import plain
from app.cli.access import Duration
from app.cli.session import DRY_RUN, ONCE, Session, options
from engine.contract.oncall import OnCallView


@click.group(invoke_without_command=True)
@options
def oncall(session: Session) -> None:
    """Who is on duty, handovers that wait, what I watch."""
    if click.get_current_context().invoked_subcommand is not None:
        return
    view = session.get("/v1/oncall", OnCallView)
    session.show(view, lambda: _text(view))


def _text(view: OnCallView) -> str:
    duty = [
        (one.id, one.person, one.scope or "-", plain.moment(one.since), plain.moment(one.until)) for one in view.on_duty
    ]
    said = [plain.table(duty, ("duty", "who", "what for", "since", "until"), empty="nobody is on duty: qd oncall take")]
    for one in view.handovers:
        to = one.to or "whoever takes it"
        led = f", command of {', '.join(one.incidents)}" if one.incidents else ""
        said.append(plain.clean(f"{one.id} is {one.state} by {one.giver} to {to}{led}"))
    if view.commands:
        said.append(f"you command {', '.join(view.commands)}")
    if view.quiet is not None:
        hours = view.quiet
        running = hours.since <= view.as_of < hours.until
        said.append(
            f"quiet until {plain.moment(hours.until)}: {', '.join(hours.severities)} wait"
            if running
            else f"quiet from {plain.moment(hours.since)} until {plain.moment(hours.until)}"
        )
    watched = [("*" if one.news else "", one.id, one.title, one.text) for one in view.watched]
    said += [
        "",
        plain.table(watched, ("new", "watched", "what", "stands"), empty="you watch nothing: qd oncall watch ID"),
    ]
    return "\n".join(said)


@oncall.command("take")
@click.option("--for", "seconds", type=Duration(), default=0.0, help="How long, as planned; it does not end by itself.")
@click.option("--scope", default="", help="What for, in your words: a site, a fleet.")
@ONCE
@options
def take(session: Session, *, seconds: float, scope: str, ident: str) -> None:
    """You are on duty from now on."""
    answer = session.command("duty.take", "", {"seconds": seconds, "scope": scope}, id=ident)
    session.done(answer, f"you are on duty ({answer.target})")


@oncall.command("off")
@click.option("--reason", default="", help="Why; it is recorded.")
@DRY_RUN
@ONCE
@options
def off(session: Session, *, reason: str, dry_run: bool, ident: str) -> None:
    """Your shift ends, handed to nobody. Who commands an incident hands over instead."""
    answer = session.command("duty.give", "", {"reason": reason}, preview=dry_run, id=ident)
    session.done(answer, "you are off duty")


@oncall.command("watch")
@click.argument("thing")
@click.option("--kind", default="", help="What it is, where the id does not tell (snapshot, robot).")
@click.option("--why", default="", help="A note to yourself.")
@ONCE
@options
def watch(session: Session, *, thing: str, kind: str, why: str, ident: str) -> None:
    """Be told when this changes: a run, gate, rollout, robot, case, incident, or any record."""
    answer = session.command("watch.add", "", {"thing": thing, "kind": kind, "why": why}, id=ident)
    session.done(answer, f"you watch {plain.clean(thing)}")


@oncall.command("unwatch")
@click.argument("thing")
@ONCE
@options
def unwatch(session: Session, *, thing: str, ident: str) -> None:
    """Watch it no longer."""
    answer = session.command("watch.remove", "", {"thing": thing}, id=ident)
    session.done(answer, f"you watch {plain.clean(thing)} no longer")


@oncall.command("watched")
@options
def watched(session: Session) -> None:
    """What you watch, what changed first."""
    rows = session.get("/v1/oncall", OnCallView).watched
    cells = [("*" if one.news else "", one.id, plain.moment(one.at), one.title, one.text) for one in rows]
    session.show(
        rows, lambda: plain.table(cells, ("new", "watched", "changed", "what", "stands"), empty="you watch nothing")
    )


@oncall.command("seen")
@click.argument("thing", required=False, default="")
@ONCE
@options
def seen(session: Session, *, thing: str, ident: str) -> None:
    """You looked: only what changes from now on is news."""
    answer = session.command("watch.seen", "", {"thing": thing}, id=ident)
    session.done(answer, "seen")


@oncall.command("alerting")
@click.option("--bell", "bell", default="", metavar="LEVEL", help="off, alarm, warning, notice or info.")
@click.option("--desktop", default="", metavar="LEVEL", help="Notification of the terminal (OSC 9, OSC 777).")
@click.option("--title", default="", metavar="LEVEL", help="Badge in the terminal's title.")
@click.option("--when", default="", metavar="always|duty", help="Always, or only while you are on duty.")
@click.option("--desktop-by", default="", metavar="auto|osc9|osc777", help="How this terminal takes a notification.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def alerting(*, as_json: bool, **words: str) -> None:
    """What rings in your console, from which level on. Without options: how it stands."""
    from app.attach import Unreachable
    from app.cli.session import find
    from app.settings import file_of, read, write
    from screens.ringing import CHOICES, SETTING, sentence, wishes
    from screens.ringing import plain as as_plain

    for name, word in words.items():
        if word and word not in CHOICES[name]:
            raise click.UsageError(f"--{name.replace('_', '-')} is one of {', '.join(CHOICES[name])}, not {word!r}")
    try:
        path = file_of(find())
    except Unreachable:  # no engine runs: the settings are there all the same
        path = file_of()
    kept = read(path)
    wanted = wishes({**as_plain(wishes(kept.get(SETTING))), **{name: word for name, word in words.items() if word}})
    if any(words.values()):
        write(path, {**kept, SETTING: as_plain(wanted)})
    click.echo(plain.as_json(as_plain(wanted)) if as_json else sentence(wanted))
