"""The stage a scenario plays on: the sandbox people's hands, and eyes on what came of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from app import wire
from app.attach import Unreachable
from app.cli.session import address, part, records
from app.client import headers
from app.home import Home
from app.scripted import ENDED, Operator
from app.world import World
from engine.contract.client import Refused
from engine.contract.common import CommandAnswer, Json
from engine.contract.gates import GateDetail, GatePage
from engine.contract.runs import RunDetail, RunPage
from engine.contract.system import EngineStatus

T = TypeVar("T")
_POLL_S = 0.1


class Stage:
    """One demo, seen by its scenario. `folder` is for real files; times that are waited for are real seconds."""

    def __init__(self, home: Home, world: World, tell: Callable[[str], None] = lambda text: None) -> None:
        self.home, self.world, self.tell = home, world, tell
        self.folder = home.state / "files"
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.operator = Operator(home, tell)
        self.seed = world.seed

    # -- hands -------------------------------------------------------------------------------------------------------

    def do(self, person: str, verb: str, target: str = "", args: Mapping[str, Json] | None = None) -> CommandAnswer:
        """One verb as one person. A phrase that is asked for is typed. Raises `Refused`."""
        given = dict(args or {})
        asked = self.operator.command(person, verb, target, given, preview=True) if self._previews(verb) else None
        if asked is not None and asked.phrase:
            given["phrase"] = asked.phrase
        answer = self.operator.command(person, verb, target, given)
        self.tell(f"{person}: {verb} {answer.target or target}")
        return answer

    def start(self, person: str, workflow: str, inputs: Mapping[str, Json]) -> str:
        """Starts a run; its id."""
        return self.do(person, "run.start", workflow, {"inputs": dict(inputs)}).target

    def emit(
        self, event: str, data: Mapping[str, Json], *, subject: str = "", id: str = "", person: str = "ana"
    ) -> None:
        """An event from outside, as a robot or another system would send it: a CloudEvent."""
        envelope: dict[str, Json] = {
            "specversion": "1.0",
            "type": event,
            "source": "/demo",
            "id": id or f"scenario-{uuid.uuid4()}",
            "data": dict(data),
        }
        if subject:
            envelope["subject"] = subject
        self.operator.command(person, "event.emit", "", {"envelope": envelope})
        self.tell(f"event {event} {subject}")

    def answer(
        self,
        gate: str,
        person: str,
        answer: str = "approve",
        *,
        form: Mapping[str, Json] | None = None,
        rationale: str = "the evidence supports it",
        run: str = "",
        limit_s: float = 60.0,
    ) -> GateDetail:
        """Waits for an open gate of this kind or step (of `run`, when given), and votes on what it shows."""

        def found() -> GateDetail | None:
            for row in self.get("/v1/gates", GatePage).rows:
                if gate in (row.kind, row.path.rpartition(".")[2], row.path) and run in ("", row.run):
                    return wire.get(self.home, f"/v1/gates/{row.id}", GateDetail, headers(person))
            return None

        deadline = time.monotonic() + limit_s
        while True:
            detail = self.until(found, f"the gate {gate}", max(1.0, deadline - time.monotonic()))
            args: dict[str, Json] = {
                "answer": answer,
                "evidence_digest": detail.evidence_digest,
                "rationale": rationale,
                "form": dict(form or {}),
            }
            if detail.phrase and answer == "approve":
                args["phrase"] = detail.phrase
            try:
                self.operator.command(person, "gate.vote", detail.gate.id, args)
            except Refused as refused:  # the evidence moved between the look and the vote: look again
                if refused.problem.code not in ("stale", "stale_evidence") or time.monotonic() > deadline:
                    raise
                continue
            self.tell(f"{person} {answer} {detail.gate.kind} {detail.gate.id}")
            return detail

    def program(self, module: str, *words: str, limit_s: float = 60.0) -> str:
        """Runs a program of the simulated world (`python -m connectors.sandbox.…`); what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", module, *words], capture_output=True, text=True, timeout=limit_s, check=False
        )
        if done.returncode:
            raise Unreachable(f"{module} failed: {(done.stderr or done.stdout)[-500:]}")
        return done.stdout

    # -- eyes --------------------------------------------------------------------------------------------------------

    def get(self, path: str, kind: type[T], /, **query: object) -> T:
        return wire.get(self.home, address(path, **query), kind)

    def now(self) -> float:
        """The engine's clock."""
        return self.get("/v1/status", EngineStatus).now

    def records(
        self, kind: str, shape: type[T], *, state: str = "", text: str = "", where: Mapping[str, str] | None = None
    ) -> tuple[T, ...]:
        """Records, newest change first."""
        return records(self.get, kind, shape, state=state, text=text, where=where, limit=1000)

    def record(self, kind: str, id: str, shape: type[T]) -> T:
        return self.get(f"/v1/records/{part(kind)}/{part(id)}", shape)

    def until(self, look: Callable[[], T | None], what: str, limit_s: float = 60.0) -> T:
        """What `look` gives once it gives something. Raises `Unreachable` when it has not in time."""
        deadline = time.monotonic() + limit_s
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > deadline:
                raise Unreachable(f"{what} did not come within {limit_s:.0f} s: {self._open()}")
            time.sleep(_POLL_S)

    def state_is(self, kind: str, id: str, states: str | Sequence[str], shape: type[T], limit_s: float = 60.0) -> T:
        """The record once it stands in one of the states."""
        wanted = (states,) if isinstance(states, str) else tuple(states)

        def look() -> T | None:
            record: Any = self.record(kind, id, shape)
            return record if record.state in wanted else None

        return self.until(look, f"{kind} {id} {' or '.join(wanted)}", limit_s)

    def run_ended(self, run: str, limit_s: float = 90.0) -> RunDetail:
        """The run once it has ended."""

        def look() -> RunDetail | None:
            detail = self.get(f"/v1/runs/{run}", RunDetail)
            return detail if detail.run.status in ENDED else None

        return self.until(look, f"the end of {run}", limit_s)

    def run_of(self, workflow: str, limit_s: float = 60.0, *, after: Sequence[str] = ()) -> str:
        """The newest run of a workflow that is not in `after`, once there is one."""

        def look() -> str | None:
            rows = self.get("/v1/runs", RunPage, workflow=workflow, limit=50).rows
            return next((row.id for row in rows if row.id not in after), None)

        return self.until(look, f"a run of {workflow}", limit_s)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _previews(self, verb: str) -> bool:
        return not verb.startswith(("event.", "run.start", "workflow."))

    def _open(self) -> str:
        """What goes on, for whoever reads why a scenario got stuck."""
        runs = [
            f"{row.id} {row.workflow} {row.status} {row.step} {row.waiting_on}"
            for row in self.get("/v1/runs", RunPage, limit=20).rows
            if row.status not in ENDED
        ]
        gates = [f"{row.id} {row.kind} {row.question[:60]}" for row in self.get("/v1/gates", GatePage).rows]
        return json.dumps({"runs": runs[:8], "gates": gates[:8]})
