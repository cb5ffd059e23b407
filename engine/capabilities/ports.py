"""The ports: one small protocol per capability, and what an action is.

An *action* is what an `action` or `observe` step names. It declares typed inputs and outputs (checked at load), its
default effect, and a coroutine `(context, input) -> output`. It talks to remote systems through the ports, which
connectors implement; it never touches the journal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from msgspec import Struct, field

Json = Any


class ActionError(Exception):
    """An action failed. `error` is matched by `catch`; `kind` is the taxonomy; `retryable` false ends the retries."""

    def __init__(
        self,
        error: str,
        message: str,
        *,
        kind: str = "domain",
        retryable: bool = True,
        retry_after: float | None = None,
        detail: Json = None,
    ) -> None:
        super().__init__(message)
        self.error, self.message, self.kind = error, message, kind
        self.retryable, self.retry_after, self.detail = retryable, retry_after, detail


class InDoubt(ActionError):
    """It was sent and not answered. The action is called again with `context.in_doubt` set: read back, don't re-send."""


class Deferred(Exception):
    """The target is busy or offline: ask again in `seconds` (no attempt is spent)."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.reason, self.seconds = reason, seconds


class Context(Protocol):
    """What an action gets beside its input. `now` is the engine's clock (UTC epoch s); `key` is stable over attempts.

    `installation` tells this one from all others that may use the same remote systems; `key` begins with it.
    `records` is the book (`engine.capabilities.records.Records`), `vault` the content-addressed store; what is written
    through them names this step as its cause.
    """

    records: Any
    vault: Any
    run: str
    path: str
    key: str
    installation: str
    attempt: int
    in_doubt: bool
    recovered: bool

    @property
    def started_by(self) -> str:
        """Who started this run: a person, or the trigger."""
        ...

    def now(self) -> float: ...
    async def sleep(self, seconds: float) -> None:
        """Sleeps on the engine's clock."""
        ...

    def heartbeat(self, progress: Json = None) -> None: ...
    def cancelled(self) -> bool: ...
    def port(self, capability: str) -> Any:
        """The implementation configured for a capability. Raises ActionError `NotConfigured`."""
        ...

    def policy(self, pack: str) -> dict[str, Json]:
        """A policy pack by name, as resolved for this installation."""
        ...


