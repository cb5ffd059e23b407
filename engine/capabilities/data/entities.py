"""What datasets, snapshots, label tasks, annotations, collection requests and trainings may become (domain section 11).

Rules kept here: nothing is finalized without a gate's decision and a digest; what is finalized no longer changes its
content; who labelled a session does not check it; a submitted label is changed by a new annotation, never in place.
"""

from __future__ import annotations

from typing import Any

from engine.capabilities.data.entities_sessions import ENTITIES as SESSIONS
from engine.capabilities.entities import Entity, Facts, Guard
from engine.contract.datasets import (
    AnnotationView,
    CollectionView,
    DatasetView,
    LabelTaskView,
    SnapshotView,
    TrainingView,
)

CONTENT = (
    *("dataset", "version", "root_digest", "manifest", "episodes_digest", "episodes", "frames", "splits", "split_seed"),
    *("sessions", "corrections", "parents", "checks", "contamination", "schema", "licence"),
)
"""What a snapshot is: no longer changed once it was signed."""


def _frozen(record: Any, facts: Facts) -> str | None:
    if not record.root_digest:
        return "it has no root digest: a snapshot is frozen before it is shown to anyone"
    return None


def _signed(record: Any, facts: Facts) -> str | None:
    if not facts.get("gate"):
        return "no gate decided: a snapshot is finalized by a sign-off alone"
    if facts.get("root_digest") != record.root_digest:
        return "what was signed is not what stands here: the root digest differs"
    if record.blockers:
        return f"it is blocked: {record.blockers[0]}"
    return None


def _reasoned(record: Any, facts: Facts) -> str | None:
    return None if record.withdrawn_for else "a snapshot is withdrawn with the reason it is withdrawn for"


def _taken(record: Any, facts: Facts) -> str | None:
    if not record.assignee:
        return "nobody took it"
    if record.assignee in record.excluded:
        return f"{record.assignee} labelled this session, and nobody checks their own labels"
    return None


def _annotated(record: Any, facts: Facts) -> str | None:
    return None if record.annotation else "it has no annotation"


def _has_checkpoint(record: Any, facts: Facts) -> str | None:
    return None if record.checkpoint is not None else "it left no checkpoint: a training without one did not succeed"


DATASET = Entity(
    kind="dataset", table="datasets", prefix="D", shape=DatasetView, title="dataset", start=("active",),
    moves={"active": ("archived",)},
)  # fmt: skip

SNAPSHOT = Entity(
    kind="snapshot",
    table="dataset_snapshots",
    prefix="DS",
    shape=SnapshotView,
    title="snapshot",
    start=("building",),
    moves={
        "building": ("review", "withdrawn"),
        "review": ("building", "finalized", "withdrawn"),
        "finalized": ("superseded", "withdrawn"),
        "superseded": ("withdrawn",),
    },
    guards=(
        Guard("building", "review", _frozen, "a root digest"),
        Guard("review", "finalized", _signed, "the sign-off of exactly this root digest, and nothing that blocks"),
        Guard("*", "withdrawn", _reasoned, "a reason"),
    ),
    immutable_in=dict.fromkeys(("finalized", "superseded", "withdrawn"), CONTENT),
)

LABEL_TASK = Entity(
    kind="label_task",
    table="label_tasks",
    prefix="L",
    shape=LabelTaskView,
    title="label task",
    quiet=True,
    start=("open",),
    moves={
        "open": ("claimed", "dropped"),
        "claimed": ("open", "submitted", "dropped"),
        "submitted": ("accepted", "open", "dropped"),
        "accepted": ("open", "dropped"),
    },
    guards=(
        Guard("open", "claimed", _taken, "a person who did not label this session"),
        Guard("claimed", "submitted", _annotated, "an annotation"),
    ),
    immutable_in=dict.fromkeys(("claimed", "submitted", "accepted"), ("session", "purpose", "schema")),
)

ANNOTATION = Entity(
    kind="annotation",
    table="annotations",
    prefix="AN",
    shape=AnnotationView,
    title="annotation",
    quiet=True,
    start=("current",),
    moves={"current": ("superseded", "withdrawn"), "superseded": ("withdrawn",)},
    immutable_in=dict.fromkeys(
        ("current", "superseded", "withdrawn"), ("task", "session", "author", "schema", "labels")
    ),
)

COLLECTION = Entity(
    kind="collection", table="collections", prefix="CR", shape=CollectionView, title="collection request",
    start=("requested",), moves={"requested": ("fulfilled", "waived", "expired", "cancelled")},
)  # fmt: skip

TRAINING = Entity(
    kind="training",
    table="trainings",
    prefix="T",
    shape=TrainingView,
    title="training",
    start=("submitted",),
    moves={
        "submitted": ("running", "failed", "cancelled"),
        "running": ("preempted", "succeeded", "failed", "cancelled"),
        "preempted": ("running", "failed", "cancelled"),
    },
    guards=(Guard("running", "succeeded", _has_checkpoint, "a checkpoint"),),
    immutable_in=dict.fromkeys(
        ("submitted", "running", "preempted", "succeeded", "failed", "cancelled"),
        ("snapshot", "root_digest", "recipe", "recipe_digest", "seed", "base_digest"),
    ),
)

ENTITIES: tuple[Entity, ...] = (*SESSIONS, DATASET, SNAPSHOT, LABEL_TASK, ANNOTATION, COLLECTION, TRAINING)
