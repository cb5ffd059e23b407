"""The numbers inside messages: whether they are numbers at all, inside their limits, and what they look like.

Messages laid out alike are read as one array (see `cdr`); JSON messages one by one. A topic whose messages can't be
understood is counted as such: not looked at is not the same as good.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from engine.capabilities.data import cdr
from engine.capabilities.data.facts import TopicFacts, Values

MAX_SIZE = 64 * 1024
"""Bytes of a message of numbers; larger ones are pictures or clouds, and are not looked at."""
MAX_LAYOUTS = 64
MAX_DIMS = 64
KEPT = 512
"""Samples kept of a trajectory, evenly spread: every second is dropped when there are more."""
POINTS = 16
QUANTUM = 0.1
"""Trajectories are alike when sixteen points of them agree to a tenth (rad, m)."""

Array = Any


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Where the numbers of a role have to stay. `fields` names what is judged, in order of preference."""

    low: float = -math.inf
    high: float = math.inf
    fields: tuple[str, ...] = ("position", "action", "data", "values")
    ignored: tuple[str, ...] = ()


class Signal:
    """One topic of numbers. `take` gets messages in the order of the file."""

    def __init__(self, facts: TopicFacts, encoding: str, schema: tuple[str, str, bytes], limits: Limits) -> None:
        self.facts, self.limits = facts, limits
        self.values = facts.values = Values()
        self._encoding = encoding
        self._types: tuple[str, cdr.Types] | None = None
        name, kind, text = schema
        if encoding == "cdr" and kind == "ros2msg":
            try:
                self._types = cdr.types_of(name, text.decode("utf-8", "replace"))
            except cdr.SchemaUnknown:
                self._types = None
        self.readable = encoding in ("json", "table") or self._types is not None
        self._layouts: dict[tuple[int, bytes], _Columns | None] = {}
        self._last: dict[int, _Columns] = {}
        self._sum: Array = None
        self._squares: Array = None
        self._low: Array = None
        self._high: Array = None
        self._kept: list[tuple[int, Array]] = []
        self._every = 1
        self._seen = 0

    def take(self, data: Array, starts: Array, sizes: Array, times: Array) -> None:
        """`data` uint8 of a whole chunk; `starts`, `sizes`: where the payloads stand; `times` ns."""
        if not self.readable:
            self.values.undecoded += len(starts)
            return
        big = sizes > MAX_SIZE
        if big.any():
            self.values.undecoded += int(np.count_nonzero(big))
            starts, sizes, times = starts[~big], sizes[~big], times[~big]
        if self._encoding == "json":
            self._json(data, starts, sizes, times)
            return
        for size in np.unique(sizes):
            mine = sizes == size
            self._alike(data, starts[mine], int(size), times[mine])

    def _alike(self, data: Array, starts: Array, size: int, times: Array) -> None:
        """Messages of one size: layout by layout."""
        columns, rows = self._last.get(size), rows_of(data, starts, size)
        while len(rows):
            if columns is not None:
                same = columns.fit(rows)
                if same is None:
                    self._numbers(columns, rows, times)
                    return
                if same.any():
                    self._numbers(columns, rows[same], times[same])
                    rows, times = rows[~same], times[~same]
            columns = self._columns(rows[0].tobytes())
            if columns is None:
                self.values.undecoded += 1
                rows, times = rows[1:], times[1:]
                columns = self._last.get(size)
            else:
                self._last[size] = columns

    def _columns(self, message: bytes) -> _Columns | None:
        if self._types is None or len(self._layouts) >= MAX_LAYOUTS:
            return None
        try:
            layout = cdr.layout_of(*self._types, message)
        except cdr.SchemaUnknown:
            return None
        key = (layout.size, b"".join(message[at : at + 4] for at in layout.lengths))
        if key not in self._layouts:
            self._layouts[key] = _Columns(layout, message, self.limits)
            if not self.values.names:
                self.values.names = self._layouts[key].names  # type: ignore[union-attr]
        return self._layouts[key]

    def _numbers(self, columns: _Columns, rows: Array, times: Array) -> None:
        finite, judged = columns.read(rows)
        self._judge(judged, finite, times)

    def _json(self, data: Array, starts: Array, sizes: Array, times: Array) -> None:
        rows: list[list[float]] = []
        when: list[int] = []
        values = self.values
        raw = memoryview(data)
        for start, size, time in zip(starts.tolist(), sizes.tolist(), times.tolist(), strict=True):
            text = raw[start : start + size]
            try:
                found = msgspec.json.decode(text)
            except msgspec.MsgspecError:
                if b"NaN" in bytes(text) or b"Infinity" in bytes(text):
                    self._not_finite(time, 1)
                    values.messages += 1
                else:
                    values.undecoded += 1
                continue
            numbers = _listed(found, self.limits.fields)
            if numbers is None:
                values.undecoded += 1
                continue
            if rows and len(rows[0]) != len(numbers):
                self._rows(rows, when)
                rows, when = [], []
            rows.append(numbers)
            when.append(time)
        self._rows(rows, when)

    def block(self, block: Array, times: Array) -> None:
        """Rows that are numbers already, as a table has them."""
        self._judge(block, _finite(block), times)

    def _rows(self, rows: list[list[float]], when: list[int]) -> None:
        if rows:
            block = np.array(rows, dtype=np.float64)
            self._judge(block, _finite(block), np.array(when, dtype=np.int64))

    def _judge(self, block: Array, finite: Array | None, times: Array) -> None:
        """`finite`: which rows are numbers only, None for all of them."""
        values, n = self.values, len(block)
        values.messages += n
        if finite is not None:
            self._not_finite(int(times[int(np.argmin(finite))]), int(np.count_nonzero(~finite)))
            block, times = block[finite], times[finite]
        if not len(block):
            return
        if block.shape[1] == 0:
            values.empty += len(block)
            return
        block = block[:, :MAX_DIMS]
        if self._sum is not None and block.shape[1] != len(self._sum):
            values.undecoded += len(block)  # another width than the stream began with: no longer the same signal
            return
        values.dims = block.shape[1]
        low, high = block.min(axis=0), block.max(axis=0)
        if self._sum is None:
            self._sum, self._squares, self._low, self._high = block.sum(axis=0), (block**2).sum(axis=0), low, high
        else:
            self._sum += block.sum(axis=0)
            self._squares += (block**2).sum(axis=0)
            self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
        values.zero += int(np.count_nonzero(~block.any(axis=1)))
        if float(low.min()) < self.limits.low or float(high.max()) > self.limits.high:
            self._beyond(block, times)
        self._keep(block, times)

    def _not_finite(self, time: int, count: int) -> None:
        self.values.not_finite += count
        if self.values.not_finite_at < 0:
            self.values.not_finite_at = time

    def _beyond(self, block: Array, times: Array) -> None:
        values = self.values
        over = np.maximum(block - self.limits.high, self.limits.low - block)
        rows = np.nonzero((over > 0).any(axis=1))[0]
        values.beyond += len(rows)
        if values.beyond_from < 0:
            values.beyond_from = int(times[rows[0]])
        values.beyond_to = int(times[rows[-1]])
        row, dim = np.unravel_index(int(np.argmax(over)), over.shape)
        if abs(float(block[row, dim])) > abs(values.beyond_worst):
            values.beyond_worst, values.beyond_dim = float(block[row, dim]), int(dim)

    def _keep(self, block: Array, times: Array) -> None:
        first = -self._seen % self._every
        self._seen += len(block)
        self._kept += [(int(times[at]), block[at].copy()) for at in range(first, len(block), self._every)]
        while len(self._kept) > KEPT:
            self._kept = self._kept[::2]
            self._every *= 2

    def finish(self) -> None:
        values, n = self.values, self.values.messages - self.values.not_finite - self.values.empty
        if self._sum is None or n <= 0:
            return
        mean = self._sum / n
        spread = np.sqrt(np.maximum(self._squares / n - mean**2, 0.0))
        values.mean, values.std = _plain(mean), _plain(spread)
        values.low, values.high = _plain(self._low), _plain(self._high)
        values.constant = bool(n > 1 and (self._high - self._low < 1e-12).all())

    def path(self) -> bytes:
        """Sixteen points of the way, coarsely."""
        if not self._kept:
            return b""
        at = np.linspace(0, len(self._kept) - 1, POINTS).round().astype(int)
        points = np.array([self._kept[index][1][:8] for index in at])
        bounded = np.clip(points / QUANTUM, -1e9, 1e9)
        return f"{self.facts.name}:".encode() + np.rint(bounded).astype("<i4").tobytes()


