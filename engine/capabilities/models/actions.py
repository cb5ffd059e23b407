"""The actions of candidate to release. Each reads what is recorded and does what is missing, so each can be asked again."""

from __future__ import annotations

from collections.abc import Mapping

from engine.capabilities.models import building, evaluating, hardware, registering, regressing, releasing, smoking
from engine.capabilities.ports import Action, Param, optional

_CANDIDATE = {"candidate": Param(type="string", description="a candidate's id")}
_ARTIFACT = {"artifact": Param(type="string", description="an artifact's id")}


_COMPARED = optional(
    verdict="string", sentence="string", comparison="string", evidence="string", ready="boolean", unready="array",
    undecided="array", open="array", rounds_left="integer", trials="integer", table="array", safety_events="integer",
    safety="string", excluded="object", left_out="string", regressions="string", new_modes="array", blind="string",
    hardware="boolean", worst="array", baseline="string", latency="string", simulation="string",
)  # fmt: skip


def actions() -> Mapping[str, Action]:
    """By name."""
    listed = (
        Action(
            name="models.register", run=registering.register,
            description="The candidate of a checkpoint: new, or the one that is known.",
            inputs={"model_digest": Param(type="string"), "line": Param(type="string")}
            | optional(
                snapshot="string", snapshot_digest="string", recipe_digest="string", base_digest="string", seed="integer",
                sessions="array", parents="array", training="string", version="string", safety_relevant="boolean",
                target_compute="string", notes="string",
            ),
            outputs=optional(
                candidate="string", line="string", model_digest="string", state="string", duplicate="boolean",
                safety_relevant="boolean", version="string", why="string", auto="boolean", approval_s="number", decide_s="number",
                more="integer", hardware_s="number", replay_s="number", trial_s="number", build_s="number", smoke_s="number",
            ),
        ),
        Action(
            name="models.attach", run=registering.attach,
            description="Locks the evaluation pack and finds the baseline that runs today.",
            inputs=_CANDIDATE | optional(pack="string", baseline="string", leave_out="boolean"),
            outputs=optional(
                pack="string", pack_digest="string", baseline="object", tasks="array", hardware="boolean", left_out="array",
                plan="object",
            ),
        ),
        Action(
            name="models.replay", run=evaluating.replay,
            description="Recorded sessions through the candidate: divergence, violations, latency.",
            inputs=_CANDIDATE, outputs=optional(sessions="integer", frames="integer", violations="integer", ok="boolean", p99_ms="number"),
        ),
        Action(
            name="models.evaluate", run=evaluating.evaluate,
            description="Trials of candidate and baseline until the plan decides.",
            inputs=_CANDIDATE | optional(more="integer"), outputs=_COMPARED,
        ),
        Action(
            name="models.compare", run=evaluating.compare, description="The comparison of what is recorded now.",
            inputs=_CANDIDATE, outputs=_COMPARED,
        ),
        Action(
            name="models.order_sheet", run=hardware.order_sheet,
            description="A blind, randomised sheet for trials on hardware.", inputs=_CANDIDATE,
            outputs=optional(sheet="string", trials="integer", tasks="array"),
        ),
        Action(
            name="models.approve", run=releasing.approve, description="Writes a decision down, if its evidence still stands.",
            inputs=_CANDIDATE
            | {"evidence": Param(type="string")}
            | optional(gate="string", people="array", reason="string", course="string", policy="boolean"),
            outputs=optional(candidate="string", state="string", evidence="string", line="string"),
        ),
        Action(
            name="models.reject", run=releasing.reject, description="Ends a candidate with its reason.",
            inputs=_CANDIDATE | {"reason": Param(type="string")}, outputs=optional(candidate="string", state="string", why="string"),
        ),
        Action(
            name="models.freeze", run=releasing.freeze, description="Notes which incident approvals wait for.",
            inputs=_CANDIDATE | optional(incident="string", look="boolean"), outputs=optional(candidate="string", frozen_by="string"),
        ),
        Action(
            name="models.build", run=building.build, description="Packs the model under its digest, reproducibly.",
            inputs=_CANDIDATE,
            outputs=optional(
                artifact="string", digest="string", version="string", line="string", candidate="string", size_b="integer",
                manifest="string",
            ),
        ),
        Action(
            name="models.sign", run=building.sign, description="Signs the artifact with the installation's key.",
            inputs=_ARTIFACT, outputs=optional(signature="string", key_id="string"),
        ),
        Action(
            name="models.attest", run=building.attest, description="Bill of materials and provenance, signed.",
            inputs=_ARTIFACT, outputs=optional(sbom="string", provenance="string"),
        ),
        Action(
            name="models.smoke", run=smoking.smoke, description="The artifact on lab robots, one real way back per variant.",
            inputs=_ARTIFACT,
            outputs=optional(robots="integer", drilled="integer", cases="integer", differ="integer", says="string"),
        ),
        Action(
            name="models.eligible", run=releasing.eligible, description="From here on it may be rolled out, for a time.",
            inputs=_ARTIFACT,
            outputs=optional(
                artifact="string", digest="string", version="string", line="string", targets="array", candidate="string",
                expires_at="number",
            ),
        ),
        Action(
            name="models.expire", run=releasing.expire, description="Its time is over, or its platform changed.",
            inputs=_ARTIFACT | optional(reason="string"), outputs=optional(artifact="string", state="string"),
        ),
        Action(
            name="models.recheck", run=releasing.recheck, description="A champion's trials again, on a newer pack.",
            inputs=_CANDIDATE | {"pack": Param(type="string")},
            outputs=optional(
                candidate="string", pack="string", comparison="string", verdict="string", sentence="string", holds="boolean"
            ),
        ),
        Action(
            name="models.add_case", run=regressing.add_case, description="A case from an incident, in the pack's next version.",
            inputs={name: Param(type="string") for name in ("line", "task", "origin")} | {"seed": Param(type="integer")},
            outputs=optional(pack="string", case="string", version="integer"),
        ),
    )  # fmt: skip
    return {action.name: action for action in listed}
