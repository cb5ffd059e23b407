"""What lies ahead: when changes may go through, and what ends or is due."""

from __future__ import annotations

from engine.contract.common import View
from engine.contract.oncall import ShiftLine


class WindowView(View, frozen=True, kw_only=True):
    """A calendar of the policy. `closed`: stretches (start, end) within what was asked for, in order. `until`: when it next
    changes, None when that is further away than it is looked ahead. `reason` is told to whoever it holds.
    """

    name: str
    zone: str = "UTC"
    open: bool = True
    until: float | None = None
    reason: str = ""
    closed: tuple[tuple[float, float], ...] = ()
    holds: tuple[str, ...] = ()
    """Runs that wait for it to open."""


class CalendarView(View, frozen=True, kw_only=True):
    """From `start` to `end` (UTC epoch s): the windows, and everything with a time up to `end`, soonest first; what is overdue
    stands before `as_of`. `cut`: there is more than is shown.
    """

    start: float
    end: float
    windows: tuple[WindowView, ...] = ()
    deadlines: tuple[ShiftLine, ...] = ()
    cut: bool = False
    as_of: float = 0.0
