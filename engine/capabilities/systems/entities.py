"""The life of a remote system here: active, suspended (nothing is read or written), removed (its history stays)."""

from __future__ import annotations

from engine.capabilities.entities import Entity
from engine.contract.systems import SystemRecord

ENTITIES = (
    Entity(
        kind="system",
        table="systems",
        prefix="SYS",
        shape=SystemRecord,
        start=("active",),
        moves={"active": ("suspended", "removed"), "suspended": ("active", "removed"), "removed": ("active",)},
        title="system",
    ),
)
