"""What a trigger rule makes of an event: open a run, give it to an open one, or ignore it, and why.

A judgement reads and changes nothing, so the same code routes events and explains them (`qd triggers explain`). The
order of the questions: muted? filter? too deep? seen before? an open run of its group? enough of a burst? too many?
A rule that says `must` is never stopped by mute, depth or rate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from engine.capabilities.packs import PackError, load_pack
from engine.core.definition import Definition, Trigger
from engine.core.durations import seconds as in_seconds
from engine.core.durations import spelled
from engine.core.evaluator import Evaluator, ExpressionError

Json = Any
Rows = Callable[[str, tuple[Any, ...]], Sequence[Any]]
Outcome = Literal["open", "opened", "attach", "ignore", "fail"]

KEY = 300
"""Characters of a rule's key that are kept as they are; a longer one is kept by its digest."""
LOOKED_AT = 1_000
"""Newest events of a name that are looked at to see whether a burst is complete."""


class Limits(Struct, frozen=True, kw_only=True):
    """The policy pack `events`. Lengths of time in seconds."""

    max_depth: int
    rate: dict[str, float]
    muted: tuple[str, ...]
    type_prefix: str
    type_version: str
    retention: dict[str, float]
    sweep_every: float
    missed_at_most: int

    @classmethod
    def of(cls, pack: Mapping[str, Json]) -> Limits:
        """From the resolved pack; the shipped one where an engine has none of its own. Raises PackError."""
        try:
            found = {
                name: {key: in_seconds(one) for key, one in value.items()} if isinstance(value, Mapping) else value
                for name, value in (dict(pack) or load_pack("events")).items()
            }
            return msgspec.convert(found, cls, strict=False)
        except ValueError as error:
            raise PackError(f"the policy `events` can't be used: {error}") from error


class Rule(Struct, frozen=True):
    """One trigger of the newest definition of a workflow. `name` outlives edits that only reorder the triggers."""

    name: str
    definition: Definition
    trigger: Trigger

    @property
    def workflow(self) -> str:
        return self.definition.workflow


class Happened(Struct, frozen=True, kw_only=True):
    """An event as rules see it. `seq` is 0 for one that is only imagined; `key` is what runs know it by."""

    seq: int
    event: str
    key: str
    data: dict[str, Json]
    by: str
    subject: str = ""
    source: str = ""
    time: str = ""
    depth: int = 1

    @property
    def env(self) -> dict[str, Json]:
        return {
            "event": {
                "event": self.event,
                "id": self.key,
                "data": self.data,
                "by": self.by,
                "subject": self.subject,
                "source": self.source,
                "time": self.time,
            }
        }


class Judgement(Struct, frozen=True, kw_only=True):
    """`run` is the run that is meant; `inputs` are those of a run to be opened. `opened`: this very event did so before."""

    outcome: Outcome
    reason: str = ""
    key: str = ""
    group: str | None = None
    run: str = ""
    inputs: dict[str, Json] = {}


def rules_of(definition: Definition) -> list[Rule]:
    """The rules of a definition that wait for events, webhooks or times, with their names."""
    found: list[Rule] = []
    taken: dict[str, int] = {}
    for trigger in definition.triggers:
        word = _word(trigger)
        if not word:
            continue
        name = f"{definition.workflow}:{word}"
        taken[name] = taken.get(name, 0) + 1
        found.append(Rule(name if taken[name] == 1 else f"{name}#{taken[name]}", definition, trigger))
    return found


def name_of(rule: Rule) -> str:
    """What the rule waits for: the name of an event, or a webhook's source."""
    return rule.trigger.event or f"webhook/{rule.trigger.webhook}"


def _word(trigger: Trigger) -> str:
    if trigger.cron:
        return f"cron {trigger.cron} {trigger.zone}"
    return trigger.event or (f"webhook/{trigger.webhook}" if trigger.webhook else "")


