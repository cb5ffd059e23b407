"""How fast and whether at all: a token bucket, what the owner says is left, and a circuit that opens when it is down."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

BREAK_AFTER, BREAK_S, BREAK_CAP_S = 5, 2.0, 60.0
NEARLY = 0.1  # of the allowance left: from here calls are spread over the time until it is renewed
SPREAD_CAP_S = 5.0
LONGEST_S = 3600.0


class Bucket:
    """A token bucket of one second's worth of calls."""

    def __init__(self, rate_per_s: float, now: float) -> None:
        self._rate, self._tokens, self._filled = rate_per_s, rate_per_s, now

    def take(self, now: float) -> float:
        """Seconds to wait before the call."""
        self._tokens = min(self._rate, self._tokens + (now - self._filled) * self._rate) - 1
        self._filled = now
        return max(0.0, -self._tokens / self._rate)


class Allowance:
    """What the owner says is left of our share, from the headers the systems use.

    `X-RateLimit-Limit/-Remaining/-Reset` (reset as epoch seconds on GitHub and ServiceNow, ISO time on Jira, seconds on
    Roundup), `ratelimit-…` (PagerDuty; seconds) and the IETF draft's `RateLimit: limit=…, remaining=…, reset=…` and
    `"default";r=…;t=…`. Shares of resources other than `core` (GitHub's search) are not ours to judge calls by.
    """

    def __init__(self) -> None:
        self.limit: float | None = None
        self.remaining: float | None = None
        self._until = 0.0

    def read(self, headers: Mapping[str, str], now: float, owner_now: float) -> None:
        """`now` monotonic; `owner_now` the owner's clock as epoch seconds, for a reset told as a time of day."""
        if headers.get("x-ratelimit-resource", "core") != "core":
            return
        found = _combined(headers.get("ratelimit", ""))
        for name in ("limit", "remaining", "reset"):
            for prefix in ("x-ratelimit-", "ratelimit-", "x-rate-limit-"):
                if prefix + name in headers:
                    found.setdefault(name, headers[prefix + name])
        if "remaining" not in found:
            return
        remaining = _number(found["remaining"])
        if remaining is None:
            return
        self.remaining = remaining
        self.limit = _number(found.get("limit", "")) or self.limit
        self._until = now + _seconds(found.get("reset", ""), owner_now)

    def wait(self, now: float) -> float:
        """Seconds to leave before the next call; more than `SPREAD_CAP_S` only when nothing is left."""
        left = self._until - now
        if self.remaining is None or left <= 0:
            return 0.0
        if self.remaining < 1:
            return left
        if self.limit and self.remaining / self.limit > NEARLY:
            return 0.0
        self.remaining -= 1  # until the next answer says better, this call counts
        return min(SPREAD_CAP_S, left / (self.remaining + 1)) if self.limit else 0.0


class Circuit:
    """Opens after `BREAK_AFTER` failures in a row, then lets one call through to find out when the owner is back."""

    def __init__(self) -> None:
        self.failures, self._open_until, self._probing = 0, 0.0, False

    def refuses(self, now: float) -> float:
        """Seconds for which nothing is sent; 0 lets this call through."""
        if self.failures < BREAK_AFTER:
            return 0.0
        left = self._open_until - now
        if left > 0 or self._probing:
            return max(left, 0.1)
        self._probing = True
        return 0.0

    def broke(self, now: float) -> None:
        self.failures += 1
        over = self.failures - BREAK_AFTER
        if over >= 0:
            self._open_until = now + min(BREAK_CAP_S, BREAK_S * 2 ** min(over, 10))

    def worked(self) -> None:
        self.failures = 0

    def ended(self) -> None:
        """The call that was let through is over, however."""
        self._probing = False


def retry_after(value: str | None) -> float | None:
    """Seconds, from either form the header has, at most an hour."""
    if not value:
        return None
    seconds = _number(value)
    if seconds is not None:
        return max(0.0, min(LONGEST_S, seconds))
    try:
        return max(0.0, min(LONGEST_S, parsedate_to_datetime(value).timestamp() - time.time()))
    except (TypeError, ValueError):
        return None


def wall() -> float:
    return time.time()


def date(value: str | None) -> float:
    """The owner's clock from its `Date` header, epoch seconds; 0 when it says none."""
    try:
        return parsedate_to_datetime(value).timestamp() if value else 0.0
    except (TypeError, ValueError):
        return 0.0


def _combined(value: str) -> dict[str, str]:
    words = {"r": "remaining", "t": "reset", "q": "limit", "limit": "limit", "remaining": "remaining", "reset": "reset"}
    found: dict[str, str] = {}
    for part in value.replace(";", ",").split(",")[:20]:
        name, _, text = part.strip().partition("=")
        if name in words:
            found.setdefault(words[name], text.strip())
    return found


def _number(text: str) -> float | None:
    try:
        value = float(text.split(",", maxsplit=1)[0].split(";", maxsplit=1)[0].strip())
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _seconds(text: str, owner_now: float) -> float:
    """From now until a reset told as seconds, epoch (milli)seconds or ISO time."""
    value = _number(text)
    if value is None:
        try:
            at = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        except ValueError:
            return 0.0
        value = at.timestamp() if at.tzinfo else 0.0
    if value > 1e11:
        value /= 1000
    if value > 1e9:
        value -= owner_now
    return max(0.0, min(LONGEST_S, value))
