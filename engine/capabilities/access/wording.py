"""How access is said to people: one sentence for who wants what, and words for limits. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from engine.contract.access import AccessRequest, Classification, Volume

Json = Any
WANTS = {
    "view": "LOOK AT",
    "copy": "COPY",
    "export": "EXPORT",
    "shell": "A SHELL ON",
    "observe": "OBSERVE",
    "assist": "ASSIST",
    "direct": "DIRECT DRIVE OF",
}
NAMED = 3


def sentence(request: AccessRequest, *, robots: Sequence[dict[str, Json]] = (), until: float = 0.0) -> str:
    """Who, from where, will do what, to which robots or data, until when, because."""
    employer = f"{request.employer}, " if request.employer else ""
    place = request.actor_location or "place unknown"
    who = f"{request.requester} ({employer}in {place})"
    if request.on_behalf_of:
        who += f" for {request.on_behalf_of}"
    because = f' because "{request.purpose}"' if request.purpose else " without a purpose"
    ticket = f", ticket {request.ticket}" if request.ticket else ""
    verb = "took" if request.breakglass else "wants"
    return f"{who} {verb} {WANTS.get(request.action, request.action)} {subject(request, robots)} {limit(request, until)}{because}{ticket}"


def limit(request: AccessRequest, until: float) -> str:
    return f"until {clock(until)}" if until else f"for {length(request.duration_s)}"


def subject(request: AccessRequest, robots: Sequence[dict[str, Json]] = ()) -> str:
    """What it is about; a robot by two names that have nothing to do with each other (its id; serial tail and site)."""
    parts: list[str] = []
    if request.robots:
        by_id = {robot["id"]: robot for robot in robots}
        for name in request.robots[:NAMED]:
            robot = by_id.get(name, {})
            second = ", ".join(
                one
                for one in (
                    f"..{str(robot['serial'])[-4:]}" if robot.get("serial") else "",
                    str(robot.get("site") or ""),
                )
                if one
            )
            parts.append(f"{name} ({second})" if second else name)
        if len(request.robots) > NAMED:
            parts.append(f"{len(request.robots) - NAMED} more robots")
    if request.sessions:
        shown = ", ".join(request.sessions[:NAMED])
        parts.append(
            f"session {shown}" if len(request.sessions) == 1 else f"{len(request.sessions)} sessions ({shown} …)"
        )
    if request.snapshot:
        parts.append(f"snapshot {request.snapshot}")
    if request.files:
        parts.append("1 file" if len(request.files) == 1 else f"{len(request.files)} files")
    if request.site and not request.robots:
        parts.append(f"the gateway of {request.site}" if request.action == "shell" else request.site)
    return ", ".join(parts) or "nothing named"


def title(request: AccessRequest) -> str:
    """For lists."""
    return f"{request.requester}: {WANTS.get(request.action, request.action).lower()} {subject(request)}"


def shown(classes: Classification) -> str:
    """What would be seen or taken, with its amount."""
    names = [one.name.replace("_", " ") for one in classes.counts]
    volume = classes.volume
    parts = [", ".join(names) or "nothing"]
    if classes.live:
        parts.append("shown live")
    if volume.files:
        parts.append(f"{volume.files} files, {volume.minutes:.0f} min, {size(volume.bytes)}")
    parts.append(faces(volume) if "personal_video" in classes.classes else "")
    return " · ".join(one for one in parts if one)


def faces(volume: Volume) -> str:
    if volume.faces is None:
        return "faces likely, nobody counted"
    return f"{volume.faces} faces, {volume.plates or 0} plates" if volume.faces or volume.plates else ""


def size(count: float) -> str:
    """Bytes in the words of the field (powers of ten)."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{int(count)} B"


def length(seconds: float) -> str:
    if seconds >= 2 * 86_400:
        return f"{seconds / 86_400:.0f} d"
    if seconds >= 7_200:
        return f"{seconds / 3_600:.3g} h"
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


def clock(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%d %b %H:%MZ")
