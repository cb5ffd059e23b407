"""The actions on sessions, by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from engine.capabilities.ports import Action, Context, Param, optional

Json = Any


def _lazily(name: str) -> Callable[[Context, dict[str, Json]], Awaitable[Json]]:
    """What reads recordings is loaded with the first of them, not with the engine."""

    async def run(context: Context, given: dict[str, Json]) -> Json:
        from engine.capabilities.data import ingest

        return await getattr(ingest, name)(context, given)

    return run


_JUDGED = optional(
    session="string", state="string", verdict="string", findings="integer", fails="integer", worst="string", code="string",
    report="string", repairs="integer", lost_s="number",
)  # fmt: skip
_TAKEN = _JUDGED | optional(
    digest="string", format="string", duration_s="number", bytes="integer", duplicate_of="string", robot="string", site="string",
    known="boolean",
)  # fmt: skip
_REF = {"ref": Param(type="object", description="One of data.discover's")} | optional(
    campaign="string", dataset="string"
)
_SESSION = {"session": Param(type="string", description="A session's id")}


def actions() -> Mapping[str, Action]:
    """By name."""
    listed = (
        Action(
            name="data.discover", run=_lazily("discover"), effect="read", description="What recordings a folder holds.",
            inputs=optional(folder="string", uri="string", campaign="string", dataset="string", robot="string", site="string"),
            outputs=optional(
                found="array", count="integer", bytes="integer", skipped="array", skipped_count="integer", folder="string"
            ),
        ),
        Action(
            name="data.ingest", run=_lazily("ingest"), description="Reads one recording: digest, topics, length, software bill.",
            inputs=_REF, outputs=_TAKEN,
        ),
        Action(
            name="data.validate", run=_lazily("validate"), description="Judges one session against the validation profile.",
            inputs=_SESSION | optional(profile="string"), outputs=_JUDGED,
        ),
        Action(
            name="data.repair", run=_lazily("repair"), description="Mends what can be mended, and judges again.",
            inputs=_SESSION | optional(profile="string"), outputs=_JUDGED,
        ),
        Action(
            name="data.take", run=_lazily("take"), description="One recording from file to verdict.", inputs=_REF, outputs=_TAKEN,
        ),
        Action(
            name="data.intake", run=_lazily("intake"), description="A whole folder of recordings, one after the other.",
            inputs={"folder": Param(type="string")} | optional(campaign="string", dataset="string", robot="string", site="string"),
            outputs=optional(
                sessions="array", quarantined="array", duplicates="integer", counts="object", bytes="integer", seconds="number",
                worst="string", skipped="array", folder="string",
            ),
        ),
        Action(
            name="data.quarantine", run=_lazily("quarantine"), description="Sets a session aside, with the reason.",
            inputs=_SESSION | {"reason": Param(type="string")} | optional(code="string"),
            outputs=optional(session="string", state="string", code="string"),
        ),
    )  # fmt: skip
    return {action.name: action for action in listed}
