"""The actions about model registries. Each can be asked again: a version is found by its digest, an alias read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.capabilities.ports import Action, optional, required

Json = Any


def actions() -> Mapping[str, Action]:
    from engine.capabilities.model_registry import coming, going

    listed = (
        Action(
            name="registry.register", run=going.register, effect="idempotent", reads_back=True,
            description="Registers an artifact's bytes as a version of its line's model, with where it came from.",
            inputs=required(artifact="string") | optional(system="string"),
            outputs=required(
                model="string", version="string", source="string", alias="string", stands="string", system="string",
                settle_s="number",
            ),
        ),
        Action(
            name="registry.alias", run=going.alias, effect="idempotent", reads_back=True,
            description="Points an alias at a version; with `expect` only from where it was seen (empty: nowhere).",
            inputs=required(model="string", alias="string", version="string") | optional(expect="string", system="string"),
            outputs=required(model="string", alias="string", version="string"),
        ),
        Action(
            name="registry.tag", run=going.tag, effect="idempotent", reads_back=True,
            description="Sets tags of a version.",
            inputs=required(model="string", version="string", tags="object") | optional(system="string"),
            outputs=required(model="string", version="string"),
        ),
        Action(
            name="registry.note", run=going.note, effect="idempotent", reads_back=True,
            description="Writes what became of an artifact or candidate on its registered version.",
            inputs=optional(
                artifact="string", model="string", version="string", digest="string", reason="string", system="string"
            ),
            outputs=required(noted="boolean", model="string", version="string", state="string"),
        ),
        Action(
            name="registry.look", run=coming.look, effect="read",
            description="Which version an alias points at, which line it is of, and whether it is to be tried here.",
            inputs=required(model="string") | optional(alias="string", version="string", system="string"),
            outputs=required(
                model="string", version="string", line="string", digest="string", source="string", wanted="boolean",
                says="string", system="string",
            ),
        ),
        Action(
            name="registry.fetch", run=coming.fetch, effect="idempotent", reads_back=True,
            description="Brings a version's bytes into the vault; their digest is computed here.",
            inputs=required(model="string", version="string") | optional(system="string"),
            outputs=required(digest="string", size="integer", model="string", version="string"),
        ),
    )  # fmt: skip
    return {one.name: one for one in listed}
