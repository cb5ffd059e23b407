"""Candidates, evaluation packs, trials, comparisons and artifacts, as screens and commands see them.

Digests are `sha256:…`; times UTC epoch seconds; durations in seconds unless a name says ms; shares and margins 0..1.
"""

from __future__ import annotations

from msgspec import field

from engine.contract.common import Json, View
from engine.contract.records import RecordView


class Check(View, frozen=True, kw_only=True):
    """One line of readiness: `ok` None = not done yet."""

    name: str
    ok: bool | None = None
    says: str = ""


class Latency(View, frozen=True, kw_only=True):
    """Time to one answer of the policy on the target compute, and the limit it is held to."""

    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    limit_ms: float = 0.0
    period_ms: float = 0.0
    frames: int = 0


class Replayed(View, frozen=True, kw_only=True):
    """One session replayed open loop: mean and worst distance of the actions (m/s²), constraint violations."""

    session: str
    frames: int = 0
    divergence: float = 0.0
    worst: float = 0.0
    violations: int = 0
    trouble: str = ""


class BaselineView(View, frozen=True, kw_only=True):
    """What a candidate is compared with: what runs on the target cohort today, and how that was found out."""

    model_digest: str = ""
    candidate: str = ""
    version: str = ""
    label: str = ""
    robots: int = 0
    found: str = ""


class DecisionView(View, frozen=True, kw_only=True):
    """A gate's answer as it is kept with the candidate: bound to the evidence that was signed."""

    gate: str = ""
    answer: str = ""
    people: tuple[str, ...] = ()
    evidence: str = ""
    at: float = 0.0
    reason: str = ""
    course: str = ""


class SimValidity(View, frozen=True, kw_only=True):
    """How well the simulation has ranked earlier policies: Pearson r and mean maximum rank violation over `policies`."""

    r: float | None = None
    mmrv: float | None = None
    policies: int = 0
    advisory: bool = False
    inverted: tuple[str, ...] = ()


class CandidateView(RecordView, frozen=True, kw_only=True):
    """A model that wants to be released."""

    line: str = ""
    version: str = ""
    model_digest: str = ""
    size_b: int = 0
    framework: str = ""
    params: int = 0
    precision: str = ""
    tasks: tuple[str, ...] = ()
    snapshot: str = ""
    snapshot_digest: str = ""
    recipe_digest: str = ""
    base_digest: str = ""
    training: str = ""
    seed: int = 0
    sessions: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    target_compute: str = ""
    safety_relevant: bool = False
    notes: str = ""
    pack: str = ""
    pack_digest: str = ""
    baseline: BaselineView = field(default_factory=BaselineView)
    left_out: tuple[str, ...] = ()
    replay: tuple[Replayed, ...] = ()
    latency: Latency = field(default_factory=Latency)
    simulator: str = ""
    simulator_validity: SimValidity = field(default_factory=SimValidity)
    blind: str = ""
    rounds: int = 0
    n_max: int = 0
    verdict: str = ""
    sentence: str = ""
    comparison: str = ""
    evidence: str = ""
    evidence_at: float = 0.0
    trials: int = 0
    excluded: int = 0
    decisions: tuple[DecisionView, ...] = ()
    checks: tuple[Check, ...] = ()
    artifact: str = ""
    hardware: str = ""
    hardware_trials: int = 0
    frozen_by: str = ""
    why: str = ""


class PackTask(View, frozen=True, kw_only=True):
    """One task of a pack: what counts as success and how it is graded were fixed before the first trial."""

    task: str
    predicate: str = ""
    rubric: str = ""
    first_seed: int = 0
    seeds: int = 0
    init: dict[str, float] = field(default_factory=dict)
    origin: str = ""


class PackCase(View, frozen=True, kw_only=True):
    """One single case: a regression from an incident, or one of the smoke cases. `origin` says where it comes from."""

    id: str
    task: str
    seed: int
    init: dict[str, float] = field(default_factory=dict)
    origin: str = ""


class PackSession(View, frozen=True, kw_only=True):
    """A recording that is replayed; its bytes are kept under `digest`."""

    id: str
    digest: str
    task: str = ""


class PackPlan(View, frozen=True, kw_only=True):
    """The plan that was fixed with the pack. Empty fields are filled from the policy when it is locked."""

    test: str = ""
    alpha: float = 0.0
    margin: float = 0.0
    task_margin: float = 0.0
    n_max: int = 0
    batch: int = 0
    score: str = ""


