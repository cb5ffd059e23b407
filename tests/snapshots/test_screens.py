"""Every screen at three sizes says what it said when somebody last looked at it."""

from __future__ import annotations

import asyncio
import difflib

import pytest

from screens.places import ONE, PLACES
from tests.gallery.scenes import SCENES, SIZES, Scene
from tests.snapshots.taking import path_of, taken


@pytest.fixture(scope="module")
def now() -> dict[str, str]:
    """All scenes at once: each waits for its frames while others draw."""
    return asyncio.run(taken(SCENES))


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_screen_says_what_it_said(scene: Scene, now: dict[str, str]) -> None:
    fresh = now[scene.name]
    kept = path_of(scene).read_text(encoding="utf-8") if path_of(scene).exists() else ""
    changed = "\n".join(difflib.unified_diff(kept.splitlines(), fresh.splitlines(), "kept", "now", lineterm="", n=1))
    assert not changed, f"look at it, then `python -m tests.snapshots {scene.name}` accepts it:\n{changed}"
    lines = fresh.splitlines()
    for columns, _ in SIZES:
        at = lines.index(next(line for line in lines if line.startswith(f"==== {columns}x")))
        rest = lines[at + 1 :]
        end = next((i for i, line in enumerate(rest) if line.startswith("==== ")), len(rest))
        assert max(map(len, rest[:end])) <= columns


def test_every_place_one_can_go_has_a_scene() -> None:
    shown = {scene.start.removeprefix(":").split()[0] for scene in SCENES}
    assert {place.noun for place in PLACES} - shown == set()
    assert {noun for noun, thing in ONE.items() if thing.screen} - shown == set()
