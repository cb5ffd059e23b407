"""`qd data trainings`: training runs, their logs live, and what stops them."""

from __future__ import annotations

import time
from typing import Any

import click

from app import plain
from app.cli.session import ONCE, Session, options, part
from engine.contract.datasets import TrainingLog, TrainingView

POLL_S = 0.5


@click.group()
def trainings() -> None:
    """Training runs: list, show, follow the log, cancel."""


@trainings.command("ls")
@click.option("--state", default="", help="submitted, running, preempted, succeeded, failed, cancelled.")
@options
def ls(session: Session, state: str) -> None:
    """Trainings, newest change first."""
    rows = session.records("training", TrainingView, state=state)
    table = [
        (t.id, t.state, t.snapshot, t.line, t.seed, f"{t.done}/{t.of} {t.unit}", f"{t.spent_s:.0f}/{t.budget_s:.0f} s", t.preemptions,
         (t.checkpoint.digest[7:19] if t.checkpoint else t.error) or "-")
        for t in rows
    ]  # fmt: skip
    heads = ("training", "state", "snapshot", "line", "seed", "progress", "spent", "preempted", "checkpoint")
    session.show(rows, lambda: plain.table(table, heads, empty="no training yet"))


@trainings.command()
@click.argument("training")
@options
def show(session: Session, training: str) -> None:
    """One training."""
    t = session.record("training", training, TrainingView)

    def told() -> str:
        lines = [
            f"{t.id}  {t.state}  {t.snapshot}  line {t.line}  seed {t.seed}  on {t.pool}",
            f"{t.done}/{t.of} {t.unit}   spent {t.spent_s:.1f} of {t.budget_s:.0f} s   preempted {t.preemptions} times, try {t.tries}",
            f"recipe {t.program} {t.recipe_digest}",
            f"data {t.root_digest}",
            "metrics " + ", ".join(f"{name} {value}" for name, value in t.metrics.items()),
            f"checkpoint {t.checkpoint.digest} {t.checkpoint.size} bytes"
            if t.checkpoint
            else "no checkpoint counts yet",
            *(f"  at {one.step}: {one.digest} {one.name}" for one in t.checkpoints),
        ]
        lines += [f"{t.error}: {t.message}"] if t.error else []
        return "\n".join(plain.clean(line) for line in lines)

    session.show(t, told)


@trainings.command()
@click.argument("training")
@click.option("--follow", "-f", is_flag=True, help="Go on until it has ended.")
@options
def log(session: Session, training: str, follow: bool) -> None:
    """What the program said."""
    at = 0
    while True:
        piece = session.get(f"/v1/trainings/{part(training)}/log", TrainingLog, offset=at)
        if session.json:
            click.echo(plain.as_json(piece, indent=False))
        elif piece.text:
            click.echo(plain.clean_lines(piece.text))
        more = piece.next > at
        at = max(at, piece.next)
        if not more:
            if piece.ended or not follow:
                return
            time.sleep(POLL_S)


def _verb(name: str, says: str, done: str, *more: Any) -> None:
    @click.argument("training")
    @ONCE
    @options
    def command(session: Session, *, training: str, ident: str, **args: Any) -> None:
        session.done(session.command(f"training.{name}", training, args, id=ident), f"{plain.clean(training)} {done}")

    for parameter in more:
        command = parameter(command)
    trainings.command(name, help=says)(command)


_verb(
    "cancel", "End a training.", "is asked to end", click.option("--reason", required=True, help="Why; it is recorded.")
)
_verb(
    "preempt",
    "Give its machine back; it goes on from its newest checkpoint.",
    "is asked to save and stop",
    click.option("--reason", default="", help="Why; it is recorded."),
)
