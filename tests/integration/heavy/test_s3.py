"""The object store's promises against a real S3 server: nothing twice, nothing overwritten, nothing half."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.s3_answers import read, text_of
from connectors.s3_objects import LEAST_PART_B, META, ObjectStore
from engine.capabilities import dry
from engine.capabilities.ports import ActionError
from tests.integration.connectors.fault_proxy import Fault, FaultProxy
from tests.services.heavy import S3Server

pytestmark = pytest.mark.service
BUCKET = "releases"


def client(server: S3Server, url: str = "", **options: Any) -> ObjectStore:
    async def soon(seconds: float) -> None:
        return None

    return ObjectStore(
        url or server.url, access_key=server.access_key, secret=lambda: server.secret_key, region=server.region, sleep=soon,
        part_b=LEAST_PART_B, **options,
    )  # fmt: skip


@pytest.fixture
async def store(s3_server: S3Server) -> AsyncIterator[ObjectStore]:
    async with httpx.AsyncClient(trust_env=False) as http:
        await http.post(s3_server.reset_url)
        (await http.put(f"{s3_server.url}/{BUCKET}")).raise_for_status()
    found = client(s3_server, mirror=f"s3://{BUCKET}/")
    yield found
    await found.close()


def written(folder: Path, size: int, seed: bytes = b"a") -> tuple[Path, str]:
    path = folder / f"{seed.hex()}-{size}"
    path.write_bytes((hashlib.sha256(seed).digest() * (size // 32 + 1))[:size])
    return path, f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


async def test_what_is_put_comes_back_whole_and_is_put_once(store: ObjectStore, tmp_path: Path) -> None:
    file, digest = written(tmp_path, 100_000)
    uri = f"s3://{BUCKET}/policies/a b+ü.bin"
    assert await store.put(uri, file, digest=digest) == uri
    first = (await store.list(f"s3://{BUCKET}/", limit=10))[0]
    assert await store.put(uri, file, digest=digest) == uri
    assert (await store.list(f"s3://{BUCKET}/", limit=10))[0].modified_at == first.modified_at
    assert await store.get(uri, tmp_path / "back", digest=digest) == digest
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    assert "object store" in await store.check()


async def test_a_large_file_goes_in_parts_and_on_where_it_broke(
    store: ObjectStore, s3_server: S3Server, tmp_path: Path
) -> None:
    file, digest = written(tmp_path, 2 * LEAST_PART_B + 1234)
    uri, told = f"s3://{BUCKET}/big.bin", []
    broken = {"left": 99}

    def rule(method: str, path: str) -> Fault | None:
        if method == "PUT" and "partNumber=2" in path and broken["left"]:
            broken["left"] -= 1
            return Fault(forward=False, reset=True)
        return None

    async with FaultProxy(s3_server.url, rule) as proxy:
        through = client(s3_server, proxy.url)
        with pytest.raises(ActionError, match="S3 store"):
            await through.put(uri, file, digest=digest)
        assert await store._held(BUCKET, "big.bin") is None, "an upload that is not whole is no object"
        broken["left"], before = 0, len(proxy.seen)
        await through.put(uri, file, digest=digest, told=lambda done, of: told.append((done, of)))
        sent = [path for method, path, _ in proxy.seen[before:] if method == "PUT"]
        assert len(sent) == 2 and not any("partNumber=1&" in path for path in sent), "part 1 was there already"
        await through.close()
    assert told[-1] == (file.stat().st_size, file.stat().st_size)
    assert await store.get(uri, tmp_path / "back") == digest


async def test_an_answer_that_is_lost_makes_no_second_object_and_no_conflict(
    store: ObjectStore, s3_server: S3Server, tmp_path: Path
) -> None:
    small, digest = written(tmp_path, 5000)
    large, digest_large = written(tmp_path, LEAST_PART_B + 7)
    lost = {"PUT": 1, "POST": 1}

    def rule(method: str, path: str) -> Fault | None:
        if lost.get(method) and "uploads" not in path and "partNumber" not in path:
            lost[method] -= 1
            return Fault(forward=True, reset=True)
        return None

    async with FaultProxy(s3_server.url, rule) as proxy:
        through = client(s3_server, proxy.url)
        await through.put(f"s3://{BUCKET}/small", small, digest=digest)
        await through.put(f"s3://{BUCKET}/large", large, digest=digest_large)
        await through.close()
    assert not lost["PUT"] and not lost["POST"]
    async with httpx.AsyncClient(trust_env=False) as http:
        versions = read((await http.get(f"{s3_server.url}/{BUCKET}?versions")).content)
        assert len([one for one in versions.iter() if one.tag.endswith("Version")]) == 2
        uploads = read((await http.get(f"{s3_server.url}/{BUCKET}?uploads")).content)
        assert not [one for one in uploads.iter() if one.tag.endswith("}Upload") or one.tag == "Upload"]


async def test_what_holds_something_else_is_never_overwritten(store: ObjectStore, tmp_path: Path) -> None:
    file, digest = written(tmp_path, 1000)
    other, other_digest = written(tmp_path, 1000, b"b")
    uri = f"s3://{BUCKET}/one"
    await store.put(uri, file, digest=digest)
    with pytest.raises(ActionError) as refused:
        await store.put(uri, other, digest=other_digest)
    assert refused.value.error == "Conflict" and await store.get(uri, tmp_path / "back") == digest
    with pytest.raises(ActionError) as lied:
        await store.put(f"s3://{BUCKET}/two", file, digest=other_digest)
    assert lied.value.error == "DigestMismatch" and await store._held(BUCKET, "two") is None
    with pytest.raises(ActionError) as wrong:
        await store.get(uri, tmp_path / "back", digest=other_digest)
    assert wrong.value.error == "DigestMismatch" and not (tmp_path / "back").exists()
    await store.delete(uri)
    await store.delete(uri)
    with pytest.raises(ActionError) as gone:
        await store.get(uri, tmp_path / "back")
    assert gone.value.error == "NoSuchObject"


async def test_a_signed_url_writes_and_reads_one_object(
    store: ObjectStore, s3_server: S3Server, tmp_path: Path
) -> None:
    uri = f"s3://{BUCKET}/lent out"
    put = await store.presign(uri, method="PUT", seconds=60)
    async with httpx.AsyncClient(trust_env=False) as http:
        (await http.put(put, content=b"hello")).raise_for_status()
        found = await http.get(await store.presign(uri, method="GET", seconds=60))
    assert found.content == b"hello" and s3_server.secret_key not in put.split("X-Amz-Credential")[0]
    with pytest.raises(ActionError, match="604800"):
        await store.presign(uri, method="GET", seconds=604_801)


async def test_in_dry_mode_nothing_is_written(store: ObjectStore, tmp_path: Path) -> None:
    file, digest = written(tmp_path, 1000)
    with dry.recording() as would, pytest.raises(dry.NotSent):
        await store.put(f"s3://{BUCKET}/dry", file, digest=digest)
    assert [(one.method, one.body) for one in would] == [("PUT", "1000 bytes")]
    assert await store._held(BUCKET, "dry") is None
    assert store.calls[-1].method == "HEAD" and not any("key" in one.path.lower() for one in store.calls)


async def test_the_mirror_pages_through_everything(store: ObjectStore, s3_server: S3Server, tmp_path: Path) -> None:
    async with httpx.AsyncClient(trust_env=False, base_url=s3_server.url) as http:
        for n in range(1005):
            (await http.put(f"/{BUCKET}/many/{n:05d}", content=b"x")).raise_for_status()
    seen, cursor, pages = [], "", 0
    while True:
        page = await store.pull("object", cursor)
        assert page.full
        seen += [one.id for one in page.objects]
        cursor, pages = page.cursor, pages + 1
        if not page.more:
            break
    assert len(seen) == len(set(seen)) == 1005 and pages == 2 and not cursor


def test_the_digest_travels_with_the_object(s3_server: S3Server) -> None:
    assert META.startswith("x-amz-meta-") and text_of(read(b"<a><b>1</b></a>"), "b") == "1"
    assert os.environ.get("QD_HEAVY")
