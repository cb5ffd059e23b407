"""What an owner's answer means: a value, nothing new, a refusal by name, or doubt."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import Generic, TypeVar

from msgspec import Struct

from connectors import pacing
from connectors.remote_text import clean
from engine.capabilities.ports import ActionError

T = TypeVar("T")
UNSENT = frozenset({429, 503})  # the owner says that it did nothing
SECONDARY_S = 60.0  # GitHub's advice for a secondary limit that names no time
KEPT_B = 64 << 10
_LINK = re.compile(r'<([^<>]{1,2000})>\s*((?:;\s*[\w*!-]{1,40}\s*=\s*(?:"[^"]{0,200}"|[^;,"\s]{0,200})\s*){1,10})')
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^;,"\s]+))', re.I)
_REFUSALS = {
    401: ("Unauthenticated", "authentication"),
    403: ("Forbidden", "authorization"),
    404: ("NotFound", "validation"),
    405: ("NotAllowed", "validation"),
    408: ("RequestTimeout", "timeout"),
    409: ("Conflict", "conflict"),
    410: ("Gone", "validation"),
    412: ("Conflict", "conflict"),
    428: ("Conflict", "conflict"),
}


class Answer(Struct, Generic[T], frozen=True):
    """A decoded answer. Header names are lower-case; their values are the owner's text and not clean."""

    value: T
    status: int
    headers: Mapping[str, str]

    @property
    def etag(self) -> str:
        """As it is sent back in `if_none_match` and `if_match` (quotes and `W/` kept)."""
        return self.headers.get("etag", "")[:500]

    @property
    def owner_now(self) -> float:
        """The owner's clock when it answered (UTC epoch s); 0 when it said none."""
        return pacing.date(self.headers.get("date"))

    def link(self, rel: str) -> str:
        """The target of a `Link` header (RFC 8288) with this relation, or empty."""
        return links(self.headers.get("link", "")).get(rel, "")


class NotModified(Exception):
    """304: what the caller has (by ETag) is what the owner has. `owner_now` as in `Answer`."""

    def __init__(self, owner_now: float) -> None:
        super().__init__("not modified")
        self.owner_now = owner_now


class Refusal(ActionError):
    """The owner answered with an error status. `body` is the start of what it said, not clean, never to be kept."""

    status: int = 0
    body: bytes = b""
    headers: Mapping[str, str] = {}


def links(header: str) -> dict[str, str]:
    """Relation -> target."""
    found: dict[str, str] = {}
    for match in _LINK.finditer(header[:20_000]):
        rel = _REL.search(match[2])
        for word in (rel[1] or rel[2] or "").lower().split() if rel else ():
            found.setdefault(word, match[1])
    return found


def refusal(status: int, headers: Mapping[str, str], body: bytes, text: str) -> Refusal:
    """The named error of a status that is neither success nor a server's failure. `text` says who was asked what."""
    error, kind = _REFUSALS.get(status, ("Refused", "validation"))
    wait: float | None = None
    retryable = status == 408
    if status == 429 or limited(status, headers, body):
        error, kind, retryable = "RateLimited", "unavailable", True
        wait = pacing.retry_after(headers.get("retry-after"))
        if wait is None:
            wait = _until_renewed(headers)
        if wait is None and status == 403:
            wait = SECONDARY_S
    elif status == 503:
        error, kind, retryable = "Unavailable", "unavailable", True
        wait = pacing.retry_after(headers.get("retry-after"))
    elif 300 <= status < 400:
        error, kind = "Redirected", "configuration"
        text += f" to {clean(headers.get('location', ''), 100)}; redirects are not followed"
    made = Refusal(error, text, kind=kind, retryable=retryable, retry_after=wait, detail={"status": status})
    made.status, made.body, made.headers = status, body[:KEPT_B], headers
    return made


def limited(status: int, headers: Mapping[str, str], body: bytes) -> bool:
    """403 used for "too many requests", as GitHub does: it was not carried out and may be asked again later."""
    if status != 403:
        return False
    used_up = headers.get("x-ratelimit-remaining") == "0" or headers.get("ratelimit-remaining") == "0"
    return used_up or "retry-after" in headers or b"secondary rate limit" in body[:4096].lower()


def _until_renewed(headers: Mapping[str, str]) -> float | None:
    allowance = pacing.Allowance()
    plain = {k: v for k, v in headers.items() if k != "x-ratelimit-resource"}
    owner_now = pacing.date(headers.get("date")) or pacing.wall()
    allowance.read({"ratelimit-remaining": "0"} | plain, 0.0, owner_now)
    return allowance.wait(0.0) or None


def certificate(error: BaseException) -> str:
    """Why the owner's certificate was refused, in words; empty when that was not the reason."""
    seen: BaseException | None = error
    for _ in range(8):
        if isinstance(seen, ssl.SSLCertVerificationError):
            return clean(seen.verify_message or "certificate verify failed", 120)
        seen = seen.__cause__ or seen.__context__ if seen is not None else None
    return ""


def said(body: bytes) -> str:
    """The start of what the owner said, for an error's text."""
    return clean(body[:2000].decode("utf-8", "replace").strip(), 300)
