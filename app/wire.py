"""HTTP/1.1 over the engine's socket with nothing but the socket: for the first snapshot and the command line.

A request is one connection, answered and closed. Reads may be repeated a few times (an engine that is just being
replaced resets what was in flight); commands are repeated only with the id they carry, by the caller's will.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from app.attach import Unreachable, connect
from app.home import Home
from engine.contract.client import Refused
from engine.contract.common import Problem

T = TypeVar("T")
_TRIES = 3
_LARGEST = 256 * 1024 * 1024


def get(home: Home, path: str, kind: type[T], headers: dict[str, str] | None = None, *, timeout: float = 30.0) -> T:
    """A read, decoded. Raises `Refused` for a 4xx or 5xx, `Unreachable` when the engine can't be had."""
    for left in reversed(range(_TRIES)):
        try:
            status, body = _exchange(home, _head("GET", path, 0, headers), b"", timeout)
            return _decoded(status, body, kind)
        except (ConnectionResetError, BrokenPipeError, EOFError) as error:
            if not left:
                raise Unreachable(f"the engine at {home.socket} broke off: {error}") from error
            time.sleep(0.1)
        except TimeoutError as error:
            raise Unreachable(f"the engine at {home.socket} did not answer within {timeout:.0f} s") from error
    raise AssertionError("the last try returns or raises")


def post(
    home: Home, path: str, body: Any, kind: type[T], headers: dict[str, str] | None = None, *, timeout: float = 30.0
) -> T:
    """A command, sent once. A break after sending is told as what it is: perhaps done, safe to repeat with the same id."""
    return _post(home, path, msgspec.json.encode(body), kind, headers, timeout=timeout)


def post_text(
    home: Home, path: str, body: str, kind: type[T], headers: dict[str, str] | None = None, *, timeout: float = 60.0
) -> T:
    """A text to be looked at (a definition to check)."""
    return _post(home, path, body.encode("utf-8"), kind, headers, timeout=timeout)


def _post(
    home: Home,
    path: str,
    sent: bytes,
    kind: type[T],
    headers: dict[str, str] | None,
    *,
    timeout: float,
    method: str = "POST",
) -> T:
    try:
        status, answer = _exchange(home, _head(method, path, len(sent), headers), sent, timeout)
    except (OSError, EOFError) as error:
        raise Unreachable(
            f"the engine at {home.socket} broke off; the command may or may not be recorded: repeat it with the same --id"
        ) from error
    return _decoded(status, answer, kind)


def post_bytes(home: Home, path: str, body: bytes, headers: dict[str, str] | None = None) -> None:
    """Bytes as they are (keys that were typed). Raises `Refused`, `Unreachable`."""
    _post(home, path, body, object, headers, timeout=30.0)


def put_secret(home: Home, entry: str, value: bytes, headers: dict[str, str] | None = None) -> None:
    """Stores a secret in the engine's keyring: its bytes as they are, in the body alone."""
    _post(home, f"/v1/secrets/{quote(entry, safe='')}", value, object, headers, timeout=30.0, method="PUT")


def delete_secret(home: Home, entry: str, headers: dict[str, str] | None = None) -> None:
    _post(home, f"/v1/secrets/{quote(entry, safe='')}", b"", object, headers, timeout=30.0, method="DELETE")


def stream(home: Home, path: str, headers: dict[str, str] | None = None) -> Iterator[tuple[str, str, bytes]]:
    """Server-sent events as (event, id, data), until the engine says `bye` or the link ends."""
    for block in _blocks(lines(home, path, {"Accept": "text/event-stream", **(headers or {})})):
        name, ident, data = "message", "", []
        for line in block:
            key, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if key == b"event":
                name = value.decode("utf-8", "replace")
            elif key == b"id":
                ident = value.decode("utf-8", "replace")
            elif key == b"data":
                data.append(value)
        if name == "bye":
            return
        if data:
            yield name, ident, b"\n".join(data)


def lines(home: Home, path: str, headers: dict[str, str] | None = None, *, silence: float = 30.0) -> Iterator[bytes]:
    """The lines of a streamed answer. `silence` seconds without a byte (not even a heartbeat) are a lost link."""
    sock = connect(home, timeout=silence)
    try:
        sock.sendall(_head("GET", path, 0, headers))
        with sock.makefile("rb") as file:
            status, fields = _start(file)
            parts = _parts(file, fields)
            if status >= 400:
                _decoded(status, b"".join(parts), bytes)
            rest = b""
            for part in parts:
                *whole, rest = (rest + part).split(b"\n")
                yield from (line.removesuffix(b"\r") for line in whole)
            if rest:
                yield rest
    except TimeoutError as error:
        raise Unreachable(f"the engine at {home.socket} went silent") from error
    except (ConnectionResetError, BrokenPipeError, EOFError) as error:
        raise Unreachable(f"the engine at {home.socket} broke off") from error
    finally:
        sock.close()


def _exchange(home: Home, head: bytes, body: bytes, timeout: float) -> tuple[int, bytes]:
    with connect(home, timeout) as sock:
        with contextlib.suppress(BrokenPipeError):  # refused while we were still sending: the answer may be there
            sock.sendall(head + body)
        with sock.makefile("rb") as file:
            status, fields = _start(file)
            answer = b"".join(_parts(file, fields))
    return status, answer


def _head(method: str, path: str, length: int, headers: dict[str, str] | None) -> bytes:
    rows = [f"{method} {path} HTTP/1.1", "Host: engine", "Connection: close", f"Content-Length: {length}"]
    if length:
        rows.append("Content-Type: application/json")
    rows += [f"{key}: {value}" for key, value in (headers or {}).items()]
    head = "\r\n".join(rows)
    if "\n" in head.replace("\r\n", ""):
        raise ValueError("a header can't hold a line break")
    return (head + "\r\n\r\n").encode("latin-1", "replace")


def _start(file: Any) -> tuple[int, dict[str, str]]:
    first = file.readline(65_536)
    if not first.startswith(b"HTTP/1."):
        raise EOFError("no answer")
    fields = {}
    while (line := file.readline(65_536)) not in (b"\r\n", b""):
        key, _, value = line.decode("latin-1").partition(":")
        fields[key.strip().lower()] = value.strip()
    return int(first.split()[1]), fields


def _parts(file: Any, fields: dict[str, str]) -> Iterator[bytes]:
    if "chunked" in fields.get("transfer-encoding", ""):
        while size := int(file.readline(1024).split(b";")[0] or b"0", 16):
            part = file.read(size)
            if len(part) < size:
                raise EOFError("cut short")
            file.readline(16)
            yield part
        return
    length = int(fields.get("content-length", "0"))
    if length > _LARGEST:
        raise EOFError("an answer of that size is not the engine's")
    body = file.read(length)
    if len(body) < length:
        raise EOFError("cut short")
    yield body


def _decoded(status: int, body: bytes, kind: type[T]) -> T:
    if status < 400:
        return msgspec.json.decode(body or b"null", type=kind)
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        problem = Problem(code=f"http_{status}", reason=body[:200].decode("utf-8", "replace") or f"status {status}")
    raise Refused(problem, status)


def _blocks(rows: Iterator[bytes]) -> Iterator[list[bytes]]:
    block: list[bytes] = []
    for row in rows:
        if row:
            if not row.startswith(b":"):
                block.append(row)
        elif block:
            yield block
            block = []
