"""Webhooks: other systems tell events over HTTP, on a listener of its own on loopback (a proxy in front of it does TLS).

Rules:
1. Each source has a secret in the keyring; a request proves it by `Authorization: Bearer` or by an HMAC-SHA256 of its body
   (`X-Hub-Signature-256: sha256=…`). Compared in constant time; who does not know it learns nothing, not even which sources
   there are.
2. An answer of 202 means on disk. The sender's own id (or a digest of the body) makes a repeat harmless, as senders repeat.
3. A CloudEvent (structured or binary, HTTP binding 1.0.2) comes in as what it says; any other JSON as `webhook.<source>`
   from the source `webhook/<source>`, which `triggers: [{webhook: <source>}]` waits for.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import unquote

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from engine.api.config import WebhookSettings
from engine.capabilities.events.envelope import BadEvent, Incoming, taken
from engine.capabilities.events.rules import Limits
from engine.capabilities.ports import ActionError
from engine.store.errors import StoreError
from engine.store.records import Actor

Json = Any
log = logging.getLogger("quarterdeck.webhooks")
LARGEST = 256 * 1024
"""Bytes a webhook may say."""
DEEPEST = 32
PER_S, BURST = 50.0, 200.0
"""Requests of one source a second, and at once."""
ID_HEADERS = ("webhook-id", "x-github-delivery", "x-gitlab-event-uuid", "x-request-id", "idempotency-key")
STRUCTURED = "application/cloudevents+json"
_ID = re.compile(r"[\x21-\x7e]{1,200}")


class Teller(Protocol):
    """Who takes an event in (the host)."""

    async def publish(
        self, event: str, data: dict[str, Json], *, id: str, actor: Any, source: str, subject: str = "", cause: str = ""
    ) -> Any: ...


class Webhooks:
    """The sources that may tell. `secret` gives a keyring entry by name."""

    def __init__(
        self, teller: Teller, sources: Mapping[str, WebhookSettings], secret: Callable[[str], str], limits: Limits
    ) -> None:
        self._teller, self._sources, self._secret, self._limits = teller, sources, secret, limits
        self._left: dict[str, tuple[float, float]] = {}

    def application(self) -> Starlette:
        return Starlette(routes=[Route("/hooks/{source}", self.take, methods=["POST"])])

    async def take(self, request: Request) -> Response:
        """One event."""
        name = request.path_params["source"]
        try:
            body = await _body(request)
        except ClientDisconnect:
            return _answer(400, "the body was cut short")
        if body is None:
            return _answer(413, f"at most {LARGEST} bytes")
        settings = self._sources.get(name)
        if settings is None or not self._proven(settings, request, body):
            return _answer(401, "who are you?")
        if not self._room(name):
            return _answer(429, "too much at once", {"retry-after": "1"})
        try:
            event = self._read(name, request, body)
        except BadEvent as error:
            return _answer(422, str(error)[:300])
        actor = Actor(kind="connector", id=f"webhook:{name}", via="webhook")
        try:
            told = await self._teller.publish(
                event.event,
                event.data,
                id=event.id,
                actor=actor,
                source=event.source,
                subject=event.subject,
                cause=event.cause,
            )
        except StoreError as error:  # the sender tries again; nothing was taken
            log.warning("an event of %s was not taken: %s", name, error)
            return _answer(503, "can't be recorded now", {"retry-after": "30"})
        return _answer(202, "", body={"event": event.event, "repeated": bool(told.repeated)})

    def _proven(self, settings: WebhookSettings, request: Request, body: bytes) -> bool:
        try:
            secret = self._secret(settings.secret).encode()
        except ActionError as error:
            log.error("the secret of a webhook can't be read: %s", error.message)
            return False
        if not secret:
            return False
        bearer = request.headers.get("authorization", "")
        if bearer.startswith("Bearer "):
            return hmac.compare_digest(bearer[7:].strip().encode(), secret)
        signature = request.headers.get("x-hub-signature-256", "")
        expected = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(signature.encode(), expected.encode())

    def _room(self, name: str) -> bool:
        """A token bucket per source."""
        now = time.monotonic()
        left, at = self._left.get(name, (BURST, now))
        left = min(BURST, left + (now - at) * PER_S)
        self._left[name] = (max(0.0, left - 1.0), now)
        return left >= 1.0

    def _read(self, name: str, request: Request, body: bytes) -> Incoming:
        """Raises BadEvent."""
        try:
            said = msgspec.json.decode(body) if body else {}
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadEvent(f"not JSON: {error}") from error
        if _deep(said):
            raise BadEvent(f"lists and objects nest deeper than {DEEPEST}")
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media == STRUCTURED:
            return taken(said, self._limits)
        if "ce-specversion" in request.headers:
            attributes = {key[3:]: unquote(value) for key, value in request.headers.items() if key.startswith("ce-")}
            return taken({**attributes, "data": said}, self._limits)
        given = next((request.headers[header] for header in ID_HEADERS if header in request.headers), "")
        id_ = given if _ID.fullmatch(given) else "sha256:" + hashlib.sha256(body).hexdigest()
        data = said if isinstance(said, dict) else {"value": said}
        return Incoming(event=f"webhook.{name}", id=id_, source=f"webhook/{name}", subject="", data=data)


class HookServer(uvicorn.Server):
    """The listener. It ends when `stopping` says so, and leaves signals to the engine."""

    def __init__(self, app: Any, stopping: Callable[[], bool]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                ws="none",
                lifespan="off",
                proxy_headers=False,
                server_header=False,
                access_log=False,
                log_config=None,
                timeout_graceful_shutdown=3,
                limit_concurrency=100,
            )
        )
        self._stopping = stopping

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The engine has its own."""
        yield

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._stopping()


def listen(port: int) -> socket.socket:
    """Loopback alone, whatever stands in front of it. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock


async def _body(request: Request) -> bytes | None:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST:
            return None
        parts.append(part)
    return b"".join(parts)


def _deep(value: Json) -> bool:
    layer = [value]
    for _ in range(DEEPEST):
        layer = [
            inner
            for each in layer
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not layer:
            return False
    return any(isinstance(each, dict | list) for each in layer)


def _answer(
    status: int, reason: str, headers: dict[str, str] | None = None, *, body: dict[str, Json] | None = None
) -> Response:
    said = body if body is not None else {"reason": reason}
    return Response(msgspec.json.encode(said), status, headers, "application/json")
