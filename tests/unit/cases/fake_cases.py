"""Cases to look at: a queue with a late one, one on hold, one that waits for its return; names that attack a terminal."""

from __future__ import annotations

from msgspec.structs import replace

from engine.contract.cases import (
    CaseDetail,
    CaseQueue,
    CaseView,
    Changed,
    Clock,
    Exposure,
    HoldSpan,
    QueueLine,
    RunbookStep,
)
from tests.fakes import BASE, FakeClient

CODES = {
    "mode": ("unknown", "overcurrent", "boot_loop", "noise"),
    "mechanism": ("unknown", "wear", "loose_connection"),
    "cause": ("unknown", "installation", "software_release", "no_fault_found"),
    "detection": ("operator_report", "telemetry", "update"),
    "item": ("left_drive", "connector", "software"),
}
HOSTILE = "\x1b]0;owned\x07[@click=app.quit]left drive[/] \u202eevil\x9b2J"


def case(client: FakeClient, number: int, robot: int, **more: object) -> CaseView:
    row = client.fleet[robot]
    base = CaseView(
        id=f"M-{number}", kind="case", rev=3, state="queued", run=f"run-{number}", created_at=BASE - 3600,
        updated_at=BASE - 60, created_by="lena", robot=row.id, serial=row.serial, site=row.site, variant=row.variant,
        symptom="left drive overcurrent", source="operator", impact=2, urgency=1, priority=2, hypothesis="hardware",
        grounds=("same build elsewhere: 10 robots, 0 with this fault", "nobody else on this build has it"),
        mode="overcurrent", queue="drive-EU", level="L1", on_call="role:technician", runbook="RB-22",
        bundle="sha256:" + "ab" * 32, dispatch_hold=True, clock_started_at=BASE - 3600,
    )  # fmt: skip
    return replace(base, **more)


def bundle(row: CaseView) -> dict[str, object]:
    return {
        "at": BASE - 3500,
        "case": {"id": row.id},
        "robot": {"id": row.robot, "mode": "SERVICE", "soc": 0.62, "serial": row.serial},
        "software": {"desired": "nav 4.8.1", "reported": "nav 4.8.1"},
        "same_build": {"build": "nav 4.8.1", "robots": 10, "with_fault": [], "site_robots": 30, "site_with_fault": []},
        "similar": {
            "n": 4, "window_d": 90.0, "fixed_by": [["connector loose_connection", 3]], "median_h": 2.1,
            "cases": [{"case": "M-212", "robot": "x", "cause": "installation", "item": "connector", "resolution": "J7"}],
        },
        "changed": [{"what": "software nav 4.8.1", "at": BASE - 6 * 86_400}, {"what": "wheel L (M-290)", "at": BASE - 11 * 86_400}],
        "missing": [],
    }  # fmt: skip


def detail(row: CaseView, **more: object) -> CaseDetail:
    steps = (
        "lock out and tag out",
        "wheel turns freely by hand",
        "measure phase current idle < 0.4 A",
        "reseat connector J7",
    )
    base = CaseDetail(
        case=row,
        clocks=(
            Clock(name="ack", limit_s=3600, used_s=1800, due=BASE + 1800, state="running"),
            Clock(name="respond", limit_s=7200, used_s=1800, due=BASE + 5400, state="running"),
            Clock(name="restore", limit_s=28_800, used_s=3600, due=BASE + 25_200, state="running"),
        ),
        bundle=bundle(row),
        changed=(
            Changed(what="nav 4.8.1 by run-192", at=BASE - 6 * 86_400),
            Changed(what="wheel L (M-290)", at=BASE - 11 * 86_400),
        ),
        runbook_title="Drive draws too much current",
        runbook=tuple(RunbookStep(number=i, text=text, done=i < 3) for i, text in enumerate(steps, 1)),
        checklist=("lock-out removed and tools counted", "guards and e-stop tested", "test drive without the fault"),
        need_hours=8.0,
        need_tasks=30.0,
        four_eyes=True,
        missing=("mechanism", "cause", "detection", "item", "resolution"),
        robot_state="out_of_service",
        robot_holds=(row.id,),
        codes=CODES,
        levels=("L1", "L2", "vendor", "manager"),
        on_call={"L1": "role:technician", "L2": "role:specialist"},
    )
    return replace(base, **more)


def client(*, hostile: bool = False, empty: bool = False) -> FakeClient:
    made = FakeClient(person="tom", roles=("technician",), hostile=hostile)
    held = HoldSpan(reason="parts", since=BASE - 900, by="tom", ref="order 4711")
    verifying = Exposure(
        since=BASE - 9000, at=BASE, hours=3.2, tasks=11, upper=0.94, need_hours=8, need_tasks=30, known=True
    )
    symptom = HOSTILE if hostile else "left drive overcurrent"
    rows = [
        case(made, 309, 3, priority=1, symptom="update boot loop", hypothesis="release", state="queued"),
        case(made, 311, 1, symptom=symptom),
        case(made, 312, 7, state="on_hold", assignee="tom", technicians=("tom",), holds=(held,), priority=3),
        case(made, 313, 9, state="verifying", assignee="tom", technicians=("tom",), exposure=verifying, priority=2),
    ]
    clocks = [
        Clock(name="ack", limit_s=900, used_s=1140, due=BASE - 240, state="breached"),
        Clock(name="restore", limit_s=28_800, used_s=27_800, due=BASE + 1000, state="running"),
        Clock(name="restore", limit_s=28_800, used_s=3000, due=BASE + 9e4, state="stopped"),
        None,
    ]
    lines = [
        QueueLine(case=row, clock=clock, gate="run-195.7" if row.state == "verifying" else "")
        for row, clock in zip(rows, clocks, strict=True)
    ]
    if empty:
        rows, lines = [], []
    made.held["case"] = list(rows)
    made.answers_to["/v1/cases/queue"] = CaseQueue(
        rows=tuple(lines), counts={"P1": 1, "P2": 2, "P3": 1} if lines else {}, breaching=1 if lines else 0,
        queues=("drive-EU", "software-EU"), modes=CODES["mode"], as_of=BASE,
    )  # fmt: skip
    for row in rows:
        made.answers_to[f"/v1/cases/{row.id}/view"] = detail(row, gate="run-195.7" if row.state == "verifying" else "")
    return made
