"""The correction loop (domain section 8): interventions, their phases, what they are made of and what came of them.

Units: `start`, `t0`, `t1` of a case are UTC epoch seconds; times inside a clip (`Span`) are seconds relative to the
takeover; rates are per 100 robot-hours with one-sided 95 % bounds; distances m.
"""

from __future__ import annotations

from msgspec import field

from engine.contract.common import View
from engine.contract.records import RecordView

PHASES = ("autonomous", "pre_intervention", "handover", "recovery", "correction", "resume", "post")
"""In the order they happen; the keys 1 to 7 of the annotation screen."""
CAUSES = ("policy", "hardware", "network", "operator", "environment", "test")
ROUTES = ("train", "eval", "safety_case", "discard")
SEVERITIES = ("nuisance", "task_failure", "damage", "safety")


class Span(View, frozen=True, kw_only=True):
    """A phase of a clip, `t0` to `t1` seconds from the takeover."""

    t0: float
    t1: float
    phase: str


class PhaseAnnotation(View, frozen=True, kw_only=True):
    """What one person said about a clip. `copied`: every edge as the machine had it. `missed`: a known edge was passed over."""

    author: str
    at: float
    spans: tuple[Span, ...] = ()
    quality: int = 0
    gated_by: str = "human"
    success_after: bool = True
    note: str = ""
    copied: bool = False
    missed: bool = False


class Agreement(View, frozen=True, kw_only=True):
    """How far annotators agree: Krippendorff's alpha on phases with its interval, and overlap of the phases.

    `n` counts units of half a second that two people labelled; alpha is None where nothing can be said.
    """

    alpha: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    iou: float | None = None
    pairs: int = 0
    edge_worst_s: float = 0.0


class Suggestion(View, frozen=True, kw_only=True):
    """The cause that the rules would give, with the rule's own words. People decide."""

    cause: str = ""
    rule: str = ""
    why: str = ""


class WindowRef(View, frozen=True, kw_only=True):
    """The kept window of raw topics. `source`: session (cut from its recording) or ring (fetched from the robot).

    `covered` is the share of the wanted time that was still there; `clock_offset_s` what robot and station differ by.
    """

    digest: str = ""
    media: str = ""
    size_b: int = 0
    start: float = 0.0
    end: float = 0.0
    source: str = ""
    covered: float = 0.0
    messages: int = 0
    topics: tuple[str, ...] = ()
    pin: str = ""
    pinned_at: float = 0.0
    uploaded_at: float = 0.0
    clock_offset_s: float = 0.0


class Factors(View, frozen=True, kw_only=True):
    """The five factors of a priority and its age term; `score` is their product and is never shown without them."""

    score: float = 0.0
    severity: str = ""
    w_sev: float = 0.0
    n_30d: int = 0
    coverage: float = 0.0
    coverage_says: str = ""
    novelty: float = 0.0
    quality: float = 0.0
    age_d: float = 0.0
    half_life_d: float = 30.0
    at: float = 0.0


class EffectView(View, frozen=True, kw_only=True):
    """The cluster's rate before and after a release: events and robot-hours on the cluster's task, ratio with bounds.

    `word`: PENDING, CONFIRMED, NOT_FIXED, INCONCLUSIVE. `sentence` is for people.
    """

    word: str = ""
    sentence: str = ""
    rollout: str = ""
    version: str = ""
    before_n: int = 0
    before_h: float = 0.0
    after_n: int = 0
    after_h: float = 0.0
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    needed_h: float = 0.0
    at: float = 0.0
    inputs_digest: str = ""
    versions_before: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()


class CorrectionCase(RecordView, frozen=True, kw_only=True):
    """One intervention, from the moment it was seen to the measured effect of what was learnt from it.

    `t0`/`t1`: takeover and release. `group` (site/day/robot) is never split between training and evaluation.
    `use`: imitation, or detection for corrections too poor to imitate. `count` is how often it came round.
    """

    session: str = ""
    robot: str = ""
    site: str = ""
    task: str = ""
    zone: str = ""
    version: str = ""
    operator: str = ""
    policy_digest: str = ""
    trigger: str = ""
    t0: float = 0.0
    t1: float = 0.0
    link_ms: float = 0.0
    mode: str = ""
    by: str = ""
    anomaly: float = 0.0
    severity: str = "task_failure"
    flags: tuple[str, ...] = ()
    window: WindowRef | None = None
    lost_why: str = ""
    suggested: Suggestion = Suggestion()
    cause: str = ""
    cause_by: str = ""
    cluster: str = ""
    group: str = ""
    features: tuple[float, ...] = ()
    auto: tuple[Span, ...] = ()
    shown: tuple[Span, ...] = ()
    double: bool = False
    known_answer: bool = False
    annotations: tuple[PhaseAnnotation, ...] = ()
    final: tuple[Span, ...] = ()
    adjudicated_by: str = ""
    agreement: Agreement = Agreement()
    quality: int = 0
    use: str = ""
    wanted: str = ""
    """A route a person asked for ahead of the rule; decided with the cluster."""
    route: str = ""
    route_why: str = ""
    snapshot: str = ""
    pack: str = ""
    handed_to: str = ""
    reason: str = ""
    count: int = 0
    effect: EffectView | None = None


