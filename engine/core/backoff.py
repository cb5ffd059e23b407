"""How long to wait before trying again. The same run, step, attempt and seed always give the same wait."""

from __future__ import annotations

import zlib

DOUBT_FIRST, DOUBT_CAP, DOUBT_TRIES = 5.0, 60.0, 18
"""Reading back what was sent and not answered: 5 s doubling to 60 s, for about a quarter of an hour; then people."""


def retry_delay(
    *, first: float, factor: float, cap: float, jitter: str, retry_after: float | None, attempt: int, salt: str
) -> float:
    """Seconds before attempt `attempt + 1`: exponential, with full jitter (uniform from zero), never before what the
    other side asked for. https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    try:
        raw = min(cap, first * factor ** (attempt - 1))
    except OverflowError:
        raw = cap
    if jitter == "full":
        raw *= zlib.crc32(salt.encode()) / 0xFFFFFFFF
    return max(raw, retry_after or 0.0)


def doubt_delay(doubts: int) -> float:
    """Seconds before the next read-back, after so many without an answer."""
    return min(DOUBT_CAP, DOUBT_FIRST * 2.0 ** min(doubts - 1, 10))
