"""Anchors: the head of the chain, signed, kept outside the database.

A chain shows that nothing inside was changed, but not that all of it was replaced. So its head is signed from time to
time (every `EVERY` events, every hour, at an orderly stop) with an Ed25519 key of this installation, and the line is
appended to `<database>.anchors.jsonl`: copy that file elsewhere (or watch the log) and a rewritten history shows.
The key is `<database>.key`, mode 0600; whoever can read it can also forge, so copies of the lines are what counts.
"""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from engine.store.errors import StoreCorrupt, StoreError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

EVERY = 10_000
SECONDS = 3600.0


class Anchor(NamedTuple):
    """One signed head. `key` is the raw public key that signed it."""

    seq: int
    hash: bytes
    at: float
    key: bytes
    signature: bytes


def message(seq: int, hash_: bytes, at: float) -> bytes:
    """What is signed."""
    return f"quarterdeck anchor 1\n{seq}\n{hash_.hex()}\n{at!r}\n".encode()


class Anchors:
    """The signed lines of one database."""

    def __init__(self, database: Path) -> None:
        self.lines = database.with_name(database.name + ".anchors.jsonl")
        self.key_file = database.with_name(database.name + ".key")

    def sign(self, seq: int, hash_: bytes, at: float) -> Anchor:
        """Signs with this installation's key, which is made at the first use. Raises StoreError when the key is unsafe."""
        key = self._key()
        public = key.public_key().public_bytes_raw()
        return Anchor(seq, hash_, at, public, key.sign(message(seq, hash_, at)))

    def append(self, anchor: Anchor) -> None:
        """Adds the line and waits until it is on disk."""
        line = json.dumps(
            {
                "seq": anchor.seq,
                "hash": anchor.hash.hex(),
                "at": anchor.at,
                "key": base64.b64encode(anchor.key).decode(),
                "signature": base64.b64encode(anchor.signature).decode(),
            }
        )
        target = os.open(self.lines, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(target, line.encode() + b"\n")
            os.fsync(target)
        finally:
            os.close(target)

    def read(self) -> list[Anchor]:
        """All lines. A last line that was cut by a crash is left out; any other unreadable line is an error."""
        if not self.lines.exists():
            return []
        found: list[Anchor] = []
        text = self.lines.read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            try:
                raw = json.loads(line)
                found.append(
                    Anchor(
                        int(raw["seq"]),
                        bytes.fromhex(raw["hash"]),
                        float(raw["at"]),
                        base64.b64decode(raw["key"]),
                        base64.b64decode(raw["signature"]),
                    )
                )
            except (ValueError, KeyError, TypeError) as error:
                if not text.endswith("\n") and number == text.count("\n") + 1:
                    break
                raise StoreCorrupt(f"{self.lines}, line {number} is not an anchor") from error
        return found

    def genuine(self, anchor: Anchor) -> bool:
        """Whether the signature is right and was made by this installation's key (or by the line's, if ours is gone)."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        if self.key_file.exists() and self._key().public_key().public_bytes_raw() != anchor.key:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(anchor.key).verify(
                anchor.signature, message(anchor.seq, anchor.hash, anchor.at)
            )
        except (InvalidSignature, ValueError):
            return False
        return True

    def _key(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # 35 ms: only where used

        try:
            source = os.open(self.key_file, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            fresh = Ed25519PrivateKey.generate()
            target = os.open(self.key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(target, fresh.private_bytes_raw())
                os.fsync(target)
            finally:
                os.close(target)
            return fresh
        try:
            status = os.fstat(source)
            if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
                raise StoreError(f"{self.key_file} can be read by others", f"chmod 600 {self.key_file}")
            return Ed25519PrivateKey.from_private_bytes(os.read(source, 64))
        finally:
            os.close(source)
