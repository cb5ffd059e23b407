"""Rollouts in every state for the fake client, the example of the domain notes (run-192) among them."""

from __future__ import annotations

import math
import random

from engine.contract.common import Json
from engine.contract.fleet import RobotRow
from engine.contract.rollouts import (
    Counts,
    OwnerView,
    RobotUpdate,
    RollbackPlan,
    RolloutDetail,
    RolloutSummary,
    Series,
    SeriesPoint,
    SignalRow,
    StageView,
    Verdict,
)
from tests.fake_world import BASE, HOSTILE, digest

OWNER = OwnerView(
    server="gooseBit",
    limits=(
        ("pause", "its own pause downgrades robots: assignments are withdrawn robot by robot"),
        ("stop", "an install that has begun can't be stopped; it ends on the new version or fails by itself"),
        ("failure rule", "no rule stops a rollout when robots fail: that is decided here"),
        ("health", "it does not look at robots after the install: that is done here"),
    ),
)

STAGES = ("lab", "canary", "10 %", "30 %", "100 %")


def series(
    now: float, worse: float, *, hours: float = 48, points: int = 96, seed: int = 3, gap: bool = False
) -> tuple[Series, ...]:
    """Two plots over time: interventions per 100 robot-hours (with E) and cycle time in seconds."""
    generator = random.Random(seed)
    first: list[SeriesPoint] = []
    second: list[SeriesPoint] = []
    e = 1.0
    for index in range(points):
        t = now - hours * 3600 * (1 - index / (points - 1))
        missing = gap and index > points * 0.4
        canary = 2.8 * (1 + (worse - 1) * min(1, index / (points * 0.3))) * generator.uniform(0.75, 1.25)
        control = 2.8 * generator.uniform(0.85, 1.15)
        e = max(0.05, e * math.exp((worse - 1.25) * 0.022 * generator.uniform(0.2, 1.8)))
        first.append(
            SeriesPoint(
                t=t,
                canary=None if missing else canary,
                control=control,
                e=None if missing else e,
                low=control * 0.7,
                high=control * 1.4,
            )
        )
        second.append(
            SeriesPoint(
                t=t,
                canary=None if missing else 41.2 + generator.uniform(-1, 1),
                control=40.8 + generator.uniform(-0.4, 0.4),
            )
        )
    return (
        Series(name="interventions", unit="per 100 robot-h", points=tuple(first)),
        Series(name="cycle time", unit="s", points=tuple(second)),
    )


SPECS: tuple[dict[str, Json], ...] = (
    {"n": 192, "kind": "fail", "state": "paused", "stage": 1, "verdict": "FAIL"},
    {"n": 193, "kind": "outage", "state": "running", "stage": 1, "verdict": "INCONCLUSIVE"},
    {"n": 194, "kind": "healthy", "state": "running", "stage": 2, "verdict": "PASS"},
    {"n": 195, "kind": "draft", "state": "awaiting_signoff", "stage": 0, "verdict": ""},
    {"n": 196, "kind": "offline", "state": "paused", "stage": 1, "verdict": "FAIL"},
    {"n": 197, "kind": "pausing", "state": "pause_requested", "stage": 3, "verdict": "PENDING"},
    {"n": 198, "kind": "blocked", "state": "paused", "stage": 2, "verdict": "FAIL"},
    {"n": 199, "kind": "back", "state": "rolling_back", "stage": 1, "verdict": "FAIL"},
    {"n": 191, "kind": "done", "state": "completed", "stage": 4, "verdict": "PASS"},
    {"n": 190, "kind": "exceptions", "state": "completed_with_exceptions", "stage": 4, "verdict": "PASS"},
    {"n": 189, "kind": "rolled", "state": "rolled_back", "stage": 1, "verdict": "FAIL"},
)

