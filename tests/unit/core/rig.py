"""A bench for the pure core: a run with a clock, a tiny expression language, and an eye on the invariants.

Every command goes through `do`, which checks each time that folding the recorded events gives the live state, that the
snapshot survives its own encoding, and that every event survives the journal's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.core import commands as c
from engine.core import events as e
from engine.core import state as s
from engine.core.apply import apply, fold
from engine.core.decide import Decision, WindowState, decide
from engine.core.definition import DONE, Compensate, Definition, Step
from engine.core.duties import effects, pending
from engine.core.effects import Effect
from engine.core.evaluator import ExpressionError
from engine.core.state import State, Token, decode, encode
from engine.core.versions import decode_event, encode_event, version_of

Json = Any


class View(dict):
    """Attribute access for the tiny language."""

    def __getattr__(self, name: str) -> Json:
        if name not in self:
            raise KeyError(name)
        return seen(self[name])


def seen(value: Json) -> Json:
    return View(value) if isinstance(value, dict) and not isinstance(value, View) else value


class Names(dict):
    def __init__(self, env: Mapping[str, Json]) -> None:
        super().__init__()
        self.env = env

    def __missing__(self, name: str) -> Json:
        return seen(self.env[name])


class TinyEvaluator:
    """Python expressions in place of CEL: enough to drive the core, and nothing the core could lean on."""

    def _eval(self, text: str, env: Mapping[str, Json]) -> Json:
        try:
            return eval(text, {"__builtins__": {"len": len, "str": str}}, Names(env))
        except Exception as error:
            raise ExpressionError(f"{text}: {type(error).__name__} {error}") from error

    def value(self, template: Json, env: Mapping[str, Json]) -> Json:
        if isinstance(template, dict):
            return {key: self.value(one, env) for key, one in template.items()}
        if isinstance(template, (list, tuple)):
            return [self.value(one, env) for one in template]
        if not isinstance(template, str):
            return template
        alone = re.fullmatch(r"\$\{([^{}]*)\}", template)
        if alone:
            value = self._eval(alone[1], env)
            return dict(value) if isinstance(value, dict) else value
        return re.sub(r"\$\{([^{}]*)\}", lambda found: str(self._eval(found[1], env)), template)

    def truth(self, cel: str, env: Mapping[str, Json]) -> bool:
        value = self._eval(cel, env)
        if not isinstance(value, bool):
            raise ExpressionError(f"{cel} is no boolean")
        return value


EVALUATOR = TinyEvaluator()


def flow(*steps: Step, **rest: Any) -> Definition:
    """A definition of these steps, in order: the first starts; ids with a dot belong to maps and stand where they are."""
    rest.setdefault("workflow", "test")
    rest.setdefault("version", 1)
    rest.setdefault("digest", "sha256:test")
    return Definition(steps={step.id: step for step in steps}, start=steps[0].id, **rest)


def action(id: str, next: str = DONE, **rest: Any) -> Step:
    rest.setdefault("action", f"do.{id}")
    return Step(id=id, kind="action", next=next, **rest)


def undo(name: str, **with_: Json) -> Compensate:
    return Compensate(action=f"undo.{name}", with_=with_)


def voter(person: str, *roles: str, groups: Iterable[str] = ()) -> c.Voter:
    return c.Voter(person=person, roles=roles, groups=tuple(groups))


class Rig:
    def __init__(self, definition: Definition, *, seed: int = 7, run: str = "run-1", now: float = 1000.0) -> None:
        self.definition, self.seed, self.now, self.run = definition, seed, now, run
        self.state = State.new(run)
        self.events: list[e.Event] = []
        self.effects: list[Effect] = []
        self.windows: dict[str, WindowState] | None = None
        self.last = Decision([])

    # commands

    def do(self, command: c.Command) -> Decision:
        closed_before = self.state.status not in ("new", *s.OPEN)
        before = encode(self.state) if closed_before else b""
        count = self.state.n
        decision = decide(
            self.definition,
            self.state,
            command,
            now=self.now,
            seed=self.seed,
            evaluator=EVALUATOR,
            windows=self.windows,
        )
        self.events += decision.events
        for event in decision.events:
            self.effects += effects(self.state, event)
            assert decode_event(type(event).__name__, version_of(event), encode_event(event)) == event
        assert self.state.n == count + len(decision.events)
        assert fold(self.run, self.events) == self.state, "replay differs from live"
        assert decode(encode(self.state)) == self.state, "a snapshot differs from what it was made of"
        if closed_before and not isinstance(command, c.Redrive):
            after = decode(encode(self.state))
            after.n = count
            assert encode(after) == before, "a closed run moved"
        self.last = decision
        return decision

    def start(self, inputs: dict[str, Json] | None = None, by: str = "ana", **rest: Any) -> Rig:
        self.do(c.Start(run=self.run, inputs=inputs or {}, by=by, **rest))
        return self

    def token(self, path: str) -> Token:
        if self.state.undoing is not None and self.state.undoing.path == path:
            return self.state.undoing
        return next(token for token in self.state.tokens.values() if token.path == path)

    def complete(self, path: str, output: Json = None) -> Decision:
        token = self.token(path)
        assert token.call is not None, f"{path} is {token.phase}"
        return self.do(
            c.Complete(scope=token.scope, step=token.step, fence=token.fence, output=output, undo=token.call.undo)
        )

    def fail(self, path: str, error: str = "Boom", *, kind: Any = "domain", message: str = "", **rest: Any) -> Decision:
        token = self.token(path)
        failure = e.Failure(error=error, kind=kind, message=message)
        return self.do(c.Fail(scope=token.scope, step=token.step, fence=token.fence, failure=failure, **rest))

    def vote(
        self, who: c.Voter, answer: str = "approve", *, gate: str | None = None, digest: str | None = None, **rest: Any
    ) -> Decision:
        gate = gate or self.gate()
        if digest is None:
            token = next((one for one in self.state.tokens.values() if one.question and one.question.id == gate), None)
            digest = token.question.digest if token is not None and token.question is not None else ""
        return self.do(c.Vote(gate=gate, voter=who, answer=answer, evidence_digest=digest, **rest))

    def gate(self) -> str:
        return next(iter(self.state.gates))

    def signal(self, event: str, id: str | None = None, by: str = "ana", **data: Json) -> Decision:
        return self.do(c.ReceiveEvent(event=event, id=id or f"e{len(self.events)}", data=data, by=by))

    def fire(self, path: str, purpose: str) -> Decision:
        """Lets the clock reach a timer and fires it."""
        token = self.token(path)
        timer = next(one for one in token.timers if one.purpose == purpose)
        self.now = max(self.now, timer.due)
        return self.do(c.FireTimer(scope=token.scope, step=token.step, fence=timer.fence, purpose=purpose))

    def timers(self) -> list[tuple[float, Token, s.Timer]]:
        tokens = [self.state.undoing] if self.state.undoing is not None else list(self.state.tokens.values())
        armed = [(timer.due, token, timer) for token in tokens for timer in token.timers]
        return sorted(armed, key=lambda one: (one[0], one[1].scope, one[2].purpose))

    # what happened

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def calls(self) -> list[str]:
        return [event.action for event in self.of(e.StepScheduled)]

    def phase(self, path: str) -> str:
        return self.token(path).phase

    @property
    def code(self) -> str:
        return "" if self.last.refusal is None else self.last.refusal.code

    def owed(self) -> list[Effect]:
        return pending(self.definition, self.state)


def check_batches(run: str, events: list[e.Event], cuts: Callable[[int], Iterable[int]]) -> None:
    """Batch equals one by one; snapshot plus tail equals the whole."""
    whole = fold(run, events)
    one_by_one = State.new(run)
    for event in events:
        apply(one_by_one, event)
    assert one_by_one == whole
    for cut in cuts(len(events)):
        snapshot = decode(encode(fold(run, events[:cut])))
        assert fold(run, events[cut:], snapshot) == whole
