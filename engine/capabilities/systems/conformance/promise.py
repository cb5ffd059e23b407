"""What a promise is, and what it is checked with.

A promise is a coroutine `(port, bench)` that returns when the port keeps it, raises `Broken` with the reason when not, and
`NotTried` when it can't be told here. Promises that write make objects that carry the bench's mark, and register how these
are taken away again in the moment they exist.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from engine.capabilities.ports import ActionError, Json

T = TypeVar("T")
UNSUPPORTED = ("Unsupported", "NotSupported")
"""Errors by which a port says that its system can't do this at all; a trait has to say so beforehand."""
SANE_FROM, SANE_AHEAD_S = 946_684_800.0, 86_400.0
"""Times before 2000, or more than a day ahead of the engine's clock, are a unit or a zone gone wrong."""


class Broken(Exception):
    """The port does not do what it promises."""


class NotTried(Exception):
    """It can't be told here: nothing to look at, or nobody said what may be touched."""


class Promise(Struct, frozen=True, kw_only=True):
    """`capability` empty: of every port. `needs`: what has to be named before it may be tried (name -> what it is)."""

    capability: str
    name: str
    says: str
    run: Callable[[Any, Bench], Awaitable[None]]
    write: bool = False
    needs: Mapping[str, str] = {}


PROMISES: list[Promise] = []


def promise(
    capability: str, says: str, *, write: bool = False, needs: Mapping[str, str] | None = None
) -> Callable[[Callable[[Any, Bench], Awaitable[None]]], Callable[[Any, Bench], Awaitable[None]]]:
    """Adds a coroutine to the promises of a capability; they are tried in the order in which they stand."""

    def add(run: Callable[[Any, Bench], Awaitable[None]]) -> Callable[[Any, Bench], Awaitable[None]]:
        name = run.__name__.replace("_", "-")
        PROMISES.append(
            Promise(capability=capability, name=name, says=says, run=run, write=write, needs=dict(needs or {}))
        )
        return run

    return add


class Bench:
    """What the promises of one system are tried with, in one check.

    `given` names what may be touched (`robot`, `uri`, `channel` …), `now` is the engine's clock, `mark` stands in everything
    that is made. `left` collects what stays behind.
    """

    def __init__(self, mark: str, now: Callable[[], float], given: Mapping[str, str], capability: str = "") -> None:
        self.mark, self.now, self.given, self.capability = mark, now, given, capability
        self.left: list[str] = []
        self._undo: list[tuple[str, Callable[[], Awaitable[Any]]]] = []
        self._made: dict[str, Any] = {}
        self.failed: dict[str, str] = {}

    def key(self, name: str) -> str:
        """An idempotency key as a step would have it: the same for the same name, in no other check."""
        return f"{self.mark}/{self.capability}/{name}"

    async def once(self, name: str, make: Callable[[], Awaitable[T]]) -> T:
        """What several promises share, made at its first use. When it could not be made, the others are not tried."""
        if name in self.failed:
            raise NotTried(f"{name} could not be made: {self.failed[name]}")
        if name not in self._made:
            try:
                self._made[name] = await make()
            except (Broken, ActionError) as error:
                self.failed[name] = str(error)[:200]
                raise
        found: T = self._made[name]
        return found

    def undo(self, what: str, how: Callable[[], Awaitable[Any]]) -> None:
        """How something is taken away again; called in reverse order at the end, whatever happened."""
        self._undo.append((what, how))

    def stays(self, what: str) -> None:
        self.left.append(what)

    async def clear(self) -> None:
        """Takes away what was made. What can't be is said."""
        while self._undo:
            what, how = self._undo.pop()
            try:
                await how()
            except (ActionError, Broken, NotTried) as error:
                self.left.append(f"{what}: {str(error)[:200]}")


def must(holds: object, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)


async def refuses(doing: Awaitable[Any], *names: str, kinds: tuple[str, ...] = ()) -> ActionError:
    """It is refused with an error of these names (or kinds). Raises Broken when it is done, or refused as something else."""
    try:
        await doing
    except ActionError as error:
        if error.error in UNSUPPORTED:
            raise
        if (names or kinds) and error.error not in names and error.kind not in kinds:
            wanted = " or ".join(names or kinds)
            raise Broken(f"refused as {error.error} ({error.kind}), not as {wanted}: {error.message[:160]}") from error
        must(not error.retryable or error.kind == "conflict", f"{error.error} says that trying again may help")
        return error
    raise Broken(f"it was done, where {' or '.join(names or kinds) or 'an error'} was due")


def dirty(value: Json, path: str = "") -> str:
    """Where a text holds what could act on a terminal or hide other text; empty when everything is clean."""
    if isinstance(value, Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        for name, each in list(value.items())[:2000]:
            if found := dirty(str(name), f"{path}.(name)") or dirty(each, f"{path}.{name}"):
                return found
        return ""
    if isinstance(value, list | tuple):
        for place, each in enumerate(value[:2000]):
            if found := dirty(each, f"{path}[{place}]"):
                return found
        return ""
    if isinstance(value, str) and not (value.isascii() and value.isprintable()):
        for character in value[:100_000]:
            if character not in "\n\t" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
                return f"{path.lstrip('.') or 'the text'} holds U+{ord(character):04X}"
    return ""


def clean(value: Json, what: str) -> None:
    found = dirty(value)
    must(not found, f"{what} is not clean: {found}")


def sane(at: float, now: float, what: str) -> None:
    """A time is UTC epoch seconds (0: it is not known)."""
    if at:
        must(math.isfinite(at), f"{what} is not a number")
        must(at >= SANE_FROM, f"{what} is {at:.0f}: before 2000; seconds since 1970 UTC are promised")
        must(at <= now + SANE_AHEAD_S, f"{what} is {at:.0f}: over a day ahead; seconds since 1970 UTC are promised")
