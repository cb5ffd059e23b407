"""Maintenance cases and problems (domain section 9): what is wrong with a robot, who has it, which clocks run, what was
found and changed, and what has to hold before the robot works again.

Times UTC epoch s, durations s unless a name says hours.
"""

from __future__ import annotations

from engine.contract.common import Json, View
from engine.contract.records import RecordView
from engine.contract.tickets import TicketDetail, TicketPage

CASE_STATES = (
    "new",
    "triaged",
    "queued",
    "assigned",
    "in_progress",
    "on_hold",
    "resolved",
    "verifying",
    "reopened",
    "closed",
    "duplicate",
    "cancelled",
)
CASE_OVER = ("closed", "duplicate", "cancelled")
HOLD_REASONS = ("parts", "site_access", "vendor", "change", "problem")
HYPOTHESES = ("release", "hardware", "site", "unknown")
UNKNOWN = "unknown"
UNWATCHED = "nothing watches this case any more"
"""How the warning of a case begins whose run ended before it: no clock tells anybody, nobody is asked for its return."""


class HoldSpan(View, frozen=True, kw_only=True):
    """A stretch on hold. `ref` is what it waits for (an order, a ticket, a change); `until` when that is expected."""

    reason: str
    since: float
    by: str = ""
    ref: str = ""
    until: float = 0.0
    ended: float = 0.0


class Escalation(View, frozen=True, kw_only=True):
    """That somebody further up was told. `share` of the clock that had run (0.5, 0.75, 1.0); 0 = by hand."""

    at: float
    clock: str
    share: float
    level: str
    to: str
    reason: str = ""


class Note(View, frozen=True, kw_only=True):
    at: float
    by: str
    text: str


class Attachment(View, frozen=True, kw_only=True):
    """A photo, a measurement, a confirmation, kept under its digest."""

    digest: str
    name: str
    media: str = ""
    by: str = ""
    at: float = 0.0


class Part(View, frozen=True, kw_only=True):
    """What was exchanged. Serial numbers of what went out and what went in."""

    name: str
    out_serial: str = ""
    in_serial: str = ""


class Reading(View, frozen=True, kw_only=True):
    """A step of the runbook that was done, with what was measured."""

    step: int
    at: float
    by: str
    value: str = ""


class Exposure(View, frozen=True, kw_only=True):
    """What the robot has done since it was repaired, and how often the fault came back. `upper` bounds its rate per
    robot-hour at 95 % (one-sided; with no event it is 3.0/hours). Not `known`: the robot's counters could not be read.
    """

    since: float = 0.0
    at: float = 0.0
    hours: float = 0.0
    tasks: float = 0.0
    events: int = 0
    upper: float | None = None
    need_hours: float = 0.0
    need_tasks: float = 0.0
    known: bool = False


class CaseView(RecordView, frozen=True, kw_only=True):
    """A maintenance case. `impact` and `urgency` 1 (high) to 3; `priority` 1 to 5, 0 before triage.

    `mode` how the failure is seen, `mechanism` how it came about, `cause` why, `detection` how it was found, `item` what
    is to be maintained (after ISO 14224). `bundle` is the digest of what was known when it was opened; `partial` names
    what could not be had for it. `dispatch_hold`: the case keeps its robot out of service. `reports` counts reports that
    were folded into it, `reported_at` is when the last came. `clock_started_at` is since when the clocks run (again, after a reopening).
    """

    robot: str = ""
    serial: str = ""
    site: str = ""
    customer: str = ""
    variant: str = ""
    software: str = ""
    symptom: str = ""
    source: str = ""
    detector: str = ""
    component: str = ""
    reporter: str = ""
    reports: int = 1
    reported_at: float = 0.0
    impact: int = 0
    urgency: int = 0
    priority: int = 0
    safety_related: bool = False
    hypothesis: str = ""
    grounds: tuple[str, ...] = ()
    mode: str = ""
    mechanism: str = ""
    cause: str = ""
    detection: str = ""
    item: str = ""
    queue: str = ""
    skill: str = ""
    level: str = ""
    on_call: str = ""
    site_closed_until: float = 0.0
    assignee: str = ""
    technicians: tuple[str, ...] = ()
    holds: tuple[HoldSpan, ...] = ()
    escalations: tuple[Escalation, ...] = ()
    clock_started_at: float = 0.0
    acked_at: float = 0.0
    responded_at: float = 0.0
    resolved_at: float = 0.0
    closed_at: float = 0.0
    reopened: int = 0
    bundle: str = ""
    partial: tuple[str, ...] = ()
    runbook: str = ""
    readings: tuple[Reading, ...] = ()
    parts: tuple[Part, ...] = ()
    resolution: str = ""
    downtime_h: float = 0.0
    software_before: str = ""
    software_after: str = ""
    calibration_before: str = ""
    calibration_after: str = ""
    attachments: tuple[Attachment, ...] = ()
    notes: tuple[Note, ...] = ()
    checklist: dict[str, bool] = {}
    checked_by: str = ""
    exposure: Exposure | None = None
    dispatch_hold: bool = False
    warnings: tuple[str, ...] = ()
    problem: str = ""
    merged_into: str = ""
    parent: str = ""
    external_ref: str = ""
    verifier: str = ""


