"""The six palettes that come with the console. What each is for, and the numbers it keeps, stand in README.md; tests hold them.

Every colour is chosen so that it stays what it is when a terminal has 256 colours: greys keep their tint below 15 % of
saturation (the reduction then takes the grey ramp), the others lie near the 6x6x6 cube.
"""

from __future__ import annotations

from themes.palette import COLOURS, Palette, whole

NIGHT = whole(
    Palette(
        "night",
        "dim, for dark rooms; also readable under red light",
        colours={
            "background": "#111315", "panel": "#1b1e22", "cursor-away": "#25282d", "cursor": "#353b43",
            "foreground": "#cdd1d6", "strong": "#ebedf0", "cursor-text": "#ebedf0", "muted": "#a9aeb5", "head": "#a9aeb5",
            "alarm": "#ff8075", "caution": "#e0ae4a", "good": "#9dcf9f", "info": "#9dc4dc", "key": "#a3c7ea",
            "title": "#111315", "title-back": "#9fb8d0", "chip": "#111315", "chip-back": "#e0ae4a",
            "rule": "#44484e", "scroll": "#44484e", "scroll-back": "#111315",
        },
    )
)  # fmt: skip

DAY = whole(
    Palette(
        "day",
        "dark on light, for bright rooms and daylight",
        dark=False,
        colours={
            "background": "#fafaf8", "panel": "#edede8", "cursor-away": "#e2e4e6", "cursor": "#cfe0f2",
            "foreground": "#1c2024", "strong": "#000000", "cursor-text": "#000000", "muted": "#4f565e", "head": "#4f565e",
            "alarm": "#a81410", "caution": "#704400", "good": "#1b5e27", "info": "#1b5587", "key": "#1b5587",
            "title": "#fafaf8", "title-back": "#35506b", "chip": "#fafaf8", "chip-back": "#704400",
            "rule": "#c3c7cb", "scroll": "#b4b9be", "scroll-back": "#fafaf8",
        },
    )
)  # fmt: skip

CONTRAST = whole(
    Palette(
        "contrast",
        "white on black, seven to one and more; the cursor line is reversed",
        colours={
            "background": "#000000", "panel": "#1c1c1c", "cursor-away": "#303030", "cursor": "#000000",
            "foreground": "#ffffff", "strong": "#ffffff", "cursor-text": "#ffffff", "muted": "#dadada", "head": "#ffffff",
            "alarm": "#ffafaf", "caution": "#ffd700", "good": "#5fff87", "info": "#5fffff", "key": "#5fffff",
            "title": "#000000", "title-back": "#ffffff", "chip": "#000000", "chip-back": "#ffd700",
            "rule": "#ffffff", "scroll": "#ffffff", "scroll-back": "#000000",
        },
        styles={"cursor": "reverse bold", "chrome": "bold"},
    )
)  # fmt: skip

COLOURBLIND = whole(
    Palette(
        "colourblind",
        "blue for good, orange and yellow for trouble (after Okabe and Ito): told apart by any eye",
        colours={
            "background": "#101214", "panel": "#1a1d20", "cursor-away": "#25282c", "cursor": "#343a42",
            "foreground": "#cdd0d5", "strong": "#f0f1f3", "cursor-text": "#f0f1f3", "muted": "#adb2b8", "head": "#adb2b8",
            "alarm": "#ff8330", "caution": "#f4e838", "good": "#56b4e9", "info": "#dfa3c6", "key": "#9fc8e8",
            "title": "#101214", "title-back": "#9fc8e8", "chip": "#101214", "chip-back": "#f4e838",
            "rule": "#44484e", "scroll": "#44484e", "scroll-back": "#101214",
        },
        styles={"alarm": "bold underline"},
    )
)  # fmt: skip

_DEFAULT = dict.fromkeys(COLOURS, "ansi_default")

ANSI16 = whole(
    Palette(
        "ansi16",
        "the terminal's own sixteen colours, on its own ground",
        colours={
            **_DEFAULT,
            "alarm": "ansi_red", "caution": "ansi_yellow", "good": "ansi_green", "info": "ansi_cyan", "key": "ansi_cyan",
            "title": "ansi_black", "title-back": "ansi_white", "chip": "ansi_black", "chip-back": "ansi_yellow",
        },
        styles={"cursor": "reverse bold", "cursor-away": "underline"},
    )
)  # fmt: skip

MONO = whole(
    Palette(
        "mono",
        "no colour at all: weight, underline and reverse",
        colours=_DEFAULT,
        styles={
            "alarm": "reverse bold", "caution": "bold", "title": "reverse bold", "chip": "reverse",
            "cursor": "reverse bold", "cursor-away": "underline",
        },
    )
)  # fmt: skip

PALETTES = (NIGHT, DAY, CONTRAST, COLOURBLIND, ANSI16, MONO)
BY_NAME = {palette.name: palette for palette in PALETTES}
