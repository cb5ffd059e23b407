"""The engine is killed between what it does on a host over SSH and its record: one job, one process tree, and the run ends.

A wire between the engine and the real sshd carries bytes both ways. Whatever the host says after the effect comes past it:
then the engine dies, and no answer is ever passed on.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from engine.capabilities import subjects
from engine.capabilities.vault import Vault
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions
from tests.integration.connectors.engine_room import EngineRoom
from tests.services.ssh import Sshd, running
from tests.unit.data.conftest import Table

pytestmark = [pytest.mark.service, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]
SUBMIT = {"action": "training.submit", "with": {"snapshot": "${inputs.snapshot}", "seed": "${inputs.seed}"}}
FOLLOW = {
    "action": "training.follow", "with": {"training": "${steps.submit.output.training}"},
    "catch": [{"error": "TrainingCancelled", "raise": "TrainingCancelled"}],
}  # fmt: skip
STOP = {"action": "training.stop", "with": {"reason": "not wanted any more"}}
PROGRAM = r"""
import json, os, pathlib, signal, sys, time
out, enough = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
def say(**event): print(json.dumps(event), flush=True)
def save(name, step):
    new = out / (name + ".new"); new.write_text(f"weights {step}"); os.replace(new, out / name)
    return {"path": str(out / name), "epoch": step}
done = max([int(one.stem[5:]) for one in out.glob("step-*.bin")], default=0)
while not enough.exists():
    done += 1
    say(event="progress", done=done, of=done + 1, unit="epochs", what="training")
    if asked: say(event="preempted", checkpoint=save(f"step-{done}.bin", done)); sys.exit(75)
    time.sleep(0.05)
