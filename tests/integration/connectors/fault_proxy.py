"""A proxy before a real or simulated server that misbehaves on order: for every request one `Fault` or none.

It can also be cut off (`partition`), speak TLS with any certificate, and call a hook when the owner has acted and before
its answer is passed on: the moment in which a caller may die without knowing.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import inspect
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from msgspec import Struct


class Fault(Struct, frozen=True, kw_only=True):
    """`forward`: the server gets the request (and acts on it) before anything goes wrong."""

    forward: bool = True
    delay: float = 0.0
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    reset: bool = False
    """End the connection by RST: after `send` bytes of the answer when given, else before any."""
    send: int | None = None
    """How much of the answer is sent before the connection ends."""
    drip: float = 0.0
    """Slow loris: a byte of the answer every so many seconds, its head at once."""


def huge(size: int) -> Fault:
    return Fault(forward=False, status=200, body=b'"' + b"x" * size + b'"')


def bomb(size: int) -> Fault:
    """A small compressed answer that becomes `size` bytes."""
    return Fault(forward=False, status=200, headers=(("content-encoding", "gzip"),), body=gzip.compress(b" " * size))


_HOP = ("connection", "content-length", "host", "keep-alive", "transfer-encoding")
"""Headers of one connection; all others are passed on, both ways."""

Rule = Callable[[str, str], "Fault | None"]
Answered = Callable[[str, str, int], Any]
"""Called with method, path and the owner's status when it has acted; True: the answer is never passed on."""


class FaultProxy:
    """`rule(method, path)` decides; `seen` lists what came: (method, path, headers); `acted` what the owner answered with
    success: (method, path). Links to the owner in its answers lead through the proxy."""

    def __init__(
        self,
        upstream: str,
        rule: Rule = lambda method, path: None,
        *,
        answered: Answered | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(upstream)
        self.upstream, self.rule, self.answered, self._tls = f"{parts.scheme}://{parts.netloc}", rule, answered, tls
        self._path = parts.path.rstrip("/")
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.acted: list[tuple[str, str]] = []
        self.url, self._port = "", 0
        self._cut: Literal["", "drop", "refuse"] = ""
        self._healed = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> FaultProxy:
        self._http = httpx.AsyncClient(base_url=self.upstream, timeout=30, trust_env=False)
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._healed.set()
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._http.aclose()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]
        self.origin = f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"
        self.url = self.origin + self._path

    @contextlib.asynccontextmanager
    async def partition(self, how: Literal["drop", "refuse"] = "drop") -> AsyncIterator[None]:
        """Nothing comes through: `drop`, no answer and no end to any connection; `refuse`, all ended and none taken."""
        await self.cut(how)
        try:
            yield
        finally:
            await self.heal()

    async def cut(self, how: Literal["drop", "refuse"] = "drop") -> None:
        self._cut = how
        self._healed.clear()
        if how == "refuse":
            self._server.close()
            for writer in list(self._open):
                _reset(writer)

    async def heal(self) -> None:
        refused, self._cut = self._cut == "refuse", ""
        self._healed.set()
        if refused:
            await self._listen()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, httpx.HTTPError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if self._cut:  # what is sent into a partition is lost, and so is what would come back
            await self._healed.wait()
            return _reset(writer)
        self.seen.append((method, path, headers))
        fault = self.rule(method, path) or Fault()
        status, answer, kept = fault.status or 200, fault.body or b"", list(fault.headers)
        if fault.forward:
            kept_in = {k: v.replace(self.origin, self.upstream) for k, v in headers.items() if k not in _HOP}
            real = await self._http.request(method, path, content=body, headers=kept_in)
            if real.status_code < 400:
                self.acted.append((method, path))
            if self.answered is not None:
                ended = self.answered(method, path, real.status_code)
                if await ended if inspect.isawaitable(ended) else ended:
                    return _reset(writer)
            if self._cut:
                await self._healed.wait()
                return _reset(writer)
            if fault.body is None and not fault.status:
                status, answer = real.status_code, real.content
                if "json" in real.headers.get("content-type", ""):
                    answer = answer.replace(self.upstream.encode(), self.origin.encode())
                passed = ((k, v) for k, v in real.headers.items() if k not in (*_HOP, "content-encoding"))
                kept += [(k, v.replace(self.upstream, self.origin)) for k, v in passed]
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.reset and fault.send is None:
            return _reset(writer)
        length = real.headers.get("content-length", "0") if method == "HEAD" and fault.forward else len(answer)
        lines = [f"HTTP/1.1 {status} X", f"content-length: {length}", *(f"{k}: {v}" for k, v in kept)]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        if fault.drip:
            return await _dripped(writer, answer[: fault.send], fault.drip)
        writer.write(answer[: fault.send])
        await writer.drain()
        if fault.reset:
            await asyncio.sleep(0.02)
            return _reset(writer)
        return fault.send is None


async def _dripped(writer: asyncio.StreamWriter, answer: bytes, seconds: float) -> bool:
    for at in range(len(answer)):
        writer.write(answer[at : at + 1])
        await writer.drain()
        await asyncio.sleep(seconds)
    return False


def _reset(writer: asyncio.StreamWriter) -> bool:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False
