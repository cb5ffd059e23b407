"""The sources of webhooks as a port. What the settings and the connectors say is bound to it when the engine stands."""

from __future__ import annotations

from typing import Any

from engine.capabilities.hooks.sources import Sources
from engine.capabilities.subjects import Home


def embedded(home: Home) -> dict[str, Any]:
    return {"hooks": Sources(home.secrets.get, home.clock.now)}
