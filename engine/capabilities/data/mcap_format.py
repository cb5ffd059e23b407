"""The bytes of an MCAP file (mcap.dev/spec, version 0): opcodes, the walk over records, heads of messages as arrays."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from engine.capabilities.data.values import rows_of

MAGIC = b"\x89MCAP0\r\n"
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX, ATTACHMENT = range(1, 10)
ATTACHMENT_INDEX, STATISTICS, METADATA, METADATA_INDEX, SUMMARY_OFFSET, DATA_END = range(10, 16)
HEAD = struct.Struct("<BQ")
MESSAGE_HEAD = np.dtype([("length", "<u8"), ("channel", "<u2"), ("counter", "<u4"), ("log", "<u8"), ("publish", "<u8")])
PAYLOAD = 9 + 22

Array = Any


def walk(
    raw: Any, at: int, until: int, *, messages_only: bool = False
) -> tuple[list[int], list[tuple[int, int, int]], int]:
    """The records between two places: where messages begin, the others as (opcode, place of the content, length), and where
    it ended: before `until` when a record is not whole."""
    starts: list[int] = []
    others: list[tuple[int, int, int]] = []
    head, found = HEAD.unpack_from, starts.append
    while at + 9 <= until:
        opcode, length = head(raw, at)
        following = at + 9 + length
        if following > until:
            break
        if opcode == MESSAGE:
            if length < 22:
                break
            found(at)
        elif messages_only:
            break
        else:
            others.append((opcode, at + 9, length))
        at = following
    return starts, others, at


def hash_of(text: str) -> int:
    """The same number for a text everywhere (FNV-1a, 64 bits)."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def heads_of(data: Array, places: Array) -> Array:
    """The heads of the messages that begin there."""
    return rows_of(data, places + 1, PAYLOAD - 1).view(MESSAGE_HEAD).reshape(-1)


def mixed(number: int) -> int:
    """One number spread over 64 bits, so that a set of them can be compared by their exclusive or."""
    number = (number * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    return number ^ (number >> 29)
