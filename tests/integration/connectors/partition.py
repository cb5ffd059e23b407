"""A system is cut off in the middle of a run: the cut, the workflow it falls into, and what must be seen meanwhile.

The cut comes in the worst moment, after the server has acted and before its answer is passed on. It lasts some seconds;
`QD_PARTITION_S=60` makes it the full minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
import pytest

from tests.integration.connectors.engine_room import EngineRoom

SECONDS = float(os.environ.get("QD_PARTITION_S", "6"))
RETRY = {"attempts": 40, "first": "1s", "factor": 1.5, "cap": "5s"}
Way = Literal["drop", "refuse"]


class Cuttable(Protocol):
    async def cut(self, how: Way = "drop") -> None: ...
    async def heal(self) -> None: ...


class Cut:
    """Cuts its system off when it has acted for the `nth` time, and heals by itself after `SECONDS`."""

    def __init__(self, nth: int, how: Way, at: str = "") -> None:
        """`at`: only what is written to paths that hold this word counts."""
        self._left, self._how, self._at = nth, how, at
        self.proxy: Cuttable
        self.began = self.ended = 0.0
        self._healing: asyncio.Task[None] | None = None

    async def answered(self, method: str, path: str, status: int) -> bool:
        if method not in ("POST", "PATCH", "PUT") or status >= 400 or path.endswith("@poe") or self.began:
            return False
        if self._at not in path:
            return False
        self._left -= 1
        if self._left > 0:
            return False
        await self.now()
        return True

    async def now(self) -> None:
        self.began = time.monotonic()
        await self.proxy.cut(self._how)
        self._healing = asyncio.create_task(self._heal())

    async def _heal(self) -> None:
        await asyncio.sleep(SECONDS)
        await self.proxy.heal()
        self.ended = time.monotonic()

    @property
    def on(self) -> bool:
        return bool(self.began) and not self.ended


class Wire:
    """A line of bytes before a server that does not speak HTTP. What is sent into a partition is lost."""

    def __init__(self, target: int) -> None:
        self._target, self.port = target, 0
        self._cut: Literal["", "drop", "refuse"] = ""
        self._healed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Wire:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._healed.set()
        self._server.close()
        self._reset()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self, how: Way = "drop") -> None:
        self._cut = how
        self._healed.clear()
        if how == "refuse":
            self._server.close()
            self._reset()

    async def heal(self) -> None:
        refused, self._cut = self._cut == "refuse", ""
        self._healed.set()
        self._reset()
        if refused:
            await self._listen()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._cut:
                await self._healed.wait()
                return
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(back)
            with contextlib.suppress(OSError):
                await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
            self._writers.discard(back)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                if not self._cut:
                    target.write(data)
                    await target.drain()
        finally:
            target.close()

    def _reset(self) -> None:
        for writer in list(self._writers):
            sock = writer.get_extra_info("socket")
            if sock is not None and not writer.is_closing():
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


@pytest.fixture
async def room_of(tmp_path: Path) -> AsyncIterator[Any]:
    """Makes a real engine over these systems and starts it; they time out soon, so that trouble is seen within the cut."""
    rooms: list[EngineRoom] = []

    async def make(
        systems: dict[str, Any], secrets: dict[str, str], *, policy_file: str = "", begin: bool = True, **settings: Any
    ) -> EngineRoom:
        for each in systems.values():
            if each["kind"] != "ssh":
                each["options"] = {"timeout_s": 5.0} | each.get("options", {})
        rooms.append(EngineRoom(tmp_path / f"home{len(rooms)}", systems, secrets, **settings))
        if policy_file:
            file = rooms[-1].home.config / "policy.yaml"
            file.write_text(policy_file, "utf-8")
            file.chmod(0o600)
        if begin:
            await rooms[-1].start()
        return rooms[-1]

    yield make
    for room in rooms:
        await room.close()


async def started(room: EngineRoom, name: str, steps: dict[str, Any]) -> str:
    """The keys hold the test's own word: several engines write to one server here, and each begins with run-1."""
    text = {
        "quarterdeck": 1, "workflow": name, "version": 1, "title": "Mid-run", "triggers": [{"manual": {"roles": ["operator"]}}],
        "defaults": {"escalate": {"role": "operator", "expires": "1h"}},
        "steps": {n: {"key": f"'{name}/{n}'", "timeout": "5m", "retry": RETRY, **step} for n, step in steps.items()},
    }  # fmt: skip
    await room.command("workflow.register", text=msgspec.yaml.encode(text).decode())
    await room.begin(name)
    return name


async def cut_off(room: EngineRoom, run: str, cut: Cut) -> None:
    """Until the system is away."""
    until = time.monotonic() + 120
    while not cut.began:
        assert time.monotonic() < until, f"nothing was written: {await room.show(run)}\n{room.log[-2000:]}"
        await asyncio.sleep(0.05)


async def seen_through(room: EngineRoom, run: str, cut: Cut, named: str) -> dict[str, Any]:
    """Watches a run through the partition: it must wait, and say for whom, all the time; then it must end. The run."""
    await cut_off(room, run, cut)
    said: set[str] = set()
    while not cut.ended:
        shown = await room.show(run)
        if cut.on:
            assert shown["run"]["status"] not in ("completed", "failed"), shown["run"]
            said |= {f"{s.get('error', '')} {s.get('detail', '')}" for s in shown["steps"]}
            said |= {w["what"] for w in shown.get("waiting", ())}
        await asyncio.sleep(0.3)
    ended = await room.ended(run, 120)
    assert ended["run"]["status"] == "completed", ended["run"]
    assert any(named in words for words in said), f"nobody was told that {named} is away: {said}"
    return ended
