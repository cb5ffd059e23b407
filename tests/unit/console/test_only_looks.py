"""A console that was opened to look: it says so in its header, bars every key that changes something, and sends nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.client import Client
from app.home import Home
from engine.contract.client import Refused
from screens.acts import REGISTRY
from screens.base import QScreen
from tests.fakes import FakeClient
from tests.unit.console.conftest import Open, screen_text, settled


async def test_every_act_that_sends_something_is_barred_with_the_reason(opened: Open) -> None:
    client = FakeClient()
    client.only_looks = True  # type: ignore[attr-defined]
    async with opened(client=client) as (console, pilot):
        assert "READ ONLY" in screen_text(console).splitlines()[0]
        await pilot.press("4")
        await settled(pilot)
        screen = console.screen
        assert isinstance(screen, QScreen)
        for act in REGISTRY.values():
            if act.command:
                assert "--read-only" in str(screen.reason_against(act)), act.name
        await pilot.press("p")
        await settled(pilot)
        assert "--read-only" in screen_text(console)


async def test_its_client_sends_no_command_and_no_secret(tmp_path: Path) -> None:
    client = Client(Home(name="test", config=tmp_path, state=tmp_path, run=tmp_path), only_looks=True)
    with pytest.raises(Refused) as refused:
        await client.command("rollout.pause", "run-1")
    assert refused.value.problem.code == "only_looks"
    with pytest.raises(Refused):
        await client.store_secret("updates", "s3cret")
    await client.close()
