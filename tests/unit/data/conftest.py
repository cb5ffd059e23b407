"""A real book and vault, with actions and verbs called one by one, and sessions as if recordings had been read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.capabilities import subjects
from engine.capabilities.data import actions as data_actions
from engine.capabilities.data.launcher import LocalTraining
from engine.capabilities.desk import Refusal
from engine.capabilities.packs import load_pack
from engine.contract.datasets import Label
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions
from engine.store.records import Actor

VERBS = {verb.name: verb for verb in subjects.verbs().values()}
ACTIONS = data_actions.actions()


class Clock:
    def __init__(self) -> None:
        self.at = 1_790_000_000.0

    def now(self) -> float:
        return self.at


class Context:
    """One action's context."""

    def __init__(self, table: Table, run: str, number: int) -> None:
        self.run, self.path, self.key, self.attempt = run, "step", f"{run}/step/{number}", 1
        self.installation = "here"
        self.in_doubt = self.recovered = False
        self.started_by = "ana"
        self.progress: list[Any] = []
        self._table = table
        actor = Actor(kind="engine", id="engine")
        self.records, self.vault = table.host.keeper.for_asker(actor, self.key, run=run, scope=run)

    def now(self) -> float:
        return self._table.clock.now()

    async def sleep(self, seconds: float) -> None:
        self._table.clock.at += seconds

    def heartbeat(self, progress: Any = None) -> None:
        self.progress.append(progress)

    def cancelled(self) -> bool:
        return self._table.cancelled

    def port(self, capability: str) -> Any:
        return self._table.ports[capability]

    def policy(self, pack: str) -> dict[str, Any]:
        return self._table.policy


class Desk:
    """One person at one verb."""

    def __init__(self, table: Table, person: str, roles: tuple[str, ...], number: int) -> None:
        self.person, self.roles, self._table = person, roles, table
        actor = Actor(kind="person", id=person)
        self.records, self.vault = table.host.keeper.for_asker(actor, f"verb-{number}", scope=f"verb-{number}")

    def now(self) -> float:
        return self._table.clock.now()

    def port(self, capability: str) -> Any:
        return self._table.ports[capability]

    def policy(self, pack: str) -> dict[str, Any]:
        return self._table.policy

    async def start(self, workflow: str, inputs: Mapping[str, Any], attributes: Any = None) -> str:
        self._table.told.append(("start", workflow, dict(inputs)))
        return "run-99"

    async def signal(self, run: str, event: str, data: Any = None) -> None:
        self._table.told.append(("signal", run, event))

    async def publish(self, event: str, data: Mapping[str, Any], subject: str = "") -> None:
        self._table.told.append(("publish", event, dict(data)))

    def refuse(self, code: str, reason: str, fix: str = "", field: str = "") -> Any:
        raise Refusal(code, reason, fix=fix, field=field)


