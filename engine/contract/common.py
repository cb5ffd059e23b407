"""Words shared by all subjects. Times are UTC epoch seconds (float) unless a name says otherwise."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

Json = Any


class View(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of everything the engine shows."""


class ActorView(View, frozen=True, kw_only=True):
    kind: str
    id: str
    via: str = ""
    on_behalf_of: str | None = None


class Problem(View, frozen=True, kw_only=True):
    """Every 4xx and 5xx answer. `code` is stable, `field` names the part of the request, `fix` says what to do."""

    code: str
    reason: str
    fix: str = ""
    field: str = ""


class CommandRequest(View, frozen=True, kw_only=True):
    """Body of `POST /v1/commands/{verb}`. `id` is made by the caller: a repeat gets the stored answer.

    `preview` asks what would happen and changes nothing.
    """

    id: str
    target: str = ""
    args: dict[str, Json] = field(default_factory=dict)
    preview: bool = False


class CommandAnswer(View, frozen=True, kw_only=True):
    """`events` are the names of the events recorded (or that would be); `consequences` are sentences for a person."""

    id: str
    verb: str
    target: str = ""
    seq: int = 0
    events: tuple[str, ...] = ()
    result: Json = None
    preview: bool = False
    consequences: tuple[str, ...] = ()
    phrase: str = ""


class Page(View, frozen=True, kw_only=True):
    """Base of a page. `next` is the cursor of the following page, None at the end; `total` may be capped (`total_exact`)."""

    next: str | None = None
    total: int = 0
    total_exact: bool = True
    as_of: float = 0.0
