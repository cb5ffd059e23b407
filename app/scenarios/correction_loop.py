"""Corrections: people take over from robots on a new version; what they did is learnt from, and the release is measured.

One takeover is kept from the robot's ring just in time, another was out of reach and is lost. A day of sessions on the
version before says what is usual; on the new one interventions spike. Causes are said, the policy's own fault is
clustered, two people set phases and a third settles where they differ, one clip goes to maintenance, the labels are
accepted by somebody who did not make them, and each side gets its groups whole. A snapshot holds the training side; after
the release people were asked to judge, the cluster's rate is measured on its own task.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

from app.scenarios import Scenario
from app.scenarios.labels import label
from app.scenarios.stage import Stage
from engine.contract.client import Refused
from engine.contract.corrections import ClusterView, CorrectionCase, SessionScore, SpikeView
from engine.contract.datasets import LabelTaskView, SnapshotView
from engine.contract.gates import GatePage
from engine.contract.sessions import SessionView

SITE, TASK, ZONE, DATASET = "HAM2", "jam-recovery", "tote lip", "recoveries"
OLD, NEW, FIXED = "4.7.9", "4.8.1", "4.8.2"
DAY, HOUR = 86_400.0, 3600.0
CAUSES = "policy,policy,policy,policy,network,policy,hardware,policy,policy,site_staff,policy,policy"


def record_sessions(stage: Stage, name: str, **options: object) -> Any:
    """Recordings of the simulated fleet, and what really happened in them."""
    words = [str(word) for key, value in options.items() for word in (f"--{key.replace('_', '-')}", value)]
    return json.loads(
        stage.program(
            "connectors.sandbox.ring", "sessions", str(stage.folder / name), "--seed", str(stage.seed), "--fleet", "60", "--site", SITE,
            "--task", TASK, "--zone", ZONE, "--seconds", "66", *words, limit_s=120,
        )
    )  # fmt: skip


def begin(stage: Stage) -> None:
    """Yesterday's sessions on the version before, today's on the new one: interventions spike."""
    today = stage.now() // (4 * HOUR) * 4 * HOUR - 4 * HOUR
    usual = record_sessions(stage, "usual", version=OLD, count=16, robots=4, interventions=0, start=today - DAY, salt=1)
    few = record_sessions(
        stage, "few", version=OLD, count=2, robots=2, interventions=1, start=today - DAY + HOUR, salt=2
    )
    new = record_sessions(
        stage, "new", version=NEW, count=12, robots=4, interventions=1, causes=CAUSES, start=today, salt=3
    )
    for made in (usual, few):
        stage.do("lea", "session.add", args={"folder": made["folder"], "dataset": DATASET})
    stage.until(lambda: len(stage.records("session", SessionView)) >= 18, "yesterday's sessions", 90)
    stage.do("lea", "session.add", args={"folder": new["folder"], "dataset": DATASET})


def play(stage: Stage) -> Mapping[str, Any]:
    _pack(stage)
    spike = stage.until(lambda: next(iter(stage.records("spike", SpikeView)), None), "the spike", 60)
    live = _live(stage)
    capture_all(stage)
    causes = triage(stage)
    _gathered(stage)
    first = annotate(stage)
    reviewed = review(stage)
    cluster = stage.state_is("cluster", first.id, "routed", ClusterView, 30)
    snapshot = include(stage, cluster.id)
    waiting = stage.state_is("cluster", cluster.id, "awaiting_effect", ClusterView, 60)
    measured = _measured(stage, waiting)
    cases = stage.records("correction", CorrectionCase)
    mine = [case for case in cases if case.cluster == cluster.id]
    sides = {side: sorted(case.session for case in mine if case.route == side) for side in ("train", "eval")}
    return {
        "spike": spike, "live": live, "causes": causes, "reviewed": reviewed, "cluster": measured, "snapshot": snapshot, "pack": measured.pack,
        "sides": {side: len(rows) for side, rows in sides.items()},
        "both_sides": sorted(set(sides["train"]) & set(sides["eval"])),
        "groups_on_both": sorted(_groups(mine, "train") & _groups(mine, "eval")),
        "states": Counter(case.state for case in cases), "agreement": measured.agreement, "factors": measured.factors,
        "flagged": sum(score.flagged for score in stage.records("session_score", SessionScore)),
        "scored": len(stage.records("session_score", SessionScore)), "effect": measured.effect,
        "windows_kept": sum(case.window is not None and bool(case.window.digest) for case in cases),
    }  # fmt: skip


def _pack(stage: Stage) -> None:
    """The line has an evaluation pack: what is kept for evaluation becomes cases of its next version."""
    tasks = [
        {
            "task": task,
            "predicate": "part in the tote within 5 s, by the bench's own contact",
            "rubric": "",
            "first_seed": 0,
            "seeds": 200,
        }
        for task in ("bin-pick day", TASK)
    ]
    document = {
        "name": "bins",
        "line": "pick",
        "runner": "bench",
        "simulator": "bench-arm/3",
        "hardware_class": "bench-arm",
        "tasks": tasks,
    }
    stage.do("lea", "pack.add", "", {"document": document})


def _groups(cases: list[CorrectionCase], side: str) -> set[str]:
    return {case.group for case in cases if case.route == side}


def _live(stage: Stage) -> dict[str, Any]:
    """Two people take over just now: one robot still has it, the other is out of reach until its ring is overwritten."""

    def known() -> list[str] | None:
        robots = sorted({one.robot for one in stage.records("session", SessionView) if one.robot})
        return robots if len(robots) > 1 else None

    here, away = stage.until(known, "the robots of the sessions", 30)[:2]
    at = stage.now() + 1.5 * HOUR
    for robot, more in ((here, ()), (away, ("--offline",))):
        stage.program(
            "connectors.sandbox.ring", "ring", str(stage.home.state / "rings"), "--seed", str(stage.seed), "--fleet", "60", "--robot",
            robot, "--task", TASK, "--zone", ZONE, "--version", NEW, "--at", str(at), "--end", str(at + 300), "--minutes", "8", "--ring-minutes", "90", *more,
        )  # fmt: skip
    stage.until(lambda: stage.now() > at + 30 or None, "the takeover")
    runs = []
    for robot in (here, away):
        told = {"robot": robot, "at": at, "until": at + 11, "site": SITE, "version": NEW, "task": TASK, "zone": ZONE}
        runs.append(stage.do("olga", "correction.open", args={**told, "reason": "took over at the lip"}).result["run"])

    def settled() -> list[CorrectionCase] | None:
        rows = [case for case in stage.records("correction", CorrectionCase) if case.trigger == "live"]
        return rows if len(rows) == 2 and all(case.state != "detected" for case in rows) else None

    rows = stage.until(settled, "both takeovers kept or lost", 60)
    return {
        case.robot: {"state": case.state, "why": case.lost_why, "covered": case.window.covered if case.window else 0}
        for case in rows
    }


def capture_all(stage: Stage) -> None:
    def done() -> bool:
        rows = stage.records("correction", CorrectionCase)
        sessions = {case.session for case in rows if case.session}
        return len(sessions) >= 12 and all(case.state != "detected" for case in rows)

    stage.until(done, "every window kept", 180)


def triage(stage: Stage) -> dict[str, int]:
    """As the rules suggest, but one: a person knows better, and says why."""
    said: Counter[str] = Counter()
    for case in stage.records("correction", CorrectionCase, state="captured"):
        cause = case.suggested.cause
        stage.do("ann", "correction.triage", case.id, {"cause": cause, "reason": f"seen: {case.suggested.why}"})
        said[cause] += 1
    stage.until(lambda: not stage.records("correction", CorrectionCase, state="captured,triaged"), "clusters", 60)
    return dict(said)


def _gathered(stage: Stage) -> None:
    """All of its like are in: nobody waits for the night."""

    def told() -> bool:
        found = stage.records("cluster", ClusterView, state="annotating")
        if not found:
            return False
        try:
            stage.do("lea", "cluster.gathered", found[0].id, {"reason": "a shift's worth"})
        except Refused:  # its run is just on its way there
            return False
        return True

    stage.until(told, "a cluster that gathers", 60)


def _spans(case: CorrectionCase, person: str, *, wild: bool = False) -> list[dict[str, Any]]:
    """What a careful person sees: the machine's phases with edges a tenth off; `wild` sees the recovery elsewhere."""
    dice = random.Random(f"{case.id}/{person}")
    edges = [span.t0 for span in case.auto]
    moved = [
        edge
        if i == 0
        else round(
            edge + dice.choice((-0.1, 0.0, 0.1)) + (3.6 if wild and case.auto[i].phase == "correction" else 0), 1
        )
        for i, edge in enumerate(edges)
    ]
    ends = [*moved[1:], case.auto[-1].t1]
    return [{"t0": a, "t1": b, "phase": span.phase} for a, b, span in zip(moved, ends, case.auto, strict=True)]


