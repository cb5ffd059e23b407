"""Consoles over the fake client, and a list to look at alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot

from app.console import Console
from tests.fakes import FakeClient

Open = Callable[..., AbstractAsyncContextManager[tuple[Console, Pilot[Any]]]]


@pytest.fixture
def opened() -> Open:
    @asynccontextmanager
    async def open_console(
        size: tuple[int, int] = (80, 24), client: FakeClient | None = None, **options: Any
    ) -> AsyncIterator[tuple[Console, Pilot[Any]]]:
        console = Console(client or FakeClient(), **options)
        async with console.run_test(size=size) as pilot:
            await settled(pilot)
            yield console, pilot

    return open_console


async def settled(pilot: Pilot[Any]) -> None:
    """Everything posted was handled and every worker that fetches is done."""
    for _ in range(3):
        await pilot.pause(0.02)
        await pilot.app.workers.wait_for_complete(
            [
                worker
                for worker in pilot.app.workers
                if worker.group.startswith(("page", "detail", "fetch", "events", "restart"))
            ]
        )
    await pilot.pause(0.02)


def screen_text(console: Console) -> str:
    """What stands on the screen, line by line."""
    return "\n".join(strip.text.rstrip() for strip in console.screen._compositor.render_strips())
