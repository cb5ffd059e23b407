"""The HTTP client all connectors share: what may be tried again, what is in doubt, and what never leaves this process.

Three rules:

1. A call is `safe` when doing it twice is the same as doing it once. Only safe calls are tried again after they were
   sent; any call is tried again when it certainly was not sent (no connection, 429, 503).
2. A write that was sent and not properly answered (time-out, reset, 5xx, an answer that is not what was promised)
   raises `InDoubt`: the caller reads its owner back, it never sends blindly again.
3. Credentials travel only in headers, only to the origin they were made for, never across a redirect, never into the
   log. Proxies and credentials from the environment are ignored.

Retries here bridge seconds, in real time (the network does not run faster in a sandbox); longer waits are the
workflow's, which gets `retry_after` with the error.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import msgspec
from msgspec import Struct

from connectors.remote_text import clean
from engine.capabilities.ports import ActionError, InDoubt

T = TypeVar("T")
_log = logging.getLogger("quarterdeck.http")
for _name in ("httpx", "httpcore"):  # they log whole URLs and headers; the log here is the masked one
    logging.getLogger(_name).setLevel(logging.WARNING)

TRIES = 4
BASE_S, CAP_S = 0.2, 5.0  # full jitter between tries of one call
MAX_BODY_B = 32 << 20
BREAK_AFTER, BREAK_S, BREAK_CAP_S = 5, 2.0, 60.0
_UNSENT = frozenset({429, 503})
_SECRET_WORDS = ("token", "secret", "password", "key", "auth", "code", "signature")


class Auth(Protocol):
    """Credentials for one origin. `rejected` after a 401: true when a fresh credential is worth one more try."""

    async def headers(self) -> dict[str, str]: ...
    async def rejected(self) -> bool: ...


class Logged(Struct, frozen=True, kw_only=True):
    """One request as it may be shown: no headers, no bodies, query values of secret-sounding names masked."""

    at: float
    method: str
    path: str
    status: int
    ms: float
    size: int
    error: str = ""


class HttpClient:
    """Bound to one origin and one event loop. `name` is how errors call the remote system."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        auth: Auth | None = None,
        timeout_s: float = 20.0,
        connect_s: float = 5.0,
        connections: int = 8,
        rate_per_s: float = 50.0,
        max_body_b: int = MAX_BODY_B,
        ca: str = "",
        allow_plaintext: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self._auth, self._max = name, auth, max_body_b
        self.url = _origin(url, name, allow_plaintext)
        self._timeout = httpx.Timeout(timeout_s, connect=connect_s, pool=timeout_s)
        self._deadline_s = timeout_s * 2
        self._limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._ca, self._transport, self._sleep, self._monotonic = ca, transport, sleep, monotonic
        self._rate, self._tokens, self._filled = rate_per_s, rate_per_s, monotonic()
        self._failures, self._open_until, self._probing = 0, 0.0, False
        self._random = random.Random()
        self._client: httpx.AsyncClient | None = None
        self.log: deque[Logged] = deque(maxlen=200)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def use(self, auth: Auth) -> None:
        """Sets the credentials of all later calls."""
        self._auth = auth

    async def get(self, path: str, type: type[T], *, params: Mapping[str, str] | None = None) -> T:
        return await self.send("GET", path, type, params=params, safe=True)

    async def send(
        self,
        method: str,
        path: str,
        type: type[T],
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        media: str = "application/json",
        safe: bool,
        authenticated: bool = True,
    ) -> T:
        """One call, decoded as `type` (`str`: the text itself). `media` is what the JSON is said to be.

        Raises ActionError of a named kind (see the module), InDoubt for an unsafe call that was sent and not answered.
        """
        headers, body = {"accept": "application/json"}, None
        if json is not None:
            headers["content-type"], body = media, msgspec.json.encode(json)
        elif form is not None:
            headers["content-type"], body = "application/x-www-form-urlencoded", urlencode(form).encode()
        target = path + ("?" + urlencode(params) if params else "")
        until, renewed, attempt = self._monotonic() + self._deadline_s, False, 0
        while True:
            attempt += 1
            if authenticated and self._auth is not None:
                headers |= await self._auth.headers()
            await self._pace()
            self._circuit()
            failure = await self._once(method, target, headers, body, type, safe=safe)
            if not isinstance(failure, _Failure):
                return failure
            if failure.status == 401 and authenticated and self._auth is not None and not renewed:
                renewed = True
                if await self._auth.rejected():
                    continue
            wait = failure.error.retry_after
            if wait is None:
                wait = self._random.uniform(0, min(CAP_S, BASE_S * 2 ** (attempt - 1)))
            if not failure.again or attempt >= TRIES or wait > CAP_S or self._monotonic() + wait > until:
                raise failure.error
            await self._sleep(wait)

    # -- one try ------------------------------------------------------------------------------------------------------

    async def _once(
        self, method: str, target: str, headers: dict[str, str], body: bytes | None, type: type[T], *, safe: bool
    ) -> T | _Failure:
        began = self._monotonic()
        status, size, note = 0, 0, ""
        try:
            client = self._opened()
            async with client.stream(method, self.url + target, headers=headers, content=body) as answer:
                status = answer.status_code
                data = await self._read(answer)
            size = len(data)
            if status >= 300:
                return self._refused(method, target, answer, data, safe)
            result = self._decode(data, type)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            note = error.__class__.__name__
            return _Failure(self._error("Unreachable", f"cannot be reached ({note})", "unavailable"), True)
        except httpx.TransportError as error:
            note = error.__class__.__name__
            kind = "timeout" if isinstance(error, httpx.TimeoutException) else "communication"
            return self._unanswered(safe, f"did not answer {method} {_masked(target)} ({note})", kind)
        except _TooLarge:
            note = "too large"
            text = f"answered {method} {_masked(target)} with more than {self._max} bytes"
            return _Failure(self._error("AnswerTooLarge", text, "validation", retryable=False), False)
        except (msgspec.DecodeError, UnicodeDecodeError, httpx.DecodingError) as error:
            note = "bad answer"
            return self._unanswered(
                safe, f"answered {method} {_masked(target)} with something else: {clean(error, 120)}"
            )
        else:
            self._worked()
            return result
        finally:
            self._probing = False
            ms = (self._monotonic() - began) * 1000
            entry = Logged(
                at=time.time(),
                method=method,
                path=_masked(target),
                status=status,
                ms=round(ms, 1),
                size=size,
                error=note,
            )
            self.log.append(entry)
            _log.debug("%s %s %s %s %.0f ms %d B %s", self.name, method, entry.path, status, ms, size, note)

    def _decode(self, data: bytes, type: type[T]) -> T:
        if type is str:
            return data.decode("utf-8", "replace")  # type: ignore[return-value]
        return msgspec.json.decode(data, type=type, strict=False)

    async def _read(self, answer: httpx.Response) -> bytes:
        declared = answer.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self._max:
            raise _TooLarge
        parts, size = [], 0
        async for part in answer.aiter_bytes():  # decoded: a small compressed answer can't become a large one unseen
            size += len(part)
            if size > self._max:
                raise _TooLarge
            parts.append(part)
        return b"".join(parts)

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=self._ca) if self._ca else True
            self._client = httpx.AsyncClient(
                timeout=self._timeout,
                limits=self._limits,
                verify=verify,
                transport=self._transport,
                trust_env=False,
                follow_redirects=False,
                headers={"user-agent": "quarterdeck"},
            )
        return self._client

    # -- what an answer means -----------------------------------------------------------------------------------------

    def _refused(self, method: str, target: str, answer: httpx.Response, data: bytes, safe: bool) -> _Failure:
        status = answer.status_code
        said = clean(data[:2000].decode("utf-8", "replace").strip(), 300)
        text = f"answered {method} {_masked(target)} with {status}" + (f": {said}" if said else "")
        detail = {"status": status}
        if status in _UNSENT:
            if status == 503:
                self._broke()
            error = "RateLimited" if status == 429 else "Unavailable"
            wait = _retry_after(answer.headers.get("retry-after"))
            return _Failure(self._error(error, text, "unavailable", retry_after=wait, detail=detail), True, status)
        if status >= 500:
            if not safe:
                self._broke()
                return _Failure(InDoubt("ServerError", self._text(text), kind="unknown", detail=detail), False, status)
            self._broke()
            return _Failure(self._error("ServerError", text, "unavailable", detail=detail), True, status)
        self._worked()
        if status < 400:
            place = clean(answer.headers.get("location", ""), 100)
            text = f"sent {method} {_masked(target)} elsewhere ({status} to {place}); redirects are not followed"
            return _Failure(
                self._error("Redirected", text, "configuration", retryable=False, detail=detail), False, status
            )
        names = {
            401: ("Unauthenticated", "authentication"),
            403: ("Forbidden", "authorization"),
            404: ("NotFound", "validation"),
            408: ("RequestTimeout", "timeout"),
            409: ("Conflict", "conflict"),
            412: ("Conflict", "conflict"),
        }
        error, kind = names.get(status, ("Refused", "validation"))
        again = status == 408
        return _Failure(self._error(error, text, kind, retryable=again, detail=detail), again, status)

    def _unanswered(self, safe: bool, text: str, kind: str = "communication") -> _Failure:
        self._broke()
        if not safe:
            return _Failure(InDoubt("Unanswered", self._text(text), kind="unknown"), False)
        return _Failure(self._error("Timeout" if kind == "timeout" else "Disconnected", text, kind), True)

    def _text(self, text: str) -> str:
        return f"{self.name} at {self.url} {text}"

    def _error(
        self,
        error: str,
        text: str,
        kind: str,
        *,
        retryable: bool = True,
        retry_after: float | None = None,
        detail: Any = None,
    ) -> ActionError:
        if error == "Unreachable":
            self._broke()
        return ActionError(
            error, self._text(text), kind=kind, retryable=retryable, retry_after=retry_after, detail=detail
        )

    # -- pace and circuit ---------------------------------------------------------------------------------------------

    async def _pace(self) -> None:
        """A token bucket of one second's worth of calls."""
        now = self._monotonic()
        self._tokens = min(self._rate, self._tokens + (now - self._filled) * self._rate) - 1
        self._filled = now
        if self._tokens < 0:
            await self._sleep(-self._tokens / self._rate)

    def _circuit(self) -> None:
        """Refuses at once while the remote is known to be down; lets one call through to find out when it is back."""
        if self._failures < BREAK_AFTER:
            return
        left = self._open_until - self._monotonic()
        if left > 0 or self._probing:
            raise ActionError(
                "CircuitOpen",
                self._text(f"failed {self._failures} times in a row; not asked again for {max(left, 0.1):.0f} s"),
                kind="unavailable",
                retry_after=max(left, 0.1),
            )
        self._probing = True

    def _broke(self) -> None:
        self._failures += 1
        over = self._failures - BREAK_AFTER
        if over >= 0:
            self._open_until = self._monotonic() + min(BREAK_CAP_S, BREAK_S * 2**over)

    def _worked(self) -> None:
        self._failures = 0


