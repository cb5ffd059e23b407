"""A run over time: a bar for each visit of a step, its tries and pauses inside it, gates and waits drawn as what they are.

Pure: a `RunDetail` (and, where they are known, its events, for the tries), the engine's time and a window in; rows out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from engine.contract.runs import EventView, RunDetail, StepView
from screens import run_views
from screens.model import age
from screens.pictures.lanes import joined
from screens.widgets.parts import Part, fit, width
from screens.widgets.rows import Cells

BARS = {"action": "\u2501", "child": "\u2501", "gate": "\u2592", "wait": "\u00b7", "observe": "\u2500", "map": "\u2500"}
"""What goes on in a step of a kind; steps that take no time (choice, emit) are a point."""
POINT, FAILED, GOING, DUE, NOW, PAUSE = "\u25c6", "\u2717", "\u25b8", "\u2502", "\u250a", "\u00b7"
LEGEND: list[Part] = [
    (
        "\u2501 acts  \u2592 asks people  \u2500 observes  \u00b7 waits  \u2717 failed  \u25c6 point  \u2502 due  \u250a now",
        "muted",
    )
]
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
"""Seconds between two marks of an axis; beyond a day, whole days."""
LEAST_S = 1.0
"""A window is never narrower."""


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch of time that is looked at, UTC epoch seconds."""

    first: float
    last: float

    @property
    def seconds(self) -> float:
        return self.last - self.first

    def zoomed(self, factor: float, around: float) -> Window:
        """Narrower (`factor` below one) or wider, with `around` where it is now."""
        at = min(max(around, self.first), self.last)
        size = max(LEAST_S, self.seconds * factor)
        share = (at - self.first) / self.seconds if self.seconds else 0.5
        return Window(at - size * share, at + size * (1 - share))

    def moved(self, share: float) -> Window:
        """To the right by a share of itself; to the left when negative."""
        return Window(self.first + share * self.seconds, self.last + share * self.seconds)

    def cell(self, at: float, cells: int) -> int:
        """The cell of a moment; below 0 or from `cells` on when it lies outside."""
        return int((at - self.first) // max(self.seconds / cells, 1e-9))


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt: from when to when, and whether it failed. `end` None: still going."""

    start: float
    end: float | None
    failed: bool = False


def whole(detail: RunDetail, now: float) -> Window:
    """From the beginning to the end, or to now and a little more."""
    begin = min([detail.run.started_at, *(step.started_at for step in detail.steps if step.started_at)])
    end = detail.run.ended_at or max([now, *(step.ended_at or 0.0 for step in detail.steps)])
    end = max(end, begin + LEAST_S)
    return Window(begin, end + (end - begin) * (0.0 if detail.run.ended_at else 0.03))


def tries(events: Iterable[EventView]) -> dict[str, list[Try]]:
    """Attempts by path of the step, from what was recorded. Only a step that was tried more than once has any."""
    open_: dict[str, float] = {}
    found: dict[str, list[Try]] = defaultdict(list)
    for event in events:
        data = event.data if isinstance(event.data, Mapping) else {}
        scope, step = str(data.get("scope", "")), str(data.get("step", ""))
        if not step:
            continue
        path = f"{scope}.{step}" if scope else step
        if event.type == "StepScheduled" and data.get("undo") is None:
            open_[path] = event.at
        elif event.type in ("StepFailed", "StepCompleted", "StepTimedOut", "StepInDoubt") and path in open_:
            found[path].append(Try(open_.pop(path), event.at, event.type != "StepCompleted"))
    for path, start in open_.items():
        found[path].append(Try(start, None))
    return {path: one for path, one in found.items() if len(one) > 1}


def axis(window: Window, cells: int) -> str:
    """Times along the top: `08:30     08:45     09:00`. Each stands where it begins."""
    least = window.seconds * 9 / max(1, cells)
    step = next((float(s) for s in STEPS if s >= least), 86_400.0 * max(1, -(-least // 86_400)))
    line = [" "] * cells
    at = -(-window.first // step) * step
    free = 0
    while at <= window.last:
        text, place = _label(at, step), window.cell(at, cells)
        if free <= place and place + len(text) <= cells:
            line[place : place + len(text)] = text
            free = place + len(text) + 1
        at += step
    return "".join(line).rstrip()


def _label(at: float, step: float) -> str:
    when = datetime.fromtimestamp(at, UTC)
    if step >= 86_400 or (when.hour, when.minute, when.second) == (0, 0, 0):
        return f"\u2575{when:%d %b}"
    return f"\u2575{when:%H:%M:%S}" if step < 60 else f"\u2575{when:%H:%M}"


def bar(step: StepView, window: Window, cells: int, now: float, attempts: Sequence[Try] = ()) -> list[Part]:
    """One visit as exactly `cells` cells."""
    line: list[tuple[str, str]] = [(" ", "")] * cells

    def put(place: int, character: str, tone: str = "") -> None:
        if 0 <= place < cells:
            line[place] = (character, tone)

    put(window.cell(now, cells), NOW, "muted")
    if step.due and step.ended_at is None:
        put(window.cell(step.due, cells), DUE, "caution")
    if step.started_at is None:
        return joined(line)
    _, tone = run_views.STATUS.get(step.status, ("?", ""))
    tone = tone if tone != "strong" else ""
    first = window.cell(step.started_at, cells)
    end = step.ended_at if step.ended_at is not None else now
    last = window.cell(end, cells)
    if step.kind in ("choice", "emit"):
        put(first, POINT, tone)
    else:
        character = BARS.get(step.kind, "\u2501")
        for place in range(max(0, first), min(last, cells - 1) + 1):
            put(place, character, tone)
        mine = [one for one in attempts if one.start < end and (one.end is None or one.end > step.started_at)]
        for one, after in pairwise(mine):
            for place in range(window.cell(one.end or end, cells) + 1, window.cell(after.start, cells)):
                put(place, PAUSE, "muted")
            if one.failed and one.end is not None:
                put(window.cell(one.end, cells), FAILED, "caution")
        if step.status == "failed":
            put(last, FAILED, "alarm")
        elif step.ended_at is None:
            put(last, GOING, "strong")
    if last < 0:
        put(0, "\u2039", "muted")  # it lies before the window
    elif first >= cells:
        put(cells - 1, "\u203a", "muted")
    return joined(line)


def rows(
    detail: RunDetail,
    now: float,
    window: Window,
    cells: int,
    attempts: Mapping[str, Sequence[Try]] | None = None,
) -> list[tuple[str, Cells]]:
    """A row for each visit, oldest first: (step and state, took, bar, began). Its key is `path fence`."""
    found: list[tuple[str, Cells]] = []
    for step in sorted(detail.steps, key=lambda one: (one.started_at or float("inf"), one.fence)):
        glyph, tone = run_views.STATUS.get(step.status, ("?", ""))
        name: list[Part] = [(f"{glyph} ", tone) if tone else f"{glyph} ", step.path]
        if step.status not in ("completed", "scheduled"):
            name.append((f" {step.status.replace('_', ' ')}", tone or "muted"))
        if step.attempt > 1:
            name.append((f" try {step.attempt}", "caution" if step.ended_at is None else "muted"))
        held = step.started_at is not None and step.ended_at is not None
        took: Part = age((step.ended_at or 0) - (step.started_at or 0)) if held else ("\u2026", "muted")
        drawn = bar(step, window, cells, now, (attempts or {}).get(step.path, ()))
        began: Part = (f"{datetime.fromtimestamp(step.started_at, UTC):%H:%M:%S}" if step.started_at else "", "muted")
        found.append((f"{step.path} {step.fence}", (name, took, drawn, began)))
    return found


def lines(
    detail: RunDetail,
    now: float,
    cells: int,
    *,
    window: Window | None = None,
    events: Iterable[EventView] = (),
) -> list[list[Part]]:
    """The same as text of at most `cells`: axis, bars, and what the marks mean."""
    if not detail.steps:
        return [[("No step has begun.", "muted")]]
    shown = window or whole(detail, now)
    name = min(max(12, cells // 3), max(width(row[0]) for _, row in rows(detail, now, shown, 1)))  # type: ignore[index]
    room = max(10, cells - name - 11)
    out: list[list[Part]] = [[(" " * (name + 10) + axis(shown, room), "muted")]]
    for _, row in rows(detail, now, shown, room, tries(events)):
        first, took, drawn, _ = row  # type: ignore[misc]
        line: list[Part] = [*fit(first, name), "  ", *fit(took, 7, "right"), " ", *drawn]
        out.append(line)
    return [*out, [""], list(fit(LEGEND, cells))]
