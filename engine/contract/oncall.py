"""On call: who is on duty, what one shift hands to the next, what people watch, and which alerts somebody has.

A handover carries its report as it was prepared, so that what was accepted is what was read.
"""

from __future__ import annotations

from engine.contract.common import View
from engine.contract.records import RecordView

DUTY_STATES = ("on", "off")
HANDOVER_STATES = ("prepared", "offered", "accepted", "declined", "withdrawn")
HANDOVER_OPEN = ("prepared", "offered")
WITHIN_S = 7_200.0
"""What ends within this time is named in a handover."""


class ShiftLine(View, frozen=True, kw_only=True):
    """One thing a shift has to know. `kind` and `id` open it; `at` is when it happened, or when it ends; `who` has it, or
    may act. `level`: info, notice, warning, alarm.
    """

    kind: str
    id: str
    text: str
    at: float = 0.0
    who: str = ""
    level: str = "info"


class ShiftReport(View, frozen=True, kw_only=True):
    """What happened since `since`, what waits at `at`, what ends within `within_s` of it, and which incidents `person` commands.

    Lists hold the newest or the most urgent; `more` says per list how many were left out. `counts` are of events since then.
    """

    person: str = ""
    since: float = 0.0
    why_since: str = ""
    at: float = 0.0
    within_s: float = WITHIN_S
    commands: tuple[ShiftLine, ...] = ()
    happened: tuple[ShiftLine, ...] = ()
    waits: tuple[ShiftLine, ...] = ()
    expires: tuple[ShiftLine, ...] = ()
    counts: dict[str, int] = {}
    more: dict[str, int] = {}


class DutyRecord(RecordView, frozen=True, kw_only=True):
    """One shift of one person. `scope` is what for, in their words; `until` when it is planned to end (0: open)."""

    person: str = ""
    scope: str = ""
    since: float = 0.0
    until: float = 0.0
    ended_at: float = 0.0
    ended_by: str = ""
    handed_to: str = ""
    handover: str = ""


class HandoverRecord(RecordView, frozen=True, kw_only=True):
    """From `giver` to `to` (empty: whoever takes it). `receiver` is who accepted; nothing goes over before that.

    `digest` is of the report and the note: an acceptance names it. `incidents` the giver commanded when it was prepared;
    `transferred` went over with the acceptance, `kept` did not, each with the reason.
    """

    giver: str = ""
    to: str = ""
    receiver: str = ""
    note: str = ""
    scope: str = ""
    duty: str = ""
    report: ShiftReport = ShiftReport()
    digest: str = ""
    incidents: tuple[str, ...] = ()
    offered_at: float = 0.0
    answered_at: float = 0.0
    answered_why: str = ""
    transferred: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()


class WatchRecord(RecordView, frozen=True, kw_only=True):
    """Somebody wants to be told when this changes. `seen_seq` is the history as it was when they last looked."""

    person: str = ""
    of_kind: str = ""
    of: str = ""
    why: str = ""
    seen_seq: int = 0


class Acknowledgement(RecordView, frozen=True, kw_only=True):
    """Somebody has this alert. `fired_at` is when it had begun: one that fires anew is nobody's again."""

    person: str = ""
    system: str = ""
    alert: str = ""
    name: str = ""
    robot: str = ""
    note: str = ""
    fired_at: float = 0.0
    ended_by: str = ""
    ended_at: float = 0.0


class Watched(View, frozen=True, kw_only=True):
    """A watched thing as it stands: `text` says how, `news` is true when it changed since the watcher last looked."""

    watch: str
    kind: str
    id: str
    title: str = ""
    text: str = ""
    seq: int = 0
    at: float = 0.0
    news: bool = False


class QuietHours(View, frozen=True, kw_only=True):
    """The stretch in which people are left alone, the one that runs or the next: what is of these severities waits."""

    since: float
    until: float
    severities: tuple[str, ...] = ()


class OnCallView(View, frozen=True, kw_only=True):
    """Who is on duty, what is offered to whom, what I watch, when it is quiet. `verbs`: verb -> empty, or why not now."""

    me: str = ""
    on_duty: tuple[DutyRecord, ...] = ()
    mine: DutyRecord | None = None
    handovers: tuple[HandoverRecord, ...] = ()
    """Open ones, without their reports."""
    last: HandoverRecord | None = None
    """The newest that was accepted, without its report."""
    commands: tuple[str, ...] = ()
    watched: tuple[Watched, ...] = ()
    quiet: QuietHours | None = None
    verbs: dict[str, str] = {}
    as_of: float = 0.0
