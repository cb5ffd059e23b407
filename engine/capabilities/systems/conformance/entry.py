"""Promises of a connector's entry point, checked without any I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from engine.capabilities.ports import ActionError, Param
from engine.capabilities.systems.conformance.promise import clean, must
from engine.capabilities.systems.ports import BadDelivery, BadSignature

KNOWN = (
    "updates", "signals", "fleet", "recordings", "training", "sink", "tickets", "paging", "alerts", "registry", "labels",
    "objects", "decisions", "gateways", "notify", "feeds",
)  # fmt: skip
TYPES = ("string", "integer", "number", "boolean", "array", "object", "any")
_WORD = "a-secret-that-must-not-show"


class _Clock:
    def now(self) -> float:
        return 1_700_000_000.0


def connector(entry: Any, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Raises Broken. With `settings` the connector is built too (which must open no connection); its ports are returned."""
    must(isinstance(entry.kind, str) and entry.kind.isidentifier(), f"kind {entry.kind!r} is not a word")
    must(entry.capabilities, "it serves no capability")
    strange = [name for name in entry.capabilities if name not in KNOWN]
    must(not strange, f"capability {', '.join(strange)} is not known; there are {', '.join(KNOWN)}")
    must(isinstance(entry.needs, tuple), "needs is not a tuple of capabilities")
    for name, field in entry.fields.items():
        must(isinstance(field, Param), f"field {name}: not a Param")
        must(field.type in TYPES, f"field {name}: no such type {field.type}")
        must(field.description, f"field {name} does not say what it is")
        clean(field.description, f"field {name}")
    for name in getattr(entry, "secrets", {}) or {}:
        must(name in entry.fields, f"secrets names {name}, which is no field")
    _receives(entry)
    if settings is None:
        return {}
    ports = _built(entry, settings)
    missing = [name for name in entry.capabilities if name not in ports]
    must(not missing, f"build() made no {', '.join(missing)}")
    return ports


def _built(entry: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    asked: list[str] = []

    def secret(name: str) -> str:
        asked.append(name)
        return _WORD

    ports: dict[str, Any] = entry.build(dict(settings), secret, _Clock(), {})
    for port in ports.values():
        must(_WORD not in repr(port), "the secret shows when a port is printed")
    return ports


def _receives(entry: Any) -> None:
    """A receiver refuses what nobody signed, and does no work that waits."""
    receive = getattr(entry, "receive", None)
    if receive is None:
        return
    must(not asyncio.iscoroutinefunction(receive), "receive() waits; it may do no I/O")
    for headers, body in (({}, b""), ({"content-type": "application/json"}, b'{"event": "x"}'), ({}, b"\xff\x00" * 50)):
        try:
            receive(headers, body, _WORD, _Clock().now())
        except BadSignature as error:
            must(_WORD not in str(error), "the refusal holds the secret")
        except BadDelivery:
            must(False, "something unsigned was read before its sender was proven")
        except ActionError as error:
            must(False, f"receive() raised {error.error}; BadSignature is promised")
        else:
            must(False, "something unsigned was taken")
