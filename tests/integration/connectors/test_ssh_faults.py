"""What goes wrong between us and a real sshd: silence, garbage, resets, a line that goes dead in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from connectors.ssh_gateways import SshConnector, SshGateways
from engine.capabilities.ports import ActionError
from tests.services.ssh import Sshd, Wall, running

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with running() as found:
        yield found


class Line:
    """A line to the gateway that can be slow, dead or cut."""

    def __init__(self, target: int) -> None:
        self.target, self.dead, self.delay = target, False, 0.0
        self.writers: list[asyncio.StreamWriter] = []
        self.logins = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        self.writers += [writer, back]
        self.logins += 1
        with contextlib.suppress(OSError):
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if not self.dead:
                    target.write(data)
                    await target.drain()
        finally:
            target.close()

    def cut(self) -> None:
        """RST, both ways."""
        for writer in self.writers:
            sock = writer.get_extra_info("socket")
            if sock is not None and not writer.is_closing():
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


@asynccontextmanager
async def line(sshd: Sshd) -> AsyncIterator[Line]:
    found = Line(sshd.port)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        found.cut()


def through(sshd: Sshd, port: int, *, connect_s: float = 5.0) -> SshGateways:
    settings = {**sshd.settings(port=port), "keepalive_s": 0.3, "connect_s": connect_s}
    found: SshGateways = SshConnector().build(settings, sshd.keys.get, Wall(), {})["gateways"]
    return found


@pytest.mark.parametrize(
    "says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n" + b"\xff" * 4000, b"\x00" * 100_000]
)
async def test_what_is_no_ssh_server_is_not_reached_and_nobody_hangs(sshd: Sshd, says: bytes) -> None:
    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        with contextlib.suppress(OSError):
            await writer.drain()
            await asyncio.sleep(30 if not says else 0.2)
        writer.close()

    server = await asyncio.start_server(odd, "127.0.0.1", 0)
    try:
        gateways = through(sshd, server.sockets[0].getsockname()[1], connect_s=1.0)
        began = time.monotonic()
        with pytest.raises(ActionError) as away:
            await gateways.run("ham2", "true", timeout_s=5)
        assert (away.value.error, away.value.kind) == ("Unreachable", "communication"), away.value.message
        assert time.monotonic() - began < 4 and away.value.message.isprintable()
        assert (await gateways.look("ham2")).host_key == "unknown"
    finally:
        server.close()


async def test_a_slow_line_is_slow_and_nothing_else(sshd: Sshd) -> None:
    async with line(sshd) as wire:
        wire.delay = 0.1
        done = await through(sshd, wire.port).run("ham2", "echo slow", timeout_s=15)
        assert (done.exit, done.stdout) == (0, "slow\n")


async def test_a_line_cut_in_the_middle_gives_no_exit_status_and_the_effect_is_there_once(
    sshd: Sshd, tmp_path: Path
) -> None:
    file = tmp_path / "effects"
    async with line(sshd) as wire:
        gateways = through(sshd, wire.port)
        running_ = asyncio.create_task(
            gateways.run("ham2", f"echo x >>{file}; sleep 1; echo end", timeout_s=15, key="cut")
        )
        while not await asyncio.to_thread(file.exists):  # noqa: ASYNC110  # a process makes it
            await asyncio.sleep(0.05)
        wire.cut()
        assert (await running_).exit is None
        again = await gateways.run("ham2", f"echo x >>{file}; sleep 1; echo end", timeout_s=15, key="cut")
        assert (again.exit, again.stdout, file.read_text()) == (0, "end\n", "x\n") and wire.logins == 2


async def test_a_line_that_goes_dead_is_noticed(sshd: Sshd) -> None:
    """No reset, no answer: keep-alives tell."""
    async with line(sshd) as wire:
        gateways = through(sshd, wire.port)
        running_ = asyncio.create_task(gateways.run("ham2", "echo on; sleep 30", timeout_s=60))
        await asyncio.sleep(1.0)
        wire.dead, began = True, time.monotonic()
        assert (await running_).exit is None and time.monotonic() - began < 6


async def test_a_copy_that_breaks_leaves_nothing_half(sshd: Sshd, tmp_path: Path) -> None:
    source, there = tmp_path / "source", tmp_path / "there"
    source.write_bytes(b"z" * 3_000_000)
    async with line(sshd) as wire:
        gateways = through(sshd, wire.port)
        wire.delay = 0.05
        for copying in (
            asyncio.create_task(gateways.send("ham2", source, str(there))),
            asyncio.create_task(gateways.fetch("ham2", str(source), tmp_path / "back", limit_b=1 << 30)),
        ):
            await asyncio.sleep(1.5)
            wire.cut()
            with pytest.raises(ActionError) as broken:
                await copying
            assert broken.value.kind == "communication"
    assert not there.exists() and not (tmp_path / "back").exists() and not list(tmp_path.glob("back*"))


async def test_a_session_over_a_dead_line_ends(sshd: Sshd) -> None:
    async with line(sshd) as wire:
        gateways = through(sshd, wire.port)
        terminal = await gateways.open("ham2", key=sshd.private, certificate="", term="xterm", cols=80, rows=24)
        await terminal.write(b"echo re''ady\r")
        said = b""
        while b"ready" not in said:
            said += await terminal.read()
        wire.dead = True
        async with asyncio.timeout(6):
            while await terminal.read():
                pass
        assert terminal.exit is None
        await terminal.close()
