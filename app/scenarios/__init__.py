"""The demo's scenarios of the patterns: each sets a situation up, and can be played by the sandbox people by themselves.

`begin` is also what a person gets who opens the demo to decide for themselves. `play` gives the answers a careful team
would give, and returns the facts worth asserting. Rollout scenarios stand in `app.cli.demo`: there the world plays.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.scenarios.stage import Stage

PATTERNS = {
    "data-to-training": "app.scenarios.data_to_training",
    "candidate-to-release": "app.scenarios.candidate_to_release",
    "hotfix": "app.scenarios.hotfix",
    "correction-loop": "app.scenarios.correction_loop",
    "maintenance": "app.scenarios.maintenance",
    "access-review": "app.scenarios.access_review",
    "full-circle": "app.scenarios.full_circle",
}
"""Name -> the module whose `SCENARIO` it is."""
TOUR = "tour"
"""The world of the guided tour: a person walks through it, so it is none of those that can be played."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`world` is what the simulated world plays beside it; `speed` and `limit_s` (real seconds) are for playing it headless.
    Without `play` it is for people alone.
    """

    name: str
    title: str
    begin: Callable[[Stage], None]
    play: Callable[[Stage], Mapping[str, Any]] | None = None
    world: str = "healthy"
    robots: int = 60
    speed: float = 600.0
    limit_s: float = 240.0


def named(name: str) -> Scenario:
    """The scenario of that name."""
    found: Scenario = importlib.import_module(PATTERNS.get(name, f"app.scenarios.{TOUR}")).SCENARIO
    return found
