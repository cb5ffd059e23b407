"""Incidents as the engine would show them, for screens: one in the middle of it, one nobody commands, one that is over."""

from __future__ import annotations

from engine.contract.incidents import (
    Clock,
    Entry,
    FollowUpView,
    HoldView,
    IncidentDetail,
    IncidentView,
    OptionRow,
    StandingRuleView,
    Suspect,
    Wave,
)
from tests.fakes import BASE

COVERED = tuple(f"HAM2-AMR-{i:02d}" for i in range(20, 31))
BLOCKED = tuple((f"HAM2-AMR-{i:02d}", "bootloader refuses versions below 4.8.1") for i in range(17, 20))


def options() -> tuple[OptionRow, ...]:
    return (
        OptionRow(kind="rollback", title="rollback 4.7.9", version="4.7.9", feasible=True, covered=COVERED, blocked=BLOCKED, of=14,
                  estimate_s=840, needs_idle=True, case_valid="yes", seats=2, note="3 index-block", phrase="rollback 11 HAM2"),
        OptionRow(kind="forward", title="4.7.9 as 4.8.2", version="4.8.2", feasible=True, covered=COVERED, of=14, estimate_s=2280,
                  needs_idle=True, seats=3, note=""),
        OptionRow(kind="hotfix", title="hotfix", of=14, seats=3, needs_idle=True, note="no fixed release is named"),
        OptionRow(kind="config", title="feature or setting off", of=14, note="no configuration service is connected"),
        OptionRow(kind="restrict", title="out of dispatch", feasible=True, covered=COVERED, of=17, estimate_s=60, case_valid="yes",
                  note="-17 robots of output"),
        OptionRow(kind="monitor", title="go on and watch", feasible=True, of=14, estimate_s=0, note="changes nothing"),
    )  # fmt: skip


def incident(**over: object) -> IncidentView:
    given: dict[str, object] = {
        "id": "I-44", "kind": "incident", "state": "contained", "title": "nav 4.8.1 raises interventions at HAM2 rev-C", "run": "run-195",
        "created_at": BASE - 900, "updated_at": BASE - 10, "sev": 2, "phase": "waiting for a choice", "version": "4.8.1", "previous": "4.7.9",
        "ic": "lena", "became_aware_at": BASE - 300, "contained_at": BASE - 800, "containment": "17 robots run it, 17 out of dispatch",
        "first_seen": BASE - 900, "affected": (*COVERED, *(name for name, _ in BLOCKED)), "scoped_at": BASE - 600,
        "unsure": tuple((f"HAM2-AMR-{i}", "offline; as far as is known it runs it") for i in (75, 80, 84)), "preserved": 3, "to_preserve": 3,
        "options": options(), "update_due": BASE + 1800, "bundles": (("HAM2-AMR-17", "sha256:" + "ab" * 32),),
        "suspects": (
            Suspect(change="4.8.1", ratio=2.7, low=1.3, high=5.2, blamed=True, text="4.8.1 ratio 2.7 [1.3 5.2] 9/120 h against 31/1100 h"),
            Suspect(change="map HAM2/77", kind="map", ratio=1.1, low=0.6, high=1.9, text="map HAM2/77 ratio 1.1 [0.6 1.9], not shown worse"),
        ),
        "clocks": (Clock(regime="cra-early", title="CRA early warning", hours=24, started_at=BASE - 300, due=BASE + 80_000, by="lena"),),
        "timeline": (Entry(at=BASE - 900, who="cy", what="declared"), Entry(at=BASE - 800, who="engine", what="contained")),
    }  # fmt: skip
    return IncidentView(**{**given, **over})  # type: ignore[arg-type]


def detail(**over: object) -> IncidentDetail:
    one = over.pop("incident", None) or incident()
    given: dict[str, object] = {
        "incident": one,
        "holds": (HoldView(id="H-7", kind="hold", state="active", robot="HAM2-AMR-17", incident="I-44", reason="it touched a person"),),
        "follow_ups": (FollowUpView(id="F-1", kind="followup", state="open", incident="I-44", what="problem", owner="maintenance-lead"),),
        "rule": StandingRuleView(id="S-1", state="active", incident="I-44", version="4.8.1", waiting=("HAM2-AMR-75", "HAM2-AMR-80", "HAM2-AMR-84")),
        "verbs": {"incident.take": "you command it already"},
    }  # fmt: skip
    return IncidentDetail(**{**given, **over})  # type: ignore[arg-type]


def mended() -> IncidentDetail:
    wave = Wave(
        number=1,
        option="rollback",
        version="4.7.9",
        robots=11,
        rollout="run-196",
        state="done except",
        done=11,
        left=BLOCKED,
    )
    one = incident(
        state="monitoring", phase="monitoring", waves=(wave,), recovery="0/40 h against 4/37 h [0.0 0.9], E 0.4", monitored_h=12.0,
        monitor_h=40.0, before=dict.fromkeys(COVERED, "4.8.1"), after=dict.fromkeys(COVERED, "4.7.9"),
    )  # fmt: skip
    return detail(incident=one)
