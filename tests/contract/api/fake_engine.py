"""A door on a real socket with a host that lives in memory: the journal is a list, everything else answers from it."""

from __future__ import annotations

import asyncio
import os
import pwd
import time
from collections import deque
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from app.home import Home, one_folder
from engine.api.application import application
from engine.api.config import Settings
from engine.api.door import Door
from engine.api.server import Server, bind
from engine.capabilities.policy import Policy
from engine.contract.common import ActorView
from engine.contract.fleet import RobotPage
from engine.contract.gates import GateDetail, GatePage, GateSummary, SeatView
from engine.contract.rollouts import Counts, RollbackPlan, RolloutDetail, RolloutPage, RolloutSummary, StageView
from engine.contract.runs import EventPage, EventView, RunDetail, RunPage, RunSummary
from engine.contract.system import ValidationFinding, VerifyReport
from engine.core.commands import Refusal
from engine.store.records import Actor, Recorded

ME = pwd.getpwuid(os.getuid()).pw_name
GATE = GateDetail(
    gate=GateSummary(
        id="run-1.7",
        run="run-1",
        path="signoff",
        kind="rollout_signoff",
        question="Roll out?",
        opened_at=1.0,
        expires_at=2.0,
        seats_open=2,
        seats_total=2,
    ),
    evidence={"robots": 9},
    evidence_digest="sha256:e",
    evidence_at=1.0,
    seats=(SeatView(label="2 release managers", count=2, role="release-manager"),),
    votes=(),
    excluded=("mallory",),
    answers=("approve", "reject"),
    consequences=("+10 robots, 2 sites",),
)
ROLLOUT = RolloutDetail(
    rollout=RolloutSummary(
        id="run-1",
        run="run-1",
        artifact="nav",
        version="2",
        previous="1",
        cohort="EU-AMR",
        robots=40,
        state="running",
        stage="canary",
        stage_index=0,
        stages=("canary", "thirty"),
        verdict="PENDING",
        sentence="",
        counts=Counts(executed=9),
        started_at=1.0,
        updated_at=1.0,
    ),
    targets_digest="sha256:t",
    stages=(
        StageView(name="canary", index=0, size=10, state="observing", targets_digest="", counts=Counts(executed=9)),
        StageView(name="thirty", index=1, size=30, state="pending", targets_digest="", sites=("HAM2",)),
    ),
    rollback=RollbackPlan(
        robots=9, feasible=8, blocked=(("r-3", "bootloader floor"),), to_version="1", phrase="rollback 9 HAM2"
    ),
    split=(9, 1, 30),
)


class Answer(msgspec.Struct):
    seq: int
    run: str
    events: tuple[str, ...] = ()
    refusal: Refusal | None = None
    result: Any = None


class Queue:
    """A bounded subscription: too slow a reader loses its queue and is told so."""

    def __init__(self, host: FakeHost, bound: int) -> None:
        self.overflowed = False
        self._host, self._bound = host, bound
        self._rows: deque[Recorded] = deque()
        self._some = asyncio.Event()

    def put(self, rows: list[Recorded]) -> None:
        if len(self._rows) + len(rows) > self._bound:
            self._rows.clear()
            self.overflowed = True
        else:
            self._rows.extend(rows)
        self._some.set()

    async def get(self) -> list[Recorded]:
        while not self._rows:
            if self.overflowed:
                return []
            self._some.clear()
            await self._some.wait()
        rows = list(self._rows)
        self._rows.clear()
        return rows

    def close(self) -> None:
        self._host.queues.discard(self)


