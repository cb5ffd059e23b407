"""Corrections as the screens' tests want them: one cluster with clips at every stage, and a few that are elsewhere."""

from __future__ import annotations

import msgspec

from engine.contract.corrections import (
    Agreement,
    ClipPoint,
    ClipView,
    ClusterView,
    CorrectionCase,
    CorrectionsBoard,
    EffectView,
    Factors,
    PhaseAnnotation,
    Span,
    Suggestion,
    WindowRef,
)
from tests.fakes import BASE, FakeClient

SPANS = tuple(
    Span(t0=a, t1=b, phase=phase)
    for a, b, phase in (
        (-30.0, -1.5, "autonomous"),
        (-1.5, 0.0, "pre_intervention"),
        (0.0, 1.3, "handover"),
        (1.3, 6.8, "recovery"),
        (6.8, 14.2, "correction"),
        (14.2, 16.2, "resume"),
        (16.2, 30.0, "post"),
    )
)
DIGEST = "sha256:" + "ab" * 32
FACTORS = Factors(
    score=5.1, severity="task_failure", w_sev=3, n_30d=14, coverage=0.2, coverage_says="4/20 in bins-v13", novelty=0.9,
    quality=0.95, age_d=3.6, at=BASE,
)  # fmt: skip


def window(t0: float) -> WindowRef:
    return WindowRef(digest=DIGEST, start=t0 - 30, end=t0 + 30, covered=1.0, source="session", messages=4_000)


def case(number: int, state: str = "annotating", **more: object) -> CorrectionCase:
    t0 = BASE - 3600 * number
    fields: dict[str, object] = {
        "id": f"COR-{number}", "kind": "correction", "state": state, "title": f"jam-recovery at 41.2 s, HAM2-AMR-{number:02}",
        "session": f"S-{number}", "robot": f"HAM2-AMR-{number:02}", "site": "HAM2", "task": "jam-recovery", "version": "4.8.1",
        "t0": t0, "t1": t0 + 14.2, "window": window(t0), "auto": SPANS, "shown": SPANS, "cause": "policy", "cause_by": "ann",
        "cluster": "CL-17", "group": f"HAM2/2026-11-0{number}/HAM2-AMR-{number:02}", "run": "run-7", "created_at": t0,
        "suggested": Suggestion(cause="policy", rule="none of the others", why="its own detector rose to 0.77"),
    }  # fmt: skip
    return CorrectionCase(**{**fields, **more})  # type: ignore[arg-type]


def said(author: str, by: float = 0.0) -> PhaseAnnotation:
    moved = tuple(
        Span(
            t0=s.t0 + (by if s.phase == "recovery" else 0),
            t1=s.t1 + (by if s.phase == "handover" else 0),
            phase=s.phase,
        )
        for s in SPANS
    )
    return PhaseAnnotation(author=author, at=BASE, spans=moved, quality=4)


def cluster(**more: object) -> ClusterView:
    fields: dict[str, object] = {
        "id": "CL-17", "kind": "cluster", "state": "annotating", "title": "jam-recovery at tote lip", "cause": "policy",
        "task": "jam-recovery", "zone": "tote lip", "n": 14, "n_30d": 14, "exposure_h": 310.0, "rate": 4.5, "low": 2.7,
        "high": 7.1, "trend": (1, 2, 4, 7), "versions": {"4.8.1": 12, "4.7.9": 2}, "sites": {"HAM2": 9, "HAM5": 5},
        "causes": {"policy": 11, "hardware": 2, "network": 1}, "handed": ("M-311",), "score": 5.1, "factors": FACTORS,
        "agreement": Agreement(alpha=0.86, low=0.74, high=0.93, n=84, iou=0.81, pairs=2), "run": "run-7",
        "members": ("COR-1", "COR-2", "COR-3"), "created_at": BASE - 9 * 86_400,
    }  # fmt: skip
    return ClusterView(**{**fields, **more})  # type: ignore[arg-type]


def clip(case: CorrectionCase) -> ClipView:
    points = tuple(
        ClipPoint(
            t=t / 10, human=0 <= t / 10 <= 14.2, speed=0.0 if 0 <= t < 13 else 0.12 + 0.05 * ((t // 20) % 3),
            anomaly=min(0.9, max(0.08, 0.9 + t / 25)) if t < 0 else 0.1, link_ms=41.0,
        )
        for t in range(-300, 300)
    )  # fmt: skip
    return ClipView(correction=case.id, digest=DIGEST, sound=True, start=-30.0, end=30.0, points=points)


def client(person: str = "ann", **more: object) -> FakeClient:
    cases = [
        case(1), case(2, double=True, annotations=(said("max", 0.4),)), case(3),
        case(4, "captured", cause="", cluster="", suggested=Suggestion(cause="network", rule="slow link", why="link 420 ms")),
        case(5, "lost", cause="", cluster="", window=None, lost_why="HAM2-AMR-05 holds nothing of that time any more"),
        case(6, "awaiting_effect", cluster="CL-12", quality=4, route="train", snapshot="bins-v14"),
    ]  # fmt: skip
    fixed = EffectView(
        word="PENDING",
        sentence="12.0 of 34.0 robot-h needed: 1 in 12.0 robot-h of the task, before 9 in 210.0 h",
        version="4.8.2",
    )
    second = cluster(
        id="CL-12", title="slip at chute", state="awaiting_effect", score=2.2, members=("COR-6",), effect=fixed
    )
    fake = FakeClient(person=person, roles=("annotator",), **more)  # type: ignore[arg-type]
    fake.held = {"correction": list(cases), "cluster": [cluster(), second]}
    fake.answers_to = {
        "/v1/corrections/board": CorrectionsBoard(
            open=5, clusters=2, oldest_at=BASE - 9 * 86_400, to_triage=1, to_annotate=3, lost=1, double_for_me=1
        ),
        **{f"/v1/corrections/{one.id}/clip": clip(one) for one in cases if one.window},
    }
    return fake


def msgspec_replace(value: object, **more: object) -> object:
    return msgspec.structs.replace(value, **more)  # type: ignore[type-var]


def empty_board() -> CorrectionsBoard:
    return CorrectionsBoard()
