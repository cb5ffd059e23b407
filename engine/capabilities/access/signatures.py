"""What the actions of access take and give: checked when a definition is loaded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

from engine.capabilities.ports import Action, Param

Json = Any
Run = Callable[[Any, dict[str, Json]], Awaitable[Json]]


def _inputs(*required: str, **optional: str) -> dict[str, Param]:
    found = {name: Param(type="string") for name in required}
    return found | {name: Param(type=kind, required=False) for name, kind in optional.items()}  # type: ignore[arg-type]


def _outputs(**types: str) -> dict[str, Param]:
    return {name: Param(type=kind, required=False) for name, kind in types.items()}  # type: ignore[arg-type]


class _Signature(Struct, frozen=True, kw_only=True):
    name: str
    description: str
    inputs: dict[str, Param]
    outputs: dict[str, Param]
    effect: Literal["read", "idempotent", "once"] = "idempotent"


_SIGNATURES = (
    _Signature(
        name="access.open", description="The request this run is about; a new one from an event or a form.",
        inputs=_inputs(request="string", ask="object", foreign="object"),
        outputs=_outputs(request="string", requester="string", sort="string", breakglass="boolean", foreign="boolean", grant="string", start_s="number", every_s="number"),
    ),
    _Signature(
        name="access.classify", description="Sorts what is asked for into data classes, with counts.",
        inputs=_inputs("request"), outputs=_outputs(request="string", classes="array", bytes="integer"),
    ),
    _Signature(
        name="access.evaluate", description="Applies the rule pack; keeps facts, trace and verdict.",
        inputs=_inputs("request"),
        outputs=_outputs(
            verdict="string", reasons="string", sentence="string", teleop="boolean", excluded="array", decide_s="number",
            info_s="number", owner="boolean", privacy="boolean", customer="boolean",
            safety="boolean", compliance="boolean", evidence="object",
        ),
    ),
    _Signature(
        name="access.ask", description="Waits for what the rules could not tell.", inputs=_inputs("request"),
        outputs=_outputs(reasons="string"),
    ),
    _Signature(
        name="access.adopt", description="Makes the request the less intrusive one that was taken.",
        inputs=_inputs("request"), outputs=_outputs(adopted="string"),
    ),
    _Signature(
        name="access.approve", description="Binds the decision to the request.",
        inputs=_inputs("request", gate="string", people="array", why="string"), outputs=_outputs(request="string", people="array"),
    ),
    _Signature(
        name="access.ready", description="Whether it may start now: recording, lease, latency, site, device.",
        inputs=_inputs("request"), outputs=_outputs(ready="boolean", denied="boolean", why="string", missing="array"),
    ),
    _Signature(
        name="access.issue", description="Grants, with the end inside the credential.", inputs=_inputs("request"),
        outputs=_outputs(grant="string", expires_at="number", left_s="number", every_s="number", enforced_by="string", token="string"),
    ),
    _Signature(
        name="access.watch", effect="read", description="Whether a running grant has to end early.",
        inputs=_inputs("grant"), outputs=_outputs(over="boolean", how="string", why="string"),
    ),
    _Signature(
        name="access.reevaluate", effect="read", description="Whether a running grant would still be given.",
        inputs=_inputs("request"), outputs=_outputs(allowed="boolean", why="string"),
    ),
    _Signature(
        name="access.end", description="Ends what still runs.",
        inputs=_inputs("request", grant="string", how="string", why="string", by="string"),
        outputs=_outputs(state="string", grant="string", why="string"),
    ),
    _Signature(
        name="access.record", description="Keeps the record: granted against used, under its digest.",
        inputs=_inputs("request", foreign="boolean"),
        outputs=_outputs(
            record="string", review="string", review_s="number", excess="array", question="string", excluded="array", evidence="object"
        ),
    ),
    _Signature(name="access.review", description="Opens the review.", inputs=_inputs("request"), outputs=_outputs(request="string")),
    _Signature(
        name="access.close", description="Files the finding and closes.",
        inputs=_inputs("request", finding="string", follow_up="string", people="array", why="string"),
        outputs=_outputs(request="string", finding="string"),
    ),
    _Signature(
        name="access.deny", description="Denies, with reasons and what could be asked instead.",
        inputs=_inputs("request", why="string"), outputs=_outputs(request="string", why="string"),
    ),
    _Signature(
        name="access.withdraw", description="Takes the request back.", inputs=_inputs("request", why="string"),
        outputs=_outputs(request="string"),
    ),
    _Signature(
        name="access.standing", effect="read", description="Everyone the directory knows, with what they hold and used.",
        inputs={}, outputs=_outputs(people="array", sentence="string", decide_s="number"),
    ),
    _Signature(
        name="access.certified", description="Ends what those hold who may not go on; keeps who was looked at.",
        inputs=_inputs(people="array", ended="array", by="array"), outputs=_outputs(record="string", ended="array"),
    ),
    _Signature(
        name="access.identities", effect="read", description="The break-glass identities, and when each was last seen to work.",
        inputs={}, outputs=_outputs(identities="array", wanted="integer", missing="integer", sentence="string", decide_s="number"),
    ),
    _Signature(
        name="access.drilled", description="Keeps which break-glass identities worked when they were tried.",
        inputs=_inputs(identities="array", failed="array", by="array"),
        outputs=_outputs(record="string", failed="array", missing="integer", sound="boolean", sentence="string"),
    ),
)  # fmt: skip


def signed(runs: Mapping[str, Run]) -> dict[str, Action]:
    """The actions with their signatures. One without the other: KeyError."""
    found = {
        one.name: Action(
            name=one.name, run=runs[one.name], inputs=one.inputs, outputs=one.outputs, effect=one.effect, description=one.description
        )
        for one in _SIGNATURES
    }  # fmt: skip
    if set(found) != set(runs):
        raise KeyError(f"actions without a signature: {sorted(set(runs) - set(found))}")
    return found
