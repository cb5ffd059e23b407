"""Verbs on records: what a person may ask for beside starting runs and answering gates.

A subject declares its verbs as data (`DeskVerb`); the door checks shape, permission and phrase, then calls `do` with a
`Desk` that knows who asks. What `do` changes, it changes through the book, so that every change has its actor.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, NoReturn, Protocol

from msgspec import Meta, Struct

from engine.capabilities.records import Records
from engine.capabilities.vault import Vault

Json = Any
Short = Annotated[str, Meta(max_length=200)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(max_length=4000)]
Given = Annotated[str, Meta(min_length=1, max_length=4000)]


class Args(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all arguments: a field too many is refused with its name."""


class Refusal(Exception):
    """A verb that is not done: a stable code, the reason, what to do about it, the argument it is about."""

    def __init__(self, code: str, reason: str, *, fix: str = "", field: str = "") -> None:
        super().__init__(reason)
        self.code, self.reason, self.fix, self.field = code, reason, fix, field


class Foreseen(Struct, frozen=True):
    """What a verb would do, in sentences, and the phrase that has to be typed for it."""

    sentences: tuple[str, ...] = ()
    phrase: str = ""


class Desk(Protocol):
    """One person asking for one thing. Ids of what it starts derive from the request's, so a repeat starts nothing new."""

    person: str
    roles: tuple[str, ...]
    records: Records
    vault: Vault

    def now(self) -> float: ...
    def port(self, capability: str) -> Any:
        """Raises ActionError `NotConfigured`."""
        ...

    def policy(self, pack: str) -> dict[str, Json]: ...
    async def start(
        self, workflow: str, inputs: Mapping[str, Json], attributes: Mapping[str, Json] | None = None
    ) -> str:
        """Starts a run; its id. Raises Refusal."""
        ...

    async def signal(self, run: str, event: str, data: Mapping[str, Json] | None = None) -> None:
        """An event for one run. Raises Refusal."""
        ...

    async def publish(
        self,
        event: str,
        data: Mapping[str, Json],
        subject: str = "",
        *,
        source: str = "",
        id: str = "",
        cause: str = "",
    ) -> None:
        """An event for whoever waits for it. `source` and `id` are those of a system it is told for; `cause` the key of the
        event it follows from."""
        ...

    def refuse(self, code: str, reason: str, fix: str = "", field: str = "") -> NoReturn: ...


Do = Callable[[Desk, Any, Any], Awaitable[Json]]
Foresee = Callable[[Desk, Any, Any], Awaitable[Foreseen]]


class DeskVerb(Struct, frozen=True, kw_only=True):
    """`says` completes "may not …". With `kind` the target is a record of that kind, given to `do` as it stands."""

    name: str
    args: type[Args]
    says: str
    do: Do
    kind: str = ""
    foresee: Foresee | None = None
    risk: bool = False
