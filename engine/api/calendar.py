"""What lies ahead, in one answer: the windows of the policy as stretches of time, and whatever ends or is due.

What ends has one home, the shift's report (`engine.capabilities.oncall.report`); what runs wait for is read from their timers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from engine.api.problems import Denied
from engine.capabilities.oncall.report import ends
from engine.capabilities.reads import Look
from engine.capabilities.windows import Window
from engine.contract.calendar import CalendarView, WindowView
from engine.contract.oncall import ShiftLine

DAY = 86_400.0
USUAL_D, LONGEST_D = 7, 35
MOST = 400
"""Deadlines in one answer."""
_CHANGES = 2_000
"""Borders of a window in one answer: one that opens more often than every half hour for a month is no window."""
QUERIES = ("from", "days")
_WAITS = {
    "wait": "waits until then",
    "window": "is held by a window",
    "observe_end": "is watched until then",
    "deadline": "the run's own deadline",
}
"""What timers of a run people look at; tries, samples and reminders are its own business, gates are told as such."""


def view(calendar: Mapping[str, Window], look: Look, query: Mapping[str, str]) -> CalendarView:
    """From `from` (epoch seconds; now when empty) for `days`."""
    now = look.now()
    start = _number(query, "from", now)
    days = _number(query, "days", USUAL_D)
    if not 0 < days <= LONGEST_D:
        raise Denied(422, "bad_input", f"days is more than 0 and at most {LONGEST_D}", field="days")
    end = start + days * DAY
    waits = list(_waits(look, end))
    found = sorted(
        (*ends(look, now, end, look.policy("maintenance")), *(line for line, _ in waits), *_collections(look, end)),
        key=lambda one: (one.at, one.kind, one.id),
    )
    held: dict[str, list[str]] = {}
    for line, window in waits:
        held.setdefault(window, []).append(line.id)
    windows = tuple(
        _window(window, now, start, end, tuple(held.get(name, ()))) for name, window in sorted(calendar.items())
    )
    return CalendarView(
        start=start, end=end, windows=windows, deadlines=tuple(found[:MOST]), cut=len(found) > MOST, as_of=now
    )


def _number(query: Mapping[str, str], name: str, usual: float) -> float:
    text = query.get(name, "")
    if not text:
        return usual
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e11:
        raise Denied(422, "bad_input", f"{name} is a number, not {text[:40]!r}", field=name)
    return value


def _window(window: Window, now: float, start: float, end: float, holds: tuple[str, ...]) -> WindowView:
    """A window with its closed stretches between two moments."""
    closed: list[tuple[float, float]] = []
    at = start
    for _ in range(_CHANGES):
        state = window.state(at)
        until = end if state.until is None else min(state.until, end)
        if not state.open:
            closed.append((at, until))
        if state.until is None or state.until >= end:
            break
        at = state.until
    here = window.state(now)
    return WindowView(
        name=window.name, zone=window.zone, open=here.open, until=here.until, reason=window.reason,
        closed=tuple(closed), holds=holds,
    )  # fmt: skip


def _waits(look: Look, end: float) -> Iterable[tuple[ShiftLine, str]]:
    """Timers of open runs that mean something to people; and the window that holds the run, when one does."""
    names = ", ".join("?" for _ in _WAITS)
    rows: list[Any] = look.all(
        "select t.run, t.scope, t.step, t.purpose, t.due, r.title, r.workflow, r.waiting_on,"
        " exists(select 1 from rollouts o where o.id = t.run) from timers t join runs r on r.id = t.run"
        f" where t.purpose in ({names}) and t.due <= ? order by t.due limit ?",
        (*_WAITS, end, MOST),
    )
    for run, scope, step, purpose, due, title, workflow, waiting_on, rollout in rows:
        path = f"{scope}.{step}".strip(".")
        words = f"{title or workflow}: {path + ' ' if path else ''}{_WAITS[purpose]}"
        window = waiting_on.rpartition("window ")[2].split(" ")[0] if purpose == "window" else ""
        yield ShiftLine(kind="rollout" if rollout else "run", id=run, text=words, at=due), window


def _collections(look: Look, end: float) -> Iterable[ShiftLine]:
    for one in look.find("collection", state="requested", limit=200, order="due_at"):
        if 0 < one.due_at <= end:
            words = f"recordings are due for {one.dataset or one.snapshot}: {one.title or one.reason}"
            kind, id_ = ("snapshot", one.snapshot) if one.snapshot else ("collection", one.id)
            yield ShiftLine(kind=kind, id=id_, text=words, at=one.due_at, who=one.by, level="notice")
