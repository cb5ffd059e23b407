"""What a scan is told: which topics matter, how far numbers may go, and how large anything in a file may be."""

from __future__ import annotations

import math
from collections.abc import Callable
from fnmatch import fnmatchcase

from msgspec import Struct, field


class Caps(Struct, frozen=True, kw_only=True):
    """A file that goes beyond one of these is refused: it would cost more than a recording may. Bytes, or a count."""

    record_bytes: int = 1 << 30
    chunk_bytes: int = 256 << 20
    topics: int = 2000
    metadata_bytes: int = 1 << 20
    events: int = 2000


class Roles(Struct, frozen=True, kw_only=True):
    """Which topics play which part, by name or by type; patterns with `*`, in order: the first that fits."""

    camera: tuple[str, ...] = ("*CompressedImage", "*CompressedVideo", "*/Image", "*RawImage")
    action: tuple[str, ...] = ("/action", "/action/*", "*/command", "/policy/step")
    state: tuple[str, ...] = ("*JointState", "/state", "/observation*")
    events: tuple[str, ...] = ("/events", "/interventions")

    def of(self, topic: str, type: str) -> str:
        for role in ("action", "events", "camera", "state"):
            if any(fnmatchcase(topic, p) or fnmatchcase(type, p) for p in getattr(self, role)):
                return role
        return "other"


class Rules(Struct, frozen=True, kw_only=True):
    """What a scan needs to know of the profile. `low`, `high`: limits of actions."""

    roles: Roles = Roles()
    caps: Caps = Caps()
    low: float = -math.inf
    high: float = math.inf
    fields: tuple[str, ...] = ("position", "action", "data", "values")
    ignored: tuple[str, ...] = ()
    profile: str = ""
    session_names: tuple[str, ...] = field(default_factory=lambda: ("session", "episode"))


class Watch:
    """How a long read tells where it is, and learns that it should stop. Called from the reading thread."""

    def __init__(
        self, tell: Callable[[int, int], None] | None = None, stopped: Callable[[], bool] | None = None
    ) -> None:
        self._tell, self._stopped = tell, stopped

    def at(self, done: int, of: int) -> None:
        """Raises Stopped."""
        if self._stopped is not None and self._stopped():
            raise Stopped
        if self._tell is not None:
            self._tell(done, of)


class Stopped(Exception):
    """Nobody waits for the answer any more."""


class Refused(Exception):
    """It is not what it claims to be, or more than may be read. `check` names the finding."""

    def __init__(self, check: str, reason: str) -> None:
        super().__init__(reason)
        self.check, self.reason = check, reason
