"""`qd fleet`: robots and cohorts."""

from __future__ import annotations

import click

from app import plain
from app.cli.session import Session, options, part
from engine.contract.fleet import CohortView, RobotPage, RobotRow


@click.group()
def fleet() -> None:
    """Robots and cohorts."""


@fleet.command()
@click.option("--text", default="", help="Words to look for (site, variant, customer ...).")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--cursor", default="")
@options
def robots(session: Session, text: str, limit: int, cursor: str) -> None:
    """The fleet, as its owners report it."""
    page = session.get("/v1/robots", RobotPage, text=text, limit=limit, cursor=cursor)
    rows = [
        (
            r.id,
            r.site,
            r.variant,
            r.mode,
            r.desired,
            r.reported,
            "DRIFT" if r.drift else "",
            plain.moment(r.last_seen_at),
        )
        for r in page.rows
    ]
    heads = ("robot", "site", "variant", "mode", "desired", "reported", "", "last seen")
    session.show(page, lambda: plain.table(rows, heads, empty="no robots: is an update server configured?"))


@fleet.command()
@options
def cohorts(session: Session) -> None:
    """Frozen target lists."""
    found = session.get("/v1/cohorts", tuple[CohortView, ...])
    rows = [(c.id, c.robots, plain.moment(c.frozen_at), c.digest[:19], c.used_by, c.selector) for c in found]
    heads = ("cohort", "robots", "frozen", "digest", "used by", "selector")
    session.show(found, lambda: plain.table(rows, heads, empty="no cohort was frozen yet"))


@fleet.command()
@click.argument("robot")
@options
def show(session: Session, robot: str) -> None:
    """One robot."""
    found = session.get(f"/v1/robots/{part(robot)}", RobotRow)
    session.show(
        found, lambda: "\n".join(f"{name:<14} {plain.clean(value)}" for name, value in plain.full(found).items())
    )
