"""A gateway is cut off while a command runs on it: the run waits, says which gateway, and has the one result in the end."""

from __future__ import annotations

import asyncio
import shlex
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.connectors.partition import Cut, Way, Wire, room_of, seen_through, started
from tests.services.ssh import Sshd, running

__all__ = ["room_of"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with running() as found:
        yield found


@pytest.mark.parametrize("how", ["drop", "refuse"])
async def test_a_gateway_that_is_cut_off(sshd: Sshd, room_of: Any, tmp_path: Path, how: Way) -> None:
    word, cut, effects = f"part-{uuid.uuid4().hex[:10]}", Cut(1, how), tmp_path / "effects"
    async with Wire(sshd.port) as wire:
        cut.proxy = wire
        options = {**sshd.settings(port=wire.port), "keepalive_s": 0.5, "connect_s": 2.0}
        system = {
            "kind": "ssh",
            "secret": "gateway-key",
            "options": {k: v for k, v in options.items() if k != "secret"},
        }
        room = await room_of({"gateways": system}, {"gateway-key": sshd.private})
        file = shlex.quote(str(effects))
        first = {"gateway": "ham2", "command": f"echo first >>{file}; sleep 1; echo done", "ok": [0]}
        second = {"gateway": "ham2", "command": f"echo second >>{file}", "ok": [0]}
        run = await started(
            room, word,
            {"first": {"action": "gateway.run", "with": first}, "second": {"action": "gateway.run", "with": second}},
        )  # fmt: skip
        for _ in range(400):
            if await asyncio.to_thread(effects.exists):
                break
            await asyncio.sleep(0.05)
        await cut.now()
        ended = await seen_through(room, run, cut, "ham2")
    given = [(step["step"], step["output"]["stdout"]) for step in ended["steps"] if step.get("output")]
    assert given == [("first", "done\n"), ("second", "")], ended["steps"]
    assert effects.read_text("utf-8") == "first\nsecond\n"
