"""The rows of one episode: their order, their times, their numbers, and a digest of what they say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from engine.capabilities.data.facts import Facts, TopicFacts
from engine.capabilities.data.lerobot import PLACE, Episode, Info, parquet_file
from engine.capabilities.data.scanning import Refused, Rules
from engine.capabilities.data.streams import Stream
from engine.capabilities.data.values import Limits, Signal, trajectory

ROLES = (("action", "action"), ("observation.state", "state"))
BATCH = 8192


class Rows(Struct, kw_only=True):
    """What was read. `interventions` are spans in s."""

    count: int
    bytes: int
    digest: str
    trajectory: str
    interventions: list[tuple[float, float]]


class _Column(Struct):
    signal: Signal
    stream: Stream


def read_rows(path: Path, episode: Episode, info: Info, rules: Rules, facts: Facts, *, start: int) -> Rows:
    """Reads the episode's rows, batch by batch. `start` is the index of the file's first row. Raises Refused."""
    hashes: dict[str, Any] = {}
    columns: dict[str, _Column] = {}
    count = size = 0
    inside: float | None = None
    spans: list[tuple[float, float]] = []
    time = 0.0
    for batch in _batches(path, episode.first - start, episode.length):
        names = batch.schema.names
        for name in ("timestamp", "frame_index", "episode_index"):
            if name not in names:
                raise Refused("table", f"{path.name} has no column {name}")
        if (np.asarray(batch.column("episode_index")) != episode.index).any():
            raise Refused("episodes", f"rows of another episode stand where episode {episode.index} should")
        times = np.asarray(batch.column("timestamp"), dtype=np.float64)
        frames = np.asarray(batch.column("frame_index"), dtype=np.int64)
        if not np.isfinite(times).all():
            raise Refused("not_finite", "its times are no numbers")
        if (frames != np.arange(count, count + len(frames))).any():
            facts.problems.append(("frames", "its frames are not numbered one by one from zero"))
        when = np.rint(times * 1e9).astype(np.int64)
        for name in names:
            if name not in PLACE:
                hashed = hashes.setdefault(name, hashlib.sha256(name.encode()))
                for buffer in _canonical(batch.column(name)):
                    hashed.update(buffer)
        size += batch.nbytes
        for name, role in ROLES:
            if name in names:
                if name not in columns:
                    columns[name] = _column(name, role, info, rules, facts)
                block = _matrix(batch.column(name))
                columns[name].signal.block(block, when)
                columns[name].stream.take(when, frames, np.full(len(when), block.shape[1] * 8, dtype=np.int64))
        marks = (
            np.asarray(batch.column("intervention"), dtype=bool)
            if "intervention" in names
            else np.zeros(len(when), bool)
        )
        for at, on in zip(times.tolist(), marks.tolist(), strict=True):
            time = at
            if on and inside is None:
                inside = at
            elif not on and inside is not None:
                spans.append((inside, at))
                inside = None
        count += len(when)
    if inside is not None:
        spans.append((inside, time))
    if count != episode.length:
        facts.problems.append(("rows", f"it should have {episode.length} rows, the table has {count}"))
    for column in columns.values():
        column.stream.finish()
        column.signal.finish()
    facts.messages = sum(column.stream.facts.messages for column in columns.values())
    facts.start = min((c.stream.facts.first for c in columns.values()), default=0)
    facts.end = max((c.stream.facts.last for c in columns.values()), default=0)
    rate = next((c.stream.facts.hz for c in columns.values()), 0.0)
    if rate and info.fps and abs(rate / info.fps - 1) > 0.05:
        facts.problems.append(("mixed_rate", f"rows come at {rate:.3g} Hz, meta/info.json says {info.fps:g}"))
    whole = hashlib.sha256(b"".join(hashes[name].digest() for name in sorted(hashes)))
    return Rows(
        count=count, bytes=size, digest=f"sha256:{whole.hexdigest()}", interventions=spans,
        trajectory=trajectory([column.signal for column in columns.values()]),
    )  # fmt: skip


def _column(name: str, role: str, info: Info, rules: Rules, facts: Facts) -> _Column:
    topic = TopicFacts(name=name, type="row", encoding="table", role=role)
    low, high = (rules.low, rules.high) if role == "action" else (-np.inf, np.inf)
    signal = Signal(topic, "table", ("", "", b""), Limits(low=low, high=high))
    names = info.features.get(name, {}).get("names")
    if isinstance(names, dict):
        names = next((value for value in names.values() if isinstance(value, list)), None)
    if isinstance(names, list):
        signal.values.names = tuple(str(one)[:60] for one in names[:64])
    facts.topics.append(topic)
    return _Column(signal, Stream(topic))


def _batches(path: Path, skip: int, length: int) -> Iterator[Any]:
    """The rows from `skip` on, `length` of them: only groups that hold some are unpacked."""
    if skip < 0 or length < 0:
        raise Refused("table", "an episode that begins before its file")
    with parquet_file(path) as table:
        groups: list[int] = []
        first = before = 0
        for number in range(table.metadata.num_row_groups):
            rows = table.metadata.row_group(number).num_rows
            if before + rows > skip and before < skip + length:
                if not groups:
                    first = before
                groups.append(number)
            before += rows
        left, drop = length, skip - first
        for batch in table.iter_batches(batch_size=BATCH, row_groups=groups) if groups else ():
            if drop >= len(batch):
                drop -= len(batch)
                continue
            part = batch.slice(drop, left)
            drop = 0
            left -= len(part)
            yield part
            if left <= 0:
                return


def _matrix(column: Any) -> Any:
    """A column of lists of numbers (or of numbers) as rows."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_fixed_size_list(kind):
        flat = np.asarray(column.flatten(), dtype=np.float64)
        return flat.reshape(-1, kind.list_size) if column.null_count == 0 else np.full((len(column), 0), 0.0)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        lengths = np.diff(np.asarray(column.offsets))
        if column.null_count or (len(lengths) and (lengths != lengths[0]).any()):
            raise Refused("table", "its vectors are not all of one length")
        flat = np.asarray(column.flatten(), dtype=np.float64)
        return flat.reshape(len(column), -1) if len(column) else np.zeros((0, 0))
    return np.asarray(column, dtype=np.float64).reshape(-1, 1)


def _canonical(column: Any) -> Iterator[bytes]:
    """The values of a column as bytes that do not depend on how the table was cut or packed."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _canonical(column.flatten())
    elif pa.types.is_floating(kind):
        yield np.asarray(column, dtype="<f8").tobytes()
    elif pa.types.is_integer(kind) and column.null_count == 0:
        yield np.asarray(column, dtype="<i8").tobytes()
    elif pa.types.is_boolean(kind) and column.null_count == 0:
        yield np.asarray(column, dtype=np.uint8).tobytes()
    else:
        for value in column.to_pylist():
            yield repr(value).encode() + b"\0"
