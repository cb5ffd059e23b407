"""The listener for webhooks: a socket of its own, on loopback unless the settings say otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from engine.api.config import Settings
from engine.api.server import SocketError
from engine.api.webhooks import Asker, Hint, Teller, Webhooks
from engine.capabilities.events.rules import Limits
from engine.capabilities.hooks.sources import HookLimits, Receivers, Sources

Json = Any
log = logging.getLogger("quarterdeck.webhooks")


HEAD_S = 10.0
"""Seconds a connection may go without a request that has begun: one that drips its headers holds a place for no longer."""


class Impatient(H11Protocol):
    """HTTP as ever, and whoever says nothing whole for a while is hung up on."""

    _heard: object = None
    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look = self.loop.call_later(HEAD_S, self._still_there)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _still_there(self) -> None:
        """Bodies have a limit of their own (`Webhooks`): here counts whether a request began since the last look."""
        busy = self.cycle is not None and not self.cycle.response_complete
        if not busy and self.cycle is self._heard:
            self.transport.close()
            return
        self._heard = self.cycle
        self._look = self.loop.call_later(HEAD_S, self._still_there)


class HookServer(uvicorn.Server):
    """It ends when `stopping` says so, and leaves signals to the engine."""

    def __init__(self, app: Any, stopping: Callable[[], bool], certificate: str = "", key: str = "") -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Impatient,
                ws="none",
                lifespan="off",
                proxy_headers=False,
                server_header=False,
                access_log=False,
                log_config=None,
                timeout_graceful_shutdown=3,
                timeout_keep_alive=15,
                limit_concurrency=100,
                h11_max_incomplete_event_size=32 * 1024,
                ssl_certfile=certificate or None,
                ssl_keyfile=key or None,
            )
        )
        self._stopping = stopping

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The engine has its own."""
        yield

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._stopping()


def listen(port: int, address: str = "127.0.0.1") -> socket.socket:
    """A bound socket. Raises OSError."""
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def hook_server(
    settings: Settings, config: Path, sources: Sources, teller: Teller, asker: Asker, *, events: Limits,
    pack: Mapping[str, Json], receivers: Receivers, stopping: Callable[[], bool],
    hint: Hint = lambda name: None,
) -> tuple[HookServer, socket.socket] | None:  # fmt: skip
    """The listener and its socket, when the settings name a port. Raises SocketError."""
    sources.bind(settings.webhooks, receivers, events, HookLimits.of(pack))
    if not settings.webhook_port:
        return None
    tls = settings.webhook_tls
    files = ("", "") if tls is None else (str(config / tls.certificate), str(config / tls.key))
    for file in files:
        if file and not Path(file).is_file():
            raise SocketError(f"webhook_tls: {file} is not there")
    where = f"{settings.webhook_address}:{settings.webhook_port}"
    try:
        sock = listen(settings.webhook_port, settings.webhook_address)
    except OSError as error:
        raise SocketError(f"webhook_port: {where} can't be had: {error.strerror}") from error
    sources.address = f"{'https' if tls else 'http'}://{where}"
    server = HookServer(Webhooks(teller, sources, asker, hint).application(), stopping, *files)
    log.info("webhooks at %s", sources.address)
    return server, sock
