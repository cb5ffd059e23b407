"""`python -m tests.gallery FOLDER [SCENE ...]`: every screen in three sizes and all palettes, and a page to look at them.

The pictures beside this file, which the README shows, are taken by `python -m tests.gallery.demo` from a real demo.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.gallery.scenes import BY_NAME, SCENES
from tests.gallery.whole import draw

if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit("usage: python -m tests.gallery FOLDER [SCENE ...]")
    unknown = [name for name in sys.argv[2:] if name not in BY_NAME]
    if unknown:
        raise SystemExit(f"no scene is called {unknown[0]}; there are {', '.join(BY_NAME)}")
    chosen = [BY_NAME[name] for name in sys.argv[2:]] or SCENES
    drawn = asyncio.run(draw(Path(sys.argv[1]), chosen))
    print(f"{len(drawn) - 1} pictures; open {drawn[-1]}")
