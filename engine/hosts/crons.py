"""Runs that are started by the clock. Times are planned on the engine's clock in the zone of the line; what fell due
while no engine ran is handled as `missed` says: skipped, once (for the latest), or all.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from apscheduler.triggers.base import BaseTrigger

from engine.capabilities.events.rules import Rule
from engine.capabilities.events.times import line_of
from engine.core.evaluator import ExpressionError
from engine.core.run_events import Origin
from engine.store import statements as sql

if TYPE_CHECKING:
    from engine.hosts.embedded import Host
    from engine.hosts.triggers import Triggers

Json = Any
LATE_S = 60.0
"""A planned time further back than this was missed."""


class Crons:
    """The cron lines of the newest definitions."""

    def __init__(self, host: Host, triggers: Triggers) -> None:
        self._host, self._triggers = host, triggers
        self._lines: dict[str, tuple[Rule, BaseTrigger]] = {}

    def set(self, rules: list[Rule]) -> None:
        """These rules are all; alarms of others find nothing to do."""
        self._lines = {rule.name: (rule, line_of(rule)) for rule in rules}
        self.plan_all()

    def plan_all(self) -> None:
        for name in list(self._lines):
            self.plan(name)

    def plan(self, name: str) -> None:
        """Starts what was missed, as the rule says, and sets the alarm for the next time."""
        entry = self._lines.get(name)
        if entry is None:
            return
        rule, line = entry
        now = self._host.clock.now()
        due: list[datetime] = []
        at = self._last(rule)
        moment = line.get_next_fire_time(None, datetime.fromtimestamp(at + 1.0, UTC))
        while moment is not None and moment.timestamp() <= now and len(due) < self._triggers.limits.missed_at_most:
            due.append(moment)
            moment = line.get_next_fire_time(moment, datetime.fromtimestamp(moment.timestamp() + 1.0, UTC))
        late = [one for one in due if now - one.timestamp() > LATE_S]
        if rule.trigger.missed == "skip":
            self._mark(name, late)
            due = [one for one in due if one not in late]
        elif rule.trigger.missed == "once":
            self._mark(name, due[:-1])
            due = due[-1:]
        for one in due:
            self._fire(rule, one)
        if moment is not None:
            self._host.alarms.at(f"cron:{name}", moment.timestamp(), lambda: self.plan(name))

    def _fire(self, rule: Rule, moment: datetime) -> None:
        planned = moment.isoformat()
        event = {
            "event": "cron",
            "id": planned,
            "data": {"time": planned, "at": moment.timestamp()},
            "by": "cron",
            "subject": "",
            "source": "cron",
            "time": planned,
        }
        try:
            inputs = self._host.config.evaluator.value(rule.trigger.with_, {"event": event})
        except ExpressionError as error:
            self._triggers.failed(rule.name, planned, str(error))
            self._mark(rule.name, [moment])
            return
        row = (f"cron:{rule.name}", _stamp(moment), self._host.clock.now(), "cron")
        origin = Origin(event=0, rule=rule.name, key=planned)
        self._triggers.start(
            rule,
            origin,
            inputs,
            f"cron {rule.trigger.cron}",
            lambda outcome: None,
            occurrence=planned,
            extra=[(sql.INBOX_SEEN, [row])],
        )

    def _last(self, rule: Rule) -> float:
        """The newest planned time that was dealt with; before the first, the time of registration."""
        rows = self._host.loader.rows("select max(id) from inbox where source = ?", (f"cron:{rule.name}",))
        if rows and rows[0][0] is not None:
            return float(rows[0][0])
        digest = rule.definition.digest
        made = self._host.loader.rows("select registered_at from definitions where digest = ?", (digest,))
        return float(made[0][0]) if made else self._host.clock.now()

    def _mark(self, name: str, moments: list[datetime]) -> None:
        """These were dealt with by not starting anything."""
        now = self._host.clock.now()
        rows = [(f"cron:{name}", _stamp(moment), now, "cron") for moment in moments]
        if rows:
            self._host.system.write([(sql.INBOX_SEEN, rows)], lambda commit, error: None)


def _stamp(moment: datetime) -> str:
    """A time as text whose order is that of time."""
    return f"{moment.timestamp():017.3f}"
