"""A robot's life as a table: it leaves service at once, and comes back only by a person's decision."""

from __future__ import annotations

from typing import Any

from engine.capabilities.entities import ANY, Entity, Facts, Guard
from engine.contract.robots import RobotRecord

WORKING = ("in_service", "degraded")


def _returned(robot: Any, facts: Facts) -> str | None:
    """Back to service needs the gate that decided it, and nothing that still keeps the robot out."""
    if not facts.get("gate") or not facts.get("person"):
        return f"{robot.id} comes back to service by the gate return_to_service only, with the person who decided"
    if robot.holds:
        return f"{robot.id} is still kept out of service by {', '.join(robot.holds)}"
    return None


def _retired(robot: Any, facts: Facts) -> str | None:
    if robot.lease:
        return f"{robot.id} is under control lease {robot.lease}"
    if facts.get("open_cases") is None:
        return f"whether {robot.id} has open cases was not looked up"
    if facts["open_cases"]:
        return f"{robot.id} has open cases: {', '.join(facts['open_cases'])}"
    return None


ENTITIES = (
    Entity(
        kind="robot",
        table="robot_records",
        prefix="RB",
        shape=RobotRecord,
        start=("in_service", "provisioned", "commissioned"),
        moves={
            "provisioned": ("commissioned", "retired"),
            "commissioned": ("in_service", "retired"),
            "in_service": ("degraded", "out_of_service", "retired"),
            "degraded": ("in_service", "out_of_service", "retired"),
            "out_of_service": ("in_service", "retired"),
        },
        guards=(
            Guard("out_of_service", "in_service", _returned, "the gate return_to_service, and no hold left"),
            Guard(ANY, "retired", _retired, "no open case and no control lease"),
        ),
        title="robot",
    ),
)
