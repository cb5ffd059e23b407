"""What every event is, and what an error is."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Json = Any


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag=True):
    """Base of all events. `type` is the class name; `v` its version."""


class Failure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error with its name (matched by `catch`), its kind (the taxonomy) and what a person can read."""

    error: str
    message: str = ""
    kind: Literal[
        "configuration",
        "validation",
        "expression",
        "authentication",
        "authorization",
        "timeout",
        "communication",
        "conflict",
        "unavailable",
        "unknown",
        "domain",
    ] = "domain"
    detail: Json = None
