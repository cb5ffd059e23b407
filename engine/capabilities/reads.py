"""Reads that a subject adds to the door: computed views beside the plain records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from engine.capabilities.vault import Vault

Json = Any


class Look(Protocol):
    """What a read may use. Synchronous, in a thread."""

    person: str
    vault: Vault
    ports: Mapping[str, Any]

    def get(self, kind: str, id: str) -> Any | None: ...
    def find(
        self,
        kind: str,
        *,
        state: str | Sequence[str] = (),
        where: Mapping[str, Json] | None = None,
        text: str = "",
        limit: int = 200,
        order: str = "-updated_at",
    ) -> list[Any]: ...
    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]: ...
    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Any: ...
    def now(self) -> float: ...
    def policy(self, pack: str) -> dict[str, Json]: ...


class Read(Struct, frozen=True, kw_only=True):
    """`GET path`. `give` gets the look, the path's parameters and the query; None means there is no such thing."""

    path: str
    shape: Any
    says: str
    give: Callable[[Look, dict[str, str], dict[str, str]], Any]
    queries: tuple[str, ...] = ()
