"""Dry mode: what would be sent to a remote system is written down instead of sent. Reads still go through.

    with dry.recording() as would:
        with suppress(dry.NotSent):
            await port.open(new, key="k")
    would == [Would(system="Jira", method="POST", ...)]

The first write whose answer is needed ends the call with `NotSent`: what comes after it depends on an answer nobody gave.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from msgspec import Struct, field

from engine.capabilities.ports import ActionError


class Would(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request that was not sent. Values of fields and headers that may be secrets are masked; long bodies are cut."""

    system: str
    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None


class NotSent(ActionError):
    """Dry mode: nothing was sent. `detail` is the `Would` as plain data."""


_recording: ContextVar[list[Would] | None] = ContextVar("quarterdeck_dry", default=None)


@contextmanager
def recording() -> Iterator[list[Would]]:
    """Whatever runs inside (and tasks started there) sends no write; the list is what it would have sent."""
    found: list[Would] = []
    token = _recording.set(found)
    try:
        yield found
    finally:
        _recording.reset(token)


def sink() -> list[Would] | None:
    """Where writes are written down, or None: they are sent."""
    return _recording.get()
