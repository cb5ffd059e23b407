"""What is asked about events, rules and threads. Explaining judges anew, by the code that routes, and changes nothing."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.capabilities.events.envelope import envelope, short_name
from engine.capabilities.events.rules import Happened, Judge, Limits, Rule, name_of, rules_of
from engine.capabilities.events.times import next_time
from engine.capabilities.reads import Look, Read
from engine.contract.events import Explanation, FateView, OutEvent, OutEventPage, RuleWord, Trace, TriggerView
from engine.core.definition import Definition, Trigger
from engine.core.durations import spelled
from engine.store.threads import Threads

Json = Any
MOST = 500
_definition = msgspec.json.Decoder(Definition)
_cached: dict[str, Definition] = {}


def definitions(look: Look) -> list[Definition]:
    """The newest version of each registered workflow."""
    rows = look.all(
        "select digest from definitions d where version = (select max(version) from definitions where workflow = d.workflow) "
        "order by workflow"
    )
    found = []
    for (digest,) in rows:
        if digest not in _cached:
            doc = look.one("select doc from definitions where digest = ?", (digest,))
            _cached[digest] = _definition.decode(doc[0])
        found.append(_cached[digest])
    return found


def _events(look: Look, at: dict[str, str], query: dict[str, str]) -> OutEventPage:
    before, limit = _number(query, "before", 0), _number(query, "limit", 100)
    return Threads(look.all).page(
        event=short_name(query.get("event", ""), Limits.of(look.policy("events"))),
        subject=query.get("subject", ""),
        run=query.get("run", ""),
        record=query.get("record", ""),
        before=before,
        limit=max(1, min(limit, MOST)),
    )


def _event(look: Look, at: dict[str, str], query: dict[str, str]) -> OutEvent | None:
    seq = at["event"]
    found = Threads(look.all).event(int(seq)) if seq.isdecimal() and len(seq) <= 18 else None
    return None if found is None else with_envelope(look, found)


def with_envelope(look: Look, event: OutEvent) -> OutEvent:
    """The event as it leaves, beside how it is shown here."""
    threads = Threads(look.all)
    actor = look.one("select actor from events where seq = ?", (event.seq,))
    limits = Limits.of(look.policy("events"))
    cause, root = threads.key(event.cause), threads.root_key(event)
    made = envelope(event, limits=limits, actor=actor[0] if actor else "{}", cause=cause, root=root)
    return msgspec.structs.replace(event, envelope=made)


def _triggers(look: Look, at: dict[str, str], query: dict[str, str]) -> tuple[TriggerView, ...]:
    limits, now = Limits.of(look.policy("events")), look.now()
    counted: dict[str, dict[str, int]] = {}
    last: dict[str, float] = {}
    for rule, outcome, count, newest in look.all(
        "select rule, outcome, count(*), max(at) from event_fates where rule != '' group by rule, outcome"
    ):
        counted.setdefault(rule, {})[outcome] = count
        last[rule] = max(last.get(rule, 0.0), newest)
    views = []
    for definition in definitions(look):
        named = {id(rule.trigger): rule for rule in rules_of(definition)}
        for trigger in definition.triggers:
            rule = named.get(id(trigger))
            name = rule.name if rule is not None else f"{definition.workflow}:manual"
            view = _view(definition, trigger, name, limits)
            view = msgspec.structs.replace(view, counts=counted.get(name, {}), last_at=last.get(name, 0.0))
            if rule is not None and trigger.cron:
                view = msgspec.structs.replace(view, next_at=next_time(rule, now))
            views.append(view)
    wanted = query.get("event", "")
    return tuple(view for view in views if not wanted or view.on == wanted)


def _view(definition: Definition, trigger: Trigger, name: str, limits: Limits) -> TriggerView:
    kind = "cron" if trigger.cron else "event" if trigger.event else "webhook" if trigger.webhook else "manual"
    rate = trigger.rate
    limit, per = (rate.limit, rate.per) if rate else (int(limits.rate["limit"]), limits.rate["per"])
    burst = trigger.burst
    timed = kind in ("event", "webhook")
    return TriggerView(
        name=name,
        workflow=definition.workflow,
        version=definition.version,
        kind=kind,
        on=trigger.event or trigger.cron or trigger.webhook or ", ".join(trigger.roles),
        filter=trigger.filter or "",
        dedupe=trigger.dedupe or "",
        within_s=trigger.within,
        debounce_s=trigger.debounce,
        correlate=trigger.correlate or "",
        rate=f"{limit} per {spelled(per)}" if timed and not trigger.must else "",
        burst=f"{burst.count} different {burst.of} within {spelled(burst.within)}" if burst else "",
        opens=trigger.opens,
        must=trigger.must,
        muted=not trigger.must and (name in limits.muted or (trigger.event or "") in limits.muted),
        zone=trigger.zone if kind == "cron" else "",
        missed=trigger.missed if kind == "cron" else "",
        roles=trigger.roles,
    )


def _explain(look: Look, at: dict[str, str], query: dict[str, str]) -> Explanation:
    """`event` is one that happened (its sequence), or the name of one to be imagined with `data` and `subject`."""
    asked = query.get("event", "").strip()
    if not asked:
        raise ValueError("event: which one? A sequence, or a name with data")
    limits = Limits.of(look.policy("events"))
    digits = asked.removeprefix("event").strip(" :#-")
    happened = Threads(look.all).event(int(digits)) if digits.isdecimal() and len(digits) <= 18 else None
    if happened is None and digits.isdecimal():
        raise ValueError(f"event: there is no event {digits} that was told outward")
    seen = _again(happened) if happened else _imagined(look, short_name(asked, limits), query)
    from engine.language import Expressions

    judge = Judge(Expressions(), look.all, limits, look.now)
    rules = [rule for definition in definitions(look) for rule in rules_of(definition) if not rule.trigger.cron]
    listening = [rule for rule in rules if name_of(rule) in (seen.event, seen.source)]
    waiting = tuple(
        row[0] for row in look.all("select distinct run from waits where event = ? limit 50", (seen.event,))
    )
    near = (
        ()
        if listening or waiting
        else tuple(difflib.get_close_matches(seen.event, {name_of(r) for r in rules}, 5, 0.5))
    )
    fates: tuple[FateView, ...] = happened.fates if happened else ()
    return Explanation(
        event=seen.event,
        happened=happened,
        fates=fates,
        now=tuple(_word(judge, rule, seen) for rule in listening),
        waiting=waiting,
        near=near,
    )


def _word(judge: Judge, rule: Rule, seen: Happened) -> RuleWord:
    found = judge.judge(rule, seen)
    reason = found.reason
    if found.outcome == "open" and rule.trigger.debounce:
        reason = f"once nothing further came for {spelled(rule.trigger.debounce)}"
    return RuleWord(
        rule=rule.name,
        outcome=found.outcome,
        reason=reason,
        key=found.key,
        group=found.group or "",
        run=found.run,
        inputs=found.inputs or None,
    )


def _again(event: OutEvent) -> Happened:
    data: dict[str, Json] = dict(event.data) if isinstance(event.data, Mapping) else {}
    if event.subject:
        data.setdefault("subject", event.subject)
    return Happened(
        seq=event.seq,
        event=event.event,
        key=event.key,
        data=data,
        by=event.actor,
        subject=event.subject,
        source=event.source,
        depth=event.depth,
    )


def _imagined(look: Look, event: str, query: dict[str, str]) -> Happened:
    try:
        data = msgspec.json.decode(query.get("data") or "{}", type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ValueError(f"data: not a JSON object: {error}") from error
    subject = query.get("subject", "")
    if subject:
        data.setdefault("subject", subject)
    key = "imagined/" + hashlib.sha256(repr((event, sorted(data.items(), key=str), subject)).encode()).hexdigest()[:16]
    source = query.get("source", "") or f"/quarterdeck/people/{look.person}"
    return Happened(seq=0, event=event, key=key, data=data, by=look.person, subject=subject, source=source)


def _trace(look: Look, at: dict[str, str], query: dict[str, str]) -> Trace:
    found = Threads(look.all).trace(at["id"])
    if found is None:
        raise ValueError(f"there is no event, run, gate or record called {at['id'][:100]!r}, and none is about it")
    return found


def _number(query: dict[str, str], name: str, usual: int) -> int:
    text = query.get(name, "")
    if not text:
        return usual
    if not text.isdecimal() or len(text) > 18:
        raise ValueError(f"{name}: a whole number, not {text[:40]!r}")
    return int(text)


READS = (
    Read(
        path="/v1/cloudevents",
        shape=OutEventPage,
        says="Events told outward, newest first, with what became of each; `event` may end in *.",
        queries=("event", "subject", "run", "record", "before", "limit"),
        give=_events,
    ),
    Read(
        path="/v1/cloudevents/{event}",
        shape=OutEvent,
        says="One event, also as the CloudEvent it leaves as.",
        give=_event,
    ),
    Read(
        path="/v1/triggers",
        shape=tuple[TriggerView, ...],
        says="The rules that start runs, with what they made of events so far.",
        queries=("event",),
        give=_triggers,
    ),
    Read(
        path="/v1/explain",
        shape=Explanation,
        says="Why an event started what it did, or what one would start now.",
        queries=("event", "data", "subject", "source"),
        give=_explain,
    ),
    Read(path="/v1/trace/{id}", shape=Trace, says="The thread of causes that something belongs to.", give=_trace),
)
