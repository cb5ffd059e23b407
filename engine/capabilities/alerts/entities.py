"""The life of a silence. It has an owner and an end from the first moment, and both stay."""

from __future__ import annotations

from typing import Any

from engine.capabilities.entities import ANY, Entity, Facts, Guard
from engine.contract.alerts import SilenceRecord


def _made(silence: Any, facts: Facts) -> str | None:
    if not silence.remote:
        return f"{silence.id} is not at the alert manager yet"
    if not silence.owner or not silence.comment.strip():
        return f"{silence.id} has nobody who answers for it, or no reason"
    return None if silence.ends_at > silence.starts_at else f"{silence.id} has no end"


def _by(silence: Any, facts: Facts) -> str | None:
    return None if silence.ended_by else f"who ended {silence.id}?"


ENTITIES = (
    Entity(
        kind="silence",
        table="silences",
        prefix="SIL",
        shape=SilenceRecord,
        start=("asked",),
        moves={"asked": ("active", "refused", "ended"), "active": ("expired", "ended")},
        guards=(
            Guard(ANY, "active", _made, "its id at the alert manager, an owner, a reason and an end"),
            Guard(ANY, "ended", _by, "who ended it"),
        ),
        immutable_in={
            **dict.fromkeys(("asked", "active"), ("matchers", "owner", "comment", "system", "robot")),
            **dict.fromkeys(("expired", "ended", "refused"), ("matchers", "owner", "comment", "system", "remote", "ends_at")),
        },
        title="silence",
    ),
)  # fmt: skip
