"""An MCAP recording read once, from front to back: digest, streams, values, cameras, damage (mcap.dev/spec, version 0).

The one pass costs well under a core at 200 MB/s without compression: records are walked by their lengths alone, and their
heads, times and numbers are taken as arrays. Memory is one window, at least as large as the largest chunk. Small records
(schemas, channels, metadata, statistics) are read by the `mcap` library.
"""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from engine.capabilities.data.byte_source import ByteSource
from engine.capabilities.data.event_log import EventLog
from engine.capabilities.data.facts import WORST, Facts, Skew, Span, TopicFacts
from engine.capabilities.data.mcap_channel import Channel
from engine.capabilities.data.mcap_chunk import Chunk, ChunkUnreadable, crc32, open_chunk
from engine.capabilities.data.mcap_format import (
    ATTACHMENT,
    ATTACHMENT_INDEX,
    CHANNEL,
    CHUNK,
    CHUNK_INDEX,
    DATA_END,
    FOOTER,
    HEAD,
    HEADER,
    MAGIC,
    MESSAGE,
    MESSAGE_INDEX,
    METADATA,
    METADATA_INDEX,
    PAYLOAD,
    SCHEMA,
    STATISTICS,
    SUMMARY_OFFSET,
    heads_of,
    mixed,
    walk,
)  # fmt: skip
from engine.capabilities.data.scanning import Refused, Rules, Watch
from engine.capabilities.data.streams import Frames, fingerprint_step
from engine.capabilities.data.values import trajectory

BATCH = 16_384
"""Messages that are gathered before streams are told: small chunks cost no more than large ones."""
LATEST = np.uint64(2**63 - 1)

Array = Any


def scan(path: Path, rules: Rules, watch: Watch | None = None) -> Facts:
    """Everything there is to know of one recording. Raises Refused, Stopped, NotAFile, OSError."""
    with ByteSource(path) as source:
        return _Scan(source, rules, watch or Watch()).run()


