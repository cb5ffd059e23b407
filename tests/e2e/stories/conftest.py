"""One world at a time, shared by the stories of a module that can happen in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.installation import Installation

Begin = Callable[..., Installation]


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begin]:
    """Starts a world of that scenario; the same one for all who ask in this module."""
    made: dict[str, Installation] = {}

    def start(scenario: str, speed: float, seed: int = 7) -> Installation:
        if scenario not in made:
            home = made[scenario] = Installation(tmp_path_factory.mktemp("night") / "h")
            home.json("demo", "--detach", "--scenario", scenario, "--seed", str(seed), "--speed", f"{speed:g}")
        return made[scenario]

    yield start
    for home in made.values():
        home.stop()
