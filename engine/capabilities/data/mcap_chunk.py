"""A chunk of an MCAP file: opened, unpacked within bounds, checked against its checksum."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from msgspec import Struct


class ChunkUnreadable(Exception):
    """A chunk that gives no messages: why, and the times it says it covers (ns)."""

    def __init__(self, reason: str, first: int = 0, last: int = 0) -> None:
        super().__init__(reason)
        self.first, self.last = first, last


class Chunk(Struct, frozen=True):
    """`records` are the bytes of its records; valid as long as what they were read from."""

    first: int
    last: int
    records: memoryview
    compression: str


def crc32(data: Any, before: int = 0) -> int:
    return zlib.crc32(data, before)


def open_chunk(content: memoryview, limit: int, *, whole: bool = True) -> Chunk:
    """The records of a chunk, at most `limit` bytes of them. With `whole` false, as much as stands there (never of a
    compressed one). Raises ChunkUnreadable."""
    try:
        first, last, size, claimed, named = struct.unpack_from("<QQQII", content)
        compression = bytes(content[32 : 32 + named]).decode("utf-8", "replace")[:20]
        (stored,) = struct.unpack_from("<Q", content, 32 + named)
    except struct.error as error:
        raise ChunkUnreadable("the head of a chunk is not whole") from error
    begin = 40 + named
    if whole and begin + stored > len(content):
        raise ChunkUnreadable("a chunk is shorter than it says", first, last)
    if size > limit:
        raise ChunkUnreadable(f"a chunk unpacks to {size} bytes, more than is read at once", first, last)
    records = content[begin : begin + stored]
    if compression:
        if not whole:
            raise ChunkUnreadable("a compressed chunk is not whole", first, last)
        records = _unpacked(records, compression, size, first, last)
    elif whole and len(records) != size:
        raise ChunkUnreadable("a chunk holds another number of bytes than it says", first, last)
    if whole and claimed and crc32(records) != claimed:
        raise ChunkUnreadable("the checksum of a chunk does not match", first, last)
    return Chunk(first, last, records, compression)


def _unpacked(records: memoryview, compression: str, size: int, first: int, last: int) -> memoryview:
    """Never more than `size` bytes are made, whatever the packed data claim."""
    try:
        if compression == "zstd":
            import zstandard

            claimed = zstandard.frame_content_size(records)
            if claimed not in (-1, size):
                raise ChunkUnreadable("a chunk unpacks to another size than it says", first, last)
            data = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompress(records, max_output_size=max(1, size))
        elif compression == "lz4":
            import lz4.frame

            unpacker = lz4.frame.LZ4FrameDecompressor()
            data = unpacker.decompress(records, max_length=size + 1)
        else:
            raise ChunkUnreadable(f"the compression {compression!r} is not read", first, last)
    except ChunkUnreadable:
        raise
    except Exception as error:
        raise ChunkUnreadable("a chunk does not unpack", first, last) from error
    if len(data) != size:
        raise ChunkUnreadable("a chunk unpacks to another size than it says", first, last)
    return memoryview(data)
