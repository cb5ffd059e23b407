"""S3 and what speaks like it (MinIO, Ceph, cloud stores): recordings are listed and fetched, nothing is ever written.

Requests are signed (AWS signature version 4) over their headers, path-style, to one origin; no redirect is followed, no
proxy or credential is taken from the environment. A transfer names the ETag that was listed, so what arrives is what was
seen; a broken one goes on where it ended.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import random
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

import httpx
from msgspec import Struct

from connectors.remote_text import clean
from engine.capabilities.ports import ActionError, Clock, Json, Param, Stored

TRIES = 5
BASE_S, CAP_S = 0.3, 10.0
MAX_LIST_B = 8 << 20
PAGE = 1000
EMPTY = hashlib.sha256(b"").hexdigest()
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NAMESPACE = re.compile(r"^\{[^}]*\}")
_AGAIN = frozenset({429, 500, 502, 503, 504})


class S3:
    """Implements the port Recordings. `access_key` and `secret` may be empty: then nothing is signed."""

    def __init__(
        self, url: str, *, access_key: str = "", secret: Callable[[], str] | None = None, region: str = "us-east-1", ca: str = "",
        allow_plaintext: bool = False, timeout_s: float = 30.0, transport: httpx.AsyncBaseTransport | None = None,
        wall: Callable[[], float] = time.time, sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self.url = _origin(url, allow_plaintext)
        self._access, self._secret, self._region, self._ca = access_key, secret, region, ca
        self._timeout, self._transport, self._wall, self._sleep = timeout_s, transport, wall, sleep
        self._client: httpx.AsyncClient | None = None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def check(self) -> str:
        answer = await self._answered("GET", "/", {})
        return f"object store {urlsplit(self.url).hostname} answers {answer.status}"

    async def list(self, uri: str, *, limit: int) -> Sequence[Stored]:
        bucket, prefix = _place(uri)
        found: list[Stored] = []
        token = ""
        while len(found) <= limit:
            query = {"list-type": "2", "prefix": prefix, "max-keys": str(PAGE)} | (
                {"continuation-token": token} if token else {}
            )
            answer = await self._answered("GET", f"/{bucket}", query)
            if answer.status != 200:
                raise _refused(answer.status, f"s3://{bucket}/{prefix}")
            root = _xml(answer.body)
            for entry in root.iter():
                if _tag(entry) == "Contents":
                    stored = _stored(bucket, entry)
                    if stored is not None and not stored.uri.endswith("/"):
                        found.append(stored)
            token = next((one.text or "" for one in root.iter() if _tag(one) == "NextContinuationToken"), "")
            if not token:
                break
        return found[: limit + 1]

    async def fetch(self, stored: Stored, target: Path, told: Callable[[int, int], None] | None = None) -> None:
        bucket, key = _place(stored.uri)
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
        path = f"/{bucket}/{quote(key, safe='/-_.~')}"
        client = self._open()
        async with client.stream("GET", self.url + path, headers=self._signed("GET", path, {}, headers)) as answer:
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
                raise _refused(answer.status_code, stored.uri)
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

    async def _answered(self, method: str, path: str, query: Mapping[str, str]) -> _Answer:
        """A small answer, asked for again while that helps."""
        for attempt in range(TRIES):
            try:
                headers = self._signed(method, path, query, {})
                text = _query(query)
                async with self._open().stream(
                    method, f"{self.url}{path}{'?' + text if text else ''}", headers=headers
                ) as answer:
                    body = bytearray()
                    async for piece in answer.aiter_raw():
                        body += piece
                        if len(body) > MAX_LIST_B:
                            raise ActionError(
                                "BadAnswer", "the object store's answer is larger than it can be", retryable=False
                            )
                    if answer.status_code not in _AGAIN:
                        return _Answer(answer.status_code, bytes(body))
                    why = f"answered {answer.status_code}"
            except httpx.TransportError as error:
                why = type(error).__name__
            if attempt + 1 < TRIES:
                await self._sleep(min(CAP_S, BASE_S * 2**attempt) * random.random())
        raise ActionError("Unreachable", f"the object store: {why}", kind="communication")

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            verify: Any = ssl.create_default_context(cafile=self._ca or None)
            self._client = httpx.AsyncClient(
                timeout=httpx.Timeout(self._timeout, connect=5.0), follow_redirects=False, trust_env=False, transport=self._transport,
                verify=verify, headers={"accept-encoding": "identity"},
            )  # fmt: skip
        return self._client

    def _signed(self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, str]:
        if not self._access or self._secret is None:
            return dict(headers)
        host = urlsplit(self.url).netloc
        return signed(
            method,
            host,
            path,
            query,
            headers,
            access_key=self._access,
            secret=self._secret(),
            region=self._region,
            at=self._wall(),
        )


class _Answer(Struct, frozen=True):
    status: int
    body: bytes


class _Again(Exception):
    """Worth another try."""


def signed(
    method: str, host: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], *, access_key: str, secret: str,
    region: str, at: float,
) -> dict[str, str]:  # fmt: skip
    """The headers with an AWS signature version 4 (docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).

    `path` is percent-encoded already; the body is empty; `at` is UTC epoch seconds.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    every = {k.lower(): v.strip() for k, v in headers.items()} | {
        "host": host,
        "x-amz-content-sha256": EMPTY,
        "x-amz-date": stamp,
    }
    names = ";".join(sorted(every))
    lines = "".join(f"{name}:{every[name]}\n" for name in sorted(every))
    canonical = "\n".join((method, path, _query(query), lines, names, EMPTY))
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{secret}".encode()
    for part in (stamp[:8], region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    del every["host"]
    return every | {
        "authorization": f"AWS4-HMAC-SHA256 Credential={access_key}/{scope},SignedHeaders={names},Signature={signature}"
    }


def _query(query: Mapping[str, str]) -> str:
    return "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted(query.items()))


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


def _place(uri: str) -> tuple[str, str]:
    """Bucket and key or prefix of `s3://bucket/key`. Raises ActionError `BadFolder`."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not _BUCKET.fullmatch(bucket) or len(key.encode()) > 1024:
        raise ActionError(
            "BadFolder", f"{clean(uri, 200)} is not s3://bucket/prefix", kind="validation", retryable=False
        )
    return bucket, key


def _xml(body: bytes) -> ElementTree.Element:
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise ActionError("BadAnswer", "the object store's answer declares entities", retryable=False)
    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise ActionError("BadAnswer", "the object store's answer is no XML") from error


def _tag(element: ElementTree.Element) -> str:
    return _NAMESPACE.sub("", element.tag)


def _stored(bucket: str, entry: ElementTree.Element) -> Stored | None:
    """One entry of a listing; None when it makes no sense."""
    said = {_tag(one): one.text or "" for one in entry}
    try:
        size, at = int(said["Size"]), datetime.fromisoformat(said["LastModified"].replace("Z", "+00:00")).timestamp()
        key = said["Key"]
    except (KeyError, ValueError):
        return None
    if size < 0 or not key or any(ord(c) < 32 for c in key):
        return None
    return Stored(uri=f"s3://{bucket}/{key}", bytes=size, etag=said.get("ETag", ""), modified_at=at)


def _same(answer: httpx.Response, stored: Stored) -> bool:
    tag = answer.headers.get("etag", "")
    return not stored.etag or not tag or tag.strip('"') == stored.etag.strip('"')


def _refused(status: int, uri: str) -> ActionError:
    kind = {401: "authentication", 403: "authorization", 404: "unavailable"}.get(status, "communication")
    name = {401: "NotAllowed", 403: "NotAllowed", 404: "BadFolder"}.get(status, "BadAnswer")
    return ActionError(
        name, f"{clean(unquote(uri), 200)}: the object store answered {status}", kind=kind, retryable=False
    )


class S3Connector:
    """Settings: `url`, `access_key` and the name of the `secret`; without them nothing is signed."""

    kind = "s3"
    capabilities = ("recordings",)
    needs: tuple[str, ...] = ()
    fields: dict[str, Param] = {
        "url": Param(type="string", description="origin of the store, e.g. https://s3.eu-central-1.amazonaws.com"),
        "secret": Param(
            type="string", required=False, description="name of the keyring entry of the secret access key"
        ),
        "access_key": Param(type="string", required=False, description="access key id"),
        "region": Param(type="string", required=False, description="region of the signature (us-east-1)"),
        "ca": Param(type="string", required=False, description="file of certificate authorities to trust"),
        "allow_plaintext": Param(type="boolean", required=False, description="http to another machine"),
        "timeout_s": Param(type="number", required=False, description="seconds without a byte (30)"),
    }

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        name = str(config.get("secret", ""))
        return {
            "recordings": S3(
                str(config["url"]), access_key=str(config.get("access_key", "")), secret=(lambda: secret(name)) if name else None,
                region=str(config.get("region", "us-east-1")), ca=str(config.get("ca", "")),
                allow_plaintext=config.get("allow_plaintext") is True, timeout_s=float(config.get("timeout_s", 30.0)),
            )
        }  # fmt: skip


connector = S3Connector()
