"""What goes through the journal: who acts, what a committed event is, and one commit of one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from engine.core.event import Event

Json = Any

INLINE = 32 * 1024
"""Payloads above this many bytes are kept by reference (`blobs`), under the digest that the chain holds anyway."""

SYSTEM = ""
"""The run of events that belong to no run (engine started, workflow registered)."""


class Actor(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who acts. `kind`: person, engine, policy, connector, trigger; `via` how strongly we know them; `origin` for the
    audit ("ssh uid=1001 pid=7").
    """

    kind: str
    id: str
    via: str = ""
    on_behalf_of: str | None = None
    origin: str = ""


ENGINE = Actor(kind="engine", id="engine")


@lru_cache(maxsize=4096)
def actor_text(actor: Actor) -> str:
    """The actor as stored and hashed: one line of JSON."""
    return msgspec.json.encode(actor).decode()


@lru_cache(maxsize=4096)
def actor_of(text: str) -> Actor:
    return msgspec.json.decode(text, type=Actor)


class Recorded(Struct, frozen=True, gc=False):
    """A committed event. `at` is UTC epoch seconds; `data` are the stored bytes; `event` is None for a system event."""

    seq: int
    run: str
    n: int
    type: str
    at: float
    actor: Actor
    cause: str
    data: bytes
    event: Event | None = None
    workflow: str = ""


class RunLine(Struct, gc=False):
    """The row of `runs` after a commit, as computed from the state that the commit leads to."""

    number: int
    workflow: str
    digest: str
    title: str
    status: str
    started_at: float
    updated_at: float
    ended_at: float | None
    ending: str
    waiting_on: str
    step: str
    started_by: str
    gates: int
    attention: str
    parent: str | None
    attributes: str


class Commit:
    """All that one decision writes, in one transaction, or nothing of it.

    `before` is the number of the run's newest event when it was decided: when the run is elsewhere, the commit is
    refused (`StaleCommit`). `done` is called on the loop, after the commit, with the sequence of the first event, or
    with the error. `extra` are further rows, as (statement, rows).
    """

    __slots__ = (
        "actor",
        "answer",
        "at",
        "before",
        "cause",
        "command",
        "context",
        "data",
        "done",
        "error",
        "events",
        "extra",
        "first",
        "line",
        "run",
        "snapshot",
        "types",
        "waits",
    )

    def __init__(
        self,
        *,
        run: str,
        before: int,
        events: Sequence[Event],
        data: Sequence[bytes],
        at: int,
        actor: Actor,
        cause: str,
        done: Callable[[Commit, BaseException | None], None],
        types: Sequence[str] | None = None,
        line: RunLine | None = None,
        snapshot: bytes | None = None,
        command: str | None = None,
        answer: Callable[[int], bytes] | None = None,
        waits: Sequence[tuple[str, str, str]] | None = None,
        extra: Sequence[tuple[str, Sequence[tuple[Any, ...]]]] = (),
        context: Any = None,
    ) -> None:
        self.run, self.before, self.events, self.data, self.at = run, before, events, data, at
        self.types = types if types is not None else [type(event).__name__ for event in events]
        self.actor, self.cause, self.line, self.snapshot = actor, cause, line, snapshot
        self.command, self.answer, self.waits, self.extra, self.done = command, answer, waits, extra, done
        self.context = context
        self.first = 0
        self.error: BaseException | None = None

    def recorded(self) -> list[Recorded]:
        """Its events as committed (valid once `first` is set)."""
        at = self.at / 1e6
        workflow = self.line.workflow if self.line else ""
        events: Sequence[Event | None] = self.events or [None] * len(self.data)
        return [
            Recorded(
                self.first + i, self.run, self.before + 1 + i, type_, at, self.actor, self.cause, data, event, workflow
            )
            for i, (type_, data, event) in enumerate(zip(self.types, self.data, events, strict=True))
        ]


class Cursor(Protocol):
    """The part of a DBAPI cursor that projectors need."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Any: ...
    def executemany(self, sql: str, rows: Any, /) -> Any: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Projector(Protocol):
    """Keeps tables of its own in step with the history, inside the writer's transaction.

    `wants` names the event types it looks at (constant cost for all others). An exception in `apply` undoes the whole
    batch; a projector raises only when its own tables can't be written.
    """

    tables: tuple[str, ...]
    wants: frozenset[str]

    def apply(self, rows: list[Recorded], connection: Cursor) -> None: ...
