"""Recordings in an object store: signed, listed page by page, fetched as they were seen, gone on with where they broke."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.aws_signature import signed
from connectors.s3 import S3, connector
from connectors.s3_answers import place
from engine.capabilities.ports import ActionError, Stored

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def test_the_signature_is_the_published_one() -> None:
    """The GET Object example of AWS's own documentation."""
    found = signed(
        "GET", "examplebucket.s3.amazonaws.com", "/test.txt", {}, {"range": "bytes=0-9"}, access_key="AKIAIOSFODNN7EXAMPLE",
        secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", region="us-east-1", at=1_369_353_600.0,
    )  # fmt: skip
    assert found["authorization"].endswith("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
    listing = signed(
        "GET", "examplebucket.s3.amazonaws.com", "/", {"max-keys": "2", "prefix": "J"}, {}, access_key="AKIAIOSFODNN7EXAMPLE",
        secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", region="us-east-1", at=1_369_353_600.0,
    )  # fmt: skip
    assert listing["authorization"].endswith(
        "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    )


class Store:
    """A store in memory. `broken` transfers end early; `busy` answers are 503."""

    def __init__(self, objects: dict[str, bytes], *, page: int = 2) -> None:
        self.objects, self.page = objects, page
        self.broken = self.busy = 0
        self.seen: list[httpx.Request] = []

    def etag(self, key: str) -> str:
        return f'"{hash(self.objects[key]) & 0xFFFFFFFF:x}"'

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if self.busy:
            self.busy -= 1
            return httpx.Response(503, stream=_Body(b""))
        if request.url.params.get("list-type"):
            return self._list(request)
        key = request.url.path.removeprefix("/rec/")
        if key not in self.objects:
            return httpx.Response(404, stream=_Body(b""))
        if request.headers["if-match"] != self.etag(key):
            return httpx.Response(412, stream=_Body(b""))
        begin = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        body = self.objects[key][begin:]
        headers = {"etag": self.etag(key)}
        if self.broken:
            self.broken -= 1
            return httpx.Response(206 if begin else 200, headers=headers, stream=_Breaks(body[: len(body) // 2]))
        return httpx.Response(206 if begin else 200, headers=headers, stream=_Body(body))

    def _list(self, request: httpx.Request) -> httpx.Response:
        prefix = request.url.params["prefix"]
        keys = sorted(key for key in self.objects if key.startswith(prefix))
        begin = int(request.url.params.get("continuation-token", "0"))
        entries = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(self.objects[key])}</Size><ETag>{self.etag(key)}</ETag>"
            f"<LastModified>2026-10-23T08:00:00.000Z</LastModified></Contents>"
            for key in keys[begin : begin + self.page]
        )
        more = (
            f"<NextContinuationToken>{begin + self.page}</NextContinuationToken>"
            if begin + self.page < len(keys)
            else ""
        )
        return httpx.Response(
            200, stream=_Body(f'<ListBucketResult xmlns="{NAMESPACE}">{entries}{more}</ListBucketResult>'.encode())
        )

    def client(self, **options: Any) -> S3:
        async def no_sleep(seconds: float) -> None:
            return None

        return S3(
            "https://store.example", access_key="AK", secret=lambda: "sk", transport=httpx.MockTransport(self.answer), sleep=no_sleep,
            **options,
        )  # fmt: skip


class _Body(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.body


class _Breaks(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.body
        raise httpx.ReadError("connection reset")


@pytest.fixture
def store() -> Iterator[Store]:
    yield Store({f"a/{n}.mcap": bytes([n]) * (1000 + n) for n in range(5)} | {"b/x.mcap": b"x"})


async def test_every_page_is_listed_and_nothing_of_other_prefixes(store: Store) -> None:
    found = await store.client().list("s3://rec/a/", limit=100)
    assert [one.uri for one in found] == [f"s3://rec/a/{n}.mcap" for n in range(5)] and found[3].bytes == 1003
    assert len(await store.client().list("s3://rec/a/", limit=2)) == 3
    assert all("authorization" in request.headers for request in store.seen)


async def test_a_broken_transfer_goes_on_where_it_ended(store: Store, tmp_path: Path) -> None:
    (one, *_) = await store.client().list("s3://rec/a/", limit=10)
    store.broken, store.busy, told = 2, 1, []
    await store.client().fetch(one, tmp_path / "x", lambda done, of: told.append((done, of)))
    assert (tmp_path / "x").read_bytes() == store.objects["a/0.mcap"]
    assert [r.headers.get("range") for r in store.seen[-3:]] == [None, "bytes=500-", "bytes=750-"]
    assert told[-1] == (1000, 1000)


async def test_what_is_no_longer_what_was_listed_is_not_taken(store: Store, tmp_path: Path) -> None:
    (one, *_) = await store.client().list("s3://rec/a/", limit=10)
    store.objects["a/0.mcap"] = b"another"
    with pytest.raises(ActionError) as changed:
        await store.client().fetch(one, tmp_path / "x")
    assert changed.value.error == "ContentChanged"


async def test_failures_have_names_and_hold_no_secret(store: Store, tmp_path: Path) -> None:
    store.busy = 99
    with pytest.raises(ActionError) as busy:
        await store.client().list("s3://rec/a/", limit=10)
    assert busy.value.error == "Unreachable" and busy.value.retryable
    store.busy = 0
    with pytest.raises(ActionError) as gone:
        await store.client().fetch(Stored(uri="s3://rec/none.mcap", bytes=3, etag='"x"'), tmp_path / "x")
    assert gone.value.error == "BadFolder" and not gone.value.retryable
    for bad in ("s3://", "s3://Bad_Bucket/x", "https://x/y", "s3://rec/" + "x" * 2000):
        with pytest.raises(ActionError, match="bucket"):
            await store.client().list(bad, limit=1)


@pytest.mark.parametrize("body", [b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", b"<x", b"[" * 9_000_000])
async def test_a_hostile_listing_is_refused(body: bytes) -> None:
    client = S3(
        "https://store.example", transport=httpx.MockTransport(lambda request: httpx.Response(200, stream=_Body(body)))
    )
    with pytest.raises(ActionError):
        await client.list("s3://rec/a", limit=5)


def test_settings_are_checked_and_nothing_is_connected() -> None:
    built = connector.build(
        {"url": "https://store.example", "access_key": "AK", "secret": "s3"}, lambda name: "x", None, {}
    )  # type: ignore[arg-type]
    assert isinstance(built["recordings"], S3) and built["recordings"]._client is None
    for bad in ("ftp://x", "https://u:p@x", "http://far.example", "https://x/path", "x"):
        with pytest.raises(ActionError, match="s3:"):
            connector.build({"url": bad}, lambda name: "", None, {})  # type: ignore[arg-type]
    assert place("s3://rec/a/b") == ("rec", "a/b")
