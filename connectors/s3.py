"""S3 and what speaks like it (MinIO, Ceph, cloud stores): what lies there is listed and fetched as it was listed. Writing
stands in `connectors.s3_objects`.

Requests are signed (AWS signature version 4) over their headers, path-style, to one origin; no redirect is followed, no
proxy or credential is taken from the environment. A transfer names the ETag that was listed, so what arrives is what was
seen; a broken one goes on where it ended.
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from connectors import s3_answers as answers
from connectors.aws_signature import EMPTY, query_of, signed
from connectors.http import Logged
from connectors.remote_text import clean
from connectors.s3_answers import Answer, place, refused
from engine.capabilities import dry
from engine.capabilities.ports import ActionError, Clock, Json, Param, Stored

TRIES = 5
BASE_S, CAP_S = 0.3, 10.0
MAX_LIST_B = 8 << 20
PAGE = 1000
_AGAIN = frozenset({429, 500, 502, 503, 504})


class S3:
    """Implements the port Recordings. `access_key` and `secret` may be empty: then nothing is signed."""

    def __init__(
        self, url: str, *, access_key: str = "", secret: Callable[[], str] | None = None, region: str = "us-east-1", ca: str = "",
        allow_plaintext: bool = False, timeout_s: float = 30.0, transport: httpx.AsyncBaseTransport | None = None,
        proxy: str = "", dry_only: bool = False,
        wall: Callable[[], float] = time.time, sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self.url = _origin(url, allow_plaintext)
        self._access, self._secret, self._region, self._ca = access_key, secret, region, ca
        self._timeout, self._transport, self._wall, self._sleep = timeout_s, transport, wall, sleep
        self._proxy, self._dry_only = proxy, dry_only
        self._client: httpx.AsyncClient | None = None
        self.calls: deque[Logged] = deque(maxlen=200)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def check(self) -> str:
        answer = await self._answered("GET", "/", {})
        if answer.status in (401, 403):
            raise refused(answer.status, self.url, answer.body)
        server = clean(answer.headers.get("server", ""), 60)
        return f"object store {urlsplit(self.url).hostname}{f' ({server})' if server else ''}"

    async def list(self, uri: str, *, limit: int) -> Sequence[Stored]:
        bucket, prefix = place(uri)
        found: list[Stored] = []
        token = ""
        while len(found) <= limit:
            page, token = await self._page(bucket, prefix, token)
            found += [one for one in page if not one.uri.endswith("/")]
            if not token:
                break
        return found[: limit + 1]

    async def _page(self, bucket: str, prefix: str, token: str) -> tuple[Sequence[Stored], str]:
        """One page of what begins so, and how to ask for the next one (empty: there is none)."""
        query = {"list-type": "2", "prefix": prefix, "max-keys": str(PAGE)} | (
            {"continuation-token": token} if token else {}
        )
        answer = await self._answered("GET", f"/{bucket}", query)
        if answer.status != 200:
            raise refused(answer.status, f"s3://{bucket}/{prefix}", answer.body)
        root = answers.read(answer.body)
        every = [answers.stored(bucket, said) for said in answers.named(root, "Contents")]
        return [one for one in every if one is not None], answers.text_of(root, "NextContinuationToken")

    async def fetch(self, stored: Stored, target: Path, told: Callable[[int, int], None] | None = None) -> None:
        bucket, key = place(stored.uri)
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as stream:
            for attempt in range(TRIES):
                try:
                    await self._transfer(bucket, key, stored, stream, told)
                except (httpx.TransportError, _Again) as error:
                    if attempt + 1 == TRIES:
                        raise ActionError(
                            "Unreachable", f"{clean(stored.uri, 200)}: {clean(str(error), 120)}", kind="communication"
                        ) from error
                    await self._sleep(min(CAP_S, BASE_S * 2**attempt) * random.random())
                    continue
                break
            stream.flush()
            os.fsync(stream.fileno())

    async def _transfer(
        self, bucket: str, key: str, stored: Stored, stream: Any, told: Callable[[int, int], None] | None
    ) -> None:
        """One attempt, from where the last one ended."""
        have = stream.tell()
        if have >= stored.bytes:
            return
        headers = {"if-match": stored.etag} | ({"range": f"bytes={have}-"} if have else {})
        path, began = path_of(bucket, key), time.monotonic()
        client = self._open()
        async with client.stream("GET", self.url + path, headers=self._signed("GET", path, {}, headers)) as answer:
            self._called("GET", path, answer.status_code, began, stored.bytes - have)
            if answer.status_code == 412 or (answer.status_code in (200, 206) and not _same(answer, stored)):
                raise ActionError(
                    "ContentChanged",
                    f"{clean(stored.uri, 200)} is no longer what was listed",
                    kind="conflict",
                    retryable=False,
                )
            if answer.status_code in _AGAIN:
                raise _Again(f"answered {answer.status_code}")
            if answer.status_code != (206 if have else 200):
                raise refused(answer.status_code, stored.uri)
            async for piece in answer.aiter_raw():  # as it comes: what arrived before a break is kept
                have += len(piece)
                if have > stored.bytes:
                    raise ActionError(
                        "ContentChanged", f"{clean(stored.uri, 200)} is longer than it was listed", retryable=False
                    )
                await asyncio.to_thread(stream.write, piece)
                if told is not None:
                    told(have, stored.bytes)
        if have < stored.bytes:
            raise _Again("ended too early")

    async def _answered(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        payload: str = EMPTY,
    ) -> Answer:
        """A small answer, asked for again while that helps: whatever is asked here, asking twice is asking once. A store that
        is silent is not asked again and again: who waits for it is told after one time-out.
        """
        text = query_of(query)
        if method not in ("GET", "HEAD"):
            self._unless_dry(method, path, len(body))
        until = time.monotonic() + self._timeout
        for attempt in range(TRIES):
            began = time.monotonic()
            try:
                async with self._open().stream(
                    method,
                    f"{self.url}{path}{'?' + text if text else ''}",
                    headers=self._signed(method, path, query, headers or {}, payload),
                    content=body or None,
                ) as answer:
                    read = bytearray()
                    async for piece in answer.aiter_raw():
                        read += piece
                        if len(read) > MAX_LIST_B:
                            raise ActionError(
                                "BadAnswer", "the object store's answer is larger than it can be", retryable=False
                            )
                    self._called(method, path, answer.status_code, began, len(read))
                    if answer.status_code not in _AGAIN:
                        return Answer(answer.status_code, bytes(read), dict(answer.headers))
                    why = f"answered {answer.status_code}"
            except httpx.TransportError as error:
                why = type(error).__name__
                self._called(method, path, 0, began, 0, why)
            if attempt + 1 == TRIES or time.monotonic() >= until:
                break
            await self._sleep(min(CAP_S, BASE_S * 2**attempt) * random.random())
        host = clean(urlsplit(self.url).netloc, 100)
        raise ActionError("Unreachable", f"the S3 store {host} cannot be reached: {why}", kind="communication")

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            verify: Any = ssl.create_default_context(cafile=self._ca or None)
            self._client = httpx.AsyncClient(
                timeout=httpx.Timeout(self._timeout, connect=5.0), follow_redirects=False, trust_env=False, transport=self._transport,
                verify=verify, proxy=self._proxy or None, headers={"accept-encoding": "identity", "user-agent": "quarterdeck"},
            )  # fmt: skip
        return self._client

    def _unless_dry(self, method: str, path: str, size: int) -> None:
        """In dry mode a write is written down and not sent. Raises `NotSent`."""
        sink = dry.sink()
        if sink is None and not self._dry_only:
            return
        would = dry.Would(
            system="object store", method=method, url=self.url + path, body=f"{size} bytes" if size else None
        )
        if sink is not None:
            sink.append(would)
        self._called(method, path, 0, time.monotonic(), 0, "not sent")
        detail = {"method": method, "url": would.url}
        raise dry.NotSent(
            "NotSent", f"dry mode: {method} {clean(path, 200)} was not sent", retryable=False, detail=detail
        )

    def _called(  # noqa: PLR0917
        self, method: str, path: str, status: int, began: float, size: int, error: str = ""
    ) -> None:
        ms = round((time.monotonic() - began) * 1000, 1)
        self.calls.append(
            Logged(at=time.time(), method=method, path=clean(path, 200), status=status, ms=ms, size=size, error=error)
        )

    def _signed(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], payload: str = EMPTY
    ) -> dict[str, str]:
        if not self._access or self._secret is None:
            return dict(headers)
        return signed(
            method,
            urlsplit(self.url).netloc,
            path,
            query,
            headers,
            access_key=self._access,
            secret=self._secret(),
            region=self._region,
            at=self._wall(),
            payload=payload,
        )


class _Again(Exception):
    """Worth another try."""


def path_of(bucket: str, key: str) -> str:
    return f"/{bucket}/{quote(key, safe='/-_.~')}"


def _origin(url: str, plaintext: bool) -> str:
    """The origin without path, user or query. Raises ActionError `NotConfigured`."""
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    bad = parts.username or parts.query or parts.fragment or parts.path not in ("", "/") or not parts.hostname
    if bad or parts.scheme not in ("http", "https"):
        raise ActionError(
            "NotConfigured", "s3: url is an origin such as https://store.example", kind="configuration", retryable=False
        )
    if parts.scheme == "http" and not (local or plaintext):
        raise ActionError(
            "NotConfigured", "s3: http to another machine needs allow_plaintext", kind="configuration", retryable=False
        )
    return f"{parts.scheme}://{parts.netloc}"


def _same(answer: httpx.Response, stored: Stored) -> bool:
    tag = answer.headers.get("etag", "")
    return not stored.etag or not tag or tag.strip('"') == stored.etag.strip('"')


class S3Connector:
    """Settings: `url`, `access_key` and the name of the `secret`; without them nothing is signed."""

    kind = "s3"
    title = "S3-compatible object store"
    docs = (
        "Amazon S3 REST API of 2006-03-01, path-style, signature version 4. Tested against moto server 5.2.5, which judges "
        "no signatures; those are tested against the examples AWS publishes."
    )
    capabilities = ("recordings", "objects")
    needs: tuple[str, ...] = ()
    fields: dict[str, Param] = {
        "url": Param(type="string", description="origin of the store, e.g. https://s3.eu-central-1.amazonaws.com"),
        "secret": Param(
            type="string", required=False, description="name of the keyring entry of the secret access key"
        ),
        "access_key": Param(type="string", required=False, description="access key id"),
        "region": Param(type="string", required=False, description="region of the signature (us-east-1)"),
        "mirror": Param(type="string", required=False, description="what is mirrored, e.g. s3://bucket/prefix"),
        "part_mb": Param(type="integer", required=False, description="size of a part of a large upload (16, least 5)"),
        "ca": Param(type="string", required=False, description="file of certificate authorities to trust"),
        "allow_plaintext": Param(type="boolean", required=False, description="http to another machine"),
        "timeout_s": Param(type="number", required=False, description="seconds without a byte (30)"),
        "proxy": Param(type="string", required=False, description="forward proxy, e.g. http://proxy.example.com:3128"),
        "dry": Param(type="boolean", required=False, description="writes are logged and refused instead of sent"),
    }

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        from connectors.s3_objects import ObjectStore

        name = str(config.get("secret", ""))
        store = ObjectStore(
            str(config["url"]), access_key=str(config.get("access_key", "")), secret=(lambda: secret(name)) if name else None,
            region=str(config.get("region", "us-east-1")), ca=str(config.get("ca", "")),
            allow_plaintext=config.get("allow_plaintext") is True, timeout_s=float(config.get("timeout_s", 30.0)),
            mirror=str(config.get("mirror", "")), part_b=int(config.get("part_mb", 16)) << 20,
            proxy=str(config.get("proxy", "")), dry_only=config.get("dry") is True,
        )  # fmt: skip
        return {"recordings": store, "objects": store}


connector = S3Connector()
