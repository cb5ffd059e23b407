"""Views computed for the screens: a kept window as points, and how many wait for what."""

from __future__ import annotations

import itertools
import math
from typing import Any

from engine.capabilities.corrections.seeing import OVER
from engine.capabilities.ports import ActionError
from engine.capabilities.reads import Look, Read
from engine.capabilities.vault import VaultError
from engine.contract.corrections import ClipPoint, ClipView, CorrectionsBoard

Json = Any
STEP_S = 0.1
MOST_POINTS = 1_500
GAP_S = 0.6


def clip(look: Look, at: dict[str, str], query: dict[str, str]) -> ClipView | None:
    """A window, ten points a second, with the silences in it. An unsound or unreadable one is said to be so."""
    from engine.capabilities.corrections import clips

    case = look.get("correction", at["correction"])
    if case is None:
        return None
    window = case.window
    if window is None or not window.digest:
        return ClipView(correction=case.id, digest="", sound=False, start=0.0, end=0.0)
    start, end = window.start - case.t0, window.end - case.t0
    empty = ClipView(correction=case.id, digest=window.digest, sound=False, start=start, end=end, topics=window.topics)
    try:
        if not look.vault.verify(window.digest):
            return empty
        found = clips.read(look.vault.path(window.digest))
    except (VaultError, ActionError, OSError):
        return empty
    speeds = _speeds(found.positions)
    points: list[ClipPoint] = []
    t = math.floor(start / STEP_S) * STEP_S
    while t <= end and len(points) < MOST_POINTS:
        now = case.t0 + t
        points.append(
            ClipPoint(
                t=round(t, 1),
                human=_held([(row[0], row[1]) for row in found.intervention], now, False),
                speed=round(_held(speeds, now, 0.0), 4),
                anomaly=round(_held(found.anomaly, now, 0.0), 3),
                link_ms=round(_held([(row[0], row[4]) for row in found.intervention], now, 0.0), 1),
            )
        )
        t += STEP_S
    moments = sorted(found.times)
    gaps = [(round(a - case.t0, 2), round(b - case.t0, 2)) for a, b in itertools.pairwise(moments) if b - a > GAP_S]
    return ClipView(
        correction=case.id, digest=window.digest, sound=not found.truncated, start=start, end=end, points=tuple(points),
        topics=window.topics, gaps=tuple(gaps[:100]),
    )  # fmt: skip


def _speeds(positions: list[tuple[float, tuple[float, float, float]]]) -> list[tuple[float, float]]:
    """Over half a second, so that a trembling sensor does not look like motion."""
    found = []
    last = 0
    for at, place in positions:
        while positions[last][0] < at - 0.5:
            last += 1
        since, from_ = positions[last]
        found.append((at, math.dist(place, from_) / (at - since) if at > since else 0.0))
    return found


def _held(rows: list[tuple[float, Any]], now: float, empty: Any) -> Any:
    """The newest value at `now`: rows are in time order."""
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if rows[middle][0] <= now else (low, middle)
    return rows[low - 1][1] if low else empty


def board(look: Look, at: dict[str, str], query: dict[str, str]) -> CorrectionsBoard:
    counts = {str(row[0]): int(row[1]) for row in look.all("select state, count(*) from corrections group by state")}
    marks = ", ".join("?" * len(OVER))
    oldest = look.one(f"select min(created_at) from corrections where state not in ({marks})", OVER)
    clusters = look.one(
        "select count(*) from correction_clusters where state not in ('merged', 'dropped', 'closed', 'confirmed')"
    )
    mine = 0
    if look.person:
        for case in look.find("correction", state="annotating", where={"double": True}, limit=500):
            authors = {one.author for one in case.annotations}
            mine += bool(authors) and look.person not in authors
    return CorrectionsBoard(
        open=sum(n for state, n in counts.items() if state not in OVER),
        clusters=int(clusters[0]) if clusters else 0,
        oldest_at=float(oldest[0] or 0.0) if oldest else 0.0,
        to_triage=counts.get("captured", 0),
        to_annotate=counts.get("clustered", 0) + counts.get("annotating", 0),
        to_adjudicate=counts.get("adjudicating", 0),
        in_review=counts.get("in_review", 0),
        stale=counts.get("stale", 0),
        lost=counts.get("lost", 0),
        not_fixed=counts.get("not_fixed", 0),
        double_for_me=mine,
    )


READS = (
    Read(path="/v1/corrections/board", shape=CorrectionsBoard, says="corrections by what they wait for", give=board),
    Read(path="/v1/corrections/{correction}/clip", shape=ClipView, says="a kept window as points", give=clip),
)
