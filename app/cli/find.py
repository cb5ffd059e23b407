"""`qd find`: anything by its id or a word of its name, as the palette of the console finds it."""

from __future__ import annotations

import click

from app import plain
from app.cli.session import Session, options
from engine.contract.search import FoundPage


@click.command()
@click.argument("text")
@click.option("--kind", "kinds", default="", help="One kind, or several with commas: run, gate, robot, case ...")
@click.option("--limit", type=click.IntRange(1, 200), default=30, show_default=True)
@options
def find(session: Session, text: str, kinds: str, limit: int) -> None:
    """Find anything by its id or a word of its name, best first."""
    page = session.get("/v1/search", FoundPage, text=text, kinds=kinds, limit=limit)
    rows = [
        (one.kind, one.id, one.state or "-", plain.moment(one.at) if one.at else "-", one.title) for one in page.rows
    ]
    told = plain.table(rows, ("kind", "id", "state", "changed", "what"), empty="nothing here is called that")
    more = "\n(there may be more: a longer word finds it)" if page.cut else ""
    session.show(page, lambda: told + more)
