"""Files from a remote system onto disk: streamed, bounded, digest checked, going on where a broken transfer ended."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from msgspec import Struct

from connectors.answers import Refusal
from connectors.bodies import Sending
from connectors.calls import Streamed
from connectors.http import HttpClient
from engine.capabilities.ports import ActionError

TRIES = 6
BASE_S, CAP_S = 0.3, 10.0


class Downloaded(Struct, frozen=True, kw_only=True):
    """A file as it arrived. `digest` is `sha256:…` of its content."""

    bytes: int
    digest: str
    etag: str = ""
    media: str = ""


async def download(
    http: HttpClient,
    path: str,
    target: Path,
    *,
    limit_b: int,
    digest: str = "",
    told: Callable[[int, int], None] | None = None,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Downloaded:
    """Writes the content of `path` to `target` (mode 0600, never through a link). `told(done, of)` hears of progress.

    A broken stream is gone on with by `Range` and `If-Range` when the owner has an ETag, else from the start. With
    `digest` (`sha256:…`) other content is ActionError `DigestMismatch`; then, and on every other error, `target` is gone.
    """
    try:
        sending = Sending(params=params, headers=headers, limit_b=limit_b, accept="*/*")
        return await _fetched(http, path, target, digest, told, sleep, sending)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


async def _fetched(  # noqa: PLR0917
    http: HttpClient,
    path: str,
    target: Path,
    digest: str,
    told: Callable[[int, int], None] | None,
    sleep: Callable[[float], Awaitable[None]],
    sending: Sending,
) -> Downloaded:
    fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "r+b") as file:
        etag, had, limit_b = "", 0, sending["limit_b"]
        headers = {**(sending.get("headers") or {}), "accept-encoding": "identity"}
        for attempt in range(TRIES):
            resume = {"range": f"bytes={had}-", "if-range": etag} if had and etag else {}
            sending["headers"] = headers | resume
            try:
                async with http.streamed(path, **sending) as stream:
                    if stream.status != 206 or not _continues(stream, had):
                        file.seek(0)
                        file.truncate()
                    of = file.tell() + int(stream.headers.get("content-length", "0") or 0)
                    etag = _strong(stream.headers.get("etag", ""))
                    async for piece in stream.pieces():
                        file.write(piece)
                        if told is not None:
                            told(file.tell(), of)
                        if file.tell() > limit_b:
                            raise ActionError(
                                "AnswerTooLarge",
                                f"{http.name}: more than {limit_b} bytes",
                                kind="validation",
                                retryable=False,
                            )
                media = stream.headers.get("content-type", "").partition(";")[0][:100]
                break
            except ActionError as error:
                had = file.tell()
                if isinstance(error, Refusal) and error.status == 416 and had:
                    etag, had = "", 0  # there is nothing after what we have: begin again, to be sure of it
                    continue
                if not error.retryable or attempt == TRIES - 1:
                    raise
                wait = error.retry_after
                if wait is None:
                    wait = random.uniform(0, min(CAP_S, BASE_S * 2**attempt))
                if wait > CAP_S:
                    raise
                await sleep(wait)
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
        size = file.tell()
        file.seek(0)
        found = "sha256:" + (await asyncio.to_thread(hashlib.file_digest, file, "sha256")).hexdigest()
    if digest and found != digest:
        raise ActionError(
            "DigestMismatch",
            f"{http.name}: the content is {found[:19]}…, expected {digest[:19]}…",
            kind="validation",
            retryable=False,
        )
    return Downloaded(bytes=size, digest=found, etag=etag, media=media)


def _continues(stream: Streamed, had: int) -> bool:
    """Whether a partial answer begins where ours ends; the owner may have sent another range."""
    return stream.headers.get("content-range", "").startswith(f"bytes {had}-")


def _strong(etag: str) -> str:
    """Only a strong ETag names bytes; a weak one must not join two halves."""
    return "" if etag.startswith("W/") else etag[:500]
