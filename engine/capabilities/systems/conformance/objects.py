"""Promises of object stores and of where recordings lie. Writes happen under a name that carries the check's mark."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from pathlib import Path
from typing import Any

from engine.capabilities.ports import ActionError
from engine.capabilities.systems.conformance.promise import Bench, NotTried, clean, must, promise, refuses, sane

PLACE = {"uri": "where test objects may be put, such as s3://bucket/checks/"}
BYTES = 300_000


def _uri(bench: Bench, name: str) -> str:
    return f"{bench.given['uri'].rstrip('/')}/{bench.mark}/{name}"


@promise("objects", "an object that is not there is refused, and no file is left", needs=PLACE)
async def a_missing_object_is_said(port: Any, bench: Bench) -> None:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "nothing"
        await refuses(port.get(_uri(bench, "missing"), target), kinds=("validation", "domain"))
        must(not target.exists(), "a file was left for an object that does not exist")


@promise("objects", "a presigned address ends, and holds no secret beside its signature", needs=PLACE)
async def presigned_addresses_end(port: Any, bench: Bench) -> None:
    address = await port.presign(_uri(bench, "missing"), method="GET", seconds=60)
    must(address.startswith(("https://", "http://")), "it is no address")
    must("60" in address or "xpires" in address, "the address says nothing of its end")


@promise("objects", "what is put is got back, byte by byte, and putting twice is no error", write=True, needs=PLACE)
async def an_object_comes_back(port: Any, bench: Bench) -> None:
    uri = _uri(bench, "object")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        content = hashlib.sha256(bench.mark.encode()).digest() * (BYTES // 32)
        await asyncio.to_thread(source.write_bytes, content)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        bench.undo(f"object {uri}", lambda: port.delete(uri))
        for _ in range(2):
            await port.put(uri, source, digest=digest)
        await port.get(uri, target, digest=digest)
        must(await asyncio.to_thread(target.read_bytes) == content, "other bytes came back")
        await port.delete(uri)
        await port.delete(uri)
        target.unlink()
        await refuses(port.get(uri, target), kinds=("validation", "domain"))


@promise("objects", "content that is not what its digest says is refused both ways", write=True, needs=PLACE)
async def a_wrong_digest_is_refused(port: Any, bench: Bench) -> None:
    uri, wrong = _uri(bench, "wrong"), f"sha256:{'0' * 64}"
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        content = b"made by a check\n" * 100
        await asyncio.to_thread(source.write_bytes, content)
        right = f"sha256:{hashlib.sha256(content).hexdigest()}"
        bench.undo(f"object {uri}", lambda: port.delete(uri))
        await _refused(port.put(uri, source, digest=wrong), "a file was stored under a digest it does not have")
        await port.put(uri, source, digest=right)
        await _refused(port.get(uri, target, digest=wrong), "content with another digest was handed on")
        must(not target.exists(), "the file with the wrong content was left in place")


async def _refused(doing: Any, otherwise: str) -> None:
    try:
        await doing
    except ActionError:
        return
    must(False, otherwise)


@promise(
    "recordings", "a listing keeps to its limit, and names content by an etag", needs={"uri": "where recordings lie"}
)
async def listings_keep_their_limit(port: Any, bench: Bench) -> None:
    found = await port.list(bench.given["uri"], limit=5)
    must(len(found) <= 6, f"asked for at most 5 and one more, {len(found)} came")
    for one in found:
        must(one.uri and one.etag, "an object has no uri or etag")
        must(one.bytes >= 0, f"{one.uri}: negative size")
        sane(one.modified_at, bench.now(), f"{one.uri}: modified_at")
        clean(one, one.uri)
    if not found:
        raise NotTried("nothing lies there")


@promise("recordings", "a place that is no folder is refused")
async def a_strange_place_is_refused(port: Any, bench: Bench) -> None:
    await refuses(port.list(f"s3://{bench.mark}-no-such-bucket/", limit=1), "BadFolder", kinds=("validation", "domain"))
