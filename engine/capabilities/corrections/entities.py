"""What a correction, a cluster, a spike and a session's score may become.

A correction goes round: what was not fixed by a release is triaged again, with its count one higher. LOST, CLOSED,
HANDED_OVER, DISCARDED, SAFETY_CASE and EFFECT_CONFIRMED are final.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.capabilities.entities import Entity, Guard
from engine.contract.corrections import CAUSES, ClusterView, CorrectionCase, SessionScore, SpikeView

Facts = Mapping[str, Any]


def _has_window(record: CorrectionCase, facts: Facts) -> str | None:
    return None if record.window is not None and record.window.digest else "its window is not kept yet"


def _has_cause(record: CorrectionCase, facts: Facts) -> str | None:
    return None if record.cause in CAUSES else "nobody said what caused it"


def _is_policy(record: CorrectionCase, facts: Facts) -> str | None:
    return (
        None if record.cause == "policy" else f"its cause is {record.cause or 'not known'}: only policy is learnt from"
    )


def _labelled(record: CorrectionCase, facts: Facts) -> str | None:
    needed = 2 if record.double else 1
    people = {each.author for each in record.annotations}
    return None if len(people) >= needed else f"{len(people)} of {needed} people annotated it"


def _agreed(record: CorrectionCase, facts: Facts) -> str | None:
    return None if record.final and 1 <= record.quality <= 5 else "its phases are not settled"


def _decided(record: CorrectionCase, facts: Facts) -> str | None:
    return None if facts.get("gate") else "people have not accepted its labels"


def _routed(record: CorrectionCase, facts: Facts) -> str | None:
    return None if record.route in ("train", "eval", "safety_case") and record.group else "it has no route"


def _in_snapshot(record: CorrectionCase, facts: Facts) -> str | None:
    if record.route != "train":
        return "it is not routed to training"
    return None if record.snapshot else "no snapshot holds it"


def _in_pack(record: CorrectionCase, facts: Facts) -> str | None:
    if record.route != "eval":
        return "it is not routed to evaluation"
    return None if record.pack else "no locked pack holds it"


def _measured(word: str) -> Any:
    def check(record: CorrectionCase, facts: Facts) -> str | None:
        return None if record.effect is not None and record.effect.word == word else f"no effect measured as {word}"

    return check


def _reasoned(record: CorrectionCase, facts: Facts) -> str | None:
    return None if record.reason or record.lost_why else "a reason is needed"


CORRECTION = Entity(
    kind="correction",
    table="corrections",
    prefix="COR",
    shape=CorrectionCase,
    title="correction",
    start=("detected",),
    moves={
        "detected": ("captured", "lost", "closed"),
        "captured": ("triaged", "closed"),
        "triaged": ("clustered", "handed_over", "closed"),
        "clustered": ("annotating", "triaged", "discarded"),
        "annotating": ("adjudicating", "discarded", "triaged"),
        "adjudicating": ("in_review", "annotating", "discarded"),
        "in_review": ("prioritised", "annotating", "discarded"),
        "prioritised": ("routed", "safety_case", "discarded"),
        "routed": ("included", "case_added", "stale", "discarded"),
        "stale": ("routed", "discarded"),
        "included": ("awaiting_effect",),
        "case_added": ("awaiting_effect",),
        "awaiting_effect": ("effect_confirmed", "not_fixed"),
        "not_fixed": ("triaged",),
        "lost": (),
        "closed": (),
        "handed_over": (),
        "discarded": (),
        "safety_case": (),
        "effect_confirmed": (),
    },
    guards=(
        Guard("detected", "captured", _has_window, "the window's digest"),
        Guard("detected", "lost", _reasoned, "why it was lost"),
        Guard("captured", "triaged", _has_cause, "a cause"),
        Guard("triaged", "clustered", _is_policy, "the cause is policy"),
        Guard("annotating", "adjudicating", _labelled, "one annotation, or two people's"),
        Guard("adjudicating", "in_review", _agreed, "settled phases and quality"),
        Guard("in_review", "prioritised", _decided, "the label review's gate"),
        Guard("prioritised", "routed", _routed, "a route and a split group"),
        Guard("prioritised", "safety_case", _decided, "the label review's gate"),
        Guard("*", "discarded", _reasoned, "a reason"),
        Guard("*", "closed", _reasoned, "a reason"),
        Guard("routed", "included", _in_snapshot, "the snapshot's id"),
        Guard("routed", "case_added", _in_pack, "the pack's id"),
        Guard("awaiting_effect", "effect_confirmed", _measured("CONFIRMED"), "a measured effect"),
        Guard("awaiting_effect", "not_fixed", _measured("NOT_FIXED"), "a measured effect"),
    ),
    immutable_in=dict.fromkeys(
        ("included", "case_added", "awaiting_effect", "effect_confirmed"),
        ("session", "robot", "t0", "window", "group", "final", "quality", "route"),
    ),
)

CLUSTER = Entity(
    kind="cluster",
    table="correction_clusters",
    prefix="CL",
    shape=ClusterView,
    title="cluster of corrections",
    start=("open",),
    moves={
        "open": ("annotating", "merged", "dropped"),
        "annotating": ("in_review", "merged", "dropped"),
        "in_review": ("routed", "annotating", "dropped"),
        "routed": ("awaiting_effect", "dropped", "closed"),
        "awaiting_effect": ("confirmed", "not_fixed", "closed"),
        "not_fixed": ("annotating", "closed"),
        "confirmed": (),
        "closed": (),
        "merged": (),
        "dropped": (),
    },
    guards=(
        Guard("in_review", "routed", lambda record, facts: None if facts.get("gate") else "people have not accepted it",
              "the label review's gate"),
        Guard("*", "merged", lambda record, facts: None if record.merged_into else "into which cluster?", "the other cluster"),
    ),
    immutable_in=dict.fromkeys(("awaiting_effect", "confirmed", "closed", "merged"), ("members", "cause", "task")),
)  # fmt: skip

SPIKE = Entity(
    kind="spike",
    table="intervention_spikes",
    prefix="SPK",
    shape=SpikeView,
    title="intervention spike",
    start=("raised",),
    moves={"raised": ()},
)

SESSION_SCORE = Entity(
    kind="session_score",
    table="session_scores",
    prefix="SC",
    shape=SessionScore,
    title="session score",
    quiet=True,
    start=("scored",),
    moves={"scored": ()},
)

ENTITIES = (CORRECTION, CLUSTER, SPIKE, SESSION_SCORE)
