"""The pictures of the console as text: `qd runs graph`, `qd runs timeline`, `qd rollouts map`, `qd rollouts plot`.

They are drawn by what draws the screens (`screens.pictures`), which is loaded when one is asked for. `--json` gives what
the picture was made of.
"""

from __future__ import annotations

import calendar
import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from app import plain
from app.cli.session import REFUSED, Session, end, options, part
from engine.contract.common import View
from engine.contract.rollouts import RolloutDetail, RolloutPage
from engine.contract.runs import EventPage, EventView, RunDetail
from themes import glyphs

LEAST = 40
PIPED = 120
"""Cells of a picture that is not printed to a terminal."""
_EVENTS = 1000

WIDTH = click.option(
    "--width", type=click.IntRange(LEAST, 500), default=None, help="Cells; else those of the terminal, or 120."
)


def cells(width: int | None) -> int:
    """How wide a picture is drawn."""
    if width:
        return width
    return max(LEAST, shutil.get_terminal_size((80, 24)).columns - 1) if sys.stdout.isatty() else PIPED


def text(lines: Sequence[Any]) -> str:
    """Lines of parts as text for this terminal: cleaned, and without signs it can't show."""
    from screens.widgets.parts import plain as said

    glyphs.settle(os.environ)
    return "\n".join(glyphs.shown(plain.clean(said(line), 2000)).rstrip() for line in lines)


@click.command()
@click.argument("run")
@click.option(
    "--zoom", type=click.IntRange(0, 2), default=1, show_default=True, help="0 taken, 1 main ways, 2 everything."
)
@WIDTH
@options
def graph(session: Session, *, run: str, zoom: int, width: int | None) -> None:
    """A run's definition with the ways taken, open and gone."""
    detail = session.get(f"/v1/runs/{part(run)}", RunDetail)

    def drawn() -> str:
        from screens.pictures import graph as picture

        now = session.now()
        found = picture.Picture(detail, now)
        lines = picture.lines(detail, now, cells(width), zoom=zoom)
        head = [f"{detail.run.id}  {detail.definition}  {detail.run.status}  ", (picture.counts(found, zoom), "muted")]
        return text([head, "", *lines])

    session.show(detail, drawn)


@click.command()
@click.argument("run")
@click.option(
    "--from",
    "first",
    default="",
    metavar="TIME",
    help="Where it begins (UTC): 2026-11-02 08:30, 08:30, or -2h before now.",
)
@click.option("--to", "last", default="", metavar="TIME", help="Where it ends.")
@WIDTH
@options
def timeline(session: Session, *, run: str, first: str, last: str, width: int | None) -> None:
    """A run's steps over time: tries, pauses, waits, gates, deadlines."""
    detail = session.get(f"/v1/runs/{part(run)}", RunDetail)
    now = session.now()
    begin, end = moment(first, now, "--from"), moment(last, now, "--to")

    def drawn() -> str:
        from screens.pictures import gantt

        whole = gantt.whole(detail, now)
        window = gantt.Window(whole.first if begin is None else begin, whole.last if end is None else end)
        if window.seconds < gantt.LEAST_S:
            raise click.UsageError("--to is not after --from")
        return text(gantt.lines(detail, now, cells(width), window=window, events=_events(session, run)))

    session.show(Timeline(run=detail, first=begin, last=end), drawn)


@click.command("map")
@click.argument("rollout", default="")
@click.option("--by", type=click.Choice(["site", "variant"]), default="site", show_default=True)
@WIDTH
@options
def sites(session: Session, *, rollout: str, by: str, width: int | None) -> None:
    """A rollout's robots by site and stage, a sign for each. Without a ROLLOUT the newest."""
    detail = _rollout(session, rollout)

    def drawn() -> str:
        from screens.pictures import sites as picture
        from screens.rollout_view import title

        room = cells(width)
        return text([title(detail, session.now(), room), "", *picture.lines(detail, room, by=by)])

    session.show(detail, drawn)


@click.command()
@click.argument("rollout", default="")
@click.option(
    "--height", type=click.IntRange(8, 200), default=40, show_default=True, help="Lines, all signals together."
)
@WIDTH
@options
def plot(session: Session, *, rollout: str, height: int, width: int | None) -> None:
    """A rollout's signals over time: canary, control and its band, E, and the verdicts. Without a ROLLOUT the newest."""
    detail = _rollout(session, rollout)

    def drawn() -> str:
        from screens import rollout_plots
        from screens.rollout_view import title

        glyphs.settle(os.environ)
        now, room = session.now(), cells(width)
        lines = rollout_plots.plot_lines(detail, now, room, height, ascii=not glyphs.braille())
        return text([title(detail, now, room), "", *lines])

    session.show(detail, drawn)


def _rollout(session: Session, rollout: str) -> RolloutDetail:
    if not rollout:
        newest = session.get("/v1/rollouts", RolloutPage, limit=1).rows
        if not newest:
            end("no rollout yet: qd rollouts start", REFUSED)
        rollout = newest[0].id
    return session.get(f"/v1/rollouts/{part(rollout)}", RolloutDetail)


class Timeline(View, frozen=True, kw_only=True):
    """What a timeline is drawn of; `first` and `last` only where they were asked for (UTC epoch s)."""

    run: RunDetail
    first: float | None = None
    last: float | None = None


def _events(session: Session, run: str) -> list[EventView]:
    """The run's events, for its tries; of a very long history the first ten thousand."""
    found: list[EventView] = []
    after = 0
    while len(found) < 10 * _EVENTS:
        page = session.get(f"/v1/runs/{part(run)}/events", EventPage, after=after, limit=_EVENTS)
        found += page.rows
        if not page.rows or page.next is None:
            break
        after = page.rows[-1].seq
    return found


def moment(said: str, now: float, option: str) -> float | None:
    """A time as people give it: a date and time, a time of today, or so long before now (`-90m`); None for nothing."""
    if not said:
        return None
    word = said.strip().removesuffix("Z").replace("T", " ")
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    if word.startswith(("-", "+")) and word[-1:] in units:
        try:
            return now + float(word[:-1]) * units[word[-1]]
        except ValueError:
            pass
    day = time.strftime("%Y-%m-%d", time.gmtime(now))
    for text_, form in (
        (word, "%Y-%m-%d %H:%M:%S"),
        (word, "%Y-%m-%d %H:%M"),
        (word, "%Y-%m-%d"),
        (f"{day} {word}", "%Y-%m-%d %H:%M:%S"),
        (f"{day} {word}", "%Y-%m-%d %H:%M"),
    ):
        try:
            return float(calendar.timegm(time.strptime(text_, form)))
        except ValueError:
            continue
    raise click.UsageError(f"{option}: {plain.clean(said, 40)!r} is no time; write 2026-11-02 08:30, 08:30 or -2h")
