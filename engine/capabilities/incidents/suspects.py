"""Which change is it? Robots that have a change against robots that have not, by the exact ratio of two rates. Pure.

No cause is named below a least number of events, nor while the detector itself may be blind: with too few heartbeats
the answer is that nobody knows. What came to the same robots together can't be told apart, and is said to be so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from engine.contract.incidents import Suspect
from engine.core.statistics import holm, rate_ratio

Json = Any
TOGETHER = 0.8
"""Share of robots two changes have in common (of all that have either) from which they can't be told apart."""


class Seen(Struct, frozen=True, kw_only=True):
    """What one robot did in the window: events, operating hours, heartbeats heard and expected."""

    robot: str
    version: str = ""
    site: str = ""
    variant: str = ""
    events: int = 0
    hours: float = 0.0
    heard: float = 0.0
    expected: float = 0.0


class Ranking(Struct, frozen=True, kw_only=True):
    """`coverage` 0..1; `blind` says why no cause can be named at all, empty when one could."""

    suspects: tuple[Suspect, ...] = ()
    also: tuple[str, ...] = ()
    coverage: float = 0.0
    blind: str = ""


def rank(
    seen: Sequence[Seen], *, version: str, changes: Sequence[Mapping[str, Json]], policy: Mapping[str, Json]
) -> Ranking:
    """Suspects by how far the lower bound of their ratio lies from 1, worst first.

    `changes` are those somebody named: `{name, kind, robots}` (a map, a configuration, a shift). Releases, sites and
    variants are found in what was seen.
    """
    expected = math.fsum(one.expected for one in seen)
    coverage = min(1.0, math.fsum(one.heard for one in seen) / expected) if expected > 0 else 0.0
    blind = ""
    if coverage < policy["coverage"]:
        blind = f"coverage {coverage:.0%} of heartbeats, below {policy['coverage']:.0%}: it may be the telemetry that failed"
    groups = _groups(seen, version, changes)
    total = sum(one.events for one in seen)
    everything = frozenset(one.robot for one in seen)
    rows = [_contrast(name, kind, names, seen) for name, kind, names in groups if names and names != everything]
    # a site or a variant is where robots are, not what changed on them: it is shown, and takes no share of the error rate
    tested = [row for row in rows if row.p is not None and row.kind not in ("site", "variant")]
    adjusted = dict(zip([row.change for row in tested], holm([row.p or 0.0 for row in tested]), strict=True))
    members = {name: names for name, _, names in groups}
    suspects = []
    for row in rows:
        p = adjusted.get(row.change, row.p)
        also = tuple(
            other for other, _, names in groups if other != row.change and _together(names, members[row.change])
        )
        enough = total >= policy["min_events"] and row.hours >= policy["min_hours"]
        blamed = bool(
            not blind and enough and row.kind not in ("site", "variant")
            and row.low is not None and row.low > 1.0 and p is not None and p <= policy["alpha"]
        )  # fmt: skip
        suspects.append(_worded(row, p=p, also=also, blamed=blamed, total=total, policy=policy))
    suspects.sort(key=lambda row: (not row.blamed, row.kind in ("site", "variant"), -(row.low or 0.0)))
    together = tuple(dict.fromkeys(other for row in suspects if row.blamed for other in row.also))
    return Ranking(suspects=tuple(suspects[:12]), also=together, coverage=coverage, blind=blind)


def _groups(
    seen: Sequence[Seen], version: str, changes: Sequence[Mapping[str, Json]]
) -> list[tuple[str, str, frozenset[str]]]:
    present = {one.robot for one in seen}
    found: list[tuple[str, str, frozenset[str]]] = []
    newest = {one.version for one in seen if one.version}
    usual = max(sorted(newest - {version}), key=lambda name: sum(one.version == name for one in seen), default="")
    for release in sorted(newest, key=lambda name: (name != version, name)):
        if release == usual:
            continue  # what most robots run is what the others are compared with
        found.append((release, "release", frozenset(one.robot for one in seen if one.version == release)))
    for change in changes:
        names = frozenset(str(name) for name in change.get("robots") or ()) & present
        found.append((str(change.get("name", "?"))[:80], str(change.get("kind", "change"))[:20], names))
    affected = [one for one in seen if not version or one.version == version]
    for site in sorted({one.site for one in affected if one.site}):
        found.append((f"site {site}", "site", frozenset(one.robot for one in seen if one.site == site)))
    for variant in sorted({one.variant for one in affected if one.variant}):
        found.append((f"variant {variant}", "variant", frozenset(one.robot for one in seen if one.variant == variant)))
    return found


def _contrast(name: str, kind: str, names: frozenset[str], seen: Sequence[Seen]) -> Suspect:
    with_, without = [o for o in seen if o.robot in names], [o for o in seen if o.robot not in names]
    k, n = sum(o.events for o in with_), math.fsum(o.hours for o in with_)
    kb, nb = sum(o.events for o in without), math.fsum(o.hours for o in without)
    found = rate_ratio(k, n, kb, nb)
    return Suspect(
        change=name, kind=kind, robots=len(with_), events=k, hours=n, other_events=kb, other_hours=nb,
        ratio=_finite(found.ratio), low=_finite(found.low), high=_finite(found.high), p=found.p,
    )  # fmt: skip


def _worded(
    row: Suspect, *, p: float | None, also: tuple[str, ...], blamed: bool, total: int, policy: Mapping[str, Json]
) -> Suspect:
    rates = f"{row.events}/{row.hours:.0f} h against {row.other_events}/{row.other_hours:.0f} h"
    if row.low is None:
        text = f"{row.change}: {rates}, nothing to compare"
    elif total < policy["min_events"]:
        text = f"{row.change}: {rates}; {total} events in all, no cause is named below {int(policy['min_events'])}"
    else:
        high = f"{row.high:.1f}" if row.high is not None else "?"
        ratio = f"{row.ratio:.1f}" if row.ratio is not None else "all"
        text = f"{row.change} ratio {ratio} [{row.low:.1f} {high}] {rates}"
        if not blamed and not (row.low > 1.0):
            text += ", not shown worse"
    return Suspect(
        change=row.change, kind=row.kind, robots=row.robots, events=row.events, hours=round(row.hours, 2),
        other_events=row.other_events, other_hours=round(row.other_hours, 2), ratio=row.ratio, low=row.low, high=row.high,
        p=p, blamed=blamed, also=also, text=text,
    )  # fmt: skip


def _together(one: frozenset[str], other: frozenset[str]) -> bool:
    either = one | other
    return bool(either) and len(one & other) / len(either) >= TOGETHER


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")