class Table:
    """What a test works with."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host, self.clock = host, Clock()
        self.policy = msgspec.json.decode(msgspec.json.encode(load_pack("data", environment="sandbox")))
        self.ports: dict[str, Any] = {"training": LocalTraining(folder / "training")}
        self.told: list[Any] = []
        self.cancelled = False
        self.run = "run-1"
        self._number = 0

    async def act(self, name: str, **given: Any) -> Any:
        """One action of the campaign's run."""
        self._number += 1
        self.context = Context(self, self.run, self._number)
        return await ACTIONS[name].run(self.context, given)

    async def do(self, person: str, verb: str, target: str = "", **args: Any) -> Any:
        self._number += 1
        found = VERBS[verb]
        roles = {"lea": ("data-lead",), "pia": ("privacy-officer",)}.get(person, ("annotator",))
        desk = Desk(self, person, roles, self._number)
        record = await desk.records.get(found.kind, target) if found.kind else None
        return await found.do(desk, record, msgspec.convert(args, found.args))

    @property
    def records(self) -> Any:
        return self.host.book.bound(actor=Actor(kind="person", id="test"), cause="test", scope=f"test-{self._number}")

    async def get(self, kind: str, id: str) -> Any:
        return await self.records.get(kind, id)

    async def find(self, kind: str, **where: Any) -> list[Any]:
        state = where.pop("state", ())
        return await self.records.find(kind, state=state, where=where, limit=10_000, order="id")

    async def session(self, name: str, **fields: Any) -> Any:
        """A recording that passed its checks."""
        number = int(name.partition("-")[2] or 0)
        values: dict[str, Any] = {
            "title": name, "robot": "HAM2-amr-0001", "site": "HAM2", "task": "bin-pick day", "operator": "op-1", "outcome": "success",
            "start_ns": 1_789_990_000_000_000_000 + number * 60_000_000_000, "start": 1_789_990_000.0, "end": 1_789_990_010.0,
            "duration_s": 10.0, "bytes": 1000, "frames": 100, "digest": f"sha256:{number:064x}", "content": f"sha256:{number:064x}",
            "fingerprint": f"f-{name}", "trajectory": f"t-{name}", "format": "mcap", "consent_basis": "sandbox", "group": f"HAM2-d{number % 5}|r|o",
            "dataset": "bins", "verdict": "pass", "features": {"gripper_force": 10.0 + number % 7, "lighting": 0.5},
        }  # fmt: skip
        values.update(fields)
        book = self.records
        await book.create("session", values, id=name, key=f"s/{name}")
        await book.change("session", name, to="ingested")
        return await book.change("session", name, to="valid")

    async def label(self, person: str, task: Any, *, shift: float = 0.0, outcome: str = "success") -> Any:
        """Takes a task and labels the whole session."""
        await self.do(person, "label.claim", task.id)
        return await self.do(person, "label.submit", task.id, labels=labels(task.duration_s, shift, outcome))

    async def label_all(self, *, outcome: str = "success", shift: float = 0.0) -> None:
        for task in await self.find("label_task", state="open"):
            if task.purpose == "audit":
                await self.do("lea", "label.claim", task.id)
                await self.do("lea", "label.audit", task.id)
            else:
                person = "ann" if task.purpose == "label" else "max"
                await self.label(person, task, shift=shift if person == "max" else 0.0, outcome=outcome)

    async def campaign(self, *, sessions: int = 12, **more: Any) -> str:
        """As far as labels that are accepted and sessions that are curated; the snapshot's id."""
        for number in range(1, sessions + 1):
            if await self.get("session", f"S-{number}") is None:
                site = ("HAM2", "HAM5", "UTR1")[number % 3]
                await self.session(f"S-{number}", site=site, group=f"{site}-d{number % 2}|r|o")
        opened = await self.act("data.open", dataset="bins", line="pick", **more)
        snapshot = opened["snapshot"]
        await self.act("data.admit", snapshot=snapshot)
        await self.act("data.queue", snapshot=snapshot)
        await self.label_all()
        await self.act("data.label_quality", snapshot=snapshot)
        await self.label_all()
        await self.act("data.label_verdict", snapshot=snapshot)
        await self.act("data.accept_labels", snapshot=snapshot, by=["lea"])
        await self.act("data.curate", snapshot=snapshot)
        await self.act("data.coverage", snapshot=snapshot)
        return str(snapshot)

    async def finalized(self, **more: Any) -> Any:
        snapshot = await self.campaign(**more)
        frozen = await self.act("data.freeze", snapshot=snapshot)
        assert not frozen["blocked"], frozen["blockers"]
        await self.act(
            "data.finalize", snapshot=snapshot, root_digest=frozen["root_digest"], gate="run-1.7", by=["lea"]
        )
        return await self.get("snapshot", snapshot)


def labels(length: float, shift: float = 0.0, outcome: str = "success") -> list[dict[str, Any]]:
    """The phases of a session one after the other, every inner edge `shift` seconds late."""
    names = ("approach", "grasp", "transfer", "place")
    edges = [0.0, *[length * (i + 1) / 4 + shift for i in range(3)], length]
    spans = [Label(name="phase", value=name, t0=edges[i], t1=edges[i + 1]) for i, name in enumerate(names)]
    return msgspec.to_builtins([*spans, Label(name="outcome", value=outcome)])


@pytest.fixture
async def table(tmp_path: Path) -> AsyncIterator[Table]:
    config = Config(
        database=tmp_path / "quarterdeck.db", actions={}, evaluator=Expressions(), catalogue=subjects.catalogue()
    )
    host = await Host.open(config)
    found = Table(host, tmp_path)
    config.clock = found.clock  # type: ignore[assignment]
    yield found
    await host.keeper.settle()
    await host.close()
