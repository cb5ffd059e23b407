"""Calendar windows: when changes may go through. Rules are written in local time and computed in UTC.

A window is open unless it says otherwise: with `allow` rules it is open only inside them; inside a `deny` rule it is
closed whatever else holds. Clock changes follow the zone: 02:30 on the night it does not exist is an hour later.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct

from engine.core.deciding import WindowState
from engine.language import cron

DAY = 86_400.0
HORIZON = 35
"""Days looked ahead for the next change: a month and a bit. What changes later is looked up later."""
LONGEST_RULE = 31 * DAY
MOST_STARTS = 48
"""Starts a cron rule may have in a day; what opens more often is no window."""


class Weekly(Struct, frozen=True, kw_only=True):
    """On these days (0 is Monday) from one time of day to another, in minutes; to an earlier one means past midnight."""

    days: frozenset[int]
    start: int = 0
    end: int = 1_440


class Repeated(Struct, frozen=True, kw_only=True):
    """From each time of a cron line for so many seconds."""

    line: str
    seconds: float


class Dated(Struct, frozen=True, kw_only=True):
    """Once, from one instant to another (UTC epoch seconds)."""

    start: float
    end: float


Rule = Weekly | Repeated | Dated


class Window(Struct, frozen=True, kw_only=True):
    """A named calendar. `reason` is told to whoever is held by it."""

    name: str
    zone: str = "UTC"
    deny: tuple[Rule, ...] = ()
    allow: tuple[Rule, ...] = ()
    reason: str = ""

    def state(self, at: float) -> WindowState:
        """Whether the window is open at `at`, and when that changes, if that is within the horizon."""
        today = datetime.datetime.fromtimestamp(at, ZoneInfo(self.zone)).date()
        denied, allowed, borders = _around(self, today)
        now = _open(at, denied, allowed)
        until = next((border for border in borders if border > at and _open(border, denied, allowed) != now), None)
        return WindowState(open=now, until=until, reason="" if now else self.reason or f"{self.name} is closed")


Spans = tuple[tuple[float, float], ...]


@lru_cache(maxsize=256)
def _around(window: Window, today: datetime.date) -> tuple[Spans, Spans | None, tuple[float, ...]]:
    """What is denied and allowed around a day, and every border of it in order. Asked at every step that honours it."""
    denied = tuple(span for rule in window.deny for span in spans(rule, window.zone, today))
    allowed = tuple(span for rule in window.allow for span in spans(rule, window.zone, today)) if window.allow else None
    return denied, allowed, tuple(sorted({border for span in (*denied, *(allowed or ())) for border in span}))


def _open(at: float, denied: Spans, allowed: Spans | None) -> bool:
    if any(start <= at < end for start, end in denied):
        return False
    return allowed is None or any(start <= at < end for start, end in allowed)


def spans(rule: Rule, zone: str, today: datetime.date) -> Iterator[tuple[float, float]]:
    """The times a rule covers around a day, as (start, end) in UTC epoch seconds."""
    if isinstance(rule, Dated):
        yield rule.start, rule.end
        return
    local = ZoneInfo(zone)
    back = 2 if isinstance(rule, Weekly) else int(rule.seconds // DAY) + 2
    for offset in range(-back, HORIZON + 1):
        day = today + datetime.timedelta(days=offset)
        if isinstance(rule, Weekly):
            if day.weekday() in rule.days:
                length = rule.end if rule.end > rule.start else rule.end + 1_440
                yield _instant(day, rule.start, local), _instant(day, length, local)
        else:
            for minute in starts(rule.line, day):
                start = _instant(day, minute, local)
                yield start, start + rule.seconds


def starts(line: str, day: datetime.date) -> list[int]:
    """The minutes of a day at which a cron line fires. With both days given, either fits, as crontab(5) has it."""
    minutes, hours, days, months, weekdays = cron.fields(line)
    words = line.split()
    by_date, by_week = day.day in days, (day.weekday() + 1) % 7 in weekdays
    fits = by_date or by_week if words[2] != "*" and words[4] != "*" else by_date and by_week
    if day.month not in months or not fits:
        return []
    return [hour * 60 + minute for hour in sorted(hours) for minute in sorted(minutes)]


def _instant(day: datetime.date, minutes: int, zone: ZoneInfo) -> float:
    later, minute = divmod(minutes, 1_440)
    day += datetime.timedelta(days=later)
    return datetime.datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone).timestamp()
