"""What keeps robots and versions from being touched, whoever asks: holds, control leases, open incidents, revocations.

Asked at every freeze, at every look of an install and before robots are sent back: an event that nobody waited for at
that moment must not be the only thing that stops a rollout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

OPEN_INCIDENT = ("detected", "triaged", "contained", "mitigating", "monitoring")
MOST = 5_000


class Restraints(Struct, frozen=True, kw_only=True):
    """`held` and `leased`: robot -> why. `barred`: version -> why nobody may install it now."""

    held: Mapping[str, str] = {}
    leased: Mapping[str, str] = {}
    barred: Mapping[str, str] = {}

    def of(self, robot: str) -> str:
        """Why this robot must not be touched; empty when it may."""
        return self.held.get(robot) or self.leased.get(robot) or ""


NONE = Restraints()


async def restraints(context: Any) -> Restraints:
    """As the records stand now."""
    records = context.records
    if records is None:
        return NONE
    held: dict[str, str] = {}
    for hold in await _found(records, "hold", "active"):
        what = "legal hold" if hold.purpose == "legal" else "held until its evidence is kept"
        held[hold.robot] = f"{what} {hold.id}" + (f" ({hold.incident})" if hold.incident else "")
    leased: dict[str, str] = {}
    for robot in await _found(records, "robot", ()):
        lease = getattr(robot, "lease", "")
        if lease:
            leased[robot.id] = f"under a control lease ({lease if isinstance(lease, str) else 'held'})"
    barred: dict[str, str] = {}
    for artifact in await _found(records, "artifact", "revoked"):
        if artifact.version:
            barred[artifact.version] = f"{artifact.version} is revoked ({artifact.id})"
    for incident in await _found(records, "incident", OPEN_INCIDENT):
        if incident.version and not incident.draft and not incident.released_rollouts:
            barred[incident.version] = f"incident {incident.id} is open on {incident.version}"
    return Restraints(held=held, leased=leased, barred=barred)


async def _found(records: Any, kind: str, state: Any) -> list[Any]:
    try:
        found: list[Any] = await records.find(kind, state=state, limit=MOST)
    except ValueError:  # this installation knows no records of that kind
        return []
    return found
