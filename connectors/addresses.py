"""Addresses of remote systems: which are accepted, whether a link stays with its owner, and how they are shown."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import parse_qsl, urljoin, urlsplit

from connectors.remote_text import clean
from engine.capabilities.ports import ActionError

SECRET_WORDS = ("token", "secret", "password", "key", "auth", "code", "signature", "cookie", "credential", "session")
_PLAIN_HEADERS = frozenset({"idempotency-key", "x-github-api-version", "x-requested-with", "x-atlassian-token"})


def origin(url: str, name: str, allow_plaintext: bool) -> str:
    """The checked base URL. Plain http is for this machine alone: it would show credentials to the network."""
    parts = urlsplit(url)
    problem = ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        problem = "is not an http or https URL"
    elif parts.username or parts.password:
        problem = "holds credentials; put them into the keyring and name the entry"
    elif parts.query or parts.fragment:
        problem = "has a query or fragment"
    elif parts.scheme == "http" and not allow_plaintext and not loopback(parts.hostname):
        problem = "is plain http to another machine; use https, or set options.allow_plaintext for a protected network"
    if problem:
        raise wrong(name, f"url {shown(url)!r} {problem}")
    return url.rstrip("/")


def proxy(url: str, name: str) -> str:
    """The checked address of a forward proxy. Its credentials, like all others, are not part of an address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise wrong(name, f"proxy {shown(url)!r} is not an http or https URL without credentials")
    return url


def within(base: str, path: str, name: str) -> str:
    """The full URL of `path`, or of an absolute link the owner gave, which must stay with its origin: credentials are
    sent along. Raises ActionError `Elsewhere`."""
    if path.startswith("/") and not path.startswith("//"):
        return base + path
    url = urljoin(base + "/", path)
    if _origin_of(url) != _origin_of(base):
        raise ActionError(
            "Elsewhere",
            f"{name}: a link leads to {shown(url)!r}, which is not {base}; it is not followed",
            kind="validation",
            retryable=False,
        )
    return url


def _origin_of(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return parts.scheme, (parts.hostname or "").lower(), port or (443 if parts.scheme == "https" else 80)


def loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shown(url: str) -> str:
    """A URL for people, without what could be a credential."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return clean(url, 40)
    return clean(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl(), 100)


def masked(target: str) -> str:
    """Path and query for people: secret-sounding values masked, all cut."""
    path, _, query = target.partition("?")
    if not query:
        return clean(path, 200)
    pairs = [(k, "***" if secret(k) else v) for k, v in parse_qsl(query, keep_blank_values=True)]
    return clean(path + "?" + "&".join(f"{k}={v}" for k, v in pairs), 200)


def masked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        k: "***" if secret(k) and k.lower() not in _PLAIN_HEADERS else clean(v, 200) for k, v in sorted(headers.items())
    }


def secret(name: str) -> bool:
    """Whether a field of this name may hold a credential."""
    return any(word in name.lower() for word in SECRET_WORDS)


def wrong(name: str, text: str) -> ActionError:
    return ActionError("NotConfigured", f"{name}: {text}", kind="configuration", retryable=False)
