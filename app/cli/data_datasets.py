"""`qd data datasets`: what is collected, and why."""

from __future__ import annotations

import json
from typing import Any

import click

from app import plain
from app.cli.session import DRY_RUN, ONCE, Session, inputs, options
from engine.contract.common import Json
from engine.contract.datasets import DatasetView


@click.group()
def datasets() -> None:
    """Datasets: list, describe one before data comes, archive."""


@datasets.command("ls")
@click.option("--state", default="", help="active, archived.")
@options
def ls(session: Session, state: str) -> None:
    """Datasets, newest change first."""
    rows = session.records("dataset", DatasetView, state=state)
    table = [(d.id, d.state, d.line, d.newest or "-", d.versions, len(d.strata), d.owner, d.purpose) for d in rows]
    heads = ("dataset", "state", "line", "newest", "versions", "cells", "owner", "purpose")
    session.show(rows, lambda: plain.table(table, heads, empty="no dataset yet: qd data datasets create NAME"))


@datasets.command()
@click.argument("dataset")
@click.option("--line", default="", help="The model line that is trained, such as pick.")
@click.option("--purpose", default="", help="What it is for.")
@click.option(
    "--stratum",
    "strata",
    multiple=True,
    metavar="JSON",
    help='A cell: {"dims": {"task": "*", "site": "HAM2"}, "need": 20}',
)
@click.option("--recipe", "pairs", multiple=True, metavar="NAME=VALUE", help="One value of the training recipe.")
@click.option("--region", default="", help="Region whose rules it follows.")
@click.option("--licence", default="", help="Its licence.")
@click.option("--consent", default="", help="Basis of recordings that name none, such as operator-consent.")
@click.option("--reason", default="", help="Why; it is recorded.")
@DRY_RUN
@ONCE
@options
def create(
    session: Session,
    *,
    dataset: str,
    strata: tuple[str, ...],
    pairs: tuple[str, ...],
    dry_run: bool,
    ident: str,
    **more: Any,
) -> None:
    """Describe a dataset before any data comes."""
    args: dict[str, Json] = {"dataset": dataset, **{name: value for name, value in more.items() if value}}
    try:
        args["strata"] = [json.loads(one) for one in strata]
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"--stratum: not JSON: {error}") from error
    args["recipe"] = inputs(pairs, None)
    answer = session.command("dataset.create", "", args, preview=dry_run, id=ident)
    session.done(answer, f"dataset {plain.clean(dataset)} is described")


@datasets.command()
@click.argument("dataset")
@click.option("--reason", required=True, help="Why; it is recorded.")
@DRY_RUN
@ONCE
@options
def archive(session: Session, *, dataset: str, reason: str, dry_run: bool, ident: str) -> None:
    """Nothing more is built from it."""
    answer = session.command("dataset.archive", dataset, {"reason": reason}, preview=dry_run, id=ident)
    session.done(answer, f"{plain.clean(dataset)} is archived")
