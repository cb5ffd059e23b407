"""A client for benchmarks of the console: many runs, held sorted, and news at a set rate; answers cost next to nothing."""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from engine.contract.common import CommandAnswer
from engine.contract.fleet import RobotPage
from engine.contract.gates import GatePage, GateSummary
from engine.contract.rollouts import RolloutPage
from engine.contract.runs import EventPage, RunDetail, RunPage, RunSummary
from engine.contract.system import Changes, EngineStatus, FeedLine, Me, WatchSnapshot

TICK_S = 0.2


class BenchClient:
    """`events_per_s` changes of random runs, sent as the engine does: encoded, at most five times a second."""

    def __init__(self, runs: int = 200, events_per_s: int = 0, visible_only: bool = False) -> None:
        self.began = time.time()
        self.rate = events_per_s
        self.visible_only = visible_only
        self.seq = 1
        self.random = random.Random(7)
        now = self.began
        self.rows: OrderedDict[str, RunSummary] = OrderedDict()
        for n in range(runs, 0, -1):
            id = f"run-{n}"
            self.rows[id] = RunSummary(
                id=id,
                workflow="staged-rollout",
                title=f"nav 4.8.{n % 10} to site {n % 7}",
                status="running" if n % 3 else "waiting",
                started_at=now - 100_000,
                updated_at=now - 90_000 - (runs - n) * 0.01,
                step="observe",
                started_by="mara",
                version=1,
            )
        self.order = list(self.rows)
        self.pushed: asyncio.Queue[RunSummary] = asyncio.Queue()

    def status_now(self) -> EngineStatus:
        return EngineStatus(
            pid=1,
            socket="",
            version="bench",
            database="",
            uptime_s=1,
            state="ok",
            environment="sandbox",
            now=time.time(),
            runs_open=len(self.rows),
        )

    async def watch(self) -> WatchSnapshot:
        now = time.time()
        gates = tuple(
            GateSummary(
                id=f"run-{n}.1",
                run=f"run-{n}",
                path="signoff",
                kind="rollout_signoff",
                question=f"Start rollout {n} on 118 robots?",
                opened_at=now,
                expires_at=now + 86_400 * (n + 3),
                seats_open=1,
                seats_total=2,
            )
            for n in range(5)
        )
        feed = tuple(
            FeedLine(
                seq=n + 1, at=now - 100 + n, run="run-1", type="StepCompleted", actor="engine", text=f"step {n} done"
            )
            for n in range(40)
        )
        me = Me(person="mara", uid=1000, roles=("operator",), groups=(), via="socket")
        return WatchSnapshot(status=self.status_now(), me=me, seq=self.seq, needs=gates, feed=feed, runs=())

    async def status(self) -> EngineStatus:
        return self.status_now()

    async def me(self) -> Me:
        return (await self.watch()).me

    async def runs(
        self,
        *,
        status: str = "",
        workflow: str = "",
        text: str = "",
        sort: str = "-updated",
        cursor: str = "",
        limit: int = 50,
    ) -> RunPage:
        await asyncio.sleep(0.005)  # what the engine takes
        size = len(self.order)
        start = int(cursor or 0)
        ids = self.order[start : start + limit] if sort.startswith("-") else self.order[::-1][start : start + limit]
        following = str(start + limit) if start + limit < size else None
        return RunPage(rows=tuple(self.rows[id] for id in ids), next=following, total=size)

    async def changes(self, after: int = 0) -> AsyncIterator[Changes]:
        encode, decode = msgspec.json.encode, msgspec.json.Decoder(Changes).decode
        owed = 0.0
        while True:
            if not self.rate:
                run = await self.pushed.get()
                self.seq += 1
                yield Changes(seq=self.seq, at=time.time(), sent=time.time(), runs=(run,))
                continue
            await asyncio.sleep(TICK_S)
            owed += self.rate * TICK_S
            count, owed = int(owed), owed - int(owed)
            changed = [self._touch() for _ in range(count)]
            lines = tuple(
                FeedLine(
                    seq=self.seq + n, at=time.time(), run=run.id, type="StepCompleted", actor="engine", text="goes on"
                )
                for n, run in enumerate(changed[-20:])
            )
            self.seq += count
            sent = Changes(seq=self.seq, at=time.time(), sent=time.time(), runs=tuple(changed), lines=lines)
            yield decode(encode(sent))

    def _touch(self) -> RunSummary:
        pool = self.order[:40] if self.visible_only or self.random.random() < 0.1 else self.order
        id = self.random.choice(pool)
        old = self.rows[id]
        new = replace(
            old,
            status=self.random.choice(("running", "waiting")),
            step=self.random.choice(("observe", "dispatch", "verdict")),
            updated_at=time.time(),
            version=old.version + 1,
        )
        self.rows[id] = new
        return new

    def push(self, place: int) -> None:
        """Change one cell of one run."""
        id = self.order[place]
        old = self.rows[id]
        status = "waiting" if old.status == "running" else "running"
        self.rows[id] = new = replace(old, status=status, version=old.version + 1)
        self.pushed.put_nowait(new)

    async def run(self, run: str) -> RunDetail:
        return RunDetail(run=self.rows[run], definition="w v1", digest="", inputs={})

    async def events(self, run: str = "", *, after: int = 0, limit: int = 200) -> EventPage:
        return EventPage()

    async def gates(self, *, state: str = "open", limit: int = 200) -> GatePage:
        return GatePage()

    async def rollouts(self, *, limit: int = 50) -> RolloutPage:
        return RolloutPage()

    async def robots(self, *, text: str = "", cursor: str = "", limit: int = 1000) -> RobotPage:
        return RobotPage()

    async def gate(self, gate: str) -> Any:
        raise NotImplementedError

    async def rollout(self, rollout: str) -> Any:
        raise NotImplementedError

    async def robot(self, robot: str) -> Any:
        raise NotImplementedError

    async def cohorts(self) -> tuple[Any, ...]:
        return ()

    async def command(
        self, verb: str, target: str = "", args: Any = None, *, preview: bool = False, id: str = ""
    ) -> CommandAnswer:
        return CommandAnswer(id=id, verb=verb, target=target)

    def act_as(self, person: str) -> None:
        """There is nobody else."""

    async def close(self) -> None:
        """Nothing is open."""


def main() -> None:
    """Run the console over this client in the terminal we are in: `python -m tests.benchmarks.harness_console '{...}'`."""
    import json
    import signal
    import sys

    options = json.loads(sys.argv[1])
    from app import terminal

    terminal.prepare()
    from app.console import Console

    client = BenchClient(options.get("runs", 200), options.get("events_per_s", 0))

    class Pushed(Console):
        def on_mount(self) -> None:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGUSR1, client.push, options.get("place", 3))
            if options.get("blocks"):
                self.watch_blocks(Path(options["blocks"]))

        def watch_blocks(self, told: Path) -> None:
            """The first SIGUSR2 begins to count anew, each writes what was counted until then."""
            from tests.benchmarks.harness_blocks import Blocks

            blocks = Blocks(lambda: type(self.screen).__name__, options["limit_s"])
            begun: list[bool] = []

            def asked() -> None:
                if begun:
                    blocks.write(told)
                else:
                    begun.append(True)
                    blocks.restart()

            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, asked)

    console = Pushed(client, start=options.get("start", ""))
    console.run()


if __name__ == "__main__":
    main()
