"""Cron lines: five fields (minute, hour, day of month, month, day of week), as crontab(5) has them."""

from __future__ import annotations

import re

_MONTHS = dict(
    zip(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], range(1, 13), strict=True)
)
_DAYS = dict(zip(["sun", "mon", "tue", "wed", "thu", "fri", "sat"], range(7), strict=True))

FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
"""Name, least, most and words of each field; 7 is Sunday too."""

_PART = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d{1,4}))?")


def problem(line: str) -> str:
    """What is wrong with a cron line; empty when it is well."""
    try:
        fields(line)
    except ValueError as error:
        return str(error)
    return ""


def fields(line: str) -> tuple[frozenset[int], ...]:
    """The values each field stands for. Sunday is 0. Raises ValueError with a sentence for the author."""
    words = line.split()
    if len(words) != len(FIELDS):
        raise ValueError(f"a cron line has five fields, not {len(words)}")
    return tuple(_values(word.lower(), *field) for word, field in zip(words, FIELDS, strict=True))


def _values(word: str, name: str, least: int, most: int, words: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in word.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part[:20]!r} is not a {name}")
        first, last, step = match.groups()
        if first == "*":
            if last is not None:
                raise ValueError(f"{part[:20]!r} is not a {name}")
            low, high = least, most
        else:
            low = _number(first, name, words)
            high = _number(last, name, words) if last is not None else (most if step is not None else low)
        if not least <= low <= high <= most or step == "0" or (step is not None and not int(step)):
            raise ValueError(f"{part[:20]!r} is not a {name} between {least} and {most}")
        found.update(range(low, high + 1, int(step or 1)))
    if name == "day of the week" and 7 in found:
        found = (found - {7}) | {0}
    return frozenset(found)


def _number(word: str, name: str, words: dict[str, int]) -> int:
    if word in words:
        return words[word]
    if not word.isascii() or not word.isdigit() or len(word) > 2:
        raise ValueError(f"{word[:20]!r} is not a {name}")
    return int(word)
