"""Incidents, holds, standing rules and follow-ups: their states and what has to hold before they move.

Rules:
1. An incident is resolved only when what has to follow was written down, and closed only when all of that is filed.
2. A legal hold is released by two people through a gate. A hold that only waits for evidence goes when the evidence is
   kept, and not before.
3. Robots change only by a decision: an incident is not in `monitoring` without one (a gate, or a break-glass record).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.capabilities.entities import Entity, Guard
from engine.contract.incidents import FollowUpView, HoldView, IncidentView, StandingRuleView

Facts = Mapping[str, Any]


def _graded(record: IncidentView, facts: Facts) -> str | None:
    return None if 1 <= record.sev <= 4 else "it has no severity yet (1 to 4; when unsure, the higher)"


def _decided(record: IncidentView, facts: Facts) -> str | None:
    decision = record.decision
    if decision is None:
        return "nothing was decided yet"
    return None if decision.gate or decision.break_glass else "there is neither a decision nor a break-glass record"


def _followed(record: IncidentView, facts: Facts) -> str | None:
    missing = [what for what in record.required if what not in {ref.what for ref in record.follow_ups}]
    return f"follow-ups are missing: {', '.join(missing)}" if missing else None


def _judged_false(record: IncidentView, facts: Facts) -> str | None:
    return None if facts.get("gate") or facts.get("person") else "only a person can call it a false alarm"


def _reviewed(record: IncidentView, facts: Facts) -> str | None:
    return None if facts.get("gate") else "the review is a gate"


def _filed(record: IncidentView, facts: Facts) -> str | None:
    left = facts.get("open_follow_ups")
    if left is None:
        return "nobody counted the open follow-ups"
    return f"{len(left)} follow-ups are not filed: {', '.join(left[:5])}" if left else None


def _released(record: HoldView, facts: Facts) -> str | None:
    if record.purpose == "preserve" and record.bundle:
        return None
    if record.purpose == "preserve" and not facts.get("gate"):
        return "its evidence is not kept yet"
    people = {str(person) for person in facts.get("people") or ()}
    if not facts.get("gate") or len(people) < 2:
        return "a legal hold is released by two people, through a gate"
    return None


def _gone(record: StandingRuleView, facts: Facts) -> str | None:
    return (
        f"{len(record.waiting)} robots have not been seen: {', '.join(record.waiting[:5])}" if record.waiting else None
    )


def _by_person(record: Any, facts: Facts) -> str | None:
    return None if facts.get("person") or facts.get("gate") else "only a person can do that"


ENTITIES: tuple[Entity, ...] = (
    Entity(
        kind="incident",
        table="incidents",
        prefix="I",
        shape=IncidentView,
        title="incident",
        start=("detected",),
        moves={
            "detected": ("triaged", "false_alarm"),
            "triaged": ("contained", "false_alarm"),
            "contained": ("mitigating", "false_alarm"),
            "mitigating": ("monitoring", "false_alarm"),
            "monitoring": ("mitigating", "resolved"),
            "resolved": ("mitigating", "reviewed"),
            "reviewed": ("closed",),
        },
        guards=(
            Guard("detected", "triaged", _graded, needs="a severity"),
            Guard("mitigating", "monitoring", _decided, needs="a decision, or a break-glass record"),
            Guard("monitoring", "resolved", _followed, needs="the follow-ups exist"),
            Guard("resolved", "reviewed", _reviewed, needs="the review's gate"),
            Guard("reviewed", "closed", _filed, needs="every follow-up is filed"),
            Guard("*", "false_alarm", _judged_false, needs="a person's word"),
        ),
    ),
    Entity(
        kind="hold",
        table="holds",
        prefix="H",
        shape=HoldView,
        title="hold",
        start=("active",),
        moves={"active": ("released",)},
        guards=(
            Guard(
                "active", "released", _released, needs="two people through a gate; or, for evidence, that it is kept"
            ),
        ),
        immutable_in={"released": ("robot", "incident", "purpose", "reason", "bundle")},
    ),
    Entity(
        kind="followup",
        table="followups",
        prefix="F",
        shape=FollowUpView,
        title="follow-up",
        start=("open",),
        moves={"open": ("filed", "waived"), "filed": ("done", "open")},
        guards=(Guard("open", "waived", _by_person, needs="a person's reason"),),
    ),
    Entity(
        kind="standing_rule",
        table="standing_rules",
        prefix="S",
        shape=StandingRuleView,
        title="standing rule",
        start=("active",),
        moves={"active": ("satisfied", "withdrawn")},
        guards=(
            Guard("active", "satisfied", _gone, needs="every robot was seen"),
            Guard("active", "withdrawn", _by_person, needs="a person's word"),
        ),
    ),
)
