"""What the door stands on: the host that decides and records, the reads, the policy. One object, made by the composition root."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from engine.api.config import Settings
from engine.api.identity import Names
from engine.api.presence import Presence
from engine.capabilities.policy import Policy
from engine.capabilities.rollout.projection import RolloutProjector
from engine.contract.common import Json
from engine.contract.fleet import CohortView, RobotPage, RobotRow
from engine.contract.gates import GateDetail, GatePage, GateSummary
from engine.contract.rollouts import RolloutDetail, RolloutPage, RolloutSummary
from engine.contract.runs import EventPage, RunDetail, RunPage, RunSummary
from engine.contract.system import ConnectorHealth, EngineStatus, VerifyReport, WorkflowView
from engine.store.past import Past

VERSION = "0.1.0"
Foresee = Callable[[Mapping[str, Json]], Awaitable[Any]]
"""Why a rollout with these inputs could never be frozen (`field`, `reason`); None when it could, or nobody knows now."""


async def _unforeseen(inputs: Mapping[str, Json]) -> None:
    return None


class Committed(Protocol):
    """One event as it stands in the journal."""

    seq: int
    run: str
    n: int
    type: str
    at: float
    cause: str

    @property
    def actor(self) -> Any: ...
    @property
    def data(self) -> Any: ...


class Subscription(Protocol):
    """Every committed event in order. When the reader is too slow the queue is emptied and `overflowed` is set."""

    overflowed: bool

    async def get(self) -> Sequence[Any]: ...
    def close(self) -> None: ...


class Reads(Protocol):
    """The journal's read side. Synchronous: called in threads. None = there is no such thing."""

    def head(self) -> int: ...
    def counts(self) -> dict[str, int]: ...
    def run_page(
        self, *, status: str = "", workflow: str = "", text: str = "", sort: str = "", cursor: str = "", limit: int = 50
    ) -> RunPage: ...
    def run_detail(self, run: str) -> RunDetail | None: ...
    def run_rows(self, ids: Sequence[str]) -> tuple[RunSummary, ...]: ...
    def events(self, *, run: str = "", after: int = 0, limit: int = 200) -> EventPage: ...
    def gate_page(self, *, state: str = "open", limit: int = 200) -> GatePage: ...
    def gate_detail(self, gate: str) -> GateDetail | None: ...
    def gate_rows(self, ids: Sequence[str]) -> tuple[GateSummary, ...]: ...
    def workflows(self) -> tuple[WorkflowView, ...]: ...
    def workflow(self, name: str) -> WorkflowView | None: ...
    def verify(self) -> VerifyReport: ...


class RolloutReads(Protocol):
    """The same for rollouts and the fleet."""

    def rollout_page(self, *, limit: int = 50) -> RolloutPage: ...
    def rollout_detail(self, rollout: str) -> RolloutDetail | None: ...
    def rollout_rows(self, ids: Sequence[str]) -> tuple[RolloutSummary, ...]: ...
    def robot_page(self, *, text: str = "", cursor: str = "", limit: int = 1000) -> RobotPage: ...
    def robot(self, robot: str) -> RobotRow | None: ...
    def cohorts(self) -> tuple[CohortView, ...]: ...


class Answer(Protocol):
    """What the host says of a command it has recorded."""

    seq: int
    run: str
    events: tuple[str, ...]

    @property
    def refusal(self) -> Any: ...
    @property
    def result(self) -> Json: ...


class Host(Protocol):
    """The one that decides and records. Acknowledged means on disk; a repeated id gets the stored answer."""

    async def start_run(
        self,
        workflow: str,
        inputs: dict[str, Json],
        *,
        id: str,
        actor: Any,
        attributes: dict[str, Json] | None = None,
        preview: bool = False,
    ) -> Any: ...
    async def submit(self, run: str, command: Any, *, id: str, actor: Any, preview: bool = False) -> Any: ...
    async def register(self, text: str, *, id: str, actor: Any) -> Any: ...
    async def publish(
        self, event: str, data: dict[str, Json], *, id: str, actor: Any, source: str, subject: str = "", cause: str = ""
    ) -> Any: ...
    def subscribe(self) -> Any: ...
    def answered(self, id: str) -> Any | None:
        """The stored answer of a command already taken (asked in a thread), so that a repeat is judged by nothing new."""
        ...


class Records(Protocol):
    """What is recorded beside runs."""

    async def record(self, type_: str, data: dict[str, Json], *, actor: Any, cause: str) -> Any: ...


class Door:
    """Everything a request may need, put together once."""

    def __init__(
        self,
        *,
        host: Host,
        records: Records,
        reads: Reads,
        rollouts: RolloutReads,
        policy: Policy,
        settings: Settings,
        now: Callable[[], float],
        socket: Path,
        database: Path,
        validate: Callable[[str], Sequence[Any]],
        health: Callable[[], tuple[ConnectorHealth, ...]] = tuple,
        state: Callable[[], tuple[str, str]] = lambda: ("ok", ""),
        epoch: Callable[[], int] = lambda: 0,
        foresee: Foresee = _unforeseen,
        book: Any = None,
        keeper: Any = None,
        vault: Any = None,
        ports: Mapping[str, Any] | None = None,
        pack: Callable[[str], dict[str, Json]] = lambda name: {},
    ) -> None:
        self.book, self.keeper, self.vault, self.ports, self.pack = book, keeper, vault, ports or {}, pack
        self.host, self.records, self.reads, self.rollouts, self.policy = host, records, reads, rollouts, policy
        self.settings, self.now, self.validate = settings, now, validate
        self.socket, self.database = socket, database
        self.health, self.state, self.epoch, self.foresee = health, state, epoch, foresee
        self.past = Past(database, [RolloutProjector()])
        self.presence = Presence()
        self.names = Names()
        self.stopping = asyncio.Event()
        self.clients = 0
        self._born = time.monotonic()

    @property
    def sandbox(self) -> bool:
        return self.settings.environment == "sandbox"

    def status(self) -> EngineStatus:
        """How the engine is now. Reads the journal: call it in a thread."""
        state, message = self.state()
        counts = self.reads.counts()
        clock = self.settings.clock
        return EngineStatus(
            pid=os.getpid(),
            socket=str(self.socket),
            version=VERSION,
            database=str(self.database),
            uptime_s=round(time.monotonic() - self._born, 3),
            state="stopping" if self.stopping.is_set() else state,
            environment=self.settings.environment,
            now=self.now(),
            speed=clock.speed if clock else 1.0,
            scenario=self.settings.world.scenario,
            seed=self.settings.world.seed,
            message=message,
            head=self.reads.head(),
            epoch=self.epoch(),
            runs_open=counts.get("runs_open", 0),
            gates_open=counts.get("gates_open", 0),
            clients=self.clients,
            zone=self.settings.zone,
            connectors=self.health(),
        )
