"""How many frames an MP4 film has, how long they last, and where their bytes stand (ISO 14496-12). No picture is decoded."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

MAX_MOOV = 64 << 20
"""Bytes of the table of contents: larger ones are of no film a robot makes."""
_HOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}


class NotAFilm(Exception):
    """The file is no MP4 film, or its table of contents makes no sense: the sentence says why."""


class Film(Struct, frozen=True, kw_only=True):
    """One track of pictures. `sizes` and `places` are of its frames, in the order they are stored."""

    frames: int
    seconds: float
    codec: str
    width: int
    height: int
    sizes: tuple[int, ...]
    places: tuple[int, ...]


def film(path: Path) -> Film:
    """The film's first track of pictures. Raises NotAFilm, OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        moov = _moov(fd, size)
    finally:
        os.close(fd)
    for track in (dict(_flat(moov, start, end)) for name, start, end in _boxes(moov, 0, len(moov)) if name == b"trak"):
        if moov[track[b"hdlr"][0] + 8 : track[b"hdlr"][0] + 12] == b"vide" if b"hdlr" in track else False:
            try:
                return _track(moov, track, size)
            except (struct.error, KeyError, IndexError) as error:
                raise NotAFilm("its table of contents is not whole") from error
    raise NotAFilm("it has no track of pictures")


def digest(path: Path, found: Film, first: int, count: int) -> str:
    """SHA-256 of the bytes of some frames: the same wherever in a film they stand."""
    hashed = hashlib.sha256()
    with path.open("rb") as stream:
        for place, size in zip(found.places[first : first + count], found.sizes[first : first + count], strict=True):
            stream.seek(place)
            hashed.update(stream.read(size))
    return f"sha256:{hashed.hexdigest()}"


def _moov(fd: int, size: int) -> bytes:
    at = 0
    for _ in range(10_000):
        head = os.pread(fd, 16, at)
        if len(head) < 8:
            break
        length, name = struct.unpack_from(">I4s", head)
        begin = 8
        if length == 1 and len(head) == 16:
            length, begin = struct.unpack_from(">Q", head, 8)[0], 16
        elif length == 0:
            length = size - at
        if length < begin or at + length > size:
            raise NotAFilm("it is cut off, or no MP4 at all")
        if name == b"moov":
            if length > MAX_MOOV:
                raise NotAFilm("its table of contents is larger than a film's")
            return os.pread(fd, length - begin, at + begin)
        at += length
    raise NotAFilm("it has no table of contents: the recorder did not finish")


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while at + 8 <= end:
        length, name = struct.unpack_from(">I4s", data, at)
        if length < 8 or at + length > end:
            return
        yield name, at + 8, at + length
        at += length


def _flat(data: bytes, at: int, end: int, depth: int = 0) -> Iterator[tuple[bytes, tuple[int, int]]]:
    for name, start, stop in _boxes(data, at, end):
        if name in _HOLDERS and depth < 6:
            yield from _flat(data, start, stop, depth + 1)
        else:
            yield name, (start, stop)


def _track(moov: bytes, boxes: dict[bytes, tuple[int, int]], size: int) -> Film:
    at = boxes[b"mdhd"][0]
    scale, duration = (
        struct.unpack_from(">II", moov, at + 12) if moov[at] == 0 else struct.unpack_from(">IQ", moov, at + 20)
    )
    at, end = boxes[b"stsz"]
    fixed, frames = struct.unpack_from(">II", moov, at + 4)
    if not fixed and at + 12 + 4 * frames > end:
        raise NotAFilm("its table of contents is not whole")
    if frames > MAX_MOOV:
        raise NotAFilm("it claims more frames than a film has")
    sizes = (fixed,) * frames if fixed else struct.unpack_from(f">{frames}I", moov, at + 12)
    wide = b"co64" in boxes
    at, end = boxes[b"co64" if wide else b"stco"]
    chunks = struct.unpack_from(">I", moov, at + 4)[0]
    if at + 8 + (8 if wide else 4) * chunks > end:
        raise NotAFilm("its table of contents is not whole")
    offsets = struct.unpack_from(f">{chunks}{'Q' if wide else 'I'}", moov, at + 8)
    places = _places(moov, boxes[b"stsc"][0], offsets, sizes)
    if places and places[-1] + sizes[-1] > size:
        raise NotAFilm("it is cut off: pictures of its table of contents are not in it")
    at = boxes[b"stsd"][0]
    codec = moov[at + 12 : at + 16].decode("latin-1")
    width, height = struct.unpack_from(">HH", moov, at + 8 + 8 + 24)
    return Film(
        frames=frames, seconds=duration / scale if scale else 0.0, codec=codec, width=width, height=height, sizes=tuple(sizes),
        places=places,
    )  # fmt: skip


def _places(moov: bytes, at: int, offsets: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Where each frame stands, from chunks and how many frames each holds."""
    count = struct.unpack_from(">I", moov, at + 4)[0]
    runs = [struct.unpack_from(">III", moov, at + 8 + 12 * i)[:2] for i in range(min(count, len(offsets) + 1))]
    places: list[int] = []
    for number, (first, per_chunk) in enumerate(runs):
        last = runs[number + 1][0] - 1 if number + 1 < len(runs) else len(offsets)
        for chunk in range(first - 1, min(last, len(offsets))):
            place = offsets[chunk]
            for _ in range(per_chunk):
                if len(places) >= len(sizes):
                    return tuple(places)
                places.append(place)
                place += sizes[len(places) - 1]
    if len(places) < len(sizes):
        raise NotAFilm("its table of contents places fewer frames than it counts")
    return tuple(places)
