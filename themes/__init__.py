"""How the console looks: palettes, signs, style sheets. The design language is written down in README.md.

`register(app)` makes the palettes that come with us known to a Textual app; `NAMES` are theirs, `SHEETS` the style sheets.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.app import App

SHEETS = [str(Path(__file__).parent / "console.tcss")]
NAMES = ("night", "day", "contrast", "colourblind", "ansi16", "mono")


def register(app: App[Any]) -> None:
    from themes.palettes import PALETTES

    for palette in PALETTES:
        app.register_theme(palette.theme())


def default(environ: Mapping[str, str]) -> str:
    """The palette a terminal can show: none of colour where it has none or none is wanted, its own sixteen where it has those."""
    term = environ.get("TERM", "")
    if environ.get("NO_COLOR") or term.startswith("vt") or term.endswith(("-m", "-mono")):
        return "mono"
    if "256color" in term or environ.get("COLORTERM") in ("truecolor", "24bit"):
        return "night"
    return "ansi16"
