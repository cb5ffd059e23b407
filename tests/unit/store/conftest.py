"""A journal on a scratch file, and commits made by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.core import events as e
from engine.core.events import Event
from engine.store.journal import Journal
from engine.store.loading import CORE
from engine.store.records import Actor, Commit

ANA = Actor(kind="person", id="ana", via="socket")


class Bench:
    """Puts commits and waits for their answers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heads: dict[str, int] = {}
        self.journal = self.open()

    def open(self, **more: Any) -> Journal:
        journal = Journal.open(self.path, owner="test", now=time.time, core=CORE, **more)
        journal.start(asyncio.get_running_loop())
        self.journal = journal
        return journal

    def put(self, run: str, events: Sequence[Event], *, before: int | None = None, **more: Any) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def done(commit: Commit, error: BaseException | None) -> None:
            if error is not None:
                future.set_exception(error)
            else:
                self.heads[run] = commit.before + len(commit.data)
                future.set_result(commit.first)

        at = self.heads.get(run, 0) if before is None else before
        self.journal.put(
            Commit(
                run=run,
                before=at,
                events=events,
                data=[msgspec.json.encode(event) for event in events],
                at=int(time.time() * 1e6),
                actor=ANA,
                cause="test",
                done=done,
                **more,
            )
        )
        return future


def started(run: str) -> e.RunStarted:
    return e.RunStarted(workflow="w", digest="sha256:x", inputs={}, by="ana", at=1.0)


def said(text: str) -> e.CommentAdded:
    return e.CommentAdded(by="ana", text=text, at=1.0)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path / "state" / "quarterdeck.db")
    yield made
    await made.journal.close()


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], Bench]:
    return lambda: Bench(tmp_path / "state" / "quarterdeck.db")
