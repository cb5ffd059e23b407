"""`qd calendar`: what lies ahead."""

from __future__ import annotations

import click

from app.cli import pictures
from app.cli.session import Session, options
from engine.contract.calendar import CalendarView


@click.command()
@click.option("--days", type=click.FloatRange(0.1, 35), default=7, show_default=True)
@click.option(
    "--from", "first", default="", metavar="TIME", help="Where it begins (UTC; now): 2026-11-02, 08:30, +2d from now."
)
@pictures.WIDTH
@options
def calendar(session: Session, *, days: float, first: str, width: int | None) -> None:
    """Windows as stretches of time, and whatever ends, is due or is waited for."""
    begin = pictures.moment(first, session.now(), "--from") if first else None
    view = session.get("/v1/calendar", CalendarView, days=f"{days:g}", **({"from": f"{begin:.0f}"} if begin else {}))

    def drawn() -> str:
        from screens.pictures import ahead

        return pictures.text(ahead.lines(view, pictures.cells(width)))

    session.show(view, drawn)
