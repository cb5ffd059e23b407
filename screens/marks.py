"""The marks somebody has set: the letter, and the place it comes back to."""

from __future__ import annotations

from collections.abc import Mapping

from screens import acts
from screens.help import Overlay
from screens.trail import Spot
from screens.widgets.parts import Part


class MarksScreen(Overlay):
    def __init__(self, marks: Mapping[str, Spot]) -> None:
        super().__init__()
        self._marks = marks

    def head(self) -> list[Part]:
        return [(" Marks ", "title"), " places with a letter; they are kept between sessions"]

    def page(self) -> list[list[Part]]:
        back = acts.shown_key(acts.key_of(acts.act("console.return")))
        if not self._marks:
            mark = acts.shown_key(acts.key_of(acts.act("console.mark")))
            return [[f"None yet: {mark} and a letter marks a place, {back} and the letter comes back to it."]]
        return [
            [(f" {back}{letter:<5}", "key"), f"{spot.noun} {spot.id}".rstrip(), *_rest(spot)]
            for letter, spot in self._marks.items()
        ]


def _rest(spot: Spot) -> list[Part]:
    said: list[Part] = []
    if spot.filter:
        said.append((f"  /{spot.filter}", "chip"))
    if spot.row:
        said.append((f"  at {spot.row}", "muted"))
    return said
