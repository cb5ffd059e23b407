"""A session on a gateway: it is on record before the gateway hears of it, and its end is final."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.capabilities.entities import Entity, Guard
from engine.contract.gateways import SshSession

Json = Any
AS_OPENED = ("gateway", "person", "grant", "command", "serial", "key_id", "until", "account", "started_at")
OVER = ("ended", "cut", "lost", "refused", "failed")


def _recorded(record: SshSession, facts: Mapping[str, Json]) -> str | None:
    """What was done is kept under its digest, or it is said why it could not be."""
    return (
        None if record.recording or record.ended_why else "a session ends with its recording, or with why there is none"
    )


ENTITIES = (
    Entity(
        kind="ssh_session",
        title="session on a gateway",
        table="ssh_sessions",
        prefix="SS",
        shape=SshSession,
        start=("opening", "refused"),
        moves={
            "opening": ("open", "failed", "lost"),
            "open": ("ended", "cut", "lost"),
        },
        guards=(Guard("open", "*", _recorded, needs="the digest of its recording"),),
        immutable_in={
            "open": AS_OPENED,
            **dict.fromkeys(OVER, (*AS_OPENED, "recording", "exit", "ended_at", "ended_why")),
        },
    ),
)
