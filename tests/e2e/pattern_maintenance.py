"""What the maintenance scenario has to show."""

from __future__ import annotations

from typing import Any


def check(document: dict[str, Any]) -> None:
    facts = document["facts"]
    # a report of the same fault is no new case, and the fault was compared with the build before it was called hardware
    assert facts["joined"]["outcome"] == "joined" and facts["joined"]["id"] == facts["case"] and facts["reports"] == 2
    assert facts["bundle"].startswith("sha256:") and facts["hypothesis"] == "hardware"
    # a robot leaves at once, and returns by somebody else's decision after it has shown that the repair holds
    assert facts["left_dispatch"] and not facts["dispatchable_before_gate"] and facts["dispatchable_after_gate"]
    assert facts["resolved_uncoded"] == "not_coded" and facts["verified_by_technician"] == "excluded"
    assert facts["technicians"] == ["tom"] and facts["verifier"] == "tess"
    assert facts["exposure_h"] >= 2 or facts["exposure_tasks"] >= 6
    # eleven failures of one variant are one problem; all eleven leave dispatch, each has its case
    assert facts["problem_robots"] == facts["held_robots"] == facts["failure_cases"] == 11 and facts["problems"] == 1
    assert facts["problem_direction"] == "release"
    # clocks that run on tell one level after the other, and people say who has it then
    assert facts["late_level"] == "vendor"
    assert [one for one in facts["late_told"] if one.startswith("restore")] == [
        "restore 0.5 L1", "restore 0.75 L2", "restore 1 vendor",
    ]  # fmt: skip
    kinds = {gate["kind"]: gate["state"] for gate in document["gates"]}
    assert kinds["return_to_service"] == "passed" and kinds["maintenance_escalation"] == "passed"
    # the wrong plate was read first: that gate let nobody through
    assert sum(gate["kind"] == "return_to_service" for gate in document["gates"]) == 2
    assert document["records"]["case"]["closed"] == 1 and document["records"]["robot"]["in_service"] >= 1
    ended = [run for run in document["runs"] if run["status"] == "completed"]
    assert {run["workflow"] for run in ended} >= {"maintenance-escalation", "maintenance-intake"}
