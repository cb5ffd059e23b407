"""A fleet of a dozen robots with its owners and a book of its own: what an incident's actions are asked on.

Time stands still unless a test moves it. Robots work, need people at the rate of what they run, and take what they are
told at once; which of them is offline, floored or idle is the test's to say.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from engine.api import desk as desks
from engine.capabilities import subjects
from engine.capabilities.packs import load_pack
from engine.capabilities.ports import ActionError, InstallReport, Release, Robot, Sample
from engine.contract.incidents import IncidentView
from engine.hosts.clock import VirtualClock
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions
from engine.store.records import Actor

START = 1_763_900_000.0
OLD, BAD, FORWARD = "4.7.9", "4.8.1", "4.8.2"
RATES = {OLD: 0.03, BAD: 0.5, FORWARD: 0.03}
ROLES = {"ivo": ("incident-commander",), "bo": ("safety-officer",), "cy": ("operator", "fleet-operator"), "dana": ("duty-director",), "ana": ("release-manager",)}  # fmt: skip


class Owners:
    """Update server, fleet and metrics in one: `HAM2-0` to `-5` run the bad version, six more at HAM5 the old one."""

    traits: dict[str, str] = {}

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.fleet = {f"HAM2-{i}": self._robot("HAM2", i, BAD) for i in range(6)} | {f"HAM5-{i}": self._robot("HAM5", i, OLD) for i in range(6)}  # fmt: skip
        self.desired = {name: robot.version for name, robot in self.fleet.items()}
        self.state = dict.fromkeys(self.fleet, "idle")
        self.held = [
            Release(id="1", version=OLD, digest="sha1:a", size_b=1),
            Release(id="2", version=BAD, digest="sha1:b", size_b=1),
            Release(id="3", version=FORWARD, digest="sha1:c", size_b=1),
        ]
        self.since = {name: [(START - 48 * 3600.0, robot.version)] for name, robot in self.fleet.items()}
        self.idle: set[str] = set()
        self.silent: set[str] = set()
        self.calls: list[tuple[str, tuple[str, ...], str]] = []
        self.rates = dict(RATES)
        self.dangerous: set[str] = set()
        """Versions on which every robot has a safety event after five minutes."""

    @staticmethod
    def _robot(site: str, number: int, version: str) -> Robot:
        return Robot(
            id=f"{site}-{number}", serial=f"S{number}7Q41", site=site, region="eu", customer="N", variant="rev-C", mode="AUTOMATIC",
            version=version, battery=0.9, online=True, poll_s=60.0, last_seen_at=START,
        )  # fmt: skip

    def set(self, name: str, **what: Any) -> None:
        self.fleet[name] = msgspec.structs.replace(self.fleet[name], **what)

    def runs(self, name: str, version: str) -> None:
        """It took this version now."""
        self.set(name, version=version)
        self.desired[name] = version
        self.since[name].append((self.clock.now(), version))

    # -- ports -------------------------------------------------------------------------------------------------------

    async def robots(self) -> list[Robot]:
        return list(self.fleet.values())

    async def releases(self) -> list[Release]:
        return self.held

    async def reports(self, robots: Sequence[str] | None = None) -> list[InstallReport]:
        return [
            InstallReport(robot=n, state=self.state[n], desired=self.desired[n], reported=r.version)
            for n, r in self.fleet.items()
            if robots is None or n in robots
        ]

    async def assign(self, robots: Sequence[str], version: str, *, key: str) -> list[str]:
        self.calls.append(("assign", tuple(sorted(robots)), version))
        for name in robots:
            self.desired[name] = version
            if self.fleet[name].online:
                self.runs(name, version)
        return list(robots)

    async def withdraw(self, robots: Sequence[str], *, key: str) -> list[str]:
        self.calls.append(("withdraw", tuple(sorted(robots)), ""))
        for name in robots:
            self.desired[name], self.state[name] = self.fleet[name].version, "idle"
        return list(robots)

    async def retry(self, robots: Sequence[str], *, key: str) -> None:
        self.calls.append(("retry", tuple(sorted(robots)), ""))

    async def first_error(self, robot: str) -> str:
        return ""

    async def check(self) -> str:
        return "owners"

    async def range(
        self, name: str, start: float, end: float, step: float, robots: Sequence[str] | None = None
    ) -> dict[str, list[Sample]]:
        names = [n for n in (robots or self.fleet) if n not in self.silent]
        points = [start + step * i for i in range(int((end - start) / step) + 1)]
        return {n: [Sample(t, self._counter(name, n, t)) for t in points if t <= self.clock.now()] for n in names}

    def _counter(self, metric: str, robot: str, t: float) -> float:
        life = 0.0 if robot in self.idle else max(0.0, t - self.since[robot][0][0])
        if metric == "robot_operating_seconds_total":
            return life
        if metric == "robot_heartbeats_total":
            return max(0.0, t - self.since[robot][0][0]) / 30.0
        if metric == "robot_tasks_total":
            return life / 300.0
        if metric == "robot_safety_events_total":
            return float(
                sum(1 for begun, version in self.since[robot] if version in self.dangerous and t > begun + 300)
            )
        if metric == "robot_interventions_total" and robot not in self.idle:
            events = 0.0
            changes = [*self.since[robot], (math.inf, "")]
            for (begun, version), (ended, _) in itertools.pairwise(changes):
                events += self.rates.get(version, 0.0) * max(0.0, min(t, ended) - begun) / 3600.0
            return float(int(events))
        return 0.0


class Ground:
    """`context()` is what an action gets, `at(person)` what a verb gets."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock(START)
        self.owners, self.folder = Owners(self.clock), folder
        self.ports = {"updates": self.owners, "fleet": self.owners, "signals": self.owners}
        self.packs: dict[str, dict[str, Any]] = {"hotfix": load_pack("hotfix"), "rollout": load_pack("rollout")}
        self.asked = 0
        self.signals: list[tuple[str, str, Any]] = []
        self.started: list[tuple[str, Any]] = []
        self.told: list[tuple[str, Any]] = []
        self.deaf: set[str] = set()
        self.host: Host

    async def open(self) -> Ground:
        config = Config(
            database=self.folder / "quarterdeck.db", actions={}, evaluator=Expressions(), clock=self.clock,
            catalogue=subjects.catalogue(),
        )  # fmt: skip
        self.host = await Host.open(config)
        return self

    async def sleep(self, seconds: float) -> None:
        """Whoever sleeps here moves time."""
        self.clock.advance(seconds)

    def context(self, key: str = "") -> Any:
        self.asked += 1
        actor, cause = Actor(kind="engine", id="engine"), f"ask-{self.asked}"
        records, vault = self.host.keeper.for_asker(actor, cause, run="run-1", scope=key or cause)

        def port(capability: str) -> Any:
            if capability not in self.ports:
                raise ActionError("NotConfigured", f"no {capability}", kind="configuration", retryable=False)
            return self.ports[capability]

        return SimpleNamespace(
            records=records, vault=vault, run="run-1", path="x", key=key or cause, attempt=1, in_doubt=False, recovered=False,
            started_by="cy", now=self.clock.now, port=port, policy=lambda pack: self.packs[pack], heartbeat=lambda progress=None: None,
            cancelled=lambda: False, sleep=self.sleep,
        )  # fmt: skip

    async def declared(self, *, state: str = "contained", **fields: Any) -> str:
        """An incident that has come as far as `state`."""
        records = self.context().records
        made = await records.create(
            "incident",
            {"title": "people are called too often", "version": BAD, "sev": 2, "run": "run-1", "first_seen": START, "ic": "ivo", **fields},
            key=f"i{self.asked}",
        )  # fmt: skip
        for step in ("triaged", "contained", "mitigating"):
            await records.change("incident", made.id, to=step)
            if step == state:
                break
        return str(made.id)

    def incident(self, id_: str) -> IncidentView:
        found = self.host.book.reads.get("incident", id_)
        assert isinstance(found, IncidentView)
        return found

    def at(self, person: str) -> Any:
        """The desk of one person; what it signals, starts and publishes is kept here."""
        self.asked += 1
        caller = SimpleNamespace(
            person=person, roles=ROLES.get(person, ()), actor=lambda: Actor(kind="person", id=person)
        )
        door = SimpleNamespace(
            host=self.host,
            keeper=self.host.keeper,
            now=self.clock.now,
            ports=self.ports,
            pack=lambda name: self.packs[name],
        )
        desk: Any = desks.At(door, caller, SimpleNamespace(id=f"ask-{self.asked}"))  # type: ignore[arg-type]

        async def signal(run: str, event: str, data: Any = None) -> None:
            from engine.capabilities.desk import Refusal

            if event in self.deaf:
                raise Refusal("not_waiting", f"nothing in {run} waits for {event} now")
            self.signals.append((run, event, data))

        async def start(workflow: str, inputs: Any, attributes: Any = None) -> str:
            self.started.append((workflow, dict(inputs)))
            return f"run-{len(self.started) + 1}"

        async def publish(event: str, data: Any, subject: str = "", **more: Any) -> None:
            self.told.append((event, dict(data)))

        desk.signal, desk.start, desk.publish = signal, start, publish
        return desk

    async def do(self, person: str, verb: str, target: str = "", /, **args: Any) -> Any:
        declared = subjects.verbs()[verb]
        record = self.host.book.reads.get(declared.kind, target) if declared.kind else None
        return await declared.do(self.at(person), record, msgspec.convert(args, declared.args))

    def get(self, kind: str, id_: str) -> Any:
        return self.host.book.reads.get(kind, id_)

    def find(self, kind: str, **where: Any) -> list[Any]:
        return self.host.book.reads.find(kind, where=where)
