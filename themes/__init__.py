"""Textual themes and style sheets. `register(app)` makes the four palettes known; style sheets are `SHEETS`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.app import App

SHEETS = [str(Path(__file__).parent / name) for name in ("console.tcss", "palettes.tcss")]
NAMES = ("night", "day", "contrast", "ansi16")


def register(app: App[Any]) -> None:
    """Register night (dark), day (light), contrast and ansi16 with the app."""
    from themes.palettes import THEMES

    for theme in THEMES:
        app.register_theme(theme)


def default(environ: dict[str, str]) -> str:
    """The theme a terminal can show: sixteen colours, or none wanted, gets the ANSI one."""
    term = environ.get("TERM", "")
    if environ.get("NO_COLOR") is not None:
        return "ansi16"
    if "256color" in term or environ.get("COLORTERM") in ("truecolor", "24bit"):
        return "night"
    return "ansi16"
