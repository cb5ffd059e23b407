"""`qd incidents`: declare, command, contain, choose, keep people told, hold robots, start clocks, file what follows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click

from app import plain
from app.cli.filtering import FILTER, narrowed
from app.cli.session import DRY_RUN, ONCE, Session, options, part, risky
from engine.contract.common import CommandAnswer, Json
from engine.contract.incidents import OPTION_KINDS, FollowUpView, HoldView, IncidentDetail, IncidentView, OptionRow

_REASON = click.option("--reason", default="", help="Why; it is recorded.")
_WHY = click.option("--reason", required=True, help="Why; it is recorded.")


@click.group()
def incidents() -> None:
    """Incidents: declare, contain, choose a way out, clocks, holds, follow-ups."""


@incidents.command("ls")
@click.option("--state", default="", help="One state, or several with commas.")
@click.option("--text", default="", help="Words that occur in it.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@FILTER
@options
def ls(session: Session, *, state: str, text: str, limit: int, words: str) -> None:
    """Incidents, newest change first."""
    rows = session.records("incident", IncidentView, state=state, text=text, limit=limit)
    rows = narrowed(rows, words, now=session.now() if words else 0.0)
    heads = ("incident", "sev", "state", "what", "version", "IC", "robots", "phase")
    shown = [
        (
            i.id,
            i.sev or "?",
            i.state,
            i.title,
            i.version,
            i.ic or "nobody",
            f"{len(i.affected)}+{len(i.unsure)}?",
            i.phase,
        )
        for i in rows
    ]
    session.show(rows, lambda: plain.table(shown, heads, empty="no incident: qd incidents declare"))


@incidents.command()
@click.argument("incident")
@click.option("--robots", is_flag=True, help="Every robot, too.")
@click.option("--timeline", is_flag=True, help="Who did what when.")
@click.option("--evidence", is_flag=True, help="Bundles, holds and what is owed.")
@options
def show(session: Session, *, incident: str, robots: bool, timeline: bool, evidence: bool) -> None:
    """One incident: options, suspects, clocks, what was done."""
    detail = session.get(f"/v1/incidents/{part(incident)}", IncidentDetail)
    session.show(detail, lambda: _detail(detail, robots=robots, timeline=timeline, evidence=evidence))


def _detail(detail: IncidentDetail, *, robots: bool, timeline: bool, evidence: bool) -> str:
    one = detail.incident
    head = [
        f"{one.id}  SEV-{one.sev or '?'}  {one.state}" + (f": {one.phase}" if one.phase else ""),
        one.title,
        f"IC: {one.ic or 'nobody'}   aware: {_when(one.became_aware_at) if one.became_aware_at else 'not recorded'}   "
        f"contained: {one.containment or 'not yet'}   preserved {one.preserved}/{one.to_preserve}   "
        f"holds {sum(hold.state == 'active' for hold in detail.holds)}",
        f"{len(one.affected)} affected, {len(one.unsure)} can't be asked" if one.scoped_at else "not scoped yet",
    ]
    lines = [plain.clean(line, 1000) for line in head]
    if one.options:
        rows = [_option(number, row, one.chosen) for number, row in enumerate(one.options, 1)]
        heads = ("", "option", "reaches", "est 95%", "idle", "case", "needs", "note")
        lines += ["", plain.table(rows, heads, empty="")]
    for suspect in one.suspects[:5]:
        lines.append(plain.clean(f"{'!' if suspect.blamed else ' '} {suspect.text}", 300))
    if one.also_changed:
        lines.append(plain.clean(f"  also changed with it: {', '.join(one.also_changed)}", 300))
    for clock in one.clocks:
        done = (
            f"filed by {clock.filed_by}"
            if clock.filed_at
            else "OVERDUE"
            if clock.overdue
            else f"due {_when(clock.due)}"
        )
        lines.append(plain.clean(f"clock {clock.regime} ({clock.law}): {done}", 300))
    if detail.rule:
        lines.append(plain.clean(f"standing rule {detail.rule.id}: {detail.rule.act} on reconnect, {len(detail.rule.waiting)} waiting, {detail.rule.state}"))  # fmt: skip
    for wave in one.waves:
        lines.append(
            plain.clean(f"{wave.option} {wave.version}: {wave.state}, {wave.done}/{wave.robots} ({wave.rollout})", 300)
        )
    if one.recovery:
        lines.append(plain.clean(f"recovery: {one.recovery}", 300))
    for ref in detail.follow_ups:
        lines.append(plain.clean(f"{ref.id} {ref.what} {ref.state} {ref.owner} {ref.ref or ref.note}", 300))
    if detail.gate:
        lines.append(plain.clean(f"waits: {detail.gate_question} (qd gates show {detail.gate})", 500))
    if robots:
        lines += ["", plain.table(_robots(detail), ("robot", "before", "now", "why"), empty="no robots")]
    if evidence:
        rows2 = [(name, digest) for name, digest in one.bundles]
        lines += ["", plain.table(rows2, ("robot", "bundle"), empty="no bundle is kept")]
        held = [(h.id, h.robot, h.state, h.purpose, h.reason) for h in detail.holds]
        lines += ["", plain.table(held, ("hold", "robot", "state", "for", "why"), empty="no holds")]
    if timeline:
        rows3 = [(_when(line.at), line.who, line.what) for line in one.timeline]
        lines += ["", plain.table(rows3, ("when", "who", "what"), empty="nothing yet")]
    return "\n".join(lines)


def _option(number: int, row: OptionRow, chosen: str) -> tuple[Any, ...]:
    estimate = f"{row.estimate_s / 60:.0f} min" if row.estimate_s is not None else "-"
    needs = "IC" if row.seats <= 1 else f"IC+{row.seats - 1}"
    note = row.note if row.feasible else f"not feasible: {row.note}"
    mark = ">" if row.kind == chosen else str(number)
    return (mark, row.title, f"{len(row.covered)}/{row.of}", estimate, "yes" if row.needs_idle else "no", row.case_valid, needs, note)  # fmt: skip


def _robots(detail: IncidentDetail) -> list[tuple[str, str, str, str]]:
    one = detail.incident
    left = {name: why for wave in one.waves[-1:] for name, why in wave.left}
    unsure = dict(one.unsure)
    names = sorted({*one.before, *one.affected, *unsure})
    return [(n, one.before.get(n, one.version), one.after.get(n, "-"), left.get(n) or unsure.get(n, "")) for n in names]


def _when(t: float) -> str:
    return time.strftime("%Y-%m-%d %H:%MZ", time.gmtime(t))


@incidents.command()
@click.argument("title")
@click.option(
    "--sev", type=click.IntRange(0, 4), default=0, show_default=True, help="1 is worst; 0 when nobody is sure."
)
@click.option("--version", default="", help="The version concerned.")
@click.option("--previous", default="", help="The version to go back to.")
@click.option("--forward", default="", help="A release that carries the old content under a new number.")
@click.option("--hotfix", default="", help="A release that fixes it.")
@click.option("--line", default="", help="The product line: its approvals are frozen.")
@click.option("--site", default="")
@click.option("--selector", default="", help="key:value terms; empty means all that run the version.")
@click.option("--robot", "robots", multiple=True, help="A robot that was part of it: it is held as it is.")
@_REASON
@DRY_RUN
@ONCE
@options
def declare(session: Session, *, title: str, dry_run: bool, ident: str, robots: tuple[str, ...], **given: Any) -> None:
    """Something is wrong. Rollouts of the version pause, robots leave dispatch, evidence is kept: at once."""
    args: dict[str, Json] = {"title": title, "robots": list(robots), **{k: v for k, v in given.items() if v}}
    answer = session.command("incident.declare", "", args, preview=dry_run, id=ident)
    session.done(answer, f"declared {plain.clean(answer.target)}: qd incidents show {plain.clean(answer.target)}")


def _act(name: str, verb: str, says: str, said: str, *more: Callable[[Any], Any], target: str = "incident") -> None:
    """A verb that is done when it is asked for. `said` follows the target."""

    @DRY_RUN
    @ONCE
    @options
    def command(session: Session, *, dry_run: bool, ident: str, **args: Any) -> None:
        about = args.pop(target.replace("-", "_"))
        given = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in args.items()
            if value not in ("", None, ())
        }
        answer: CommandAnswer = session.command(verb, about, given, preview=dry_run, id=ident)
        session.done(answer, f"{plain.clean(about)} {said}")

    for parameter in more:
        command = parameter(command)
    incidents.command(name, help=says)(click.argument(target)(command))  # the target is the first word


_OPTION = click.argument("option", type=click.Choice(OPTION_KINDS))

_act("take", "incident.take", "Take command; whoever had it is named.", "is yours to command", _REASON)
_act("contain", "incident.contain", "Contain now: rollouts pause, robots leave dispatch.", "is contained as far as it can be now", _REASON)  # fmt: skip
_act("choose", "incident.choose", "Freeze one way out; it goes to the gate, nothing is done yet.", "has a choice: its gate asks the others", _OPTION)  # fmt: skip
_act(
    "severity", "incident.severity", "Grade it.", "is graded", _REASON, click.argument("sev", type=click.IntRange(1, 4))
)
_act("update", "incident.update", "Tell everybody how it stands.", "was told to everybody", click.argument("text"))
_act("false-alarm", "incident.false-alarm", "It was none: what it took out goes back.", "is called a false alarm", _WHY)
_act("recurred", "incident.recurred", "It came back: the options are weighed anew.", "is weighed anew", _WHY)
_act(
    "rescope", "incident.rescope", "Look again at who is affected and what can be done.", "is scoped anew",
    click.option("--version", default=""), click.option("--selector", default=""), click.option("--previous", default=""),
    click.option("--forward", default=""), click.option("--hotfix", default=""), click.option("--robot", "robots", multiple=True),
)  # fmt: skip
_act(
    "change", "incident.change", "Name something that changed on robots: it is compared with the rest.", "knows of the change",
    click.argument("name"), click.option("--kind", default="change", type=click.Choice(["map", "config", "shift", "hardware", "change"])),
    click.option("--robot", "robots", multiple=True, required=True),
)  # fmt: skip
_act("clock", "incident.clock", "Record awareness: a regulatory clock starts. It can't be taken back.", "has a clock running", _WHY, click.argument("regime"))  # fmt: skip
_act("filed", "incident.filed", "A report was filed.", "is told that it was filed", click.option("--ref", default=""), click.argument("regime"))  # fmt: skip
_act("file", "followup.file", "A follow-up was filed: where it stands now.", "is filed", click.option("--ref", default=""), click.option("--note", default=""), target="follow-up")  # fmt: skip
_act("waive", "followup.waive", "A follow-up is not needed, and why.", "is waived", _WHY, target="follow-up")
_act("finish", "followup.done", "A follow-up is done: nothing of it is owed any more.", "is done", _REASON, target="follow-up")  # fmt: skip
_act("release", "hold.release", "Ask for a hold's release; two other people decide.", "is asked for: two people decide", _WHY, target="hold")  # fmt: skip


@incidents.command()
@click.argument("robot")
@click.option("--incident", default="", help="The incident it is about.")
@_WHY
@DRY_RUN
@ONCE
@options
def hold(session: Session, *, robot: str, incident: str, reason: str, dry_run: bool, ident: str) -> None:
    """A robot stays exactly as it is until two people release it; acts at once."""
    args: dict[str, Json] = {"robot": robot, "reason": reason, "incident": incident}
    answer = session.command("hold.place", "", args, preview=dry_run, id=ident)
    session.done(answer, f"{plain.clean(robot)} is on hold ({plain.clean(answer.target)})")


@incidents.command("holds")
@click.option("--state", default="active", show_default=True)
@options
def holds(session: Session, state: str) -> None:
    """Robots on hold."""
    rows = session.records("hold", HoldView, state=state)
    shown = [(h.id, h.robot, h.incident, h.purpose, h.state, h.reason) for h in rows]
    session.show(
        rows, lambda: plain.table(shown, ("hold", "robot", "incident", "for", "state", "why"), empty="no hold")
    )


@incidents.command("follow-ups")
@click.option("--state", default="open", show_default=True)
@options
def follow_ups(session: Session, state: str) -> None:
    """What is owed."""
    rows = session.records("followup", FollowUpView, state=state)
    shown = [(f.id, f.incident, f.what, f.owner, f.robot, f.ref or f.note) for f in rows]
    heads = ("follow-up", "incident", "what", "owner", "robot", "where")
    session.show(rows, lambda: plain.table(shown, heads, empty="nothing is owed"))


def _risky(name: str, verb: str, says: str, done: str, *more: Callable[[Any], Any]) -> None:
    @_WHY
    @click.option("--phrase", default="", help="The typed phrase, when it can't be typed here.")
    @click.option("--yes", is_flag=True, help="Take the phrase as it is now.")
    @DRY_RUN
    @ONCE
    @options
    def command(
        session: Session, *, incident: str, phrase: str, yes: bool, dry_run: bool, ident: str, **args: Any
    ) -> None:
        answer: CommandAnswer = risky(session, verb, incident, args, phrase=phrase, yes=yes, dry_run=dry_run, id=ident)
        session.done(answer, f"{plain.clean(incident)} {done}")

    for parameter in more:
        command = parameter(command)
    incidents.command(name, help=says)(click.argument("incident")(command))


_risky("break-glass", "incident.breakglass", "Do it on your word alone; somebody else reviews it within a day.", "is executed under break-glass", _OPTION)  # fmt: skip
_risky("release-rollouts", "incident.release-rollouts", "Let the version's rollouts go on while the incident is open.", "lets rollouts go on")  # fmt: skip
