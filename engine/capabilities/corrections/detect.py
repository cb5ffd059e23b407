"""Interventions of one session, and whether the session is worth a look. Pure.

An intervention is a stretch in which a person drove. Flickers are counted and not opened; a flag that stays on for longer
than any intervention lasts is taken for stuck and says so. Two on one robot within the merge gap are one case.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from engine.capabilities.corrections.clips import AUTONOMOUS, Signals
from engine.contract.corrections import Suggestion
from engine.core.statistics import rate_ratio

Json = Any
CLOCKS = "clocks differ"
"""How the flag begins that says station and robot disagree about the time: the edges of that case are not trusted."""


class Found(Struct, frozen=True, kw_only=True):
    """One intervention: takeover and release (UTC epoch s), who, why it may have been, how bad."""

    t0: float
    t1: float
    by: str = "human"
    operator: str = ""
    link_ms: float = 0.0
    mode: str = ""
    anomaly: float = 0.0
    flags: tuple[str, ...] = ()
    merged: int = 1


class Seen(Struct, frozen=True, kw_only=True):
    """All of a session. `ignored` says what was counted and not opened, in words."""

    cases: tuple[Found, ...]
    ignored: tuple[str, ...]
    human_s: float
    count: int


def interventions(signals: Signals, policy: Mapping[str, Json], *, marks: Sequence[tuple[float, float]] = ()) -> Seen:
    """From the intervention flag; without one from the operating mode; without that from the recording's own marks."""
    stretches = _by_flag(signals) or _by_mode(signals) or [_plain(t0, t1) for t0, t1 in sorted(marks)]
    ignored: list[str] = []
    kept: list[Found] = []
    for one in stretches:
        length = one.t1 - one.t0
        if length < float(policy["min_length"]):
            ignored.append(f"flicker of {length:.2f} s at {one.t0 - signals.start:.1f} s")
            continue
        kept.append(_described(one, signals, policy))
    merged: list[Found] = []
    for one in kept:
        if merged and one.t0 - merged[-1].t1 <= float(policy["merge_gap"]) and one.by == merged[-1].by:
            merged[-1] = _joined(merged[-1], one)
        else:
            merged.append(one)
    human = sum(one.t1 - one.t0 for one in kept)
    return Seen(cases=tuple(merged), ignored=tuple(ignored), human_s=human, count=len(kept))


def _plain(t0: float, t1: float) -> Found:
    return Found(t0=t0, t1=t1)


def _by_flag(signals: Signals) -> list[Found]:
    found: list[Found] = []
    begun: tuple[float, bool, str, str, float] | None = None
    link = 0.0
    for row in sorted(signals.intervention):
        if row[1]:
            begun = begun or row
            link = max(link, row[4])
        elif begun is not None:
            found.append(Found(t0=begun[0], t1=row[0], by=begun[2], operator=begun[3], link_ms=link))
            begun, link = None, 0.0
    if begun is not None:
        found.append(
            Found(
                t0=begun[0],
                t1=max(signals.end, begun[0]),
                by=begun[2],
                operator=begun[3],
                link_ms=link,
                flags=("not released before the recording ended",),
            )
        )
    return found


def _by_mode(signals: Signals) -> list[Found]:
    found: list[Found] = []
    begun: tuple[float, str] | None = None
    for at, mode in sorted(signals.modes):
        if mode not in AUTONOMOUS and begun is None:
            begun = (at, mode)
        elif mode in AUTONOMOUS and begun is not None:
            found.append(Found(t0=begun[0], t1=at, mode=begun[1], by=_who(begun[1])))
            begun = None
    if begun is not None:
        found.append(Found(t0=begun[0], t1=max(signals.end, begun[0]), mode=begun[1], by=_who(begun[1])))
    return found


def _who(mode: str) -> str:
    """MANUAL and TEACH_IN mean a person stands at the robot (VDA 5050)."""
    return "site_staff" if mode in ("MANUAL", "TEACH_IN", "SERVICE") else "human"


def _described(one: Found, signals: Signals, policy: Mapping[str, Json]) -> Found:
    flags = list(one.flags)
    if one.t1 - one.t0 > float(policy["stuck_on"]):
        flags.append("stuck on")
    mode = one.mode or next((m for at, m in reversed(signals.modes) if one.t0 - 1 <= at <= one.t1), "")
    if any(one.t0 - 5 <= at <= one.t0 + 1 for at, _, _ in signals.troubles):
        flags.append("hardware fault reported")
    if one.link_ms > float(policy["link_alarm_ms"]):
        flags.append("slow link")
    offset = clock_offset(one, signals)
    if abs(offset) > float(policy["max_clock_offset"]):
        flags.append(f"{CLOCKS} by {offset:+.1f} s")
    near = [score for at, score in signals.anomaly if one.t0 - 5 <= at <= one.t0]
    by = "site_staff" if _who(mode) == "site_staff" else one.by
    return Found(
        t0=one.t0, t1=one.t1, by=by, operator=one.operator, link_ms=one.link_ms, mode=mode,
        anomaly=max(near, default=0.0), flags=tuple(dict.fromkeys(flags)), merged=one.merged,
    )  # fmt: skip


