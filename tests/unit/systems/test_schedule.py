"""When feeds are read: at once, at their pace, ever more slowly while nobody answers, and at once when it is worth it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from engine.capabilities.ports import ActionError
from engine.hosts import syncing as module
from engine.hosts.clock import RealClock, VirtualClock
from tests.unit.systems.owner import NOW, Owner, engine, names, told


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_S", 0.02)
    monkeypatch.setattr(module, "SOON_S", 0.01)


def owner_of(every_s: float, **more: float) -> Owner:
    owner = Owner(VirtualClock(NOW), lists_only=True)
    owner.feeds = tuple(structs.replace(feed, every_s=every_s, **more) for feed in owner.feeds)  # type: ignore[assignment]
    owner.put("T-0")
    return owner


async def until(found: Callable[[], Any], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def test_a_feed_is_read_at_once_and_then_at_its_pace(tmp_path: Path) -> None:
    owner, database = owner_of(0.05), tmp_path / "quarterdeck.db"
    async with engine(database, RealClock(), owner):  # type: ignore[arg-type]
        await until(lambda: len(owner.pulls) >= 4)
        owner.put("T-1")
        await until(lambda: names(told(database)) == ["created T-1"])
    after = len(owner.pulls)
    await asyncio.sleep(0.2)
    assert len(owner.pulls) == after, "nothing is read once the engine ended"


async def test_who_does_not_answer_is_asked_ever_more_slowly_and_at_once_when_it_does(tmp_path: Path) -> None:
    owner = owner_of(0.05, stale_s=0.5)
    owner.down = ActionError("Unreachable", "cannot be reached", kind="unavailable")
    noticed: list[str] = []
    async with engine(tmp_path / "quarterdeck.db", RealClock(), owner) as (_, syncing):  # type: ignore[arg-type]
        syncing.noticed = noticed.append
        await until(lambda: (feed := syncing.feeds("one")[0]).failures >= 5 and feed.next_at - feed.tried_at > 8 * 0.05)
        assert noticed == ["one"]
        await until(lambda: any(each["event"] == "qd.sync.stale" for each in told(tmp_path / "quarterdeck.db")))
        owner.down = None
        syncing.nudge("one")
        began = time.monotonic()
        await until(lambda: syncing.feeds("one")[0].state == "fresh")
        assert time.monotonic() - began < 0.5


async def test_an_owner_that_asks_for_time_gets_it(tmp_path: Path) -> None:
    owner = owner_of(0.05)
    owner.down = ActionError("RateLimited", "too many", kind="unavailable", retry_after=30.0)
    async with engine(tmp_path / "quarterdeck.db", RealClock(), owner) as (_, syncing):  # type: ignore[arg-type]
        await until(lambda: syncing.feeds("one")[0].failures == 1)
        await until(lambda: syncing.feeds("one")[0].next_at - syncing.feeds("one")[0].tried_at > 26)


async def test_a_hint_is_worth_a_reading_and_many_are_worth_one(tmp_path: Path) -> None:
    owner = owner_of(3600.0)
    async with engine(tmp_path / "quarterdeck.db", RealClock(), owner) as (_, syncing):  # type: ignore[arg-type]
        await until(lambda: syncing.feeds("one")[0].state == "fresh" and syncing.feeds("one")[0].next_at > 0)
        await asyncio.sleep(0.05)
        for _ in range(50):
            syncing.hint("one")
        await until(lambda: len(owner.pulls) == 2)
        await asyncio.sleep(0.2)
        assert len(owner.pulls) == 2


async def test_a_reading_that_hangs_makes_the_feed_stale_all_the_same(tmp_path: Path) -> None:
    owner = owner_of(0.02, stale_s=0.2)
    database = tmp_path / "quarterdeck.db"
    async with engine(database, RealClock(), owner) as (_, syncing):  # type: ignore[arg-type]
        await until(lambda: syncing.feeds("one")[0].state == "fresh")

        async def hangs(feed: str, cursor: str) -> Any:
            await asyncio.sleep(3600)

        owner.pull = hangs  # type: ignore[method-assign]
        await until(lambda: any(each["event"] == "qd.sync.stale" for each in told(database)))
        syncing.pause("one")
        assert syncing.feeds("one")[0].state == "suspended"
