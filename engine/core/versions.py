"""Events as bytes, and how old ones are read: upcasters are pure and chained, and an unknown newer version stops the run.

Every event type has a version, 1 unless `VERSIONS` says otherwise. When a type's meaning changes, raise its version and
add an upcaster from the one before: a function from the old plain form to the next. Adding a field with a default needs
neither. Golden histories in the tests fold to the same state for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from engine.core.event import Event
from engine.core.events import EVENTS

Plain = dict[str, Any]

VERSIONS: dict[str, int] = {}
"""The current version of each event type that has more than one."""

UPCASTERS: dict[tuple[str, int], Callable[[Plain], Plain]] = {}
"""From (type, version) to the plain form of the next version."""


class UnknownEvent(Exception):
    """An event of a type or version this engine does not know. Nothing is skipped: the run stands until it is known."""


_encoder = msgspec.json.Encoder()
_decoders: dict[str, msgspec.json.Decoder[Any]] = {name: msgspec.json.Decoder(kind) for name, kind in EVENTS.items()}


def encode_event(event: Event) -> bytes:
    """The bytes that stand in the journal and under the hash; `type` is among them."""
    return _encoder.encode(event)


def version_of(event: Event) -> int:
    return VERSIONS.get(type(event).__name__, 1)


def decode_event(kind: str, version: int, data: bytes) -> Event:
    """The event, brought to the current version. Raises UnknownEvent."""
    decoder = _decoders.get(kind)
    current = VERSIONS.get(kind, 1)
    if decoder is None or version > current:
        raise UnknownEvent(
            f"event {kind} version {version} is newer than this engine (knows {current if decoder else 0})"
        )
    if version == current:
        try:
            event: Event = decoder.decode(data)
        except msgspec.DecodeError as error:
            raise UnknownEvent(f"event {kind} version {version} can't be read: {error}") from error
        return event
    plain: Plain = msgspec.json.decode(data)
    for old in range(version, current):
        step = UPCASTERS.get((kind, old))
        if step is None:
            raise UnknownEvent(f"nothing reads event {kind} version {old}")
        plain = step(plain)
    try:
        upcast: Event = msgspec.convert(plain, EVENTS[kind])
    except msgspec.ValidationError as error:
        raise UnknownEvent(f"event {kind} version {version} can't be read: {error}") from error
    return upcast
