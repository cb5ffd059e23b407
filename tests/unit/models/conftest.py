"""A real book and vault with the actions and verbs of models called one by one, on the sandbox's bench and lab programs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.sandbox import policy_train
from connectors.sandbox.policy_model import TASKS, Policy, demonstration, encode, features
from engine.capabilities import subjects
from engine.capabilities.desk import Refusal
from engine.capabilities.models import actions as model_actions
from engine.capabilities.models.runner import Programs
from engine.capabilities.models.signing import KeyringSigner
from engine.capabilities.models.smoking import Lab
from engine.capabilities.packs import load_pack
from engine.capabilities.ports import ActionError, Robot
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions
from engine.store.records import Actor

ACTIONS = model_actions.actions()
VERBS = subjects.verbs()
NAMES = tuple(TASKS)


class Keyring:
    """Secrets in memory, behaving as the installation's keyring does."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}

    def get(self, name: str) -> str:
        if name not in self.held:
            raise ActionError("SecretMissing", f"no entry {name}", kind="configuration", retryable=False)
        return self.held[name]

    def set(self, name: str, value: str) -> None:
        self.held[name] = value

    def prepare(self) -> None:
        """There is no key file to make."""


class Fleet:
    def __init__(self, versions: Mapping[str, int]) -> None:
        self.versions = dict(versions)

    async def robots(self) -> list[Robot]:
        return [Robot(id=f"R-{v}-{i}", version=v, site="HAM2") for v, n in self.versions.items() for i in range(n)]


class Context:
    def __init__(self, site: Site, run: str, number: int) -> None:
        self.run, self.path, self.key, self.attempt = run, "step", f"{run}/{number}", 1
        self.in_doubt = self.recovered = False
        self.started_by = "lea"
        self.said: list[Any] = []
        self._site = site
        self.records, self.vault = site.host.keeper.for_asker(
            Actor(kind="engine", id="engine"), self.key, run=run, scope=self.key
        )

    def now(self) -> float:
        return self._site.now

    async def sleep(self, seconds: float) -> None:
        self._site.now += seconds

    def heartbeat(self, progress: Any = None) -> None:
        self.said.append(progress)

    def cancelled(self) -> bool:
        return self._site.cancelled

    def port(self, capability: str) -> Any:
        if capability not in self._site.ports:
            raise ActionError("NotConfigured", f"no {capability}", kind="configuration", retryable=False)
        return self._site.ports[capability]

    def policy(self, pack: str) -> dict[str, Any]:
        return self._site.policy


class Desk:
    def __init__(self, site: Site, person: str, number: int) -> None:
        self.person, self.roles, self._site = person, ("release-manager",), site
        self.records, self.vault = site.host.keeper.for_asker(
            Actor(kind="person", id=person), f"verb-{number}", scope=f"verb-{number}"
        )

    def now(self) -> float:
        return self._site.now

    def port(self, capability: str) -> Any:
        return self._site.ports[capability]

    def policy(self, pack: str) -> dict[str, Any]:
        return self._site.policy

    async def start(self, workflow: str, inputs: Mapping[str, Any], attributes: Any = None) -> str:
        self._site.started.append((workflow, dict(inputs)))
        return f"run-{len(self._site.started)}"

    async def signal(self, run: str, event: str, data: Any = None) -> None:
        self._site.told.append((event, run))

    async def publish(self, event: str, data: Mapping[str, Any], subject: str = "") -> None:
        self._site.told.append((event, subject))

    def refuse(self, code: str, reason: str, fix: str = "", field: str = "") -> Any:
        raise Refusal(code, reason, fix=fix, field=field)


class Site:
    """One engine's models."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host, self.folder = host, folder
        self.policy = load_pack("release", environment="sandbox")
        self.keyring = Keyring()
        self.ports: dict[str, Any] = {
            "evaluation": Programs(folder / "bench"), "signing": KeyringSigner(self.keyring), "lab": Lab(folder / "lab"),
            "secrets": self.keyring, "fleet": Fleet({"4.7.3": 60, "4.6.2": 5}),
        }  # fmt: skip
        self.cancelled = False
        self.now = 1_790_000_000.0
        self.started: list[tuple[str, dict[str, Any]]] = []
        self.told: list[tuple[str, str]] = []
        self.run = "run-1"
        self._number = 0

    def context(self) -> Context:
        self._number += 1
        return Context(self, self.run, self._number)

    async def act(self, name: str, **given: Any) -> Any:
        return await ACTIONS[name].run(self.context(), given)

    async def do(self, person: str, verb: str, target: str = "", **args: Any) -> Any:
        self._number += 1
        found = VERBS[verb]
        desk = Desk(self, person, self._number)
        record = await desk.records.get(found.kind, target) if found.kind else None
        return await found.do(desk, record, msgspec.convert(args, found.args))  # type: ignore[arg-type]

    async def get(self, kind: str, id: str) -> Any:
        return await self.context().records.get(kind, id)

    async def find(self, kind: str, **more: Any) -> list[Any]:
        return await self.context().records.find(kind, limit=100_000, **more)

    def keep(self, data: bytes) -> str:
        return str(self.context().vault.put_bytes(data, media="application/octet-stream").digest)

    async def pack(self, fielded: Mapping[str, str], **more: Any) -> str:
        document = pack_document(fielded) | more
        return str((await self.do("lea", "pack.add", document=document))["id"])

    async def candidate(self, model: bytes, **given: Any) -> str:
        out = await self.act("models.register", model_digest=self.keep(model), line="pick", **given)
        return str(out["candidate"])


def pack_document(fielded: Mapping[str, str], *, n_max: int = 60, tasks: tuple[str, ...] = NAMES) -> dict[str, Any]:
    return {
        "name": "bins", "line": "pick", "runner": "bench", "simulator": "bench-arm/3", "fielded": dict(fielded),
        "tasks": [
            {"task": task, "predicate": "held within tolerance, judged by the bench", "rubric": "way done", "seeds": 400}
            for task in tasks
        ],
        "plan": {"n_max": n_max, "batch": 15},
    }  # fmt: skip


def trained(
    tasks: tuple[str, ...] = NAMES, *, skill: float = 1.0, seed: int = 3, epochs: int = 24, line: str = "pick"
) -> bytes:
    """A checkpoint, trained in this process as the program does it."""
    frames: list[policy_train.Frame] = [
        (task, features(task, step["observation"]), (step["action"][0], step["action"][1]), 1.0)
        for task in tasks
        for number in range(12)
        for step in demonstration(task, number, skill)
    ]
    policy = Policy(header={"line": line, "seed": seed, "tasks": sorted(tasks), "epoch": epochs})
    for epoch in range(epochs):
        policy_train.one_epoch(policy, frames, policy_train.RECIPE, seed, epoch)
    return encode(policy)


@pytest.fixture(scope="session")
def models() -> dict[str, bytes]:
    """What runs today has seen no jam; `better` has; `careless` learnt from a careless hand; `twin` is today's, retrained."""
    return {
        "today": trained(NAMES[:3]), "better": trained(), "careless": trained(skill=0.5), "twin": trained(NAMES[:3], seed=11),
    }  # fmt: skip


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    host = await Host.open(
        Config(
            database=tmp_path / "quarterdeck.db", actions={}, evaluator=Expressions(), catalogue=subjects.catalogue()
        )
    )
    yield Site(host, tmp_path)
    await host.keeper.settle()
    await host.close()
