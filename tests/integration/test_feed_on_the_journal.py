"""The feed on the real journal: 24 random cuts while the host commits, nothing lost and nothing twice."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import msgspec

from app import wire
from app.client import Client
from app.home import one_folder
from engine.api.application import application
from engine.api.config import Settings
from engine.api.door import Door
from engine.api.server import Server, bind
from engine.capabilities.policy import Policy
from engine.capabilities.rollout.reads import RolloutReads
from engine.core import commands as core
from engine.hosts.clock import RealClock
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions, load
from engine.store.queries import Queries
from engine.store.records import ENGINE
from tests.contract.api.test_feed import read_events, until

WAITING = """
quarterdeck: 1
workflow: waiting
version: 1
title: Waits for a word
steps:
  word:
    wait: {event: word.given}
"""
RUNS, COMMENTS = 8, 1600


async def test_twenty_four_random_cuts_while_the_journal_is_written(tmp_path: Path) -> None:
    random.seed(11)
    home = one_folder(tmp_path, name="test")
    home.run.mkdir()
    database = tmp_path / "quarterdeck.db"
    host = await Host.open(
        Config(
            database=database,
            actions={},
            evaluator=Expressions(),
            clock=RealClock(),
            load=lambda text: load(text, actions={}),
        )
    )
    door = Door(
        host=host,
        records=host.system,
        reads=Queries(database),
        rollouts=RolloutReads(database),
        policy=Policy.load("policy: 1\n", owner="nobody"),
        settings=msgspec.convert({}, Settings),
        now=RealClock().now,
        socket=home.socket,
        database=database,
        validate=lambda text: [],
    )
    ready = asyncio.Event()
    serving = asyncio.create_task(Server(application(door), door, ready.set).serve(sockets=[bind(home.socket)]))
    await ready.wait()
    try:
        await host.register(WAITING, id="definition", actor=ENGINE)
        runs = [(await host.start_run("waiting", {}, id=f"start-{i}", actor=ENGINE)).run for i in range(RUNS)]

        async def comment(of: int) -> None:
            for number in range(COMMENTS // RUNS):
                said = core.Comment(by="ada", text=f"{of}.{number}")
                await host.submit(runs[of], said, id=f"comment-{of}-{number}", actor=ENGINE)

        load_ = asyncio.gather(*(comment(i) for i in range(RUNS)))
        seen: list[int] = []
        for _ in range(24):
            await read_events(home, seen[-1] if seen else 0, seen, random.randint(1, 60))
        last = asyncio.create_task(read_events(home, seen[-1], seen))
        await load_
        head = door.reads.head()
        assert head >= COMMENTS
        await until(lambda: len(seen) >= head)
        assert seen == list(range(1, head + 1))
        last.cancel()

        client = Client(home)
        async for tick in client.changes(after=head - 5):
            assert tick.seq == head and tick.runs
            break
        await client.close()
        exported = await asyncio.to_thread(lambda: list(wire.lines(home, "/v1/history/export")))
        assert [msgspec.json.decode(line)["seq"] for line in exported] == list(range(1, head + 1))
    finally:
        door.stopping.set()
        await serving
        await host.close()
