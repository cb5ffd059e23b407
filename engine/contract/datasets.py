"""Datasets: what is collected and why, the labels people give, the frozen snapshot, and the training that uses it
(domain sections 4 and 11).
"""

from __future__ import annotations

from msgspec import field

from engine.contract.common import Json, Page, View
from engine.contract.records import RecordView

SNAPSHOT_STATE = ("building", "review", "finalized", "superseded", "withdrawn")
TASK_STATE = ("open", "claimed", "submitted", "accepted", "dropped")
TRAINING_STATE = ("submitted", "running", "preempted", "succeeded", "failed", "cancelled")
PURPOSE = ("label", "overlap", "audit")


class LabelField(View, frozen=True, kw_only=True):
    """One label of a schema. `kind`: `span` (from, to, one of `values`), `value` (one of `values` for the whole session),
    `number` (within `minimum` and `maximum`).
    """

    name: str
    kind: str = "span"
    title: str = ""
    values: tuple[str, ...] = ()
    required: bool = True
    covers: bool = False
    """Spans of it must cover the whole session (phases do)."""
    minimum: float | None = None
    maximum: float | None = None


class LabelSchema(View, frozen=True, kw_only=True):
    """What is asked about each session. `digest` binds tasks to it: a schema that changes makes new tasks."""

    name: str = ""
    version: int = 1
    fields: tuple[LabelField, ...] = ()
    digest: str = ""


class Label(View, frozen=True, kw_only=True):
    """One label. `t0`, `t1` are seconds from the session's start (both -1: the whole session)."""

    name: str
    value: str
    t0: float = -1.0
    t1: float = -1.0
    confidence: float = 1.0


class Stratum(View, frozen=True, kw_only=True):
    """A cell of the coverage matrix: `dims` (task, site, …) and how many episodes it needs."""

    dims: dict[str, str]
    need: int = 20


class Cell(View, frozen=True, kw_only=True):
    """A stratum as filled. `waived` names who waived it, `waived_until` until when (epoch s)."""

    key: str
    dims: dict[str, str]
    have: int
    need: int
    waived: str = ""
    waived_until: float = 0.0

    @property
    def short(self) -> bool:
        return self.have < self.need and not self.waived


class Agreement(View, frozen=True, kw_only=True):
    """Krippendorff's alpha (nominal) over sessions labelled twice, with a bootstrap interval by session.

    `word`: accept, tentative, reject, none (nothing was labelled twice). `iou` is of spans of equal label.
    """

    alpha: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    samples: int = 0
    iou: float | None = None
    word: str = "none"


class Audit(View, frozen=True, kw_only=True):
    """`k` of `n` audited labels were wrong; `u95` the one-sided upper bound; `population` how many there are to audit."""

    k: int = 0
    n: int = 0
    need: int = 0
    open: int = 0
    population: int = 0
    u95: float = 1.0
    word: str = "none"


class Shift(View, frozen=True, kw_only=True):
    """How a feature differs from the snapshot before. `psi` the population stability index, `p` of Kolmogorov-Smirnov."""

    feature: str
    psi: float
    ks: float | None = None
    p: float | None = None
    flag: bool = False


class Funnel(View, frozen=True, kw_only=True):
    """Sessions that came this far, and what became of the others."""

    found: int = 0
    ingested: int = 0
    valid: int = 0
    labelled: int = 0
    kept: int = 0
    quarantined: int = 0
    repaired: int = 0
    duplicates: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


class Curation(View, frozen=True, kw_only=True):
    """What the rule did, and what the cheap baseline (episode length alone) would have done."""

    rule: str = ""
    rule_digest: str = ""
    kept: int = 0
    excluded: int = 0
    baseline_excluded: int = 0
    both_excluded: int = 0
    rank_correlation: float | None = None
    decisions: str = ""
    """Digest of every decision with its reason code."""


class Checks(View, frozen=True, kw_only=True):
    """What freezing found. Numbers are sessions; `k of n` each. What was found is left out of the snapshot, and counted."""

    contaminated: int = 0
    near_duplicates: int = 0
    leaked: int = 0
    residency: int = 0
    consent: int = 0
    unlicensed: int = 0
    pack_cases: int = 0
    left: int = 0
    """What is still contaminated or leaked after that: 0, or the snapshot can't be signed."""


class SnapshotView(RecordView, frozen=True, kw_only=True):
    """A dataset frozen: `root_digest` says exactly which content, with which labels, in which split.

    `manifest` (Croissant) and `episodes_digest` (one line per episode) are digests in the vault. `hours` of recordings;
    `gpu_hours` estimated. `blockers` are why it can't be signed; empty when it can.
    """

    dataset: str = ""
    version: int = 0
    line: str = ""
    purpose: str = ""
    root_digest: str = ""
    manifest: str = ""
    episodes_digest: str = ""
    selection: str = ""
    revision_ref: str = ""
    episodes: int = 0
    frames: int = 0
    hours: float = 0.0
    bytes: int = 0
    splits: dict[str, int] = field(default_factory=dict)
    groups: int = 0
    split_seed: int = 0
    sessions: tuple[str, ...] = ()
    corrections: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    schema: str = ""
    profile: str = ""
    licence: str = ""
    consent_basis: str = ""
    funnel: Funnel = Funnel()
    agreement: Agreement = Agreement()
    audit: Audit = Audit()
    curation: Curation = Curation()
    coverage: tuple[Cell, ...] = ()
    n_eff: float | None = None
    shift: tuple[Shift, ...] = ()
    shift_against: str = ""
    checks: Checks = Checks()
    contamination: int = 0
    interventions: int = 0
    failures: int = 0
    annotators: tuple[str, ...] = ()
    gpu_hours: float = 0.0
    blockers: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    signed_by: tuple[str, ...] = ()
    gate: str = ""
    withdrawn_for: str = ""
    dependants: tuple[str, ...] = ()


