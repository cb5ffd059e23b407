"""What starts a run without a person: events, webhooks, cron lines.

Rules:
1. One occurrence starts one run. The start is a command whose id is made of the workflow, the trigger and the event's
   key (`dedupe`, else its own id; for cron the planned time), so that offering it again after a crash changes nothing.
2. An event is marked delivered only after what it starts was handed to the journal. `debounce` waits until so long no
   further event came, and starts with the last one; `correlate` starts none while a run of that key is open.
3. Cron times are planned on the engine's clock in the trigger's zone. What fell due while no engine ran is handled as
   `missed` says: skipped, once (for the latest), or all.
4. An expression that fails starts nothing, and that is recorded (`TriggerFailed`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from apscheduler.triggers.cron import CronTrigger

from engine.core import commands as c
from engine.core.definition import Definition, Trigger
from engine.core.evaluator import ExpressionError
from engine.hosts.settings import Answer
from engine.hosts.turns import Turn
from engine.store import statements as sql
from engine.store.records import Actor

if TYPE_CHECKING:
    from engine.hosts.embedded import Host

Json = Any
log = logging.getLogger("quarterdeck.triggers")

CATCH_UP = 1_000
"""Most missed occurrences of one cron line that are started at once."""


class Triggers:
    """The triggers of the newest version of each registered workflow."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._listening: dict[str, list[tuple[Definition, int, Trigger]]] = {}
        self._crons: dict[str, tuple[Definition, int, Trigger, CronTrigger]] = {}
        self._quiet: dict[str, asyncio.Task[None]] = {}
        self._begun: set[str] = set()

    def refresh(self) -> None:
        """Reads the definitions again (at boot, and when one was registered)."""
        loader = self._host.loader
        self._listening.clear()
        self._crons.clear()
        for name in loader.workflows():
            definition = loader.newest(name)
            for at, trigger in enumerate(definition.triggers if definition is not None else ()):
                if definition is None:  # never inside the loop; the checker can't know
                    continue
                if trigger.cron:
                    line = CronTrigger.from_crontab(trigger.cron, timezone=trigger.zone)
                    self._crons[f"{name}:{at}"] = (definition, at, trigger, line)
                elif trigger.event or trigger.webhook:
                    word = trigger.event or f"webhook/{trigger.webhook}"
                    self._listening.setdefault(word, []).append((definition, at, trigger))
        self.plan_all()

    def plan_all(self) -> None:
        for key in list(self._crons):
            self.plan(key)

    def close(self) -> None:
        for task in self._quiet.values():
            task.cancel()

    # -- events ------------------------------------------------------------------------------------------------------

    def offer(self, event: dict[str, Json], source: str, done: Callable[[], None]) -> None:
        """An event came. `done` is called once everything it starts has been handed on."""
        matching = [*self._listening.get(event["event"], ()), *self._listening.get(source, ())]
        left = len(matching)

        def one_done() -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                done()

        if not matching:
            done()
        for definition, at, trigger in matching:
            self._consider(definition, at, trigger, event, one_done)

    def _consider(
        self, definition: Definition, at: int, trigger: Trigger, event: dict[str, Json], done: Callable[[], None]
    ) -> None:
        env, evaluator = {"event": event}, self._host.config.evaluator
        name = f"{definition.workflow}:{at}"
        try:
            if trigger.filter is not None and not evaluator.truth(trigger.filter, env):
                done()
                return
            key = event["id"] if trigger.dedupe is None else _text(evaluator.value("${" + trigger.dedupe + "}", env))
            group = None if trigger.correlate is None else _text(evaluator.value("${" + trigger.correlate + "}", env))
            inputs = evaluator.value(trigger.with_, env)
        except ExpressionError as error:
            self._failed(name, event["id"], str(error))
            done()
            return
        start = f"{name}:{key}"
        if not trigger.debounce:
            self._start(definition, trigger, start, inputs, group=group, done=done)
            return
        quiet = f"{name}:{group or key}"
        earlier = self._quiet.pop(quiet, None)
        if earlier is not None:
            earlier.cancel()

        async def later() -> None:
            try:
                await self._host.clock.sleep(trigger.debounce or 0.0)
            except asyncio.CancelledError:
                if not self._host.closing:
                    done()  # a newer event took its place
                raise
            self._quiet.pop(quiet, None)
            self._start(definition, trigger, start, inputs, group=group, done=done)

        self._quiet[quiet] = asyncio.get_running_loop().create_task(later())

    def _start(
        self,
        definition: Definition,
        trigger: Trigger,
        name: str,
        inputs: dict[str, Json],
        *,
        done: Callable[[], None],
        group: str | None = None,
        extra: Any = (),
    ) -> None:
        host = self._host
        id_ = f"trigger:{name}"[:200]
        begun = id_ in self._begun or host.loader.answer(id_) is not None
        if begun or (group is not None and self._open(definition.workflow, group)):
            done()
            return
        self._begun.add(id_)
        word = f"cron {trigger.cron}" if trigger.cron else f"event {trigger.event or trigger.webhook}"
        attributes = {"correlate": group} if group is not None else {}

        def reply(answer: Answer | None, error: BaseException | None) -> None:
            self._begun.discard(id_)
            if error is not None:
                log.warning("%s did not start %s: %s", word, definition.workflow, error)
                return  # not done: it is offered again
            if answer is not None and answer.refusal is not None:
                self._failed(name, id_, answer.refusal.reason)
            done()

        number, run = host.next_number()
        start = c.Start(run=run, inputs=inputs, by=f"trigger:{name}"[:120], trigger=word, attributes=attributes)
        actor = Actor(kind="trigger", id=name.rsplit(":", 1)[0], via=word[:80])
        turn = Turn(run, start, actor=actor, cause=id_, id=id_, reply=reply, extra=extra)
        turn.birth = (number, definition)
        host.turns.take(turn)

    def _open(self, workflow: str, group: str) -> bool:
        """Whether a run of this workflow and key goes on."""
        rows = self._host.loader.rows(
            "select 1 from runs where workflow = ? and ended_at is null and ' '||attributes||' ' like ? escape '!' limit 1",
            (workflow, "% correlate=" + group.replace("!", "!!").replace("%", "!%").replace("_", "!_") + " %"),
        )
        return bool(rows)

    def _failed(self, name: str, id_: str, reason: str) -> None:
        self._host.system.note("TriggerFailed", {"trigger": name, "event": id_, "reason": reason[:500]})

    # -- cron --------------------------------------------------------------------------------------------------------

    def plan(self, key: str) -> None:
        """Starts what was missed, as the trigger says, and sets the alarm for the next time."""
        entry = self._crons.get(key)
        if entry is None:
            return
        definition, _, trigger, line = entry
        now = self._host.clock.now()
        due: list[datetime] = []
        at = self._last(key, definition)
        moment = line.get_next_fire_time(None, datetime.fromtimestamp(at + 1.0, UTC))
        while moment is not None and moment.timestamp() <= now and len(due) < CATCH_UP:
            due.append(moment)
            moment = line.get_next_fire_time(moment, datetime.fromtimestamp(moment.timestamp() + 1.0, UTC))
        late = [one for one in due if now - one.timestamp() > 60.0]
        if trigger.missed == "skip":
            self._mark(key, late)
            due = [one for one in due if one not in late]
        elif trigger.missed == "once":
            self._mark(key, due[:-1])
            due = due[-1:]
        for one in due:
            self._fire(key, entry, one)
        if moment is not None:
            self._host.alarms.at(f"cron:{key}", moment.timestamp(), lambda: self.plan(key))

    def _fire(self, key: str, entry: tuple[Definition, int, Trigger, CronTrigger], moment: datetime) -> None:
        definition, _, trigger, _ = entry
        planned = moment.isoformat()
        event = {"event": "cron", "id": planned, "data": {"time": planned, "at": moment.timestamp()}, "by": "cron"}
        try:
            inputs = self._host.config.evaluator.value(trigger.with_, {"event": event})
        except ExpressionError as error:
            self._failed(key, planned, str(error))
            self._mark(key, [moment])
            return
        row = (f"cron:{key}", _stamp(moment), self._host.clock.now(), "cron")
        extra = [(sql.INBOX_SEEN, [row])]
        self._start(definition, trigger, f"{key}:{planned}", inputs, done=lambda: None, extra=extra)

    def _last(self, key: str, definition: Definition) -> float:
        """The newest planned time that was dealt with; before the first, the time of registration."""
        rows = self._host.loader.rows("select max(id) from inbox where source = ?", (f"cron:{key}",))
        if rows and rows[0][0] is not None:
            return float(rows[0][0])
        made = self._host.loader.rows("select registered_at from definitions where digest = ?", (definition.digest,))
        return float(made[0][0]) if made else self._host.clock.now()

    def _mark(self, key: str, moments: list[datetime]) -> None:
        """These were dealt with by not starting anything."""
        now = self._host.clock.now()
        rows = [(f"cron:{key}", _stamp(moment), now, "cron") for moment in moments]
        if rows:
            self._host.system.write([(sql.INBOX_SEEN, rows)], lambda commit, error: None)


def _stamp(moment: datetime) -> str:
    """A time as text whose order is that of time."""
    return f"{moment.timestamp():017.3f}"


def _text(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
