"""The actions about labelling systems: label tasks handed over once, answers taken as annotations."""

from __future__ import annotations

from collections.abc import Mapping

from engine.capabilities.ports import Action, optional, required


def actions() -> Mapping[str, Action]:
    from engine.capabilities.labelling import handover, taking

    listed = (
        Action(
            name="labels.push", run=handover.push, effect="idempotent", reads_back=True,
            description="Hands the open label tasks of a snapshot to a labelling system, each once.",
            inputs=required(snapshot="string") | optional(system="string"),
            outputs=required(
                project="string", handed="integer", there="integer", poll_s="number", until="number", says="string"
            ),
        ),
        Action(
            name="labels.pull", run=taking.pull, effect="idempotent", reads_back=True,
            description="Takes the answers given since as annotations of their authors; says which could not be taken.",
            inputs=required(snapshot="string", project="string") | optional(system="string", since="number", until="number"),
            outputs=required(
                taken="integer", refused="array", left="integer", since="number", over="boolean", snapshot="string"
            ),
        ),
    )  # fmt: skip
    return {one.name: one for one in listed}
