"""Access: requests, what the rules said about them, what was granted, who holds the controls of a robot.

Durations are seconds, times UTC epoch seconds, sizes bytes. Regions are the site's words (`eu`, `us`, `apac` …).
"""

from __future__ import annotations

from msgspec import field

from engine.contract.common import Json, View
from engine.contract.records import RecordView

SORTS = ("export", "cross_border", "support", "teleop")
"""What is asked for: data taken out, data looked at from elsewhere, a shell on a gateway, a hand on a robot."""
ACTIONS = {
    "export": ("copy", "export"),
    "cross_border": ("view", "copy"),
    "support": ("shell",),
    "teleop": ("observe", "assist", "direct"),
}
"""What each sort may ask to do, least first."""
CLASSES = ("telemetry", "personal_video", "precise_location", "customer_confidential", "export_controlled")
FINDINGS = ("ok", "excess", "violation")


class Volume(View, frozen=True, kw_only=True):
    """How much. `faces` and `plates` are None where nobody counted: then they are taken to be there."""

    files: int = 0
    minutes: float = 0.0
    bytes: int = 0
    faces: int | None = None
    plates: int | None = None
    robots: int = 0
    frames: int = 0


class ClassCount(View, frozen=True, kw_only=True):
    """One data class in what was asked for. `why` says what made it so, `declared` that the requester said it."""

    name: str
    volume: Volume = field(default_factory=Volume)
    why: str = ""
    declared: bool = False


class Classification(View, frozen=True, kw_only=True):
    """What was asked for, sorted. `odd` are tags that contradict each other, `missing` names nothing is known of."""

    classes: tuple[str, ...] = ()
    counts: tuple[ClassCount, ...] = ()
    volume: Volume = field(default_factory=Volume)
    subject_regions: tuple[str, ...] = ()
    customers: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    live: bool = False


class RuleResult(View, frozen=True, kw_only=True):
    """One rule's answer. `result`: ok, deny, ask, hold, note, error. `fact` is what it looked at, as it stood."""

    rule: str
    rev: int = 1
    stage: str = ""
    result: str = "ok"
    says: str = ""
    fact: str = ""
    seats: tuple[str, ...] = ()
    source: str = ""
    verified_on: str = ""


class Alternative(View, frozen=True, kw_only=True):
    """Something that intrudes less: what would change in the request."""

    name: str
    says: str
    changes: dict[str, Json] = field(default_factory=dict)


class Evaluation(View, frozen=True, kw_only=True):
    """What the rules came to. `verdict`: allow_auto, needs_approval, needs_info, deny. Same facts and pack, same answer.

    `scope` is the digest of what was asked for when it was judged: a decision is on that and nothing else.
    """

    verdict: str = ""
    reasons: tuple[str, ...] = ()
    trace: tuple[RuleResult, ...] = ()
    skipped: tuple[str, ...] = ()
    seats: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    excluded: tuple[str, ...] = ()
    ttl_s: float = 0.0
    decide_s: float = 0.0
    pack: str = ""
    pack_rev: int = 0
    facts_digest: str = ""
    scope: str = ""
    at: float = 0.0


class Approval(View, frozen=True, kw_only=True):
    """Who agreed, in which role's seat, at which gate."""

    person: str
    gate: str = ""
    at: float = 0.0


class Readiness(View, frozen=True, kw_only=True):
    """What a session at a robot needs before it starts, as it was last reported, and by whom."""

    robot: str = ""
    latency_p95_ms: float | None = None
    recording: bool | None = None
    deadman: bool | None = None
    stop_test_at: float = 0.0
    zone_clear: bool | None = None
    site_ack_by: str = ""
    site_ack_at: float = 0.0
    reported_by: str = ""
    reported_at: float = 0.0


class Used(View, frozen=True, kw_only=True):
    """What was done with a grant. `excess` are uses outside of what was granted."""

    started_at: float = 0.0
    stopped_at: float = 0.0
    sessions: int = 0
    commands: int = 0
    bytes: int = 0
    robots: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    recordings: tuple[str, ...] = ()
    refused: int = 0
    excess: tuple[str, ...] = ()


