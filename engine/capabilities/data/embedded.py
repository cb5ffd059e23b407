"""What serves trainings where no cluster is configured: processes of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.capabilities.data.launcher import LocalTraining

if TYPE_CHECKING:
    from engine.capabilities.subjects import Home


def embedded(home: Home) -> dict[str, Any]:
    return {"training": LocalTraining(home.state / "training")}
