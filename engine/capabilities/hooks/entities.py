"""A delivery in quarantine: it waits for somebody, then it was taken after all or thrown away."""

from __future__ import annotations

from engine.capabilities.entities import Entity
from engine.contract.hooks import DeliveryView

ENTITIES = (
    Entity(
        kind="delivery",
        table="deliveries",
        prefix="DL",
        shape=DeliveryView,
        start=("quarantined",),
        moves={"quarantined": ("taken", "discarded")},
        immutable_in={"taken": ("digest", "source"), "discarded": ("digest", "source")},
        title="webhook delivery",
    ),
)