class PackView(RecordView, frozen=True, kw_only=True):
    """An evaluation pack. Locked before the first trial; from then on its content and digest no longer change."""

    name: str = ""
    version: int = 0
    line: str = ""
    digest: str = ""
    hardware_class: str = ""
    simulator: str = ""
    runner: str = ""
    selector: str = ""
    control_period_ms: float = 100.0
    tasks: tuple[PackTask, ...] = ()
    regressions: tuple[PackCase, ...] = ()
    smoke: tuple[PackCase, ...] = ()
    replay: tuple[PackSession, ...] = ()
    hardware: bool = False
    fielded: dict[str, str] = field(default_factory=dict)
    plan: PackPlan = field(default_factory=PackPlan)
    locked_at: float = 0.0
    used_by: int = 0


class SafetyEvent(View, frozen=True, kw_only=True):
    """Something that must not happen; `causal` = the policy's own doing, not a push from outside."""

    what: str
    at_s: float = 0.0
    causal: bool = True


class TrialView(RecordView, frozen=True, kw_only=True):
    """One trial of one arm. `purpose`: sim, hardware or regression. Once recorded it is only ever excluded, with a reason."""

    candidate: str = ""
    pack: str = ""
    arm: str = ""
    task: str = ""
    seed: int = 0
    purpose: str = "sim"
    outcome: str = ""
    rubric: float = 0.0
    duration_s: float = 0.0
    mode: str = ""
    safety_events: tuple[SafetyEvent, ...] = ()
    attempts: int = 1
    simulator: str = ""
    note: str = ""
    by: str = ""
    excluded: str = ""
    excluded_by: str = ""


class TaskRow(View, frozen=True, kw_only=True):
    """One row of a comparison (`engine.core.comparison.TaskFound`): counts, 90 % interval of the difference, K values."""

    task: str
    k1: float = 0.0
    n1: int = 0
    k0: float = 0.0
    n0: int = 0
    diff: float = 0.0
    low: float = -1.0
    high: float = 1.0
    k_better: float = 1.0
    k_no_worse: float = 1.0
    k_worse: float = 1.0
    word: str = "undecided"
    pairs: int = 0
    left: int = 0
    for_it: int = 0
    against: int = 0
    p_better: float = 1.0
    p_no_worse: float = 1.0
    p_worse: float = 1.0
    chance_better: float | None = None
    path: tuple[float, ...] = ()


class ComparisonView(RecordView, frozen=True, kw_only=True):
    """Candidate against baseline as it stood at one moment; never edited, superseded by a newer one."""

    candidate: str = ""
    pack: str = ""
    pack_digest: str = ""
    baseline: BaselineView = field(default_factory=BaselineView)
    plan: PackPlan = field(default_factory=PackPlan)
    purpose: str = "sim"
    verdict: str = ""
    sentence: str = ""
    tasks: tuple[TaskRow, ...] = ()
    overall: TaskRow | None = None
    safety_events: int = 0
    hours: float = 0.0
    safety_upper_100h: float | None = None
    excluded: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    unpaired: int = 0
    regressions_passed: int = 0
    regressions: int = 0
    new_modes: tuple[str, ...] = ()
    worst: tuple[Json, ...] = ()
    trials_digest: str = ""
    evidence: str = ""


class SmokeStep(View, frozen=True, kw_only=True):
    """One step on one lab robot."""

    robot: str
    variant: str = ""
    step: str = ""
    ok: bool = False
    says: str = ""


class ArtifactView(RecordView, frozen=True, kw_only=True):
    """What is rolled out: content-addressed, signed, with its bill of materials and where it came from."""

    digest: str = ""
    sort: str = "model"
    name: str = ""
    line: str = ""
    version: str = ""
    content_of: str = ""
    candidate: str = ""
    targets: tuple[str, ...] = ()
    requires: dict[str, str] = field(default_factory=dict)
    size_b: int = 0
    precision: str = ""
    migrations: tuple[Json, ...] = ()
    anti_rollback_index: int = 0
    rollback_target: str = ""
    rollback_digest: str = ""
    safety_relevant: bool = False
    manifest: str = ""
    sbom: str = ""
    provenance: str = ""
    signature: str = ""
    key_id: str = ""
    public_key: str = ""
    reproduced: bool | None = None
    smoke: tuple[SmokeStep, ...] = ()
    rollback_drilled: bool = False
    eligible_at: float = 0.0
    expires_at: float = 0.0
    revoked_by: str = ""
    why: str = ""


class Verified(View, frozen=True, kw_only=True):
    """An artifact checked again from its bytes: every line with what was found."""

    artifact: str
    sound: bool
    checks: tuple[Check, ...] = ()


class Scoreboard(View, frozen=True, kw_only=True):
    """What a candidate's screen shows beside the record: its newest comparison and its artifact."""

    candidate: CandidateView
    comparison: ComparisonView | None = None
    artifact: ArtifactView | None = None
    pack: PackView | None = None
    excluded: tuple[TrialView, ...] = ()
    worst: tuple[TrialView, ...] = ()
    open_gate: str = ""
    seats: str = ""