def annotate(stage: Stage) -> ClusterView:
    """Everybody's clips; on one that two people have, they differ, and a third settles it."""
    cluster = stage.until(
        lambda: next(iter(stage.records("cluster", ClusterView, state="annotating")), None), "a cluster", 60
    )
    apart = ""

    def look() -> bool:
        nonlocal apart
        for case in stage.records("correction", CorrectionCase, state="annotating,clustered"):
            if case.state == "clustered":
                return False
            said = {one.author for one in case.annotations}
            people = ("ann", "max") if case.double else ("ann",)
            for person in people:
                if person in said:
                    continue
                wild = case.double and person == "max" and apart in ("", case.id)
                apart = case.id if wild else apart
                spans = _spans(case, person, wild=wild)
                stage.do(person, "correction.annotate", case.id, {"spans": spans, "quality": 4})
        for case in stage.records("correction", CorrectionCase, state="adjudicating"):
            if case.id == apart and not case.final and case.agreement.n:
                stage.do(
                    "lea",
                    "correction.adjudicate",
                    case.id,
                    {"spans": _spans(case, "lea"), "quality": 4, "note": "looked at both"},
                )
        return any(row.kind == "label_review" for row in stage.get("/v1/gates", GatePage).rows)

    stage.until(look, "the label review", 90)
    return stage.record("cluster", cluster.id, ClusterView)


