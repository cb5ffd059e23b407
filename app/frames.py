"""Textual's partial updates, cropped on both sides: a fix carried here, held by a test, for the pinned version.

Textual 8.2.8 crops a changed span on the right only ("TODO: crop to x extents"): one changed digit at the end of a line
sends the whole line. Here only the span goes out: a clock costs some 60 bytes a second instead of 650.
"""

from __future__ import annotations

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate


class CroppedUpdate(ChopsUpdate):
    @classmethod
    def of(cls, update: ChopsUpdate) -> CroppedUpdate:
        return cls(update.chops, update.spans, update.chop_ends)

    def render_segments(self, console: Console) -> str:
        out: list[str] = []
        for y, first, last in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or x >= last or end <= first:
                    continue
                begin, stop = max(x, first), min(end, last)
                if begin > x or stop < end:
                    strip = strip.crop(begin - x, stop - x)
                out.append(Control.move_to(begin, y).segment.text)
                out.append(strip.simplify().render(console))
        return "".join(out)
