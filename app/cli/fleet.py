"""`qd fleet`: robots and cohorts."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from app import plain
from app.cli.filtering import FILTER, narrowed
from app.cli.gateways import gateways
from app.cli.session import Session, options, part, risky
from engine.contract.common import Json
from engine.contract.fleet import CohortView, RobotPage, RobotRow
from engine.contract.robots import RobotRecord


@click.group()
def fleet() -> None:
    """Robots, cohorts and gateways."""


fleet.add_command(gateways)


@fleet.command()
@click.option("--text", default="", help="Words to look for (site, variant, customer ...).")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--cursor", default="")
@FILTER
@options
def robots(session: Session, *, text: str, limit: int, cursor: str, words: str) -> None:
    """The fleet, as its owners report it."""
    page = session.get("/v1/robots", RobotPage, text=text, limit=limit, cursor=cursor)
    page = msgspec.structs.replace(page, rows=narrowed(page.rows, words, now=page.as_of))
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


@fleet.command()
@click.argument("robot")
@options
def record(session: Session, robot: str) -> None:
    """Our own record of a robot: in service or out, what keeps it out, the serial numbers it has had."""
    found = session.record("robot", robot, RobotRecord)

    def text() -> str:
        holds = ", ".join(found.holds) or "nothing"
        was = "; ".join(f"{one.serial} until {plain.moment(one.until)} ({one.reason})" for one in found.serial_history)
        lines = [
            f"{found.id}  {found.state}  {'gets tasks' if found.dispatchable else 'gets no tasks'}",
            f"serial {found.serial or '-'}" + (f", before that {was}" if was else ""),
            f"{found.site}  {found.variant}  {found.customer}  software {found.software or '-'}",
            f"kept out by {holds}" + (f", under control lease {found.lease}" if found.lease else ""),
        ]
        return "\n".join(plain.clean(line, 1000) for line in lines)

    session.show(found, text)


def _risky(name: str, says: str, done: str, *parameters: Any) -> None:
    """A verb on a robot's record: what it does is shown and a phrase is typed."""

    @click.option("--reason", required=True, help="Why; it is recorded.")
    @click.option("--phrase", default="", help="The typed phrase, when it can't be typed here.")
    @click.option("--yes", is_flag=True, help="Take the phrase as it is now.")
    @click.option("--dry-run", is_flag=True, help="Say what would happen.")
    @options
    def command(session: Session, *, robot: str, phrase: str, yes: bool, dry_run: bool, **given: Any) -> None:
        args: dict[str, Json] = dict(given)
        answer = risky(session, f"robot.{name}", robot, args, phrase=phrase, yes=yes, dry_run=dry_run)
        session.done(answer, f"{plain.clean(robot)} {done}")

    for parameter in reversed(parameters):
        command = parameter(command)
    fleet.command(name, help=says)(click.argument("robot")(command))


_risky(
    "reidentify",
    "Record another serial number: the same robot with a changed board.",
    "has its new serial",
    click.argument("serial"),
)
_risky("retire", "Take a robot out for good.", "is retired")
