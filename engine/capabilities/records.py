"""How actions and verbs reach the records: the book's protocol, and what a change is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct, field

from engine.capabilities.ports import ActionError
from engine.contract.records import RecordEvent

Json = Any


class RecordError(ActionError):
    """A change that is not made: `IllegalMove`, `NotYet`, `Conflict`, `NoSuchRecord`, `BadField`, `Exists`."""

    def __init__(self, error: str, message: str, *, field: str = "", fix: str = "") -> None:
        kind = "validation" if error == "BadField" else "conflict"
        super().__init__(error, message, kind=kind, retryable=False)
        self.field, self.fix = field, fix


class Emit(Struct, frozen=True):
    """An event told to runs, triggers and the outside in the same commit. `subject`: the record's id when empty."""

    event: str
    data: dict[str, Json] = field(default_factory=dict)
    subject: str = ""


class Change(Struct, frozen=True, kw_only=True):
    """One change among many. With `key` it creates (once per key); without, `id` must exist."""

    kind: str
    id: str = ""
    to: str = ""
    set: dict[str, Json] = field(default_factory=dict)
    reason: str = ""
    emit: tuple[Emit, ...] = ()
    expect: int | None = None
    facts: dict[str, Json] = field(default_factory=dict)
    key: str = ""


class Records(Protocol):
    """The book, bound to who asks. Every change is on disk when it is answered. Raises `RecordError`."""

    async def create(
        self,
        kind: str,
        fields: Mapping[str, Json],
        *,
        key: str,
        id: str = "",
        state: str = "",
        reason: str = "",
        emit: Sequence[Emit] = (),
        facts: Mapping[str, Json] | None = None,
    ) -> Any: ...
    async def change(
        self,
        kind: str,
        id: str,
        *,
        to: str = "",
        set: Mapping[str, Json] | None = None,
        reason: str = "",
        emit: Sequence[Emit] = (),
        expect: int | None = None,
        facts: Mapping[str, Json] | None = None,
    ) -> Any: ...
    async def change_many(self, changes: Sequence[Change]) -> list[Any]: ...
    async def get(self, kind: str, id: str) -> Any | None: ...
    async def find(
        self,
        kind: str,
        *,
        state: str | Sequence[str] = (),
        where: Mapping[str, Json] | None = None,
        text: str = "",
        limit: int = 200,
        order: str = "-updated_at",
    ) -> list[Any]: ...
    async def history(self, kind: str, id: str) -> list[RecordEvent]: ...