class AccessRequest(RecordView, frozen=True, kw_only=True):
    """Who, from where, wants to do what, to which robots or data, for how long, because of what."""

    sort: str = ""
    action: str = ""
    requester: str = ""
    on_behalf_of: str = ""
    employer: str = ""
    actor_location: str = ""
    purpose: str = ""
    ticket: str = ""
    robots: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    snapshot: str = ""
    files: tuple[str, ...] = ()
    site: str = ""
    classes: tuple[str, ...] = ()
    transform: str = ""
    from_region: str = ""
    to_region: str = ""
    duration_s: float = 0.0
    public_key: str = ""
    key_fingerprint: str = ""
    info: tuple[str, ...] = ()
    classification: Classification = field(default_factory=Classification)
    evaluation: Evaluation = field(default_factory=Evaluation)
    facts: str = ""
    sentence: str = ""
    volume: Volume = field(default_factory=Volume)
    readiness: Readiness = field(default_factory=Readiness)
    approvals: tuple[Approval, ...] = ()
    offered: str = ""
    offered_by: str = ""
    reason: str = ""
    grant: str = ""
    extends: str = ""
    breakglass: bool = False
    review: str = ""
    finding: str = ""
    follow_up: str = ""
    reviewer: str = ""
    record: str = ""
    ended: str = ""


class Grant(RecordView, frozen=True, kw_only=True):
    """A right with an end. `enforced_by` says what ends it (ssh-certificate, teleop-lease, export-manifest, view-ticket);
    `token` is the digest of the credential, whose own end is `expires_at`.
    """

    request: str = ""
    actor: str = ""
    on_behalf_of: str = ""
    sort: str = ""
    actions: tuple[str, ...] = ()
    robots: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    snapshot: str = ""
    site: str = ""
    scope_bytes: int = 0
    not_before: float = 0.0
    expires_at: float = 0.0
    enforced_by: str = ""
    token: str = ""
    serial: int = 0
    principals: tuple[str, ...] = ()
    lease: str = ""
    breakglass: bool = False
    used: Used = field(default_factory=Used)
    ended_by: str = ""
    ended_at: float = 0.0
    reason: str = ""
    package: str = ""
    rules: str = ""


class ControlLease(RecordView, frozen=True, kw_only=True):
    """Who has a hand on a robot. `mode`: observe (many), assist, direct; the last two are one per robot and per holder."""

    robot: str = ""
    holder: str = ""
    mode: str = ""
    grant: str = ""
    site_ack_by: str = ""
    latency_p95_ms: float = 0.0
    deadman: bool = False
    expires_at: float = 0.0
    link_at: float = 0.0
    reason: str = ""


class PastGrant(View, frozen=True, kw_only=True):
    id: str
    actions: tuple[str, ...] = ()
    where: str = ""
    from_: float = 0.0
    until: float = 0.0
    state: str = ""
    over_scope: bool = False


class RequestDetail(View, frozen=True, kw_only=True):
    """One request with what was granted, the gate that is open about it, and why each verb can't be used now."""

    request: AccessRequest
    grant: Grant | None = None
    lease: ControlLease | None = None
    gate: str = ""
    gate_expires_at: float = 0.0
    history: tuple[PastGrant, ...] = ()
    denials: int = 0
    verbs: dict[str, str] = field(default_factory=dict)
    now: float = 0.0


class AccessPage(View, frozen=True, kw_only=True):
    """Everything open: requests that need somebody, grants that run, leases that are held.

    `gates`: when the question about a request denies by silence. `limits`: how long a grant lasts at most, by action (s).
    """

    requests: tuple[AccessRequest, ...] = ()
    grants: tuple[Grant, ...] = ()
    leases: tuple[ControlLease, ...] = ()
    gates: dict[str, float] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    as_of: float = 0.0


class CredentialView(View, frozen=True, kw_only=True):
    """The credential of a grant as text (a certificate, a signed envelope): nothing secret is in it."""

    grant: str
    enforced_by: str
    digest: str
    text: str
    sound: bool = True
    says: str = ""
    expires_at: float = 0.0


class PackageChunk(View, frozen=True, kw_only=True):
    """A part of an exported package, base64. `more`: ask again from `offset` plus what came."""

    offset: int = 0
    size: int = 0
    data: str = ""
    more: bool = False
    digest: str = ""


class AuthorityView(View, frozen=True, kw_only=True):
    """What a gateway has to trust: the CA's public key, and the list of certificates taken back."""

    public_key: str = ""
    fingerprint: str = ""
    revoked: str = ""
    revoked_serials: tuple[int, ...] = ()
    export_key: str = ""
    advice: str = ""


class ReplayView(View, frozen=True, kw_only=True):
    """The evaluation of a request done again on the facts that were kept, with the rules as they stand now."""

    request: str
    same: bool = True
    then: str = ""
    now: str = ""
    differences: tuple[str, ...] = ()
    pack_then: str = ""
    pack_now: str = ""
    took_ms: float = 0.0
