"""A robot as an update server's connector hands it to the fleet, whatever the server itself calls its fields."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class Board(Protocol):
    @property
    def revision(self) -> str: ...


class Device(Protocol):
    """`last_seen` is how long ago it polled (s), by the server's clock; None: never. `update_mode` Pinned: it does not take
    what is assigned to others."""

    @property
    def id(self) -> str: ...
    @property
    def sw_version(self) -> str | None: ...
    @property
    def hardware(self) -> Board | None: ...
    @property
    def update_mode(self) -> str: ...
    @property
    def last_seen(self) -> float | None: ...
    @property
    def poll_seconds(self) -> float | None: ...


class Hardware(Struct, frozen=True):
    revision: str = ""


class Polled(Struct, frozen=True, kw_only=True):
    """A `Device` for servers that have no row of this shape."""

    id: str
    sw_version: str | None = None
    hardware: Hardware | None = None
    update_mode: str = ""
    last_seen: float | None = None
    poll_seconds: float | None = None
