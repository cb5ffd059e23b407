"""What the engine's benchmarks share: a scratch folder on a real disk, a host, plain definitions, the disk's own limit."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.capabilities.ports import Action
from engine.core.definition import Definition, Gate, Outcome, Seat, Step, Wait
from engine.hosts.settings import Config
from engine.language import Expressions
from engine.store.records import Actor

PERSON = Actor(kind="person", id="bench", via="script")


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder for a database; not on a memory file system, where fsync costs nothing."""
    base = os.environ.get("QD_BENCH_DIR") or str(Path(__file__).resolve().parents[2])
    folder = Path(tempfile.mkdtemp(prefix=".bench-", dir=base if os.access(base, os.W_OK) else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _noop(context: Any, values: dict[str, Any]) -> None:
    return None


NOOP = Action(name="noop", run=_noop, effect="read")


def linear(steps: int, *, name: str = "linear", prefix: str = "s") -> Definition:
    """So many no-op actions, one after the other."""
    names = [f"{prefix}{at}" for at in range(steps)]
    made = {
        step: Step(id=step, kind="action", action="noop", effect="read", next=next_)
        for step, next_ in zip(names, [*names[1:], "done"], strict=True)
    }
    return Definition(workflow=name, version=1, steps=made, start=names[0])


def gated(*, name: str = "gated") -> Definition:
    """A sign-off by one person, then an action."""
    gate = Gate(
        question="go on?",
        seats=(Seat(role="approver"),),
        expires=86_400.0,
        on_timeout=Outcome(raise_="Expired"),
        on_reject=Outcome(raise_="Rejected"),
    )
    steps = {
        "ask": Step(id="ask", kind="gate", gate=gate, next="act"),
        "act": Step(id="act", kind="action", action="act", effect="read", next="done"),
    }
    return Definition(workflow=name, version=1, steps=steps, start="ask")


def waiting(*, name: str = "resting") -> Definition:
    """A long wait."""
    return Definition(
        workflow=name, version=1, steps={"rest": Step(id="rest", kind="wait", wait=Wait(for_=864_000.0))}, start="rest"
    )


def config(folder: Path, actions: Mapping[str, Action], **more: Any) -> Config:
    return Config(database=folder / "bench.db", actions=actions, evaluator=Expressions(), **more)


def raw_commits_per_s(folder: Path, seconds: float = 1.0) -> float:
    """What this disk gives: one small row per transaction, WAL and FULL, nothing of ours."""
    path = folder / "raw.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("create table t (id integer primary key, data blob)")
    started, count = time.perf_counter(), 0
    row = (b"x" * 200,)
    while time.perf_counter() - started < seconds:
        connection.execute("begin immediate")
        connection.execute("insert into t (data) values (?)", row)
        connection.execute("commit")
        count += 1
    spent = time.perf_counter() - started
    connection.close()
    path.unlink()
    return count / spent


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
