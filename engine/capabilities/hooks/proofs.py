"""How a sender of webhooks proves who it is. Compared in constant time; a missing proof and a wrong one are the same.

Sources: GitHub, "Validating webhook deliveries" (`X-Hub-Signature-256`; Jira sends `X-Hub-Signature` after the same WebSub
rule); PagerDuty, "Verifying signatures" (`X-PagerDuty-Signature: v1=…`, several while a secret is exchanged); MLflow,
"Webhooks" (`v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`); Standard Webhooks 1.0.0 (the same over
`webhook-id.webhook-timestamp.body`, secrets may begin with `whsec_` and are base64 then); GitLab (`X-Gitlab-Token`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping

from engine.capabilities.systems.ports import BadSignature

Headers = Mapping[str, str]
WINDOW_S = 300.0
"""Seconds a timestamp may lie from now, both ways (the figure of the Standard Webhooks specification)."""


def bearer(headers: Headers, secret: str) -> None:
    """`Authorization: Bearer SECRET`."""
    given = headers.get("authorization", "")
    _unless(given[:7].lower() == "bearer " and _same(given[7:].strip(), secret))


def basic(headers: Headers, secret: str) -> None:
    """`Authorization: Basic …`; the secret is `user:password`, or the password of any user."""
    given = headers.get("authorization", "")
    try:
        said = base64.b64decode(given[6:].strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        said = ""
    expected = said if ":" in secret else said.partition(":")[2]
    _unless(given[:6].lower() == "basic " and _same(expected, secret))


def header(headers: Headers, name: str, secret: str) -> None:
    """A header of the sender's choosing that holds the secret itself."""
    _unless(_same(headers.get(name.lower(), ""), secret))


def github(headers: Headers, body: bytes, secret: str, *, name: str = "") -> None:
    """`sha256=` and the hexadecimal HMAC-SHA256 of the body, in `X-Hub-Signature-256` or `X-Hub-Signature`."""
    names = (name.lower(),) if name else ("x-hub-signature-256", "x-hub-signature")
    given = next((headers[one] for one in names if one in headers), "")
    _unless(_same(given.strip(), "sha256=" + _hex(secret.encode(), body)))


def pagerduty(headers: Headers, body: bytes, secret: str) -> None:
    """One of the signatures in `X-PagerDuty-Signature`; they are several while a secret is exchanged for a new one."""
    expected = "v1=" + _hex(secret.encode(), body)
    given = [one.strip() for one in headers.get("x-pagerduty-signature", "").split(",")][:10]
    _unless(any(_same(one, expected) for one in given))


def mlflow(headers: Headers, body: bytes, secret: str, now: float, *, window_s: float = WINDOW_S) -> None:
    """`X-MLflow-Signature` over `X-MLflow-Delivery-Id`, `X-MLflow-Timestamp` and the body, and recent."""
    names = ("x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature")
    _stamped(headers, names, body, secret.encode(), now=now, window_s=window_s)


def standard(headers: Headers, body: bytes, secret: str, now: float, *, window_s: float = WINDOW_S) -> None:
    """Standard Webhooks: `webhook-signature` over `webhook-id`, `webhook-timestamp` and the body, and recent."""
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret[6:], validate=True)
        except (binascii.Error, ValueError):
            raise BadSignature("the secret begins with whsec_ and is not base64") from None
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    _stamped(headers, names, body, key, now=now, window_s=window_s)


def recent(stamp: str, now: float, window_s: float = WINDOW_S) -> None:
    """A timestamp in epoch seconds (or milliseconds) that lies within the window."""
    try:
        at = float(stamp)
    except ValueError:
        raise BadSignature("the timestamp is no number") from None
    at = at / 1000 if at > 1e11 else at
    if not abs(now - at) <= window_s:
        raise BadSignature(f"the timestamp is {abs(now - at):.0f} s from now, more than {window_s:.0f}")


def any_usual(headers: Headers, body: bytes, secret: str) -> None:
    """Either the bearer of the secret or a signature of the body, whichever the sender gives."""
    if headers.get("authorization", "")[:7].lower() == "bearer ":
        bearer(headers, secret)
    else:
        github(headers, body, secret)


WAYS: Mapping[str, Callable[[Headers, bytes, str, float, str, float], None]] = {
    "": lambda h, body, secret, now, name, window: any_usual(h, body, secret),
    "bearer": lambda h, body, secret, now, name, window: bearer(h, secret),
    "basic": lambda h, body, secret, now, name, window: basic(h, secret),
    "header": lambda h, body, secret, now, name, window: header(h, name or "x-webhook-secret", secret),
    "gitlab": lambda h, body, secret, now, name, window: header(h, "x-gitlab-token", secret),
    "hmac": lambda h, body, secret, now, name, window: github(h, body, secret, name=name),
    "pagerduty": lambda h, body, secret, now, name, window: pagerduty(h, body, secret),
    "mlflow": lambda h, body, secret, now, name, window: mlflow(h, body, secret, now, window_s=window),
    "standard": lambda h, body, secret, now, name, window: standard(h, body, secret, now, window_s=window),
}
"""By the word that stands in the settings. Arguments: headers, body, secret, now, name of the header, window in seconds."""
TIMED = ("mlflow", "standard")
"""Those that carry a time: an old delivery is worth nothing to whoever recorded it."""


def _stamped(
    headers: Headers, names: tuple[str, str, str], body: bytes, key: bytes, *, now: float, window_s: float
) -> None:
    """`names` of the headers with id, time and signature."""
    id_, stamp, signature = names
    told, at = headers.get(id_, ""), headers.get(stamp, "")
    digest = hmac.new(key, f"{told}.{at}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(digest).decode()
    given = headers.get(signature, "").split()[:10]
    _unless(bool(told) and any(_same(one, expected) for one in given))
    recent(at, now, window_s)


def _hex(key: bytes, body: bytes) -> str:
    return hmac.new(key, body, hashlib.sha256).hexdigest()


def _same(given: str, expected: str) -> bool:
    return bool(expected) and hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))


def _unless(proven: bool) -> None:
    if not proven:
        raise BadSignature("not proven")