class FakeHost:
    """Records what it is asked and publishes what a test commits. It is its own read side."""

    def __init__(self, bound: int = 500) -> None:
        self.rows: list[Recorded] = []
        self.queues: set[Queue] = set()
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, Any, Actor, bool]] = []
        self.refusal: Refusal | None = None
        self.fails: Exception | None = None
        self.keeps_previews = False
        self._bound = bound

    def commit(self, run: str, type_: str, **data: Any) -> Recorded:
        return self.commit_many([(run, type_, data)])[0]

    def commit_many(self, facts: list[tuple[str, str, dict[str, Any]]]) -> list[Recorded]:
        new = []
        for run, type_, data in facts:
            seq = len(self.rows) + 1
            actor = Actor(kind="person", id="ada", via="socket")
            row = Recorded(seq, run, seq, type_, time.time(), actor, "c", msgspec.json.encode({"type": type_, **data}))
            self.rows.append(row)
            new.append(row)
        for queue in list(self.queues):
            queue.put(new)
        return new

    async def start_run(
        self, workflow: str, inputs: Any, *, id: str, actor: Any, attributes: Any = None, preview: bool = False
    ) -> Answer:
        return self._done("run-9", (workflow, inputs), id, actor, preview)

    async def submit(self, run: str, command: Any, *, id: str, actor: Any, preview: bool = False) -> Answer:
        if preview and not self.keeps_previews:
            return Answer(seq=len(self.rows), run=run, refusal=self.refusal)
        return self._done(run, command, id, actor, preview)

    async def register(self, text: str, *, id: str, actor: Any) -> Answer:
        return self._done("", text, id, actor, False)

    def _done(self, run: str, what: Any, id: str, actor: Any, preview: bool) -> Answer:
        if id in self.answers:
            return self.answers[id]
        if self.fails:
            raise self.fails
        self.asked.append((run, what, actor, preview))
        answer = Answer(seq=len(self.rows), run=run, events=("Recorded",), refusal=self.refusal)
        if not preview:
            self.answers[id] = answer
        return answer

    async def record(self, type_: str, data: dict[str, Any], *, actor: Any, cause: str) -> Answer:
        self.commit("", type_, **data)
        return Answer(seq=len(self.rows), run="")

    def answered(self, id: str) -> Answer | None:
        return self.answers.get(id)

    def subscribe(self) -> Queue:
        queue = Queue(self, self._bound)
        self.queues.add(queue)
        return queue

    # the read side

    def head(self) -> int:
        return len(self.rows)

    def counts(self) -> dict[str, int]:
        return {"runs_open": 1, "gates_open": 1}

    def run_page(self, **query: Any) -> RunPage:
        return RunPage(rows=self.run_rows(["run-1"]), total=1)

    def run_detail(self, run: str) -> RunDetail | None:
        return RunDetail(run=_run(run, 0), definition="d", digest="x", inputs={}) if run == "run-1" else None

    def run_rows(self, ids: Any) -> tuple[RunSummary, ...]:
        last = {row.run: row.seq for row in self.rows}
        return tuple(_run(run, last.get(run, 0)) for run in ids)

    def events(self, *, run: str = "", after: int = 0, limit: int = 200) -> EventPage:
        rows = [
            row
            for row in self.rows[after : after + (limit if not run else len(self.rows))]
            if not run or row.run == run
        ]
        return EventPage(rows=tuple(_event(row) for row in rows[:limit]))

    def gate_page(self, *, state: str = "open", limit: int = 200) -> GatePage:
        return GatePage(rows=(GATE.gate,))

    def gate_detail(self, gate: str) -> GateDetail | None:
        return GATE if gate == GATE.gate.id else None

    def gate_rows(self, ids: Any) -> tuple[GateSummary, ...]:
        return tuple(GATE.gate for gate in ids if gate == GATE.gate.id)

    def workflows(self) -> tuple[Any, ...]:
        return ()

    def workflow(self, name: str) -> None:
        return None

    def verify(self) -> VerifyReport:
        return VerifyReport(ok=True, events=len(self.rows), head="h", seconds=0.0)

    def rollout_page(self, *, limit: int = 50) -> RolloutPage:
        return RolloutPage(rows=(ROLLOUT.rollout,))

    def rollout_detail(self, rollout: str) -> RolloutDetail | None:
        return ROLLOUT if rollout == "run-1" else None

    def rollout_rows(self, ids: Any) -> tuple[RolloutSummary, ...]:
        return (ROLLOUT.rollout,) if "run-1" in ids else ()

    def robot_page(self, **query: Any) -> RobotPage:
        return RobotPage()

    def robot(self, robot: str) -> None:
        return None

    def cohorts(self) -> tuple[Any, ...]:
        return ()


def _run(run: str, seq: int) -> RunSummary:
    return RunSummary(
        id=run, workflow="w", title="t", status="running", started_at=1.0, updated_at=float(seq), version=seq
    )


def _event(row: Recorded) -> EventView:
    actor = ActorView(kind=row.actor.kind, id=row.actor.id, via=row.actor.via)
    data = msgspec.json.decode(row.data)
    return EventView(
        seq=row.seq, run=row.run, n=row.n, type=row.type, at=row.at, actor=actor, cause=row.cause, data=data
    )


def policy(environment: str, **people: str) -> Policy:
    """The shipped policy; the sandbox's with two people of its own, and with roles for accounts when given."""
    lines = ["policy: 1", "people:"]
    if environment == "sandbox":
        people = {"ada": "release-manager", "grace": "viewer", **people}
    lines += [f"  {name}: [{role}]" for name, role in people.items()]
    owner = "" if ME in people else ME
    return Policy.load("\n".join(lines if people else lines[:1]) + "\n", environment=environment, owner=owner)


@asynccontextmanager
async def serving(
    folder: Path, host: FakeHost | None = None, *, environment: str = "production", people: dict[str, str] | None = None
):
    """(home, host, door) of a served fake engine; it is stopped as the real one is."""
    host = host or FakeHost()
    home: Home = one_folder(folder, name="test")
    home.run.mkdir(parents=True, exist_ok=True)

    def validate(text: str) -> list[ValidationFinding]:
        return (
            [ValidationFinding(line=1, field="steps", message="no steps", fix="add one")] if "steps" not in text else []
        )

    door = Door(
        host=host,
        records=host,
        reads=host,
        rollouts=host,
        policy=policy(environment, **(people or {})),
        settings=msgspec.convert({"environment": environment}, Settings),
        now=time.time,
        socket=home.socket,
        database=home.database,
        validate=validate,
    )
    ready = asyncio.Event()
    server = Server(application(door), door, ready.set)
    task = asyncio.create_task(server.serve(sockets=[bind(home.socket)]))
    await asyncio.wait_for(ready.wait(), 5)
    try:
        yield home, host, door
    finally:
        door.stopping.set()
        await asyncio.wait_for(task, 10)