class DatasetView(RecordView, frozen=True, kw_only=True):
    """A named collection with a purpose. `strata` are the cells it must fill; `id` is its name."""

    name: str = ""
    purpose: str = ""
    line: str = ""
    owner: str = ""
    licence: str = ""
    consent_basis: str = ""
    """What recordings that name no basis are used on; who declared it answers for it."""
    label_schema: LabelSchema = LabelSchema()
    strata: tuple[Stratum, ...] = ()
    recipe: dict[str, Json] = field(default_factory=dict)
    """What is trained from it where a campaign says nothing else; `version` is the software version it leads to."""
    retention_s: float = 0.0
    newest: str = ""
    versions: int = 0


class LabelTaskView(RecordView, frozen=True, kw_only=True):
    """A session to label or to audit. `purpose`: label, overlap (a second pair of eyes), audit (are these labels right).

    `excluded` are people who may not take it: who labelled a session neither overlaps nor audits it.
    """

    session: str = ""
    dataset: str = ""
    snapshot: str = ""
    purpose: str = "label"
    robot: str = ""
    site: str = ""
    task: str = ""
    duration_s: float = 0.0
    schema: LabelSchema = LabelSchema()
    hints: tuple[Label, ...] = ()
    """What the recording or an automatic annotator says already; a start for a person, never a label by itself."""
    assignee: str = ""
    excluded: tuple[str, ...] = ()
    annotation: str = ""
    audits: str = ""
    """The annotation an audit looks at."""
    rounds: int = 0
    why: str = ""


class AnnotationView(RecordView, frozen=True, kw_only=True):
    """What one person said about one session. `author` is a pseudonym; who that is stands in the audit trail."""

    task: str = ""
    session: str = ""
    dataset: str = ""
    author: str = ""
    tool: str = "quarterdeck"
    purpose: str = "label"
    schema: str = ""
    labels: tuple[Label, ...] = ()
    note: str = ""
    wrong: tuple[int, ...] = ()
    """Places of labels an audit found wrong."""
    audited: str = ""


class CollectionView(RecordView, frozen=True, kw_only=True):
    """A request for more recordings of cells that are short. `due_at` epoch s."""

    dataset: str = ""
    snapshot: str = ""
    cells: tuple[Cell, ...] = ()
    due_at: float = 0.0
    reason: str = ""
    by: str = ""


class Checkpoint(View, frozen=True, kw_only=True):
    """What a training program wrote. `step` counts in the program's own unit; `size` in bytes."""

    digest: str
    size: int = 0
    step: int = 0
    name: str = ""


class TrainingView(RecordView, frozen=True, kw_only=True):
    """A training run. `spent_s` and `budget_s` are seconds of computing on `pool`. `job` is the launcher's reference.

    `log` is the digest of the whole log once it ended; while it runs the log is read live.
    """

    snapshot: str = ""
    root_digest: str = ""
    dataset: str = ""
    line: str = ""
    program: str = ""
    version: str = ""
    """The software version that the model is meant for, as the recipe says it."""
    recipe: dict[str, Json] = field(default_factory=dict)
    recipe_digest: str = ""
    base_digest: str = ""
    seed: int = 0
    pool: str = ""
    launcher: str = ""
    job: str = ""
    budget_s: float = 0.0
    spent_s: float = 0.0
    done: int = 0
    of: int = 0
    unit: str = ""
    metrics: dict[str, Json] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None
    checkpoints: tuple[Checkpoint, ...] = ()
    preemptions: int = 0
    tries: int = 0
    error: str = ""
    message: str = ""
    log: str = ""


class TrainingLog(View, frozen=True, kw_only=True):
    """A piece of a training's log, from byte `offset` to `next`; `ended` when no more will come.

    While it runs, how far it is by its launcher's word stands beside it; the record keeps it at checkpoints alone.
    """

    training: str
    offset: int = 0
    next: int = 0
    text: str = ""
    ended: bool = False
    live: bool = False
    done: int = 0
    of: int = 0
    unit: str = ""
    spent_s: float = 0.0
    metrics: dict[str, Json] = field(default_factory=dict)


class EpisodeRow(View, frozen=True, kw_only=True):
    """One session as it stands in a snapshot: kept (with split and weight) or left out (with the reason code)."""

    session: str
    digest: str = ""
    decision: str = "kept"
    code: str = ""
    why: str = ""
    split: str = ""
    group: str = ""
    weight: float = 1.0
    score: float = 0.0
    baseline: float = 0.0
    robot: str = ""
    site: str = ""
    task: str = ""
    duration_s: float = 0.0
    annotation: str = ""
    annotation_rev: int = 0


class EpisodePage(Page, frozen=True, kw_only=True):
    snapshot: str = ""
    rows: tuple[EpisodeRow, ...] = ()


class SnapshotDiff(View, frozen=True, kw_only=True):
    """What changed from the snapshot before."""

    snapshot: str
    before: str = ""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    relabelled: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    """Sessions that changed their split: none may, or a model was trained on what it is now tested with."""
    cells: tuple[tuple[str, int, int], ...] = ()
    """Cell, how many before, how many now."""


class SnapshotProof(View, frozen=True, kw_only=True):
    """Whether a snapshot still re-hashes to what was signed."""

    snapshot: str
    root_digest: str
    found: str = ""
    ok: bool = False
    episodes: int = 0
    problem: str = ""