class _Columns:
    """Which bytes of messages of one layout are taken, and how they become numbers."""

    def __init__(self, layout: cdr.Layout, message: bytes, limits: Limits) -> None:
        order = "<" if layout.little else ">"
        places = [*range(4), *(at + byte for at in layout.lengths for byte in range(4))]
        self._fixed = np.array(places, dtype=np.int64)
        self._equal = np.frombuffer(message, dtype=np.uint8)[self._fixed]
        floats = [n for n in layout.numbers if n.code in ("f4", "f8") and _last(n.path) not in limits.ignored]
        self._floats = [(n, order + n.code) for n in floats]
        chosen: Sequence[cdr.Numbers] = ()
        for field in limits.fields:
            chosen = [n for n in floats if _last(n.path) == field]
            if chosen:
                break
        self._chosen = {n.path for n in (chosen or floats)}
        names = cdr.value_names(layout, message, chosen[0].path) if chosen else []
        self.names = tuple(names[:MAX_DIMS])

    def fit(self, rows: Array) -> Array | None:
        """Which of the messages are laid out like this; None for all of them."""
        given = rows[:, self._fixed] == self._equal
        return None if given.all() else given.all(axis=1)

    def read(self, rows: Array) -> tuple[Array | None, Array]:
        """Which messages hold finite numbers only (None: all), and the numbers that are judged."""
        finite = None
        judged = []
        for numbers, code in self._floats:
            width = numbers.count * int(code[-1])
            block = np.ascontiguousarray(rows[:, numbers.offset : numbers.offset + width]).view(code)
            good = _finite(block)
            if good is not None:
                finite = good if finite is None else finite & good
            if numbers.path in self._chosen:
                judged.append(block.astype(np.float64))
        if not judged:
            return finite, np.zeros((len(rows), 0))
        return finite, judged[0] if len(judged) == 1 else np.concatenate(judged, axis=1)


