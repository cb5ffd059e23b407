"""A recording mended: written anew from what is whole in it. Nothing is invented, what is lost is said.

What is done: messages before a cut are saved, messages that were written late are sorted in (within a window), messages that
stand twice stand once, index and summary are made anew. Everything else can't be mended and is left to people.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from msgspec import Struct

from engine.capabilities.data.byte_source import ByteSource
from engine.capabilities.data.mcap_chunk import ChunkUnreadable, open_chunk
from engine.capabilities.data.mcap_format import (
    ATTACHMENT,
    CHANNEL,
    CHUNK,
    DATA_END,
    HEAD,
    MAGIC,
    MESSAGE,
    METADATA,
    SCHEMA,
    walk,
)
from engine.capabilities.data.scanning import Caps, Refused, Watch


class Repaired(Struct, kw_only=True):
    """What came of it: counts of messages, and the bytes of the file that gave none (a cut tail, damaged chunks)."""

    kept: int = 0
    repeated: int = 0
    moved: int = 0
    salvaged: int = 0
    lost_bytes: int = 0
    lost_chunks: int = 0
    lost_attachments: int = 0
    lost_after_ns: int = 0
    """Time of the last message that was saved, when the end was cut off."""

    @property
    def sentences(self) -> tuple[str, ...]:
        said = [f"{self.kept} messages written anew, with index and summary"]
        if self.lost_bytes:
            said.append(f"the last {self.lost_bytes} bytes were not whole and are lost")
        if self.salvaged:
            said.append(f"{self.salvaged} messages saved from the chunk that was cut")
        if self.moved:
            said.append(f"{self.moved} messages sorted in")
        if self.lost_attachments:
            said.append(f"{self.lost_attachments} attachments could not be read and are lost")
        if self.repeated:
            said.append(f"{self.repeated} messages that stood twice left out")
        return tuple(said)


class _Message(Struct, order=True, array_like=True):
    time: int
    order: int
    channel: int
    counter: int
    publish: int
    data: bytes


def mend(source: Path, target: Path, *, window_s: float, caps: Caps, watch: Watch | None = None) -> Repaired:
    """Writes `target` anew from `source`. Memory: one chunk and the messages of the window. Raises Refused, Stopped, OSError.

    If the process dies in the middle, `target` is a file without an end and is simply written again.
    """
    from mcap.writer import CompressionType, Writer

    done = Repaired()
    watch = watch or Watch()
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as stream, ByteSource(source) as given:
        writer = Writer(stream, compression=CompressionType.NONE, chunk_size=1 << 20)
        writer.start(profile="", library="quarterdeck repair 1")
        copy = _Copy(writer, done, int(window_s * 1e9))
        for opcode, content in _records(given, caps, done):
            if opcode == MESSAGE:
                copy.message(content)
            elif opcode == SCHEMA:
                copy.schema(bytes(content))
            elif opcode == CHANNEL:
                copy.channel(bytes(content))
            elif opcode == METADATA:
                copy.metadata(bytes(content))
            elif opcode == ATTACHMENT:
                copy.attachment(bytes(content))
            watch.at(given.read, given.size)
        copy.flush()
        done.lost_after_ns = copy.last if done.lost_bytes else 0
        writer.finish()  # type: ignore[no-untyped-call]
        stream.flush()
        os.fsync(stream.fileno())
    if not done.kept:
        raise Refused("empty", "nothing in it could be saved")
    return done


def _records(given: ByteSource, caps: Caps, done: Repaired) -> Iterator[tuple[int, memoryview]]:
    """Whole records of the data section, those inside chunks too, up to the cut. A view is valid until the next record."""
    if not given.need(8) or bytes(given.view[given.start : given.start + 8]) != MAGIC:
        raise Refused("not_mcap", "it does not begin as an MCAP file does")
    given.start += 8
    while given.need(9):
        opcode, length = HEAD.unpack_from(given.view, given.start)
        whole = given.offset + 9 + length <= given.size
        if opcode in (DATA_END, 0):
            return
        if not whole:
            if opcode == CHUNK:
                yield from _cut_chunk(given, caps, done)
            done.lost_bytes = given.size - given.offset
            return
        if opcode not in (CHUNK, MESSAGE, SCHEMA, CHANNEL, METADATA, ATTACHMENT) or length > caps.record_bytes:
            done.lost_attachments += opcode == ATTACHMENT
            given.skip(9 + length)
            continue
        given.need(9 + length)
        content = given.view[given.start + 9 : given.start + 9 + length]
        if opcode == CHUNK:
            yield from _chunk(content, caps, done)
        else:
            yield opcode, content
        given.start += 9 + length
    done.lost_bytes = given.size - given.offset


def _chunk(content: memoryview, caps: Caps, done: Repaired) -> Iterator[tuple[int, memoryview]]:
    try:
        chunk = open_chunk(content, caps.chunk_bytes)
    except ChunkUnreadable:
        done.lost_chunks += 1
        return
    yield from _inside(chunk.records)


def _cut_chunk(given: ByteSource, caps: Caps, done: Repaired) -> Iterator[tuple[int, memoryview]]:
    given.need(min(given.size - given.offset, caps.chunk_bytes))
    try:
        chunk = open_chunk(given.view[given.start + 9 : given.end], caps.chunk_bytes, whole=False)
    except ChunkUnreadable:
        return
    for opcode, content in _inside(chunk.records):
        done.salvaged += opcode == MESSAGE
        yield opcode, content


def _inside(records: memoryview) -> Iterator[tuple[int, memoryview]]:
    starts, others, _ = walk(records, 0, len(records))
    for opcode, at, length in others:
        yield opcode, records[at : at + length]
    for at in starts:
        length = HEAD.unpack_from(records, at)[1]
        yield MESSAGE, records[at + 9 : at + 9 + length]


class _Copy:
    """What is written anew. Messages wait for a window, so that those written late find their place."""

    def __init__(self, writer: Any, done: Repaired, window_ns: int) -> None:
        self.writer, self.done, self.window = writer, done, window_ns
        self.schemas: dict[int, int] = {0: 0}
        self.channels: dict[int, int] = {}
        self.waiting: list[_Message] = []
        self.newest = 0
        self.order = 0
        self.last = 0
        self.latest: dict[int, int] = {}
        self.seen: dict[int, tuple[int, int, int]] = {}

    def schema(self, content: bytes) -> None:
        schema = _read("Schema", content)
        if schema is not None and schema.id and schema.id not in self.schemas:
            self.schemas[schema.id] = self.writer.register_schema(schema.name, schema.encoding, schema.data)

    def channel(self, content: bytes) -> None:
        channel = _read("Channel", content)
        if channel is not None and channel.id not in self.channels:
            self.channels[channel.id] = self.writer.register_channel(
                channel.topic, channel.message_encoding, self.schemas.get(channel.schema_id, 0), channel.metadata
            )

    def metadata(self, content: bytes) -> None:
        metadata = _read("Metadata", content)
        if metadata is not None:
            self.writer.add_metadata(metadata.name, metadata.metadata)

    def attachment(self, content: bytes) -> None:
        found = _read("Attachment", content)
        if found is None:
            self.done.lost_attachments += 1
        else:
            self.writer.add_attachment(found.create_time, found.log_time, found.name, found.media_type, found.data)

    def message(self, content: memoryview) -> None:
        channel = int.from_bytes(content[:2], "little")
        if channel not in self.channels:
            return
        counter, time, publish = (
            int.from_bytes(content[a:b], "little") for a, b in ((2, 6), (6, 14), (14, 22))
        )  # fmt: skip
        self.order += 1
        if time < self.latest.get(channel, 0):
            self.done.moved += 1
        self.latest[channel] = max(time, self.latest.get(channel, 0))
        heapq.heappush(self.waiting, _Message(time, self.order, channel, counter, publish, bytes(content[22:])))
        self.newest = max(self.newest, time)
        while self.waiting and self.waiting[0].time <= self.newest - self.window:
            self._write(heapq.heappop(self.waiting))

    def flush(self) -> None:
        while self.waiting:
            self._write(heapq.heappop(self.waiting))

    def _write(self, message: _Message) -> None:
        key = (message.time, message.counter, hash(message.data))
        if self.seen.get(message.channel) == key:
            self.done.repeated += 1
            return
        self.seen[message.channel] = key
        self.writer.add_message(
            self.channels[message.channel], message.time, message.data, message.publish, message.counter
        )
        self.done.kept += 1
        self.last = message.time


def _read(kind: str, content: bytes) -> Any:
    """A small record by the library; None when it makes no sense."""
    from mcap import records
    from mcap.data_stream import ReadDataStream

    try:
        return getattr(records, kind).read(ReadDataStream(BytesIO(content)))
    except Exception:  # noqa: BLE001 - the library has no error of its own for bytes that make no sense
        return None
