"""Ways to prove who we are to a remote system. Secrets come from the keyring when first needed and stay in memory."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct

from engine.capabilities.ports import ActionError

if TYPE_CHECKING:
    from connectors.http import HttpClient


class Auth(Protocol):
    """Credentials for one origin. `rejected` after a 401: true when a fresh credential is worth one more try."""

    async def headers(self) -> dict[str, str]: ...
    async def rejected(self) -> bool: ...


class Bearer:
    """A fixed token from the keyring, asked for at first use and again after a 401 (it may have been replaced).

    `scheme` is the word before it: `Bearer`, or `Token` as Label Studio has it.
    """

    def __init__(self, secret: Callable[[], str], scheme: str = "Bearer") -> None:
        self._secret, self._token, self._scheme = secret, "", scheme

    async def headers(self) -> dict[str, str]:
        if not self._token:
            self._token = _line(await asyncio.to_thread(self._secret))
        return {"authorization": self._shown(self._token)}

    def _shown(self, token: str) -> str:
        return f"{self._scheme} {token}"

    async def rejected(self) -> bool:
        before, self._token = self._token, _line(await asyncio.to_thread(self._secret))
        return self._token != before


class PagerDutyToken(Bearer):
    """`Authorization: Token token=KEY`."""

    def _shown(self, token: str) -> str:
        return f"Token token={token}"


class Basic(Bearer):
    """User name from the settings, password or API token from the keyring."""

    def __init__(self, username: str, secret: Callable[[], str]) -> None:
        super().__init__(secret, "Basic")
        self._username = username

    def _shown(self, token: str) -> str:
        return "Basic " + base64.b64encode(f"{self._username}:{token}".encode()).decode("ascii")


class ApiKey(Bearer):
    """A key in a header of the owner's own, such as `X-API-Key`. Never in a query: those end up in logs."""

    def __init__(self, header: str, secret: Callable[[], str], prefix: str = "") -> None:
        super().__init__(secret)
        self._header, self._prefix = header.lower(), prefix

    async def headers(self) -> dict[str, str]:
        found = await super().headers()
        return {self._header: found["authorization"]}

    def _shown(self, token: str) -> str:
        return self._prefix + token


class _Granted(Struct):
    access_token: str
    expires_in: float | None = None
    token_type: str = "Bearer"


class ClientCredentials:
    """OAuth 2.0 client credentials (RFC 6749, 4.4). The token is renewed a minute before it ends, and after a 401.

    `tokens` is a client of the token endpoint's origin (without credentials of its own), `path` the endpoint there;
    `style`: the client's secret goes into the Basic header, or into the form where the server wants that.
    """

    def __init__(
        self,
        tokens: HttpClient,
        path: str,
        client_id: str,
        secret: Callable[[], str],
        *,
        scope: str = "",
        extra: Mapping[str, str] | None = None,
        style: Literal["basic", "form"] = "basic",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens, self._path, self._client_id, self._secret = tokens, path, client_id, secret
        self._scope, self._extra, self._style, self._monotonic = scope, dict(extra or {}), style, monotonic
        self._token, self._until = "", 0.0
        self._lock = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        async with self._lock:
            if not self._token or self._monotonic() >= self._until:
                await self._renew()
            return {"authorization": f"Bearer {self._token}"}

    async def _renew(self) -> None:
        form = {"grant_type": "client_credentials", **({"scope": self._scope} if self._scope else {}), **self._extra}
        headers: dict[str, str] = {}
        if self._style == "basic":
            headers = await Basic(self._client_id, self._secret).headers()
        else:
            form |= {"client_id": self._client_id, "client_secret": _line(await asyncio.to_thread(self._secret))}
        found = await self._tokens.send("POST", self._path, _Granted, form=form, headers=headers, safe=True, reads=True)
        if found.token_type.lower() != "bearer" or not found.access_token:
            raise ActionError(
                "Unauthenticated",
                f"{self._tokens.name} gave no bearer token",
                kind="authentication",
                retryable=False,
            )
        lasts = found.expires_in if found.expires_in and found.expires_in > 0 else 300.0
        self._token, self._until = _line(found.access_token), self._monotonic() + max(lasts - 60.0, lasts / 2)

    async def rejected(self) -> bool:
        self._token = ""
        return True

    async def close(self) -> None:
        await self._tokens.close()


def _line(secret: str) -> str:
    """A secret as it may stand in a header: what was pasted with its line end works, and none can add a header."""
    found = secret.strip()
    if not found or any(ord(c) < 32 or ord(c) == 127 for c in found):
        raise ActionError(
            "Unauthenticated",
            "the keyring entry is empty or holds control characters; set it again",
            kind="authentication",
            retryable=False,
        )
    return found
