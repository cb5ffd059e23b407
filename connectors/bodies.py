"""What is sent: JSON, forms, raw bytes, files and multipart, each made anew for every try, with its length known."""

from __future__ import annotations

import json as plain_json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import Struct

from connectors.addresses import secret
from connectors.remote_text import clean

BLOCK = 256 << 10


class Part(Struct, frozen=True, kw_only=True):
    """A part of a multipart body: a field (`filename` empty) or a file, from memory or from disk."""

    name: str
    content: bytes | Path
    filename: str = ""
    media: str = ""


class Body(Struct, frozen=True, kw_only=True):
    """A body with its media type. `pieces` are sent in order; a path stands for that file's content."""

    media: str = ""
    pieces: tuple[bytes | Path, ...] = ()

    def headers(self) -> dict[str, str]:
        if not self.pieces:
            return {}
        size = sum(p.stat().st_size if isinstance(p, Path) else len(p) for p in self.pieces)
        return {"content-length": str(size)} | ({"content-type": self.media} if self.media else {})

    def content(self) -> bytes | AsyncIterator[bytes] | None:
        """What httpx sends, fresh for each try."""
        if not self.pieces:
            return None
        if all(isinstance(p, bytes) for p in self.pieces):
            return b"".join(p for p in self.pieces if isinstance(p, bytes))
        return _streamed(self.pieces)

    def shown(self) -> Any:
        """The body for people: JSON and forms with secret-sounding values masked, the rest by size."""
        only = self.pieces[0] if len(self.pieces) == 1 else None
        if isinstance(only, bytes) and "json" in self.media:
            try:
                return masked(plain_json.loads(only))
            except ValueError:
                return f"{len(only)} bytes"
        if isinstance(only, bytes) and "urlencoded" in self.media:
            return {k: "***" if secret(k) else clean(v, 500) for k, v in parse_qsl(only.decode(), True)}
        size = self.headers().get("content-length", "")
        return f"{size} bytes of {self.media or 'unknown type'}" if size else None


class Sending(TypedDict, total=False):
    """What a call may carry beside method, path and type; see `HttpClient.send`."""

    params: Mapping[str, str] | Sequence[tuple[str, str]] | None
    json: Any
    form: Mapping[str, str] | None
    content: bytes | Path | None
    parts: Sequence[Part] | None
    media: str
    headers: Mapping[str, str] | None
    accept: str
    if_match: str
    if_none_match: str
    idempotency_key: str
    authenticated: bool
    timeout_s: float
    limit_b: int
    reads: bool


def body(sending: Sending) -> Body:
    """The body `sending` asks for; at most one of json, form, content, parts may be there."""
    given = [k for k in ("json", "form", "content", "parts") if sending.get(k) is not None]
    if len(given) > 1:
        raise TypeError(f"a call has one body, not {' and '.join(given)}")
    media = sending.get("media", "")
    if sending.get("json") is not None:
        return Body(media=media or "application/json", pieces=(msgspec.json.encode(sending["json"]),))
    if (form := sending.get("form")) is not None:
        return Body(media=media or "application/x-www-form-urlencoded", pieces=(urlencode(form).encode(),))
    if (content := sending.get("content")) is not None:
        return Body(media=media or "application/octet-stream", pieces=(content,))
    if (parts := sending.get("parts")) is not None:
        return multipart(parts)
    return Body()


def multipart(parts: Sequence[Part], boundary: str = "") -> Body:
    """multipart/form-data (RFC 7578). Names cannot break out of their header: quotes and line ends are percent-encoded."""
    boundary = boundary or f"quarterdeck-{secrets.token_hex(16)}"
    pieces: list[bytes | Path] = []
    for part in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(part.name)}"'
        if part.filename:
            head += f'; filename="{_quoted(part.filename)}"'
        if part.media or part.filename:
            head += f"\r\nContent-Type: {_token(part.media) or 'application/octet-stream'}"
        pieces += [head.encode() + b"\r\n\r\n", part.content, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return Body(media=f"multipart/form-data; boundary={boundary}", pieces=tuple(pieces))


def masked(value: Any, depth: int = 0) -> Any:
    """JSON for people: values of secret-sounding fields masked, long texts and lists cut."""
    if depth > 8:
        return "…"
    if isinstance(value, dict):
        return {
            clean(k, 80): "***" if secret(str(k)) and v not in (None, "") else masked(v, depth + 1)
            for k, v in list(value.items())[:100]
        }
    if isinstance(value, list):
        return [masked(v, depth + 1) for v in value[:50]] + (["…"] if len(value) > 50 else [])
    return clean(value, 500) if isinstance(value, str) else value


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _token(media: str) -> str:
    return "".join(c for c in media if c.isprintable())


async def _streamed(pieces: Sequence[bytes | Path]) -> AsyncIterator[bytes]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        with piece.open("rb") as stream:
            while block := stream.read(BLOCK):
                yield block
