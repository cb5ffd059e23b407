"""What every decision has at hand, and the one way it makes a fact: `emit` applies it at once, so the next rule sees it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from engine.core import events as e
from engine.core.apply import apply
from engine.core.commands import Refusal
from engine.core.definition import Definition, Step
from engine.core.environment import Environment
from engine.core.evaluator import Evaluator
from engine.core.state import State, Timer, Token

Json = Any


class WindowState(Struct, frozen=True, kw_only=True):
    """Whether a calendar window lets changes through now; `until` is when a closed one opens again, if known."""

    open: bool
    until: float | None = None
    reason: str = ""


class Decision(Struct):
    """The facts that follow from a command, in order, and why it was refused, if it was.

    Both can stand: a refused vote is a fact. No events and no refusal means that there was nothing to do.
    """

    events: list[e.Event]
    refusal: Refusal | None = None


class Deciding:
    """One decision under way. `ready` holds the scopes that may have a move to make."""

    __slots__ = ("definition", "evaluator", "events", "now", "ready", "refusal", "seed", "state", "windows")

    def __init__(
        self,
        definition: Definition,
        state: State,
        *,
        now: float,
        seed: int,
        evaluator: Evaluator,
        windows: Mapping[str, WindowState] | None,
    ) -> None:
        self.definition, self.state, self.now, self.seed = definition, state, now, seed
        self.evaluator, self.windows = evaluator, windows
        self.events: list[e.Event] = []
        self.ready: deque[str] = deque()
        self.refusal: Refusal | None = None

    def emit(self, event: e.Event) -> None:
        apply(self.state, event)
        self.events.append(event)

    def touch(self, scope: str) -> None:
        self.ready.append(scope)

    def next_fence(self) -> int:
        return self.state.fence + 1

    def step(self, token: Token) -> Step:
        return self.definition.steps[token.step]

    def env(self, token: Token, extra: Mapping[str, Json] | None = None) -> Environment:
        return Environment(self.state, token, extra)

    def refuse(self, code: str, reason: str, fix: str = "", field: str = "") -> None:
        self.refusal = Refusal(code=code, reason=reason, fix=fix, field=field)

    def arm(self, token: Token, step: str, fence: int, purpose: str, due: float) -> None:
        self.emit(e.TimerArmed(scope=token.scope, step=step, fence=fence, purpose=purpose, due=due))

    def disarm(self, token: Token, timer: Timer) -> None:
        self.emit(e.TimerCancelled(scope=token.scope, step=token.step, fence=timer.fence, purpose=timer.purpose))

    def disarm_all(self, token: Token) -> None:
        for timer in list(token.timers):
            self.disarm(token, timer)