class _TooLarge(Exception):
    """The answer passed the limit; reading stopped."""


class _Failure:
    """A try that failed. `again`: the same call may be tried again."""

    def __init__(self, error: ActionError, again: bool, status: int = 0) -> None:
        self.error, self.again, self.status = error, again, status


class Bearer:
    """A fixed token from the keyring, asked for at first use and again after a 401 (it may have been replaced)."""

    def __init__(self, secret: Callable[[], str]) -> None:
        self._secret, self._token = secret, ""

    async def headers(self) -> dict[str, str]:
        if not self._token:
            self._token = await asyncio.to_thread(self._secret)
        return {"authorization": f"Bearer {self._token}"}

    async def rejected(self) -> bool:
        before, self._token = self._token, await asyncio.to_thread(self._secret)
        return self._token != before


def _origin(url: str, name: str, allow_plaintext: bool) -> str:
    """The checked base URL. Plain http is for this machine alone: it would show credentials to the network."""
    parts = urlsplit(url)
    problem = ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        problem = "is not an http or https URL"
    elif parts.username or parts.password:
        problem = "holds credentials; put them into the keyring and name the entry"
    elif parts.query or parts.fragment:
        problem = "has a query or fragment"
    elif parts.scheme == "http" and not allow_plaintext and not _loopback(parts.hostname):
        problem = "is plain http to another machine; use https, or set options.allow_plaintext for a protected network"
    if problem:
        shown = clean(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl(), 100)
        raise ActionError("NotConfigured", f"{name}: url {shown!r} {problem}", kind="configuration", retryable=False)
    return url.rstrip("/")


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _masked(target: str) -> str:
    """Path and query for people: secret-sounding values masked, all cut."""
    path, _, query = target.partition("?")
    if not query:
        return clean(path, 200)
    pairs = [
        (k, "***" if any(word in k.lower() for word in _SECRET_WORDS) else v)
        for k, v in parse_qsl(query, keep_blank_values=True)
    ]
    return clean(path + "?" + "&".join(f"{k}={v}" for k, v in pairs), 200)


def _retry_after(value: str | None) -> float | None:
    """Seconds, from either form the header has."""
    if not value:
        return None
    try:
        return max(0.0, min(3600.0, float(value)))
    except ValueError:
        pass
    try:
        return max(0.0, min(3600.0, parsedate_to_datetime(value).timestamp() - time.time()))
    except (TypeError, ValueError):
        return None
