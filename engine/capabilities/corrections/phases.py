"""The phases of an intervention, derived from what was recorded, for people to correct. Pure.

autonomous, pre_intervention (15 frames before the takeover, after Sirius), handover (until the person moves the robot),
recovery (back to where the policy knows its way, after RaC), correction (the task done by hand), resume, post. Edges are
not finer than half a second: people move them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from engine.capabilities.corrections.clips import Signals
from engine.contract.corrections import PHASES, Span

Json = Any
MOVES = 0.02
"""m/s over half a second: slower is standing."""
SMOOTH_S = 0.5
NEARER_M = 0.02
LEFT_M = 0.04
"""Farther than this from the takeover is a place the robot had come from, not the one where it stuck."""
MAX_SPANS = 40


def derive(signals: Signals, t0: float, t1: float, policy: Mapping[str, Json]) -> tuple[Span, ...]:
    """Spans in seconds from the takeover, without gaps. Where the recording can't tell handover or recovery, they are left
    out and the correction is longer."""
    start, end = min(signals.start - t0, 0.0), max(signals.end - t0, t1 - t0)
    release = t1 - t0
    pre = max(start, -float(policy["pre_frames"]) / float(policy["frame_rate"]))
    moving = _first_move(signals, t0, t1)
    handover = moving - t0 if moving is not None else 0.0
    back = _back_on_path(signals, t0, t1, t0 + handover)
    recovery = back - t0 if back is not None else handover
    resume = min(end, release + float(policy["resume"]))
    edges = [
        ("autonomous", start, pre),
        ("pre_intervention", pre, 0.0),
        ("handover", 0.0, handover),
        ("recovery", handover, recovery),
        ("correction", recovery, release),
        ("resume", release, resume),
        ("post", resume, end),
    ]
    step = float(policy["edge_step"])
    found = []
    for phase, a, b in edges:
        a, b = _on_grid(a, step), _on_grid(b, step)
        if b > a:
            found.append(Span(t0=a, t1=b, phase=phase))
    return tuple(found)


def _on_grid(value: float, step: float) -> float:
    return round(round(value / step) * step, 3)


def _speeds(signals: Signals) -> list[tuple[float, float]]:
    points = signals.positions
    return [(b[0], math.dist(a[1], b[1]) / (b[0] - a[0])) for a, b in itertools.pairwise(points) if b[0] > a[0]]


def _first_move(signals: Signals, t0: float, t1: float) -> float | None:
    """When the person first moved the robot after taking over: the first half second in which it went somewhere, so that a
    trembling sensor is no motion. Without positions, the first command of a person."""
    after = [(at, place) for at, place in signals.positions if t0 <= at <= t1]
    last = 0
    for at, place in after:
        while after[last][0] < at - SMOOTH_S:
            last += 1
        since, from_ = after[last]
        if at - since >= SMOOTH_S / 2 and math.dist(place, from_) / (at - since) > MOVES:
            return since
    if after:
        return None
    return next((at for at, human, speed in signals.human if human and speed > MOVES and t0 <= at <= t1), None)


def _back_on_path(signals: Signals, t0: float, t1: float, moved: float) -> float | None:
    """When the robot was back nearest to where it had been on its own, before it came to where it was taken over; None if
    it never turned back."""
    there = _nearest(signals.positions, t0)
    before = [place for at, place in signals.positions if t0 - 10.0 <= at < t0 and math.dist(place, there) > LEFT_M]
    after = [(at, place) for at, place in signals.positions if moved <= at <= t1]
    if not before or len(after) < 3:
        return None
    away = [(at, min(math.dist(place, known) for known in before)) for at, place in after]
    nearest = min(distance for _, distance in away)
    if away[0][1] - nearest <= NEARER_M:
        return None
    # the last moment on its old way, not the first touch of it: going back along it is all recovery
    on_it = [at for at, distance in away if distance <= nearest + NEARER_M / 2]
    turned = _farthest_back(after, there, on_it)
    return turned if turned > moved else None


def _farthest_back(
    after: Sequence[tuple[float, tuple[float, float, float]]], there: tuple[float, float, float], on_it: Sequence[float]
) -> float:
    """Among the moments on the old way, the one farthest from where it went wrong: there the person turned to the task."""
    moments = set(on_it)
    return max((math.dist(place, there), at) for at, place in after if at in moments)[1]


def features(signals: Signals, t0: float, t1: float) -> dict[str, float]:
    """What clustering compares: place of the takeover, direction and length of what the person did, speed and detector."""
    at = _nearest(signals.positions, t0)
    to = _nearest(signals.positions, t1)
    path = [place for moment, place in signals.positions if t0 <= moment <= t1]
    far = sum(math.dist(a, b) for a, b in itertools.pairwise(path))
    before = [speed for moment, speed in _speeds(signals) if t0 - 3 <= moment <= t0]
    delta = tuple(b - a for a, b in zip(at, to, strict=True))
    size = math.hypot(*delta) or 1.0
    peak = max((score for moment, score in signals.anomaly if t0 - 5 <= moment <= t0), default=0.0)
    return {
        "x": at[0], "y": at[1], "z": at[2], "dx": delta[0] / size, "dy": delta[1] / size, "dz": delta[2] / size,
        "length": t1 - t0, "distance": far, "speed": sum(before) / len(before) if before else 0.0, "anomaly": peak,
    }  # fmt: skip


def _nearest(points: Sequence[tuple[float, tuple[float, float, float]]], moment: float) -> tuple[float, float, float]:
    return min(points, key=lambda point: abs(point[0] - moment))[1] if points else (0.0, 0.0, 0.0)


def shifted(spans: Sequence[Span], by: float) -> tuple[Span, ...]:
    """The same with the begin of the person's longest phase moved: a known answer that only who looks will find."""
    places = [i for i, span in enumerate(spans) if i and span.phase in ("recovery", "correction", "handover", "resume")]
    if not places:
        return tuple(spans)
    at = max(places, key=lambda i: spans[i].t1 - spans[i].t0)
    edge = spans[at].t0 + by
    if not spans[at - 1].t0 < edge < spans[at].t1:
        edge = (spans[at].t0 + spans[at].t1) / 2
    out = list(spans)
    out[at - 1] = Span(t0=spans[at - 1].t0, t1=round(edge, 3), phase=spans[at - 1].phase)
    out[at] = Span(t0=round(edge, 3), t1=spans[at].t1, phase=spans[at].phase)
    return tuple(out)


