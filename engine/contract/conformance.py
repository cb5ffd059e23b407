"""What checking a system against the promises of its ports came to."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class PromiseResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One promise. `reason` says why it is broken or was skipped; `write`: keeping it was tried by writing."""

    capability: str
    name: str
    says: str
    outcome: Literal["kept", "broken", "skipped"]
    write: bool = False
    reason: str = ""
    seconds: float = 0.0


class CheckReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All promises of one system. `left`: what the check made and could not take away again, for people to look at."""

    system: str
    kind: str = ""
    at: float = 0.0
    write: bool = False
    results: tuple[PromiseResult, ...] = ()
    kept: int = 0
    broken: int = 0
    skipped: int = 0
    left: tuple[str, ...] = ()
    mark: str = ""
    """What stands in everything the check made at the owner, to find it by."""
