"""What recordings a folder holds: found by what they are, not by what they are called. Links are not followed, nothing is
read but a file's first bytes and a sender's manifest.

`manifest.json` beside recordings says what their sender knows: {"recordings": [{"file", "robot", "site", "sha256", …}]}.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from engine.capabilities.data.lerobot import is_dataset, open_dataset
from engine.capabilities.data.mcap_format import MAGIC
from engine.capabilities.data.profile import Intake
from engine.capabilities.data.scanning import Refused
from engine.capabilities.ports import ActionError

Json = Any
MANIFEST = "manifest.json"
MAX_MANIFEST = 16 << 20
SAYS = ("robot", "site", "sha256", "task", "operator", "region", "consent_basis", "start")
"""What a manifest may say of a recording."""
OTHER_FORMATS = {
    ".bag": "a ROS 1 bag: convert it to MCAP (mcap convert)", ".db3": "a ROS 2 bag in SQLite: convert it to MCAP (mcap convert)",
    ".hdf5": "HDF5 is not read: convert it to LeRobot v3", ".h5": "HDF5 is not read: convert it to LeRobot v3",
    ".zarr": "Zarr is not read: convert it to LeRobot v3", ".active": "a recorder is still writing it",
}  # fmt: skip


class Found(Struct, kw_only=True):
    """What a folder holds. `skipped`: name and reason."""

    refs: list[dict[str, Json]]
    skipped: list[tuple[str, str]]
    bytes: int = 0


def folder_of(uri: str, intake: Intake) -> Path:
    """The folder or file that a text names. Raises ActionError `BadFolder`."""
    text = uri.removeprefix("file://")
    if "://" in text:
        raise ActionError(
            "NotConfigured",
            f"no connector reads {text.split('://')[0][:20]}://; give a folder",
            kind="configuration",
            retryable=False,
        )
    path = Path(text)
    if not path.is_absolute() or "\0" in text:
        raise ActionError("BadFolder", f"{uri[:200]!r} is no absolute path", kind="validation", retryable=False)
    path = Path(os.path.normpath(path))
    try:
        real = path.resolve(strict=True)
    except OSError as error:
        raise ActionError("BadFolder", f"{uri[:200]}: {error.strerror}", kind="validation", retryable=False) from error
    if intake.roots and not any(real.is_relative_to(Path(root).resolve()) for root in intake.roots):
        raise ActionError(
            "BadFolder",
            f"{uri[:200]} is in none of the folders that may be read (policy data, ingest.roots)",
            kind="authorization",
            retryable=False,
        )
    return real


def discover(place: Path, intake: Intake, claims: dict[str, Json]) -> Found:
    """Everything that may be a recording. `claims` are said of all of them. Raises ActionError."""
    found = Found(refs=[], skipped=[])
    if place.is_file():
        _file(place, place.parent, claims | _manifest(place.parent, found).get(place.name, {}), found)
        return found

    def unreadable(error: OSError) -> None:
        found.skipped.append((os.path.relpath(str(error.filename), place), str(error.strerror)))

    for folder, folders, names in os.walk(place, followlinks=False, onerror=unreadable):
        here = Path(folder)
        said = _manifest(here, found)
        if len(here.relative_to(place).parts) >= intake.max_depth:
            if folders:
                found.skipped.append((str(here.relative_to(place)), "deeper than is looked at"))
            folders.clear()
        for name in sorted(folders):
            inner = here / name
            if inner.is_symlink():
                found.skipped.append((str(inner.relative_to(place)), "a link: not followed"))
            elif is_dataset(inner):
                folders.remove(name)
                _dataset(inner, claims | said.get(name, {}), found)
            elif name.endswith(".zarr"):
                folders.remove(name)
                found.skipped.append((str(inner.relative_to(place)), OTHER_FORMATS[".zarr"]))
        folders.sort()
        if here == place and is_dataset(here):
            folders.clear()
            _dataset(here, claims | _manifest(place.parent, found).get(here.name, {}), found)
            return found
        for name in sorted(names):
            if name != MANIFEST:
                _file(here / name, place, claims | said.get(name, {}), found)
        if len(found.refs) > intake.max_found:
            raise ActionError(
                "TooMany",
                f"more than {intake.max_found:g} recordings in one folder: take it in parts",
                kind="validation",
                retryable=False,
            )
    return found


def _file(path: Path, place: Path, said: dict[str, Json], found: Found) -> None:
    name = str(path.relative_to(place))
    seen = path.lstat()
    suffix = path.suffix.lower()
    if stat.S_ISLNK(seen.st_mode):
        found.skipped.append((name, "a link: not followed"))
        return
    if not stat.S_ISREG(seen.st_mode):
        found.skipped.append((name, "no ordinary file"))
        return
    if suffix in OTHER_FORMATS:
        found.skipped.append((name, OTHER_FORMATS[suffix]))
        return
    if suffix != ".mcap" and not _begins_as_mcap(path):
        return
    found.bytes += seen.st_size
    found.refs.append(_ref(path, "mcap", seen.st_size, said, name=path.name))


def _dataset(folder: Path, said: dict[str, Json], found: Found) -> None:
    try:
        opened = open_dataset(folder, rooted=False)
    except Refused:  # it gets a record that says why, as every recording does
        found.refs.append(_ref(folder, "lerobot-v3", 0, said, name=folder.name))
        return
    size = sum(opened.files.values())
    found.bytes += size
    for episode in opened.episodes:
        share = size // max(1, len(opened.episodes))
        ref = _ref(folder, "lerobot-v3", share, said, name=f"{folder.name}#{episode.index}")
        found.refs.append(ref | {"episode": episode.index})


def _ref(path: Path, format: str, size: int, said: dict[str, Json], *, name: str) -> dict[str, Json]:
    ref: dict[str, Json] = {"uri": str(path), "format": format, "bytes": size, "episode": -1, "name": name[:200]}
    return ref | {key: said[key] for key in SAYS if said.get(key)}


def _begins_as_mcap(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.read(fd, 8) == MAGIC
    finally:
        os.close(fd)


class _Said(Struct):
    file: str
    robot: str = ""
    site: str = ""
    sha256: str = ""
    task: str = ""
    operator: str = ""
    region: str = ""
    consent_basis: str = ""
    start: float = 0.0


class _Manifest(Struct):
    recordings: list[_Said] = []


def _manifest(folder: Path, found: Found) -> dict[str, dict[str, Json]]:
    """What the sender says, by file name. One that makes no sense is said to, and counts as none."""
    return read_manifest(folder / MANIFEST, found)


def read_manifest(path: Path, found: Found) -> dict[str, dict[str, Json]]:
    """What a sender says, by file name; nothing when there is no such file."""
    try:
        if path.is_symlink() or not path.is_file():
            return {}
        if path.stat().st_size > MAX_MANIFEST:
            raise msgspec.ValidationError("larger than a manifest")
        read = msgspec.json.decode(path.read_bytes(), type=_Manifest)
    except (msgspec.MsgspecError, OSError) as error:
        found.skipped.append((MANIFEST, f"makes no sense, so nothing is known from it: {str(error)[:120]}"))
        return {}
    return {
        said.file: {
            key: value if not isinstance(value, str) else value[:200]
            for key, value in msgspec.structs.asdict(said).items()
        }
        for said in read.recordings
    }
