"""Control leases: who has a hand on a robot. Observing is free for many; assist and direct are one per robot, and a person
who drives one robot drives no other.

The check and the taking happen under one lock: an engine is alone on its database, so nothing can come between them.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from engine.capabilities.access.entities import LIVE
from engine.capabilities.fleet.robots import ensure_robot
from engine.capabilities.ports import ActionError
from engine.capabilities.records import Change, Emit, Records
from engine.contract.access import ControlLease

HANDS = ("assist", "direct")
MOST = 1_000
_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


class LeaseTaken(ActionError):
    """Somebody else has the robot, or this person has another one. Nothing was changed."""

    def __init__(self, message: str) -> None:
        super().__init__("LeaseTaken", message, kind="conflict", retryable=False)


def taken() -> asyncio.Lock:
    """The lock under which leases are taken and given up."""
    return _locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())


async def acquire(
    records: Records,
    *,
    robot: str,
    holder: str,
    mode: str,
    grant: str,
    expires_at: float,
    now: float,
    site_ack_by: str = "",
    zone_clear: bool = False,
    latency_p95_ms: float = 0.0,
    deadman: bool = False,
) -> ControlLease:
    """The lease of this grant, held from now on. Asked twice it is the same lease. Raises LeaseTaken."""
    async with taken():
        live: list[ControlLease] = await records.find("lease", state=LIVE, limit=MOST)
        mine = next((one for one in live if one.grant == grant), None)
        if mine is not None and mine.state == "active":
            return mine
        others = [one for one in live if one.grant != grant and one.expires_at > now and one.mode in HANDS]
        if mode in HANDS:
            by = next((one for one in others if one.robot == robot), None)
            if by is not None:
                raise LeaseTaken(f"{robot} is held by {by.holder} ({by.mode}, {by.id})")
        if mode == "direct":
            other = next((one for one in others if one.holder == holder and one.mode == "direct"), None)
            if other is not None:
                raise LeaseTaken(f"{holder} drives {other.robot} ({other.id}): one robot per operator")
        if mine is None:
            mine = await records.create(
                "lease",
                {
                    "title": f"{holder} {mode} {robot}", "robot": robot, "holder": holder, "mode": mode, "grant": grant,
                    "expires_at": expires_at, "site_ack_by": site_ack_by, "latency_p95_ms": latency_p95_ms, "deadman": deadman,
                    "link_at": now,
                },
                key=f"lease/{grant}",
            )  # fmt: skip
        told = Emit(
            "qd.teleop.lease.acquired",
            {"lease": mine.id, "robot": robot, "holder": holder, "mode": mode, "grant": grant},
        )
        active: ControlLease = await records.change(
            "lease",
            mine.id,
            to="active",
            reason="everything it needs was there",
            emit=(told,),
            facts={"zone_clear": zone_clear},
        )
        if mode in HANDS:
            await _on_robot(records, robot, mine.id, "")
        return active


async def of_grant(records: Records, grant: str) -> list[ControlLease]:
    """The leases of a grant that still run (observing several robots takes one each)."""
    live: list[ControlLease] = await records.find("lease", state=LIVE, limit=MOST)
    return [one for one in live if one.grant == grant or one.grant.startswith(f"{grant}/")]


def ending(lease: ControlLease, *, to: str, reason: str) -> Change:
    """How a lease ends: expired, relinquished, revoked, or lost with its link."""
    to = "revoked" if to == "lost" and lease.state == "issued" else to
    data = {"lease": lease.id, "robot": lease.robot, "holder": lease.holder, "reason": reason, "how": to}
    return Change(
        kind="lease",
        id=lease.id,
        to=to,
        set={"reason": reason},
        reason=reason,
        emit=(Emit("qd.teleop.lease.lost", data),),
    )


async def off_robot(records: Records, lease: ControlLease) -> None:
    """The robot's own record no longer names it."""
    if lease.mode in HANDS:
        await _on_robot(records, lease.robot, "", lease.id)


async def _on_robot(records: Records, robot: str, lease: str, held: str) -> None:
    """The robot's own record names the lease of the hand on it, so that nobody retires or reboots it meanwhile."""
    record = await ensure_robot(records, robot)
    if (lease and record.lease != lease) or (held and record.lease == held):
        word = "a hand on it" if lease else "no hand on it any more"
        await records.change("robot", robot, set={"lease": lease}, reason=word)
