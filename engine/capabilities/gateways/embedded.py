"""Open sessions on gateways live in the engine, whichever connector reaches the gateways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.capabilities.gateways.sessions import Sessions

if TYPE_CHECKING:
    from engine.capabilities.subjects import Home


def embedded(home: Home) -> dict[str, Any]:
    return {"terminals": Sessions(home.state / "sessions", home.clock)}