COUNTS: dict[str, Counts] = {
    "fail": Counts(planned=10, eligible=9, deferred=1, executed=9, ok=8, failed=1),
    "outage": Counts(planned=10, eligible=10, executed=10, ok=10),
    "healthy": Counts(planned=12, eligible=12, executed=12, ok=12),
    "draft": Counts(planned=3, eligible=3),
    "offline": Counts(planned=10, eligible=4, offline=6, executed=4, failed=4),
    "pausing": Counts(planned=84, eligible=80, deferred=4, executed=31, ok=31, in_progress=49),
    "blocked": Counts(planned=14, eligible=14, executed=14, ok=12, failed=2),
    "back": Counts(planned=10, eligible=10, executed=10, ok=7, failed=3),
    "done": Counts(planned=61, eligible=61, executed=61, ok=61),
    "exceptions": Counts(planned=61, eligible=58, offline=3, executed=58, ok=57, timed_out=1),
    "rolled": Counts(planned=10, eligible=10, executed=10, ok=7, failed=3),
}

SENTENCES: dict[str, str] = {
    "fail": "FAIL: interventions 2.7x control [1.3 5.2], E 30 >= 20. Paused by policy 02:51Z.",
    "outage": "INCONCLUSIVE: coverage 12 % of 90 % heartbeats (10 robots, 24 h window). No verdict without telemetry.",
    "healthy": "PASS: upper bound 1.6 < 2 (7/310h against 31/1100h). This stage rules out x2 or worse, not less.",
    "draft": "Waiting for sign-off: 118 robots, 4 sites, first stage lab 3 robots.",
    "offline": "FAIL: 4 of 4 executed robots failed to install; lower bound 47 % > 5 %. 6 of 10 are offline. Paused by policy.",
    "pausing": "Pause requested: owner yes, robots 31/84, worst 27 min. 53 robots have not answered yet.",
    "blocked": "FAIL: interventions 3.1x control [1.6 6.0], E 41 >= 20. Waiting for a person: roll back 11 of 14.",
    "back": "Rolling back 10 robots: 6 back on 4.8.0, 4 in progress, 0 failed.",
    "done": "Completed: 118/118 robots on 4.7.9.",
    "exceptions": "Completed with exceptions: 114/118 robots on 4.7.8; 3 offline, 1 timed out.",
    "rolled": "Rolled back: 10/10 robots on 4.7.6, 0 on 4.7.7, 0 unknown.",
}


def rollout_summaries(now: float = BASE, *, hostile: bool = False) -> tuple[RolloutSummary, ...]:
    rows = []
    for spec in SPECS:
        kind, number = spec["kind"], spec["n"]
        final = spec["state"] in ("completed", "completed_with_exceptions", "rolled_back")
        rows.append(
            RolloutSummary(
                id=f"run-{number}",
                run=f"run-{number}",
                artifact="nav" if not (hostile and number == 193) else HOSTILE[1],
                version="4.8.1" if not final else f"4.7.{number - 182}",
                previous="4.8.0" if not final else f"4.7.{number - 183}",
                cohort="EU-AMR" if not (hostile and number == 194) else HOSTILE[0],
                robots=118,
                state=spec["state"],
                stage=STAGES[spec["stage"]],
                stage_index=spec["stage"],
                stages=STAGES,
                verdict=spec["verdict"],
                sentence=SENTENCES[kind] if not (hostile and number == 192) else "FAIL: " + HOSTILE[2] + HOSTILE[3],
                counts=COUNTS[kind],
                started_at=now - 86_400 * (1 + (200 - number) / 3),
                updated_at=now - (5 if not final else 86_400 * 3),
                started_by="mara",
                gate={"draft": "run-195.7", "healthy": "run-194.31", "blocked": "run-198.44"}.get(kind, ""),
                waiting_on={
                    "draft": "2 of 2 seats (release-manager, site-lead)",
                    "healthy": "a promotion by release-manager",
                    "blocked": "a rollback decision",
                    "fail": "a person: roll back or hold",
                    "outage": "telemetry",
                }.get(kind, ""),
                row=number,
            )
        )
    return tuple(rows)


