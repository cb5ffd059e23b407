"""A call to an owner while it is tried, and an answer while it is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx
from msgspec import Struct

from connectors.addresses import masked
from connectors.bodies import Body
from engine.capabilities.ports import ActionError

SLOWEST_B_PER_S = 1024  # a stream that is slower than this over the time-out is a slow loris


class Call(Struct, frozen=True, kw_only=True):
    """One call as it is tried: everything but the number of the try."""

    method: str
    target: str
    headers: dict[str, str]
    body: Body
    safe: bool
    timeout_s: float
    limit_b: int

    @property
    def shown(self) -> str:
        path = "/" + self.target.split("://", 1)[-1].partition("/")[2]
        return f"{self.method} {masked(path)}"


class Streamed:
    """An open answer. `taken` counts what `pieces` gave so far."""

    def __init__(self, answer: httpx.Response, call: Call, monotonic: Callable[[], float]) -> None:
        self._answer, self._call, self._monotonic = answer, call, monotonic
        self.status, self.headers, self.taken = answer.status_code, dict(answer.headers), 0

    async def pieces(self) -> AsyncIterator[bytes]:
        began = self._monotonic()
        async for piece in self._answer.aiter_bytes():
            self.taken += len(piece)
            if self.taken > self._call.limit_b:
                raise TooLarge
            spent = self._monotonic() - began
            if spent > self._call.timeout_s and self.taken < spent * SLOWEST_B_PER_S:
                raise TooSlow
            yield piece


class TooLarge(Exception):
    """The answer passed the limit; reading stopped."""


class TooSlow(Exception):
    """The answer trickles: it would take for ever."""


class Failure:
    """A try that failed. `again`: the same call may be tried again."""

    def __init__(self, error: ActionError, again: bool, status: int = 0) -> None:
        self.error, self.again, self.status = error, again, status
