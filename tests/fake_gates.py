"""Gates of several kinds for the fake client: sign-off, promotion with a form, escalation, emergency change."""

from __future__ import annotations

from engine.contract.common import Json
from engine.contract.gates import GateDetail, GateSummary, SeatView, VoteView
from tests.fake_world import BASE, HOSTILE, digest


def gate_details(now: float = BASE, *, hostile: bool = False) -> tuple[GateDetail, ...]:
    question = "Start the rollout of nav 4.8.1 on 118 robots?" if not hostile else "Start " + HOSTILE[1] + HOSTILE[0]
    preflight: list[Json] = [
        {"robot": "UTR1-AMR-09", "compatible": False, "reason": "disk 210 MB free of 512 MB"},
        {"robot": "HAM2-AMR-17", "compatible": True, "reason": "" if not hostile else HOSTILE[6]},
    ]
    return (
        GateDetail(
            gate=GateSummary(
                id="run-195.7",
                run="run-195",
                path="signoff",
                kind="rollout_signoff",
                question=question,
                opened_at=now - 4000,
                expires_at=now + 3600,
                seats_open=2,
                seats_total=2,
                subject="nav 4.8.1 -> EU-AMR",
                rollout="run-195",
            ),
            evidence={
                "plan": {"stages": 5, "robots": 118, "sites": 4, "window": "22:00-04:00 local"},
                "preflight": preflight,
                "targets_digest": digest("targets", "run-195"),
                "rollback_feasible": "118 of 118",
            },
            evidence_digest=digest("evidence", 195),
            evidence_at=now - 240,
            seats=(SeatView(label="release-manager", count=1), SeatView(label="site-lead", count=1)),
            votes=(),
            excluded=("mara (started the run)",),
            answers=("approve", "reject"),
            on_timeout="holds: nothing is dispatched, the rollout stays a draft",
            on_reject="ends the rollout before any robot is touched",
            consequences=("+3 robots (lab), then 10 as canary", "118 robots, 4 sites, 3 customers, 22:00-04:00 local"),
            phrase="start 118 EU-AMR",
            who_can=("dana (release-manager)", "piet (site-lead)"),
            comments=("dana 02:31Z: is the HAM2 night shift told?",),
        ),
        GateDetail(
            gate=GateSummary(
                id="run-194.31",
                run="run-194",
                path="stages#2.promote",
                kind="stage_promotion",
                question="Promote nav 4.8.1 to 30 % (35 robots)?",
                opened_at=now - 700,
                expires_at=now + 9000,
                seats_open=1,
                seats_total=2,
                claimed_by="dana",
                subject="nav 4.8.1 stage 10 %",
                rollout="run-194",
            ),
            evidence={
                "verdict": "PASS: upper bound 1.6 < 2 (7/310h against 31/1100h)",
                "signals": [
                    {
                        "signal": "interventions/100h",
                        "canary": "2.3 7/310h",
                        "control": "2.8 31/1100h",
                        "ratio": "0.8 [0.4 1.6]",
                    },
                    {"signal": "loc FATAL", "canary": "0/310h", "control": "1/1100h", "ratio": "U95 1.0/100h"},
                ],
            },
            evidence_digest=digest("evidence", 194),
            evidence_at=now - 60,
            seats=(SeatView(label="release-manager", count=2, filled_by=("dana",)),),
            votes=(
                VoteView(
                    person="dana", answer="approve", at=now - 300, rationale="bounds are below 2, two shifts seen"
                ),
                VoteView(person="mara", answer="approve", at=now - 200, refused="excluded: started this run"),
            ),
            excluded=("mara (started the run)",),
            answers=("approve", "reject"),
            form={
                "soak_h": {
                    "type": "number",
                    "title": "Soak of the next stage (h)",
                    "minimum": 1,
                    "maximum": 72,
                    "default": 24,
                },
                "window": {"type": "string", "title": "Window", "enum": ["night", "any"], "default": "night"},
                "notify": {"type": "boolean", "title": "Tell the site leads", "default": True, "required": False},
                "ticket": {"type": "string", "title": "Ticket", "pattern": "^[A-Z]+-[0-9]+$", "required": False},
            },
            on_timeout="holds the rollout at 10 %",
            on_reject="holds the rollout at 10 %; no robot changes",
            consequences=("+35 robots, 4 sites, 2 customers, 22:00-04:00 local",),
            phrase="promote 35 EU-AMR",
            who_can=("lena (release-manager)",),
        ),
        GateDetail(
            gate=GateSummary(
                id="run-4711.9",
                run="run-4711",
                path="install.escalation",
                kind="maintenance_escalation",
                question="install on HAM2-AMR-17 is out of retries: retry, skip or abort?",
                opened_at=now - 5000,
                expires_at=now + 600,
                seats_open=1,
                seats_total=1,
                subject="HAM2-AMR-17",
                escalated=True,
            ),
            evidence={
                "inputs": {"robot": "HAM2-AMR-17", "version": "4.8.1"},
                "attempts": [
                    {"n": n, "error": "unavailable: 503 from update server", "at": now - 900 * (4 - n)}
                    for n in (1, 2, 3)
                ],
                "runbook": "runbooks/update-server-503",
            },
            evidence_digest=digest("evidence", 4711),
            evidence_at=now - 5000,
            seats=(SeatView(label="operator", count=1),),
            votes=(),
            excluded=(),
            answers=("retry", "skip", "abort"),
            on_timeout="escalates to shift-lead",
            on_reject="fails the run",
            who_can=("mara (operator)", "dana (operator)"),
        ),
        GateDetail(
            gate=GateSummary(
                id="run-198.44",
                run="run-198",
                path="stages#2.rollback",
                kind="emergency_change",
                question="Roll back 11 of 14 robots to nav 4.8.0?",
                opened_at=now - 300,
                expires_at=now + 1800,
                seats_open=1,
                seats_total=1,
                mine="needs the role site-lead",
                subject="nav 4.8.1",
                rollout="run-198",
            ),
            evidence={"feasible": 11, "blocked": 3, "verdict": "FAIL: interventions 3.1x control [1.6 6.0]"},
            evidence_digest=digest("evidence", 198),
            evidence_at=now - 100,
            seats=(SeatView(label="site-lead", count=1),),
            votes=(),
            excluded=(),
            answers=("approve", "reject"),
            on_timeout="holds: robots stay as they are, paused",
            on_reject="keeps 4.8.1 on 14 robots, paused",
            consequences=("11 robots go back to 4.8.0, est. 14 min, 3 not reversible",),
            phrase="rollback 11 HAM2",
            who_can=("piet (site-lead)",),
        ),
    )
