"""Who is on duty and what I watch, in one answer; a shift's report for whoever asks."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.capabilities.notices.rules import NoticePolicy
from engine.capabilities.oncall import things
from engine.capabilities.oncall.report import INCIDENT_OVER, report
from engine.capabilities.reads import Look, Read
from engine.contract.oncall import (
    HANDOVER_OPEN,
    WITHIN_S,
    HandoverRecord,
    OnCallView,
    QuietHours,
    ShiftReport,
    Watched,
)

Json = Any
LONGEST_S = 7 * 86_400.0


def view(look: Look, at: dict[str, str], query: dict[str, str]) -> OnCallView:
    me, now = look.person, look.now()
    on = look.find("duty", state="on", limit=50, order="since")
    mine = next((one for one in on if one.person == me), None)
    held: list[HandoverRecord] = look.find("handover", state=HANDOVER_OPEN, limit=50, order="-updated_at")
    last = next(iter(look.find("handover", state="accepted", limit=1, order="-answered_at")), None)
    led = tuple(one.id for one in look.find("incident", where={"ic": me}, limit=50) if one.state not in INCIDENT_OVER)
    return OnCallView(
        me=me, on_duty=tuple(on), mine=mine, handovers=tuple(_light(one) for one in held), last=_light(last) if last else None,
        commands=led, watched=_watched(look), quiet=quiet(look, now), verbs=_verbs(me, mine is not None, led, held), as_of=now,
    )  # fmt: skip


def _light(one: HandoverRecord) -> HandoverRecord:
    return msgspec.structs.replace(one, report=ShiftReport())


def _watched(look: Look) -> tuple[Watched, ...]:
    mine = look.find("watch", state="on", where={"person": look.person}, limit=200)
    return tuple(things.watched(look, mine))


def quiet(look: Look, now: float) -> QuietHours | None:
    """The quiet hours that run, else the next within a day: the rules of the notices are their one home."""
    rules = NoticePolicy.of(look.policy("notices")).quiet
    if not rules.from_ or not rules.to or not rules.severities:
        return None
    kind = rules.severities[0]
    end = rules.until(kind, now)
    if end > now:
        return QuietHours(since=now, until=end, severities=rules.severities)
    for minutes in range(1, 24 * 60 * 7, 5):
        start = now - now % 60 + minutes * 60
        if (end := rules.until(kind, start)) > start:
            return QuietHours(since=start, until=end, severities=rules.severities)
    return None


def _verbs(me: str, on_duty: bool, led: tuple[str, ...], held: list[HandoverRecord]) -> dict[str, str]:
    offered = next((one for one in held if one.state == "offered" and one.giver == me), None)
    theirs = [one for one in held if one.state == "offered" and one.giver != me and one.to in ("", me)]
    give = "" if on_duty else "you are not on duty"
    if on_duty and led:
        give = f"you command {', '.join(led)}: hand it over first"
    elif on_duty and offered is not None:
        give = f"{offered.id} waits for its receiver"
    nothing = "" if theirs else "no handover is offered to you"
    return {
        "duty.take": "you are on duty already" if on_duty else "",
        "duty.give": give,
        "handover.offer": f"{offered.id} is offered already" if offered is not None else "",
        "handover.withdraw": "" if offered is not None else "you have offered nothing",
        "handover.accept": nothing,
        "handover.decline": nothing,
    }


def shift(look: Look, at: dict[str, str], query: dict[str, str]) -> ShiftReport:
    """For `person` (who asks, when empty), since `since`; without it, since their shift began or their last one ended."""
    return report(
        look, query.get("person") or look.person, look.now(), policy=look.policy("maintenance"),
        since=_number(query.get("since", "")), within_s=min(_number(query.get("within", "")) or WITHIN_S, LONGEST_S),
    )  # fmt: skip


def _number(text: str) -> float:
    """A number of seconds that can be one; anything else counts as not said."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value < 1e12 else 0.0


READS: tuple[Read, ...] = (
    Read(path="/v1/oncall", shape=OnCallView, says="Who is on duty, what is offered, what I watch, when it is quiet.", give=view),
    Read(
        path="/v1/oncall/report", shape=ShiftReport, says="What a shift has to know: happened, waits, ends soon.", give=shift,
        queries=("person", "since", "within"),
    ),
)  # fmt: skip
