"""A real book and vault with a clock in the test's hand, a fleet in memory, and desks and contexts over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from engine.capabilities import subjects
from engine.capabilities.desk import Refusal
from engine.capabilities.packs import load_pack
from engine.capabilities.ports import ActionError, InstallReport, Robot, Sample
from engine.capabilities.records import Records
from engine.capabilities.vault import Vault
from engine.hosts.clock import VirtualClock
from engine.hosts.embedded import Host
from engine.hosts.keeping import Keeper
from engine.hosts.settings import Config
from engine.language import Expressions
from engine.store.records import Actor

START = 1_800_000_000.0
HOUR = 3_600.0
MINUTE = 60.0


class World:
    """The owners of the fleet. `lost` makes them unreachable; `hours` and `tasks` are each robot's counters by time."""

    def __init__(self, robots: Sequence[Robot]) -> None:
        self.fleet = {robot.id: robot for robot in robots}
        self.lost = False
        self.blind = False
        self.rate_h = 1.0

    async def robots(self) -> Sequence[Robot]:
        if self.lost:
            raise ActionError("Unreachable", "the update server does not answer", kind="unavailable")
        return list(self.fleet.values())

    async def reports(self, robots: Sequence[str] | None = None) -> Sequence[InstallReport]:
        if self.lost:
            raise ActionError("Unreachable", "the update server does not answer", kind="unavailable")
        return [
            InstallReport(robot=one.id, state="idle", desired=one.version, reported=one.version)
            for one in self.fleet.values()
            if robots is None or one.id in robots
        ]

    async def range(
        self, name: str, start: float, end: float, step: float, robots: Sequence[str] | None = None
    ) -> dict[str, list[Sample]]:
        if self.blind:
            return {}
        unit = {"robot_operating_seconds_total": self.rate_h, "robot_tasks_total": self.rate_h / 300}.get(name, 0.0)
        times = [start, (start + end) / 2, end] if end > start else [start]
        return {one: [Sample(t, (t - START + 1e6) * unit) for t in times] for one in robots or ()}


class Desk:
    """One person asking for one thing."""

    def __init__(self, ground: Ground, person: str, roles: tuple[str, ...], request: str) -> None:
        self.person, self.roles = person, roles
        self._ground = ground
        actor = Actor(kind="person", id=person)
        self.records: Records
        self.records, self.vault = ground.keeper.for_asker(actor, request, scope=request)
        self.started: list[tuple[str, dict[str, Any]]] = []

    def now(self) -> float:
        return self._ground.clock.now()

    def port(self, capability: str) -> Any:
        return self._ground.port(capability)

    def policy(self, pack: str) -> dict[str, Any]:
        return self._ground.pack(pack)

    async def start(self, workflow: str, inputs: Mapping[str, Any], attributes: Mapping[str, Any] | None = None) -> str:
        self._ground.started.append((workflow, dict(inputs)))
        return f"run-{len(self._ground.started)}"

    async def signal(self, run: str, event: str, data: Mapping[str, Any] | None = None) -> None: ...
    async def publish(
        self, event: str, data: Mapping[str, Any], subject: str = "", *, source: str = "", id: str = "", cause: str = ""
    ) -> None: ...

    def refuse(self, code: str, reason: str, fix: str = "", field: str = "") -> NoReturn:
        raise Refusal(code, reason, fix=fix, field=field)


class Context:
    """One action of one run."""

    def __init__(self, ground: Ground, run: str) -> None:
        self.run, self.path, self.key, self.attempt = run, "step", f"{run}/step", 1
        self.in_doubt = self.recovered = False
        self.started_by = "cy"
        self._ground = ground
        engine = Actor(kind="engine", id="engine")
        self.records, self.vault = ground.keeper.for_asker(engine, f"{run}/step", run=run, scope=f"{run}:step")

    def now(self) -> float:
        return self._ground.clock.now()

    async def sleep(self, seconds: float) -> None: ...
    def heartbeat(self, progress: Any = None) -> None: ...
    def cancelled(self) -> bool:
        return False

    def port(self, capability: str) -> Any:
        return self._ground.port(capability)

    def policy(self, pack: str) -> dict[str, Any]:
        return self._ground.pack(pack)


