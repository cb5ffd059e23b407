"""The ring buffer on a robot: what it still holds, pinning a window before it is overwritten, and fetching it.

Embedded implementation: a folder per robot with recordings of the last minutes, `<begin>-<end>.mcap` in milliseconds since
the epoch, and `ring.json` {"ring_s", "online", "clock_offset_s"}. What is older than the ring is overwritten, whether or
not a file still stands there; a pin is a hard link and outlives the ring. Names that come from robots never leave the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from engine.capabilities.ports import ActionError, Clock, Deferred

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FILE = re.compile(r"(\d{10,16})-(\d{10,16})\.mcap")
RING_S = 600.0
AGAIN_S = 60.0


class Ring(Struct, frozen=True, kw_only=True):
    """What a robot still holds: UTC epoch seconds, 0 when nothing."""

    robot: str
    start: float
    end: float
    ring_s: float
    online: bool
    clock_offset_s: float = 0.0


class Pin(Struct, frozen=True, kw_only=True):
    """A window kept on the robot, until it is let go. `covered` 0..1 of what was asked for."""

    robot: str
    ref: str
    start: float
    end: float
    covered: float


class RobotsRecorder(Protocol):
    """The port `robots_recorder`. A robot out of reach raises `Deferred`; data that is gone ActionError `Overwritten`."""

    async def ring(self, robot: str) -> Ring: ...
    async def pin(self, robot: str, start: float, end: float, *, key: str) -> Pin:
        """Keeps the window on the robot. The same key again gives the same pin."""
        ...

    async def fetch(self, robot: str, ref: str) -> Sequence[Path]:
        """The pinned recordings as files here, in time order."""
        ...

    async def release(self, robot: str, ref: str) -> None: ...


class RingFolder:
    """The port over a folder."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder, self._clock = folder, clock

    async def ring(self, robot: str) -> Ring:
        home, facts = self._home(robot), self._facts(robot)
        held = self._held(home, facts.ring_s)
        return Ring(
            robot=robot,
            start=held[0][0] if held else 0.0,
            end=max((end for _, end, _ in held), default=0.0),
            ring_s=facts.ring_s,
            online=facts.online,
            clock_offset_s=facts.clock_offset_s,
        )

    async def pin(self, robot: str, start: float, end: float, *, key: str) -> Pin:
        facts = self._reachable(robot)
        home = self._home(robot)
        ref = hashlib.sha256(key.encode()).hexdigest()[:24]
        place = home / "pins" / ref
        if not place.is_dir():
            held = [row for row in self._held(home, facts.ring_s) if row[1] > start and row[0] < end]
            if not held:
                raise ActionError(
                    "Overwritten",
                    f"{robot} holds nothing of that time any more (ring of {facts.ring_s / 60:.0f} min)",
                    kind="domain",
                    retryable=False,
                )
            fresh = place.with_name(f".{ref}")
            fresh.mkdir(parents=True, exist_ok=True)
            for _, _, path in held:
                with contextlib.suppress(FileExistsError):
                    os.link(path, fresh / path.name)
            os.replace(fresh, place)
        rows = self._files(place)
        first, last = max(start, rows[0][0]), min(end, max(row[1] for row in rows))
        return Pin(
            robot=robot,
            ref=ref,
            start=first,
            end=last,
            covered=round(max(0.0, last - first) / max(1e-6, end - start), 3),
        )

    async def fetch(self, robot: str, ref: str) -> Sequence[Path]:
        self._reachable(robot)
        if not re.fullmatch(r"[0-9a-f]{24}", ref):
            raise ActionError("NoSuchPin", f"{ref[:40]!r} is no pin", kind="validation", retryable=False)
        rows = self._files(self._home(robot) / "pins" / ref)
        if not rows:
            raise ActionError("Overwritten", f"the pin on {robot} is gone", kind="domain", retryable=False)
        return [path for _, _, path in rows]

    async def release(self, robot: str, ref: str) -> None:
        place = self._home(robot) / "pins" / ref
        for _, _, path in self._files(place):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            place.rmdir()

    async def check(self) -> str:
        count = sum(1 for each in self.folder.iterdir() if each.is_dir()) if self.folder.is_dir() else 0
        return f"folder of ring buffers, {count} robots"

    def _home(self, robot: str) -> Path:
        if not _NAME.fullmatch(robot):
            raise ActionError("NoSuchRobot", f"{robot[:60]!r} is no robot's name", kind="validation", retryable=False)
        return self.folder / robot

    def _reachable(self, robot: str) -> Ring:
        facts = self._facts(robot)
        if not facts.online:
            raise Deferred(f"{robot} is out of reach", AGAIN_S)
        return facts

    def _facts(self, robot: str) -> Ring:
        home = self._home(robot)
        if not home.is_dir():
            raise ActionError("NoSuchRobot", f"{robot} has no ring buffer here", kind="domain", retryable=False)
        try:
            told = json.loads((home / "ring.json").read_text("utf-8")[:4096])
        except (OSError, ValueError):
            told = {}
        told = told if isinstance(told, dict) else {}
        ring_s, offset = told.get("ring_s"), told.get("clock_offset_s")
        return Ring(
            robot=robot,
            start=0.0,
            end=0.0,
            ring_s=float(ring_s) if isinstance(ring_s, int | float) and 1 <= ring_s <= 86_400 else RING_S,
            online=told.get("online", True) is True,
            clock_offset_s=float(offset) if isinstance(offset, int | float) and abs(offset) < 1e6 else 0.0,
        )

    def _held(self, home: Path, ring_s: float) -> list[tuple[float, float, Path]]:
        """Recordings that the ring still holds now."""
        gone = self._clock.now() - ring_s
        return [row for row in self._files(home) if row[1] > gone]

    def _files(self, folder: Path) -> list[tuple[float, float, Path]]:
        if not folder.is_dir():
            return []
        found = []
        for path in folder.iterdir():
            if (named := _FILE.fullmatch(path.name)) and path.is_file() and not path.is_symlink():
                found.append((int(named[1]) / 1000, int(named[2]) / 1000, path))
        return sorted(found, key=lambda row: (row[0], row[2].name))
