"""The strip of the guided tour, above the action bar of whatever screen is in front."""

from __future__ import annotations

from screens.widgets.line import Lines
from screens.widgets.parts import Part, fit, wrap

HEIGHT = 4
KEYS: list[Part] = [("^T", "key"), " skip  ", (":tour off", "key"), " leave "]


class TourStrip(Lines):
    DEFAULT_CSS = "TourStrip { background: $panel; }"

    def on_mount(self) -> None:
        self.styles.height = HEIGHT  # the look of all lines is one line high

    def tell(self, place: int, count: int, title: str, text: str) -> None:
        """One step: where one is, what it is about, what to press."""
        room = max(20, self.size.width - 3)
        said: list[list[Part]] = [list(line) for line in wrap([text], room)]
        if len(said) > HEIGHT - 1:
            rest = [part for line in said[HEIGHT - 2 :] for part in line]
            said = [*said[: HEIGHT - 2], list(fit(rest, room))]
        head: list[Part] = [(f" Tour {place} of {count} ", "title"), " ", (title, "strong")]
        self.show((head, KEYS), *(([" ", *line], []) for line in said))
