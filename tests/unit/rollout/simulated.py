"""A rollout from start to end on virtual time: the real core, the real pattern, the real connectors and the sandbox's
world inside this process. No journal, no sockets: what is looked at here is the rollout itself.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from connectors.fleet import JoinedFleet
from connectors.goosebit import GooseBit, Login
from connectors.http import HttpClient
from connectors.prometheus import Prometheus
from connectors.sandbox.scenarios import PREVIOUS, RELEASE, SCENARIOS
from connectors.sandbox.signals_server import SignalsServer
from connectors.sandbox.updates_server import UpdatesServer
from connectors.sandbox.world import SIM0, World
from engine.capabilities.packs import load_pack
from engine.capabilities.ports import ActionError, Deferred, InDoubt
from engine.capabilities.registry import builtin
from engine.core import commands as c
from engine.core import effects as fx
from engine.core import events as e
from engine.core.decide import decide
from engine.core.duties import effects
from engine.core.events import Failure
from engine.core.state import State
from engine.language.expressions import Expressions
from engine.language.loader import load

PATTERN = Path(__file__).parents[3] / "engine/patterns/staged-rollout.yaml"
ROLES = {"anna": ("release-manager",), "ben": ("safety-officer",), "olga": ("operator",)}
Json = Any
Voter = Callable[[e.GateOpened], str | None]


class Ctx:
    """An action's context on the simulation's clock."""

    attempt, recovered, run = 1, False, "run-1"
    records: Any = None
    vault: Any = None
    started_by = "test"

    def __init__(self, sim: Simulation, effect: fx.RunAction) -> None:
        self._sim, self.key, self.in_doubt, self.path = sim, effect.key, effect.in_doubt, effect.step

    def now(self) -> float:
        return self._sim.time

    async def sleep(self, seconds: float) -> None:
        await self._sim.sleep(seconds)

    def heartbeat(self, progress: Json = None) -> None:
        pass

    def cancelled(self) -> bool:
        return False

    def port(self, capability: str) -> Any:
        if capability not in self._sim.ports:
            raise ActionError("NotConfigured", f"no {capability}", kind="configuration", retryable=False)
        return self._sim.ports[capability]

    def policy(self, pack: str) -> dict[str, Json]:
        return self._sim.policy


class Simulation:
    def __init__(
        self, scenario: str, seed: int, *, vote: Voter, robots: int = 200, plan: dict[str, Json] | None = None
    ) -> None:
        self.time, self._ids = SIM0, itertools.count()
        self.world = World(SCENARIOS[scenario], seed, 1.0, robots, clock=lambda: self.time)
        self.world.start()
        self.policy = load_pack("rollout", environment="sandbox")
        updates = UpdatesServer(self.world, "admin", "pw", "control", lambda: None)
        signals = SignalsServer(self.world)
        http = HttpClient(
            "http://127.0.0.1:1", name="gooseBit", transport=httpx.ASGITransport(updates.app), rate_per_s=1e6
        )
        http.use(Login(http, "admin", lambda: "pw"))
        goosebit = GooseBit(http, self)  # type: ignore[arg-type]
        prometheus = Prometheus(
            HttpClient("http://127.0.0.1:1", name="prom", transport=httpx.ASGITransport(signals.app), rate_per_s=1e6),
            self,
        )  # type: ignore[arg-type]
        self.ports = {"updates": goosebit, "signals": prometheus, "fleet": JoinedFleet(goosebit, prometheus, self)}  # type: ignore[arg-type]
        self.registry = builtin()
        self.definition = load(PATTERN.read_text(), actions=self.registry.actions, roles=None)
        self.state, self.evaluator = State.new("run-1"), Expressions()
        self.events: list[tuple[float, e.Event]] = []
        self.vote, self.plan, self.scenario = vote, plan or {}, scenario
        self._heap: list[tuple[float, int, Any]] = []
        self._timers: dict[tuple[str, str, int, str], int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asleep = 0
        self.broken: BaseException | None = None
        self.on_event: Callable[[e.Event], None] = lambda event: None

    def of(self, kind: type) -> list[Any]:
        return [event for _, event in self.events if isinstance(event, kind)]

    @property
    def ending(self) -> str:
        return next((event.ending for event in self.of(e.RunCompleted) + self.of(e.RunFailed)), "")

    def samples(self, step: str) -> list[dict[str, Json]]:
        return [x.sample for x in self.of(e.SampleJudged) if x.step == step and x.sample]

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, (self.time + max(0.0, seconds), next(self._ids), woken))
        self._asleep += 1
        await woken
        self._asleep -= 1

    def submit(self, command: c.Command) -> None:
        decision = decide(self.definition, self.state, command, now=self.time, seed=1, evaluator=self.evaluator)
        for event in decision.events:
            self.events.append((self.time, event))
            self.on_event(event)
        for event in decision.events:
            for effect in effects(self.state, event):
                self._carry(effect)
            if isinstance(event, e.GateOpened):
                heapq.heappush(self._heap, (self.time + 600, next(self._ids), event))

    def signal(self, event: str, by: str = "olga", **data: Json) -> None:
        self.submit(c.ReceiveEvent(event=event, id=f"sig-{next(self._ids)}", data=data, by=by))

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.time + seconds, next(self._ids), what))

    def _carry(self, effect: fx.Effect) -> None:
        if isinstance(effect, fx.RunAction):
            task = asyncio.get_running_loop().create_task(self._run(effect))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        elif isinstance(effect, fx.ArmTimer):
            number = next(self._ids)
            self._timers[(effect.scope, effect.step, effect.fence, effect.purpose)] = number
            heapq.heappush(self._heap, (effect.due, number, effect))
        elif isinstance(effect, fx.DisarmTimer):
            self._timers.pop((effect.scope, effect.step, effect.fence, effect.purpose), None)
        elif isinstance(effect, fx.TakeLock):
            heapq.heappush(self._heap, (self.time, next(self._ids), c.GrantLock(key=effect.key)))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.broken = task.exception()

    async def _run(self, effect: fx.RunAction) -> None:
        where = {"scope": effect.scope, "step": effect.step, "fence": effect.fence}
        undo = {"undo": effect.undo} if effect.undo is not None else {}
        if effect.effect == "once":
            self.submit(c.MarkStarted(**where, owner="sim"))
        try:
            output = await self.registry.actions[effect.action].run(Ctx(self, effect), dict(effect.input))
        except Deferred as later:
            self.submit(c.Defer(**where, seconds=later.seconds, reason=later.reason))
        except ActionError as error:
            failure = Failure(error=error.error, message=error.message, kind=error.kind, detail=error.detail)  # type: ignore[arg-type]
            more = {} if error.retryable else {"retryable": False}
            self.submit(c.Fail(**where, **undo, failure=failure, in_doubt=isinstance(error, InDoubt), **more))
        else:
            self.submit(c.Complete(**where, **undo, output=output))

    async def run(self, limit_s: float = 40 * 86400.0, **more: Json) -> None:
        inputs = {"version": RELEASE, "selector": "all", "plan": self.plan, **more}
        self.submit(c.Start(run="run-1", inputs=inputs, by="olga"))
        while self.state.open and self.time < SIM0 + limit_s:
            while len(self._tasks) > self._asleep:  # noqa: ASYNC110 - not time, only other tasks are waited for
                await asyncio.sleep(0)
            if self.broken is not None:
                raise self.broken
            if not self.state.open or not self._heap:
                break
            due, number, what = heapq.heappop(self._heap)
            self.time = max(self.time, due)
            if isinstance(what, asyncio.Future):
                what.set_result(None)
                await asyncio.sleep(0)
            elif isinstance(what, fx.ArmTimer):
                key = (what.scope, what.step, what.fence, what.purpose)
                if self._timers.get(key) == number:
                    del self._timers[key]
                    self.submit(c.FireTimer(scope=what.scope, step=what.step, fence=what.fence, purpose=what.purpose))
            elif callable(what):
                what()
            elif isinstance(what, c.Command):
                self.submit(what)
            elif isinstance(what, e.GateOpened):
                self._answer(what)

    def _answer(self, gate: e.GateOpened) -> None:
        answer = self.vote(gate)
        for person, roles in ROLES.items():
            if answer is None:
                return
            self.submit(
                c.Vote(
                    gate=gate.gate,
                    voter=c.Voter(person=person, roles=roles),
                    answer=answer,
                    evidence_digest=gate.evidence_digest,
                    rationale="as scripted",
                )
            )


def approves_all(gate: e.GateOpened) -> str:
    return "approve"


def versions(sim: Simulation) -> dict[str, int]:
    return dict(sim.world.truth()["counts"])  # type: ignore[call-overload]


__all__ = ["PREVIOUS", "RELEASE", "Simulation", "approves_all", "versions"]
