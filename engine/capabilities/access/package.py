"""What an export hands over: one archive with its signed manifest in front. Made from what was approved and nothing else.

Each file is hashed while it is copied; one that is no longer what was approved stops the whole export. Recordings that lie
in the vault or on this machine go in as they are; with the transform `derived` the measures go in and the recording stays.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

from engine.capabilities.ports import ActionError
from engine.capabilities.vault import Kept, Vault, VaultError

Json = Any
MANIFEST = "MANIFEST.dsse.json"
MEDIA = "application/x-tar"
_canonical = msgspec.json.Encoder(order="sorted")


class Source(Struct, frozen=True, kw_only=True):
    """A file to hand over: `data` itself, or under `digest` in the vault, or at `path`. `digest` is "sha256:…"."""

    name: str
    digest: str
    size: int
    path: str = ""
    data: bytes | None = None


class SourceChanged(ActionError):
    """A file is not what was approved, or is gone. Nothing was handed over."""

    def __init__(self, message: str) -> None:
        super().__init__("SourceChanged", message, kind="conflict", retryable=False)


def of_bytes(name: str, data: bytes) -> Source:
    return Source(name=name, digest="sha256:" + hashlib.sha256(data).hexdigest(), size=len(data), data=data)


def of_session(session: Any, transform: str) -> Source:
    """A session as a file of the package: the recording, or its measures alone."""
    if transform == "derived":
        names = (
            "id",
            "robot",
            "site",
            "variant",
            "task",
            "outcome",
            "start",
            "end",
            "duration_s",
            "distance_m",
            "interventions",
        )
        body = {name: getattr(session, name, None) for name in names} | {
            "features": dict(getattr(session, "features", {}) or {})
        }
        return of_bytes(f"derived/{_safe(session.id)}.json", _canonical.encode(body))
    name = f"sessions/{_safe(session.id)}{_suffix(session)}"
    where = str(getattr(session, "uri", "") or "")
    return Source(
        name=name,
        digest=str(session.content or session.digest),
        size=int(session.bytes),
        path=unquote(urlsplit(where).path) if where else "",
    )


def listed(sources: Sequence[Source]) -> list[dict[str, Json]]:
    """The files as the manifest names them."""
    return [{"name": one.name, "digest": one.digest, "bytes": one.size} for one in sources]


def build(
    sources: Sequence[Source],
    envelope: bytes,
    vault: Vault,
    *,
    name: str,
    told: Callable[[int], None] = lambda done: None,
) -> Kept:
    """The archive, kept in the vault. Same files, same statement: same bytes. Raises SourceChanged. Blocks: call in a thread."""
    vault.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=vault.folder) as folder:
        place = Path(folder) / "package.tar"
        with tarfile.open(place, "w", format=tarfile.USTAR_FORMAT) as archive:
            archive.addfile(_entry(MANIFEST, len(envelope)), io.BytesIO(envelope))
            for number, source in enumerate(sources):
                _add(archive, source, vault)
                told(number + 1)
        return vault.put_file(place, media=MEDIA, source="export", name=f"{name}.tar")


def _add(archive: tarfile.TarFile, source: Source, vault: Vault) -> None:
    if source.data is not None:
        archive.addfile(_entry(source.name, len(source.data)), io.BytesIO(source.data))
        return
    try:
        path = vault.path(source.digest)
    except VaultError:
        path = Path(source.path) if source.path else Path("/nonexistent")
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            reader = _Hashing(stream)
            archive.addfile(_entry(source.name, size), reader)
    except OSError as error:
        raise SourceChanged(f"{source.name} can't be read any more: {error.strerror or error}") from error
    if reader.digest != source.digest:
        raise SourceChanged(f"{source.name} is {reader.digest}, approved was {source.digest}")


class _Hashing:
    """A stream that hashes what passes."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._hash = stream, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size)
        self._hash.update(data)
        return data

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o444, 0
    return entry


def _safe(name: str) -> str:
    """A name as one component of a path, whatever a robot called it."""
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)[:80]
    return kept.lstrip(".") or "unnamed"


def _suffix(session: Any) -> str:
    suffix = Path(str(getattr(session, "name", "") or "")).suffix.lower()
    return suffix if suffix in (".mcap", ".parquet", ".json", ".mp4", ".bag") else ""