def signals(kind: str) -> tuple[SignalRow, ...]:
    fail = kind in ("fail", "blocked", "back", "rolled")
    coverage = 0.12 if kind == "outage" else 0.98
    return (
        SignalRow(
            name="interventions/100h",
            unit="per 100 robot-h",
            canary="7.5  9/120h" if fail else "2.3  7/310h",
            control="2.8  31/1100h",
            ratio=2.66 if fail else 0.8,
            low=1.28 if fail else 0.4,
            high=5.15 if fail else 1.6,
            e=30.0 if fail else 0.4,
            coverage=coverage,
            flag="!" if fail else "?" if kind == "outage" else "=",
        ),
        SignalRow(
            name="cycle time s",
            unit="s",
            canary="41.2  9 robots",
            control="40.8  45 robots",
            ratio=1.01,
            coverage=coverage,
            flag="" if kind != "outage" else "?",
            text="+1%  HL +0.4",
        ),
        SignalRow(
            name="loc FATAL",
            unit="events",
            canary="0/120h",
            control="1/1100h",
            e=0.7,
            coverage=coverage,
            text="U95 2.5/100h",
        ),
    )


def robot_updates(kind: str, now: float, fleet: tuple[RobotRow, ...]) -> tuple[RobotUpdate, ...]:
    counts = COUNTS[kind]
    states = (
        ["failed"] * counts.failed
        + ["timed_out"] * counts.timed_out
        + ["offline"] * counts.offline
        + ["deferred"] * counts.deferred
        + ["installing"] * counts.in_progress
        + ["healthy"] * counts.ok
    )
    states += ["planned"] * (counts.planned - len(states))
    rows = []
    for index, (state, robot) in enumerate(zip(states, fleet, strict=False)):
        blocked = kind == "blocked" and index in (3, 6, 9)
        rows.append(
            RobotUpdate(
                robot=robot.id,
                stage="canary",
                state=state if not (kind == "fail" and index == 7) else "on_hold",
                from_version="4.8.0",
                to_version="4.8.1",
                reported="4.8.1" if state == "healthy" else "4.8.0",
                site=robot.site,
                variant=robot.variant,
                serial=robot.serial,
                reason={"deferred": "MANUAL: a person drives it", "offline": "no contact for 3 h 10 min"}.get(
                    state, ""
                ),
                first_error="slot B: checksum mismatch at block 4711" if state == "failed" else "",
                at=now - 60 * index,
                rollback="blocked: bootloader refuses 4.8.0 (floor 4.8.1)"
                if blocked
                else "on hold: I-044"
                if index == 7
                else "feasible",
            )
        )
    return tuple(rows)