say(event="completed", checkpoint=save("model.bin", done), metrics={"loss": 1.0})
"""
"""Trains until somebody says that it is enough: no test depends on how long an engine takes to come back."""
CALM = {"timeout": "90s", "retry": {"attempts": 6, "first": "1s", "factor": 1.5, "cap": "5s"}}


class Wire:
    """Before the host. `dies_when` is looked at whenever the host says something; once it is true the engine is killed."""

    def __init__(self, port: int) -> None:
        self._port, self.port = port, 0
        self.room: EngineRoom
        self.dies_when: Callable[[], bool] | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._cut()

    def _cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far, out = await asyncio.open_connection("127.0.0.1", self._port)
        self._open |= {writer, out}
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, out, said=False))
                both.create_task(self._pass(far, writer, said=True))
        except* OSError:
            pass
        finally:
            self._open -= {writer, out}
            for one in (writer, out):
                one.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, said: bool) -> None:
        while data := await reader.read(65_536):
            if said and self.dies_when is not None and self.dies_when():
                self.dies_when = None
                self.room.kill()
                self._cut()
                return
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()


class World:
    def __init__(self, folder: Path, snapshot: str, wire: Any, room: EngineRoom) -> None:
        """`folder` holds the jobs, `enough` stands beside it; `wire.dies_when` is looked at when the owner says something."""
        self.folder, self.snapshot, self.wire, self.room = folder, snapshot, wire, room
        self._before: set[str] = set()
        self._seeds = iter(range(1, 1000))
        self.enough = folder.parent / "enough"

    def jobs(self) -> list[Path]:
        """Folders of jobs that the host holds since the last `begin`; copies that broke off are none."""
        found = self.folder.iterdir() if self.folder.exists() else iter(())
        return sorted(one for one in found if not one.name.startswith(".") and one.name not in self._before)

    def status(self) -> dict[str, Any]:
        """What the new job's supervisor said last; empty before its first word."""
        for job in self.jobs():
            with contextlib.suppress(OSError):
                return dict(json.loads((job / "status.json").read_bytes()))
        return {}

    def trees(self) -> int:
        """Supervisors of the new job that are alive, by the kernel's account."""
        return sum(1 for one in self._processes() if "supervise.py" in one)

    def processes(self) -> int:
        """The same, and the programs under them."""
        return len(self._processes())

    def _processes(self) -> list[str]:
        found = []
        for job in self.jobs():
            for one in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    said = one.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                    if str(job) in said and Path(said.partition(" ")[0]).name not in ("sh", "bash"):
                        found.append(said)
        return found

    async def begin(self, dies_when: Callable[[], bool] | None, **steps: dict[str, Any]) -> str:
        """A run of these steps, one after the other."""
        self._before |= {one.name for one in self.jobs()}
        self.enough.unlink(missing_ok=True)
        name, order = f"trains-{uuid.uuid4().hex[:10]}", list(steps)
        whole = {
            step: {**about, **CALM, **({"next": order[at + 1]} if at + 1 < len(order) else {})}
            for at, (step, about) in enumerate(steps.items())
        }
        text = {
            "quarterdeck": 1, "workflow": name, "version": 1, "title": "Trains", "triggers": [{"manual": {"roles": ["operator"]}}],
            "inputs": {"snapshot": {"type": "string"}, "seed": {"type": "integer"}},
            "defaults": {"escalate": {"role": "operator", "expires": "1h"}}, "steps": whole,
        }  # fmt: skip
        await self.room.command("workflow.register", text=msgspec.yaml.encode(text).decode())
        self.wire.dies_when = dies_when
        await self.room.command("run.start", name, inputs={"snapshot": self.snapshot, "seed": next(self._seeds)})
        return name

    async def until(self, look: Callable[[], Any], what: str, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not look():
            assert time.monotonic() < end, f"{what}: {self.status()}\n{self.room.log[-2000:]}"
            await asyncio.sleep(0.02)

    async def killed(self, kills: int) -> None:
        """Until the engine died, and the one after it is there."""
        await self.room.died(kills)
        await self.room.start()

    def told_to_end(self) -> bool:
        return self.status().get("state") == "cancelled" or any((one / "ask").exists() for one in self.jobs())

    async def followed(self) -> None:
        """Until the program computes and the engine looks on."""
        await self.until(lambda: self.status().get("done"), "it does not run")
        end = time.monotonic() + 20
        while (await self.training())["state"] != "running":
            assert time.monotonic() < end, await self.training()
            await asyncio.sleep(0.05)

    async def completes(self, run: str) -> None:
        self.enough.touch()
        ended = await self.room.ended(run)
        assert ended["run"]["status"] == "completed", ended["run"]
        said = await self.said()
        assert said and said == sorted(set(said)), f"two of them told of one job: {said}"
        assert self.processes() == 0

    async def training(self) -> dict[str, Any]:
        """The newest record."""
        rows = (await self.room.get("/v1/records/training", sort="-created_at"))["rows"]
        return dict(max(rows, key=lambda one: int(one["id"].partition("-")[2])))

    async def said(self) -> list[int]:
        """Every step the program told of, in order: two of them would tell of one twice."""
        log = Vault(self.room.home.state / "vault").read((await self.training())["log"]).decode()
        told = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        return [one["done"] for one in told if one["event"] == "progress"]


async def book(home: Path, recordings: Path) -> str:
    """A finalized snapshot of recordings that are there; its id."""
    config = Config(
        database=home / "quarterdeck.db", actions={}, evaluator=Expressions(), catalogue=subjects.catalogue()
    )
    host = await Host.open(config)
    table = Table(host, home)
    table.run = "book"
    recordings.mkdir()
    for number in range(1, 13):
        site = ("HAM2", "HAM5", "UTR1")[number % 3]
        file = recordings / f"S-{number}.mcap"
        file.write_bytes(b"recording %d" % number)
        digest = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
        await table.session(
            file.stem, site=site, group=f"{site}-d{number % 2}|r|o", uri=str(file), digest=digest, content=digest
        )
    snapshot = await table.finalized()
    await host.keeper.settle()
    await host.close()
    return str(snapshot.id)


def policy(folder: Path) -> dict[str, Any]:
    """Of an engine that trains with PROGRAM, until `enough` stands in this folder."""
    program = folder / "program.py"
    program.write_text(PROGRAM)
    programs = {"train": {"argv": ["{python}", str(program), "{out}", str(folder / "enough")]}}
    return {
        "data": {"training": {
            "programs": programs, "program": "train", "recipe": {}, "poll": 0.3, "grace": 2.0, "budget": 60.0,
        }}
    }  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("kill")
    with running() as sshd:
        async with Wire(sshd.port) as wire:
            systems, secrets = _settings(sshd, wire, folder), {"key": sshd.private}
            room = wire.room = EngineRoom(folder / "engine", systems, secrets, policy=policy(folder))
            found = World(folder / "jobs", await book(room.home.state, folder / "recordings"), wire, room)
            await room.start()
            try:
                yield found
            finally:
                wire.dies_when = None
                await room.close()
                for one in (folder / "jobs").glob("*/status.json"):
                    with contextlib.suppress(OSError, KeyError):
                        if pid := json.loads(one.read_bytes())["pid"]:
                            os.kill(pid, 9)


def _settings(sshd: Sshd, wire: Wire, folder: Path) -> dict[str, Any]:
    options = {
        "host_keys": [sshd.host_key],
        "folder": str(folder / "jobs"),
        "cache": str(folder / "cache"),
        "connect_s": 5.0,
    }
    url = f"ssh://{sshd.user}@127.0.0.1:{wire.port}"
    return {"trainer": {"kind": "sshjobs", "url": url, "secret": "key", "options": options}}


async def test_a_job_that_stands_there_is_begun_once(world: World) -> None:
    """training.submit: killed when the folder was moved into its place."""
    kills = world.room.kills
    run = await world.begin(lambda: bool(world.jobs()), submit=SUBMIT, train=FOLLOW)
    await world.room.died(kills)
    assert (len(world.jobs()), world.status()) == (1, {})
    await world.room.start()
    await world.followed()
    assert (len(world.jobs()), world.trees(), world.processes(), world.status()["attempts"]) == (1, 1, 2, 1)
    await world.completes(run)


async def test_a_job_that_runs_is_not_started_again_and_goes_on_once(world: World) -> None:
    """training.submit and training.follow: killed when the supervisor had said its first word, and when the one that goes on
    after its machine was taken had."""
    kills = world.room.kills
    run = await world.begin(lambda: bool(world.status()), submit=SUBMIT, train=FOLLOW)
    await world.killed(kills)
    await world.followed()
    assert (len(world.jobs()), world.trees(), world.processes(), world.status()["attempts"]) == (1, 1, 2, 1)
    kills, world.wire.dies_when = world.room.kills, lambda: world.status().get("attempts") == 2
    await world.room.command("training.preempt", (await world.training())["id"])
    await world.killed(kills)
    await world.until(lambda: world.status().get("state") == "running", "it does not go on")
    assert (len(world.jobs()), world.trees(), world.status()["attempts"]) == (1, 1, 2)
    await world.completes(run)
    assert (await world.training())["preemptions"] == 1


async def test_a_job_that_is_not_wanted_any_more_is_ended_once(world: World) -> None:
    """training.stop: killed when the host had taken the order."""
    run = await world.begin(None, submit=SUBMIT, stop=STOP)
    kills, world.wire.dies_when = world.room.kills, world.told_to_end
    await world.killed(kills)
    ended = await world.room.ended(run)
    assert ended["run"]["status"] == "completed", ended["run"]
    await world.until(lambda: not world.processes(), "it computes on")
    assert (world.status()["state"], world.status()["attempts"], len(world.jobs())) == ("cancelled", 1, 1)
    assert (await world.training())["state"] == "cancelled"


async def test_a_person_s_word_to_end_it_holds(world: World) -> None:
    """The verb training.cancel: killed when the host had taken the order; the run that follows finds it ended."""
    run = await world.begin(None, submit=SUBMIT, train=FOLLOW)
    await world.followed()
    kills, world.wire.dies_when = world.room.kills, world.told_to_end
    with contextlib.suppress(httpx.TransportError):
        await world.room.command("training.cancel", (await world.training())["id"], reason="wrong recipe")
    await world.killed(kills)
    ended = await world.room.ended(run)
    assert (ended["run"]["status"], ended["steps"][-1]["error"]) == ("failed", "TrainingCancelled"), ended
    assert (world.processes(), (await world.training())["state"]) == (0, "cancelled")
