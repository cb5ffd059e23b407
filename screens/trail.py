"""Where somebody has been in the console: the trail for back and forward, and marks. Values in, values out.

Rules: a place is a noun and an id (a list has no id); coming back up to the place before is one step back, so that
forward leads down again; going anywhere else from the middle forgets what lay ahead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

LENGTH = 100
"""Spots remembered."""

Place = tuple[str, str]
"""Noun and id, as `:noun id` has them."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A place as it was left: its filter, the row under the cursor, and the places below it on the way there."""

    noun: str
    id: str = ""
    filter: str = ""
    row: str = ""
    under: tuple[Place, ...] = ()

    @property
    def place(self) -> Place:
        return (self.noun, self.id)

    @property
    def words(self) -> str:
        """As it is typed after `:`."""
        return " ".join(filter(None, (self.noun, self.id or self.filter)))


@dataclass(slots=True)
class Trail:
    spots: list[Spot] = field(default_factory=list)
    at: int = -1

    @property
    def here(self) -> Spot | None:
        return self.spots[self.at] if 0 <= self.at < len(self.spots) else None

    def arrive(self, spot: Spot) -> None:
        """Somebody is at `spot` now, however they came there."""
        here = self.here
        if here is not None and here.place == spot.place:
            self.spots[self.at] = spot
        elif self.at > 0 and self.spots[self.at - 1].place == spot.place:
            self.at -= 1
            self.spots[self.at] = spot
        else:
            del self.spots[self.at + 1 :]
            self.spots.append(spot)
            del self.spots[:-LENGTH]
            self.at = len(self.spots) - 1

    def note(self, filter: str, row: str) -> None:
        """How the place one is about to leave looks."""
        if self.here is not None:
            self.spots[self.at] = replace(self.spots[self.at], filter=filter, row=row)

    def step(self, by: int) -> Spot | None:
        """Back (negative) or forward; None when there is nothing that way."""
        to = max(0, min(self.at + by, len(self.spots) - 1))
        if to == self.at or not self.spots:
            return None
        self.at = to
        return self.spots[to]


def stored(spot: Spot) -> dict[str, Any]:
    """A spot for the settings file."""
    kept: dict[str, Any] = {"noun": spot.noun, "id": spot.id, "filter": spot.filter, "row": spot.row}
    return {name: value for name, value in kept.items() if value} | (
        {"under": [list(place) for place in spot.under]} if spot.under else {}
    )


def restored(value: Any, nouns: Mapping[str, Any] | frozenset[str]) -> Spot | None:
    """A spot from the settings file, or None when it is none (anybody may have edited the file)."""
    if not isinstance(value, dict) or not isinstance(value.get("noun"), str) or value["noun"] not in nouns:
        return None
    texts = {name: value.get(name, "") for name in ("noun", "id", "filter", "row")}
    if not all(isinstance(text, str) for text in texts.values()):
        return None
    under = value.get("under", [])
    places = tuple(
        (place[0], place[1])
        for place in (under if isinstance(under, list) else [])
        if isinstance(place, list) and len(place) == 2 and place[0] in nouns and isinstance(place[1], str)
    )
    return Spot(**texts, under=places)