class Ground:
    """Open with `await Ground.open(tmp_path)`; close the host at the end."""

    def __init__(self, host: Host, keeper: Keeper, clock: VirtualClock, world: World) -> None:
        self.host, self.keeper, self.clock, self.world = host, keeper, clock, world
        self.policy = load_pack("maintenance")
        self.started: list[tuple[str, dict[str, Any]]] = []
        self._requests = 0
        self._verbs = subjects.verbs()
        self._actions = subjects.actions()

    @classmethod
    async def open(cls, folder: Path) -> Ground:
        clock = VirtualClock(START)
        host = await Host.open(
            Config(
                database=folder / "quarterdeck.db", actions={}, evaluator=Expressions(),
                catalogue=subjects.catalogue(), clock=clock,
            )
        )  # fmt: skip
        keeper = Keeper(host.book, Vault(folder / "vault"))
        return cls(host, keeper, clock, World(robots()))

    def port(self, capability: str) -> Any:
        if capability in ("fleet", "updates", "signals"):
            return self.world
        raise ActionError("NotConfigured", f"no {capability} is configured here", kind="configuration", retryable=False)

    def pack(self, name: str) -> dict[str, Any]:
        return self.policy

    async def do(
        self, person: str, verb: str, target: str = "", roles: tuple[str, ...] = (), *, stale: Any = None, **args: Any
    ) -> Any:
        """A verb as the door would call it. `stale`: the record as the door read it, a change ago."""
        import msgspec

        self._requests += 1
        found = self._verbs[verb]
        desk = Desk(self, person, roles, f"request-{self._requests}")
        record = stale or (await desk.records.get(found.kind, target) if found.kind else None)
        assert record is not None or not found.kind, f"no {found.kind} {target}"
        return await found.do(desk, record, msgspec.convert(args, found.args))

    async def foresee(self, person: str, verb: str, target: str = "", **args: Any) -> Any:
        import msgspec

        found = self._verbs[verb]
        desk = Desk(self, person, (), "preview")
        record = await desk.records.get(found.kind, target) if found.kind else None
        assert found.foresee is not None
        return await found.foresee(desk, record, msgspec.convert(args, found.args))

    async def act(self, action: str, run: str = "run-1", **given: Any) -> Any:
        """An action as a run would call it."""
        return await self._actions[action].run(Context(self, run), given)

    host_actor = Actor(kind="engine", id="engine")

    def book(self, person: str) -> Any:
        """The book for one person, past the verbs."""
        self._requests += 1
        return self.host.book.bound(actor=Actor(kind="person", id=person), cause="test", scope=f"test-{self._requests}")

    def case(self, id: str) -> Any:
        return self.host.book.reads.get("case", id)

    def robot(self, id: str) -> Any:
        return self.host.book.reads.get("robot", id)

    def told(self, event: str) -> list[dict[str, Any]]:
        """Events of that name, as they stand in the history."""
        import msgspec

        rows = self.host.loader.rows("select data from events where type = 'EventPublished' order by seq")
        bodies = [msgspec.json.decode(row[0]) for row in rows]
        return [body["data"] for body in bodies if body.get("event") == event]

    async def queued(self, robot: str = "HAM2-01", symptom: str = "left drive overcurrent", **more: Any) -> str:
        """A case that was filed and sorted; its id."""
        answer = await self.do("cy", "case.open", robot=robot, symptom=symptom, **more)
        id = str(answer["id"])
        for action in ("case.enrich", "case.triage", "case.route"):
            await self.act(action, run=f"run-{id}", case=id)
        return id

    async def resolved(self, id: str, person: str = "tom", **more: Any) -> None:
        await self.do(person, "case.start", id)
        codes = {
            "mode": "overcurrent", "mechanism": "wear", "cause": "operation", "detection": "operator_report",
            "item": "left_drive", "resolution": "wheel exchanged",
        }  # fmt: skip
        await self.do(person, "case.resolve", id, **{**codes, **more})


def robots() -> list[Robot]:
    """Thirty robots: twenty of them on 4.8.1, at two sites."""
    return [
        Robot(
            id=f"{'HAM2' if n < 20 else 'MUC1'}-{n:02d}", serial=f"SN-{n:04d}", site="HAM2" if n < 20 else "MUC1", region="eu",
            customer="kim", variant="rev-C" if n % 2 else "rev-B", version="4.8.1" if n < 20 else "4.8.0",
            mode="AUTOMATIC", online=True, last_seen_at=START,
        )
        for n in range(30)
    ]  # fmt: skip
