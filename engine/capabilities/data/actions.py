"""The actions of Data To Training, by name. Each reads what is and does what is missing, so that asking again is safe."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

from engine.capabilities.data import building, campaign, label_queue, train_actions, withdrawal
from engine.capabilities.ports import Action, Param, optional

_SNAPSHOT = {"snapshot": Param(type="string", description="A snapshot that is being built")}
_COUNTS = optional(
    snapshot="string", complete="boolean", left="integer", tasks="integer", done="integer", claimed="integer", dropped="integer",
    sessions="integer", made="integer", settled="boolean", at="number",
)  # fmt: skip
_TRAINED = optional(
    training="string", state="string", recipe_digest="string", seed="integer", checkpoint="object", spent_s="number", metrics="object",
    preemptions="integer", error="string", line="string",
)  # fmt: skip


def _action(
    name: str, run: Any, says: str, inputs: dict[str, Param], outputs: dict[str, Param], *, reads_back: bool = False
) -> Action:
    return Action(name=name, run=run, description=says, inputs=inputs, outputs=outputs, reads_back=reads_back)


def actions() -> Mapping[str, Action]:
    listed = (
        _action(
            "data.open", campaign.open_campaign, "The dataset, and a snapshot that begins to be built.",
            {"dataset": Param(type="string"), **optional(line="string", purpose="string", strata="array", label_schema="object", owner="string",
             licence="string", consent="string", region="string", reason="string")},
            optional(snapshot="string", dataset="string", version="integer", before="string", line="string", poll_s="number", label_s="number",
                    review_s="number", collect_s="number", signoff_s="number", decide_s="number"),
        ),
        _action(
            "data.admit", campaign.admit, "Sessions named by people or corrections join.",
            _SNAPSHOT | optional(sessions="array", corrections="array", taken="array"),
            optional(snapshot="string", usable="integer", joined="array", refused="array", funnel="object"),
        ),
        _action("data.queue", label_queue.queue, "Makes the label tasks that are missing.", _SNAPSHOT, _COUNTS),
        _action("data.label_progress", label_queue.progress, "How far the labels are.", _SNAPSHOT, _COUNTS),
        _action(
            "data.drop_tasks", label_queue.drop, "Goes on without what is not labelled.", _SNAPSHOT,
            optional(snapshot="string", dropped="integer", sessions="array"),
        ),
        _action(
            "data.label_quality", label_queue.quality, "Agreement of people, and the audit sample.", _SNAPSHOT,
            optional(snapshot="string", agreement="object", audits="integer", labels="integer"),
        ),
        _action(
            "data.label_verdict", label_queue.verdict, "What agreement and audit say.", _SNAPSHOT,
            optional(snapshot="string", complete="boolean", word="string", agreement="object", audit="object", sentence="string",
                    worst="array", open="integer", at="number"),
        ),
        _action(
            "data.relabel", label_queue.relabel, "Opens again what was in doubt.", _SNAPSHOT | optional(reason="string"),
            optional(snapshot="string", sessions="array", count="integer"),
        ),
        _action(
            "data.accept_labels", label_queue.accept, "The labels count from now on.", _SNAPSHOT | optional(by="array"),
            optional(snapshot="string", labelled="integer", unlabelled="array"),
        ),
        _action(
            "data.curate", building.curate_sessions, "Keeps or leaves out each session, with a reason code.", _SNAPSHOT,
            optional(snapshot="string", curation="object", kept="integer", excluded="integer", funnel="object"),
        ),
        _action(
            "data.coverage", building.cover, "The coverage matrix.", _SNAPSHOT,
            optional(snapshot="string", short="boolean", short_count="integer", cells="array", cell_count="integer", n_eff="any", sentence="string"),
        ),
        _action(
            "data.request_collection", building.request_collection, "Asks for recordings of short cells.", _SNAPSHOT,
            optional(snapshot="string", collection="string", due_at="number", cells="array"),
        ),
        _action(
            "data.waive", building.waive, "Short cells are accepted for a time.",
            _SNAPSHOT | optional(by="array", reason="string", days="number"), optional(snapshot="string", waived="integer", until="number"),
        ),
        _action(
            "data.freeze", building.freeze, "Split, checks, manifest, root digest.", _SNAPSHOT,
            optional(snapshot="string", blocked="boolean", blockers="array", root_digest="string", ref="string", evidence="object"),
        ),
        _action(
            "data.finalize", building.finalize, "Immutable from now on, if it is what was signed.",
            _SNAPSHOT | {"root_digest": Param(type="string"), **optional(gate="string", by="array")},
            optional(snapshot="string", root_digest="string", episodes="integer", line="string", version="integer"),
        ),
        _action("data.abandon", building.abandon, "Closes what an unfinished campaign left open.", optional(reason="string"), optional(reason="string")),
        _action(
            "data.withdraw", withdrawal.withdraw, "Consent is withdrawn: sessions, snapshots, dependants.",
            optional(subjects="array", sessions="array", reason="string"),
            optional(sessions="array", session_count="integer", snapshots="array", snapshot_count="integer", dependants="array",
                    dependant_count="integer", reason="string"),
        ),
        _action(
            "data.recheck", withdrawal.recheck, "What the present rules no longer allow in signed snapshots.", {},
            optional(sessions="array", session_count="integer", snapshots="array", snapshot_count="integer", dependants="array", dependant_count="integer"),
        ),
        _action(
            "training.submit", train_actions.submit, "Hands a finalized snapshot to the launcher.",
            _SNAPSHOT | optional(recipe="object", seed="integer", base="string", pool="string", budget_s="number", attempt="integer", reason="string"),
            _TRAINED, reads_back=True,
        ),
        _action(
            "training.follow", train_actions.follow, "Watches a training to its end; resumes it after a preemption.",
            {"training": Param(type="string")}, _TRAINED, reads_back=True,
        ),
        _action(
            "training.stop", train_actions.stop, "Ends what this run still trains.", optional(reason="string"), optional(stopped="array"),
            reads_back=True,
        ),
    )  # fmt: skip
    return {**_ingest(), **{action.name: action for action in listed}}


def _ingest() -> Mapping[str, Action]:
    """Those of intake and validation stand in a module of their own."""
    name = f"{__package__}.actions_ingest"
    found: Mapping[str, Action] = importlib.import_module(name).actions() if importlib.util.find_spec(name) else {}
    return found
