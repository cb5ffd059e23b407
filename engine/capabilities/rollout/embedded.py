"""What rollouts know of each other: read from this engine's own history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.capabilities.rollout.claims import Claims

if TYPE_CHECKING:
    from engine.capabilities.subjects import Home


def embedded(home: Home) -> dict[str, Any]:
    return {"rollouts": Claims(home.state / "quarterdeck.db")}
