"""Robots' lifecycle records: made when first needed, kept out of service and given back.

Each reason to keep a robot out (a case, an incident, a legal hold) stands by itself under its id: the robot goes back
when the last one is gone, not when the first is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.capabilities.fleet.entities import WORKING
from engine.capabilities.ports import Robot
from engine.capabilities.records import Emit, Records
from engine.contract.robots import RobotRecord

Json = Any


async def ensure_robot(records: Records, id: str, robot: Robot | None = None) -> RobotRecord:
    """The record of a robot, made when there is none yet. With `robot` (as its owners say it is now) what is known of it
    is filled in or brought up to date; a serial number that differs is left as it was, for a person to explain.
    """
    known: RobotRecord | None = await records.get("robot", id)
    told = _told(robot)
    if known is None:
        if robot is not None:
            told["serial"] = robot.serial
        made: RobotRecord = await records.create(
            "robot", {"title": id, **told}, key=f"robot/{id}", id=id, reason="first needed"
        )
        return made
    if robot is not None and not known.serial and robot.serial:
        told["serial"] = robot.serial
    if told.get("software") == known.software:
        told.pop("software_since", None)
    fresh = {name: value for name, value in told.items() if value and getattr(known, name) != value}
    if not fresh:
        return known
    changed: RobotRecord = await records.change("robot", id, set=fresh, reason="as its owners say")
    return changed


def _told(robot: Robot | None) -> dict[str, Json]:
    if robot is None:
        return {}
    return {
        "variant": robot.variant,
        "site": robot.site,
        "customer": robot.customer,
        "region": robot.region,
        "software": robot.version,
        "software_since": robot.last_seen_at,
        "op_mode": robot.mode,
    }


async def keep_out(
    records: Records, id: str, why: str, reason: str, *, robot: Robot | None = None, emit: Sequence[Emit] = ()
) -> RobotRecord:
    """Out of service for `why` (the id of a case, an incident, a hold), at once and whatever else holds it."""
    record = await ensure_robot(records, id, robot)
    if why in record.holds and not record.dispatchable:
        return record
    holds = [*record.holds, *([] if why in record.holds else [why])]
    to = "out_of_service" if record.state in WORKING else ""
    held: RobotRecord = await records.change(
        "robot", id, to=to, set={"holds": holds, "dispatchable": False}, reason=reason, emit=emit
    )
    return held


async def hand_over(records: Records, id: str, why: str, to: str, reason: str) -> RobotRecord | None:
    """What kept it out under one id does so under another (two cases of the same fault became one)."""
    record: RobotRecord | None = await records.get("robot", id)
    if record is None or why not in record.holds:
        return record
    holds = list(dict.fromkeys(to if one == why else one for one in record.holds))
    moved: RobotRecord = await records.change("robot", id, set={"holds": holds}, reason=reason)
    return moved


async def give_back(
    records: Records,
    id: str,
    why: str,
    reason: str,
    *,
    gate: str,
    person: str,
    emit: Sequence[Emit] = (),
) -> RobotRecord | None:
    """`why` no longer keeps it; when nothing else does, it is in service again. The decision is named: `gate`, `person`."""
    record: RobotRecord | None = await records.get("robot", id)
    if record is None:
        return None
    left = [one for one in record.holds if one != why]
    free = not left and record.state in ("out_of_service", *WORKING)
    to = "in_service" if free and record.state == "out_of_service" else ""
    if list(record.holds) == left and record.dispatchable == free and not to:
        return record
    back: RobotRecord = await records.change(
        "robot",
        id,
        to=to,
        set={"holds": left, "dispatchable": free},
        reason=reason,
        emit=emit if free else (),
        facts={"gate": gate, "person": person},
    )
    return back


async def retire(records: Records, id: str, reason: str) -> RobotRecord:
    """Taken out for good. Refused while a case on it is open or somebody controls it."""
    open_cases = await records.find("case", where={"robot": id}, limit=500)
    ids = [case.id for case in open_cases if case.state not in ("closed", "duplicate", "cancelled")]
    gone: RobotRecord = await records.change(
        "robot", id, to="retired", set={"dispatchable": False}, reason=reason, facts={"open_cases": ids}
    )
    return gone