def clock_offset(one: Found, signals: Signals) -> float:
    """Station against robot: when the flag rose, less when the robot itself left its automatic mode. 0 when it can't be
    told."""
    ordered = sorted(signals.modes)
    changes = [
        at for (_, before), (at, after) in itertools.pairwise(ordered)
        if before in AUTONOMOUS and after not in AUTONOMOUS
    ]  # fmt: skip
    if not changes or not signals.intervention:
        return 0.0
    nearest = min(changes, key=lambda at: abs(at - one.t0))
    return round(one.t0 - nearest, 3) if abs(one.t0 - nearest) < 30 else 0.0


def _joined(one: Found, two: Found) -> Found:
    return Found(
        t0=one.t0, t1=two.t1, by=one.by, operator=one.operator or two.operator, link_ms=max(one.link_ms, two.link_ms),
        mode=one.mode or two.mode, anomaly=max(one.anomaly, two.anomaly), flags=tuple(dict.fromkeys((*one.flags, *two.flags))),
        merged=one.merged + two.merged,
    )  # fmt: skip


def suggest(found: Found, policy: Mapping[str, Json], *, task: str = "") -> Suggestion:
    """The cause that the rules give, in their order; people decide. Never a reason to act."""
    if task.startswith("test") or found.mode == "SERVICE":
        return Suggestion(cause="test", rule="test run", why="the session is a test or service run")
    if "stuck on" in found.flags:
        return Suggestion(
            cause="hardware", rule="flag stuck on", why=f"the flag stayed on for {(found.t1 - found.t0) / 60:.0f} min"
        )
    if found.by == "site_staff":
        return Suggestion(
            cause="environment", rule="site staff", why=f"a person at the robot moved it ({found.mode or 'by hand'})"
        )
    if "slow link" in found.flags:
        return Suggestion(
            cause="network",
            rule="slow link",
            why=f"link {found.link_ms:.0f} ms, alarm at {policy['link_alarm_ms']:g} ms",
        )
    if "hardware fault reported" in found.flags:
        return Suggestion(cause="hardware", rule="fault reported", why="the robot reported a fault just before")
    why = f"its own detector rose to {found.anomaly:.2f}" if found.anomaly >= 0.5 else "no other cause was seen"
    return Suggestion(cause="policy", rule="none of the others", why=why)


class Judged(Struct, frozen=True, kw_only=True):
    """Whether a session is flagged, with each rule that did."""

    flagged: bool
    why: tuple[str, ...]
    site_median: float | None
    rank: float


def judge(
    *,
    count: int,
    hours: float,
    human_s: float,
    duration_s: float,
    anomaly: float,
    site_rates: Sequence[float],
    calm: Sequence[float],
    policy: Mapping[str, Json],
) -> Judged:
    """`site_rates`: interventions per robot-hour of the site's sessions; `calm`: detector peaks of sessions without any."""
    why: list[str] = []
    if count >= int(policy["flag_interventions"]):
        why.append(f"{count} interventions (from {policy['flag_interventions']:g})")
    median = statistics.median(site_rates) if site_rates else None
    if median and hours > 0 and count / hours > float(policy["flag_rate_ratio"]) * median:
        why.append(
            f"{count} in {hours:.2f} h, more than {policy['flag_rate_ratio']:g} x the site's median {median:.2g} /h"
        )
    share = human_s / duration_s if duration_s > 0 else 0.0
    if share > float(policy["flag_human_share"]):
        why.append(f"a person drove {100 * share:.0f} % of the time ({human_s:.0f} of {duration_s:.0f} s)")
    bound = conformal(calm, float(policy["flag_conformal"]), int(policy["detector_min"]))
    if bound is not None and anomaly > bound:
        why.append(f"failure detector {anomaly:.2f} above its bound {bound:.2f} (ranks the queue only)")
    rank = count + share + (anomaly if bound is None else anomaly / max(bound, 1e-6))
    return Judged(flagged=bool(why), why=tuple(why), site_median=median, rank=round(rank, 4))


def often(mine: tuple[int, float], others: tuple[int, float], policy: Mapping[str, Json]) -> str:
    """In words, when an operator (events, hours) surely takes over more often than the others at the site; else empty."""
    found = rate_ratio(mine[0], mine[1], others[0], others[1])
    if mine[0] < int(policy["flag_interventions"]) or found.low is None or found.low <= float(policy["operator_ratio"]):
        return ""
    told = (
        "no other did"
        if found.ratio is None or math.isinf(found.ratio)
        else f"{found.ratio:.1f} x as often as the others"
    )
    return f"this operator takes over {told} ({mine[0]} in {mine[1]:.1f} h, others {others[0]} in {others[1]:.1f} h)"


def conformal(calm: Sequence[float], level: float, least: int) -> float | None:
    """Split-conformal upper bound: the ceil((n+1)(1-level))-th smallest score of calm sessions; None with too few."""
    n = len(calm)
    place = math.ceil((n + 1) * (1 - level))
    return sorted(calm)[place - 1] if n >= least and place <= n else None
