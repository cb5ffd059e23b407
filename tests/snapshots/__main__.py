"""`python -m tests.snapshots [SCENE ...]`: accept what the screens say now; says which files changed."""

from __future__ import annotations

import asyncio
import sys

from tests.gallery.scenes import BY_NAME, SCENES
from tests.snapshots.taking import FOLDER, path_of, taken


async def accept(names: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    scenes = [BY_NAME[name] for name in names] or SCENES
    said = await taken(scenes)
    for scene in scenes:
        path, fresh = path_of(scene), said[scene.name]
        if not path.exists() or path.read_text(encoding="utf-8") != fresh:
            path.write_text(fresh, encoding="utf-8")
            print(path.name)
    if not names:
        for stray in set(FOLDER.glob("*.txt")) - {path_of(scene) for scene in SCENES}:
            stray.unlink()
            print(f"{stray.name} is no scene any more")


if __name__ == "__main__":
    unknown = [name for name in sys.argv[1:] if name not in BY_NAME]
    if unknown:
        raise SystemExit(f"no scene is called {unknown[0]}; there are {', '.join(BY_NAME)}")
    asyncio.run(accept(sys.argv[1:]))
