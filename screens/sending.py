"""How an act becomes a command: preview, question, sending, and telling how it went."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from engine.contract.client import EngineUnreachable, Refused
from engine.contract.common import CommandAnswer, Problem
from screens.acts import Act, Level
from screens.widgets.parts import Part

if TYPE_CHECKING:
    from textual.app import App

    from engine.contract.client import Client
    from screens.model import Model

TRIES = 3
"""A command that got no answer is repeated with its id: the engine stores answers by id, so it can't happen twice."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a key would act on now: the engine's id, and how a person calls it."""

    kind: str
    id: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """All a confirmation shows: the act, its target, what the engine says it would do (or why it would refuse)."""

    act: Act
    target: Target
    environment: str
    preview: CommandAnswer | None = None
    problem: Problem | None = None
    args: dict[str, Any] | None = None

    @property
    def phrase(self) -> str:
        return self.preview.phrase if self.preview else ""


class Sending:
    """The part of a screen that asks before it changes anything, and says what came of it."""

    refused: Problem | None
    if TYPE_CHECKING:
        app: App[Any]

        @property
        def model(self) -> Model: ...
        @property
        def client(self) -> Client: ...
        def say(self, *parts: Part, seconds: float = 6.0) -> None: ...
        def args_for(self, act: Act) -> dict[str, Any]: ...
        def done(self, act: Act, answer: CommandAnswer) -> None: ...

    async def carry_out(self, act: Act, target: Target) -> None:
        """Preview, confirm, send. The target is fixed when the key is pressed: rows that move later change nothing."""
        args = self.args_for(act)
        if act.level in (Level.CHANGE, Level.RISK):
            answered = await self._confirmed(act, target, args)
            if answered is None:
                return
            args = {**args, **answered}
        await self.send(act, target, args)

    async def _confirmed(self, act: Act, target: Target, args: dict[str, Any]) -> dict[str, Any] | None:
        from screens.confirm import Confirm

        preview: CommandAnswer | None = None
        problem: Problem | None = None
        try:
            preview = await self.client.command(act.command, target.id, args, preview=True)
        except Refused as error:
            problem = self.refused = error.problem
        except EngineUnreachable as error:
            self.say((f"{act.verb}: not sent, the engine did not answer ({error})", "caution"))
            return None
        if problem is not None and not act.fields:
            self.say((f"{act.verb}: {problem.reason}", "caution"), f" {problem.fix}")
            return None
        environment = self.model.status.environment if self.model.status else ""
        question = Question(act, target, environment, preview, problem, args)
        answer: dict[str, Any] | None = await self.app.push_screen_wait(Confirm(question))
        if answer is None:
            self.say((f"{act.verb}: nothing was changed", "muted"))
        return answer

    async def send(self, act: Act, target: Target, args: dict[str, Any]) -> CommandAnswer | None:
        """Send a command; repeat it with its id if no answer came. Says how it went."""
        id = uuid4().hex
        for attempt in range(TRIES):
            try:
                answer = await self.client.command(act.command, target.id, args, id=id)
            except Refused as error:
                self.refused = error.problem
                fix = f" {error.problem.fix}" if error.problem.fix else ""
                self.say((f"{act.verb} refused: {error.problem.reason}", "caution"), fix, seconds=12)
                return None
            except EngineUnreachable as error:
                if attempt + 1 == TRIES:
                    self.say(
                        (f"{act.verb}: no answer ({error}); it may have happened, look at the timeline", "alarm"),
                        seconds=15,
                    )
                    return None
                await asyncio.sleep(0.3 * (attempt + 1))
            else:
                told = "; ".join(answer.consequences) or ", ".join(answer.events)
                self.say((f"\u2713 {act.verb} ", "strong"), target.label or target.id, f"  {told}" if told else "")
                self.done(act, answer)
                return answer
        return None
