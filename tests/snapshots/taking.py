"""Taking a snapshot: one scene at every size, as the text that stands on the screen.

Text, not pictures: a changed word is one line of a difference that can be read, and the look of a palette is tested where
palettes are (`tests/unit/looks`). Run `python -m tests.snapshots [SCENE ...]` to accept, and read the difference before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.gallery.scenes import SIZES, Scene, opened, settled, still, text

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from app.console import Console

AT_ONCE = 4
FRAMES = 100
FOLDER = Path(__file__).parent / "screens"


def path_of(scene: Scene) -> Path:
    return FOLDER / f"{scene.name}.txt"


async def taken(scenes: Sequence[Scene]) -> dict[str, str]:
    """Each scene at every size, by name; one console each, so that it is resized on the way as a person would."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(scene: Scene) -> str:
        said = []
        async with room, opened(scene, SIZES[0]) as (console, pilot):
            for size in SIZES:
                if size != SIZES[0]:
                    await pilot.resize_terminal(*size)
                    await settled(pilot)
                said.append(f"==== {size[0]}x{size[1]} ====\n{await _at_rest(console, pilot)}\n")
        return "".join(said)

    with still():
        found = await asyncio.gather(*(one(scene) for scene in scenes))
    return {scene.name: said for scene, said in zip(scenes, found, strict=True)}


async def _at_rest(console: Console, pilot: Pilot[Any]) -> str:
    """What stands there when it stands still: a scroll bar comes a frame after its text."""
    before, same = text(console), 0
    for _ in range(FRAMES):
        await pilot.pause(0.02)
        now = text(console)
        same = same + 1 if now == before else 0
        if same == 2:
            break
        before = now
    return before