def rollout_detail(summary: RolloutSummary, fleet: tuple[RobotRow, ...], now: float = BASE) -> RolloutDetail:
    spec = next(item for item in SPECS if f"run-{item['n']}" == summary.id)
    kind: str = spec["kind"]
    at = summary.stage_index
    sizes = (3, 10, 12, 35, 58)
    final = summary.state in ("completed", "completed_with_exceptions", "rolled_back")
    current = {
        "fail": "failed",
        "offline": "failed",
        "blocked": "failed",
        "outage": "observing",
        "healthy": "passed",
    }.get(kind, "")
    current = current or {"draft": "pending", "pausing": "deploying", "rolled": "rolled_back", "back": "failed"}.get(
        kind, "passed"
    )
    verdict = Verdict(
        word=summary.verdict or "PENDING",
        sentence=summary.sentence,
        stage=summary.stage,
        at=now - 12,
        reasons=(
            "critical events: 0 in 120 robot-h -> pass",
            "e-process interventions: E 30 >= 20 (alpha .05, rho0 1.25) -> FAIL"
            if kind == "fail"
            else "e-process interventions: E 0.4 < 20",
            "rate ratio 2.66 [1.28 5.15] (9/120h against 31/1100h)"
            if kind == "fail"
            else "upper bound 1.6 against r 2 (7/310h)",
            "coverage 12 % < 90 % -> INCONCLUSIVE" if kind == "outage" else "coverage 98 % >= 90 % -> pass",
            "install failures 1 of 9 executed: lower bound 0.6 % <= 5 % -> pass",
            "permutation p .012 (9 canary, 45 control robots) -> FAIL" if kind == "fail" else "permutation p .61",
        ),
        inputs_digest=digest(kind),
        revision=3,
    )
    stages = tuple(
        StageView(
            name=name,
            index=index,
            size=sizes[index],
            state="passed"
            if index < at or (final and summary.state != "rolled_back")
            else current
            if index == at
            else "pending",
            targets_digest=digest(kind, index),
            counts=COUNTS[kind]
            if index == at
            else Counts(planned=sizes[index], eligible=sizes[index], executed=sizes[index], ok=sizes[index])
            if index < at
            else Counts(planned=sizes[index]),
            exposure_h=120.0 if index == at else 300.0 if index < at else 0.0,
            exposure_needed_h=300.0,
            soak_until=now + 3600 * 7 if index == at and not final else None,
            verdict=verdict if index == at and summary.verdict else None,
            sites=("HAM2", "HAM5"),
        )
        for index, name in enumerate(STAGES)
    )
    executed = summary.counts.executed
    blocked = (
        tuple((fleet[i].id, "bootloader refuses 4.8.0 (floor 4.8.1)") for i in (3, 6, 9)) if kind == "blocked" else ()
    )
    plan = RollbackPlan(
        robots=executed,
        feasible=max(0, executed - len(blocked)),
        blocked=blocked,
        on_hold=("HAM5-AMR-02 (I-044)",) if kind == "fail" else (),
        estimate_s=840.0,
        to_version=summary.previous,
        phrase=f"rollback {executed - len(blocked)} HAM2",
    )
    why_not_promote = {
        "outage": "verdict is INCONCLUSIVE: coverage 12 %, 90 % needed",
        "fail": "verdict is FAIL: roll back or hold",
        "offline": "verdict is FAIL: 4 of 4 executed failed",
        "blocked": "verdict is FAIL",
        "draft": "not signed off yet",
    }.get(kind, "" if kind == "healthy" else f"rollout is {summary.state}")
    verbs = {
        "rollout.promote": why_not_promote,
        "rollout.pause": "" if summary.state in ("running",) else f"rollout is {summary.state}",
        "rollout.resume": "" if summary.state == "paused" and kind == "offline" else f"rollout is {summary.state}",
        "rollout.rollback": f"rollout is {summary.state}" if final or kind in ("draft", "back") else "",
        "rollout.hold": f"rollout is {summary.state}" if final else "",
        "rollout.extend": "" if kind in ("outage", "healthy") else "nothing soaks",
    }
    return RolloutDetail(
        rollout=summary,
        targets_digest=digest("targets", summary.id),
        owner=OWNER if kind != "draft" else None,
        stages=stages,
        signals=signals(kind) if kind != "draft" else (),
        verdicts=(verdict,) if summary.verdict else (),
        robots=robot_updates(kind, now, fleet),
        rollback=plan if executed else None,
        blast={"robots": 12, "sites": ["HAM2", "UTR1"], "customers": ["Nordkai"], "window": "22:00-04:00 local"},
        worst="HAM2 x rev-C 6 in 48h" if kind == "fail" else "",
        dispersion=1.6 if kind != "draft" else None,
        permutation_p=0.012 if kind == "fail" else 0.61 if kind != "draft" else None,
        control="45 robots matched on site, variant, task mix",
        pause_ack=(True, 9, 9, 0.0) if kind == "fail" else (True, 31, 84, 1620.0) if kind == "pausing" else None,
        split=(executed, summary.counts.in_progress, 118 - executed - summary.counts.in_progress),
        series=series(now, 2.7 if kind in ("fail", "blocked") else 0.9, gap=kind == "outage")
        if kind != "draft"
        else (),
        policy={"min_coverage": 0.9, "e_alarm": 20, "alpha": 0.05, "pass_ratio": {"canary": 3, "10 %": 2}},
        preflight={
            "checked": 118,
            "compatible": 117,
            "blocked": [{"robot": "UTR1-AMR-09", "reason": "disk 210 MB free of 512 MB"}],
        },
        verbs=verbs,
    )