class _Scan:
    def __init__(self, source: ByteSource, rules: Rules, watch: Watch) -> None:
        self.source, self.rules, self.watch = source, rules, watch
        self.facts = Facts(format="mcap", digest="", bytes=source.size)
        self.damage = self.facts.damage
        self.channels: dict[int, Channel] = {}
        self.schemas: dict[int, tuple[str, str, bytes]] = {}
        self.frames = Frames()
        self.events = EventLog(rules.caps.events)
        self.pending: list[tuple[Array, Array, Array, Array]] = []
        self.pending_count = 0
        self.crc = 0
        self.claims_crc = True
        self.chunks = 0
        self.chunk_places = 0
        self.indexed_places = 0
        self.indexed_chunks = 0
        self.statistics: Any = None
        self.footer = False
        self.after_data = False
        self.sum = self.xor = 0
        self.small_bytes = 0

    def run(self) -> Facts:
        source = self.source
        if not source.need(8) or bytes(source.view[source.start : source.start + 8]) != MAGIC:
            raise Refused("not_mcap", "it does not begin as an MCAP file does")
        self.claims_crc = self._claims_crc()
        self._pass(8)
        while not self.footer and self._record():
            self.watch.at(source.read, source.size)
        if self.footer:
            self._ending()
        else:
            self.damage.lost_bytes = source.size - self.damage.truncated_at if self.damage.truncated_at >= 0 else 0
            source.drain()
        return self._finish()

    def _record(self) -> bool:
        """One record of the file's own level; false when there is none left that can be read."""
        source = self.source
        if not source.need(9):
            return self._cut()
        opcode, length = HEAD.unpack_from(source.view, source.start)
        if source.offset + 9 + length > source.size:
            if opcode == CHUNK:
                self._salvage()
            elif opcode == 0 or opcode > DATA_END:
                self.damage.unreadable = f"at byte {source.offset} stands no record"
            return self._cut()
        if opcode == MESSAGE:
            return self._loose()
        if opcode == CHUNK:
            if length > self.rules.caps.record_bytes:
                raise Refused("too_large", f"a chunk of {length} bytes is more than is read at once")
            return self._chunk(length)
        if opcode in (ATTACHMENT, MESSAGE_INDEX, CHUNK_INDEX) or length > self.rules.caps.metadata_bytes:
            return self._large(opcode, length)
        if opcode == 0:
            self.damage.unreadable = f"at byte {source.offset} stands no record"
            return self._cut()
        if not source.need(9 + length):
            return self._cut()
        content = bytes(source.view[source.start + 9 : source.start + 9 + length])
        if opcode == DATA_END:
            self._data_end(content)
        elif opcode == FOOTER:
            self._footer(content)
        else:
            self._small(opcode, content)
            self._pass(9 + length)
        return True

    def _cut(self) -> bool:
        if self.damage.truncated_at < 0:
            self.damage.truncated_at = self.source.offset
        return False

    def _pass(self, count: int) -> None:
        source = self.source
        if self.claims_crc or self.after_data:
            self.crc = crc32(source.view[source.start : source.start + count], self.crc)
        source.start += count

    def _claims_crc(self) -> bool:
        """Whether the end of the file holds a checksum of all data: most writers leave it zero, and taking it costs a fifth."""
        size = self.source.size
        end = self.source.peek(size - 37, 29)
        if len(end) < 29 or end[0] != FOOTER:
            return True
        summary = struct.unpack_from("<Q", end, 9)[0] or size - 37
        data_end = self.source.peek(summary - 13, 13)
        return len(data_end) < 13 or data_end[0] != DATA_END or data_end[9:13] != bytes(4)

    def _large(self, opcode: int, length: int) -> bool:
        """A record that is looked at from its beginning only, or passed."""
        source = self.source
        if opcode == CHUNK_INDEX and source.need(9 + 24):
            self.indexed_chunks += 1
            self.indexed_places ^= mixed(struct.unpack_from("<Q", source.view, source.start + 9 + 16)[0])
        if opcode == ATTACHMENT and source.need(min(9 + length, 4096)):
            self._attachment(bytes(source.view[source.start + 9 : source.start + min(9 + length, 4096)]), length)
        if opcode not in range(HEADER, DATA_END + 1):
            self.damage.unknown_records += 1
        left = 9 + length
        while left:
            if not source.need(min(left, 1 << 20)):
                return self._cut()
            step = min(left, source.end - source.start)
            self._pass(step)
            left -= step
        return True

    def _attachment(self, head: bytes, length: int) -> None:
        try:
            at, texts = 16, []
            for _ in range(2):
                size = struct.unpack_from("<I", head, at)[0]
                texts.append(head[at + 4 : at + 4 + size].decode("utf-8", "replace")[:200])
                at += 4 + size
            size = struct.unpack_from("<Q", head, at)[0]
        except struct.error:
            return
        if len(self.facts.attachments) < 100:
            self.facts.attachments.append((texts[0], texts[1], min(size, length)))

    def _small(self, opcode: int, content: bytes) -> None:
        """Schemas, channels, metadata, statistics. One that can't be read is damage, not an end."""
        from mcap import records
        from mcap.data_stream import ReadDataStream

        stream = ReadDataStream(BytesIO(content))
        try:
            if opcode == SCHEMA:
                schema = records.Schema.read(stream)
                self._room(len(content))
                self.schemas[schema.id] = (schema.name[:200], schema.encoding, bytes(schema.data))
            elif opcode == CHANNEL:
                self._room(len(content))
                self._channel(records.Channel.read(stream))
            elif opcode == METADATA:
                metadata = records.Metadata.read(stream)
                self._room(len(content))
                named = self.facts.metadata.setdefault(metadata.name[:100], {})
                named.update({k[:100]: v[:500] for k, v in list(metadata.metadata.items())[:256]})
            elif opcode == STATISTICS:
                self.statistics = records.Statistics.read(stream)
            elif opcode not in (HEADER, ATTACHMENT_INDEX, METADATA_INDEX, SUMMARY_OFFSET):
                self.damage.unknown_records += 1
        except Refused:
            raise
        except Exception as error:  # noqa: BLE001 - the library has no error of its own for bytes that make no sense
            self.damage.unreadable = f"a record of kind {opcode} makes no sense ({type(error).__name__})"

    def _room(self, count: int) -> None:
        self.small_bytes += count
        if self.small_bytes > 64 * self.rules.caps.metadata_bytes:
            raise Refused("too_large", "its schemas and metadata are larger than a recording's")

    def _channel(self, channel: Any) -> None:
        if channel.id in self.channels:
            return
        if len(self.channels) >= self.rules.caps.topics:
            raise Refused("too_many_topics", f"it has more than {self.rules.caps.topics} topics")
        schema = self.schemas.get(channel.schema_id, ("", "", b""))
        topic = channel.topic[:200]
        role = self.rules.roles.of(topic, schema[0])
        facts = TopicFacts(name=topic, type=schema[0], encoding=channel.message_encoding[:40], role=role)
        self.channels[channel.id] = Channel(facts, schema, channel.message_encoding, self.rules)
        self.facts.topics.append(facts)

    def _loose(self) -> bool:
        """Messages that stand in no chunk: as many as are in the window."""
        source = self.source
        length = HEAD.unpack_from(source.view, source.start)[1]
        if length > self.rules.caps.record_bytes:
            raise Refused("too_large", f"a message of {length} bytes is more than is read at once")
        if not source.need(9 + length):
            return self._cut()
        source.need(min(4 << 20, source.size - source.offset))
        starts, _, ended = walk(source.view, source.start, source.end, messages_only=True)
        if not starts:
            self.damage.unreadable = f"the message at byte {source.offset} is shorter than its head"
            return self._cut()
        self._messages(source.view, np.array(starts, dtype=np.int64))
        self._pass(ended - source.start)
        return True

    def _chunk(self, length: int) -> bool:
        source = self.source
        if not source.need(9 + length):
            return self._cut()
        place, extent, index = source.offset, 9 + length, []
        while source.need(extent + 9):
            opcode, more = HEAD.unpack_from(source.view, source.start + extent)
            if opcode != MESSAGE_INDEX or more > self.rules.caps.record_bytes or extent > self.rules.caps.record_bytes:
                break
            if not source.need(extent + 9 + more):
                break
            index.append((extent + 9, more))
            extent += 9 + more
        self.chunks += 1
        self.chunk_places ^= mixed(place)
        begin = source.start + 9
        try:
            chunk = open_chunk(source.view[begin : begin + length], self.rules.caps.chunk_bytes)
        except ChunkUnreadable as error:
            self._bad(Span(error.first, error.last), str(error))
        else:
            self._take(chunk, [(source.start + at, size) for at, size in index])
        self._pass(extent)
        return True

    def _take(self, chunk: Chunk, index: list[tuple[int, int]]) -> None:
        raw = chunk.records
        starts = self._by_index(raw, index) if index else None
        if starts is None:
            self.damage.index_wrong += bool(index)
            walked, others, ended = walk(raw, 0, len(raw))
            starts = np.array(walked, dtype=np.int64)
            if ended != len(raw):
                self._bad(Span(chunk.first, chunk.last), "a record inside a chunk is not whole")
            self._declared(raw, others)
        self._messages(raw, starts)

    def _declared(self, raw: memoryview, others: list[tuple[int, int, int]]) -> None:
        for opcode, at, length in others:
            if opcode in (SCHEMA, CHANNEL):
                self._small(opcode, bytes(raw[at : at + length]))

    def _by_index(self, raw: memoryview, index: list[tuple[int, int]]) -> Array:
        """Where the chunk's messages begin, by its index; None unless the index names exactly its messages and their times.
        Looked at as arrays, so that a recording of many small messages costs no more than one of pictures."""
        view, parts, channels = self.source.view, [], []
        for at, length in index:
            if length < 6:
                return None
            channel, size = struct.unpack_from("<HI", view, at)
            if size % 16 or size + 6 > length:
                return None
            if size:
                parts.append(np.frombuffer(view[at + 6 : at + 6 + size], dtype="<u8").reshape(-1, 2))
                channels.append(np.full(size // 16, channel, dtype=np.uint16))
        if not parts:
            return None
        entries, named = np.concatenate(parts), np.concatenate(channels)
        order = np.argsort(entries[:, 1], kind="stable")
        entries, named = entries[order], named[order]
        if int(entries[-1, 1]) + PAYLOAD > len(raw):
            return None
        starts = entries[:, 1].astype(np.int64)
        data = np.frombuffer(raw, dtype=np.uint8)
        heads = heads_of(data, starts)
        lengths = heads["length"]
        if (data[starts] != MESSAGE).any() or (lengths < 22).any() or (lengths > len(raw)).any():
            return None
        if (heads["channel"] != named).any() or (heads["log"] != entries[:, 0]).any():
            return None
        ends = np.concatenate(([0], starts + 9 + lengths.astype(np.int64)))
        follows = np.concatenate((starts, [len(raw)]))
        if (ends > follows).any():
            return None
        between = np.nonzero(ends < follows)[0]
        if len(between) > 2 * self.rules.caps.topics:
            return None
        found: list[tuple[int, int, int]] = []
        for gap in between.tolist():
            more, others, ended = walk(raw, int(ends[gap]), int(follows[gap]))
            if more or ended != follows[gap]:
                return None
            found += others
        self._declared(raw, found)
        return starts

    def _bad(self, span: Span, why: str) -> None:
        self.damage.bad_chunk_count += 1
        if len(self.damage.bad_chunks) < WORST:
            self.damage.bad_chunks.append(span)
        if not self.damage.unreadable and "checksum" not in why:
            self.damage.unreadable = why

    def _salvage(self) -> None:
        """The last chunk was not written to its end: what stands in it before the cut, when it is not compressed."""
        source = self.source
        source.need(min(source.size - source.offset, self.rules.caps.chunk_bytes))
        part = source.view[source.start + 9 : source.end]
        try:
            chunk = open_chunk(part, self.rules.caps.chunk_bytes, whole=False)
        except ChunkUnreadable:
            return
        starts, others, _ = walk(chunk.records, 0, len(chunk.records))
        self._declared(chunk.records, others)
        self.damage.salvage = len(starts)

    def _messages(self, raw: memoryview, places: Array) -> None:
        """Takes the messages that begin at `places`."""
        if not len(places):
            return
        data = np.frombuffer(raw, dtype=np.uint8)
        heads = heads_of(data, places)
        channels = heads["channel"].astype(np.int64)
        times = np.minimum(heads["log"], LATEST).astype(np.int64)
        sizes = heads["length"].astype(np.int64) - 22
        self.pending.append((channels, heads["counter"].astype(np.int64), times, sizes))
        self.pending_count += len(places)
        for number in np.unique(channels).tolist():
            channel = self.channels.get(number)
            if channel is None:
                self.damage.unknown_channels += int(np.count_nonzero(channels == number))
                continue
            role = channel.facts.role
            if role == "other":
                continue
            mine = np.nonzero(channels == number)[0]
            begins, lengths, when = places[mine] + PAYLOAD, sizes[mine], times[mine]
            if channel.signal is not None:
                channel.signal.take(data, begins, lengths, when)
            elif channel.camera is not None:
                channel.camera.take(raw, begins.tolist(), lengths.tolist())
            elif role == "events":
                for begin, length, time in zip(begins.tolist(), lengths.tolist(), when.tolist(), strict=True):
                    self.events.take(channel.facts.encoding, raw[begin : begin + length], time)
        if self.pending_count >= BATCH:
            self._settle()

    def _settle(self) -> None:
        """Tells the streams of the messages gathered."""
        if not self.pending:
            return
        channels, counters, times, sizes = (np.concatenate(part) for part in zip(*self.pending, strict=True))
        self.pending, self.pending_count = [], 0
        order = np.argsort(channels, kind="stable")
        bounds = np.nonzero(np.diff(channels[order]))[0] + 1
        for group in np.split(order, bounds):
            channel = self.channels.get(int(channels[group[0]]))
            if channel is None:
                continue
            when, long = times[group], sizes[group]
            channel.stream.take(when, counters[group], long)
            total, odd = fingerprint_step(channel.seed, when, long)
            self.sum = (self.sum + total) & 0xFFFFFFFFFFFFFFFF
            self.xor ^= odd
            if channel.facts.role == "camera":
                self.frames.take(channel.facts.name, when)
        self.frames.match()

    def _data_end(self, content: bytes) -> None:
        claimed = struct.unpack_from("<I", content)[0] if len(content) >= 4 else 0
        self.damage.bad_data_crc = bool(claimed and claimed != self.crc)
        self._pass(9 + len(content))
        self.crc, self.after_data = 0, True

    def _footer(self, content: bytes) -> None:
        if len(content) < 20:
            self.damage.unreadable = "the footer is shorter than a footer"
            self._cut()
            self.footer = True
            return
        summary, _, claimed = struct.unpack_from("<QQI", content)
        self.damage.no_summary = summary == 0
        self._pass(9 + 16)
        if claimed and claimed != self.crc:
            self.damage.summary_wrong = "the checksum of its summary does not match"
        self._pass(len(content) - 16)
        self.footer = True

    def _ending(self) -> None:
        source, damage = self.source, self.damage
        if not source.need(8) or bytes(source.view[source.start : source.start + 8]) != MAGIC:
            damage.truncated_at = max(0, source.offset)
            damage.lost_bytes = source.size - source.offset
        else:
            self._pass(8)
            damage.trailing_bytes = source.size - source.offset
        source.drain()

    def _finish(self) -> Facts:
        self._settle()
        facts, damage = self.facts, self.damage
        known = [channel for channel in self.channels.values() if channel.facts.messages]
        for channel in self.channels.values():
            channel.stream.finish()
            if channel.signal is not None:
                channel.signal.finish()
        facts.messages = sum(channel.facts.messages for channel in known)
        facts.start = min((channel.facts.first for channel in known), default=0)
        facts.end = max((channel.facts.last for channel in known), default=0)
        facts.skews = [
            Skew(reference=a, other=b, frames=n, p95_s=p, worst_s=w, worst_at=at)
            for a, b, n, p, w, at in self.frames.finish()
        ]
        facts.events, facts.events_cut = self.events.finish(facts.end)
        facts.digest = self.source.digest
        facts.fingerprint = f"{facts.messages:x}.{self.sum:016x}.{self.xor:016x}" if facts.messages else ""
        facts.trajectory = trajectory([c.signal for c in known if c.signal is not None])
        leading = self._leading(known)
        if leading is not None:
            facts.frames, facts.fps = leading.messages, leading.hz
        if self.footer and self.statistics is not None:
            damage.summary_wrong = damage.summary_wrong or self._statistics()
        elif self.footer:
            damage.no_summary = True
        return facts

    def _leading(self, known: list[Channel]) -> TopicFacts | None:
        for role in ("camera", "action", "state"):
            of_role = [c.facts for c in known if c.facts.role == role]
            if of_role:
                return max(of_role, key=lambda topic: topic.messages)
        return None

    def _statistics(self) -> str:
        """How the summary contradicts the records, in a sentence."""
        counted = self.facts.messages + self.damage.unknown_channels
        if self.statistics.message_count != counted:
            return f"its summary counts {self.statistics.message_count} messages, it holds {counted}"
        if self.statistics.chunk_count != self.chunks:
            return f"its summary counts {self.statistics.chunk_count} chunks, it holds {self.chunks}"
        if self.indexed_chunks and (self.indexed_chunks, self.indexed_places) != (self.chunks, self.chunk_places):
            return "its summary points to chunks that are not there"
        return ""