def review(stage: Stage) -> dict[str, Any]:
    """Who annotated does not accept the labels; somebody else does."""
    refused = ""
    try:
        stage.answer("label_review", "lea", form={"route": "by rule"}, limit_s=10)
    except Refused as no:
        refused = no.problem.code
    detail = stage.answer(
        "label_review", "dirk", form={"route": "by rule"}, rationale="agreement holds; one clip was settled"
    )
    return {"own_work_refused": refused, "question": detail.gate.question, "evidence": sorted(detail.evidence)}


def include(stage: Stage, cluster: str) -> str:
    """What was accepted for training opens a campaign by itself; people label, one signs."""
    stage.run_of("data-to-training", 60)
    answers = {"label_review": "dirk", "waive_coverage": "dirk", "dataset_signoff": "dirk"}

    def look() -> SnapshotView | None:
        for task in stage.records("label_task", LabelTaskView, state="open"):
            person = {"label": "ann", "overlap": "max"}.get(task.purpose, "lea")
            stage.do(person, "label.claim", task.id)
            if task.purpose == "audit":
                stage.do(person, "label.audit", task.id, {"wrong": [], "note": "looked at twice"})
            else:
                stage.do(person, "label.submit", task.id, {"labels": label(task, person)})
        for row in stage.get("/v1/gates", GatePage).rows:
            if (
                row.kind in answers
                and DATASET in row.question
                and row.path.rpartition(".")[2] not in ("blocked", "late")
            ):
                form = {"reason": "only what the loop gave", "days": 7} if row.kind == "waive_coverage" else {}
                stage.answer(row.path, answers[row.kind], run=row.run, form=form, limit_s=10)
        held = stage.records("snapshot", SnapshotView, state="finalized")
        return next((one for one in held if one.corrections), None)

    found = stage.until(look, "the snapshot with the corrections", 120)
    return found.id


def _measured(stage: Stage, cluster: ClusterView) -> ClusterView:
    """The release that an external trainer made of it: a person names it; a day of sessions on it says what it did."""
    stage.emit(
        "qd.rollout.completed", {"rollout": "run-0", "version": "5.0.0", "artifact": "", "robots": []}, subject="run-0"
    )
    after = stage.now() // (4 * HOUR) * 4 * HOUR - 4 * HOUR  # all of it is over: the future is set aside
    made = record_sessions(
        stage, "after", version=FIXED, count=16, robots=4, interventions=0, start=after, every=80, salt=9
    )
    stage.do("lea", "session.add", args={"folder": made["folder"], "dataset": DATASET})
    stage.until(
        lambda: sum(FIXED in one.bill.values() for one in stage.records("session", SessionView)) >= 16,
        "the sessions after",
        60,
    )
    stage.do("lea", "cluster.measure", cluster.id, {"version": FIXED, "reason": "trained outside on this snapshot"})
    return stage.state_is("cluster", cluster.id, ("confirmed", "not_fixed", "closed"), ClusterView, 60)


SCENARIO = Scenario(
    name="correction-loop",
    title="interventions spike; what people did is labelled, split, learnt from, and the release is measured",
    begin=begin,
    play=play,
)
