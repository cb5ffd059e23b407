"""What a palette is: a colour for each meaning, and the weight that goes with it. No Textual: also the command line checks palettes.

A colour is `#rrggbb`, or `ansi_...` in a palette of terminal colours. `styles` say what weight a meaning has beside its
colour; where colours don't tell meanings apart (sixteen colours, none), weights do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.theme import Theme

GROUNDS = ("background", "panel", "cursor-away", "cursor")
"""What text stands on."""
TEXTS = ("foreground", "strong", "muted", "alarm", "caution", "good", "info", "key", "head")
"""What stands on all of them."""
PAIRS = (("title", "title-back"), ("chip", "chip-back"))
"""Text with a ground of its own."""
COLOURS = (*GROUNDS, *TEXTS, "title", "title-back", "chip", "chip-back", "cursor-text", "rule", "scroll", "scroll-back")
STYLED = (
    "alarm",
    "caution",
    "good",
    "info",
    "muted",
    "strong",
    "title",
    "key",
    "chip",
    "cursor",
    "cursor-away",
    "head",
    "chrome",
)
WEIGHTS = ("bold", "dim", "italic", "underline", "reverse", "strike", "none")

PLAIN_STYLES: Mapping[str, str] = {
    "alarm": "bold", "strong": "bold", "title": "bold", "key": "bold", "chip": "bold",
    "cursor": "bold", "head": "underline",
}  # fmt: skip
_NAMED = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
ANSI = ("ansi_default", *(f"ansi_{bright}{name}" for bright in ("", "bright_") for name in _NAMED))
_HEX = re.compile(r"#[0-9a-fA-F]{6}\Z")


def is_colour(text: str) -> bool:
    return bool(_HEX.match(text)) or text in ANSI


@dataclass(frozen=True, slots=True)
class Palette:
    """`dark` is how it is meant; `colours` and `styles` are complete when `whole` has made it."""

    name: str
    says: str
    dark: bool = True
    colours: Mapping[str, str] = field(default_factory=dict)
    styles: Mapping[str, str] = field(default_factory=dict)

    @property
    def ansi(self) -> bool:
        """Drawn in the terminal's own colours."""
        return self.colours["background"].startswith("ansi_")

    def style(self, meaning: str) -> str:
        return self.styles.get(meaning, PLAIN_STYLES.get(meaning, "none"))

    def reversed(self, meaning: str) -> bool:
        return "reverse" in self.style(meaning).split()

    def variables(self) -> dict[str, str]:
        """For style sheets and for `screens.widgets.parts`: `qd-<meaning>` and `qd-<meaning>-style`."""
        c = self.colours
        found = {f"qd-{name}": c[name] for name in COLOURS}
        found |= {f"qd-{name}-style": self.style(name) for name in STYLED}
        found |= {
            "scrollbar": c["scroll"],
            "scrollbar-background": c["scroll-back"],
            "scrollbar-corner-color": c["scroll-back"],
            "scrollbar-background-hover": c["scroll-back"],
            "scrollbar-background-active": c["scroll-back"],
            "scrollbar-hover": c["key"],
            "scrollbar-active": c["key"],
            "input-cursor-background": c["foreground"],
            "input-cursor-foreground": c["background"],
            "border": c["rule"],
            "border-blurred": c["rule"],
        }
        if self.ansi:
            found |= {
                "ansi-background": "ansi_black",
                "ansi-foreground": "ansi_white",
                "block-cursor-foreground": "ansi_default",
                "block-cursor-background": "ansi_default",
                "block-cursor-text-style": "reverse bold",
                "input-cursor-background": "ansi_default",
                "input-cursor-foreground": "ansi_default",
                "input-cursor-text-style": "reverse",
                "input-selection-background": "ansi_default",
                "input-selection-foreground": "ansi_default",
            }
        return found

    def theme(self) -> Theme:
        """As Textual takes it."""
        from textual.theme import Theme

        c = self.colours
        return Theme(
            name=self.name,
            dark=self.dark,
            ansi=self.ansi,
            primary=c["key"],
            secondary=c["info"],
            accent=c["key"],
            foreground=c["foreground"],
            background=c["background"],
            surface=c["background"],
            panel=c["panel"],
            boost=c["panel"],
            success=c["good"],
            warning=c["caution"],
            error=c["alarm"],
            variables=self.variables(),
        )


def whole(palette: Palette) -> Palette:
    """The palette, if it is complete and every word in it is known. ValueError says what is not."""
    for name in COLOURS:
        if name not in palette.colours:
            raise ValueError(f"palette {palette.name} lacks the colour {name}")
    for name, colour in palette.colours.items():
        if name not in COLOURS or not is_colour(colour):
            raise ValueError(f"palette {palette.name}: {name} = {colour!r} is no colour of a palette")
    for name, style in palette.styles.items():
        if name not in STYLED or set(style.split()) - set(WEIGHTS):
            raise ValueError(f"palette {palette.name}: {name} = {style!r} is no style of a palette")
    return palette
