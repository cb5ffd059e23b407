"""What people do to a robot's record: say that a board was changed (it is still the same robot), or retire it."""

from __future__ import annotations

from typing import Any

from engine.capabilities.desk import Args, Desk, DeskVerb, Foreseen, Given, Name, Short
from engine.capabilities.fleet.robots import retire
from engine.capabilities.records import Emit
from engine.contract.robots import RobotRecord, SerialChange

Json = Any
TAIL = 4


class Reidentify(Args, frozen=True, kw_only=True):
    serial: Name
    reason: Given
    phrase: Short = ""


class Retire(Args, frozen=True, kw_only=True):
    reason: Given
    phrase: Short = ""


async def _reidentify(desk: Desk, robot: RobotRecord, args: Reidentify) -> Json:
    """The same robot under another serial number; the old one stays in its history."""
    if args.serial == robot.serial:
        desk.refuse("same", f"{robot.id} has serial {robot.serial} already", field="serial")
    other = await desk.records.find("robot", where={"serial": args.serial}, limit=2)
    if taken := [one.id for one in other if one.id != robot.id]:
        desk.refuse(
            "taken", f"{args.serial} is the serial of {taken[0]}", "one of the two is not what it is called", "serial"
        )
    was = SerialChange(serial=robot.serial, until=desk.now(), by=desk.person, reason=args.reason[:500])
    found = await desk.records.change(
        "robot",
        robot.id,
        set={"serial": args.serial, "serial_history": [*robot.serial_history, was]},
        reason=f"{desk.person}: {args.reason}",
        emit=[Emit("qd.robot.reidentified", {"robot": robot.id, "from": robot.serial, "to": args.serial})],
    )
    return {"id": found.id, "serial": found.serial}


async def _reidentify_foreseen(desk: Desk, robot: RobotRecord, args: Reidentify) -> Foreseen:
    said = (
        f"{robot.id} is from now on the robot with serial {args.serial}",
        f"{robot.serial or 'no serial'} goes into its history; grants and cases stay with it",
    )
    return Foreseen(said, f"reidentify {robot.id} {args.serial[-TAIL:]}")


async def _retire(desk: Desk, robot: RobotRecord, args: Retire) -> Json:
    found = await retire(desk.records, robot.id, f"{desk.person}: {args.reason}")
    return {"id": found.id, "state": found.state}


async def _retire_foreseen(desk: Desk, robot: RobotRecord, args: Retire) -> Foreseen:
    return Foreseen((f"{robot.id} never comes back to service",), f"retire {robot.id} {robot.serial[-TAIL:]}".rstrip())


VERBS = (
    DeskVerb(
        name="robot.reidentify", args=Reidentify, says="record another serial number for a robot", do=_reidentify,
        kind="robot", foresee=_reidentify_foreseen, risk=True,
    ),
    DeskVerb(
        name="robot.retire", args=Retire, says="retire a robot", do=_retire, kind="robot", foresee=_retire_foreseen,
        risk=True,
    ),
)  # fmt: skip
