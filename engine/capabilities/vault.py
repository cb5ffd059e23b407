"""The vault: content-addressed files that never change. What a decision was based on, what was built, what was exported.

A thing is kept under the SHA-256 of its bytes, written whole or not at all, readable by the engine's account only. The
same bytes are kept once. Nothing is ever overwritten; what stands under a digest can be checked against it at any time.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

CHUNK = 1 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class VaultError(Exception):
    """What was asked for is not there, or is no longer what it was."""


class Kept(Struct, frozen=True, kw_only=True):
    """What is kept: `digest` is "sha256:…", `size` in bytes."""

    digest: str
    size: int
    media: str = ""
    name: str = ""
    source: str = ""


Noted = Callable[[Kept], None]


class Vault:
    """Files under `folder`. `noted` is told of everything that is kept (also of what stood there already)."""

    def __init__(self, folder: Path, noted: Noted | None = None) -> None:
        self.folder, self._noted = folder, noted

    def noting(self, noted: Noted) -> Vault:
        """The same vault for one asker, who is told of what they keep."""
        return Vault(self.folder, noted)

    def put_bytes(self, data: bytes, *, media: str, source: str = "", name: str = "") -> Kept:
        digest = hashlib.sha256(data).hexdigest()
        target = self._place(digest)
        if not target.exists():
            fresh = self._fresh()
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400), "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            self._settle(fresh, target)
        return self._keep(Kept(digest=f"sha256:{digest}", size=len(data), media=media, name=name, source=source))

    def put_file(self, path: Path, *, media: str, source: str = "", name: str = "") -> Kept:
        """Copies a file in, reading it once. Symbolic links are not followed. Raises OSError."""
        fresh, hashed, size = self._fresh(), hashlib.sha256(), 0
        try:
            with (
                os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as given,
                os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400), "wb") as stream,
            ):
                while chunk := given.read(CHUNK):
                    hashed.update(chunk)
                    stream.write(chunk)
                    size += len(chunk)
                stream.flush()
                os.fsync(stream.fileno())
            self._settle(fresh, self._place(hashed.hexdigest()))
        finally:
            fresh.unlink(missing_ok=True)
        return self._keep(
            Kept(digest=f"sha256:{hashed.hexdigest()}", size=size, media=media, name=name or path.name, source=source)
        )

    def path(self, digest: str) -> Path:
        """Where it stands. Raises VaultError when it is not kept here."""
        if not _DIGEST.fullmatch(digest):
            raise VaultError(f"{digest[:80]!r} is no digest: sha256: and 64 hexadecimal digits")
        place = self._place(digest.removeprefix("sha256:"))
        if not place.is_file():
            raise VaultError(f"{digest} is not kept here")
        return place

    def has(self, digest: str) -> bool:
        return bool(_DIGEST.fullmatch(digest)) and self._place(digest.removeprefix("sha256:")).is_file()

    def read(self, digest: str, *, limit: int = 64 * 1024 * 1024) -> bytes:
        """Its bytes, at most `limit` of them. Raises VaultError."""
        with self.path(digest).open("rb") as stream:
            return stream.read(limit)

    def verify(self, digest: str) -> bool:
        """Whether what stands there still is what was kept."""
        hashed = hashlib.sha256()
        with self.path(digest).open("rb", buffering=0) as stream:
            while chunk := stream.read(CHUNK):
                hashed.update(chunk)
        return f"sha256:{hashed.hexdigest()}" == digest

    def _place(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest[2:]

    def _fresh(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.folder / f".{secrets.token_hex(12)}"

    def _settle(self, fresh: Path, target: Path) -> None:
        target.parent.mkdir(exist_ok=True, mode=0o700)
        os.replace(fresh, target)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _keep(self, kept: Kept) -> Kept:
        if self._noted is not None:
            self._noted(kept)
        return kept
