"""A shift as the engine would tell it: two on duty, a handover that waits, what waits and ends, what is watched."""

from __future__ import annotations

from engine.contract.oncall import (
    DutyRecord,
    HandoverRecord,
    OnCallView,
    QuietHours,
    ShiftLine,
    ShiftReport,
    Watched,
)


def report(now: float, person: str = "ana") -> ShiftReport:
    return ShiftReport(
        person=person, since=now - 8 * 3600, why_since=f"{person} is on duty since then", at=now,
        commands=(ShiftLine(kind="incident", id="I-44", text="SEV-2 mitigating: 4.8.1 raises interventions at HAM2", at=now - 5400, who=person, level="alarm"),),
        waits=(
            ShiftLine(kind="gate", id="run-42.7", text="Promote nav 4.8.2 from canary to 10 %?", at=now + 4200, who="2 x role release-manager", level="warning"),
            ShiftLine(kind="case", id="M-311", text="P1 queued: left drive overcurrent", at=now - 2600, who="unclaimed", level="warning"),
            ShiftLine(kind="rollout", id="run-42", text="nav 4.8.2 paused at canary", at=now - 3100, level="warning"),
        ),
        expires=(
            ShiftLine(kind="case", id="M-311", text="P1 respond: left drive overcurrent", at=now + 930, who="unclaimed", level="warning"),
            ShiftLine(kind="gate", id="run-42.7", text="decision: Promote nav 4.8.2 from canary to 10 %?", at=now + 4200, level="warning"),
            ShiftLine(kind="grant", id="GR-4", text="access ends: shell at HAM2", at=now + 5000, who="tom", level="notice"),
        ),
        happened=(
            ShiftLine(kind="gate", id="run-41.9", text="passed: Release nav 4.8.2? \u2014 approve", at=now - 7000, who="ana, bo", level="notice"),
            ShiftLine(kind="run", id="run-39", text="failed Data to Training: the recorder did not answer", at=now - 11000, level="alarm"),
        ),
        counts={"events": 4210, "runs started": 31, "runs completed": 28, "runs failed": 1, "refusals": 2},
    )  # fmt: skip


def handover(now: float, *, giver: str = "ana", to: str = "lena") -> HandoverRecord:
    return HandoverRecord(
        id="HO-7", kind="handover", rev=2, state="offered", title=f"handover of {giver}", giver=giver, to=to,
        note="Aisle 7 is roped off until Kim has looked.\nThe 4.8.1 robots at UTR1 are next.", scope="HAM2, UTR1", duty="DU-11",
        report=report(now, giver), digest="d" * 32, incidents=("I-44",), offered_at=now - 240,
    )  # fmt: skip


def view(now: float, me: str = "lena", *, offered: bool = True) -> OnCallView:
    duty = DutyRecord(
        id="DU-11", kind="duty", state="on", person="ana", scope="HAM2, UTR1", since=now - 8 * 3600, until=now - 600
    )
    return OnCallView(
        me=me, on_duty=(duty,), handovers=(handover(now, to=me),) if offered else (),
        last=HandoverRecord(id="HO-6", kind="handover", state="accepted", giver="bo", receiver="ana", answered_at=now - 8 * 3600, transferred=("I-44",)),
        watched=(
            Watched(watch="WA-2", kind="case", id="M-311", title="left drive overcurrent", text="queued: nobody took it in 30 min", seq=900, at=now - 300, news=True),
            Watched(watch="WA-1", kind="robot", id="HAM2-amr-0117", title="robot at HAM2", text="AUTOMATIC, 4.8.1", seq=400, at=now - 9000),
        ),
        quiet=QuietHours(since=now + 3 * 3600, until=now + 11 * 3600, severities=("info", "warning")),
        verbs={
            "duty.take": "", "duty.give": "you are not on duty", "handover.offer": "", "handover.withdraw": "you have offered nothing",
            "handover.accept": "" if offered else "no handover is offered to you", "handover.decline": "" if offered else "no handover is offered to you",
        },
        as_of=now,
    )  # fmt: skip
