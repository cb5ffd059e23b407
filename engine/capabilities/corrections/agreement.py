"""Whether annotators agree on phases: Krippendorff's alpha with an interval, temporal overlap, and settling by the mean.

Units are half a second (phase edges are not finer); alpha is nominal: 1 - observed/expected disagreement of pairable
values. The interval is a seeded bootstrap over clips (over units when there is one clip). Acceptance: 0.80; 0.667 to 0.80
is tentative. Pure.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from engine.contract.corrections import Agreement, PhaseAnnotation, Span

UNIT_S = 0.5
PEOPLE = ("handover", "recovery", "correction")
RESAMPLES = 400

Units = list[tuple[str, str]]


def alpha(units: Sequence[tuple[str, str]]) -> float | None:
    """Krippendorff's alpha of two annotators on nominal values; None with no units, 1.0 when both only ever say one word."""
    if not units:
        return None
    n = 2 * len(units)
    counts = Counter(value for pair in units for value in pair)
    observed = sum(a != b for a, b in units) / len(units)
    expected = 1 - sum(c * (c - 1) for c in counts.values()) / (n * (n - 1))
    if expected == 0:
        return 1.0 if observed == 0 else 0.0
    return 1 - observed / expected


def units(one: Sequence[Span], two: Sequence[Span]) -> Units:
    """The phase each annotator gave in the middle of every half second of what happened.

    Only the stretch that at least one of them calls an intervention counts (with what leads up to it and the resume):
    minutes that both call autonomous would make any two people agree.
    """
    if not one or not two:
        return []
    low, high = _worked(one), _worked(two)
    start, end = min(low[0], high[0]), max(low[1], high[1])
    start, end = max(start, one[0].t0, two[0].t0), min(end, one[-1].t1, two[-1].t1)
    found: Units = []
    at = start + UNIT_S / 2
    while at < end:
        pair = phase_at(one, at), phase_at(two, at)
        if all(pair):
            found.append(pair)
        at += UNIT_S
    return found


def _worked(spans: Sequence[Span]) -> tuple[float, float]:
    inside = [span for span in spans if span.phase not in ("autonomous", "post")] or list(spans)
    return inside[0].t0, inside[-1].t1


def phase_at(spans: Sequence[Span], t: float) -> str:
    return next((span.phase for span in spans if span.t0 <= t < span.t1), "")


def overlap(one: Sequence[Span], two: Sequence[Span]) -> float | None:
    """Mean over what the person did (handover, recovery, correction) of intersection over union in time; a phase that one
    of them did not use counts as 0."""
    shares = []
    for phase in PEOPLE:
        mine = [(s.t0, s.t1) for s in one if s.phase == phase]
        theirs = [(s.t0, s.t1) for s in two if s.phase == phase]
        if not mine and not theirs:
            continue
        both = sum(max(0.0, min(a1, b1) - max(a0, b0)) for a0, a1 in mine for b0, b1 in theirs)
        union = sum(b - a for a, b in mine) + sum(b - a for a, b in theirs) - both
        shares.append(both / union if union > 0 else 0.0)
    return sum(shares) / len(shares) if shares else None


def worst_edge(one: Sequence[Span], two: Sequence[Span]) -> float:
    """The largest distance between the begins of the same phase, seconds."""
    theirs = {span.phase: span.t0 for span in reversed(two)}
    return max((abs(span.t0 - theirs[span.phase]) for span in one if span.phase in theirs), default=0.0)


def of_clips(pairs: Sequence[tuple[Sequence[Span], Sequence[Span]]], *, seed: int = 1) -> Agreement:
    """Agreement over all clips that two people annotated."""
    each = [units(one, two) for one, two in pairs]
    every = [unit for clip in each for unit in clip]
    value = alpha(every)
    if value is None:
        return Agreement(pairs=len(pairs))
    low, high = _interval(each, every, seed)
    shares = [share for one, two in pairs if (share := overlap(one, two)) is not None]
    return Agreement(
        alpha=value,
        low=low,
        high=high,
        n=len(every),
        iou=sum(shares) / len(shares) if shares else None,
        pairs=len(pairs),
        edge_worst_s=max((worst_edge(one, two) for one, two in pairs), default=0.0),
    )


def _interval(each: Sequence[Units], every: Units, seed: int) -> tuple[float, float]:
    chance = random.Random(seed)  # a label's interval is no secret: seeded, so that it can be recomputed
    values = []
    for _ in range(RESAMPLES):
        if len(each) > 1:
            drawn = [unit for clip in chance.choices(each, k=len(each)) for unit in clip]
        else:
            drawn = chance.choices(every, k=len(every))
        value = alpha(drawn)
        if value is not None:
            values.append(value)
    values.sort()
    if not values:
        return 0.0, 1.0
    return values[int(0.025 * (len(values) - 1))], values[int(0.975 * (len(values) - 1))]


def mean_spans(one: Sequence[Span], two: Sequence[Span]) -> tuple[Span, ...] | None:
    """Both with each edge in the middle; None when they don't have the same phases in the same order."""
    if [s.phase for s in one] != [s.phase for s in two]:
        return None
    edges = [(a.t0 + b.t0) / 2 for a, b in zip(one, two, strict=True)]
    ends = [*edges[1:], (one[-1].t1 + two[-1].t1) / 2] if one else []
    return tuple(
        Span(t0=round(t0, 3), t1=round(t1, 3), phase=span.phase)
        for t0, t1, span in zip(edges, ends, one, strict=True)
        if t1 > t0
    )


def settled(
    annotations: Sequence[PhaseAnnotation], *, double: bool, least_alpha: float, least_iou: float, apart: float
) -> tuple[tuple[Span, ...], int, Agreement]:
    """Final spans and quality when people agree (or one was enough); empty spans when someone has to adjudicate.

    `apart`: edges farther from each other than this, in seconds, are no matter for a mean.
    """
    newest = {each.author: each for each in annotations}
    people = [newest[author] for author in sorted(newest)]
    if len(people) < 2:
        return (people[0].spans, people[0].quality, Agreement()) if people and not double else ((), 0, Agreement())
    one, two = people[0], people[1]
    found = of_clips([(one.spans, two.spans)])
    agreed = (found.alpha or 0.0) >= least_alpha and (found.iou or 0.0) >= least_iou and found.edge_worst_s <= apart
    spans = mean_spans(one.spans, two.spans) if agreed else None
    if spans is None or abs(one.quality - two.quality) > 1:
        return (), 0, found
    return spans, min(one.quality, two.quality), found
