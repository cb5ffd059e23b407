"""What the host has to do after a commit. Effects are derived from committed events alone (law 2)."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Json = Any


class Effect(Struct, frozen=True, kw_only=True):
    """Base of all effects; `run` is added by the host."""


class RunAction(Effect, frozen=True, kw_only=True):
    """Carry out an action and answer with `Complete`, `Fail` or `Defer` carrying the same scope, step, fence, undo.

    `recovered` is true when the effect was derived again after a restart: an earlier try may have acted.
    """

    scope: str
    step: str
    fence: int
    attempt: int
    action: str
    input: dict[str, Json]
    key: str
    effect: Literal["read", "idempotent", "once"]
    timeout: float | None
    heartbeat: float | None
    undo: int | None = None
    started: bool = False
    recovered: bool = False
    in_doubt: bool = False


class CancelAction(Effect, frozen=True, kw_only=True):
    """Ask the running action to stop cooperatively; its answer is still waited for."""

    scope: str
    step: str
    fence: int


class ArmTimer(Effect, frozen=True, kw_only=True):
    """Answer with `FireTimer` at `due` (UTC epoch seconds). Unique by (scope, step, fence, purpose)."""

    scope: str
    step: str
    fence: int
    purpose: str
    due: float


class DisarmTimer(Effect, frozen=True, kw_only=True):
    scope: str
    step: str
    fence: int
    purpose: str


class TakeLock(Effect, frozen=True, kw_only=True):
    """Answer with `GrantLock` once fewer than `limit` runs hold `key` (in order of asking).

    With `queue` false answer at once: `GrantLock`, or `DenyLock` when it is full.
    """

    key: str
    limit: int
    queue: bool = True


class FreeLock(Effect, frozen=True, kw_only=True):
    key: str


class StartChild(Effect, frozen=True, kw_only=True):
    scope: str
    step: str
    fence: int
    child: str
    workflow: str
    inputs: dict[str, Json]


class CancelChild(Effect, frozen=True, kw_only=True):
    child: str


class TellParent(Effect, frozen=True, kw_only=True):
    """Answer the parent run with `EndChild`."""

    parent: str
    scope: str
    step: str
    fence: int
    status: str
    output: Json
    failure: Json


class Publish(Effect, frozen=True, kw_only=True):
    """An event for the outside (CloudEvent), for triggers and for waiting runs."""

    event: str
    data: dict[str, Json]
    subject: str | None


class Notify(Effect, frozen=True, kw_only=True):
    """Tell people: a gate opened, a reminder, an escalation."""

    what: str
    gate: str
    role: str | None = None
