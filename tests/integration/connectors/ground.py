"""What a contract test needs from a world it runs in, be it real servers with simulated robots or the sandbox."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from engine.capabilities.connections import Connections, connect


class WallClock:
    """`now` through (sim0, wall0) with a slope, as every process of an installation computes it."""

    def __init__(self, sim0: float = 0.0, wall0: float = 0.0, speed: float = 1.0) -> None:
        self.sim0, self.wall0, self.speed = sim0, wall0, speed

    def now(self) -> float:
        return self.sim0 + (time.time() - self.wall0) * self.speed


class Ground(Protocol):
    """A fleet on `old`, of which tests take robots of their own. `settings` is the connectors part of the settings."""

    name: str
    old: str
    new: str
    settings: dict[str, dict[str, Any]]
    clock: WallClock
    patience: float

    def secret(self, name: str) -> str: ...
    def take(self, count: int) -> list[str]:
        """Robots no other test has, whose installs work."""
        ...

    def take_failing(self) -> str:
        """A robot whose next install of `new` fails."""
        ...

    def mend(self, robot: str) -> None:
        """Where it can be ordered: the robot's next install works."""
        ...

    def offline(self, robots: list[str]) -> None: ...
    def truth(self) -> dict[str, Any]: ...


class Hand:
    """Deals robots out."""

    def __init__(self, ids: list[str]) -> None:
        self._left: Iterator[str] = iter(ids)

    def __call__(self, count: int) -> list[str]:
        return [next(self._left) for _ in range(count)]


def connected(ground: Ground, secret: Callable[[str], str] | None = None, **changed: Mapping[str, Any]) -> Connections:
    """Connections of a test; `changed` replaces settings of a capability."""
    settings = {cap: {**each, **changed.get(cap, {})} for cap, each in ground.settings.items()}
    return connect(settings, secret or ground.secret, ground.clock)