class ProblemView(RecordView, frozen=True, kw_only=True):
    """The same fault again and again: what joins the cases, and what is being done. `rule` says what made it one."""

    variant: str = ""
    mode: str = ""
    rule: str = ""
    cases: tuple[str, ...] = ()
    robots: tuple[str, ...] = ()
    software: tuple[str, ...] = ()
    direction: str = ""
    workaround: str = ""
    fix_in: str = ""
    p: float | None = None


class Clock(View, frozen=True, kw_only=True):
    """One promise about time. `used_s` runs only while no named hold stops it; `due` moves with the stops.

    `state`: running, stopped (on hold), met, late (met too late), breached (not met), none (best effort).
    """

    name: str
    limit_s: float = 0.0
    used_s: float = 0.0
    due: float = 0.0
    met_at: float = 0.0
    state: str = "none"

    @property
    def left_s(self) -> float:
        return self.limit_s - self.used_s


class Changed(View, frozen=True, kw_only=True):
    """Something that changed on the robot before its fault was reported."""

    what: str
    at: float = 0.0


class RunbookStep(View, frozen=True, kw_only=True):
    number: int
    text: str
    done: bool = False
    value: str = ""
    by: str = ""


class Reliability(View, frozen=True, kw_only=True):
    """What the robot has been like over `window_d` days. Hours after SEMI E10; None where nothing can be said.

    MTBF and MTTR in hours with two-sided 95 % bounds for exponential times (chi-square quantiles); `n` failures.
    """

    window_d: float = 0.0
    n: int = 0
    productive_h: float | None = None
    standby_h: float | None = None
    scheduled_down_h: float = 0.0
    unscheduled_down_h: float = 0.0
    availability: float | None = None
    mtbf_h: float | None = None
    mtbf_low_h: float | None = None
    mtbf_high_h: float | None = None
    mttr_h: float | None = None
    mttr_low_h: float | None = None
    mttr_high_h: float | None = None
    same_mode: int = 0


class CaseDetail(View, frozen=True, kw_only=True):
    """A case with everything that is worked out for it. `bundle` is the kept context, as it was at the opening."""

    case: CaseView
    clocks: tuple[Clock, ...] = ()
    bundle: dict[str, Json] = {}
    changed: tuple[Changed, ...] = ()
    runbook_title: str = ""
    runbook: tuple[RunbookStep, ...] = ()
    checklist: tuple[str, ...] = ()
    need_hours: float = 0.0
    need_tasks: float = 0.0
    four_eyes: bool = False
    missing: tuple[str, ...] = ()
    """Fields of the coding that a resolution still needs."""
    gate: str = ""
    robot_state: str = ""
    robot_holds: tuple[str, ...] = ()
    problem: ProblemView | None = None
    codes: dict[str, tuple[str, ...]] = {}
    levels: tuple[str, ...] = ()
    on_call: dict[str, str] = {}
    tickets: tuple[TicketDetail, ...] = ()
    """Tickets elsewhere; those that are kept in step first."""
    pages: tuple[TicketPage, ...] = ()
    ticket_system: str = ""
    """Where a ticket for it would be opened; empty: no ticket system is connected."""


class QueueLine(View, frozen=True, kw_only=True):
    """A case in a list, with the clock that matters now."""

    case: CaseView
    clock: Clock | None = None
    gate: str = ""
    ticket: str = ""
    """Its ticket elsewhere, `system/number`."""
    disagree: tuple[str, ...] = ()
    """Fields about which case and ticket disagree."""


class CaseQueue(View, frozen=True, kw_only=True):
    """Cases by urgency of their clocks, with the counts a shift looks at first. `soon_s`: what counts as about to breach."""

    rows: tuple[QueueLine, ...] = ()
    counts: dict[str, int] = {}
    breaching: int = 0
    soon_s: float = 1800.0
    queues: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    as_of: float = 0.0