class Param(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A typed parameter; the JSON Schema words."""

    type: Literal["string", "integer", "number", "boolean", "array", "object", "any"] = "any"
    required: bool = True
    description: str = ""


def required(**types: str) -> dict[str, Param]:
    """Parameters that must be given, name=type."""
    return {name: Param(type=kind) for name, kind in types.items()}  # type: ignore[arg-type]


def optional(**types: str) -> dict[str, Param]:
    """Parameters that may be left out (all outputs are such), name=type."""
    return {name: Param(type=kind, required=False) for name, kind in types.items()}  # type: ignore[arg-type]


class Action(Struct, frozen=True, kw_only=True):
    """A named action. `effect` is its default; `reads_back` says that it honours `context.in_doubt`."""

    name: str
    run: Callable[[Any, dict[str, Json]], Awaitable[Json]]
    inputs: dict[str, Param] = field(default_factory=dict)
    outputs: dict[str, Param] = field(default_factory=dict)
    effect: Literal["read", "idempotent", "once"] = "idempotent"
    reads_back: bool = False
    description: str = ""


class Robot(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A robot as its owners report it. `mode` after VDA 5050; `last_seen_at` UTC epoch s; battery 0..1."""

    id: str
    serial: str = ""
    site: str = ""
    region: str = ""
    customer: str = ""
    variant: str = ""
    mode: str = "OFFLINE"
    version: str = ""
    battery: float | None = None
    last_seen_at: float = 0.0
    poll_s: float = 60.0
    online: bool = False
    busy: bool = False
    charging: bool = False
    pinned: bool = False
    rollback_floor: str = ""
    disk_free_b: int | None = None


class Release(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Software as the update server holds it. `digest` is what the owner publishes (`sha1:…` on gooseBit)."""

    id: str
    version: str
    digest: str
    size_b: int
    models: tuple[str, ...] = ()
    name: str = ""


class InstallReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where one robot stands with its update, as owner and robot report it.

    `state`: idle, assigned, downloading, installing, failed, done. `reported` is the robot's own version and outranks
    the owner's record. `progress` 0..100.
    """

    robot: str
    state: str
    desired: str
    reported: str
    progress: int = 0
    last_seen_at: float = 0.0
    error: str = ""


class Updates(Protocol):
    """The update server. `traits` declares what it can't do (shown before a key is pressed)."""

    traits: dict[str, str]

    async def releases(self) -> Sequence[Release]: ...
    async def reports(self, robots: Sequence[str] | None = None) -> Sequence[InstallReport]: ...
    async def assign(self, robots: Sequence[str], version: str, *, key: str) -> Sequence[str]:
        """Makes `version` the target of each robot; returns those that now have it (assigning twice changes nothing).

        Raises ActionError `NoSuchRelease`, `NoSuchRobot`; InDoubt when sent and not answered.
        """
        ...

    async def withdraw(self, robots: Sequence[str], *, key: str) -> Sequence[str]:
        """Stops what has not started: the target becomes what the robot reports. Returns robots that now stand still."""
        ...

    async def retry(self, robots: Sequence[str], *, key: str) -> None: ...
    async def first_error(self, robot: str) -> str: ...
    async def check(self) -> str:
        """A read that proves the connection; returns the server's name and version."""
        ...


class Sample(Struct, frozen=True):
    """One value of a counter or gauge at a time (UTC epoch s)."""

    t: float
    value: float


class Signals(Protocol):
    """The metrics server: per-robot series."""

    async def instant(
        self, name: str, labels: dict[str, str] | None = None, at: float | None = None
    ) -> list[tuple[dict[str, str], Sample]]: ...
    async def range(
        self, name: str, start: float, end: float, step: float, robots: Sequence[str] | None = None
    ) -> dict[str, list[Sample]]:
        """Per robot, in time order, with gaps where nothing was scraped. Counters are raw (resets included)."""
        ...

    async def check(self) -> str: ...


class Stored(Struct, frozen=True, kw_only=True):
    """A file in an object store. `uri` as it is asked for again; `etag` changes with its content; `modified_at` UTC epoch s."""

    uri: str
    bytes: int
    etag: str
    modified_at: float = 0.0


class Recordings(Protocol):
    """Where recordings lie that are not in a folder."""

    async def list(self, uri: str, *, limit: int) -> Sequence[Stored]:
        """What begins with `uri`, at most `limit` and one more. Raises ActionError `BadFolder`."""
        ...

    async def fetch(self, stored: Stored, target: Path, told: Callable[[int, int], None] | None = None) -> None:
        """Writes its content to `target`, going on where a broken transfer ended. Raises ActionError `ContentChanged`
        when it is no longer what was listed."""
        ...

    async def check(self) -> str: ...


class Fleet(Protocol):
    """Who is in the fleet: robots joined from their owners."""

    async def robots(self) -> Sequence[Robot]: ...


class Clock(Protocol):
    """What a connector may ask about time: the engine's clock, UTC epoch seconds."""

    def now(self) -> float: ...


class Connector(Protocol):
    """What an entry point of the group `quarterdeck.connectors` names: it makes implementations of ports.

    `fields` are its settings (`url`, `secret` and whatever stands under `options`); `secret` is the name of a keyring
    entry. `needs` names capabilities that are built first and handed over in `ports`. `build` opens no connection; an
    implementation that has `close()` is closed with the engine, one that has `check()` is asked by `qd doctor`.
    """

    @property
    def kind(self) -> str: ...
    @property
    def capabilities(self) -> tuple[str, ...]: ...
    @property
    def needs(self) -> tuple[str, ...]: ...
    @property
    def fields(self) -> Mapping[str, Param]: ...
    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]: ...
