"""Pictures and films small enough to make by hand: grey JPEG of flat 8x8 blocks (ITU T.81, baseline), and MP4 files of such
pictures (ISO 14496-12) that any player opens.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

_DC_BITS = bytes((0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0))
_DC_VALUES = bytes(range(12))
_AC_BITS = bytes((1, *([0] * 15)))
_AC_VALUES = b"\x00"  # end of block, the only word: every block is flat
_QUANTUM = 16


def _codes(bits: bytes, values: bytes) -> dict[int, tuple[int, int]]:
    """Value -> (code, length), as T.81 annex C makes them."""
    found, code, at = {}, 0, 0
    for length, count in enumerate(bits, 1):
        for _ in range(count):
            found[values[at]] = (code, length)
            code, at = code + 1, at + 1
        code <<= 1
    return found


_DC = _codes(_DC_BITS, _DC_VALUES)


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg(levels: Sequence[Sequence[int]], pad: int = 0) -> bytes:
    """Rows of grey levels 0..255, one per block. `pad` bytes of comment make it as heavy as a camera's picture."""
    height, width = len(levels) * 8, len(levels[0]) * 8
    bits, count, before = 0, 0, 0
    for row in levels:
        for level in row:
            value = (level - 128) * 8 // _QUANTUM
            difference, before = value - before, value
            size = abs(difference).bit_length()
            code, length = _DC[size]
            extra = difference if difference >= 0 else difference + (1 << size) - 1
            bits = ((bits << length | code) << size | extra) << 1
            count += length + size + 1
    tail = -count % 8
    bits, count = (bits << tail) | ((1 << tail) - 1), count + tail
    scan = bits.to_bytes(count // 8, "big").replace(b"\xff", b"\xff\x00")
    out = b"\xff\xd8" + _segment(0xE0, b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")
    while pad > 0:
        out += _segment(0xFE, bytes(min(pad, 65_000)))
        pad -= 65_000
    out += _segment(0xDB, b"\x00" + bytes([_QUANTUM] * 64))
    out += _segment(0xC0, struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0))
    out += _segment(0xC4, b"\x00" + _DC_BITS + _DC_VALUES) + _segment(0xC4, b"\x10" + _AC_BITS + _AC_VALUES)
    return out + _segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") + scan + b"\xff\xd9"


def scene(step: int, camera: int, blocks: tuple[int, int] = (8, 6)) -> list[list[int]]:
    """What a camera sees: a bright part that moves over a dark bin."""
    across, down = blocks
    x, y = step % across, (step // across + camera) % down
    return [
        [220 if (column, row) == (x, y) else 40 + 8 * camera + 4 * row for column in range(across)]
        for row in range(down)
    ]


def mp4(frames: Sequence[bytes], fps: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """A film of JPEG pictures."""

    def box(name: str, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return struct.pack(">I4s", len(body) + 8, name.encode()) + body

    def full(name: str, flags: int, *parts: bytes) -> bytes:
        return box(name, struct.pack(">I", flags), *parts)

    n, (width, height) = len(frames), size
    ftyp = box("ftyp", b"isom", struct.pack(">I", 512), b"isomiso2mp41")
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    entry = box(
        "jpeg", bytes(6), struct.pack(">H", 1), bytes(16), struct.pack(">HHIIIH", width, height, 0x480000, 0x480000, 0, 1),
        bytes(32), struct.pack(">Hh", 24, -1),
    )  # fmt: skip

    def moov(offset: int) -> bytes:
        table = box(
            "stbl",
            full("stsd", 0, struct.pack(">I", 1), entry),
            full("stts", 0, struct.pack(">III", 1, n, 1)),
            full("stsc", 0, struct.pack(">IIII", 1, 1, n, 1)),
            full("stsz", 0, struct.pack(">II", 0, n), b"".join(struct.pack(">I", len(frame)) for frame in frames)),
            full("stco", 0, struct.pack(">II", 1, offset)),
        )
        reference = box("dinf", full("dref", 0, struct.pack(">I", 1), full("url ", 1)))
        media = box(
            "mdia",
            full("mdhd", 0, struct.pack(">IIIIHH", 0, 0, fps, n, 0x55C4, 0)),
            full("hdlr", 0, bytes(4), b"vide", bytes(12), b"camera\x00"),
            box("minf", full("vmhd", 1, bytes(8)), reference, table),
        )
        header = full("tkhd", 3, struct.pack(">IIIII", 0, 0, 1, 0, n), bytes(8), bytes(8), matrix,
                      struct.pack(">II", width << 16, height << 16))  # fmt: skip
        movie = full("mvhd", 0, struct.pack(">IIIIIH", 0, 0, fps, n, 0x10000, 0x100), bytes(10), matrix, bytes(24),
                     struct.pack(">I", 2))  # fmt: skip
        return box("moov", movie, box("trak", header, media))

    head = ftyp + moov(0)
    return ftyp + moov(len(head) + 8) + box("mdat", b"".join(frames))
