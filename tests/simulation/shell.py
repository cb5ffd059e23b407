"""A host in one file, made of nothing but chance: a seed decides who is slow, what is lost and when the host dies.

It keeps a journal (the only thing that survives a crash), carries out effects after their commit, answers late, twice or
never, and lets people vote, signal and operate. The world outside performs an action once per key, as owners do, and
remembers what it did: that is what the promises are checked against.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import Any

from engine.core import commands as c
from engine.core import effects as f
from engine.core import events as e
from engine.core import state as s
from engine.core.apply import fold
from engine.core.decide import WindowState, decide
from engine.core.definition import Definition
from engine.core.duties import effects, pending
from engine.core.state import State, decode, encode
from tests.unit.core.rig import EVALUATOR

Json = Any


@dataclass
class Mood:
    """How unkind this world is. All are probabilities."""

    fail: float = 0.1
    lose: float = 0.08
    twice: float = 0.08
    busy: float = 0.05
    crash: float = 0.03
    signal: float = 0.02
    operate: float = 0.02
    bad_sample: float = 0.1


@dataclass
class World:
    """The owners of what is acted upon: an action with a key it has seen changes nothing."""

    done: dict[str, float] = field(default_factory=dict)
    order: list[tuple[str, str, int | None]] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)

    def act(self, effect: f.RunAction, now: float) -> None:
        if effect.effect == "once" and not effect.in_doubt:
            self.sent[effect.key] = self.sent.get(effect.key, 0) + 1
        if effect.key not in self.done:
            self.done[effect.key] = now
            self.order.append((effect.key, effect.action, effect.undo))


class Shell:
    def __init__(self, definition: Definition, seed: int, mood: Mood, people: tuple[c.Voter, ...]) -> None:
        self.definition, self.mood, self.people = definition, mood, people
        self.random = random.Random(seed)
        self.seed, self.run, self.now = seed, "run-1", 1000.0
        self.world = World()
        self.journal: list[e.Event] = []
        self.snapshot: tuple[int, bytes] | None = None
        self.state = State.new(self.run)
        self.queue: list[tuple[float, int, int, c.Command | f.RunAction]] = []
        self.count = self.life = self.crashes = 0
        self.resent_by_people: set[str] = set()

    # time

    def later(self, seconds: float, what: c.Command | f.RunAction, *, outlives: bool = False) -> None:
        """Something will arrive. What lives in the host dies with it; news from outside that something was done does not.

        A refusal of a dead host's call dies with the host: one host holds the database, and only it answers.
        """
        self.count += 1
        heapq.heappush(self.queue, (self.now + seconds, self.count, -1 if outlives else self.life, what))

    def play(self, inputs: dict[str, Json], *, steps: int = 3000, by: str = "zoe") -> None:
        self.commit(c.Start(run=self.run, inputs=inputs, by=by))
        for turn in range(steps):
            if not self.state.open and not self.queue:
                return
            healed = turn > steps // 2  # heal everything, now demand liveness
            if self.state.open and self.random.random() < (0.0 if healed else self.mood.crash):
                self.crash()
            if self.state.open:
                self.people_act(healed)
            if not self.queue:
                self.rescue()
                continue
            self.now, _, life, what = self._next()
            if life not in (-1, self.life):
                continue
            if isinstance(what, f.RunAction):
                self.carry_out(what, healed)
            else:
                self.commit(what)

    def _next(self) -> tuple[float, int, int, c.Command | f.RunAction]:
        due, number, life, what = heapq.heappop(self.queue)
        return max(self.now, due), number, life, what

    def rescue(self) -> None:
        """Nobody will come by: time passes until people do."""
        self.now += 30.0
        if self.state.suspended:
            self.commit(c.Resume(by="op"))
        elif self.state.lock_wanted and self.state.lock:
            self.commit(c.GrantLock(key=self.state.lock))
        elif any(token.phase == s.EVENT for token in self.state.tokens.values()):
            self.commit(c.ReceiveEvent(event="promote", id=f"p{self.now}", data={"ok": True}, by="op"))

    # the host

    def commit(self, command: c.Command) -> None:
        """One command, one commit, then its effects. A crash may come before the commit or right after it."""
        before = encode(self.state)
        windows = {"freeze": WindowState(open=self.random.random() < 0.7, until=self.now + 40.0)}
        decision = decide(
            self.definition, self.state, command, now=self.now, seed=self.seed, evaluator=EVALUATOR, windows=windows
        )
        if self.random.random() < self.mood.crash / 2:
            self.state = decode(before)
            self.crash()
            if isinstance(command, (c.Start, c.Vote)):
                self.commit(command)
            elif isinstance(command, (c.Complete, c.EndChild)):
                self.later(5.0, command, outlives=True)
            return
        self.journal += decision.events
        if self.random.random() < 0.2:
            self.snapshot = (len(self.journal), encode(self.state))
        if self.random.random() < self.mood.crash / 2:
            self.crash()
            return
        for event in decision.events:
            for effect in effects(self.state, event):
                self.begin(effect)

    def crash(self) -> None:
        self.crashes += 1
        for _, _, life, what in sorted(self.queue, key=lambda one: one[:2]):
            if (
                isinstance(what, f.RunAction)
                and life == self.life
                and what.effect != "once"
                and self.random.random() < 0.3
            ):
                self.world.act(what, self.now)  # it was on the wire when the host died, and it landed
        self.life += 1
        if self.snapshot is None:
            self.state = fold(self.run, self.journal)
        else:
            at, data = self.snapshot
            self.state = fold(self.run, self.journal[at:], decode(data))
            assert self.state == fold(self.run, self.journal)
        for effect in pending(self.definition, self.state):
            self.begin(effect)

    def begin(self, effect: f.Effect) -> None:
        match effect:
            case f.RunAction():
                if effect.effect == "once" and effect.started and effect.in_doubt and not effect.recovered:
                    raise AssertionError("only a recovered action can have been started")
                self.later(self.random.random(), effect)
            case f.ArmTimer():
                fire = c.FireTimer(scope=effect.scope, step=effect.step, fence=effect.fence, purpose=effect.purpose)
                self.later(max(0.0, effect.due - self.now), fire)
            case f.TakeLock():
                self.later(self.random.random() * 20, c.GrantLock(key=effect.key))
            case f.StartChild():
                status = self.random.choice(["completed", "completed", "failed"])
                end = c.EndChild(
                    scope=effect.scope, step=effect.step, fence=effect.fence, child=effect.child, status=status
                )
                self.later(self.random.random() * 400, end, outlives=True)

    def carry_out(self, effect: f.RunAction, healed: bool) -> None:
        """The action runs outside: it may act, fail, be busy, and its answer may be lost or come twice."""
        at: dict[str, Any] = {"scope": effect.scope, "step": effect.step, "fence": effect.fence, "undo": effect.undo}
        mood, chance = self.mood, self.random.random
        if effect.recovered and effect.effect == "once" and effect.started:
            self.commit(c.Fail(**at, failure=e.Failure(error="Crashed", kind="unknown"), in_doubt=True))
            return
        if effect.effect == "once":
            place = {"scope": effect.scope, "step": effect.step, "fence": effect.fence}
            life = self.life
            self.commit(c.MarkStarted(**place, owner=f"host-{life}"))
            if self.life != life or not self._holds(effect):
                return
        if not healed and chance() < mood.busy:
            self.commit(
                c.Defer(
                    **{k: v for k, v in at.items() if k != "undo"},
                    seconds=chance() * 60,
                    reason="busy",
                    recovered=effect.recovered,
                )
            )
            return
        if not healed and chance() < mood.fail:
            why = self.random.choice(["communication", "authorization"])
            self.later(
                chance() * 5,
                c.Fail(**at, failure=e.Failure(error="Down", kind=why), recovered=effect.recovered),
            )
            return
        self.world.act(effect, self.now)
        if not healed and chance() < mood.lose:
            self.later(chance() * 30, c.Fail(**at, failure=e.Failure(error="Lost", kind="unknown"), in_doubt=True))
            return
        bad = not healed and chance() < mood.bad_sample
        answer = c.Complete(**at, output={"ok": not bad, "bad": bad and chance() < 0.5})
        self.later(chance() * 5, answer, outlives=True)
        if chance() < mood.twice:
            self.later(chance() * 50, answer, outlives=True)

    def _holds(self, effect: f.RunAction) -> bool:
        token = self.state.undoing or self.state.tokens.get(effect.scope)
        return token is not None and token.fence == effect.fence and token.phase == s.CALL

    # people

    def people_act(self, healed: bool) -> None:
        for _ in range(4):
            if not self.state.gates or self.random.random() < 0.3:
                break
            gate = self.random.choice(sorted(self.state.gates))
            question = self.state.tokens[self.state.gates[gate]].question
            assert question is not None
            answer = (
                "approve" if "approve" in question.answers else self.random.choice(["retry", "retry", "skip", "abort"])
            )
            if self.random.random() < 0.05:
                answer = question.answers[-1]
            who = self.random.choice(self.people)
            digest = question.digest if self.random.random() < 0.9 else "sha256:old"
            step = self.state.tokens[self.state.gates[gate]].call
            self.commit(c.Vote(gate=gate, voter=who, answer=answer, evidence_digest=digest))
            if answer == "retry" and step is not None:
                self.resent_by_people.add(step.key)
        if healed:
            return
        if self.random.random() < self.mood.signal:
            event = self.random.choice(["pause", "promote", "abort"])
            self.commit(c.ReceiveEvent(event=event, id=f"s{self.count}", data={"ok": True}, by="op"))
        if self.random.random() < self.mood.operate:
            paths = [token.path for token in self.state.tokens.values()] or ["prepare"]
            path = self.random.choice(paths)
            verbs: list[c.Command] = [
                c.Suspend(by="op"),
                c.Resume(by="op"),
                c.Cancel(by="op"),
                c.RetryStep(by="op", path=path),
                c.SkipStep(by="op", path=path, reason="x", output={"ok": True}),
                c.Redrive(by="op", step="prepare"),
            ]
            verb = self.random.choice(verbs)
            if isinstance(verb, (c.Redrive, c.RetryStep)):
                self.resent_by_people |= set(self.world.sent)  # a person asked for it again, under the same key
            self.commit(verb)
            if self.state.suspended and self.random.random() < 0.8:
                self.later(self.random.random() * 100, c.Resume(by="op"), outlives=True)
