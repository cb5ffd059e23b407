"""The whole gallery: every scene in three sizes and all palettes, as pictures in a folder with a page that shows them."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Sequence
from pathlib import Path

import themes
from tests.gallery.scenes import SCENES, SIZES, Scene, opened, settled, still

_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Rich points its pictures at fonts on the network; a page that is looked at offline shall not wait for them."""
AT_ONCE = 4


async def draw(
    folder: Path, scenes: Sequence[Scene] = SCENES, palettes: Sequence[str] = themes.NAMES, *, say: bool = True
) -> list[Path]:
    """All pictures of these scenes and palettes, and `index.html`. The paths that were written."""
    folder.mkdir(parents=True, exist_ok=True)
    room = asyncio.Semaphore(AT_ONCE)

    async def one(scene: Scene, size: tuple[int, int]) -> list[Path]:
        async with room:
            found = await _pictures(folder, scene, size, palettes)
        if say:
            print(f"{scene.name} {size[0]}x{size[1]}")
        return found

    with still():
        drawn = await asyncio.gather(*(one(scene, size) for scene in scenes for size in SIZES))
    index = folder / "index.html"
    index.write_text(page(scenes, palettes), encoding="utf-8")
    return [*(path for paths in drawn for path in paths), index]


async def _pictures(folder: Path, scene: Scene, size: tuple[int, int], palettes: Sequence[str]) -> list[Path]:
    found = []
    async with opened(scene, size) as (console, pilot):
        for palette in palettes:
            console.theme = palette
            await settled(pilot)
            path = folder / name_of(scene, size, palette)
            path.write_text(_FONTS.sub("", console.export_screenshot(title=f"qd {scene.start}")), encoding="utf-8")
            found.append(path)
    return found


def name_of(scene: Scene, size: tuple[int, int], palette: str) -> str:
    return f"{scene.name}-{size[0]}x{size[1]}-{palette}.svg"


def page(scenes: Sequence[Scene], palettes: Sequence[str]) -> str:
    """One page, all pictures; palette and size are chosen at its top. Works from a file, without a network."""
    options = "".join(f"<option>{html.escape(name)}</option>" for name in palettes)
    sizes = "".join(f"<option>{columns}x{lines}</option>" for columns, lines in SIZES)
    figures = "\n".join(
        f'<figure id="{scene.name}"><figcaption>{html.escape(scene.name)}'
        f"{f' <i>{html.escape(scene.about)}</i>' if scene.about else ''}</figcaption>"
        f'<img loading="lazy" data-scene="{scene.name}" alt="{html.escape(scene.name)}"></figure>'
        for scene in scenes
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Quarterdeck: every screen</title>
<style>
body {{ font: 15px system-ui, sans-serif; margin: 1.5rem; background: #202225; color: #ddd; }}
header {{ position: sticky; top: 0; background: #202225; padding: .5rem 0; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(var(--wide, 620px), 1fr)); gap: 1rem; }}
figure {{ margin: 0; }} img {{ width: 100%; }} i {{ color: #999; }}
</style>
<header>palette <select id="palette">{options}</select> size <select id="size">{sizes}</select> {len(scenes)} screens</header>
<main>{figures}</main>
<script>
const palette = document.getElementById("palette"), size = document.getElementById("size");
function show() {{
  document.body.style.setProperty("--wide", size.value.startsWith("80") ? "620px" : "1100px");
  for (const one of document.querySelectorAll("img")) one.src = `${{one.dataset.scene}}-${{size.value}}-${{palette.value}}.svg`;
}}
palette.onchange = size.onchange = show; show();
</script></html>
"""
