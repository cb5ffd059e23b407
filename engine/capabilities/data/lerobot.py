"""LeRobot data sets, codebase v3.0: many episodes in one table and one film per camera. Each episode is a session.

A data set's name says nothing: tools rewrite it in place and number episodes anew. So the set is known by a root digest over
all its files, and an episode by its own rows and the bytes of its own frames, whatever its number.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from engine.capabilities.data import mp4
from engine.capabilities.data.byte_source import ByteSource, NotAFile, stamp_of
from engine.capabilities.data.facts import Event, Facts, TopicFacts
from engine.capabilities.data.scanning import Refused, Rules, Watch

Json = Any
INFO = "meta/info.json"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
MAX_INFO = 4 << 20
MAX_GROUP = 1 << 30
"""Bytes that a row group may unpack to."""
PLACE = ("index", "episode_index", "task_index", "subtask_index")
"""Columns that say where a row stands, not what it is: numbered anew by tools, so no part of an episode's digest."""


class Info(Struct, kw_only=True):
    """`meta/info.json`, as far as it is used. Sizes in MB, fps in 1/s."""

    codebase_version: str = ""
    robot_type: str | None = None
    robot: str = ""
    serial: str = ""
    site: str = ""
    region: str = ""
    total_episodes: int = 0
    total_frames: int = 0
    fps: float = 0.0
    data_path: str = DATA_PATH
    video_path: str | None = VIDEO_PATH
    features: dict[str, dict[str, Json]] = {}


class Episode(Struct, kw_only=True):
    """One row of `meta/episodes`. `films`: camera -> chunk, file, from (s), to (s)."""

    index: int
    length: int
    tasks: tuple[str, ...]
    first: int
    chunk: int
    file: int
    films: dict[str, tuple[int, int, float, float]]


class DataSet(Struct, kw_only=True):
    """A data set as it stands: `files` relative path -> size; `stamp` changes with any of them."""

    folder: Path
    info: Info
    episodes: list[Episode]
    files: dict[str, int]
    stamp: str
    root: str = ""
    problems: list[tuple[str, str]] = []


def is_dataset(folder: Path) -> bool:
    return (folder / INFO).is_file()


_opened: OrderedDict[str, DataSet] = OrderedDict()
KEPT = 4


def open_dataset(folder: Path, *, watch: Watch | None = None, rooted: bool = True) -> DataSet:
    """The data set; with `rooted` every file is read for the root digest (kept while no file changes). Raises Refused."""
    files, stamp = files_of(folder)
    key = f"{folder}|{stamp}"
    found = _opened.get(key)
    if found is None:
        info = _info(folder)
        found = DataSet(
            folder=folder, info=info, episodes=list(_episodes(folder, files, info)), files=files, stamp=stamp
        )
        found.problems = list(_contradictions(found))
        _opened[key] = found
        while len(_opened) > KEPT:
            _opened.popitem(last=False)
    if rooted and not found.root:
        found.root = _root(folder, files, watch or Watch())
    return found


def files_of(folder: Path) -> tuple[dict[str, int], str]:
    """Every file with its size, and a stamp that changes with any of them. Links are refused: what they lead to may change unseen."""
    found: dict[str, int] = {}
    stamps = hashlib.sha256()
    for place, folders, names in os.walk(folder, followlinks=False):
        for name in sorted(folders + names):
            path = Path(place) / name
            seen = path.lstat()
            if stat.S_ISLNK(seen.st_mode):
                raise Refused("link", f"{path.relative_to(folder)} is a link: what it leads to may change unseen")
            if stat.S_ISREG(seen.st_mode):
                relative = path.relative_to(folder).as_posix()
                found[relative] = seen.st_size
                stamps.update(f"{relative}\0{stamp_of(seen)}\n".encode())
            elif not stat.S_ISDIR(seen.st_mode):
                raise Refused("not_a_file", f"{path.relative_to(folder)} is no ordinary file")
        folders.sort()
        if len(found) > 100_000:
            raise Refused("too_large", "the data set has more than 100000 files")
    return found, stamps.hexdigest()[:32]


