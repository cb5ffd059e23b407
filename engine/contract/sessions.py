"""Sessions: one recording of one robot (an MCAP file, or one episode of a LeRobot data set), what was found in it, and
whether it may be used (domain sections 4 and 11).
"""

from __future__ import annotations

from msgspec import field

from engine.contract.common import View
from engine.contract.records import RecordView

SESSION_STATE = (
    "discovered",
    "ingested",
    "valid",
    "repaired",
    "labelled",
    "curated",
    "excluded",
    "quarantined",
    "withdrawn",
)
VERDICT = ("pass", "repair", "quarantine")
SEVERITY = ("fail", "repair", "warn", "note")


class Topic(View, frozen=True, kw_only=True):
    """One stream of a recording. `hz` is one over the median period; `drop_ratio` 0..1 of the messages that were due.

    `role`: camera, action, state, events, other. `gap_s` is the longest silence.
    """

    name: str
    type: str = ""
    encoding: str = ""
    role: str = "other"
    hz: float = 0.0
    messages: int = 0
    bytes: int = 0
    drop_ratio: float = 0.0
    gap_s: float = 0.0


class Finding(View, frozen=True, kw_only=True):
    """What a check found. `t_from` and `t_to` are seconds from the session's start (-1: the whole of it).

    `severity`: `fail` (quarantined), `repair` (can be mended, with what is lost said), `warn` (shown), `note` (told).
    """

    check: str
    severity: str
    text: str
    topic: str = ""
    t_from: float = -1.0
    t_to: float = -1.0
    value: float | None = None
    limit: float | None = None


class Mark(View, frozen=True, kw_only=True):
    """Something the recording itself says happened, in seconds from its start. `kind`: intervention, safety, phase, …"""

    t0: float
    t1: float
    kind: str
    text: str = ""


class SessionView(RecordView, frozen=True, kw_only=True):
    """One recording.

    `digest` is of the content as it came, `content` of what is used now (another one after a repair). `fingerprint` is equal
    for the same recording in another container, `trajectory` for motions that are nearly the same. `group` is the unit that
    is never split between training and evaluation. `conditions` are what strata are made of (light, scene, shift);
    `features` are numbers to compare snapshots by; `columns` are those of a LeRobot set ("action float32 [2]"), which only
    merges with sets of the same. Times in ns since the epoch where the name says so, else in s; distance
    in m, sizes in bytes.
    """

    robot: str = ""
    site: str = ""
    customer: str = ""
    variant: str = ""
    task: str = ""
    operator: str = ""
    outcome: str = ""
    start_ns: int = 0
    end_ns: int = 0
    start: float = 0.0
    end: float = 0.0
    duration_s: float = 0.0
    distance_m: float = 0.0
    bytes: int = 0
    frames: int = 0
    fps: float = 0.0
    interventions: int = 0
    marks: tuple[Mark, ...] = ()
    digest: str = ""
    content: str = ""
    fingerprint: str = ""
    trajectory: str = ""
    conditions: dict[str, str] = field(default_factory=dict)
    features: dict[str, float] = field(default_factory=dict)
    uri: str = ""
    name: str = ""
    container: str = ""
    episode: int = -1
    format: str = ""
    columns: tuple[str, ...] = ()
    topics: tuple[Topic, ...] = ()
    bill: dict[str, str] = field(default_factory=dict)
    consent_basis: str = ""
    consent_subjects: tuple[str, ...] = ()
    pii: bool = False
    licence: str = ""
    verdict: str = ""
    findings: tuple[Finding, ...] = ()
    finding_count: int = 0
    report: str = ""
    profile: str = ""
    repairs: int = 0
    lost_bytes: int = 0
    lost_s: float = 0.0
    duplicate_of: str = ""
    code: str = ""
    group: str = ""
    campaign: str = ""
    dataset: str = ""
    claimed_robot: str = ""
    claimed_site: str = ""
    mended: tuple[str, ...] = ()
    facts: str = ""
    """Digest of what was measured, as kept in the vault."""
    stamp: str = ""
    """Size, time and inode of the file when it was read: another stamp means another look."""


class SessionReport(View, frozen=True, kw_only=True):
    """Everything that was found in one session, as kept under its digest."""

    session: str
    digest: str
    verdict: str
    profile: str
    findings: tuple[Finding, ...] = ()
    topics: tuple[Topic, ...] = ()
    repaired: tuple[str, ...] = ()
    """What a repair did, in sentences."""


class SessionFunnel(View, frozen=True, kw_only=True):
    """Sessions by state, and by reason those that were set aside. `hours` of recording, bytes of files."""

    states: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    sessions: int = 0
    bytes: int = 0
    hours: float = 0.0
    repaired: int = 0
    lost_bytes: int = 0
