"""The context bundle: what was known about a robot and its like when a case was opened. Kept under its digest, never
changed; what could not be read within the time is named in it, not left out in silence.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from engine.capabilities.cases import judging
from engine.capabilities.ports import ActionError, Fleet, InstallReport, Robot, Sample, Signals
from engine.capabilities.records import Records
from engine.contract.cases import CASE_OVER, CaseView

Json = Any
DAY = 86_400.0
HOUR = 3_600.0
SHOWN = 8


class Gathering:
    """Parts of a bundle, each with its own share of the time; one that fails is named and the others stand."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self.parts: dict[str, Json] = {}
        self.missing: list[str] = []

    async def add(self, name: str, make: Callable[[], Awaitable[Json]]) -> None:
        try:
            self.parts[name] = await asyncio.wait_for(make(), self._limit_s)
        except (ActionError, OSError, TimeoutError) as error:
            self.missing.append(name)
            self.parts[name] = {"missing": str(error)[:200] or "not answered in time"}


def increase(samples: Sequence[Sample]) -> float:
    """How much a counter grew, with resets (it starts again at zero) taken into account."""
    return sum(
        after.value - before.value if after.value >= before.value else after.value
        for before, after in itertools.pairwise(samples)
    )


async def gather(
    case: CaseView,
    *,
    records: Records,
    port: Callable[[str], Any],
    policy: Mapping[str, Json],
    now: float,
    trigger: Json,
    real_limit_s: float,
) -> tuple[dict[str, Json], list[str], judging.Seen]:
    """The bundle, the names of its missing parts, and what the fleet shows. `real_limit_s` bounds each part by the wall."""
    bundle = Gathering(real_limit_s)
    fleet: list[Robot] = []
    seen = judging.Seen(known=False)

    async def robots() -> Json:
        source: Fleet = port("fleet")
        fleet.extend(await source.robots())
        mine = next((one for one in fleet if one.id == case.robot), None)
        if mine is None:
            raise ActionError("NoSuchRobot", f"{case.robot} is not in the fleet", retryable=False)
        return _robot(mine)

    async def software() -> Json:
        reports: Sequence[InstallReport] = await port("updates").reports([case.robot])
        mine = next((one for one in reports if one.robot == case.robot), None)
        if mine is None:
            raise ActionError("NoReport", f"the update server knows no {case.robot}", retryable=False)
        return {"desired": mine.desired, "reported": mine.reported, "state": mine.state, "error": mine.error[:500]}

    async def signals() -> Json:
        return await _signals(port("signals"), case.robot, policy, now)

    async def standing() -> Json:
        return await _standing(records, case)

    await asyncio.gather(
        bundle.add("robot", robots), bundle.add("software", software), bundle.add("signals", signals),
        bundle.add("open", standing),
    )  # fmt: skip
    cases: list[CaseView] = await records.find("case", limit=2_000, order="-created_at")
    if fleet:
        seen = look_around(case, fleet, cases, policy, now)
        bundle.parts["same_build"] = {
            "build": next((one.version for one in fleet if one.id == case.robot), case.software),
            "robots": seen.same_build,
            "with_fault": list(seen.with_fault[:50]),
            "site_robots": seen.same_site,
            "site_with_fault": list(seen.site_with_fault[:50]),
        }
    else:
        bundle.missing.append("same_build")
    bundle.parts["similar"] = similar(case, cases, policy, now)
    bundle.parts["changed"] = await changed(records, case, cases, policy, now)
    bundle.parts["case"] = {"id": case.id, "robot": case.robot, "symptom": case.symptom, "source": case.source}
    bundle.parts["trigger"] = trigger
    bundle.parts["site"] = {
        "name": case.site,
        "customer": case.customer,
        "closed_until": judging.site_closed_until(case.site, policy, now),
    }
    bundle.parts["at"] = now
    bundle.parts["missing"] = sorted(bundle.missing)
    return bundle.parts, bundle.missing, seen


