"""The client's protocol: what screens may ask. Implemented over the socket by `app.client` and in memory by tests.

Every method may raise `EngineUnreachable` (lost, retried by the caller), `Refused` (4xx, with the `Problem`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol, TypeVar

from engine.contract.common import CommandAnswer, Json, Problem
from engine.contract.fleet import CohortView, RobotPage, RobotRow
from engine.contract.gates import GateDetail, GatePage
from engine.contract.records import EvidenceText, RecordEvent
from engine.contract.rollouts import RolloutDetail, RolloutPage
from engine.contract.runs import EventPage, RunDetail, RunPage
from engine.contract.system import Changes, EngineStatus, Me, WatchSnapshot

T = TypeVar("T")


class EngineUnreachable(Exception):
    """No engine answers on the socket. Nothing was changed, unless a command was in flight: repeat it with its id."""


class Refused(Exception):
    """The engine said no, and why (`problem`)."""

    def __init__(self, problem: Problem, status: int = 409) -> None:
        super().__init__(problem.reason)
        self.problem = problem
        self.status = status


class Client(Protocol):
    async def watch(self) -> WatchSnapshot: ...
    async def status(self) -> EngineStatus: ...
    async def me(self) -> Me: ...
    async def runs(
        self,
        *,
        status: str = "",
        workflow: str = "",
        text: str = "",
        sort: str = "-updated",
        cursor: str = "",
        limit: int = 50,
    ) -> RunPage: ...
    async def run(self, run: str) -> RunDetail: ...
    async def events(self, run: str = "", *, after: int = 0, limit: int = 200) -> EventPage: ...
    async def gates(self, *, state: str = "open", limit: int = 200) -> GatePage: ...
    async def gate(self, gate: str) -> GateDetail: ...
    async def rollouts(self, *, limit: int = 50) -> RolloutPage: ...
    async def rollout(self, rollout: str) -> RolloutDetail: ...
    async def records(
        self,
        kind: str,
        shape: type[T],
        *,
        state: str = "",
        text: str = "",
        where: Mapping[str, str] | None = None,
        sort: str = "",
        limit: int = 200,
    ) -> tuple[T, ...]:
        """Records of a kind; `state` takes several, with commas; `sort` a column, with `-` for the largest first."""
        ...

    async def record(self, kind: str, id: str, shape: type[T]) -> T: ...
    async def record_history(self, kind: str, id: str) -> tuple[RecordEvent, ...]: ...
    async def evidence(self, digest: str) -> EvidenceText: ...
    async def read(self, path: str, shape: type[T], **query: object) -> T:
        """A read that a subject adds (`/v1/cases/M-3/bundle`)."""
        ...

    async def robots(self, *, text: str = "", cursor: str = "", limit: int = 1000) -> RobotPage: ...
    async def robot(self, robot: str) -> RobotRow: ...
    async def cohorts(self) -> tuple[CohortView, ...]: ...
    async def command(
        self,
        verb: str,
        target: str = "",
        args: dict[str, Json] | None = None,
        *,
        preview: bool = False,
        id: str = "",
        patience_s: float = 0.0,
    ) -> CommandAnswer:
        """A verb. `patience_s`: as long as it may take when that is longer than usual (it asks a remote system)."""
        ...

    async def store_secret(self, entry: str, value: str) -> None:
        """Puts a value into the engine's keyring; an empty one takes the entry out. It goes nowhere else."""
        ...

    def changes(self, after: int = 0) -> AsyncIterator[Changes]:
        """The coalesced feed. Ends when the link is lost; the caller resumes with the last `seq`."""
        ...

    def act_as(self, person: str) -> None:
        """From now on be another person of the sandbox. Elsewhere the engine refuses what is asked in their name."""
        ...

    async def close(self) -> None: ...
