"""Four palettes. Colour is for the abnormal: lists are drawn in the foreground, and only alarm, caution and (rarely) good
stand out, always with a glyph and a word, so that NO_COLOR loses nothing.
"""

from __future__ import annotations

from textual.theme import Theme

_QD = ("alarm", "caution", "good", "info", "muted", "strong", "title", "title-back", "key", "chip", "chip-back", "cursor", "cursor-away", "head")  # fmt: skip


def _variables(**colours: str) -> dict[str, str]:
    named = {f"qd-{name.replace('_', '-')}": colour for name, colour in colours.items()}
    missing = [name for name in _QD if f"qd-{name}" not in named]
    if missing:
        raise ValueError(f"a palette lacks {missing}")
    return named


NIGHT = Theme(
    name="night",
    dark=True,
    primary="#7aa2c9",
    secondary="#8fa3b8",
    accent="#7aa2c9",
    foreground="#d5d8dc",
    background="#14171b",
    surface="#14171b",
    panel="#1e232a",
    boost="#1e232a",
    success="#8fc793",
    warning="#e6b450",
    error="#ff6b63",
    variables={
        **_variables(
            alarm="#ff6b63",
            caution="#e6b450",
            good="#8fc793",
            info="#7fb5d6",
            muted="#8b939e",
            strong="#ffffff",
            title="#14171b",
            title_back="#9fb8d0",
            key="#9cc4ea",
            chip="#14171b",
            chip_back="#e6b450",
            cursor="#2f4562",
            cursor_away="#252b33",
            head="#8b939e",
        ),
        "scrollbar": "#3a424d",
        "scrollbar-background": "#14171b",
        "scrollbar-hover": "#55606e",
        "scrollbar-active": "#6b7887",
        "input-cursor-background": "#d5d8dc",
        "input-cursor-foreground": "#14171b",
    },
)

DAY = Theme(
    name="day",
    dark=False,
    primary="#1f5f99",
    secondary="#4a5a6a",
    accent="#1f5f99",
    foreground="#1c2024",
    background="#fafaf7",
    surface="#fafaf7",
    panel="#ececE6".lower(),
    boost="#ececE6".lower(),
    success="#1f6b2c",
    warning="#8a5300",
    error="#b3140f",
    variables={
        **_variables(
            alarm="#b3140f",
            caution="#8a5300",
            good="#1f6b2c",
            info="#1f5f99",
            muted="#5f6771",
            strong="#000000",
            title="#fafaf7",
            title_back="#35506b",
            key="#1f5f99",
            chip="#fafaf7",
            chip_back="#8a5300",
            cursor="#c9dcf0",
            cursor_away="#e3e6e8",
            head="#5f6771",
        ),
        "scrollbar": "#c3c7cb",
        "scrollbar-background": "#fafaf7",
        "scrollbar-hover": "#a5abb1",
        "scrollbar-active": "#8b939b",
        "input-cursor-background": "#1c2024",
        "input-cursor-foreground": "#fafaf7",
    },
)

CONTRAST = Theme(
    name="contrast",
    dark=True,
    primary="#ffffff",
    secondary="#ffffff",
    accent="#00e5ff",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    boost="#000000",
    success="#5cff7a",
    warning="#ffd400",
    error="#ff5c5c",
    variables={
        **_variables(
            alarm="#ff7a7a",
            caution="#ffd400",
            good="#5cff7a",
            info="#00e5ff",
            muted="#d0d0d0",
            strong="#ffffff",
            title="#000000",
            title_back="#ffffff",
            key="#00e5ff",
            chip="#000000",
            chip_back="#ffd400",
            cursor="#ffffff",
            cursor_away="#4d4d4d",
            head="#ffffff",
        ),
        "scrollbar": "#ffffff",
        "scrollbar-background": "#000000",
        "scrollbar-hover": "#ffffff",
        "scrollbar-active": "#00e5ff",
        "input-cursor-background": "#ffffff",
        "input-cursor-foreground": "#000000",
    },
)

ANSI16 = Theme(
    name="ansi16",
    ansi=True,
    dark=True,
    primary="ansi_blue",
    secondary="ansi_cyan",
    accent="ansi_cyan",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    success="ansi_green",
    warning="ansi_yellow",
    error="ansi_red",
    variables={
        **_variables(
            alarm="ansi_red",
            caution="ansi_yellow",
            good="ansi_green",
            info="ansi_cyan",
            muted="ansi_default",
            strong="ansi_default",
            title="ansi_black",
            title_back="ansi_white",
            key="ansi_cyan",
            chip="ansi_black",
            chip_back="ansi_yellow",
            cursor="ansi_white",
            cursor_away="ansi_default",
            head="ansi_default",
        ),
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
        "border-blurred": "ansi_white",
        "block-cursor-foreground": "ansi_black",
        "block-cursor-background": "ansi_white",
        "scrollbar": "ansi_white",
        "scrollbar-background": "ansi_default",
        "scrollbar-hover": "ansi_white",
        "scrollbar-active": "ansi_cyan",
        "input-cursor-background": "ansi_white",
        "input-cursor-foreground": "ansi_black",
        "input-cursor-text-style": "none",
        "input-selection-background": "ansi_blue",
        "input-selection-foreground": "ansi_white",
    },
)

THEMES = (NIGHT, DAY, CONTRAST, ANSI16)
