"""The life of a case and of a problem as tables, with what must hold for each move.

A robot comes back to service by a decision: no case is closed by time, by its technician (where two people are asked
for), or with a fault that was not coded.
"""

from __future__ import annotations

from typing import Any

from engine.capabilities.entities import ANY, Entity, Facts, Guard
from engine.contract.cases import HOLD_REASONS, CaseView, ProblemView

CODING = ("mode", "mechanism", "cause", "detection", "item")
"""What a resolution must say. `unknown` is an answer for the cause, an empty field is none."""


def missing(case: CaseView) -> list[str]:
    """Fields that a resolution of this case still needs."""
    left = [name for name in CODING if not getattr(case, name).strip()]
    if case.mode == "unknown":
        left.insert(0, "mode")
    return [*left, *([] if case.resolution.strip() else ["resolution"])]


def _assigned(case: Any, facts: Facts) -> str | None:
    return None if case.assignee else f"{case.id} has nobody: claim it first"


def _held(case: Any, facts: Facts) -> str | None:
    last = case.holds[-1] if case.holds else None
    if last is None or last.ended or last.reason not in HOLD_REASONS:
        return f"{case.id} goes on hold for a named reason only: {', '.join(HOLD_REASONS)}"
    if not last.ref.strip():
        return f"a hold for {last.reason} needs what it waits for (an order, a ticket, a name)"
    return None


def _resolved(case: Any, facts: Facts) -> str | None:
    left = missing(case)
    return (
        f"{case.id} is not coded yet: {', '.join(left)} {'is' if len(left) == 1 else 'are'} missing" if left else None
    )


def _closed(case: Any, facts: Facts) -> str | None:
    if not facts.get("gate") or not facts.get("person"):
        return f"{case.id} is closed by the gate return_to_service only; time closes nothing"
    if facts.get("four_eyes") is not False and facts["person"] in case.technicians:
        return f"{facts['person']} worked on {case.id}: somebody else verifies"
    if not facts.get("clean"):
        return f"{case.id} is not verified: no exposure without the fault, and nobody took it upon themselves"
    return None


def _merged(case: Any, facts: Facts) -> str | None:
    return None if case.merged_into and case.merged_into != case.id else f"{case.id}: of which case is it a duplicate?"


def _cancelled(case: Any, facts: Facts) -> str | None:
    if case.dispatch_hold:
        return (
            f"{case.id} keeps {case.robot} out of service, so it ends by the gate return_to_service: "
            "resolve it (cause no_fault_found) instead"
        )
    return None if case.resolution.strip() else f"why is {case.id} cancelled? Say it"


CASE = Entity(
    kind="case",
    table="cases",
    prefix="M",
    shape=CaseView,
    start=("new",),
    moves={
        "new": ("triaged", "duplicate", "cancelled"),
        "triaged": ("queued", "duplicate", "cancelled"),
        "queued": ("assigned", "triaged", "duplicate", "cancelled"),
        "assigned": ("in_progress", "queued", "on_hold", "duplicate", "cancelled"),
        "in_progress": ("on_hold", "resolved", "assigned", "queued", "duplicate", "cancelled"),
        "on_hold": ("in_progress", "assigned", "queued", "duplicate", "cancelled"),
        "resolved": ("verifying", "reopened"),
        "verifying": ("closed", "reopened"),
        "reopened": ("in_progress", "assigned", "queued"),
    },
    guards=(
        Guard(ANY, "assigned", _assigned, "somebody who has it"),
        Guard(ANY, "in_progress", _assigned, "somebody who has it"),
        Guard(ANY, "on_hold", _held, "a named reason and what is waited for"),
        Guard(ANY, "resolved", _resolved, "mode, mechanism, cause, detection, item and a resolution"),
        Guard(ANY, "closed", _closed, "the gate return_to_service, by somebody else where two are asked for"),
        Guard(ANY, "duplicate", _merged, "the case it is a duplicate of"),
        Guard(ANY, "cancelled", _cancelled, "a reason, and a robot that it does not keep out of service"),
    ),
    immutable_in={
        **dict.fromkeys(
            ("queued", "assigned", "in_progress", "on_hold", "resolved", "verifying", "reopened"),
            ("robot", "serial", "bundle", "software_before"),
        ),
        **dict.fromkeys(
            ("closed", "duplicate", "cancelled"),
            ("robot", "mode", "mechanism", "cause", "detection", "item", "resolution", "bundle", "technicians"),
        ),
    },
    title="case",
)


def _known(problem: Any, facts: Facts) -> str | None:
    return None if problem.workaround.strip() else f"{problem.id} is a known error once there is a workaround: say it"


def _planned(problem: Any, facts: Facts) -> str | None:
    return None if problem.fix_in.strip() else f"{problem.id}: in which release is it fixed?"


def _verified(problem: Any, facts: Facts) -> str | None:
    open_cases = facts.get("open_cases")
    if open_cases is None:
        return f"whether cases of {problem.id} are still open was not looked up"
    if open_cases:
        return f"{problem.id} closes when its cases are verified; open: {', '.join(open_cases)}"
    return None


PROBLEM = Entity(
    kind="problem",
    table="problems",
    prefix="PRB",
    shape=ProblemView,
    start=("open",),
    moves={
        "open": ("known_error", "fix_in_release", "closed"),
        "known_error": ("fix_in_release", "closed"),
        "fix_in_release": ("known_error", "closed"),
    },
    guards=(
        Guard(ANY, "known_error", _known, "a workaround"),
        Guard(ANY, "fix_in_release", _planned, "the release that fixes it"),
        Guard(ANY, "closed", _verified, "no open case, all verified"),
    ),
    title="problem",
)

ENTITIES = (CASE, PROBLEM)
