"""Where a robot stands with hawkBit, put together from what the server says in several places. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from msgspec import Struct

from connectors.devices import Hardware, Polled
from connectors.hawkbit_rows import DOWNLOADING, Action, DistributionSet, Target, shown
from connectors.remote_text import clean
from engine.capabilities.ports import InstallReport
from engine.capabilities.systems.ports import RemoteObject


class Standing(Struct):
    """Where one robot stands. `order` is its open action, or the last one when that failed; `begun`: it has taken it up.

    `withdrawn`: the failure was laid to rest, nothing is wanted of the robot any more.
    """

    target: Target
    installed: str = ""
    installed_id: int = 0
    order: Action | None = None
    begun: bool = False
    withdrawn: bool = False

    @property
    def failed(self) -> bool:
        return self.target.updateStatus == "error" and not (self.order is not None and self.order.open)

    @property
    def wanted(self) -> int:
        """The set that the robot is to have."""
        if self.order is None or self.withdrawn or self.order.state == "canceling":
            return self.installed_id
        return self.order.set_id

    @property
    def still(self) -> bool:
        """Nothing will be installed at its next poll."""
        if self.order is None or self.withdrawn:
            return True
        return self.order.state == "canceling" and not self.begun


def digest(one: DistributionSet) -> str:
    """The server publishes digests of artifacts, not of a set: this one is of what the set is made of."""
    parts = sorted(f"{m.type}/{m.name}/{m.version}" for m in one.modules)
    return "set:" + hashlib.sha256("\n".join([one.name, one.version, *parts]).encode()).hexdigest()


def report(one: Standing, sets: Mapping[int, DistributionSet]) -> InstallReport:
    order, error = one.order, ""
    wanted = sets.get(one.wanted)
    desired = wanted.version if wanted else one.installed
    if order is None or one.withdrawn:
        state = "done" if one.target.updateStatus == "in_sync" else "idle"
    elif one.failed:
        state, error = "failed", "the last install failed; it is assigned to nothing until it is told again"
    elif one.begun:
        state = "downloading" if order.state in DOWNLOADING else "installing"
        if order.state == "cancel_rejected":
            error = "the robot refused to leave the install it has begun"
    elif order.state == "canceling":
        state = "idle"
    else:
        state = "assigned"
        if order.state == "wait_for_confirmation":
            error = "waits until it is confirmed at the robot"
    return InstallReport(
        robot=one.target.controllerId,
        state=state,
        desired=clean(desired, 64),
        reported=clean(one.installed, 64),
        progress=100 if state == "done" else 0,
        last_seen_at=one.target.polled_at,
        error=error,
    )


def device(one: Standing, now: float) -> Polled:
    target = one.target
    poll = target.pollStatus
    every = None
    if poll and poll.lastRequestAt and poll.nextExpectedRequestAt and poll.nextExpectedRequestAt > poll.lastRequestAt:
        every = (poll.nextExpectedRequestAt - poll.lastRequestAt) / 1000
    return Polled(
        id=target.controllerId,
        sw_version=one.installed or None,
        hardware=Hardware(revision=clean(target.targetTypeName, 60)) if target.targetTypeName else None,
        last_seen=max(0.0, now - target.polled_at) if target.polled_at else None,
        poll_seconds=every,
    )


def mirrored_device(one: Standing, sets: Mapping[int, DistributionSet]) -> RemoteObject:
    found = report(one, sets)
    return RemoteObject(
        id=clean(one.target.controllerId, 200),
        name=clean(one.target.name or one.target.controllerId, 200),
        state=shown(one.target.updateStatus),
        changed_at=one.target.lastModifiedAt / 1000,
        data={
            "installed": found.reported,
            "desired": found.desired,
            "install": found.state,
            "type": clean(one.target.targetTypeName, 60),
            "group": clean(one.target.group or "", 120),
            "overdue": bool(one.target.pollStatus and one.target.pollStatus.overdue),
        },
    )


def mirrored_set(one: DistributionSet) -> RemoteObject:
    state = "deleted" if one.deleted else "invalid" if not one.valid else "complete" if one.complete else "incomplete"
    return RemoteObject(
        id=str(one.id),
        name=clean(f"{one.name} {one.version}", 200),
        state=state,
        changed_at=one.lastModifiedAt / 1000,
        data={"version": clean(one.version, 64), "set": clean(one.name, 120), "type": clean(one.typeName, 120)},
    )
