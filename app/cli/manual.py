"""`qd manual`: the same pages that F1 opens, for reading without the console."""

from __future__ import annotations

import difflib
import shutil

import click

from app import plain
from app.cli.session import REFUSED, end
from app.manual import book
from screens.manual_text import lay, text

WIDEST = 100


@click.command()
@click.argument("page", required=False, default="contents")
@click.option("--search", "words", metavar="WORDS", help="Places that hold all of these words.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def manual(*, page: str, words: str | None, as_json: bool) -> None:
    """The manual: PAGE is a page, a screen, or the code of an error (`qd manual phrase_required`)."""
    pages = book()
    if words is not None:
        found = pages.search(words)
        if as_json:
            rows = [{"page": one.target, "heading": one.heading, "excerpt": one.excerpt} for one in found]
            click.echo(plain.as_json(rows))
            return
        for one in found:
            click.echo(f"{one.target}\n    {one.excerpt}")
        if not found:
            end(f"nothing in the manual holds all of: {plain.clean(words)}", REFUSED)
        return
    target = pages.resolve(page)
    if not target:
        names = [name for name in pages.pages if name != "contents"]
        near = difflib.get_close_matches(page, names, 1)
        hint = f"; did you mean {near[0]}?" if near else "; qd manual lists them, qd manual --search finds words"
        end(f"the manual has no page {plain.clean(page)!r}{hint}", REFUSED)
    name, _, place = target.partition("#")
    leaf = pages.open(name)
    laid = lay(leaf, min(WIDEST, shutil.get_terminal_size().columns))
    shown = text(laid)
    if place:
        shown = _section(shown.split("\n"), laid.places, place)
    if as_json:
        click.echo(plain.as_json({"page": name, "place": place, "title": leaf.title, "text": shown}))
    else:
        click.echo(shown)
        if name == "contents":
            click.echo("\nqd manual PAGE, by these names: " + " ".join(one for one in pages.pages if one != "contents"))


def _section(lines: list[str], places: dict[str, int], place: str) -> str:
    """From a heading to the next."""
    start = places[place]
    after = min((line for line in places.values() if line > start), default=len(lines))
    return "\n".join(lines[start:after]).rstrip()
