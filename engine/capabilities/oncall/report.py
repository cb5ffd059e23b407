"""What a shift has to know: what happened, what waits, what ends soon. Read from the projections, at a cost that follows
from what changed since then, not from how much there is.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

import msgspec

from engine.capabilities.cases.clocks import clocks
from engine.capabilities.oncall.shelf import Shelf, seq_at
from engine.contract.cases import CASE_OVER
from engine.contract.oncall import WITHIN_S, DutyRecord, ShiftLine, ShiftReport
from engine.core.gates import seat_label
from engine.store.gate_projection import StoredGate

Json = Any
MOST = 40
"""Lines of one list: a page a person reads. What is more is counted."""
COUNTED = 200_000
"""Events a shift is counted over; beyond that the counts would cost more than they say."""
FIRST_S = 12 * 3_600.0
"""How far somebody looks back who was never on duty."""
INCIDENT_OVER = ("closed", "false_alarm")
STOPPED = ("paused", "held", "pause_requested", "rollback_incomplete", "failed")
_gate = msgspec.json.Decoder(StoredGate)
_COUNTS = {
    "RunStarted": "runs started",
    "RunCompleted": "runs completed",
    "RunFailed": "runs failed",
    "VoteCast": "votes",
    "CommandRefused": "refusals",
    "VoteRefused": "refusals",
    "StepInDoubt": "answers in doubt",
}


def since_of(shelf: Shelf, person: str, now: float) -> tuple[float, str, DutyRecord | None]:
    """Since when somebody has to be told, why then, and the shift they are in: on duty since it began, else since their
    last one ended.
    """
    rows: list[DutyRecord] = shelf.find("duty", where={"person": person}, limit=20, order="-since")
    on = next((one for one in rows if one.state == "on"), None)
    if on is not None:
        return on.since, f"{person} is on duty since then", on
    ended = max((one.ended_at for one in rows), default=0.0)
    if ended:
        return ended, f"the last shift of {person} ended then", None
    return now - FIRST_S, f"{person} was not on duty before: the last {FIRST_S / 3600:.0f} h", None


def report(
    shelf: Shelf,
    person: str,
    now: float,
    *,
    policy: Mapping[str, Json],
    since: float = 0.0,
    within_s: float = WITHIN_S,
) -> ShiftReport:
    """The report for `person`. `policy` is the maintenance pack: the clocks of cases follow from it."""
    begun, why, _ = since_of(shelf, person, now)
    if since:
        begun, why = min(since, now), "asked for"
    after = seq_at(shelf, begun)
    more: dict[str, int] = {}
    happened = _kept(sorted(_happened(shelf, after, begun), key=lambda one: -one.at), "happened", more)
    commands = tuple(_commands(shelf, person))
    led = {one.id for one in commands}
    waits = _kept(_waits(shelf, now, led), "waits", more)
    ending = sorted(ends(shelf, now, now + within_s, policy), key=lambda one: one.at)
    return ShiftReport(
        person=person, since=begun, why_since=why, at=now, within_s=within_s, commands=commands,
        happened=happened, waits=waits, expires=_kept(ending, "expires", more), counts=_counts(shelf, after), more=more,
    )  # fmt: skip


def _kept(lines: Iterable[ShiftLine], name: str, more: dict[str, int]) -> tuple[ShiftLine, ...]:
    found = tuple(lines)
    if len(found) > MOST:
        more[name] = len(found) - MOST
    return found[:MOST]


def _commands(shelf: Shelf, person: str) -> Iterable[ShiftLine]:
    for one in shelf.find("incident", where={"ic": person}, limit=50):
        if one.state not in INCIDENT_OVER:
            yield ShiftLine(kind="incident", id=one.id, text=_incident(one), at=one.ic_since, who=one.ic, level="alarm")


# -- what happened -------------------------------------------------------------------------------------------------


def _happened(shelf: Shelf, after: int, since: float) -> Iterable[ShiftLine]:
    yield from _decided(shelf, after, since)
    rows = shelf.all(
        "select id, title, status, ending, attention, ended_at, updated_at from runs where seq > ? "
        "and status in ('failed', 'terminated', 'cancelled') order by seq desc limit 200",
        (after,),
    )
    for id_, title, status, ending, attention, ended, updated in rows:
        if ended and ended > since:
            why = f": {attention or ending}" if attention or ending else ""
            level = "alarm" if status == "failed" else "warning"
            yield ShiftLine(kind="run", id=id_, text=f"{status} {title}{why}", at=ended or updated, level=level)
    rows = shelf.all(
        "select id, artifact, version, state, stage, verdict, updated_at from rollouts where seq > ? order by seq desc limit 100",
        (after,),
    )
    for id_, artifact, version, state, stage, verdict, updated in rows:
        words = f"{artifact} {version} {state.replace('_', ' ')}" + (f" at {stage}" if stage else "")
        level = "alarm" if verdict == "FAIL" else "warning" if state in STOPPED else "notice"
        yield ShiftLine(
            kind="rollout", id=id_, text=words + (f", {verdict}" if verdict else ""), at=updated, level=level
        )
    for kind, (table, says) in _RECORDS.items():
        yield from (line for one in _changed(shelf, kind, table, after) if (line := says(one, since)) is not None)


def _decided(shelf: Shelf, after: int, since: float) -> Iterable[ShiftLine]:
    rows = shelf.all(
        "select id, question, state, closed_at, view from gates where seq > ? and state <> 'open' order by seq desc limit 300",
        (after,),
    )
    for id_, question, state, closed, view in rows:
        if not closed or closed <= since:
            continue
        stored = _gate.decode(view)
        people = ", ".join(dict.fromkeys(one.person for one in stored.votes if not one.void and not one.refused))
        words = stored.answer.replace("_", " ") or state
        level = "warning" if state in ("expired", "rejected") else "notice"
        yield ShiftLine(
            kind="gate", id=id_, text=f"{state}: {question} \u2014 {words}", at=closed, who=people, level=level
        )


def _changed(shelf: Shelf, kind: str, table: str, after: int) -> Iterable[Any]:
    for (id_,) in shelf.all(f"select id from {table} where seq > ? order by seq desc limit 200", (after,)):
        if (found := shelf.get(kind, id_)) is not None:
            yield found


def _incident(one: Any) -> str:
    return f"SEV-{one.sev or '?'} {one.state.replace('_', ' ')}: {one.sentence or one.title}"


def _incident_line(one: Any, since: float) -> ShiftLine:
    begun = "declared, now " if one.created_at > since and one.state != "detected" else ""
    who = one.ic or "nobody leads it"
    level = "alarm" if one.state not in INCIDENT_OVER else "notice"
    return ShiftLine(kind="incident", id=one.id, text=begun + _incident(one), at=one.updated_at, who=who, level=level)


def _case_line(one: Any, since: float) -> ShiftLine | None:
    if not (one.safety_related or 0 < one.priority <= 2):
        return None
    over = one.state in CASE_OVER
    words = f"P{one.priority} {one.state.replace('_', ' ')}: {one.title}"
    level = "notice" if over else "alarm" if one.safety_related else "warning"
    return ShiftLine(
        kind="case",
        id=one.id,
        text=words,
        at=one.updated_at,
        who=one.assignee or ("" if over else "unclaimed"),
        level=level,
    )


def _hold_line(one: Any, since: float) -> ShiftLine:
    words = f"{one.robot} {'on hold' if one.state == 'active' else one.state}: {one.reason}"
    return ShiftLine(kind="hold", id=one.id, text=words, at=one.updated_at, who=one.created_by, level="warning")


def _grant_line(one: Any, since: float) -> ShiftLine | None:
    if not one.breakglass:
        return None
    return ShiftLine(
        kind="grant", id=one.id, text=f"break-glass access, {one.state}: {one.title}", at=one.updated_at, who=one.actor,
        level="alarm",
    )  # fmt: skip


def _silence_line(one: Any, since: float) -> ShiftLine:
    what = ", ".join(f"{name}={value}" for name, value in sorted(one.matchers.items()))
    words = f"silence {one.state}: {what} ({one.comment})"
    return ShiftLine(kind="silence", id=one.id, text=words, at=one.updated_at, who=one.owner, level="notice")


def _duty_line(one: Any, since: float) -> ShiftLine:
    ended = one.state == "off"
    to = f", handed to {one.handed_to}" if one.handed_to else ""
    words = f"{one.person} {'went off' if ended else 'is on'} duty{to}"
    return ShiftLine(kind="duty", id=one.id, text=words, at=one.ended_at if ended else one.since, who=one.person)


def _system_line(one: Any, since: float) -> ShiftLine:
    return ShiftLine(
        kind="system", id=one.id, text=f"system {one.title}: {one.state}", at=one.updated_at, level="notice"
    )


_RECORDS: Mapping[str, tuple[str, Callable[[Any, float], ShiftLine | None]]] = {
    "incident": ("incidents", _incident_line),
    "case": ("cases", _case_line),
    "hold": ("holds", _hold_line),
    "grant": ("grants", _grant_line),
    "silence": ("silences", _silence_line),
    "duty": ("duties", _duty_line),
    "system": ("systems", _system_line),
}


def _counts(shelf: Shelf, after: int) -> dict[str, int]:
    newest = int(shelf.one("select coalesce(max(seq), 0) from events")[0])
    found = {"events": newest - after}
    if newest - after <= COUNTED:
        for type_, count in shelf.all("select type, count(*) from events where seq > ? group by type", (after,)):
            if type_ in _COUNTS:
                found[_COUNTS[type_]] = found.get(_COUNTS[type_], 0) + int(count)
    return found


# -- what waits ----------------------------------------------------------------------------------------------------


def _waits(shelf: Shelf, now: float, led: Container[str]) -> Iterable[ShiftLine]:
    """The most pressing first: incidents, decisions by their end, what stands still, what nobody has. Those `led` are said
    already."""
    for one in sorted(shelf.find("incident", limit=200), key=lambda each: (each.sev or 9, each.created_at)):
        if one.state not in INCIDENT_OVER and one.id not in led:
            who = one.ic or "nobody leads it"
            yield ShiftLine(kind="incident", id=one.id, text=_incident(one), at=one.created_at, who=who, level="alarm")
    rows = shelf.all(
        "select id, question, expires_at, claimed_by, escalated, view from gates where state = 'open' order by expires_at, id limit 200"
    )
    for id_, question, expires, claimed, escalated, view in rows:
        stored = _gate.decode(view)
        who = f"claimed by {claimed}" if claimed else ", ".join(seat_label(seat) for seat in stored.seats)
        level = "alarm" if escalated else "warning" if expires and expires - now < WITHIN_S else "notice"
        yield ShiftLine(kind="gate", id=id_, text=question, at=expires or 0.0, who=who, level=level)
    rows = shelf.all(
        f"select id, artifact, version, state, stage, updated_at from rollouts where state in ({', '.join('?' * len(STOPPED))}) "
        "order by seq desc limit 50",
        STOPPED,
    )
    for id_, artifact, version, state, stage, updated in rows:
        words = f"{artifact} {version} {state.replace('_', ' ')}" + (f" at {stage}" if stage else "")
        yield ShiftLine(kind="rollout", id=id_, text=words, at=updated, level="warning")
    rows = shelf.all(
        "select id, title, attention, updated_at from runs where attention <> '' and ended_at is null "
        "and not (status = 'waiting' and gates > 0) order by seq desc limit 100"
    )
    for id_, title, attention, updated in rows:
        yield ShiftLine(kind="run", id=id_, text=f"{title}: {attention}", at=updated, level="warning")
    for case in sorted(
        shelf.find("case", limit=500, order="-updated_at"), key=lambda each: (each.priority or 9, each.created_at)
    ):
        if case.state not in CASE_OVER and (case.safety_related or 0 < case.priority <= 2):
            words = f"P{case.priority} {case.state.replace('_', ' ')}: {case.title}"
            yield ShiftLine(
                kind="case", id=case.id, text=words, at=case.created_at, who=case.assignee or "unclaimed",
                level="alarm" if case.safety_related else "warning",
            )  # fmt: skip
    for owed in shelf.find("followup", state="open", limit=100, order="created_at"):
        yield ShiftLine(
            kind="incident", id=owed.incident, text=f"{owed.id} {owed.what.replace('_', ' ')} is owed", at=owed.created_at,
            who=owed.owner, level="notice",
        )  # fmt: skip


# -- what ends soon ------------------------------------------------------------------------------------------------


def ends(shelf: Shelf, now: float, until: float, policy: Mapping[str, Json]) -> Iterable[ShiftLine]:
    """What ends or is due up to `until`, and what is overdue; in no order. The calendar shows the same."""
    rows = shelf.all(
        "select id, question, expires_at, claimed_by from gates where state = 'open' and expires_at <= ? and expires_at > 0 limit 200",
        (until,),
    )
    for id_, question, expires, claimed in rows:
        yield ShiftLine(kind="gate", id=id_, text=f"decision: {question}", at=expires, who=claimed, level="warning")
    for one in shelf.find("incident", limit=200):
        if one.state in INCIDENT_OVER:
            continue
        for clock in one.clocks:
            if not clock.filed_at and 0 < clock.due <= until:
                words = f"{one.id} clock {clock.regime}: {clock.title or 'report'} is due"
                yield ShiftLine(kind="incident", id=one.id, text=words, at=clock.due, who=one.ic, level="alarm")
        if 0 < one.update_due <= until:
            yield ShiftLine(
                kind="incident", id=one.id, text=f"{one.id}: everybody waits for the next word", at=one.update_due,
                who=one.ic, level="warning",
            )  # fmt: skip
    for case in shelf.find("case", limit=500, order="-updated_at"):
        if case.state in CASE_OVER:
            continue
        for clock in clocks(case, policy, now):
            if clock.state == "running" and 0 < clock.due <= until:
                words = f"P{case.priority} {clock.name}: {case.title}"
                yield ShiftLine(
                    kind="case", id=case.id, text=words, at=clock.due, who=case.assignee or "unclaimed", level="warning"
                )
    for grant in shelf.find("grant", state="active", limit=500, order="expires_at"):
        if 0 < grant.expires_at <= until:
            words = f"access ends: {grant.title or grant.sort}"
            yield ShiftLine(kind="grant", id=grant.id, text=words, at=grant.expires_at, who=grant.actor, level="notice")
    for silence in shelf.find("silence", state=("asked", "active"), limit=200, order="ends_at"):
        if 0 < silence.ends_at <= until:
            what = ", ".join(f"{name}={value}" for name, value in sorted(silence.matchers.items()))
            words = f"silence ends: {what}"
            yield ShiftLine(
                kind="silence", id=silence.id, text=words, at=silence.ends_at, who=silence.owner, level="notice"
            )
    for duty in shelf.find("duty", state="on", limit=50):
        if 0 < duty.until <= until:
            words = f"shift of {duty.person} is planned to end"
            yield ShiftLine(kind="duty", id=duty.id, text=words, at=duty.until, who=duty.person, level="notice")
