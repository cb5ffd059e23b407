"""Consoles over the fake client, opened on the screen under test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot

from app.console import Console
from screens.confirm import ARM_S, Confirm
from tests.fakes import FakeClient


class Desk:
    """A console at one place, driven by keys."""

    def __init__(self, console: Console, pilot: Pilot[Any], client: FakeClient) -> None:
        self.console, self.pilot, self.client = console, pilot, client

    async def settle(self, seconds: float = 0.06) -> None:
        """What was posted is handled, what was asked is answered."""
        await self.pilot.pause(seconds)
        for _ in range(100):
            if not any(
                worker.group.startswith(("fetch", "cohorts")) and worker.is_running for worker in self.console.workers
            ):
                break
            await asyncio.sleep(0.01)
        await self.pilot.pause(0.04)

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
        await self.settle()

    async def until(self, condition: Callable[[], object]) -> None:
        """Something that follows from a key by more than one step."""
        for _ in range(500):
            if condition():
                return
            await self.pilot.pause(0.02)
        raise AssertionError(f"it did not come to be:\n{self.text}")

    async def write(self, text: str) -> None:
        await self.pilot.press(*["space" if character == " " else character for character in text])
        await self.settle()

    async def armed(self) -> Confirm:
        """The question is open and takes input."""
        await self.pilot.pause(ARM_S + 0.15)
        assert isinstance(self.console.screen, Confirm), self.text
        assert self.console.screen.armed
        return self.console.screen

    @property
    def asking(self) -> bool:
        return isinstance(self.console.screen, Confirm)

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(strip.text.rstrip() for strip in self.console.screen._compositor.render_strips())

    def sent(self, verb: str = "") -> list[Any]:
        """Commands that were meant (previews left out)."""
        return [one for one in self.client.commands if not one.preview and (not verb or one.verb == verb)]


At = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture
def at() -> At:
    @asynccontextmanager
    async def open_at(
        start: str, *, size: tuple[int, int] = (80, 24), client: FakeClient | None = None
    ) -> AsyncIterator[Desk]:
        client = client or FakeClient()
        console = Console(client, first=await client.watch(), start=start)
        async with console.run_test(size=size) as pilot:
            desk = Desk(console, pilot, client)
            await desk.settle(0.15)
            yield desk

    return open_at
