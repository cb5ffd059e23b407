"""Before the console: is there a terminal that can show it, and the settings Textual reads at import. No Textual here."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from engine.contract.client import Client
    from engine.contract.system import WatchSnapshot

DEFAULTS = {
    "TEXTUAL_ANIMATIONS": "none",
    "TEXTUAL_FPS": "60",  # the wait for a frame is most of a key's delay; news comes at 5 Hz whatever this says
    "TEXTUAL_SMOOTH_SCROLL": "0",  # its in-band resize latches pixel mouse reports for good
    "TEXTUAL_DISABLE_KITTY_KEY": "1",  # a lost link would leave the shell in it; no key here needs it
    "ESCDELAY": "25",
}
RUN_CODE = ("TEXTUAL_DRIVER", "TEXTUAL_PRESS", "TEXTUAL_LOG", "TEXTUAL_THEME", "TEXTUAL_FILTERS", "TEXTUAL")
"""What the environment could use to run code, press keys or write files in our name."""


def prepare(environ: dict[str, str] | os._Environ[str] = os.environ) -> None:
    """Set what Textual reads when it is imported; must come first. A person's own TEXTUAL_ choices are kept."""
    for name in RUN_CODE:
        environ.pop(name, None)
    for name in ("COLUMNS", "LINES"):  # exported by some shells: the size at their start would hold for ever
        environ.pop(name, None)
    for name, value in DEFAULTS.items():
        environ.setdefault(name, value)


def quick_start() -> None:
    """No garbage collection until the first frame (the console turns it on again): a fifth of the start is spent in it."""
    gc.disable()


def unfit() -> str:
    """Why the console can't be shown here; empty when it can. The caller prints the plain listing instead."""
    if not sys.__stdin__ or not sys.__stdin__.isatty() or not sys.__stderr__ or not sys.__stderr__.isatty():
        return "the console needs a terminal on standard input and error; use `qd runs ls` and the like in scripts"
    if os.environ.get("TERM", "") in ("", "dumb"):
        return f"TERM={os.environ.get('TERM', '')!r} can't place text; use `qd runs ls` and the like"
    return ""


def launch(
    client: Client,
    *,
    first: WatchSnapshot | None = None,
    settings: Path | None = None,
    crashes: Path | None = None,
    start: str = "",
    mouse: bool = True,
) -> int:
    """Show the console until the person leaves; the exit code of the process.

    `first` is drawn in the first frame. `settings` is a JSON file with `theme` and `keys` (act name -> key), written when
    the theme is changed. `crashes` is the folder for crash reports. `start` is a `:` command run at the beginning.
    What the terminal can't show (no UTF-8, the Linux console's font) is drawn with other signs: see `themes.glyphs`.
    """
    prepare()
    from themes import glyphs

    glyphs.settle(os.environ, getattr(sys.__stderr__, "encoding", None) or "")
    from app.console import Console

    console = Console(client, first=first, settings=settings, crashes=crashes, start=start)
    console.run(mouse=mouse)
    return console.exit_code
