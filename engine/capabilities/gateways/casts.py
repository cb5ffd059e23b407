"""Recordings of terminals: asciicast v2 (https://docs.asciinema.org/manual/asciicast/v2/).

The first line is a JSON object, every other a JSON array [seconds since the start, code, data]; code `o` is output, `r` a new
size (`COLSxROWS`), `m` a marker, `i` input. A file that was cut in the middle of a line is read up to there.
"""

from __future__ import annotations

import codecs
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

Json = Any
MEDIA = "application/x-asciicast"
VERSION = 2
LINE = 1 << 20


class Full(Exception):
    """The recording has reached its limit."""


class Cast:
    """A recording as it is written. Every line is in the file before `wrote` returns; bytes that are no UTF-8 are replaced."""

    def __init__(self, path: Path, *, cols: int, rows: int, at: float, title: str, term: str, limit: int) -> None:
        self.path, self._limit = path, limit
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file: BinaryIO = os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "wb", buffering=0
        )
        self._decode = codecs.getincrementaldecoder("utf-8")("replace")
        self.size, self.seconds, self.output = 0, 0.0, 0
        header: dict[str, Json] = {
            "version": VERSION,
            "width": cols,
            "height": rows,
            "timestamp": int(at),
            "title": title,
        }
        if term:
            header["env"] = {"TERM": term}
        self._put(json.dumps(header, ensure_ascii=True))

    def said(self, seconds: float, data: bytes, *, final: bool = False) -> str:
        """Output. What is left of a character stays until its other half comes. Returns the text that was recorded."""
        self.output += len(data)
        text = self._decode.decode(data, final)
        if text:
            self.event(seconds, "o", text)
        return text

    def event(self, seconds: float, code: str, data: str) -> None:
        """Raises Full, OSError."""
        self.seconds = max(self.seconds, seconds)
        self._put(json.dumps([round(self.seconds, 6), code, data], ensure_ascii=True))

    def _put(self, line: str) -> None:
        data = line.encode("ascii") + b"\n"
        if self.size + len(data) > self._limit:
            raise Full(f"the recording has reached {self._limit} bytes")
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self.size += len(data)

    def close(self) -> None:
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()


class Part(msgspec.Struct, frozen=True):
    """Whole lines of a recording from an offset on."""

    header: dict[str, Json]
    events: tuple[tuple[float, str, str], ...]
    next: int
    more: bool


def read(path: Path, offset: int, limit: int) -> Part:
    """At most `limit` bytes of events (and one event more) from `offset`, which is 0 or the `next` of a part before."""
    header: dict[str, Json] = {}
    events: list[tuple[float, str, str]] = []
    with path.open("rb") as stream:
        first = stream.readline(LINE)
        if not offset:
            header, offset = _object(first), len(first)
        stream.seek(offset)
        taken = 0
        while taken < limit and (line := stream.readline(LINE)):
            if not line.endswith(b"\n"):  # half of it, so far
                break
            taken += len(line)
            if (event := _event(line)) is not None:
                events.append(event)
        return Part(header=header, events=tuple(events), next=offset + taken, more=bool(stream.readline(1)))


def length(path: Path) -> tuple[float, int]:
    """Seconds and bytes of output of a recording that was left behind."""
    seconds, output, at = 0.0, 0, 0
    while True:
        part = read(path, at, 1 << 20)
        for when, code, data in part.events:
            seconds = max(seconds, when)
            output += len(data.encode("utf-8", "surrogatepass")) if code == "o" else 0
        if not part.more or part.next == at:
            return seconds, output
        at = part.next


def _object(line: bytes) -> dict[str, Json]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and found.get("version") == VERSION else {}


def _event(line: bytes) -> tuple[float, str, str] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, list) or len(found) != 3 or not isinstance(found[0], int | float):
        return None
    return float(found[0]), str(found[1])[:1], str(found[2])
