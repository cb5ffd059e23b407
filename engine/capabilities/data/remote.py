"""Recordings in an object store: listed, fetched once, and kept in the vault under their digest, so that what was checked is
what is used whatever happens to the store.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from engine.capabilities.data import discovery
from engine.capabilities.data.discovery import MANIFEST, MAX_MANIFEST, OTHER_FORMATS, Found
from engine.capabilities.data.lerobot import INFO
from engine.capabilities.data.profile import Intake
from engine.capabilities.ports import ActionError, Context, Recordings, Stored

Json = Any


def is_remote(uri: str) -> bool:
    return "://" in uri and not uri.startswith("file://")


def stamp_of(ref: dict[str, Json]) -> str:
    """Changes with the content, as far as the store tells."""
    return f"{ref.get('etag', '')}.{ref['bytes']}"


async def discover(context: Context, uri: str, intake: Intake, claims: dict[str, Json]) -> Found:
    """What lies under a prefix. Raises ActionError `NotConfigured`, `BadFolder`, `TooMany`."""
    store: Recordings = context.port("recordings")
    listed = await store.list(uri, limit=int(intake.max_found))
    if len(listed) > intake.max_found:
        raise ActionError(
            "TooMany",
            f"more than {intake.max_found:g} recordings under one prefix: take it in parts",
            kind="validation",
            retryable=False,
        )
    found = Found(refs=[], skipped=[])
    said: dict[str, dict[str, Json]] = {}
    for one in listed:
        if one.uri.rsplit("/", 1)[-1] == MANIFEST and one.bytes <= MAX_MANIFEST:
            folder = one.uri.rsplit("/", 1)[0]
            said |= {f"{folder}/{name}": claim for name, claim in (await _manifest(context, store, one, found)).items()}
    for one in listed:
        name = one.uri.rsplit("/", 1)[-1]
        suffix = f".{name.rpartition('.')[2].lower()}"
        if one.uri.endswith(f"/{INFO}"):
            found.skipped.append(
                (one.uri.removesuffix(f"/{INFO}"), "a LeRobot data set in an object store: copy it to a folder")
            )
        elif suffix in OTHER_FORMATS:
            found.skipped.append((name, OTHER_FORMATS[suffix]))
        elif suffix == ".mcap":
            found.bytes += one.bytes
            ref: dict[str, Json] = {
                "uri": one.uri, "format": "mcap", "bytes": one.bytes, "episode": -1, "name": name[:200], "etag": one.etag
            }  # fmt: skip
            claim = claims | said.get(one.uri, {})
            found.refs.append(ref | {key: claim[key] for key in discovery.SAYS if claim.get(key)})
    return found


async def fetch(context: Context, ref: dict[str, Json], name: str) -> Path:
    """The recording's bytes, kept in the vault; where they stand. Asked again, it is fetched again and kept once."""
    store: Recordings = context.port("recordings")
    folder: Path = context.vault.folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    target, told = folder / f".fetching-{name}", 0.0

    def tell(done: int, of: int) -> None:
        nonlocal told
        if time.monotonic() - told >= 1.0:
            told = time.monotonic()
            progress = {
                "done": done // 1_000_000,
                "of": of // 1_000_000,
                "unit": "MB",
                "what": f"fetching {ref['name']}"[:100],
            }
            context.heartbeat(progress)

    stored = Stored(uri=ref["uri"], bytes=int(ref["bytes"]), etag=str(ref.get("etag") or ""))
    try:
        await store.fetch(stored, target, tell)
        kept = await asyncio.to_thread(
            context.vault.put_file, target, media="application/x-mcap", source=ref["uri"][:500], name=str(ref["name"])
        )
    finally:
        target.unlink(missing_ok=True)
    place: Path = context.vault.path(kept.digest)
    return place


async def _manifest(context: Context, store: Recordings, stored: Stored, found: Found) -> dict[str, dict[str, Json]]:
    folder: Path = context.vault.folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = folder / f".manifest-{context.key.replace('/', '-')[-80:]}"
    try:
        await store.fetch(stored, target)
        return await asyncio.to_thread(discovery.read_manifest, target, found)
    finally:
        target.unlink(missing_ok=True)