def _root(folder: Path, files: dict[str, int], watch: Watch) -> str:
    """SHA-256 over the sorted list of path and digest of every file."""
    whole, done, of = hashlib.sha256(), 0, sum(files.values())
    for relative in sorted(files):
        with ByteSource(folder / relative) as source:
            while source.skip(16 << 20):
                watch.at(done + source.offset, of)
            done += source.size
            whole.update(f"{relative}\0{source.digest}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _info(folder: Path) -> Info:
    path = folder / INFO
    if path.stat().st_size > MAX_INFO:
        raise Refused("too_large", "meta/info.json is larger than it can be")
    try:
        info = msgspec.json.decode(path.read_bytes(), type=Info)
    except msgspec.MsgspecError as error:
        raise Refused("not_lerobot", f"meta/info.json makes no sense: {str(error)[:120]}") from error
    if not info.codebase_version.startswith("v3."):
        raise Refused(
            "old_version",
            f"codebase version {info.codebase_version[:20]!r}: only v3 data sets are taken; convert it first",
        )
    if info.data_path != DATA_PATH or info.video_path not in (VIDEO_PATH, None):
        raise Refused(
            "own_paths", "meta/info.json names its files in a way of its own: only the format's own paths are read"
        )
    return info


def _episodes(folder: Path, files: dict[str, int], info: Info) -> Iterator[Episode]:
    cameras = [key for key, feature in info.features.items() if feature.get("dtype") == "video"]
    for relative in sorted(name for name in files if name.startswith("meta/episodes/") and name.endswith(".parquet")):
        with parquet_file(folder / relative) as table:
            known = set(table.schema_arrow.names)
            wanted = ["episode_index", "tasks", "length", "data/chunk_index", "data/file_index", "dataset_from_index"]
            films = [
                f"videos/{c}/{part}"
                for c in cameras
                for part in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")
            ]
            missing = [name for name in wanted if name not in known]
            if missing:
                raise Refused("not_lerobot", f"{relative} has no column {missing[0]}")
            for batch in table.iter_batches(
                batch_size=1024, columns=wanted + [name for name in films if name in known]
            ):
                for row in batch.to_pylist():
                    yield _episode(row, cameras)


def _episode(row: dict[str, Json], cameras: list[str]) -> Episode:
    try:
        return Episode(
            index=int(row["episode_index"]), length=int(row["length"]), tasks=tuple(str(t)[:200] for t in row["tasks"] or ()),
            first=int(row["dataset_from_index"]), chunk=int(row["data/chunk_index"]), file=int(row["data/file_index"]),
            films={
                c: (
                    int(row[f"videos/{c}/chunk_index"]), int(row[f"videos/{c}/file_index"]),
                    float(row[f"videos/{c}/from_timestamp"]), float(row[f"videos/{c}/to_timestamp"]),
                )
                for c in cameras if row.get(f"videos/{c}/chunk_index") is not None
            },
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise Refused("not_lerobot", f"a row of meta/episodes makes no sense: {str(error)[:100]}") from error


def _contradictions(found: DataSet) -> Iterator[tuple[str, str]]:
    """Where the set contradicts itself as a whole."""
    info, episodes = found.info, found.episodes
    if len(episodes) != info.total_episodes:
        yield "totals", f"meta/info.json counts {info.total_episodes} episodes, meta/episodes has {len(episodes)}"
    frames = sum(episode.length for episode in episodes)
    if frames != info.total_frames:
        yield "totals", f"meta/info.json counts {info.total_frames} frames, its episodes have {frames}"
    if len({episode.index for episode in episodes}) != len(episodes):
        yield "episodes", "two episodes have one number"
    if not 0 < info.fps <= 1000:
        yield "fps", f"{info.fps:g} frames per second"


def parquet_file(path: Path) -> Any:
    """The table, its groups of rows checked for their size before anything is unpacked."""
    from pyarrow import lib, parquet

    try:
        if path.is_symlink() or not path.is_file():
            raise NotAFile("not an ordinary file")
        table = parquet.ParquetFile(path, memory_map=False)
        groups = [table.metadata.row_group(i).total_byte_size for i in range(table.metadata.num_row_groups)]
    except (lib.ArrowException, OSError, NotAFile) as error:
        raise Refused("table", f"{path.name} is no Parquet file that can be read: {str(error)[:100]}") from error
    if max(groups, default=0) > MAX_GROUP:
        table.close()
        raise Refused("too_large", f"{path.name} unpacks to more than is read at once")
    return table


def scan_episode(
    folder: Path, number: int, rules: Rules, watch: Watch | None = None, limits: tuple[float, float] = (100, 200)
) -> Facts:
    """One episode. `limits`: MB of a table and of a film. Raises Refused, Stopped."""
    from engine.capabilities.data.lerobot_rows import read_rows

    found = open_dataset(folder, watch=watch)
    episode = next((one for one in found.episodes if one.index == number), None)
    if episode is None:
        raise Refused("no_episode", f"it has no episode {number}")
    facts = Facts(format="lerobot-v3", digest="", bytes=0, container=found.root, episode=number)
    facts.problems += found.problems
    facts.columns = sorted(
        f"{name} {feature.get('dtype', '?')} {feature.get('shape', '?')}"[:200]
        for name, feature in found.info.features.items()
    )
    data = DATA_PATH.format(chunk_index=episode.chunk, file_index=episode.file)
    if data not in found.files:
        raise Refused("lost_file", f"{data} is not there")
    start = min(one.first for one in found.episodes if (one.chunk, one.file) == (episode.chunk, episode.file))
    rows = read_rows(folder / data, episode, found.info, rules, facts, start=start)
    hashed = hashlib.sha256(rows.digest.encode())
    facts.bytes = rows.bytes
    facts.fps = found.info.fps
    for camera, (chunk, file, begin, end) in sorted(episode.films.items()):
        relative = VIDEO_PATH.format(video_key=camera, chunk_index=chunk, file_index=file)
        if relative not in found.files:
            facts.problems.append(("lost_file", f"{relative} is not there"))
            continue
        hashed.update(_film(folder / relative, camera, (begin, end), facts, rows.count))
        if found.files[relative] > limits[1] * 1e6:
            facts.sizes.append((relative, found.files[relative], int(limits[1] * 1e6)))
    if found.files[data] > limits[0] * 1e6:
        facts.sizes.append((data, found.files[data], int(limits[0] * 1e6)))
    facts.digest = f"sha256:{hashed.hexdigest()}"
    facts.fingerprint = rows.digest.removeprefix("sha256:")[:32]
    facts.trajectory = rows.trajectory
    facts.frames = rows.count
    facts.events = [
        Event(int(a * 1e9), int(b * 1e9), "intervention", "marked by the recorder") for a, b in rows.interventions
    ]
    facts.metadata["session"] = {
        name: value
        for name, value in (
            ("robot", found.info.robot), ("serial", found.info.serial), ("site", found.info.site), ("region", found.info.region),
            ("variant", found.info.robot_type or ""), ("task", episode.tasks[0] if episode.tasks else ""),
        )
        if value
    }  # fmt: skip
    return facts


def _film(path: Path, camera: str, span: tuple[float, float], facts: Facts, rows: int) -> bytes:
    """Takes the episode's part of a film; the digest of its frames."""
    try:
        film = mp4.film(path)
    except (mp4.NotAFilm, OSError) as error:
        facts.problems.append(("film", f"{camera}: {error}"))
        return b""
    rate = facts.fps
    first, last = round(span[0] * rate), round(span[1] * rate)
    have = max(0, min(last, film.frames) - first)
    facts.rows_of_video.append((camera, have, rows))
    period, size = (1 / rate if rate else 0.0), sum(film.sizes[first : first + have])
    topic = TopicFacts(
        name=camera, type=film.codec, encoding="mp4", role="camera", messages=have, period_s=period, bytes=size
    )
    topic.first, topic.last = facts.start, facts.end
    facts.topics.append(topic)
    facts.messages += have
    facts.bytes += size
    if film.seconds and film.frames and rate and abs(film.frames / film.seconds / rate - 1) > 0.02:
        found = film.frames / film.seconds
        facts.problems.append(("mixed_rate", f"{camera} has {found:.3g} frames per second, the table {rate:g}"))
    return mp4.digest(path, film, first, have).encode()
