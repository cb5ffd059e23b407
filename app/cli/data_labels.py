"""`qd data labels`: the label queue on the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from app import plain
from app.cli.session import ONCE, Session, options
from engine.contract.common import Json
from engine.contract.datasets import AnnotationView, LabelTaskView


@click.group()
def labels() -> None:
    """Label tasks: list, take, hand in, audit."""


@labels.command("ls")
@click.option("--state", default="open,claimed", show_default=True, help="open, claimed, submitted, accepted, dropped.")
@click.option("--snapshot", default="", help="Of this snapshot alone.")
@click.option("--mine", default="", metavar="NAME", help="Taken by this person.")
@options
def ls(session: Session, *, state: str, snapshot: str, mine: str) -> None:
    """Tasks, those that wait first."""
    where = {name: value for name, value in (("snapshot", snapshot), ("assignee", mine)) if value}
    rows = session.records("label_task", LabelTaskView, state=state, where=where)
    table = [
        (t.id, t.state, t.purpose, t.session, t.task, t.site, f"{t.duration_s:.0f} s", t.assignee or "-", t.why)
        for t in rows
    ]
    heads = ("task", "state", "purpose", "session", "task", "site", "length", "with", "why")
    session.show(rows, lambda: plain.table(table, heads, empty="nothing waits for labels"))


@labels.command()
@click.argument("task")
@options
def show(session: Session, task: str) -> None:
    """One task: what is asked, what was said."""
    found = session.record("label_task", task, LabelTaskView)
    note = found.annotation or found.audits
    said = session.record("annotation", note, AnnotationView) if note else None

    def told() -> str:
        lines = [
            f"{found.id}  {found.purpose}  {found.state}  {found.session}  {found.duration_s:.1f} s  {found.assignee or 'nobody has it'}"
        ]
        lines += [
            f"  {one.name} ({one.kind}{', required' if one.required else ''}): {', '.join(one.values) or f'{one.minimum} to {one.maximum}'}"
            for one in found.schema.fields
        ]
        for place, one in enumerate(said.labels if said else ()):
            when = f"{one.t0:.1f}-{one.t1:.1f} s" if one.t0 >= 0 else "whole"
            lines.append(f"  [{place}] {one.name} {one.value} {when} {'WRONG' if said and place in said.wrong else ''}")
        return "\n".join(plain.clean(line) for line in lines)

    session.show(found, told)


@labels.command()
@click.argument("task")
@ONCE
@options
def claim(session: Session, task: str, ident: str) -> None:
    """Take a task."""
    session.done(session.command("label.claim", task, id=ident), f"{plain.clean(task)} is yours")


@labels.command()
@click.argument("task")
@ONCE
@options
def release(session: Session, task: str, ident: str) -> None:
    """Give a task back."""
    session.done(session.command("label.release", task, id=ident), f"{plain.clean(task)} is open again")


@labels.command()
@click.argument("task")
@click.option(
    "--label", "given", multiple=True, metavar="NAME=VALUE[@T0-T1]", help="One label, e.g. phase=grasp@1.5-3."
)
@click.option("--file", "file", metavar="FILE", help="Labels as JSON: a list of {name, value, t0, t1} (- for stdin).")
@click.option("--note", default="")
@ONCE
@options
def submit(session: Session, *, task: str, given: tuple[str, ...], file: str | None, note: str, ident: str) -> None:
    """Hand labels in."""
    found: list[Json] = [_label(one) for one in given]
    if file:
        try:
            loaded = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text("utf-8"))
        except OSError as error:
            raise click.UsageError(f"{file}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise click.UsageError(f"{file}: not JSON: {error}") from error
        if not isinstance(loaded, list):
            raise click.UsageError(f"{file}: labels are one JSON list")
        found += loaded
    answer = session.command("label.submit", task, {"labels": found, "note": note}, id=ident)
    session.done(answer, f"{plain.clean(task)} handed in: {len(found)} labels")


@labels.command()
@click.argument("task")
@click.option("--wrong", "wrong", multiple=True, type=click.IntRange(0), help="Place of a label that is wrong.")
@click.option("--note", default="")
@ONCE
@options
def audit(session: Session, *, task: str, wrong: tuple[int, ...], note: str, ident: str) -> None:
    """Say which of another person's labels are wrong (none, when all are right)."""
    answer = session.command("label.audit", task, {"wrong": list(wrong), "note": note}, id=ident)
    session.done(answer, f"{plain.clean(task)} audited: {len(wrong)} wrong")


def _label(text: str) -> dict[str, Json]:
    name, sign, rest = text.partition("=")
    value, at, when = rest.partition("@")
    if not sign or not name or not value:
        raise click.UsageError(f"--label wants name=value or name=value@from-to, not {text!r}")
    label: dict[str, Json] = {"name": name, "value": value}
    if at:
        t0, dash, t1 = when.partition("-")
        try:
            label |= {"t0": float(t0), "t1": float(t1)}
        except ValueError as error:
            raise click.UsageError(f"--label: {when!r} is no span: write 1.5-3") from error
        if not dash:
            raise click.UsageError(f"--label: {when!r} is no span: write 1.5-3")
    return label
