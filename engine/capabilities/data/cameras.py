"""What can be told of a camera's messages without decoding a picture: which frame they name, and whether they are whole."""

from __future__ import annotations

import msgspec

from engine.capabilities.data import cdr
from engine.capabilities.data.facts import TopicFacts

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
PNG_START = b"\x89PNG"
HEAD = 512
"""Bytes of a message that are looked at for its header."""
MAX_FRAME_IDS = 16


class _Header(msgspec.Struct, frozen=True):
    frame_id: str = ""


class _Framed(msgspec.Struct):
    """A picture as JSON: `frame_id` beside it (Foxglove) or in its header (ROS)."""

    frame_id: str = ""
    header: _Header = _Header()


class Camera:
    """One camera topic."""

    def __init__(self, facts: TopicFacts, encoding: str, schema: tuple[str, str, bytes]) -> None:
        self.facts = facts
        self._encoding = encoding
        self._framed: bool = False
        name, kind, text = schema
        if encoding == "cdr" and kind == "ros2msg":
            try:
                top, types = cdr.types_of(name, text.decode("utf-8", "replace"))
            except cdr.SchemaUnknown:
                return
            first = types[top][0] if types[top] else None
            self._framed = bool(first and first.type.endswith("Header"))
        self._compressed = "Compressed" in name
        self._decoder = msgspec.json.Decoder(_Framed)

    def take(self, raw: memoryview, starts: list[int], sizes: list[int]) -> None:
        """The payloads of a chunk."""
        for start, size in zip(starts, sizes, strict=True):
            if self._encoding == "cdr" and self._framed:
                self._named(_frame_id(raw[start : start + min(size, HEAD)]))
                if self._compressed and not _whole(raw, start, size):
                    self.facts.broken_frames += 1
            elif self._encoding == "json":
                try:
                    found = self._decoder.decode(raw[start : start + size])
                except msgspec.MsgspecError:
                    self.facts.broken_frames += 1
                    continue
                self._named(found.frame_id or found.header.frame_id)

    def _named(self, frame: str) -> None:
        seen = self.facts.frame_ids
        if frame in seen or len(seen) < MAX_FRAME_IDS:
            seen[frame] = seen.get(frame, 0) + 1


def _frame_id(head: memoryview) -> str:
    """`std_msgs/Header` comes first: a stamp of eight bytes, then the length and the text of the frame."""
    if len(head) < 16:
        return ""
    order = "little" if head[1] & 1 else "big"
    length = int.from_bytes(head[12:16], order)  # type: ignore[arg-type]
    if not 1 <= length <= min(200, len(head) - 16):
        return ""
    return bytes(head[16 : 16 + length - 1]).decode("utf-8", "replace")


def _whole(raw: memoryview, start: int, size: int) -> bool:
    """A JPEG has its end, wherever the picture's bytes begin; other formats are not judged."""
    end = bytes(raw[start + max(0, size - 8) : start + size])
    head = bytes(raw[start : start + min(size, HEAD)])
    begin = head.find(JPEG_START)
    if begin < 0 or b"jpeg" not in head[:begin]:
        return size > 32
    return JPEG_END in end
