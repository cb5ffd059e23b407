"""The lives of a shift, a handover, a watch and an acknowledgement.

A handover is nobody's word but the receiver's: no time, no rule and no giver can accept it.
"""

from __future__ import annotations

from typing import Any

from engine.capabilities.entities import ANY, Entity, Facts, Guard
from engine.contract.oncall import Acknowledgement, DutyRecord, HandoverRecord, WatchRecord


def _received(handover: Any, facts: Facts) -> str | None:
    if not handover.receiver or facts.get("person") != handover.receiver:
        return f"{handover.id} is accepted by the receiver's own hand alone"
    if handover.receiver == handover.giver:
        return f"{handover.giver} can't accept what {handover.giver} hands over"
    if handover.to and handover.to != handover.receiver:
        return f"{handover.id} is offered to {handover.to}"
    return None if handover.answered_at else f"{handover.id} was accepted at no time"


def _over(duty: Any, facts: Facts) -> str | None:
    return None if duty.ended_at and duty.ended_by else f"who ended {duty.id}, and when?"


_TOLD = ("giver", "to", "report", "digest", "note", "duty", "incidents")
_SETTLED = (*_TOLD, "receiver", "answered_at", "transferred", "kept")

ENTITIES = (
    Entity(
        kind="duty",
        table="duties",
        prefix="DU",
        shape=DutyRecord,
        start=("on",),
        moves={"on": ("off",)},
        guards=(Guard("on", "off", _over, "who ended it, and when"),),
        immutable_in={"on": ("person", "since"), "off": ("person", "since", "ended_at", "handed_to")},
        title="shift",
    ),
    Entity(
        kind="handover",
        table="handovers",
        prefix="HO",
        shape=HandoverRecord,
        start=("prepared",),
        moves={"prepared": ("offered", "withdrawn"), "offered": ("accepted", "declined", "withdrawn")},
        guards=(Guard(ANY, "accepted", _received, "the receiver, who is not the giver, and the time"),),
        immutable_in={
            "offered": _TOLD,
            **dict.fromkeys(("accepted", "declined", "withdrawn"), _SETTLED),
        },
        title="handover",
    ),
    Entity(
        kind="watch",
        table="watches",
        prefix="WA",
        shape=WatchRecord,
        start=("on",),
        moves={"on": ("off",)},
        immutable_in={"on": ("person", "of_kind", "of"), "off": ("person", "of_kind", "of")},
        title="watch",
        quiet=True,
    ),
    Entity(
        kind="acknowledgement",
        table="acknowledgements",
        prefix="ACK",
        shape=Acknowledgement,
        start=("held",),
        moves={"held": ("over",)},
        immutable_in=dict.fromkeys(("held", "over"), ("person", "system", "alert", "fired_at")),
        title="acknowledgement",
    ),
)
