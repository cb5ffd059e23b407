"""The mark that makes a ticket or a comment findable again: what was written with a key carries the key's mark."""

from __future__ import annotations

import hashlib
import re

_LINE = re.compile(r"\n*\[quarterdeck (qd-[0-9a-f]{24})\]\s*\Z")


def mark(key: str) -> str:
    """27 characters that are the same for the same key and can stand in any text, label or identifier."""
    return "qd-" + hashlib.sha256(key.encode()).hexdigest()[:24]


def marked(text: str, key: str) -> str:
    """The text with its mark as a last line, for owners that have no field for it."""
    return f"{text.rstrip()}\n\n[quarterdeck {mark(key)}]"


def unmarked(text: str) -> tuple[str, str]:
    """The text without its last line's mark, and the mark (empty: it is not ours)."""
    found = _LINE.search(text)
    return (text[: found.start()], found[1]) if found else (text, "")
