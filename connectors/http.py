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
import logging
import random
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar, Unpack
from urllib.parse import urlencode

import httpx
import msgspec
from msgspec import Struct

from connectors import addresses, pacing
from connectors.addresses import masked, wrong
from connectors.answers import KEPT_B, UNSENT, Answer, NotModified, Refusal, certificate, refusal, said
from connectors.bodies import Body, Part, Sending, body
from connectors.calls import Call, Failure, Streamed, TooLarge, TooSlow
from connectors.credentials import ApiKey, Auth, Basic, Bearer, ClientCredentials
from connectors.pacing import BREAK_AFTER
from connectors.remote_text import clean
from engine.capabilities import dry
from engine.capabilities.ports import ActionError, InDoubt

T = TypeVar("T")
_log = logging.getLogger("quarterdeck.http")
for _name in ("httpx", "httpcore"):  # they log whole URLs and headers; the log here is the masked one
    logging.getLogger(_name).setLevel(logging.WARNING)

TRIES = 4
BASE_S, CAP_S = 0.2, 5.0  # full jitter between tries of one call
MAX_BODY_B = 32 << 20
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


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
    """Bound to one origin and one event loop. `name` is how errors call the remote system.

    `headers` go with every call (what an owner demands, such as an API version; never a credential: those are `auth`).
    `dry_only`: no write is ever sent. `allowance` is what the owner says is left of our share, `owner_offset_s` how far
    its clock is ahead of this machine's (None before the first answer that has a date).
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        auth: Auth | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 20.0,
        connect_s: float = 5.0,
        connections: int = 8,
        rate_per_s: float = 50.0,
        max_body_b: int = MAX_BODY_B,
        ca: str = "",
        allow_plaintext: bool = False,
        proxy: str = "",
        proxy_secret: Callable[[], str] | None = None,
        idempotency_header: str = "idempotency-key",
        dry_only: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self._auth, self._max, self._dry = name, auth, max_body_b, dry_only
        self.url = addresses.origin(url, name, allow_plaintext)
        self._proxy, self._proxy_secret = addresses.proxy(proxy, name) if proxy else "", proxy_secret
        self._headers = {"user-agent": "quarterdeck"} | {k.lower(): v for k, v in (headers or {}).items()}
        self._idempotency_header = idempotency_header.lower()
        self._timeout_s, self._connect_s = timeout_s, connect_s
        self._limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._ca, self._transport, self._sleep, self._monotonic = ca, transport, sleep, monotonic
        self._bucket, self._circuit = pacing.Bucket(rate_per_s, monotonic()), pacing.Circuit()
        self.allowance = pacing.Allowance()
        self.owner_offset_s: float | None = None
        self._random = random.Random()
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()
        self.log: deque[Logged] = deque(maxlen=200)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None
        ended = getattr(self._auth, "close", None)
        if ended is not None:
            await ended()

    def use(self, auth: Auth) -> None:
        """Sets the credentials of all later calls."""
        self._auth = auth

    def headers(self, more: Mapping[str, str]) -> None:
        """Adds headers that go with every later call; before the first one."""
        self._headers |= {k.lower(): v for k, v in more.items()}

    async def get(self, path: str, type: type[T], **sending: Unpack[Sending]) -> T:
        return (await self.send_full("GET", path, type, safe=True, **sending)).value

    async def get_if_changed(
        self, path: str, type: type[T], etag: str, **sending: Unpack[Sending]
    ) -> Answer[T] | NotModified:
        """The answer, or NotModified when the owner still has what `etag` names (empty: asked without)."""
        try:
            sending["if_none_match"] = etag
            return await self.send_full("GET", path, type, safe=True, **sending)
        except NotModified as same:
            return same

    async def send(self, method: str, path: str, type: type[T], *, safe: bool, **sending: Unpack[Sending]) -> T:
        """`send_full`, when only the value counts."""
        return (await self.send_full(method, path, type, safe=safe, **sending)).value

    async def send_full(
        self, method: str, path: str, type: type[T], *, safe: bool, **sending: Unpack[Sending]
    ) -> Answer[T]:
        """One call, decoded as `type`: a shape for JSON, `str` the text, `bytes` the content, `NoneType` nothing,
        `object` any JSON or (no content) None.

        `path` begins with `/`, or is an absolute link of the same origin. `json`, `form`, `content` (bytes or a file),
        `parts` (multipart): the body; `media` what it is said to be. `if_match` makes a write conditional (412 is
        ActionError `Conflict`), `if_none_match` a read (304 raises NotModified). `idempotency_key` is sent in the
        owner's header for it; whether that makes the call `safe` the caller knows. `reads` says that a POST only asks
        (dry mode lets it through). `limit_b`, `timeout_s`: other bounds for this call.

        Raises ActionError of a named kind (`Refusal` when the owner said so, with status and body), InDoubt for an unsafe
        call that was sent and not answered, `dry.NotSent` in dry mode.
        """
        content, target, headers = self._prepared(path, sending)
        if not sending.get("reads", method in _READS):
            self._withheld(method, target, headers, content)
        per_try = sending.get("timeout_s", self._timeout_s)
        until, renewed, attempt = self._monotonic() + per_try * 2, False, 0
        authenticated = sending.get("authenticated", True)
        while True:
            attempt += 1
            if authenticated and self._auth is not None:
                headers |= await self._auth.headers()
            await self._paced()
            call = Call(
                method=method,
                target=target,
                headers=headers,
                body=content,
                safe=safe,
                timeout_s=per_try,
                limit_b=sending.get("limit_b", self._max),
            )
            failure = await self._once(call, type)
            if isinstance(failure, Answer):
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

    @asynccontextmanager
    async def streamed(self, path: str, *, method: str = "GET", **sending: Unpack[Sending]) -> AsyncIterator[Streamed]:
        """A read whose content is taken piece by piece and never held: one try, no retry (see `connectors.transfer`).

        Raises as `send_full`; also out of `pieces()`, when the stream breaks, stalls or passes `limit_b`.
        """
        content, target, headers = self._prepared(path, sending)
        if sending.get("authenticated", True) and self._auth is not None:
            headers |= await self._auth.headers()
        await self._paced()
        call = Call(
            method=method,
            target=target,
            headers=headers,
            body=content,
            safe=True,
            timeout_s=sending.get("timeout_s", self._timeout_s),
            limit_b=sending.get("limit_b", self._max),
        )
        began, stream, note, status = self._monotonic(), None, "", 0
        try:
            client = await self._opened()
            async with AsyncExitStack() as open_answer:
                async with asyncio.timeout(call.timeout_s):
                    answer = await open_answer.enter_async_context(
                        client.stream(method, target, headers=headers, content=content.content())
                    )
                    status = answer.status_code
                    if status >= 300:
                        raise self._refused(call, answer, await self._read(answer, KEPT_B)).error
                self._heard(answer)
                self._circuit.worked()
                stream = Streamed(answer, call, self._monotonic)
                yield stream
        except (httpx.RequestError, TimeoutError, TooSlow) as error:
            note = error.__class__.__name__
            raise self._broken(call, error).error from error
        except TooLarge:
            note = "too large"
            raise self._too_large(call) from None
        finally:
            self._circuit.ended()
            self._note(call, began, status, stream.taken if stream else 0, note)

    # -- one try ------------------------------------------------------------------------------------------------------

    def _prepared(self, path: str, sending: Sending) -> tuple[Body, str, dict[str, str]]:
        content = body(sending)
        target = addresses.within(self.url, path, self.name)
        if params := sending.get("params"):
            target += ("&" if "?" in target else "?") + urlencode(params)
        headers = {"accept": sending.get("accept", "application/json")} | content.headers()
        headers |= {k.lower(): v for k, v in (sending.get("headers") or {}).items()}
        if etag := sending.get("if_match", ""):
            headers["if-match"] = etag
        if etag := sending.get("if_none_match", ""):
            headers["if-none-match"] = etag
        if key := sending.get("idempotency_key", ""):
            headers[self._idempotency_header] = key
        for name, value in headers.items():
            if not value.isprintable():
                raise ActionError(
                    "BadRequest",
                    f"{self.name}: header {name} cannot hold this text",
                    kind="validation",
                    retryable=False,
                )
        return content, target, {k: v.encode("utf-8").decode("latin-1") for k, v in headers.items()}

    async def _once(self, call: Call, type: type[T]) -> Answer[T] | Failure:
        began = self._monotonic()
        status, size, note = 0, 0, ""
        try:
            client = await self._opened()
            async with asyncio.timeout(call.timeout_s):  # over all: a byte now and then is no answer
                async with client.stream(
                    call.method, call.target, headers=call.headers, content=call.body.content()
                ) as answer:
                    status = answer.status_code
                    data = await self._read(answer, call.limit_b)
            size = len(data)
            self._heard(answer)
            if status == 304 and "if-none-match" in call.headers:
                self._circuit.worked()
                raise NotModified(pacing.date(answer.headers.get("date")))
            if status >= 300:
                return self._refused(call, answer, data)
            result = _decoded(data, type)
        except (httpx.TransportError, TimeoutError) as error:
            note = error.__class__.__name__
            return self._broken(call, error)
        except TooLarge:
            note = "too large"
            if not call.safe:
                return self._unanswered(call, f"answered {call.shown} with more than {call.limit_b} bytes")
            return Failure(self._too_large(call), False)
        except (msgspec.DecodeError, UnicodeDecodeError, httpx.DecodingError) as error:
            note = "bad answer"
            kind = clean(answer.headers.get("content-type", "").partition(";")[0], 40)
            text = f"answered {call.shown} with something else" + (f" ({kind})" if kind and "json" not in kind else "")
            return self._unanswered(call, f"{text}: {clean(error, 120)}")
        else:
            self._circuit.worked()
            return Answer(result, status, dict(answer.headers))
        finally:
            self._circuit.ended()
            self._note(call, began, status, size, note)

    async def _read(self, answer: httpx.Response, limit_b: int) -> bytes:
        declared = answer.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > limit_b and answer.request.method != "HEAD":
            raise TooLarge
        parts, size = [], 0
        async for part in answer.aiter_bytes():  # decoded: a small compressed answer can't become a large one unseen
            size += len(part)
            if size > limit_b:
                raise TooLarge
            parts.append(part)
        return b"".join(parts)

    async def _opened(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._client is None:
                proxy = None
                if self._proxy:
                    given = await asyncio.to_thread(self._proxy_secret) if self._proxy_secret else ""
                    user, _, password = given.strip().partition(":")
                    proxy = httpx.Proxy(self._proxy, auth=(user, password) if user else None)
                self._client = httpx.AsyncClient(
                    timeout=httpx.Timeout(self._timeout_s, connect=self._connect_s, pool=self._timeout_s),
                    limits=self._limits,
                    verify=await asyncio.to_thread(_trust, self._ca, self.name),
                    transport=self._transport,
                    proxy=proxy,
                    trust_env=False,
                    follow_redirects=False,
                    headers=self._headers,
                )
            return self._client

    def _heard(self, answer: httpx.Response) -> None:
        said_now = pacing.date(answer.headers.get("date"))
        if said_now:
            self.owner_offset_s = said_now - pacing.wall()
        self.allowance.read(answer.headers, self._monotonic(), said_now or pacing.wall())

    def _note(self, call: Call, began: float, status: int, size: int, note: str) -> None:
        ms = (self._monotonic() - began) * 1000
        path = masked(call.target.removeprefix(self.url))
        self.log.append(
            Logged(at=time.time(), method=call.method, path=path, status=status, ms=round(ms, 1), size=size, error=note)
        )
        _log.debug("%s %s %s %s %.0f ms %d B %s", self.name, call.method, path, status, ms, size, note)

    # -- what an answer means -----------------------------------------------------------------------------------------

    def _refused(self, call: Call, answer: httpx.Response, data: bytes) -> Failure:
        status, what = answer.status_code, said(data)
        text = f"answered {call.shown} with {status}" + (f": {what}" if what else "")
        detail = {"status": status}
        if status >= 500 and status not in UNSENT:
            self._broke()
            if not call.safe:
                return Failure(InDoubt("ServerError", self._text(text), kind="unknown", detail=detail), False, status)
            return Failure(
                ActionError("ServerError", self._text(text), kind="unavailable", detail=detail), True, status
            )
        if status == 503:
            self._broke()
        else:
            self._circuit.worked()
        if status < 400:
            text = f"sent {call.shown} elsewhere ({status})"
        made = refusal(status, dict(answer.headers), data, self._text(text))
        return Failure(made, made.retryable, status)

    def _broken(self, call: Call, error: Exception) -> Failure:
        """The connection failed: before anything was sent (any call may be tried again), or after."""
        name = error.__class__.__name__
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)):
            self._broke()
            if why := certificate(error):
                text = self._text(f"shows a certificate that is not trusted: {why}; nothing was sent")
                return Failure(ActionError("CertificateRefused", text, kind="configuration", retryable=False), False)
            return Failure(
                ActionError("Unreachable", self._text(f"cannot be reached ({name})"), kind="unavailable"), True
            )
        slow = isinstance(error, (httpx.TimeoutException, TimeoutError, TooSlow))
        return self._unanswered(call, f"did not answer {call.shown} ({name})", "timeout" if slow else "communication")

    def _unanswered(self, call: Call, text: str, kind: str = "communication") -> Failure:
        self._broke()
        if not call.safe:
            return Failure(InDoubt("Unanswered", self._text(text), kind="unknown"), False)
        error = "Timeout" if kind == "timeout" else "Disconnected"
        return Failure(ActionError(error, self._text(text), kind=kind), True)

    def _too_large(self, call: Call) -> ActionError:
        text = self._text(f"answered {call.shown} with more than {call.limit_b} bytes")
        return ActionError("AnswerTooLarge", text, kind="validation", retryable=False)

    def _text(self, text: str) -> str:
        return f"{self.name} at {self.url} {text}"

    # -- whether and when ---------------------------------------------------------------------------------------------

    def _withheld(self, method: str, target: str, headers: Mapping[str, str], content: Body) -> None:
        """Dry mode: the write is written down and refused."""
        found = dry.sink()
        if found is None and not self._dry:
            return
        would = dry.Would(
            system=self.name,
            method=method,
            url=masked(target),
            headers=addresses.masked_headers(headers),
            body=content.shown(),
        )
        if found is not None:
            found.append(would)
        entry = Logged(
            at=time.time(),
            method=method,
            path=masked(target.removeprefix(self.url)),
            status=0,
            ms=0,
            size=0,
            error="not sent (dry)",
        )
        self.log.append(entry)
        text = f"{self.name}: dry mode, {method} {masked(target)} was not sent"
        raise dry.NotSent("NotSent", text, kind="configuration", retryable=False, detail=msgspec.to_builtins(would))

    async def _paced(self) -> None:
        wait = self._bucket.take(self._monotonic())
        if wait > 0:
            await self._sleep(wait)
        wait = self.allowance.wait(self._monotonic())
        if wait > pacing.SPREAD_CAP_S:
            text = f"has no calls left for us; not asked again for {wait:.0f} s"
            raise ActionError("RateLimited", self._text(text), kind="unavailable", retry_after=wait)
        if wait > 0:
            await self._sleep(wait)
        left = self._circuit.refuses(self._monotonic())
        if left > 0:
            text = f"failed {self._circuit.failures} times in a row; not asked again for {left:.0f} s"
            raise ActionError("CircuitOpen", self._text(text), kind="unavailable", retry_after=left)

    def _broke(self) -> None:
        self._circuit.broke(self._monotonic())


def _decoded(data: bytes, type: type[T]) -> T:
    if type is str:
        return data.decode("utf-8", "replace")  # type: ignore[return-value]
    if type is bytes:
        return data  # type: ignore[return-value]
    if type is NoneType or (type is object and not data.strip()):
        return None  # type: ignore[return-value]
    return msgspec.json.decode(data, type=type, strict=False)


NoneType = type(None)


def _trust(ca: str, name: str) -> ssl.SSLContext | bool:
    """Certificates are always verified: against `ca` when given, else the well-known authorities."""
    if not ca:
        return True
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise wrong(name, f"ca {clean(ca, 100)!r} cannot be read as certificates ({clean(error, 80)})") from error


__all__ = [
    "BREAK_AFTER", "TRIES", "Answer", "ApiKey", "Auth", "Basic", "Bearer", "ClientCredentials", "HttpClient", "Logged",
    "NoneType", "NotModified", "Part", "Refusal", "Streamed",
]  # fmt: skip
