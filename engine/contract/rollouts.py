"""Staged rollouts (domain section 6): denominators, canary against control, verdicts, blast radius."""

from __future__ import annotations

from engine.contract.common import Json, Page, View

ROLLOUT_STATE = (
    "draft",
    "preflight",
    "awaiting_signoff",
    "running",
    "pause_requested",
    "paused",
    "held",
    "rolling_back",
    "rolled_back",
    "rollback_incomplete",
    "completed",
    "completed_with_exceptions",
    "aborted",
    "failed",
)


class Counts(View, frozen=True, kw_only=True):
    """Robots of one stage or rollout. `executed` = ok + failed + timed_out + rejected: the only denominator."""

    planned: int = 0
    eligible: int = 0
    deferred: int = 0
    offline: int = 0
    executed: int = 0
    ok: int = 0
    failed: int = 0
    timed_out: int = 0
    rejected: int = 0
    in_progress: int = 0
    unknown: int = 0


class SignalRow(View, frozen=True, kw_only=True):
    """One signal, canary against control. Rates per 100 robot-hours; `low`/`high` one-sided 95 % bounds of the ratio.

    `flag`: empty, `!` (fails), `?` (inconclusive), `=` (passes). `text` fields are ready to show, with k and n.
    """

    name: str
    unit: str
    canary: str
    control: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    e: float | None = None
    coverage: float | None = None
    flag: str = ""
    text: str = ""


class Verdict(View, frozen=True, kw_only=True):
    """`word`: PASS, FAIL, INCONCLUSIVE, PENDING. `sentence` is for people; `reasons` rule by rule. `inputs_digest` binds it."""

    word: str
    sentence: str
    stage: str
    at: float
    reasons: tuple[str, ...] = ()
    inputs_digest: str = ""
    revision: int = 0


class StageView(View, frozen=True, kw_only=True):
    """`state`: pending, deploying, settling, observing, passed, failed, inconclusive, paused, rolled_back."""

    name: str
    index: int
    size: int
    state: str
    targets_digest: str
    counts: Counts = Counts()
    exposure_h: float = 0.0
    exposure_needed_h: float = 0.0
    soak_until: float | None = None
    verdict: Verdict | None = None
    sites: tuple[str, ...] = ()


class RobotUpdate(View, frozen=True, kw_only=True):
    """One robot in a rollout. `state`: planned, deferred, notified, downloading, installing, rebooting,
    commit_pending, healthy, failed, rejected, timed_out, rolled_back, rolling_back, unknown, offline, on_hold.
    """

    robot: str
    stage: str
    state: str
    from_version: str
    to_version: str
    reported: str
    site: str = ""
    variant: str = ""
    serial: str = ""
    reason: str = ""
    first_error: str = ""
    at: float = 0.0
    rollback: str = "feasible"


class RollbackPlan(View, frozen=True, kw_only=True):
    """Known before the key is pressed. `blocked` names each robot that can't go back, with the reason."""

    robots: int
    feasible: int
    blocked: tuple[tuple[str, str], ...] = ()
    on_hold: tuple[str, ...] = ()
    estimate_s: float = 0.0
    to_version: str = ""
    phrase: str = ""


class SeriesPoint(View, frozen=True, kw_only=True):
    t: float
    canary: float | None
    control: float | None
    e: float | None = None
    low: float | None = None
    high: float | None = None
    """Bounds of the control's own rate, for the band behind it."""


class Series(View, frozen=True, kw_only=True):
    """One plot: rates over time for canary and control, with E where it is defined."""

    name: str
    unit: str
    points: tuple[SeriesPoint, ...]


class RolloutSummary(View, frozen=True, kw_only=True):
    id: str
    run: str
    artifact: str
    version: str
    previous: str
    cohort: str
    robots: int
    state: str
    stage: str
    stage_index: int
    stages: tuple[str, ...]
    verdict: str
    sentence: str
    counts: Counts
    started_at: float
    updated_at: float
    started_by: str = ""
    gate: str = ""
    waiting_on: str = ""
    row: int = 0


class RolloutPage(Page, frozen=True, kw_only=True):
    rows: tuple[RolloutSummary, ...] = ()


class OwnerView(View, frozen=True, kw_only=True):
    """The update server a rollout goes through, and what it can't do: (what, why) in words for people."""

    server: str = ""
    limits: tuple[tuple[str, str], ...] = ()


class RolloutDetail(View, frozen=True, kw_only=True):
    """The screen of domain section 6. `pause_ack`: owner acknowledged, robots acknowledged, robots concerned, worst wait s."""

    rollout: RolloutSummary
    targets_digest: str
    stages: tuple[StageView, ...]
    signals: tuple[SignalRow, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    robots: tuple[RobotUpdate, ...] = ()
    rollback: RollbackPlan | None = None
    blast: dict[str, Json] = {}
    worst: str = ""
    dispersion: float | None = None
    permutation_p: float | None = None
    control: str = ""
    pause_ack: tuple[bool, int, int, float] | None = None
    split: tuple[int, int, int] | None = None
    """Completed, in progress, never started: what a stop leaves behind."""
    series: tuple[Series, ...] = ()
    policy: dict[str, Json] = {}
    preflight: Json = None
    owner: OwnerView | None = None
    verbs: dict[str, str] = {}
    """Verb -> empty when usable now, else why not."""
