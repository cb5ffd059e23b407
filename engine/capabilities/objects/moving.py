"""Between the vault and an object store. The digest is computed on both ways; the vault's copy is the one that counts."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.capabilities.ports import ActionError, Context
from engine.capabilities.systems.ports import Objects
from engine.capabilities.vault import Kept

Json = Any
Input = dict[str, Json]


async def put(context: Context, given: Input) -> Json:
    digest, uri = str(given["digest"]), str(given["uri"])
    if not context.vault.has(digest):
        raise ActionError("NotKept", f"{digest[:80]} is not kept here", kind="validation", retryable=False)
    path: Path = context.vault.path(digest)
    placed = await _store(context, given).put(uri, path, digest=digest, told=_progress(context, f"putting {uri}"))
    return {"uri": placed, "digest": digest, "size": (await asyncio.to_thread(path.stat)).st_size}


async def get(context: Context, given: Input) -> Json:
    uri, expected = str(given["uri"]), str(given.get("digest") or "")
    folder: Path = context.vault.folder
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True, mode=0o700)
    target = folder / f".fetching-{secrets.token_hex(12)}"
    try:
        await _store(context, given).get(uri, target, digest=expected, told=_progress(context, f"getting {uri}"))
        kept: Kept = await asyncio.to_thread(
            context.vault.put_file, target, media=str(given.get("media") or "application/octet-stream"), source=uri[:500],
            name=uri.rsplit("/", 1)[-1][:200],
        )  # fmt: skip
    finally:
        target.unlink(missing_ok=True)
    return {"uri": uri, "digest": kept.digest, "size": kept.size}


async def remove(context: Context, given: Input) -> Json:
    await _store(context, given).delete(str(given["uri"]))
    return {"uri": str(given["uri"])}


def _store(context: Context, given: Input) -> Objects:
    name = str(given.get("system") or "")
    found: Objects = context.port(f"objects@{name}" if name else "objects")
    return found


def _progress(context: Context, what: str) -> Callable[[int, int], None]:
    def told(done: int, of: int) -> None:
        context.heartbeat({"done": done // 1_000_000, "of": of // 1_000_000, "unit": "MB", "what": what[:100]})

    return told
