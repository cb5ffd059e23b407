"""The times of cron lines."""

from __future__ import annotations

from datetime import UTC, datetime

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

from engine.capabilities.events.rules import Rule
from engine.language.cron import fields

_WEEK = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def line_of(rule: Rule) -> BaseTrigger:
    """The times of a cron line, as crontab(5) has them: Sunday is 0 and 7, and when both the day of the month and the day
    of the week are restricted, either will do. (APScheduler's own reading of a line counts from Monday and wants both.)
    """
    minute, hour, day, month, weekday = fields(rule.trigger.cron or "")
    time = {"minute": _said(minute), "hour": _said(hour), "month": _said(month), "timezone": rule.trigger.zone}
    days, weekdays = {"day": _said(day)}, {"day_of_week": ",".join(_WEEK[one] for one in sorted(weekday))}
    if len(weekday) == 7:
        return CronTrigger(**time, **days)
    if len(day) == 31:
        return CronTrigger(**time, **weekdays)
    return OrTrigger([CronTrigger(**time, **days), CronTrigger(**time, **weekdays)])


def _said(values: frozenset[int]) -> str:
    return ",".join(str(one) for one in sorted(values))


def next_time(rule: Rule, now: float) -> float:
    """When a cron rule rings next; 0 when never again."""
    moment = line_of(rule).get_next_fire_time(None, datetime.fromtimestamp(now, UTC))
    return moment.timestamp() if moment is not None else 0.0
