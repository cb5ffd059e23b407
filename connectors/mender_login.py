"""How one logs in to Mender where there is no personal access token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from connectors.http import Basic, HttpClient


class Login:
    """The login with user name and password (HTTP Basic gives a token of a week), where there is no personal token."""

    def __init__(self, http: HttpClient, username: str, secret: Callable[[], str]) -> None:
        self._http, self._basic, self._token = http, Basic(username, secret), ""
        self._lock = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        async with self._lock:
            if not self._token:
                found = await self._http.send(
                    "POST",
                    "/api/management/v1/useradm/auth/login",
                    str,
                    headers=await self._basic.headers(),
                    accept="application/jwt",
                    safe=True,
                    reads=True,
                    authenticated=False,
                )
                self._token = found.strip()
        return {"authorization": f"Bearer {self._token}"}

    async def rejected(self) -> bool:
        self._token = ""
        return True