def rows_of(data: Array, starts: Array, size: int) -> Array:
    """The `size` bytes from each of `starts`, as rows: copied whole, not byte by byte."""
    if not len(starts) or size <= 0:
        return np.zeros((len(starts), max(0, size)), dtype=np.uint8)
    windows = np.lib.stride_tricks.as_strided(data, (len(data) - size + 1, size), (1, 1), writeable=False)
    return windows[starts]


def _finite(block: Array) -> Array | None:
    good = np.isfinite(block)
    return None if good.all() else good.all(axis=1)


def _last(path: str) -> str:
    return path.rsplit(".", 1)[-1]


def _plain(array: Array) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in array)


def _listed(found: Any, fields: Sequence[str]) -> list[float] | None:
    """The list of numbers in a JSON message."""
    if not isinstance(found, dict):
        return None
    for field in fields:
        numbers = found.get(field)
        if isinstance(numbers, list) and all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
            return [float(n) for n in numbers]
    return None


def trajectory(signals: Sequence[Signal]) -> str:
    """One digest for motions that are nearly the same; empty when nothing moved that could be read."""
    whole = hashlib.sha256()
    paths = sorted(path for signal in signals if (path := signal.path()))
    for path in paths:
        whole.update(path)
    return f"sha256:{whole.hexdigest()}" if paths else ""