def look_around(
    case: CaseView, fleet: Sequence[Robot], cases: Sequence[CaseView], policy: Mapping[str, Json], now: float
) -> judging.Seen:
    """Other robots on the same build and at the same site, and which of them have the same fault."""
    mine = next((one for one in fleet if one.id == case.robot), None)
    build = mine.version if mine else case.software
    others = [one for one in fleet if one.id != case.robot]
    alike = [one for one in others if build and one.version == build]
    here = [one for one in others if case.site and one.site == case.site]
    faulty = {
        one.robot for one in cases
        if one.id != case.id and one.state not in ("cancelled",) and now - one.created_at <= policy["symptom_window"]
        and judging.same_fault(one, case.mode, case.symptom)
    }  # fmt: skip
    return judging.Seen(
        same_build=len(alike),
        with_fault=tuple(sorted(one.id for one in alike if one.id in faulty)),
        same_site=len(here),
        site_with_fault=tuple(sorted(one.id for one in here if one.id in faulty)),
    )


def similar(case: CaseView, cases: Sequence[CaseView], policy: Mapping[str, Json], now: float) -> dict[str, Json]:
    """Cases with the same mode on the same variant that were solved, and by what."""
    found = [
        one for one in cases
        if one.id != case.id and one.state == "closed" and one.variant == case.variant
        and now - one.created_at <= policy["similar_window"] and judging.same_fault(one, case.mode, case.symptom)
    ]  # fmt: skip
    fixes = Counter(f"{one.item} {one.mechanism}".strip() for one in found if one.item)
    hours = [one.downtime_h for one in found if one.downtime_h > 0]
    return {
        "n": len(found),
        "window_d": policy["similar_window"] / DAY,
        "fixed_by": [[what, count] for what, count in fixes.most_common(3)],
        "median_h": round(statistics.median(hours), 2) if hours else None,
        "cases": [
            {
                "case": one.id,
                "robot": one.robot,
                "cause": one.cause,
                "item": one.item,
                "resolution": one.resolution[:200],
            }
            for one in found[:SHOWN]
        ],
    }


async def changed(
    records: Records, case: CaseView, cases: Sequence[CaseView], policy: Mapping[str, Json], now: float
) -> list[dict[str, Json]]:
    """What changed on this robot lately: parts, software, identity, place; newest first."""
    found: list[dict[str, Json]] = []
    window = policy["changed_window"]
    for one in cases:
        if one.robot == case.robot and one.id != case.id and one.closed_at and now - one.closed_at <= window:
            what = ", ".join(part.name for part in one.parts) or one.resolution[:80] or one.item
            found.append({"what": f"{what} ({one.id})", "at": one.closed_at})
            if one.software_after and one.software_before and one.software_after != one.software_before:
                found.append(
                    {"what": f"software {one.software_before} to {one.software_after} ({one.id})", "at": one.closed_at}
                )
    if await records.get("robot", case.robot) is not None:
        for event in await records.history("robot", case.robot):
            if now - event.at > window:
                continue
            for name in ("software", "site", "variant", "serial"):
                if event.rev > 1 and event.set.get(name):
                    found.append({"what": f"{name} {event.set[name]}", "at": event.at})
    return sorted(found, key=lambda one: -one["at"])[:SHOWN]


async def _signals(port: Signals, robot: str, policy: Mapping[str, Json], now: float) -> Json:
    window = float(policy["signals_window"])
    found = {}
    for name in policy["signals"]["health"]:
        series = (await port.range(name, now - window, now, 60.0, [robot])).get(robot, [])
        found[name] = {
            "increase": round(increase(series), 3) if series else None,
            "last": series[-1].value if series else None,
            "samples": len(series),
        }
    return {"window_s": window, "series": found}


async def _standing(records: Records, case: CaseView) -> Json:
    mine = await records.find("case", where={"robot": case.robot}, limit=50)
    incidents = await records.find("incident", limit=50)
    return {
        "cases": [one.id for one in mine if one.id != case.id and one.state not in CASE_OVER],
        "incidents": [
            {"id": one.id, "title": one.title, "state": one.state}
            for one in incidents
            if one.state not in ("closed", "reviewed", "false_alarm")
        ][:SHOWN],
    }


def _robot(robot: Robot) -> dict[str, Json]:
    return {
        "id": robot.id,
        "serial": robot.serial,
        "site": robot.site,
        "region": robot.region,
        "customer": robot.customer,
        "variant": robot.variant,
        "mode": robot.mode,
        "version": robot.version,
        "soc": robot.battery,
        "online": robot.online,
        "last_seen_at": robot.last_seen_at,
    }
