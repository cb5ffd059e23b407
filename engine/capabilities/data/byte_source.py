"""A file read once, from front to back, in one window of memory; every byte goes through the digest on its way in.

Not a memory map: a file that is cut while it is mapped kills the process that reads it, and recordings are written by others.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

FILL = 1 << 20
"""How much is read at a time: small enough to stay in the cache between reading and hashing."""


class NotAFile(Exception):
    """It is no ordinary file: a link, a pipe, a device, a folder."""


class ByteSource:
    """`view[at:until]` is what was read and not yet passed. A context manager; one thread."""

    def __init__(self, path: Path, window: int = 8 << 20) -> None:
        """Raises NotAFile and OSError. Links are not followed, and a pipe is not waited for."""
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == 40:  # ELOOP: the name is a symbolic link
                raise NotAFile("a link, not a file: what it leads to may change unseen") from error
            raise
        found = os.fstat(self._fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(self._fd)
            raise NotAFile("not an ordinary file")
        self.size, self.stamp = found.st_size, stamp_of(found)
        self._buffer = bytearray(window)
        self._memory = memoryview(self._buffer)
        self.start = self.end = 0
        self.read = 0
        """Bytes read from the file; `offset` is where `start` stands in it."""
        self._hash = hashlib.sha256()

    def __enter__(self) -> ByteSource:
        return self

    def __exit__(self, *error: Any) -> None:
        os.close(self._fd)

    @property
    def offset(self) -> int:
        return self.read - (self.end - self.start)

    @property
    def view(self) -> memoryview:
        """The window. It moves with the next `need`: take what outlives it as bytes."""
        return self._memory

    def need(self, count: int) -> bool:
        """Makes the next `count` bytes stand in the window; false when the file ends before."""
        have = self.end - self.start
        if have >= count:
            return True
        if self.start and self.start + count > len(self._buffer):
            self._memory[:have] = self._memory[self.start : self.end]
            self.start, self.end = 0, have
        if count > len(self._buffer):
            grown = bytearray(max(count, len(self._buffer) * 2))
            grown[:have] = self._memory[self.start : self.end]
            self._buffer, self._memory = grown, memoryview(grown)
            self.start, self.end = 0, have
        while self.end - self.start < count:
            if not self._fill():
                return False
        return True

    def skip(self, count: int) -> int:
        """Passes bytes without keeping them; how many there were."""
        passed = 0
        while passed < count:
            if self.start == self.end:
                self.start = self.end = 0
                if not self._fill():
                    break
            step = min(count - passed, self.end - self.start)
            self.start += step
            passed += step
        return passed

    def peek(self, at: int, count: int) -> bytes:
        """Bytes from elsewhere in the file, which take no part in the digest."""
        return os.pread(self._fd, count, at) if 0 <= at < self.size else b""

    def drain(self) -> int:
        """Reads to the end of the file; how many bytes that were."""
        passed = self.end - self.start
        self.start = self.end = 0
        while self._fill():
            passed += self.end
            self.start = self.end = 0
        return passed

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def _fill(self) -> bool:
        room = min(len(self._buffer) - self.end, FILL)
        part = self._memory[self.end : self.end + room]
        got = os.readv(self._fd, [part])
        if not got:
            return False
        self._hash.update(part[:got])
        self.end += got
        self.read += got
        return True


def stamp_of(found: os.stat_result) -> str:
    """Changes when a file is written or replaced: inode, size, times."""
    return f"{found.st_dev:x}.{found.st_ino:x}.{found.st_size:x}.{found.st_mtime_ns:x}.{found.st_ctime_ns:x}"