class ClusterView(RecordView, frozen=True, kw_only=True):
    """Corrections that look alike: same cause and task, near in what happened. `after` is the cluster it came round from."""

    cause: str = ""
    task: str = ""
    zone: str = ""
    members: tuple[str, ...] = ()
    centre: tuple[float, ...] = ()
    n: int = 0
    n_30d: int = 0
    exposure_h: float = 0.0
    rate: float | None = None
    low: float | None = None
    high: float | None = None
    trend: tuple[int, ...] = ()
    """Events of each of the last four weeks, oldest first."""
    versions: dict[str, int] = field(default_factory=dict)
    sites: dict[str, int] = field(default_factory=dict)
    robots: dict[str, int] = field(default_factory=dict)
    causes: dict[str, int] = field(default_factory=dict)
    handed: tuple[str, ...] = ()
    clips: tuple[str, ...] = ()
    agreement: Agreement = Agreement()
    factors: Factors = Factors()
    version_no: int = 0
    score: float = 0.0
    after: str = ""
    merged_into: str = ""
    round: int = 0
    split: dict[str, int] = field(default_factory=dict)
    split_says: str = ""
    copiers: tuple[str, ...] = ()
    snapshot: str = ""
    pack: str = ""
    routed_at: float = 0.0
    stale_at: float = 0.0
    effect: EffectView | None = None


class SpikeView(RecordView, frozen=True, kw_only=True):
    """More interventions than chance: `k` seen where `expected` were, on one version at one site since `window_start`."""

    version: str = ""
    site: str = ""
    window_start: float = 0.0
    window_end: float = 0.0
    k: int = 0
    expected: float = 0.0
    needed: int = 0
    p: float | None = None
    e: float | None = None
    exposure_h: float = 0.0
    baseline_n: int = 0
    baseline_h: float = 0.0
    says: str = ""
    cluster: str = ""


class SessionScore(RecordView, frozen=True, kw_only=True):
    """What was found in one session: interventions, rate against its site, how long a person was in control, which rules flag it.

    `rank` orders what people look at; a detector's score is a rank, never a reason to act.
    """

    session: str = ""
    robot: str = ""
    site: str = ""
    version: str = ""
    task: str = ""
    start: float = 0.0
    robot_h: float = 0.0
    interventions: int = 0
    rate: float | None = None
    low: float | None = None
    high: float | None = None
    site_median: float | None = None
    human_share: float = 0.0
    anomaly: float = 0.0
    flagged: bool = False
    why: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    distance_m: float = 0.0
    rank: float = 0.0


class ClipPoint(View, frozen=True, kw_only=True):
    """One moment of a clip: seconds from the takeover, who drives, height of what is drawn (0 to 1)."""

    t: float
    human: bool = False
    speed: float = 0.0
    anomaly: float = 0.0
    link_ms: float = 0.0


class ClipView(View, frozen=True, kw_only=True):
    """What the annotation screen shows of a kept window, a point each tenth of a second."""

    correction: str
    digest: str
    sound: bool
    start: float
    end: float
    points: tuple[ClipPoint, ...] = ()
    topics: tuple[str, ...] = ()
    gaps: tuple[tuple[float, float], ...] = ()


class CorrectionsBoard(View, frozen=True, kw_only=True):
    """Numbers of the verdict line: how many wait for what, and the oldest."""

    open: int = 0
    clusters: int = 0
    oldest_at: float = 0.0
    to_triage: int = 0
    to_annotate: int = 0
    to_adjudicate: int = 0
    in_review: int = 0
    stale: int = 0
    lost: int = 0
    not_fixed: int = 0
    double_for_me: int = 0
