"""Candidates, packs, trials, comparisons and artifacts: their states, moves and what must hold for a move."""

from __future__ import annotations

from typing import Any

from engine.capabilities.entities import Entity, Facts, Guard
from engine.contract.models import ArtifactView, CandidateView, ComparisonView, PackView, TrialView

PASSING = ("better", "non_inferior")


def _has_pack(record: CandidateView, facts: Facts) -> str | None:
    return None if record.pack and record.pack_digest else "no trial before an evaluation pack is locked"


def _has_comparison(record: CandidateView, facts: Facts) -> str | None:
    return None if record.comparison and record.evidence else "nothing was compared yet"


def _another_round(record: CandidateView, facts: Facts) -> str | None:
    limit = int(facts.get("rounds") or 0)
    if record.rounds > limit:
        return f"{record.id} was given more trials {limit} times already; people decide on what there is"
    return None


def _decided(record: CandidateView, facts: Facts) -> str | None:
    """Approval is somebody's decision on this evidence; a failing verdict can't be decided away."""
    if record.verdict not in (*PASSING, "inconclusive"):
        return f"its verdict is {record.verdict or 'not there'}: it can't be approved"
    if facts.get("evidence") != record.evidence:
        return "the evidence changed since it was decided on"
    if record.verdict in PASSING and facts.get("policy"):
        return None
    people = {str(one) for one in facts.get("people") or ()}
    if not facts.get("gate") or not people:
        return "approval needs a gate's decision"
    needed = 2 if record.verdict == "inconclusive" or record.safety_relevant else 1
    return None if len(people) >= needed else f"{needed} people have to approve this, {len(people)} did"


def _has_artifact(record: CandidateView, facts: Facts) -> str | None:
    return None if record.artifact else "nothing was built of it"


def _signed(record: ArtifactView, facts: Facts) -> str | None:
    return None if record.signature and record.key_id else "it has no signature"


def _ready(record: ArtifactView, facts: Facts) -> str | None:
    missing = [name for name in ("sbom", "provenance", "signature") if not getattr(record, name)]
    if missing:
        return f"it has no {' and no '.join(missing)}"
    if not record.rollback_drilled:
        return "no lab robot went back from it: one real rollback is needed"
    failed = next((one for one in record.smoke if not one.ok), None)
    return f"smoke on {failed.robot} failed: {failed.says}" if failed else None


def _with_reason(record: Any, facts: Facts) -> str | None:
    return None if record.why else "a reason is needed"


def _trial_reason(record: TrialView, facts: Facts) -> str | None:
    return None if record.excluded and record.excluded_by else "an exclusion needs a reason and a person"


_BUILT = (
    "digest", "line", "version", "candidate", "targets", "requires", "size_b", "migrations", "anti_rollback_index",
    "rollback_target", "rollback_digest", "manifest", "safety_relevant", "precision",
)  # fmt: skip
_SIGNED = (*_BUILT, "signature", "key_id", "public_key")
_LOCKED = (
    "name", "version", "line", "digest", "hardware_class", "simulator", "runner", "control_period_ms", "tasks",
    "regressions", "smoke", "replay", "fielded", "plan", "selector", "hardware",
)  # fmt: skip
_TRIED = (
    "candidate", "pack", "arm", "task", "seed", "purpose", "outcome", "rubric", "duration_s", "safety_events", "mode",
    "simulator",
)  # fmt: skip
_IDENTITY = ("model_digest", "line", "snapshot", "recipe_digest", "base_digest", "seed", "sessions", "size_b")

CANDIDATE = Entity(
    kind="candidate",
    table="candidates",
    prefix="C",
    shape=CandidateView,
    start=("registered",),
    moves={
        "registered": ("evaluating", "rejected"),
        "evaluating": ("compared", "rejected"),
        "compared": ("evaluating", "approved", "rejected"),
        "approved": ("compared", "built", "rejected"),
        "built": ("eligible", "rejected", "revoked"),
        "eligible": ("expired", "revoked"),
    },
    guards=(
        Guard("registered", "evaluating", _has_pack, "an evaluation pack, locked"),
        Guard("evaluating", "compared", _has_comparison, "a comparison with its evidence"),
        Guard("compared", "evaluating", _another_round, "at most two more rounds"),
        Guard("compared", "approved", _decided, "a decision on this evidence; two people when inconclusive"),
        Guard("approved", "built", _has_artifact, "an artifact"),
        Guard("*", "rejected", _with_reason, "a reason"),
        Guard("*", "revoked", _with_reason, "a reason"),
    ),
    immutable_in=dict.fromkeys(
        ("registered", "evaluating", "compared", "approved", "built", "eligible", "expired"), _IDENTITY
    ),
    title="candidate",
)

PACK = Entity(
    kind="pack",
    table="evaluation_packs",
    prefix="PK",
    shape=PackView,
    start=("draft",),
    moves={"draft": ("locked", "retired"), "locked": ("retired",)},
    immutable_in={"locked": _LOCKED, "retired": _LOCKED},
    title="evaluation pack",
)

TRIAL = Entity(
    kind="trial",
    table="trials",
    prefix="TR",
    shape=TrialView,
    start=("recorded", "excluded"),
    moves={"recorded": ("excluded",)},
    guards=(Guard("recorded", "excluded", _trial_reason, "a reason and a person"),),
    immutable_in={"recorded": _TRIED, "excluded": _TRIED},
    title="trial",
    quiet=True,
)

COMPARISON = Entity(
    kind="comparison",
    table="comparisons",
    prefix="CP",
    shape=ComparisonView,
    start=("made",),
    immutable_in={"made": tuple(name for name in ComparisonView.__struct_fields__ if name != "run")},
    title="comparison",
)

ARTIFACT = Entity(
    kind="artifact",
    table="artifacts",
    prefix="A",
    shape=ArtifactView,
    start=("built",),
    moves={
        "built": ("signed", "revoked"),
        "signed": ("eligible", "revoked"),
        "eligible": ("expired", "revoked"),
    },
    guards=(
        Guard("built", "signed", _signed, "a signature"),
        Guard("signed", "eligible", _ready, "signature, bill of materials, provenance, smoke with a real rollback"),
        Guard("*", "revoked", _with_reason, "a reason"),
    ),
    immutable_in={"built": _BUILT, "signed": _SIGNED, "eligible": _SIGNED, "expired": _SIGNED, "revoked": _SIGNED},
    title="artifact",
)

ENTITIES: tuple[Entity, ...] = (CANDIDATE, PACK, TRIAL, COMPARISON, ARTIFACT)
