"""A proxy before a real or simulated server that misbehaves on order: for every request one `Fault` or none."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import Callable

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


def huge(size: int) -> Fault:
    return Fault(forward=False, status=200, body=b'"' + b"x" * size + b'"')


def bomb(size: int) -> Fault:
    """A small compressed answer that becomes `size` bytes."""
    return Fault(forward=False, status=200, headers=(("content-encoding", "gzip"),), body=gzip.compress(b" " * size))


_HOP = ("connection", "content-length", "host", "keep-alive", "transfer-encoding")
"""Headers of one connection; all others are passed on, both ways."""

Rule = Callable[[str, str], "Fault | None"]


class FaultProxy:
    """`rule(method, path)` decides; `seen` lists what came: (method, path, headers)."""

    def __init__(self, upstream: str, rule: Rule) -> None:
        self.upstream, self.rule = upstream, rule
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.url = ""

    async def __aenter__(self) -> FaultProxy:
        self._http = httpx.AsyncClient(base_url=self.upstream, timeout=20, trust_env=False)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._http.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.seen.append((method, path, headers))
        fault = self.rule(method, path) or Fault()
        status, answer, kept = fault.status or 200, fault.body or b"", list(fault.headers)
        if fault.forward:
            kept_in = {k: v for k, v in headers.items() if k not in _HOP}
            real = await self._http.request(method, path, content=body, headers=kept_in)
            if fault.body is None and not fault.status:
                status, answer = real.status_code, real.content
                kept += [(k, v) for k, v in real.headers.items() if k not in (*_HOP, "content-encoding")]
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.reset and fault.send is None:
            return _reset(writer)
        length = real.headers.get("content-length", "0") if method == "HEAD" and fault.forward else len(answer)
        lines = [f"HTTP/1.1 {status} X", f"content-length: {length}", *(f"{k}: {v}" for k, v in kept)]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + answer[: fault.send])
        await writer.drain()
        if fault.reset:
            await asyncio.sleep(0.02)
            return _reset(writer)
        return fault.send is None


def _reset(writer: asyncio.StreamWriter) -> bool:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False