class Judge:
    """Judges by the tables. `rows` reads them: on the host's loop, or in the thread of a reader."""

    def __init__(self, evaluator: Evaluator, rows: Rows, limits: Limits, now: Callable[[], float]) -> None:
        self._evaluator, self._rows, self._limits, self._now = evaluator, rows, limits, now

    def judge(self, rule: Rule, happened: Happened) -> Judgement:
        """What is to be done. An expression that fails starts nothing (`fail`)."""
        trigger, env = rule.trigger, happened.env
        if not trigger.must and (rule.name in self._limits.muted or happened.event in self._limits.muted):
            return Judgement(outcome="ignore", reason="muted by policy")
        try:
            if trigger.filter is not None and not self._evaluator.truth(trigger.filter, env):
                return Judgement(outcome="ignore", reason=f"the filter says no: {trigger.filter[:200]}")
            key = happened.key if trigger.dedupe is None else self._text(trigger.dedupe, env)
            group = None if trigger.correlate is None else self._text(trigger.correlate, env)
            inputs = self._evaluator.value(trigger.with_, env)
        except ExpressionError as error:
            return Judgement(outcome="fail", reason=str(error)[:500])
        found = self._decided(rule, happened, key, group)
        return msgspec.structs.replace(found, key=key, group=group, inputs=inputs if found.outcome == "open" else {})

    def _decided(self, rule: Rule, happened: Happened, key: str, group: str | None) -> Judgement:
        trigger = rule.trigger
        before = self._opened_by(rule, happened)
        if before:
            return Judgement(outcome="opened", reason=f"this event opened {before}", run=before)
        earlier = self._earlier(rule, key)
        if earlier is not None:
            return Judgement(outcome="ignore", reason=earlier[1], run=earlier[0])
        if group is not None:
            run = self._open(rule.workflow, group)
            if run:
                return Judgement(outcome="attach", reason=f"{run} is open for {group[:80]}", run=run)
        if not trigger.opens:
            return Judgement(outcome="ignore", reason=f"no run of {rule.workflow} is open for {(group or '')[:80]}")
        if not trigger.must and happened.depth > self._limits.max_depth:
            said = f"the chain of causes is {happened.depth} deep, more than {self._limits.max_depth}: start it by hand"
            return Judgement(outcome="ignore", reason=said)
        if trigger.burst is not None and (missing := self._missing(rule, happened, group)):
            return Judgement(outcome="ignore", reason=missing)
        if not trigger.must and (much := self._too_many(rule)):
            return Judgement(outcome="ignore", reason=much)
        return Judgement(outcome="open")

    def _opened_by(self, rule: Rule, happened: Happened) -> str:
        """The run that this very event opened: it is offered again after a crash."""
        rows = self._rows(
            "select run from event_fates where event = ? and rule = ? and outcome = 'opened'", (happened.seq, rule.name)
        )
        return str(rows[0][0]) if rows and happened.seq else ""

    def _earlier(self, rule: Rule, key: str) -> tuple[str, str] | None:
        """The run that this key opened and that still stands in the way of another, with the reason."""
        rows = self._rows(
            "select f.run, f.at, r.ended_at from event_fates f left join runs r on r.id = f.run "
            "where f.rule = ? and f.key = ? and f.outcome = 'opened' order by f.at desc limit 1",
            (rule.name, key),
        )
        if not rows:
            return None
        run, at, ended = rows[0]
        within = rule.trigger.within
        if within is None:
            return run, f"the same key opened {run} before"
        if ended is None:
            return run, f"{run} of the same key is open"
        left = at + within - self._now()
        return (run, f"the same key opened {run} within {spelled(within)}") if left > 0 else None

    def _open(self, workflow: str, group: str) -> str:
        """The newest open run of this workflow and group."""
        rows = self._rows(
            "select r.id from run_groups g join runs r on r.id = g.run where g.workflow = ? and g.name = ? "
            "and r.ended_at is null order by r.number desc limit 1",
            (workflow, group),
        )
        return str(rows[0][0]) if rows else ""

    def _missing(self, rule: Rule, happened: Happened, group: str | None) -> str:
        """What a burst lacks; empty when it is complete. Events of other groups, or that the filter refuses, don't count."""
        burst = rule.trigger.burst
        if burst is None:
            return ""
        rows = self._rows(
            "select t.seq, t.key, t.subject, t.source, coalesce(e.data, b.data) from event_threads t "
            "join events e on e.seq = t.seq left join blobs b on e.data is null and b.digest = e.digest "
            f"where t.event = ? and t.at >= ? and t.seq != ? order by t.seq desc limit {LOOKED_AT}",
            (happened.event, self._now() - burst.within, happened.seq),
        )
        seen: set[str] = set()
        for one in (happened, *(_again(row, happened.event) for row in rows if row[4] is not None)):
            try:
                env = one.env
                if rule.trigger.filter is not None and not self._evaluator.truth(rule.trigger.filter, env):
                    continue
                if group is not None and self._text(rule.trigger.correlate or "", env) != group:
                    continue
                seen.add(self._text(burst.of, env))
            except ExpressionError:
                continue
        if len(seen) >= burst.count:
            return ""
        return f"{len(seen)} of {burst.count} different {burst.of} within {spelled(burst.within)}"

    def _too_many(self, rule: Rule) -> str:
        rate = rule.trigger.rate
        limit, per = (rate.limit, rate.per) if rate else (int(self._limits.rate["limit"]), self._limits.rate["per"])
        rows = self._rows(
            "select count(*) from event_fates where rule = ? and outcome = 'opened' and at > ?",
            (rule.name, self._now() - per),
        )
        if not rows or rows[0][0] < limit:
            return ""
        return (
            f"the rule opened {rows[0][0]} runs within {spelled(per)}, its limit is {limit}: something goes in circles"
        )

    def _text(self, expression: str, env: Mapping[str, Json]) -> str:
        value = self._evaluator.value("${" + expression + "}", env)
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        return text if len(text) <= KEY else "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _again(row: Sequence[Any], event: str) -> Happened:
    told = msgspec.json.decode(row[4])
    data = dict(told.get("data") or {})
    return Happened(seq=row[0], event=event, key=row[1], data=data, by="", subject=row[2], source=row[3])
