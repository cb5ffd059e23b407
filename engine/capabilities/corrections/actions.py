"""The actions of the correction loop: names, typed inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.capabilities.ports import Action, Param, optional, required

Json = Any
_CLUSTER = {"cluster": Param(type="string")}
_REASON = {"reason": Param(type="string", required=False)}
_CASES = {"cases": Param(type="array")}


def actions() -> Mapping[str, Action]:
    from engine.capabilities.corrections import keeping, labelling, packing, routing, seeing

    listed = (
        Action(
            name="correction.detect", run=seeing.see, description="Interventions of a session, of a robot now, or after a spike.",
            inputs=optional(
                session="string", robot="string", at="number", until="number", site="string", version="string", task="string",
                zone="string", mode="string", operator="string", severity="string", cases="array", spike="boolean", reason="string",
            ),
            outputs=required(cases="array", scored="array", spikes="array", says="string", terms="object", at="number"),
        ),
        Action(
            name="correction.capture", run=keeping.capture, description="Keeps the window of raw topics, or says that it is lost.",
            inputs=required(correction="string"),
            outputs=required(correction="string", state="string", digest="string", covered="number", why="string"),
        ),
        Action(
            name="correction.progress", run=labelling.progress, description="How many still wait for people.",
            inputs={"stage": Param(type="string")} | optional(cases="array", cluster="string"),
            outputs=required(left="integer", of="integer", ids="array", stage="string", at="number"),
        ),
        Action(
            name="correction.sort", run=labelling.sort, description="Policy goes on, hardware to maintenance, the rest is closed.",
            inputs=_CASES, outputs=required(policy="array", handed_over="array", closed="array", left="integer"),
        ),
        Action(
            name="correction.close", run=labelling.close, description="Closes what nobody looked at.",
            inputs=_CASES | {"reason": Param(type="string")}, outputs=required(closed="array"),
        ),
        Action(
            name="correction.cluster", run=labelling.cluster, description="Puts corrections with those like them.",
            inputs=_CASES, outputs=required(own="array", joined="array", says="string"),
        ),
        Action(
            name="correction.prepare", run=labelling.prepare, description="Gives the clips of a cluster to annotators.",
            inputs=_CLUSTER, outputs=required(cluster="string", members="array", double="integer", known="integer"),
        ),
        Action(
            name="correction.settle", run=labelling.settle, description="Final phases where annotators agree.", inputs=_CLUSTER,
            outputs=required(left="integer", ids="array", ready="integer", annotating="integer", of="integer"),
        ),
        Action(
            name="correction.card", run=labelling.card, description="The cluster's card, kept under its digest.", inputs=_CLUSTER,
            outputs=required(card="object", digest="string", annotators="array", question="string"),
        ),
        Action(
            name="correction.reopen", run=labelling.reopen, description="Labels not accepted: annotated again.",
            inputs=_CLUSTER | _REASON, outputs=required(again="integer"),
        ),
        Action(
            name="correction.leave_out", run=labelling.leave_out, description="Discards what is still open in a cluster.",
            inputs=_CLUSTER | {"reason": Param(type="string")}, outputs=required(discarded="array"),
        ),
        Action(
            name="correction.prioritise", run=routing.prioritise, description="Priority with its five factors.",
            inputs=_CLUSTER | {"gate": Param(type="string"), "by": Param(required=False)},
            outputs=required(factors="object", corrections="integer"),
        ),
        Action(
            name="correction.route", run=routing.route, description="To training or evaluation, split by group.",
            inputs=_CLUSTER | {"gate": Param(type="string"), "route": Param(type="string", required=False)} | _REASON,
            outputs=required(train="integer", eval="integer", followed="integer", says="string", discarded="integer"),
        ),
        Action(
            name="correction.to_pack", run=packing.to_pack, description="The evaluation side into the pack's next version.",
            inputs=_CLUSTER, outputs=required(pack="string", cases="integer", says="string"),
        ),
        Action(
            name="correction.inclusion", run=routing.inclusion, description="Whether a snapshot and a pack hold them.",
            inputs=_CLUSTER,
            outputs=required(
                complete="boolean", stale="boolean", left="integer", eval_left="integer", of="integer", snapshots="array",
                packs="array", stale_at="number", at="number",
            ),
        ),
        Action(
            name="correction.keep", run=routing.keep, description="Another term for what nobody used yet.",
            inputs=_CLUSTER | _REASON, outputs=required(stale_at="number"),
        ),
        Action(
            name="correction.lineage", run=routing.lineage, description="Whether a release learnt from this cluster.",
            inputs=_CLUSTER | {"release": Param(type="object"), "asked": Param(type="boolean", required=False)},
            outputs=required(relevant="boolean", why="string", names="array", cluster="string"),
        ),
        Action(
            name="correction.effect", run=routing.effect, description="The cluster's rate before and after a release.",
            inputs=_CLUSTER | {"over": Param(type="boolean", required=False)},
            outputs=required(word="string", sentence="string"),
        ),
        Action(
            name="correction.conclude", run=routing.conclude, description="Writes the measured effect to every correction.",
            inputs=_CLUSTER | {"word": Param(type="string")},
            outputs=required(effect="object", corrections="array", round="integer", cluster="string"),
        ),
        Action(
            name="correction.round_again", run=routing.round_again, description="Not fixed: to the annotators again.",
            inputs=_CLUSTER, outputs=required(corrections="array"),
        ),
        Action(
            name="correction.give_up", run=routing.give_up, description="Closes a cluster by decision.", inputs=_CLUSTER | _REASON,
            outputs=required(cluster="string"),
        ),
        Action(
            name="correction.stand", run=routing.stand, effect="read", description="Where every correction of a run stands.",
            inputs=_CASES, outputs=required(states="object", over="integer"),
        ),
    )  # fmt: skip
    return {action.name: action for action in listed}
