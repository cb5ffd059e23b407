"""Whose recording it is: the robot in its header, the one the uploader names, the one in the file's name. Three that should
be one; when they are not, nobody guesses which is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from engine.capabilities.data.facts import Facts
from engine.contract.sessions import Finding

Json = Any


class Claim(Struct, frozen=True, kw_only=True):
    """What is said about a recording by whoever sent it (the manifest, a campaign)."""

    name: str = ""
    robot: str = ""
    site: str = ""
    sha256: str = ""
    task: str = ""
    operator: str = ""


class Twin(Struct, frozen=True, kw_only=True):
    """A session that is here already. `how`: same_bytes, same_recording, overlap."""

    session: str
    name: str
    how: str
    share: float = 1.0


class Known(Struct, frozen=True, kw_only=True):
    """What the engine knows: robots of the fleet with their serials, other sessions, the time (UTC epoch s)."""

    robots: Mapping[str, str] = field(default_factory=dict)
    twins: tuple[Twin, ...] = ()
    now: float = 0.0
    overlap: float = 0.9


def header(facts: Facts) -> dict[str, str]:
    """What the recording says about itself."""
    for name in ("session", "episode"):
        if name in facts.metadata:
            return facts.metadata[name]
    return {}


def named_robot(name: str, robot: str, robots: Iterable[str]) -> str:
    """The robot that a file is named for: one of the fleet, or a name of the same shape as `robot`; empty when none."""
    shape = re.sub(r"\d+", r"\\d+", re.escape(robot)) if robot else ""
    found = re.findall(rf"(?<![A-Za-z0-9]){shape}(?!\d)", name) if shape else []
    others = [other for other in found if other != robot]
    if others and robot not in found:
        return str(others[0])
    if robot and robot in found:
        return robot
    return next(
        (other for other in robots if re.search(rf"(?<![A-Za-z0-9]){re.escape(other)}(?![A-Za-z0-9])", name)), ""
    )


def identity(facts: Facts, claim: Claim, known: Known) -> Iterable[Finding]:
    """Findings about whose it is, and whether it is here already."""
    said = header(facts)
    robot = said.get("robot", "")
    for twin in known.twins:
        if twin.how == "overlap":
            severity = "fail" if twin.share > known.overlap else "warn"
            yield Finding(
                check="overlap", severity=severity, value=round(twin.share, 3), limit=known.overlap,
                text=f"{twin.share:.0%} of its time is in {twin.session} too ({twin.name})",
            )  # fmt: skip
            continue
        how = "the same bytes as" if twin.how == "same_bytes" else "the same recording in another container as"
        yield Finding(check="duplicate", severity="fail", text=f"{how} {twin.session} ({twin.name})")
    if claim.sha256 and claim.sha256 != facts.digest and not facts.container:
        yield Finding(
            check="not_as_sent", severity="fail", text="its digest is not the one its sender names: not what was sent"
        )
    if not facts.messages:
        return
    if not robot and not claim.robot:
        yield Finding(
            check="no_robot", severity="fail", text="neither its header nor its sender says which robot it is of"
        )
        return
    if robot and claim.robot and robot != claim.robot:
        yield Finding(
            check="wrong_robot", severity="fail", text=f"recorded by {robot}, sent as a recording of {claim.robot}"
        )
    if not robot:
        yield Finding(
            check="header", severity="warn", text=f"its header names no robot; {claim.robot} is what its sender says"
        )
    owner = robot or claim.robot
    named = named_robot(claim.name, owner, known.robots)
    if named and named != owner:
        yield Finding(check="look_alike", severity="fail", text=f"named for {named}, recorded by {owner}")
    if known.robots and owner not in known.robots:
        yield Finding(check="unknown_robot", severity="warn", text=f"{owner} is not in the fleet")
    serial, registered = said.get("serial", ""), known.robots.get(owner, "")
    if serial and registered and serial != registered:
        yield Finding(
            check="serial", severity="fail", text=f"{owner} has serial {registered}, the recording was made by {serial}"
        )
    if claim.site and said.get("site") and said["site"] != claim.site:
        yield Finding(check="site", severity="warn", text=f"recorded at {said['site']}, sent from {claim.site}")
    calibrated = facts.metadata.get("calibration", {}).get("robot", "")
    if calibrated and calibrated != owner:
        yield Finding(check="calibration", severity="fail", text=f"its calibration is of {calibrated}, not of {owner}")
