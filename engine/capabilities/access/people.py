"""Who asks, as the directory knows them: employer, place, device, qualifications, and who answers to whom. Pure.

The directory is the `actors` of the policy pack (written there by hand, or by whoever syncs it from the company's own).
Nobody is anything by default: an unknown person has no employer, no place and no qualification.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

Json = Any
NEVER = -1.0
"""A length of time that is not known, or something that never happened. No rule takes it for a yes."""


def actor(policy: Mapping[str, Json], person: str, *, now: float, seen_at: float) -> dict[str, Json]:
    """What is known of a person at `now` (UTC epoch s). `seen_at` is when they last acted through their own login."""
    entry = entry_of(policy, person)
    operator = str(policy.get("operator") or "")
    employer = str(entry.get("employer") or "")
    until = when(entry.get("until"))
    qualified = when(entry.get("qualified_until"))
    return {
        "id": person,
        "known": bool(entry),
        "active": bool(entry) and (until is None or now < until),
        "shared": bool(entry.get("shared")),
        "kind": str(entry.get("kind") or ("staff" if employer and employer == operator else "external")),
        "employer": employer,
        "internal": bool(operator) and employer == operator,
        "location": str(entry.get("location") or ""),
        "location_source": str(entry.get("location_source") or "unknown"),
        "region": region_of(policy, str(entry.get("location") or "")),
        "mfa_age_s": _mfa(entry.get("mfa"), now, seen_at),
        "managed": bool(entry.get("managed")),
        "until_s": NEVER if until is None else max(0.0, until - now),
        "age": number(entry.get("age")),
        "licence_years": number(entry.get("licence_years")),
        "trained": bool(entry.get("trained")),
        "qualified_s": NEVER if qualified is None else qualified - now,
        "qualified_until": str(entry.get("qualified_until") or "never"),
        "on_shift": bool(entry.get("on_shift")),
        "network": str(entry.get("network") or ""),
    }


def entry_of(policy: Mapping[str, Json], person: str) -> dict[str, Json]:
    found = (policy.get("actors") or {}).get(person)
    return dict(found) if isinstance(found, Mapping) else {}


def region_of(policy: Mapping[str, Json], place: str) -> str:
    """The region a place lies in; what the map does not know is a region of its own, so that it never counts as ours."""
    regions = policy.get("regions") or {}
    return str(regions.get(place) or (place.lower() if place.lower() in set(regions.values()) else place))


def reporting_line(policy: Mapping[str, Json], person: str) -> tuple[str, ...]:
    """Everyone above and below a person: none of them approves for them."""
    managers = {name: str(entry.get("manager") or "") for name, entry in (policy.get("actors") or {}).items()}
    found: dict[str, None] = {}
    above = managers.get(person, "")
    while above and above not in found and above != person:
        found[above] = None
        above = managers.get(above, "")
    below = [person]
    while below:
        boss = below.pop()
        for name, manager in managers.items():
            if manager == boss and name != person and name not in found:
                found[name] = None
                below.append(name)
    return tuple(found)


def desk(policy: Mapping[str, Json], region: str, asking: str) -> tuple[str, int]:
    """A desk in the region that could do it instead, and how many qualified people are on shift there."""
    found: dict[str, int] = {}
    for name, entry in (policy.get("actors") or {}).items():
        ready = name != asking and entry.get("on_shift") and entry.get("qualified_until") and entry.get("desk")
        if ready and region_of(policy, str(entry.get("location") or "")) == region:
            found[str(entry["desk"])] = found.get(str(entry["desk"]), 0) + 1
    return max(found.items(), key=lambda one: (one[1], one[0]), default=("", 0))


def _mfa(value: Json, now: float, seen_at: float) -> float:
    """Seconds since the second factor. `session`: the login demands it, so it is as old as what was done through it."""
    if value == "session":
        return max(0.0, now - seen_at)
    at = when(value)
    return NEVER if at is None or at > now else now - at


def number(value: Json) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else NEVER


def when(value: Json) -> float | None:
    """A date or time of the pack as UTC epoch seconds; None when it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=value.tzinfo or datetime.UTC).timestamp()
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC).timestamp()
    if not isinstance(value, str) or not value:
        return None
    try:
        found = datetime.datetime.fromisoformat(value)
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or datetime.UTC).timestamp()
