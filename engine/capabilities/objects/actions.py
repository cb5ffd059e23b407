"""The actions about object stores. What the vault keeps is put out and taken in by digest."""

from __future__ import annotations

from collections.abc import Mapping

from engine.capabilities.ports import Action, optional, required


def actions() -> Mapping[str, Action]:
    from engine.capabilities.objects import moving

    listed = (
        Action(
            name="object.put", run=moving.put, effect="idempotent", reads_back=True,
            description="Puts something the vault keeps into an object store; what stands there already is not sent again.",
            inputs=required(digest="string", uri="string") | optional(system="string"),
            outputs=required(uri="string", digest="string", size="integer"),
        ),
        Action(
            name="object.get", run=moving.get, effect="idempotent", reads_back=True,
            description="Takes an object into the vault; with `digest` only if it is that.",
            inputs=required(uri="string") | optional(digest="string", media="string", system="string"),
            outputs=required(uri="string", digest="string", size="integer"),
        ),
        Action(
            name="object.remove", run=moving.remove, effect="idempotent", reads_back=True,
            description="Removes an object; one that is gone already is no mistake.",
            inputs=required(uri="string") | optional(system="string"),
            outputs=required(uri="string"),
        ),
    )  # fmt: skip
    return {one.name: one for one in listed}
