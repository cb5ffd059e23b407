"""What an incident's actions read from the owners: who runs what, and what robots did in a window."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from engine.capabilities.incidents.suspects import Seen
from engine.capabilities.ports import ActionError, Context, Fleet, InstallReport, Robot, Updates
from engine.capabilities.records import Emit
from engine.capabilities.rollout.eligibility import offline
from engine.capabilities.rollout.measure import increase
from engine.contract.incidents import Entry, IncidentView

Json = Any
POINTS = 48
"""Points read of a counter of which only the increase matters."""
MOST_ROBOTS = 400
MOST_ENTRIES = 300
TRIES = 20


def plain(value: Any) -> Json:
    """A value as the book keeps it: lists, dictionaries and leaves only."""
    return msgspec.json.decode(msgspec.json.encode(value))


async def incident_of(context: Context, id_: str) -> IncidentView:
    """Raises ActionError `NoSuchIncident`."""
    found = await context.records.get("incident", id_)
    if found is None:
        raise ActionError("NoSuchIncident", f"there is no incident {id_!r}", kind="validation", retryable=False)
    incident: IncidentView = found
    return incident


async def amend(
    records: Any,
    id_: str,
    change: Callable[[IncidentView], Mapping[str, Json]],
    *,
    at: float,
    who: str = "engine",
    what: str = "",
    to: str = "",
    emit: Sequence[Emit] = (),
    facts: Mapping[str, Json] | None = None,
) -> IncidentView:
    """Changes an incident on its newest revision: several hands work on one at once, and none may lose another's line.

    `what` goes to the timeline; `change` gives the fields to set from the incident as it stands at that moment.
    """
    for _ in range(TRIES):
        incident = await records.get("incident", id_)
        if incident is None:
            raise ActionError("NoSuchIncident", f"there is no incident {id_!r}", kind="validation", retryable=False)
        fields = dict(change(incident))
        if what:
            fields["timeline"] = plain(with_line(incident, Entry(at=at, who=who, what=what[:300])))
        try:
            changed: IncidentView = await records.change(
                "incident", id_, to=to if to != incident.state else "", set=fields, reason=what, emit=emit,
                expect=incident.rev, facts=facts,
            )  # fmt: skip
        except ActionError as error:
            if error.error != "Conflict":
                raise
            continue
        return changed
    raise ActionError("Conflict", f"incident {id_} is being changed by too many at once", kind="conflict")


def with_line(incident: IncidentView, entry: Entry) -> list[Entry]:
    entries = list(incident.timeline)
    if not entries or (entries[-1].who, entries[-1].what) != (entry.who, entry.what):
        entries.append(entry)
    return entries[-MOST_ENTRIES:]


async def robots_of(context: Context) -> dict[str, Robot]:
    fleet: Fleet = context.port("fleet")
    return {robot.id: robot for robot in await fleet.robots()}


async def standing(context: Context) -> tuple[dict[str, Robot], dict[str, InstallReport]]:
    updates: Updates = context.port("updates")
    robots, reports = await asyncio.gather(robots_of(context), updates.reports())
    return robots, {report.robot: report for report in reports}


async def seen(
    context: Context, robots: Sequence[Robot], since: Mapping[str, float], *, critical: bool = True
) -> list[Seen]:
    """Events, operating hours and heartbeats of each robot from its own `since` until now."""
    signals = context.port("signals")
    described = context.policy("rollout")["signals"]
    heartbeat = float(context.policy("hotfix")["suspects"]["heartbeat"])
    now = context.now()
    names = sorted(robot.id for robot in robots if since.get(robot.id, now) < now)
    if not names:
        return []
    start = min(since[name] for name in names)
    step = max(30.0, (now - start) / POINTS)
    events = [*described["rate"], *(described["critical"] if critical else ())]
    metrics = [described["exposure"], described["heartbeats"], *(signal["metric"] for signal in events)]
    grid = now - step * (int((now - start) / step) + 1)
    found = await asyncio.gather(*(signals.range(metric, grid, now, step, names) for metric in metrics))
    hours, beats, *counters = found
    by_id = {robot.id: robot for robot in robots}
    return [
        Seen(
            robot=name, version=by_id[name].version, site=by_id[name].site, variant=by_id[name].variant,
            events=round(math.fsum(increase(counter.get(name, ()), since[name]) for counter in counters)),
            hours=increase(hours.get(name, ()), since[name]) / 3600.0,
            heard=min((now - since[name]) / heartbeat, increase(beats.get(name, ()), since[name])),
            expected=(now - since[name]) / heartbeat,
        )
        for name in names
    ]  # fmt: skip


def compared(robots: Mapping[str, Robot], affected: Sequence[str], version: str) -> list[Robot]:
    """The affected robots and those to compare them with: the same sites and variants first, in an order nobody picks."""
    mine = [robots[name] for name in affected if name in robots]
    strata = {(robot.site, robot.variant) for robot in mine}
    others = [r for r in robots.values() if r.id not in set(affected) and not offline(r) and r.version != version]

    def order(robot: Robot) -> tuple[bool, bytes]:
        key = hashlib.sha256(f"{version}/{robot.id}".encode()).digest()
        return (robot.site, robot.variant) not in strata, key

    return [*mine[: MOST_ROBOTS // 2], *sorted(others, key=order)[: MOST_ROBOTS // 2]]
