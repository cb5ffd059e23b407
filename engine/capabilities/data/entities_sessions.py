"""What a session may become (domain section 11)."""

from __future__ import annotations

from typing import Any

from engine.capabilities.entities import Entity, Facts, Guard
from engine.contract.sessions import SessionView

PASSED = ("valid", "repaired")
USABLE = ("valid", "repaired", "labelled", "curated")
"""States in which a session may go into a dataset, or be on its way there."""


def _is_known(record: Any, facts: Facts) -> str | None:
    return None if record.digest else "its content was not read: nothing without a digest is ingested"


def _passed(record: Any, facts: Facts) -> str | None:
    if record.verdict != "pass":
        return f"its verdict is {record.verdict or 'not known'}, not pass"
    return None


def _mended(record: Any, facts: Facts) -> str | None:
    if record.repairs < 1 or record.content == record.digest:
        return "nothing was repaired: a session that was not mended is valid, not repaired"
    return None


def _unmended(record: Any, facts: Facts) -> str | None:
    if record.repairs and record.content != record.digest:
        return "it was mended, so it is repaired and says what was lost, never valid"
    return None


def _says_why(record: Any, facts: Facts) -> str | None:
    return None if record.code else "a session is never set aside without a reason"


SESSION = Entity(
    kind="session",
    table="sessions",
    prefix="S",
    shape=SessionView,
    title="Session",
    start=("discovered",),
    moves={
        "discovered": ("ingested", "quarantined", "withdrawn"),
        "ingested": ("valid", "repaired", "quarantined", "withdrawn"),
        "valid": ("labelled", "quarantined", "withdrawn"),
        "repaired": ("labelled", "quarantined", "withdrawn"),
        "labelled": ("curated", "excluded", "quarantined", "withdrawn"),
        "curated": ("labelled", "excluded", "quarantined", "withdrawn"),
        "excluded": ("labelled", "curated", "quarantined", "withdrawn"),
        "quarantined": ("ingested", "withdrawn"),
    },
    guards=(
        Guard("*", "ingested", _is_known, "a digest"),
        Guard("ingested", "valid", _passed, "verdict pass"),
        Guard("ingested", "valid", _unmended, "not repaired"),
        Guard("ingested", "repaired", _passed, "verdict pass"),
        Guard("ingested", "repaired", _mended, "a repair"),
        Guard("*", "quarantined", _says_why, "a reason code"),
    ),
    immutable_in=dict.fromkeys(
        ("valid", "repaired", "labelled", "curated", "excluded", "withdrawn"),
        ("digest", "uri", "robot", "format", "episode", "container"),
    ),
)

ENTITIES: tuple[Entity, ...] = (SESSION,)
