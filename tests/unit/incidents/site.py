"""The same ground with the whole engine on it: the shipped workflows, gates, child runs and timers, on a clock that moves
only while somebody waits.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

import msgspec

from engine.capabilities import subjects
from engine.capabilities.packs import load_pack
from engine.capabilities.policy import Policy
from engine.core import commands as core
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions, load
from engine.store.queries import Queries
from engine.store.records import Actor
from tests.unit.incidents.ground import ROLES, Ground

PATTERNS = (
    "fleet-hotfix",
    "staged-rollout",
    "standing-rule",
    "hold-release",
    "regulatory-clock",
    "breakglass-review",
    "incident-updates",
)
STEP_S = 60.0
PATIENCE_S = 30.0


class Site(Ground):
    """`until` moves the clock by `STEP_S` a look."""

    async def open(self) -> Site:
        self.ids = itertools.count(1)
        self.packs = {
            "rollout": load_pack("rollout", environment="sandbox"),
            "hotfix": load_pack("hotfix") | {"monitor_min_hours": 10.0, "monitor_max_hours": 20.0},
        }
        actions = subjects.actions()
        self.host = await Host.open(
            Config(
                database=self.folder / "quarterdeck.db", actions=actions, evaluator=Expressions(), clock=self.clock, ports=self.ports,
                policy=lambda name: self.packs.get(name) or load_pack(name), horizon_s=60.0, catalogue=subjects.catalogue(),
            )
        )  # fmt: skip
        known = Policy.load("policy: 1\n", environment="sandbox", owner="ops")
        for name in PATTERNS:
            text = (resources.files("engine.patterns") / f"{name}.yaml").read_text("utf-8")
            definition = load(text, actions=actions, roles=known.known, people=known.roster)
            await self.host.register_definition(definition, text=text, id=name, actor=Actor(kind="engine", id="engine"))
        self.queries = Queries(self.folder / "quarterdeck.db")
        return self

    def at(self, person: str) -> Any:
        """The real desk: it starts real runs."""
        from types import SimpleNamespace

        from engine.api import desk as desks

        caller = SimpleNamespace(
            person=person, roles=ROLES.get(person, ()), actor=lambda: Actor(kind="person", id=person)
        )
        door = SimpleNamespace(
            host=self.host, keeper=self.host.keeper, now=self.clock.now, ports=self.ports,
            pack=lambda name: self.packs.get(name) or load_pack(name),
        )  # fmt: skip
        return desks.At(door, caller, SimpleNamespace(id=f"ask-{next(self.ids)}"))  # type: ignore[arg-type]

    async def start(self, workflow: str, **inputs: Any) -> str:
        actor = Actor(kind="person", id="rene")
        answer = await self.host.start_run(workflow, inputs, id=f"start-{next(self.ids)}", actor=actor)
        assert answer.refusal is None, answer.refusal
        return str(answer.run)

    async def publish(self, event: str, subject: str = "", **data: Any) -> None:
        actor = Actor(kind="connector", id="test")
        await self.host.publish(event, data, id=f"event-{next(self.ids)}", actor=actor, source="/test", subject=subject)

    async def tell(self, run: str, event: str, by: str = "ana", **data: Any) -> Any:
        id_ = f"tell-{next(self.ids)}"
        command = core.ReceiveEvent(event=event, id=id_, data=data, by=by)
        return await self.host.submit(run, command, id=id_, actor=Actor(kind="person", id=by))

    async def until(self, look: Callable[[], Any], what: str, step: float = STEP_S) -> Any:
        """What `look` gives once it gives something; time goes on meanwhile."""
        end = time.monotonic() + PATIENCE_S
        while not (found := look()):
            if time.monotonic() > end:
                raise AssertionError(f"{what} did not come: {self.standing()}")
            self.clock.advance(step)
            await asyncio.sleep(0.01)
        return found

    def standing(self) -> list[str]:
        """What every run waits for, for whoever reads a failure."""
        rows = self.queries.run_page(limit=20).rows
        return [f"{row.id} {row.workflow} {row.status} {row.waiting_on}" for row in rows] + [
            f"{one.id} {one.state} {one.phase}: {[line.what for line in one.timeline[-4:]]}"
            for one in self.find("incident")
        ]

    def gate(self, step: str) -> Any:
        return next(
            (row for row in self.queries.gate_page(limit=100).rows if row.path.rpartition(".")[2] == step), None
        )

    async def vote(
        self, step: str, *people: str, answer: str = "approve", form: Mapping[str, Any] | None = None
    ) -> None:
        gate = await self.until(lambda: self.gate(step), f"the gate {step}", step=1.0)
        for person in people:
            detail = self.queries.gate_detail(gate.id)
            assert detail is not None
            vote = core.Vote(
                gate=gate.id, voter=core.Voter(person=person, roles=ROLES.get(person, ())), answer=answer, rationale="as seen",
                evidence_digest=detail.evidence_digest, form=dict(form or {}),
            )  # fmt: skip
            said = await self.host.submit(
                gate.run, vote, id=f"vote-{next(self.ids)}", actor=Actor(kind="person", id=person)
            )
            assert said.refusal is None, said.refusal

    async def chosen(self, id_: str, option: str) -> None:
        """The commander chooses once the run listens."""
        await self.until(lambda: self.waits(id_, "incident.chosen"), "the question what to do", step=1.0)
        await self.do("ivo", "incident.choose", id_, option=option)

    def waits(self, id_: str, event: str) -> bool:
        run = self.incident(id_).run
        return bool(self.host.book.reads.reading.all("select 1 from waits where run = ? and event = ?", (run, event)))

    def told_of(self, event: str) -> list[dict[str, Any]]:
        rows = self.host.book.reads.reading.all(
            "select data from events where type in ('EventPublished', 'Emitted') and data is not null order by seq"
        )
        found = [msgspec.json.decode(row[0]) for row in rows]
        return [one["data"] for one in found if one.get("event") == event]

    def run(self, id_: str) -> Any:
        detail = self.queries.run_detail(id_)
        assert detail is not None
        return detail
