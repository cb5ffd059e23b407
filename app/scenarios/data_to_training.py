"""Data: a folder of recordings, good and broken, becomes a signed snapshot and a trained checkpoint, which becomes a release.

What can't be used is set aside with its reason; two people label, a third audits; a cell is short, so recordings are asked
for and one comes; the last gap is waived for a week. The training loses its machine once and goes on. In the end somebody
withdraws their consent, and the snapshot with them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from app.scenarios import Scenario, full_circle
from app.scenarios import candidate_to_release as release
from app.scenarios.labels import label
from app.scenarios.stage import Stage
from engine.contract.client import Refused
from engine.contract.datasets import (
    AnnotationView,
    CollectionView,
    EpisodePage,
    LabelTaskView,
    SnapshotProof,
    SnapshotView,
    TrainingLog,
    TrainingView,
)
from engine.contract.gates import GateDetail, GatePage
from engine.contract.sessions import SessionView

DATASET, LINE = "bins", "pick"
KNOWN = ["all", "bin-pick day", "bin-pick night", "tote-stack"]
"""What the model in the field can do stays as it is; what is new is learnt."""
ROBOTS = 60
"""The fleet of the world it plays in: recordings name its robots."""
GOOD = 25
"""Three recordings for each task and site, but two cells get two."""


def begin(stage: Stage) -> None:
    """Recordings stand in a folder, a campaign reads them, and the label queue fills. The line has a model in the field."""
    fielded = release.kept(stage, release.trained(stage, "today", release.shows(release.TASKS[:3])))
    release.pack(stage, "bench", LINE, {"4.7.3": fielded, "4.6.2": fielded})
    made = json.loads(
        stage.program(
            "connectors.sandbox.recordings", "make", str(stage.folder / "recordings"), "--seed", str(stage.seed), "--count", str(GOOD),
            "--robots", str(ROBOTS),             "--seconds", "6", "--broken", "all", "--lerobot", "4", limit_s=120,
        )
    )  # fmt: skip
    inputs = {
        "consent": "employment-agreement", "dataset": DATASET, "folder": made["folder"], "line": LINE, "purpose": "picking from bins, by day and by night",
        "seed": 7, "recipe": {"epochs": 24, "checkpoint_every": 4, "pace_s": 0.15, "base": fielded, "freeze": KNOWN}, "reason": "the demo",
    }  # fmt: skip
    stage.start("ana", "data-to-training", inputs)


def play(stage: Stage) -> Mapping[str, Any]:
    run = stage.run_of("data-to-training")
    snapshot = stage.until(lambda: _snapshot(stage), "the snapshot").id
    stage.until(lambda: stage.records("label_task", LabelTaskView, state="open"), "the label queue", 120)
    taken = _label_until(stage, snapshot, run, "label_review")
    own = _refused(stage, "ana", run, "label_review")
    stage.answer("label_review", "lea", run=run, rationale="agreement and audit hold")
    stage.until(lambda: _gate(stage, run, "waive_coverage"), "the coverage gate")
    short = [one.key for one in stage.record("snapshot", snapshot, SnapshotView).coverage if one.short]
    _collected(stage, run)
    _label_until(stage, snapshot, run, "label_review")
    stage.answer("label_review", "lea", run=run, rationale="the new recording is labelled as well")
    stage.answer(
        "waive_coverage",
        "dirk",
        run=run,
        form={"reason": "no jams at HAM5 this week", "days": 7},
        rationale="one cell, one week",
    )
    stage.until(lambda: _gate(stage, run, "dataset_signoff"), "the sign-off")
    mine = _refused(stage, "ana", run, "dataset_signoff")
    stage.answer("dataset_signoff", "lea", run=run, rationale="coverage, labels and leaks looked at")
    training = _trained(stage, snapshot)
    ended = stage.run_ended(run)
    artifact = full_circle._released(stage, training)
    signed = stage.record("snapshot", snapshot, SnapshotView)
    proof = stage.get(f"/v1/snapshots/{snapshot}/proof", SnapshotProof)
    left_out = stage.get(f"/v1/snapshots/{snapshot}/episodes", EpisodePage, decision="left-out", limit=500)
    facts = {
        "run": run, "run_status": ended.run.status, "snapshot": signed, "proof": proof.ok, "labelled_by": dict(taken),
        "requester_refused": [own, mine], "short_cells": short, "left_out": Counter(row.code for row in left_out.rows),
        "quarantined": Counter(one.code for one in stage.records("session", SessionView, state="quarantined")),
        "repaired": sum(one.repairs > 0 for one in stage.records("session", SessionView) if one.state != "quarantined"),
        "joined_later": sum("/later-" in one.uri and one.state == "curated" for one in stage.records("session", SessionView)),
        "lerobot_kept": sum(one.format != "mcap" and one.state == "curated" for one in stage.records("session", SessionView)),
        "collections": Counter(one.state for one in stage.records("collection", CollectionView)),
        "artifact": artifact, "training": training, "log": stage.get(f"/v1/trainings/{training.id}/log", TrainingLog).text[:400],
    }  # fmt: skip
    return facts | _withdrawn(stage, signed)


def _snapshot(stage: Stage) -> SnapshotView | None:
    found = stage.records("snapshot", SnapshotView, where={"dataset": DATASET})
    return found[0] if found else None


def _label_until(stage: Stage, snapshot: str, run: str, gate: str, limit_s: float = 120.0) -> Counter[str]:
    """The annotators and the auditor work until the run asks its question."""
    taken: Counter[str] = Counter()

    def look() -> bool:
        for task in stage.records("label_task", LabelTaskView, state="open"):
            person = {"label": "ann", "overlap": "max"}.get(task.purpose, "lea")
            stage.do(person, "label.claim", task.id)
            if task.purpose == "audit":
                stage.do(person, "label.audit", task.id, {"wrong": [], "note": "looked at twice"})
            else:
                stage.do(person, "label.submit", task.id, {"labels": label(task, person)})
            taken[person] += 1
        return _gate(stage, run, gate)

    stage.until(look, f"the question {gate}", limit_s)
    return taken


def _gate(stage: Stage, run: str, kind: str) -> bool:
    return any(row.run == run and row.kind == kind for row in stage.get("/v1/gates", GatePage).rows)


def _refused(stage: Stage, person: str, run: str, kind: str) -> str:
    """Why this person may not answer; who asked for something does not sign it."""
    row = next(row for row in stage.get("/v1/gates", GatePage).rows if row.run == run and row.kind == kind)
    digest = stage.get(f"/v1/gates/{row.id}", GateDetail).evidence_digest
    asked = {"answer": "approve", "evidence_digest": digest, "rationale": "", "form": {}}
    try:
        stage.operator.command(person, "gate.vote", row.id, asked, preview=True)
    except Refused as refused:
        return refused.problem.code
    return ""


def _collected(stage: Stage, run: str) -> None:
    """Recordings of one short cell come in, a day old, and join by themselves; older than a week they would have asked."""
    for number, sites in enumerate(("UTR1", "HAM2,UTR1")):
        stage.program(
            "connectors.sandbox.recordings", "make", str(stage.folder / f"later-{number}"), "--seed", str(stage.seed), "--count", str(number + 1),
            "--robots", str(ROBOTS), "--seconds", "6", "--sites", sites, "--tasks", "jam-recovery",
            "--start", str(stage.now() - 86_400.0 * (number + 1)),
        )  # fmt: skip
        stage.do("lea", "session.add", args={"folder": str(stage.folder / f"later-{number}"), "dataset": DATASET})
    stage.until(lambda: not _gate(stage, run, "waive_coverage"), "the campaign to go on with the new recordings")


def _trained(stage: Stage, snapshot: str) -> TrainingView:
    """The training loses its machine once, and goes on from its checkpoint."""

    def begun() -> TrainingView | None:
        found = stage.records("training", TrainingView, where={"snapshot": snapshot})
        return next((one for one in found if one.state == "running" and one.checkpoints), None)

    training = stage.until(begun, "the training's first checkpoint", 60)
    stage.do("lea", "training.preempt", training.id, {"reason": "the machine is needed elsewhere"})
    return stage.state_is("training", training.id, ("succeeded", "failed", "cancelled"), TrainingView, 90)


def _withdrawn(stage: Stage, snapshot: SnapshotView) -> dict[str, Any]:
    """Somebody takes back their consent: the snapshot is withdrawn, a person answers for what was made from it."""
    session = next(one for one in stage.records("session", SessionView, state="curated") if one.operator)
    stage.emit(
        "qd.consent.revoked",
        {"subjects": [session.operator], "reason": "asked by the works council"},
        subject=session.operator,
    )
    run = stage.run_of("data-withdrawal")
    gone = stage.state_is("snapshot", snapshot.id, "withdrawn", SnapshotView)
    stage.answer("data_withdrawal", "pia", run=run, form={"decision": "retrain"}, rationale="trained anew without them")
    stage.run_ended(run)
    notes = stage.records("annotation", AnnotationView, where={"session": session.id})
    return {
        "withdrawn_for": gone.withdrawn_for, "dependants": list(gone.dependants),
        "withdrawn_sessions": len(stage.records("session", SessionView, state="withdrawn")), "labels_after": Counter(one.state for one in notes),
    }  # fmt: skip


SCENARIO = Scenario(
    name="data-to-training",
    title="recordings, good and broken, become a signed snapshot and a trained checkpoint; then consent is withdrawn",
    begin=begin,
    play=play,
    robots=ROBOTS,
)
