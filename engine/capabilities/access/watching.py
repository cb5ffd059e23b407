"""What ends a hand on a robot, or a shell, before its time: what happens to the robot while somebody has access to it."""

from __future__ import annotations

from engine.capabilities.access import facts, leases
from engine.capabilities.access.facts import Looks
from engine.contract.access import AccessRequest, ControlLease, Grant

NO_HANDS = ("MANUAL", "TEACH_IN", "SERVICE", "STARTUP")
"""Operating modes (VDA 5050) in which nobody far away has a hand on a robot."""


async def interrupted(
    look: Looks, request: AccessRequest, grant: Grant, lease: ControlLease | None
) -> tuple[str, str] | None:
    """What happened to the robot: it crossed a border, was put on hold as evidence, somebody stepped in, or it is gone."""
    hands = lease is not None and lease.mode in leases.HANDS
    if lease is None and "shell" not in grant.actions:
        return None
    # a shell is what an outage is mended with: it does not hang on the fleet's answer
    seen = await facts.found(look, request) if lease is not None else facts.Found()
    now = {item.region for item in seen.items if item.region}
    before = set(request.classification.subject_regions)
    if lease is not None and before and (new := sorted(now - before)):
        return (
            "revoked",
            f"{', '.join(grant.robots[:3])} is now in {', '.join(new)}, granted for {', '.join(sorted(before))}",
        )
    held = await facts.holds(look, request, seen, look.policy("access"))
    if held["on"] and (hands or "shell" in grant.actions) and not grant.breakglass:
        return "revoked", f"held: {held['text']}; what is there is evidence"
    robot = seen.robots[0] if seen.robots else {}
    if hands and robot and robot["mode"] in NO_HANDS:
        return "revoked", f"{robot['id']} is in {robot['mode']}: somebody on site has it"
    if hands and robot and not robot["online"]:
        return "lost", f"{robot['id']} does not answer: it goes to its minimal-risk state"
    return None
