"""What a report means: its component and mode, how much it matters, whether it is this robot or the build it runs, and
whose it is. Pure; every number comes from the policy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from engine.contract.cases import UNKNOWN, CaseView

Json = Any


class Seen(Struct, frozen=True):
    """What the fleet shows beside one robot: others on the same build, how many of them have the same fault."""

    same_build: int = 0
    with_fault: tuple[str, ...] = ()
    same_site: int = 0
    site_with_fault: tuple[str, ...] = ()
    known: bool = True


class Route(Struct, frozen=True, kw_only=True):
    """Who has a case: the queue, the skill it needs, whom to call, and until when the site lets nobody in (0: open)."""

    queue: str
    skill: str
    runbook: str
    on_call: str
    closed_until: float = 0.0


def words(text: str) -> str:
    """A symptom as one compares it: lower case, words alone."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def component_of(symptom: str, policy: Mapping[str, Json]) -> str:
    """The component a symptom names; empty when it names none."""
    said = words(symptom)
    for name, marks in policy["components"].items():
        if any(mark in said for mark in marks):
            return str(name)
    return ""


def mode_of(symptom: str, policy: Mapping[str, Json]) -> str:
    """How the failure is seen, as far as the words say; `unknown` otherwise. A technician says it in the end."""
    said = words(symptom)
    for name, marks in policy["modes"].items():
        if any(mark in said for mark in marks):
            return str(name)
    return UNKNOWN


def fault_key(robot: str, mode: str, symptom: str) -> str:
    """What counts as the same fault of the same robot: its mode, or the words of the symptom when the mode is not known."""
    return f"{robot}/{mode if mode and mode != UNKNOWN else words(symptom)}"


def same_fault(case: CaseView, mode: str, symptom: str) -> bool:
    return fault_key("", case.mode, case.symptom) == fault_key("", mode, symptom)


def priority(impact: int, urgency: int, policy: Mapping[str, Json]) -> int:
    """P1 to P5. Raises KeyError for anything but 1 to 3."""
    return int(policy["priority"][f"{impact}/{urgency}"])


def weight(case: CaseView, policy: Mapping[str, Json]) -> tuple[int, int]:
    """Impact and urgency: as reported, else the policy's for where the report came from; safety is never low."""
    default = policy["sources"].get(case.source) or policy["sources"]["operator"]
    impact = case.impact or int(default["impact"])
    urgency = case.urgency or int(default["urgency"])
    if case.safety_related:
        impact = min(impact, 1)
        urgency = min(urgency, 2)
    return impact, urgency


def keeps_out(case: CaseView, rank: int, policy: Mapping[str, Json]) -> str:
    """Why the robot leaves dispatch, or nothing."""
    rule = policy["dispatch_hold"]
    if rule["safety_related"] and case.safety_related:
        return "the case is about safety"
    if rank and rank <= int(rule["priority"]):
        return f"the case is P{rank}"
    if rule["unknown_cause"] and case.cause in ("", UNKNOWN):
        return "its cause is not known"
    return ""


def hypothesis(case: CaseView, seen: Seen, policy: Mapping[str, Json]) -> tuple[str, list[str]]:
    """Release, hardware, site or unknown, with the grounds in words. The build is looked at first: a bad release looks
    like many broken robots."""
    if not seen.known:
        return UNKNOWN, ["the fleet could not be read: whether others have it is not known"]
    others = len(seen.with_fault)
    least = int(policy["release_suspect"]["robots"])
    grounds = [
        f"same build elsewhere: {seen.same_build} robots, {others} with this fault"
        + (f" ({', '.join(seen.with_fault[:4])}{', …' if others > 4 else ''})" if others else "")
    ]
    if others >= least:
        return "release", [*grounds, f"{others} other robots on this build report the same: look at the release first"]
    at_site = len(seen.site_with_fault)
    if at_site >= 2 and at_site >= others:
        return "site", [*grounds, f"{at_site} other robots of {case.site} have it, on any build: look at the site"]
    if seen.same_build >= 3 and others == 0:
        return "hardware", [*grounds, "nobody else on this build has it: this points to this robot"]
    return UNKNOWN, grounds


def route(case: CaseView, policy: Mapping[str, Json], now: float) -> Route:
    """The first route whose components fit; the last one takes what is left."""
    rules: Sequence[Mapping[str, Json]] = policy["routes"]
    found = next((one for one in rules if case.component and case.component in one["components"]), rules[-1])
    region = (case.region or "all").upper()
    level = case.level or policy["levels"][0]
    return Route(
        queue=str(found["queue"]).format(region=region, site=case.site or "all"),
        skill=str(found["skill"]),
        runbook=str(found["runbook"]),
        on_call=str(policy["on_call"].get(level, "")),
        closed_until=site_closed_until(case.site, policy, now),
    )


def site_closed_until(site: str, policy: Mapping[str, Json], now: float) -> float:
    """When a site lets somebody in again (UTC epoch s); 0 while it is open. Hours are in the site's own zone."""
    hours = policy["site_hours"].get(site)
    if not hours:
        return 0.0
    zone = ZoneInfo(str(hours["zone"]))
    first, _, last = str(hours["hours"]).partition("-")
    local = datetime.fromtimestamp(now, zone)
    opens, shuts = _of_day(local, first), _of_day(local, last)
    if shuts <= opens:  # over midnight
        open_now = local >= opens or local < shuts
    else:
        open_now = opens <= local < shuts
    if open_now:
        return 0.0
    coming = opens if local < opens else _of_day(local + timedelta(days=1), first)
    return coming.timestamp()


def _of_day(local: datetime, text: str) -> datetime:
    hour, _, minute = text.strip().partition(":")
    return local.replace(hour=int(hour) % 24, minute=int(minute or 0), second=0, microsecond=0)
