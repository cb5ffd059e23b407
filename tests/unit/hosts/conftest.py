"""A host on a scratch file, with actions that do what a test says."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.capabilities.ports import Action
from engine.core.definition import Definition, Step
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions
from engine.store.loading import Loader
from engine.store.queries import Queries
from engine.store.records import Actor

ANA = Actor(kind="person", id="ana", via="socket", origin="uid=1000")
Work = Callable[[Any, dict[str, Any]], Awaitable[Any]]


def action_step(name: str, *, next: str = "done", **more: Any) -> Step:
    return Step(id=name, kind="action", action=more.pop("action", name), next=next, **more)


def workflow(*steps: Step, name: str = "flow", **more: Any) -> Definition:
    return Definition(workflow=name, version=1, steps={step.id: step for step in steps}, start=steps[0].id, **more)


class World:
    """Opens hosts on one database; keeps what the actions saw."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state" / "quarterdeck.db"
        self.actions: dict[str, Action] = {}
        self.calls: list[tuple[str, str]] = []
        self.contexts: list[Any] = []
        self.hosts: list[Host] = []
        self.ids = 0

    def act(self, name: str, work: Work | None = None, *, effect: Any = "idempotent", reads_back: bool = False) -> None:
        async def run(context: Any, values: dict[str, Any]) -> Any:
            self.calls.append((name, context.run))
            self.contexts.append(context)
            return await work(context, values) if work is not None else None

        self.actions[name] = Action(name=name, run=run, effect=effect, reads_back=reads_back)

    async def open(self, **more: Any) -> Host:
        host = await Host.open(
            Config(database=self.path, actions=self.actions, evaluator=Expressions(), **{"horizon_s": 0.5, **more})
        )
        self.hosts.append(host)
        return host

    async def register(self, host: Host, definition: Definition) -> None:
        self.ids += 1
        answer = await host.register_definition(definition, id=f"register-{self.ids}", actor=ANA)
        assert answer.refusal is None

    async def start(self, host: Host, name: str = "flow", **more: Any) -> str:
        self.ids += 1
        answer = await host.start_run(name, more.pop("inputs", {}), id=f"start-{self.ids}", actor=ANA, **more)
        assert answer.refusal is None, answer.refusal
        return answer.run

    async def ask(self, host: Host, run: str, command: Any) -> Any:
        self.ids += 1
        return await host.submit(run, command, id=f"ask-{self.ids}", actor=ANA)

    def reads(self) -> Queries:
        return Queries(self.path)

    def query(self, sql: str, *values: Any) -> list[Any]:
        """Rows of the file, over a connection of its own."""
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            found = connection.execute(sql, values).fetchall()
            connection.commit()
        return found

    def events(self, run: str) -> list[str]:
        return [row[0] for row in self.query("select type from events where run = ? order by n", run)]

    def datas(self, run: str, type_: str) -> list[dict[str, Any]]:
        rows = self.query("select data from events where run = ? and type = ? order by n", run, type_)
        return [msgspec.json.decode(row[0]) for row in rows]

    async def until(self, run: str, type_: str, count: int = 1, seconds: float = 10.0) -> None:
        """Waits until the run's history has so many events of a type."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.events(run).count(type_) >= count:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{run} has no {count} x {type_} but {self.events(run)}")

    async def when(self, true: Callable[[], object], seconds: float = 10.0) -> None:
        """Waits until something holds."""
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, "it never came to be"
            await asyncio.sleep(0.005)

    def state(self, run: str) -> Any:
        with contextlib.closing(Loader(self.path)) as loader:
            loaded = loader.load(run)
        assert loaded is not None
        return loaded.state


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    for host in made.hosts:
        await host.close()
