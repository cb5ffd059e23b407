"""A book, a vault and a folder of rings for the loop's actions and verbs; time stands still unless a test moves it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from msgspec import to_builtins

from connectors.sandbox import ring as generator
from engine.api import desk as desks
from engine.capabilities import subjects
from engine.capabilities.corrections import labelling
from engine.capabilities.corrections.ring import RingFolder
from engine.capabilities.desk import Refusal
from engine.capabilities.packs import load_pack
from engine.capabilities.ports import ActionError
from engine.contract.corrections import ClusterView, CorrectionCase, Span
from engine.hosts.clock import VirtualClock
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions
from engine.store.records import Actor

START = 1_793_600_000.0
ROBOT, SITE, TASK, ZONE, VERSION = "HAM2-AMR-04", "HAM2", "jam-recovery", "tote lip", "4.8.1"
ACTIONS = subjects.actions()


class Ground:
    """`act` calls an action as the engine, `do` a verb as a person. Signals, starts and events are kept."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.folder = VirtualClock(START), folder
        self.rings = folder / "rings"
        self.ports: dict[str, Any] = {"robots_recorder": RingFolder(self.rings, self.clock)}
        self.packs = {name: load_pack(name, environment="sandbox") for name in ("correction", "data", "release")}
        self.asked = 0
        self.signals: list[tuple[str, str]] = []
        self.started: list[tuple[str, Any]] = []
        self.deaf = False
        self.host: Host

    async def open(self) -> Ground:
        config = Config(
            database=self.folder / "quarterdeck.db", actions={}, evaluator=Expressions(), clock=self.clock,
            catalogue=subjects.catalogue(),
        )  # fmt: skip
        self.host = await Host.open(config)
        return self

    # -- asking ------------------------------------------------------------------------------------------------------

    def context(self, run: str = "run-1") -> Any:
        self.asked += 1
        actor, cause = Actor(kind="engine", id="engine"), f"ask-{self.asked}"
        records, vault = self.host.keeper.for_asker(actor, cause, run=run, scope=cause)

        def port(capability: str) -> Any:
            if capability not in self.ports:
                raise ActionError("NotConfigured", f"no {capability}", kind="configuration", retryable=False)
            return self.ports[capability]

        return SimpleNamespace(
            records=records, vault=vault, run=run, path="x", key=cause, attempt=1, in_doubt=False, recovered=False,
            started_by="ann", now=self.clock.now, port=port, policy=lambda pack: self.packs[pack],
            heartbeat=lambda progress=None: None, cancelled=lambda: False,
        )  # fmt: skip

    async def act(self, action: str, run: str = "run-1", /, **given: Any) -> Any:
        return await ACTIONS[action].run(self.context(run), given)

    async def do(self, person: str, verb: str, target: str = "", /, **args: Any) -> Any:
        self.asked += 1
        declared = subjects.verbs()[verb]
        record = self.host.book.reads.get(declared.kind, target) if declared.kind else None
        caller = SimpleNamespace(person=person, roles=(), actor=lambda: Actor(kind="person", id=person))
        door = SimpleNamespace(
            host=self.host, keeper=self.host.keeper, now=self.clock.now, ports=self.ports, pack=lambda name: self.packs[name]
        )  # fmt: skip
        desk: Any = desks.At(door, caller, SimpleNamespace(id=f"ask-{self.asked}"))  # type: ignore[arg-type]

        async def signal(run: str, event: str, data: Any = None) -> None:
            if self.deaf:
                raise Refusal("not_waiting", f"nothing in {run} waits for {event} now")
            self.signals.append((run, event))

        async def start(workflow: str, inputs: Mapping[str, Any], attributes: Any = None) -> str:
            self.started.append((workflow, dict(inputs)))
            return f"run-{len(self.started) + 1}"

        desk.signal, desk.start = signal, start
        return await declared.do(desk, record, msgspec.convert(args, declared.args))

    # -- what stands -------------------------------------------------------------------------------------------------

    def case(self, id_: str) -> CorrectionCase:
        found: Any = self.host.book.reads.get("correction", id_)
        return found  # type: ignore[no-any-return]

    def cluster(self, id_: str) -> ClusterView:
        found: Any = self.host.book.reads.get("cluster", id_)
        return found  # type: ignore[no-any-return]

    def find(self, kind: str, **where: Any) -> list[Any]:
        return self.host.book.reads.find(kind, where=where)

    def told(self) -> list[tuple[str, Any]]:
        """Events that were told, in order."""
        with sqlite3.connect(self.folder / "quarterdeck.db") as base:
            rows = base.execute(
                "select cast(data as text) from events where type = 'EventPublished' order by seq"
            ).fetchall()
        return [(one["event"], one["data"]) for (text,) in rows for one in (json.loads(text),)]

    # -- making ------------------------------------------------------------------------------------------------------

    def ring(
        self, at: float, *, robot: str = ROBOT, cause: str = "policy", minutes: int = 2, offline: bool = False
    ) -> None:
        words = [
            "ring",
            str(self.rings),
            "--seed",
            "7",
            "--fleet",
            "60",
            "--robot",
            robot,
            "--at",
            str(at),
            "--end",
            str(at + 60),
        ]
        words += [
            "--minutes",
            str(minutes),
            "--ring-minutes",
            "90",
            "--cause",
            cause,
            *(["--offline"] if offline else []),
        ]
        generator.main(words)

    async def recorded(self, name: str = "new", **more: Any) -> list[str]:
        """Sessions from real recordings, taken in as the data pattern does."""
        given = {
            "count": 1,
            "robots": 1,
            "interventions": 1,
            "causes": "policy",
            "seconds": 40,
            "version": VERSION,
            "start": START - 7200,
        } | more
        folder = self.folder / name
        words = [word for key, value in given.items() for word in (f"--{key}", str(value))]
        generator.main(["sessions", str(folder), "--seed", "7", "--fleet", "60", "--site", SITE, *words])
        taken = await self.act("data.intake", "run-0", folder=str(folder))
        assert not taken["quarantined"], taken["worst"]
        return list(taken["sessions"])

    async def triaged(self, **more: Any) -> str:
        """A correction whose cause is the policy, with phases as a machine gives them."""
        self.asked += 1
        number = self.asked
        spans = (("autonomous", -10, -1.5), ("pre_intervention", -1.5, 0), ("handover", 0, 1.3), ("recovery", 1.3, 5.5), ("correction", 5.5, 11), ("resume", 11, 13), ("post", 13, 20))  # fmt: skip
        auto = [to_builtins(Span(t0=float(a), t1=float(b), phase=phase)) for phase, a, b in spans]
        t0 = START - 600 * number
        fields: dict[str, Any] = {
            "title": "jam", "session": f"S-x{number}", "robot": f"R-{number}", "site": SITE, "task": TASK, "zone": ZONE, "version": VERSION, "t0": t0,
            "t1": t0 + 11, "group": f"{SITE}/day-{number}/R-{number}", "features": [0.5, 0.1, 0.3, 0.5, 0.7, -0.4, 0.8, 0.6, 0.1, 0.7],
            "auto": auto, "shown": auto, "severity": "task_failure",
            "window": {"digest": "sha256:" + f"{number:064x}", "start": t0 - 10, "end": t0 + 20, "covered": 1.0, "source": "session"},
        } | more  # fmt: skip
        context = self.context(str(more.pop("run", "run-1")))
        made = await context.records.create("correction", fields, key=f"c{number}")
        await context.records.change("correction", made.id, to="captured")
        await context.records.change("correction", made.id, to="triaged", set={"cause": "policy", "cause_by": "ann"})
        return str(made.id)

    async def clustered(self, count: int, run: str = "run-1", **more: Any) -> tuple[str, list[str]]:
        """A cluster with its clips given out."""
        cases = [await self.triaged(**more) for _ in range(count)]
        made = await self.act("correction.cluster", run, cases=cases)
        await self.act("correction.prepare", run, cluster=made["own"][0])
        return made["own"][0], cases

    async def annotated(self, cluster: str, *, quality: int = 4) -> None:
        """Everybody whose word is wanted sees the phases where they are."""
        for case in await labelling.members(self.context().records, cluster):
            for person in ("ann", "max") if case.double else ("ann",):
                spans = [to_builtins(span) for span in case.auto]
                await self.do(person, "correction.annotate", case.id, spans=spans, quality=quality)

    async def routed(self, count: int = 6, **more: Any) -> tuple[str, list[str]]:
        """A cluster whose labels were accepted and whose corrections have their sides."""
        cluster, cases = await self.clustered(count, **more)
        await self.annotated(cluster)
        assert (await self.act("correction.settle", cluster=cluster))["ready"] == count
        await self.act("correction.card", cluster=cluster)
        await self.act("correction.prioritise", cluster=cluster, gate="g", by=["lea"])
        await self.act("correction.route", cluster=cluster, gate="g", route="by rule")
        return cluster, cases

    async def snapshot(self, name: str, corrections: list[str]) -> None:
        """A finalized snapshot that holds these."""
        records = self.context().records
        await records.create("snapshot", {"title": name, "dataset": "d", "corrections": corrections, "root_digest": "sha256:" + "1" * 64}, key=name, id=name)  # fmt: skip
        await records.change("snapshot", name, to="review")
        facts = {"gate": "g", "root_digest": "sha256:" + "1" * 64, "by": ["lea"], "person": "lea"}
        await records.change("snapshot", name, to="finalized", facts=facts)

    async def included(self, count: int = 6) -> str:
        """A cluster that waits for its release."""
        cluster, cases = await self.routed(count)
        await self.snapshot("d-v1", [id_ for id_ in cases if self.case(id_).route == "train"])
        assert (await self.act("correction.inclusion", cluster=cluster))["complete"]
        return cluster
