"""A keyring back-end for machines without a secret service: one AES-GCM file, whose key lies elsewhere.

The key comes from `credential:NAME` (systemd's LoadCredential=), `fd:N` (an inherited descriptor, read once) or
`file:PATH` (a key file that only its owner may read). Never from the environment or the command line: those are seen by
other processes and end up in logs.

The file is replaced whole (write, fsync, rename, fsync of the folder), under a lock, so a crash leaves the old or the
new one. Owner and mode are checked before anything is believed. It is never chosen by itself (`priority` is negative):
whoever wants it names it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from keyring.backend import KeyringBackend
from keyring.errors import InitError, KeyringError, PasswordDeleteError, PasswordSetError

MAGIC = b"QDKEYRING1\n"  # also the additional authenticated data: another format's file never decrypts as this one
NONCE_B = 12
KEY_B = 32
MAX_FILE_B = 1 << 20


class UnsafeFile(KeyringError):
    """A file that others can read or change, or that belongs to somebody else. Nothing was read from it."""


def _read_private(path: Path, limit: int, owners: frozenset[int]) -> bytes:
    """The content of a regular file that one of `owners` owns and nobody else can touch; no symbolic link at its end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise UnsafeFile(f"{path} is not a regular file")
        if found.st_uid not in owners:
            raise UnsafeFile(f"{path} belongs to user id {found.st_uid}; it must belong to {os.geteuid()}")
        if found.st_mode & 0o077:
            raise UnsafeFile(f"{path} has mode {stat.S_IMODE(found.st_mode):04o}; run: chmod 600 {path}")
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise UnsafeFile(f"{path} is larger than {limit} bytes")
    return data


def _as_key(data: bytes, source: str) -> bytes:
    """32 bytes, raw or in base64 (a trailing newline is forgiven)."""
    if len(data) == KEY_B:
        return data
    with contextlib.suppress(binascii.Error, ValueError):
        decoded = base64.b64decode(data.strip(), validate=True)
        if len(decoded) == KEY_B:
            return decoded
    raise InitError(f"the key from {source} is not {KEY_B} bytes, raw or in base64")


def read_key(source: str) -> bytes:
    """The key named by `source`. Raises InitError or UnsafeFile, never with the key in the text."""
    kind, _, rest = source.partition(":")
    try:
        if kind == "file" and rest:
            return _as_key(_read_private(Path(rest), 4096, frozenset({os.geteuid()})), source)
        if kind == "credential" and rest:
            folder = os.environ.get("CREDENTIALS_DIRECTORY")
            if not folder or "/" in rest:
                raise InitError(f"no systemd credential {rest!r}: the unit needs LoadCredential={rest}:PATH")
            # systemd hands credentials over as the service's user, or as root with an access list
            return _as_key(_read_private(Path(folder) / rest, 4096, frozenset({os.geteuid(), 0})), source)
        if kind == "fd" and rest.isdigit():
            with os.fdopen(int(rest), "rb") as stream:
                return _as_key(stream.read(4096), source)
    except FileNotFoundError:
        raise InitError(f"the key {source} does not exist") from None
    except OSError as error:
        raise InitError(f"the key {source} cannot be read: {error.strerror}") from None
    raise InitError(f"{source!r} names no key: use credential:NAME, fd:N or file:PATH")


def create_key(path: Path) -> None:
    """Makes a new random key file (mode 0600) where none is; an existing one stays."""
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(base64.b64encode(secrets.token_bytes(KEY_B)) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())


class FileKeyring(KeyringBackend):
    """`file` and `key` (a source as above) are set by whoever makes it."""

    priority: ClassVar[float] = -1
    file: str = ""
    key: str = ""

    def __init__(self, file: str = "", key: str = "") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.file, self.key = file or self.file, key or self.key
        self._key: bytes | None = None

    def get_password(self, service: str, username: str) -> str | None:
        return self._load().get(service, {}).get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        with self._locked():
            content = self._load()
            content.setdefault(service, {})[username] = password
            self._store(content)

    def delete_password(self, service: str, username: str) -> None:
        with self._locked():
            content = self._load()
            if username not in content.get(service, {}):
                raise PasswordDeleteError(f"no secret {username!r} of {service!r}")
            del content[service][username]
            self._store(content)

    def names(self, service: str) -> list[str]:
        """Which secrets are there, never what they are."""
        return sorted(self._load().get(service, {}))

    def _cipher(self) -> AESGCM:
        if self._key is None:
            if not self.file or not self.key:
                raise InitError("the file keyring needs `file` and `key`")
            self._key = read_key(self.key)
        return AESGCM(self._key)

    def _load(self) -> dict[str, dict[str, str]]:
        cipher = self._cipher()
        try:
            data = _read_private(Path(self.file), MAX_FILE_B, frozenset({os.geteuid()}))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise KeyringError(f"{self.file} cannot be read: {error.strerror}") from None
        if not data.startswith(MAGIC):
            raise KeyringError(f"{self.file} is no keyring file of this format")
        nonce, sealed = data[len(MAGIC) : len(MAGIC) + NONCE_B], data[len(MAGIC) + NONCE_B :]
        try:
            return msgspec.json.decode(cipher.decrypt(nonce, sealed, MAGIC), type=dict[str, dict[str, str]])
        except (InvalidTag, ValueError):
            raise KeyringError(
                f"{self.file} does not open with the key {self.key}: wrong key, or the file was changed"
            ) from None

    def _store(self, content: dict[str, dict[str, str]]) -> None:
        path = Path(self.file)
        nonce = secrets.token_bytes(NONCE_B)
        sealed = MAGIC + nonce + self._cipher().encrypt(nonce, msgspec.json.encode(content), MAGIC)
        if len(sealed) > MAX_FILE_B:
            raise PasswordSetError(f"{self.file} would become larger than {MAX_FILE_B} bytes")
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(sealed)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(fresh, path)
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise PasswordSetError(f"{self.file} cannot be written: {error.strerror}") from None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time; the lock file stays, the kernel frees the lock when its holder dies."""
        path = f"{self.file}.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PasswordSetError(f"{path} cannot be made: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
