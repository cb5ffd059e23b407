"""Which sessions are kept, each with a reason code; the cheap baseline (episode length alone) stands beside the score.

Pure: sessions with their labels in, decisions out. Nothing is left out without a code, and the same input decides alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

from engine.contract.datasets import AnnotationView
from engine.contract.sessions import SessionView

CODES = {
    "kept": "kept",
    "kept_correction": "kept with weight: a person showed how it is done",
    "not_labelled": "required labels are missing",
    "labels_rejected": "its labels were rejected",
    "failed_outcome": "the task failed and nobody corrected it",
    "too_short": "shorter than the rule allows",
    "too_long": "longer than the rule allows",
    "low_score": "among the lowest scores of its task",
    "duplicate": "the same content stands there already",
    "near_duplicate": "nearly the same motion stands there already",
    "evaluation": "reserved for evaluation",
    "contaminated": "its content is part of an evaluation pack",
    "residency": "its region's data may not leave it",
    "consent": "no basis for using it, or consent was withdrawn",
    "licence": "its licence does not allow training",
    "by_hand": "left out by a person",
}
"""Every reason a session may be left out of a snapshot for, in words."""


class Rule(Struct, frozen=True, kw_only=True):
    """`drop_below` is the share of each task's sessions with the lowest scores that is left out; lengths in s."""

    name: str = "score"
    min_s: float = 3.0
    max_s: float = 600.0
    drop_below: float = 0.1
    least: int = 10
    keep_failures: bool = False
    correction_weight: float = 2.0
    interventions_per_min: float = 2.0
    drop_ratio: float = 0.01


class Decision(Struct, frozen=True, kw_only=True):
    session: str
    keep: bool
    code: str
    weight: float = 1.0
    score: float = 0.0
    baseline: float = 0.0
    baseline_keeps: bool = True


def curate(
    sessions: Sequence[SessionView],
    annotations: Mapping[str, AnnotationView],
    *,
    rule: Rule,
    corrected: frozenset[str] = frozenset(),
    by_hand: frozenset[str] = frozenset(),
) -> list[Decision]:
    """One decision for each session, in their order. `corrected` are sessions with an accepted correction for training."""
    scores = {one.id: score(one, annotations.get(one.id), rule) for one in sessions}
    lengths = baseline(sessions)
    low = _lowest(sessions, scores, rule)
    low_by_length = _lowest(sessions, lengths, rule)
    found = []
    for one in sessions:
        notes = annotations.get(one.id)
        code = "kept"
        if one.id in by_hand:
            code = "by_hand"
        elif notes is None:
            code = "not_labelled"
        elif one.duration_s < rule.min_s:
            code = "too_short"
        elif one.duration_s > rule.max_s:
            code = "too_long"
        elif one.id in corrected:
            code = "kept_correction"
        elif outcome(one, notes) == "failure" and not rule.keep_failures:
            code = "failed_outcome"
        elif one.id in low:
            code = "low_score"
        keep = code.startswith("kept")
        found.append(
            Decision(
                session=one.id,
                keep=keep,
                code=code,
                weight=rule.correction_weight if code == "kept_correction" else 1.0,
                score=scores[one.id],
                baseline=lengths[one.id],
                baseline_keeps=one.id not in low_by_length,
            )
        )
    return found


def outcome(session: SessionView, annotation: AnnotationView | None) -> str:
    """What people said of it, else what the recording says."""
    for label in annotation.labels if annotation else ():
        if label.name == "outcome":
            return label.value
    return session.outcome


def score(session: SessionView, annotation: AnnotationView | None, rule: Rule) -> float:
    """0..1: the mean of how complete its streams are, how seldom a person had to help, how sure the labels are."""
    worst = max((topic.drop_ratio for topic in session.topics), default=0.0)
    whole = max(0.0, 1.0 - worst / rule.drop_ratio) if rule.drop_ratio > 0 else 1.0
    minutes = max(session.duration_s / 60.0, 1e-9)
    alone = max(0.0, 1.0 - session.interventions / minutes / rule.interventions_per_min)
    sure = [label.confidence for label in annotation.labels] if annotation else []
    certain = sum(sure) / len(sure) if sure else 0.0
    return round((whole + alone + certain) / 3, 4)


def baseline(sessions: Sequence[SessionView]) -> dict[str, float]:
    """exp(-|ln(length / median length of the task)|): 1 for an ordinary length, less the stranger it is."""
    by_task: dict[str, list[float]] = {}
    for one in sessions:
        by_task.setdefault(one.task, []).append(max(one.duration_s, 1e-9))
    middle = {task: _median(lengths) for task, lengths in by_task.items()}
    return {
        one.id: round(math.exp(-abs(math.log(max(one.duration_s, 1e-9) / middle[one.task]))), 4) for one in sessions
    }


def spearman(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Rank correlation with mean ranks for ties. None for fewer than three, or when one side never varies."""
    if len(pairs) < 3:
        return None
    a, b = _ranks([x for x, _ in pairs]), _ranks([y for _, y in pairs])
    ma, mb = sum(a) / len(a), sum(b) / len(b)
    top = sum((x - ma) * (y - mb) for x, y in zip(a, b, strict=True))
    bottom = math.sqrt(sum((x - ma) ** 2 for x in a) * sum((y - mb) ** 2 for y in b))
    return round(top / bottom, 4) if bottom > 0 else None


def _lowest(sessions: Sequence[SessionView], scores: Mapping[str, float], rule: Rule) -> frozenset[str]:
    """Of each task with enough sessions the share with the lowest scores; a tie with the last that stays stays."""
    by_task: dict[str, list[SessionView]] = {}
    for one in sessions:
        by_task.setdefault(one.task, []).append(one)
    low: set[str] = set()
    for each in by_task.values():
        cut = int(len(each) * rule.drop_below) if len(each) >= rule.least else 0
        if cut:
            ordered = sorted(each, key=lambda one: (scores[one.id], one.id))
            limit = scores[ordered[cut].id]
            low |= {one.id for one in ordered[:cut] if scores[one.id] < limit}
    return frozenset(low)


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    i = 0
    while i < len(order):
        j = i
        while j + 1 < len(order) and values[order[j + 1]] == values[order[i]]:
            j += 1
        for place in order[i : j + 1]:
            ranks[place] = (i + j) / 2 + 1
        i = j + 1
    return ranks
