"""The feed: nothing lost, nothing twice, and nobody waits for a reader that doesn't read."""

from __future__ import annotations

import asyncio
import random
import socket
import time

import msgspec

from app import wire
from app.client import Client
from engine.contract.runs import EventView
from tests.contract.api.fake_engine import FakeHost, serving


async def until(true, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for is the engine's, it has no event of ours
            await asyncio.sleep(0.01)


DECODE = msgspec.json.Decoder(EventView)


async def read_events(home, after: int, seen: list[int], stop_after: int | None = None) -> None:
    """Reads `mode=events` from `after` into `seen`; cuts the line without a word after `stop_after` events."""
    reader, writer = await asyncio.open_unix_connection(str(home.socket), limit=1 << 20)
    writer.write(wire._head("GET", "/v1/feed?mode=events", 0, {"Last-Event-ID": str(after)}))
    got = 0
    try:
        while line := await reader.readline():
            if line.startswith(b"event: bye"):
                return
            if line.startswith(b"data: "):
                seen.append(DECODE.decode(line[6:]).seq)
                got += 1
                if stop_after is not None and got >= stop_after:
                    return
    finally:
        writer.transport.abort()


async def commits(host: FakeHost, total: int, per_second: int) -> None:
    start, done = time.monotonic(), 0
    while done < total:
        due = min(total, int((time.monotonic() - start) * per_second) + 1)
        for _ in range(due - done):
            host.commit(f"run-{done % 7}", "CommentAdded", by="ada", text=f"n{done}", at=0.0)
            done += 1
        await asyncio.sleep(0.005)


async def test_twenty_four_random_cuts_under_load_lose_and_double_nothing(tmp_path):
    random.seed(7)
    async with serving(tmp_path, FakeHost(bound=300)) as (home, host, _door):
        total = 4000
        load = asyncio.create_task(commits(host, total, 1500))
        seen: list[int] = []
        for _ in range(24):
            await read_events(home, seen[-1] if seen else 0, seen, random.randint(1, 150))
            await asyncio.sleep(random.random() * 0.05)
        last = asyncio.create_task(read_events(home, seen[-1], seen))
        await load
        await until(lambda: len(seen) >= total)
        last.cancel()
        assert seen == list(range(1, total + 1))


async def test_a_stalled_reader_harms_nobody_and_misses_nothing(tmp_path):
    async with serving(tmp_path, FakeHost(bound=200)) as (home, host, _door):
        stalled = socket.socket(socket.AF_UNIX)
        stalled.connect(str(home.socket))
        stalled.sendall(wire._head("GET", "/v1/feed?mode=events", 0, None))
        quick: list[int] = []
        task = asyncio.create_task(read_events(home, 0, quick))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        await commits(host, 6000, 4000)
        await until(lambda: len(quick) >= 6000)
        assert time.monotonic() - started < 8
        assert quick == list(range(1, 6001))
        held = sum(len(queue._rows) for queue in host.queues)
        assert held <= 400  # bounded, however long it stalls
        task.cancel()

        def rest() -> list[int]:
            found, buffer = [], b""
            stalled.settimeout(5)
            while len(found) < 6000:
                buffer += stalled.recv(1 << 16)
                *lines, buffer = buffer.split(b"\n")
                found += [DECODE.decode(line[6:]).seq for line in lines if line.startswith(b"data: ")]
            return found

        assert await asyncio.to_thread(rest) == list(range(1, 6001))
        stalled.close()


async def test_changes_are_merged_to_the_latest_state_five_times_a_second(tmp_path):
    async with serving(tmp_path) as (home, host, _door):
        client = Client(home)
        ticks = []

        async def follow() -> None:
            async for tick in client.changes():
                ticks.append(tick)

        task = asyncio.create_task(follow())
        await until(lambda: host.queues)
        await asyncio.sleep(0.1)
        await commits(host, 1000, 1000)
        await asyncio.sleep(0.5)
        task.cancel()
        with_runs = [tick for tick in ticks if tick.runs]
        assert 3 <= len(with_runs) <= 9
        newest = {run.id: run.version for tick in with_runs for run in tick.runs}
        assert newest == {f"run-{i}": max(n for n in range(1, 1001) if (n - 1) % 7 == i) for i in range(7)}
        assert ticks[-1].seq == 1000
        assert all(len(tick.runs) <= 7 and len(tick.lines) <= 50 for tick in ticks)
        assert sum(len(tick.lines) + tick.dropped for tick in ticks) == 1000
        assert sum(tick.status is not None for tick in ticks) == 1
        assert client.lag < 1
        await client.close()


async def test_changes_resume_where_they_stopped(tmp_path):
    async with serving(tmp_path) as (home, host, _door):
        for i in range(10):
            host.commit(f"run-{i}", "RunCompleted", at=0.0)
        client = Client(home)
        async for tick in client.changes(after=6):
            assert sorted(run.id for run in tick.runs) == ["run-6", "run-7", "run-8", "run-9"]
            assert tick.seq == 10
            break
        await client.close()


async def test_changes_count_nothing_twice_where_replay_and_live_overlap(tmp_path):
    async with serving(tmp_path) as (home, host, _door):
        host.commit_many([("run-1", "CommentAdded", {"by": "ada", "text": "old"}) for _ in range(20)])
        slow = host.events

        def while_reading(**query):
            page = slow(**query)
            if len(host.rows) < 30 and host.queues:  # committed between subscribing and the end of the replay
                host.commit_many([("run-2", "CommentAdded", {"by": "ada", "text": "meanwhile"}) for _ in range(10)])
                page = slow(**query)
            return page

        host.events = while_reading
        client, told = Client(home), 0
        async for tick in client.changes(after=5):
            told += len(tick.lines) + tick.dropped
            if tick.seq == 30 and not tick.lines:
                break
            if tick.seq == 30:
                host.commit("run-3", "StepScheduled")
            if tick.seq == 31:
                break
        assert told == 25
        await client.close()


async def test_a_batch_lost_on_the_way_is_brought_back_from_the_journal(tmp_path):
    async with serving(tmp_path) as (home, host, _door):
        seen: list[int] = []
        task = asyncio.create_task(read_events(home, 0, seen))
        host.commit("run-1", "CommentAdded", by="ada", text="one")
        await until(lambda: seen == [1])
        queues, host.queues = host.queues, set()
        host.commit("run-1", "CommentAdded", by="ada", text="two")  # nobody is told
        host.queues = queues
        host.commit("run-1", "CommentAdded", by="ada", text="three")
        await until(lambda: len(seen) >= 3, 5)
        assert seen == [1, 2, 3]
        task.cancel()


async def test_gates_come_and_go_in_ticks(tmp_path):
    async with serving(tmp_path, environment="sandbox") as (home, host, _door):
        host.commit("run-1", "StepCompleted", scope="", step="a", fence=1)
        client = Client(home, person="grace")
        host.commit("run-1", "GateOpened", gate="run-1.7", scope="", step="signoff", question="Roll out?")
        async for tick in client.changes(after=1):
            assert [(gate.id, gate.mine) for gate in tick.gates] == [("run-1.7", "needs 2 release managers")]
            assert [rollout.id for rollout in tick.rollouts] == ["run-1"]
            assert tick.lines[0].level == "warning"
            break
        await client.close()


async def test_the_engine_says_bye_and_stops_at_once(tmp_path):
    async with serving(tmp_path) as (home, _host, door):
        client = Client(home)
        feed = client.changes()
        tick = asyncio.ensure_future(anext(feed))
        await tick  # the first one carries the status
        waiting = asyncio.ensure_future(anext(feed, None))
        seen: list[int] = []
        events = asyncio.create_task(read_events(home, 0, seen))
        await asyncio.sleep(0.1)
        assert door.clients == 2
        started = time.monotonic()
        door.stopping.set()
        assert await asyncio.wait_for(waiting, 2) is None
        await asyncio.wait_for(events, 2)
        assert time.monotonic() - started < 1
        await client.close()


async def test_a_reader_that_vanishes_is_let_go(tmp_path):
    async with serving(tmp_path) as (home, host, door):
        seen: list[int] = []
        task = asyncio.create_task(read_events(home, 0, seen))
        await until(lambda: door.clients)
        task.cancel()
        await until(lambda: not door.clients and not host.queues, 2)
