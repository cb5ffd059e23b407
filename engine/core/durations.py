"""Lengths of time as people write them: `30s`, `5m`, `1h`, `10d`, `1h30m`. Inside the engine they are seconds."""

from __future__ import annotations

import re
from typing import Any

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}

LONGEST = 100 * 365 * 86_400.0
"""A hundred years: beyond it a due time no longer fits the calendars around it."""

_PART = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d|w)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")


def seconds(value: Any) -> float:
    """Seconds of a duration: text with units, or a number that already is seconds.

    Raises ValueError, with a sentence for the author, on anything else (a bare number in text has no unit and is
    refused; so are negative, infinite and absurdly long times).
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"a duration is written like 30s, 5m, 1h or 10d, not {type(value).__name__}")
    if isinstance(value, str):
        text = value.strip()
        if not _WHOLE.fullmatch(text):
            raise ValueError(f"{value[:40]!r} is not a duration: write it like 30s, 5m, 1h or 10d")
        total = sum(float(amount) * UNITS[unit] for amount, unit in _PART.findall(text))
    else:
        total = float(value)
    if not 0 <= total <= LONGEST:
        raise ValueError(f"{str(value)[:40]!r} is not a duration between 0 and 100 years")
    return total


def spelled(value: float) -> str:
    """Seconds as people write them, in the largest units that fit: 5400 is `1h30m`."""
    left, parts = round(value, 3), []
    for unit in ("w", "d", "h", "m", "s"):
        amount = int(left // UNITS[unit])
        if amount:
            parts.append(f"{amount}{unit}")
            left = round(left - amount * UNITS[unit], 3)
    if left or not parts:
        parts.append(f"{left * 1000:g}ms" if parts or left else "0s")
    return "".join(parts[:2])
