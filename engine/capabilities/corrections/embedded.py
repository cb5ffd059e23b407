"""What the correction loop brings for itself: a recorder over a folder, until a connector to the robots is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.capabilities.subjects import Home


def embedded(home: Home) -> dict[str, Any]:
    from engine.capabilities.corrections.ring import RingFolder

    return {"robots_recorder": RingFolder(home.state / "rings", home.clock)}
