"""`qd rollouts`: staged rollouts."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from app import plain
from app.cli import pictures
from app.cli.filtering import FILTER, narrowed
from app.cli.session import DRY_RUN, ONCE, Session, inputs, options, part, risky
from engine.contract.common import CommandAnswer, Json
from engine.contract.rollouts import Counts, RolloutDetail, RolloutPage


@click.group()
def rollouts() -> None:
    """Staged rollouts: list, show, start, pause, promote, roll back."""


rollouts.add_command(pictures.sites)
rollouts.add_command(pictures.plot)


@rollouts.command("ls")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@FILTER
@options
def ls(session: Session, limit: int, words: str) -> None:
    """Rollouts, newest first."""
    page = session.get("/v1/rollouts", RolloutPage, limit=limit)
    page = msgspec.structs.replace(page, rows=narrowed(page.rows, words, now=page.as_of))
    rows = [
        (r.id, f"{r.artifact} {r.version}", r.cohort, r.robots, r.state, r.stage, r.verdict, r.sentence)
        for r in page.rows
    ]
    heads = ("rollout", "artifact", "cohort", "robots", "state", "stage", "verdict", "sentence")
    session.show(page, lambda: plain.table(rows, heads, empty="no rollout: qd rollouts start"))


@rollouts.command()
@click.argument("rollout")
@click.option("--robots", is_flag=True, help="Every robot, too.")
@click.option("--at", type=click.IntRange(0), default=0, metavar="EVENT", help="As it was after this event.")
@options
def show(session: Session, rollout: str, robots: bool, at: int) -> None:
    """One rollout: stages, signals, verdict, what could be undone; now or as it was."""
    detail = session.get(f"/v1/rollouts/{part(rollout)}", RolloutDetail, at=at)
    session.show(detail, lambda: _detail(detail, robots))


def _detail(detail: RolloutDetail, robots: bool) -> str:
    head = detail.rollout
    lines = [
        f"{head.id}  {head.artifact} {head.previous} -> {head.version}  {head.cohort}  {head.robots} robots  {head.state}",
        f"{head.verdict}: {head.sentence}" if head.verdict else head.sentence,
        _counts(head.counts),
    ]
    if head.waiting_on:
        lines.append(f"waits for {head.waiting_on}")
    lines = [plain.clean(line, 1000) for line in lines]
    stages = [
        (s.name, s.size, s.state, s.counts.executed, s.counts.failed, f"{s.exposure_h:.0f}/{s.exposure_needed_h:.0f} h")
        for s in detail.stages
    ]
    lines += [
        "",
        plain.table(stages, ("stage", "robots", "state", "executed", "failed", "exposure"), empty="no stages"),
    ]
    signals = [(s.flag or " ", s.name, s.canary, s.control, s.text) for s in detail.signals]
    if signals:
        lines += ["", plain.table(signals, ("", "signal", "canary", "control", "says"), empty="")]
    if plan := detail.rollback:
        blocked = "".join(f"\n  {robot} can't go back: {reason}" for robot, reason in plan.blocked)
        lines += [
            "",
            plain.clean(f"roll back: {plan.feasible} of {plan.robots} robots, ~{plan.estimate_s / 60:.0f} min"),
        ]
        lines += [plain.clean_lines(blocked)] if blocked else []
    if detail.owner is not None and detail.owner.limits:
        lines += ["", f"what {plain.clean(detail.owner.server or 'the update server')} can't do:"]
        lines += [plain.clean(f"  {what}: {why}", 400) for what, why in detail.owner.limits]
    if robots:
        rows = [
            (r.robot, r.stage, r.state, r.from_version, r.reported, r.first_error or r.reason) for r in detail.robots
        ]
        lines += ["", plain.table(rows, ("robot", "stage", "state", "from", "reports", "why"), empty="no robots")]
    return "\n".join(lines)


def _counts(c: Counts) -> str:
    return (
        f"plan {c.planned} eligible {c.eligible} deferred {c.deferred} offline {c.offline} | executed {c.executed} "
        f"ok {c.ok} failed {c.failed} timed out {c.timed_out} rejected {c.rejected} | unknown {c.unknown}"
    )


@rollouts.command()
@click.option("--input", "pairs", multiple=True, metavar="NAME=VALUE", help="One input; the value is JSON, else text.")
@click.option("--inputs", "file", metavar="FILE", help="All inputs as a JSON object (- for stdin).")
@click.option("--dry-run", is_flag=True, help="Say what would happen.")
@click.option("--id", "ident", default="", help="Idempotence: the same id starts one rollout.")
@options
def start(session: Session, pairs: tuple[str, ...], file: str | None, dry_run: bool, ident: str) -> None:
    """Start a staged rollout (its inputs: qd workflows show staged-rollout)."""
    answer = session.command("rollout.start", "", {"inputs": inputs(pairs, file)}, preview=dry_run, id=ident)
    session.done(answer, f"started {plain.clean(answer.target)}: qd rollouts show {plain.clean(answer.target)}")


_REASON = click.option("--reason", default="", help="Why; it is recorded.")


@rollouts.command()
@click.argument("rollout")
@_REASON
@DRY_RUN
@ONCE
@options
def pause(session: Session, rollout: str, reason: str, dry_run: bool, ident: str) -> None:
    """Nothing new starts; acts at once."""
    answer = session.command("rollout.pause", rollout, {"reason": reason}, preview=dry_run, id=ident)
    session.done(answer, f"{plain.clean(rollout)} is asked to pause")


@rollouts.command()
@click.argument("rollout")
@click.option("--robot", "robots", multiple=True, help="These robots alone (else all).")
@_REASON
@DRY_RUN
@ONCE
@options
def hold(session: Session, *, rollout: str, robots: tuple[str, ...], reason: str, dry_run: bool, ident: str) -> None:
    """Leave everything (or some robots) exactly as it is; acts at once."""
    args: dict[str, Json] = {"reason": reason, "robots": list(robots)}
    answer = session.command("rollout.hold", rollout, args, preview=dry_run, id=ident)
    session.done(answer, f"{plain.clean(rollout)} is held")


@rollouts.command()
@click.argument("rollout")
@click.option("--hours", type=float, required=True, help="How much longer to soak.")
@_REASON
@DRY_RUN
@ONCE
@options
def extend(session: Session, *, rollout: str, hours: float, reason: str, dry_run: bool, ident: str) -> None:
    """Soak longer before the verdict."""
    answer = session.command("rollout.extend", rollout, {"hours": hours, "reason": reason}, preview=dry_run, id=ident)
    session.done(answer, f"{plain.clean(rollout)} soaks {hours:g} h longer")


def _risky(name: str, says: str, done: str, *more: Any) -> None:
    """A verb that makes more happen: its blast radius is shown and a phrase is typed."""

    @click.argument("rollout")
    @_REASON
    @click.option("--phrase", default="", help="The typed phrase, when it can't be typed here.")
    @click.option("--yes", is_flag=True, help="Take the phrase as it is now.")
    @DRY_RUN
    @ONCE
    @options
    def command(
        session: Session, *, rollout: str, phrase: str, yes: bool, dry_run: bool, ident: str, **args: Any
    ) -> None:
        answer: CommandAnswer = risky(
            session, f"rollout.{name}", rollout, args, phrase=phrase, yes=yes, dry_run=dry_run, id=ident
        )
        session.done(answer, f"{plain.clean(rollout)} {done}")

    for parameter in more:
        command = parameter(command)
    rollouts.command(name, help=says)(command)


_risky("resume", "Go on after a pause.", "goes on")
_risky("promote", "Go to the next stage.", "goes to its next stage")
_risky(
    "rollback",
    "Put the robots back on what they had.",
    "is being rolled back",
    click.option("--scope", type=click.Choice(["stage", "all"]), default="all", show_default=True),
)
