"""The settings every connector over HTTP takes, and the client made from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from connectors.credentials import Auth
from connectors.http import HttpClient
from engine.capabilities.ports import Json, Param

FIELDS: dict[str, Param] = {
    "url": Param(type="string", description="base URL, e.g. https://updates.example.com"),
    "ca": Param(type="string", required=False, description="file of certificate authorities to trust"),
    "allow_plaintext": Param(type="boolean", required=False, description="http to another machine"),
    "timeout_s": Param(type="number", required=False, description="seconds one call may take (20)"),
    "rate_per_s": Param(type="number", required=False, description="calls a second at most (50)"),
    "proxy": Param(type="string", required=False, description="forward proxy, e.g. http://proxy.example.com:3128"),
    "proxy_secret": Param(type="string", required=False, description="keyring entry of the proxy's user:password"),
    "dry": Param(type="boolean", required=False, description="writes are logged and refused instead of sent"),
}
"""The settings every connector over HTTP takes; `client` reads them."""

SECRETS: dict[str, str] = {"proxy_secret": "user:password of the forward proxy"}
"""The fields of `FIELDS` that name keyring entries, beside `secret`."""


def client(
    config: Mapping[str, Json],
    secret: Callable[[str], str],
    *,
    name: str,
    auth: Auth | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> HttpClient:
    """A client from the settings in `FIELDS`; `more` goes to HttpClient."""
    entry = str(config.get("proxy_secret", ""))
    return HttpClient(
        str(config["url"]),
        name=name,
        auth=auth,
        headers=headers,
        ca=str(config.get("ca", "")),
        allow_plaintext=config.get("allow_plaintext") is True,
        timeout_s=float(config.get("timeout_s", 20.0)),
        rate_per_s=float(config.get("rate_per_s", 50.0)),
        proxy=str(config.get("proxy", "")),
        proxy_secret=(lambda: secret(entry)) if entry else None,
        dry_only=config.get("dry") is True,
        **more,
    )
