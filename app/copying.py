"""Text to the clipboard of the terminal in front of the person (OSC 52): through SSH, and out of tmux and screen.

A multiplexer answers OSC 52 itself, or drops it, or passes on what is wrapped for it, by its own settings; so inside one
the text is sent both ways: plain for the multiplexer's own buffer, wrapped for the terminal outside.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING

from screens.widgets.clean import clean

if TYPE_CHECKING:
    from textual.driver import Driver

MOST = 74_994
"""Bytes of base64 that terminals take in one clipboard write."""
SCREEN_PIECE = 250
"""GNU screen drops a passed-through string that is longer than its buffer; pieces of this size pass everywhere."""


def copy(driver: Driver | None, text: str, environment: Mapping[str, str]) -> bool:
    """Write it to the terminal. False when there is none, or the text is too long for it."""
    pieces = writes(text, environment) if driver is not None else []
    for piece in pieces:
        driver.write(piece)  # type: ignore[union-attr]
    return bool(pieces)


def writes(text: str, environment: Mapping[str, str]) -> list[str]:
    """What to write to the terminal; nothing when the text is too long for one clipboard write."""
    encoded = _encoded(text)
    if len(encoded) > MOST:
        return []
    plain = f"\x1b]52;c;{encoded}\x07"
    if environment.get("TMUX"):
        return [plain, "\x1bPtmux;" + plain.replace("\x1b", "\x1b\x1b") + "\x1b\\"]
    if environment.get("STY") or environment.get("TERM", "").startswith("screen"):
        pieces = (plain[at : at + SCREEN_PIECE] for at in range(0, len(plain), SCREEN_PIECE))
        return [plain, "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)]
    return [plain]


def _encoded(text: str) -> str:
    lines = ("\t".join(clean(cell, 100_000) for cell in line.split("\t")) for line in text.split("\n"))
    return base64.b64encode("\n".join(lines).encode()).decode()