def moved_edge(auto: Sequence[Span], shown: Sequence[Span]) -> tuple[int, float, float] | None:
    """Which edge was moved: its place, where it is, where it was shown."""
    for i, (a, b) in enumerate(zip(auto, shown, strict=False)):
        if abs(a.t0 - b.t0) > 1e-6:
            return i, a.t0, b.t0
    return None


def same_edges(one: Sequence[Span], two: Sequence[Span], tolerance: float = 0.05) -> bool:
    return len(one) == len(two) and all(
        a.phase == b.phase and abs(a.t0 - b.t0) <= tolerance and abs(a.t1 - b.t1) <= tolerance
        for a, b in zip(one, two, strict=True)
    )


def left_wrong(auto: Sequence[Span], shown: Sequence[Span], given: Sequence[Span]) -> bool:
    """Whether an annotator passed over a known answer: the moved edge stands nearer to where it was shown than to where it
    is."""
    moved = moved_edge(auto, shown)
    if moved is None:
        return False
    place, true, was_shown = moved
    phase = auto[place].phase
    theirs = next((span.t0 for span in given if span.phase == phase), None)
    return theirs is not None and abs(theirs - was_shown) < abs(theirs - true)


def wrong(spans: Sequence[Span], start: float, end: float) -> str:
    """Why these spans can't be taken; empty when they can: phases known, in time order, without gaps, inside the clip."""
    if not spans:
        return "no phase is given"
    if len(spans) > MAX_SPANS:
        return f"{len(spans)} phases; at most {MAX_SPANS}"
    for i, span in enumerate(spans):
        if span.phase not in PHASES:
            return f"phase {i + 1}: {span.phase[:40]!r} is none of {', '.join(PHASES)}"
        if not (math.isfinite(span.t0) and math.isfinite(span.t1)) or span.t1 <= span.t0:
            return f"phase {i + 1} ({span.phase}) ends at {span.t1:g} s, before it begins at {span.t0:g} s"
        if i and abs(span.t0 - spans[i - 1].t1) > 0.051:
            return f"there is a gap or overlap of {abs(span.t0 - spans[i - 1].t1):.1f} s before phase {i + 1} ({span.phase})"
    if spans[0].t0 < start - 0.6 or spans[-1].t1 > end + 0.6:
        return f"the clip has {start:.1f} to {end:.1f} s; the phases go from {spans[0].t0:.1f} to {spans[-1].t1:.1f} s"
    if not any(span.phase in ("handover", "recovery", "correction") for span in spans):
        return "none of them is what the person did (handover, recovery or correction)"
    return ""
