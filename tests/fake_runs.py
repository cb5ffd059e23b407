"""Runs and the feed's first lines for the fake client."""

from __future__ import annotations

import random

from engine.contract.rollouts import RolloutSummary
from engine.contract.runs import GraphNode, RunDetail, RunSummary, StepView, Waiting
from engine.contract.system import FeedLine
from tests.fake_world import BASE, HOSTILE, SITES, digest

WORKFLOWS = ("staged-rollout", "candidate-to-release", "data-to-training", "fleet-hotfix", "maintenance-case")
STATUSES = (
    ("completed",) * 12 + ("running",) * 4 + ("waiting",) * 2 + ("failed", "suspended", "cancelled", "compensating")
)


def run_row(number: int, count: int, *, seed: int = 1, hostile: bool = False) -> RunSummary:
    generator = random.Random(seed * 1_000_003 + number)
    status = generator.choice(STATUSES)
    workflow = generator.choice(WORKFLOWS)
    started = BASE - (count - number) * 40 - 600
    ended = started + generator.uniform(60, 5000) if status in ("completed", "failed", "cancelled") else None
    title = f"nav 4.{generator.randrange(9)}.{generator.randrange(9)} -> {generator.choice(SITES)[0]}"
    if hostile and number % 5 == 0:
        title = HOSTILE[(number // 5) % len(HOSTILE)]
    return RunSummary(
        id=f"run-{number}",
        workflow=workflow,
        title=title,
        status=status,
        started_at=started,
        updated_at=ended or BASE - generator.uniform(1, 600),
        ended_at=ended,
        ending="done" if status == "completed" else "",
        waiting_on="2 of 2 seats (release-manager)" if status == "waiting" else "",
        step=generator.choice(("preflight", "signoff", "stages#1.observe", "dispatch")) if ended is None else "",
        started_by=generator.choice(("mara", "dana", "piet", "policy")),
        gates=1 if status == "waiting" else 0,
        attention="out of retries" if status == "failed" else "",
        version=1,
    )


def first_lines(now: float, seq: int, *, hostile: bool = False) -> list[FeedLine]:
    texts = (
        ("StepCompleted", "engine", "dispatch done on 9 robots", "info"),
        ("SampleJudged", "policy", "canary FAIL: interventions 2.7x control [1.3 5.2], E 30", "alarm"),
        ("RolloutPaused", "policy", "run-192 paused by policy; owner acknowledged", "warning"),
        ("GateOpened", "engine", "run-195 asks for sign-off: 118 robots", "notice"),
        ("VoteCast", "dana", "approved promotion of run-194 to 30 %", "notice"),
        ("VoteRefused", "mara", "vote refused: started this run", "warning"),
    )
    rows = []
    for index in range(60):
        kind, actor, text, level = texts[index % len(texts)]
        if hostile and index % 4 == 0:
            text = HOSTILE[(index // 4) % len(HOSTILE)]
        rows.append(
            FeedLine(
                seq=seq - index,
                at=now - index * 37,
                run=f"run-{190 + index % 9}",
                type=kind,
                actor=actor,
                text=text,
                level=level,
            )
        )
    return rows


def step_line(seq: int, at: float, row: RunSummary) -> FeedLine:
    return FeedLine(seq=seq, at=at, run=row.id, type="StepCompleted", actor="engine", text=f"{row.workflow} goes on")


def row_of_rollout(one: RolloutSummary) -> RunSummary:
    return RunSummary(
        id=one.id,
        workflow="staged-rollout",
        title=f"{one.artifact} {one.version} -> {one.cohort}",
        status="running",
        started_at=one.started_at,
        updated_at=one.updated_at,
        step="stages#1.observe",
        started_by=one.started_by,
    )


def run_detail(row: RunSummary, *, now: float, rollout: str = "", hostile: bool = False) -> RunDetail:
    names = ("preflight", "signoff", "stages", "dispatch", "observe", "verdict", "promote", "rollback", "finish")
    kinds = ("action", "gate", "map", "action", "observe", "choice", "gate", "action", "emit")
    graph = []
    for index, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        edges: tuple[tuple[str, str], ...] = (("next", names[index + 1] if index + 1 < len(names) else "done"),)
        if kind == "choice":
            edges = (("PASS", "promote"), ("FAIL", "rollback"), ("else", "observe"))
        graph.append(
            GraphNode(
                id=name,
                name=name,
                kind=kind,
                title=name.title(),
                edges=edges,
                parent="stages" if 2 < index < 7 else "",
            )
        )
    steps = tuple(
        StepView(
            path=name if index < 3 else f"stages#1.{name}",
            step=name,
            kind=kinds[index],
            status="completed" if index < 4 else "waiting",
            fence=index + 1,
            attempt=2 if index == 3 else 1,
            started_at=row.started_at + index * 60,
            ended_at=row.started_at + index * 60 + 40 if index < 4 else None,
            due=now + 3000 if index == 4 else None,
            input={"robots": 10, "note": HOSTILE[1] if hostile else "canary"},
            output={"ok": 9, "failed": 1} if index < 4 else None,
        )
        for index, name in enumerate(names[:5])
    )
    waiting = (
        (
            Waiting(
                path="stages#1.observe",
                what="120 of 300 robot-hours of exposure",
                until=now + 3000,
                then="INCONCLUSIVE: extends the soak once",
                can=("rollout.extend", "rollout.pause"),
            ),
            Waiting(
                path="signoff",
                what="2 of 2 seats",
                who=("dana", "piet"),
                until=now + 3600,
                then="holds",
                can=("gate.vote",),
                gate="run-195.7",
            ),
        )
        if row.status in ("running", "waiting")
        else ()
    )
    return RunDetail(
        run=row,
        definition=f"{row.workflow} v3",
        digest=digest(row.workflow),
        inputs={"artifact": "nav", "version": "4.8.1", "cohort": "EU-AMR"},
        graph=tuple(graph),
        steps=steps,
        waiting=waiting,
        rollout=rollout,
        error="unavailable: 503 from update server" if row.status == "failed" else "",
        verbs={
            "run.suspend": "" if row.status == "running" else f"run is {row.status}",
            "run.resume": "run is not suspended",
            "run.cancel": "" if row.ended_at is None else f"run is {row.status}",
            "run.terminate": "needs the role admin",
            "run.retry": "nothing failed",
            "run.redrive": "run has not ended",
            "run.comment": "",
        },
    )
