"""Incidents (domain section 7): what is wrong on which robots, what can be done about it, what has been done, and what is
still owed. Beside them the holds that keep a robot as it is, the standing rules for robots nobody can reach, and the
follow-ups an incident leaves behind.
"""

from __future__ import annotations

from engine.contract.common import Json, View
from engine.contract.records import RecordView

INCIDENT_STATES = (
    "detected",
    "triaged",
    "contained",
    "mitigating",
    "monitoring",
    "resolved",
    "reviewed",
    "closed",
    "false_alarm",
)
OPTION_KINDS = ("rollback", "forward", "hotfix", "config", "restrict", "monitor")
OPTION_KEYS = {"rollback": "R", "forward": "F", "hotfix": "X", "config": "C", "restrict": "O", "monitor": "M"}


class Suspect(View, frozen=True, kw_only=True):
    """One change and how robots with it compare to robots without: the exact ratio with one-sided 95 % bounds.

    `p` is adjusted (Holm) over all changes looked at. `blamed` is never true below the policy's least number of events;
    `also` names what changed on the same robots at the same time and can't be told apart from it.
    """

    change: str
    kind: str = "release"
    robots: int = 0
    events: int = 0
    hours: float = 0.0
    other_events: int = 0
    other_hours: float = 0.0
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    blamed: bool = False
    also: tuple[str, ...] = ()
    text: str = ""


class OptionRow(View, frozen=True, kw_only=True):
    """One column of the options matrix. `covered` and `blocked` are disjoint; a blocked robot comes with its reason.

    `estimate_s` until 95 % of the covered robots are done; `seats` how many people must agree (the incident commander is
    one of them); `case_valid`: yes, no or ? (nobody has said whether the safety case covers what would then run).
    """

    kind: str
    title: str
    version: str = ""
    feasible: bool = False
    covered: tuple[str, ...] = ()
    blocked: tuple[tuple[str, str], ...] = ()
    of: int = 0
    estimate_s: float | None = None
    needs_idle: bool = False
    needs_reboot: bool = False
    case_valid: str = "?"
    data_loss: str = ""
    evidence: str = ""
    reversible: str = ""
    seats: int = 1
    note: str = ""
    phrase: str = ""


class Clock(View, frozen=True, kw_only=True):
    """A regulatory clock. It starts only when a person records awareness; `due` and `started_at` UTC epoch s."""

    regime: str
    title: str = ""
    law: str = ""
    hours: float = 0.0
    started_at: float = 0.0
    due: float = 0.0
    by: str = ""
    reason: str = ""
    run: str = ""
    filed_at: float = 0.0
    filed_by: str = ""
    overdue: bool = False


class Wave(View, frozen=True, kw_only=True):
    """One execution of a chosen option. `left` are the robots it did not bring there, with the reason."""

    number: int
    option: str
    version: str = ""
    robots: int = 0
    rollout: str = ""
    state: str = ""
    done: int = 0
    left: tuple[tuple[str, str], ...] = ()
    at: float = 0.0
    ended_at: float = 0.0
    sentence: str = ""


class Entry(View, frozen=True, kw_only=True):
    """A line of the incident's own timeline: for the review, blameless."""

    at: float
    who: str
    what: str


class FollowUpRef(View, frozen=True, kw_only=True):
    id: str
    what: str


class Decision(View, frozen=True, kw_only=True):
    """What was decided: the option, the frozen robots and by which gate, or by whom under break-glass."""

    option: str
    version: str = ""
    robots: tuple[str, ...] = ()
    digest: str = ""
    gate: str = ""
    by: tuple[str, ...] = ()
    at: float = 0.0
    break_glass: bool = False


class IncidentView(RecordView, frozen=True, kw_only=True):
    """`sev` 1 (worst) to 4. `became_aware_at` is 0 until a person recorded it. `phase` says what is being done now.

    `involved` are the robots that were part of the event itself; `affected` run the version and can be reached; `unsure`
    may have it and can't be asked.
    """

    sev: int = 0
    phase: str = ""
    sentence: str = ""
    detector: str = ""
    reason: str = ""
    draft: bool = False
    version: str = ""
    previous: str = ""
    line: str = ""
    artifact: str = ""
    digest: str = ""
    selector: str = ""
    site: str = ""
    first_seen: float = 0.0
    exposed_since: float = 0.0
    became_aware_at: float = 0.0
    aware_by: str = ""
    ic: str = ""
    ic_since: float = 0.0
    involved: tuple[str, ...] = ()
    affected: tuple[str, ...] = ()
    unsure: tuple[tuple[str, str], ...] = ()
    affected_digest: str = ""
    sites: tuple[str, ...] = ()
    scoped_at: float = 0.0
    detection_h: float = 0.0
    contained_at: float = 0.0
    containment: str = ""
    drained: tuple[str, ...] = ()
    preserved: int = 0
    to_preserve: int = 0
    bundles: tuple[tuple[str, str], ...] = ()
    holds: tuple[str, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    also_changed: tuple[str, ...] = ()
    changes: tuple[dict[str, Json], ...] = ()
    options: tuple[OptionRow, ...] = ()
    options_at: float = 0.0
    forward: str = ""
    hotfix: str = ""
    chosen: str = ""
    decision: Decision | None = None
    waves: tuple[Wave, ...] = ()
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    recovery: str = ""
    monitor_h: float = 0.0
    monitored_h: float = 0.0
    standing_rule: str = ""
    clocks: tuple[Clock, ...] = ()
    timeline: tuple[Entry, ...] = ()
    update_due: float = 0.0
    follow_ups: tuple[FollowUpRef, ...] = ()
    required: tuple[str, ...] = ()
    break_glass_by: str = ""
    break_glass_review: str = ""
    review: str = ""
    released_rollouts: bool = False


class HoldView(RecordView, frozen=True, kw_only=True):
    """A robot that is left exactly as it is. `purpose`: preserve (until its evidence is kept) or legal (until two people
    release it).
    """

    robot: str = ""
    incident: str = ""
    purpose: str = "legal"
    reason: str = ""
    bundle: str = ""
    released_by: tuple[str, ...] = ()
    released_why: str = ""
    released_at: float = 0.0


class FollowUpView(RecordView, frozen=True, kw_only=True):
    """`what`: problem, case, regression_case, capture, safety_note, review_note, registry. `ref` is where it was filed."""

    incident: str = ""
    what: str = ""
    owner: str = ""
    robot: str = ""
    ref: str = ""
    note: str = ""
    by: str = ""


class StandingRuleView(RecordView, frozen=True, kw_only=True):
    """What happens to robots that could not be reached, whenever they come back. `waiting` shrinks as they are seen."""

    incident: str = ""
    version: str = ""
    to_version: str = ""
    act: str = "drain"
    waiting: tuple[str, ...] = ()
    seen: tuple[tuple[str, str], ...] = ()
    looked_at: float = 0.0


class IncidentDetail(View, frozen=True, kw_only=True):
    """The incident with what belongs to it, and what can be done about it now: verb -> empty, or why not."""

    incident: IncidentView
    holds: tuple[HoldView, ...] = ()
    follow_ups: tuple[FollowUpView, ...] = ()
    rule: StandingRuleView | None = None
    gate: str = ""
    gate_question: str = ""
    verbs: dict[str, str] = {}
    regimes: tuple[Clock, ...] = ()
    """The clocks that could be started, with what they ask for."""
