"""SIGKILL at random instants: acknowledged facts are there, no effect is done twice at its owner's, the chain holds.
And an owner that was stopped, replaced and woken writes nothing any more.
"""

from __future__ import annotations

import os
import random
import selectors
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.store import integrity

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("engine_process.py")


class Engine:
    """The process, and what it has said."""

    def __init__(self, folder: Path, runs: int) -> None:
        (folder / "effects").mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), str(runs)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.said = b""

    def read(self, seconds: float) -> None:
        """Takes what it says for so long."""
        deadline = time.monotonic() + seconds
        out = self.process.stdout
        assert out is not None
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                if selector.select(left):
                    chunk = os.read(out.fileno(), 65536)
                    if not chunk:
                        return
                    self.said += chunk

    def until(self, word: bytes, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while word not in self.said and time.monotonic() < deadline and self.process.poll() is None:
            self.read(0.02)
        assert word in self.said, (self.said[-300:], self.stop())

    def runs(self) -> dict[str, int]:
        """Acknowledged runs and the sequence they were told."""
        lines = [line.split() for line in self.said.split(b"\n")[:-1] if line.startswith(b"run ")]
        return {run.decode(): int(seq) for _, run, seq in lines}

    def stop(self, sign: int = signal.SIGKILL) -> str:
        self.process.send_signal(sign)
        _, err = self.process.communicate(timeout=30)
        return err.decode()[-2000:]


def open_runs(path: Path) -> int:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return int(connection.execute("select count(*) from runs where ended_at is null").fetchone()[0])
    finally:
        connection.close()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_killed_at_random_instants_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    rng = random.Random(11)
    told: dict[str, int] = {}
    path = tmp_path / "quarterdeck.db"
    for _ in range(12):
        engine = Engine(tmp_path, 60)
        try:
            engine.until(b"open")
            engine.read(rng.random() * 0.5)
        finally:
            engine.stop()
        told |= engine.runs()
    last = Engine(tmp_path, 0)
    try:
        last.until(b"started")
        deadline = time.monotonic() + 60
        while open_runs(path) and time.monotonic() < deadline:
            last.read(0.1)
        assert open_runs(path) == 0
    finally:
        trouble = last.stop(signal.SIGTERM)
    connection = sqlite3.connect(path)
    stored = {
        run: (seq, status)
        for run, seq, status in connection.execute(
            "select r.id, (select max(seq) from events where run = r.id and n <= 3), r.status from runs r"
        )
    }
    assert told, "nothing was ever acknowledged"
    assert set(told) <= set(stored)
    assert {status for _, status in stored.values()} == {"completed"}, trouble
    for run, seq in told.items():
        assert connection.execute("select run from events where seq = ?", (seq,)).fetchone()[0] == run
    assert not (tmp_path / "doubled").exists(), (tmp_path / "doubled").read_text()
    effects = list((tmp_path / "effects").iterdir())
    assert len(effects) == 5 * len(stored)
    found = integrity.verify(path)
    assert found.ok, found.problem
    gaps = connection.execute(
        "select run from events where run != '' group by run having max(n) != count(*)"
    ).fetchall()
    assert gaps == []


@pytest.mark.timeout(120)
def test_an_owner_that_was_paused_and_replaced_writes_nothing_when_it_wakes(tmp_path: Path) -> None:
    path = tmp_path / "quarterdeck.db"
    first = Engine(tmp_path, 10_000)
    second: Engine | None = None
    try:
        first.until(b"run run-5")
        first.process.send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        refused = Engine(tmp_path, 0)
        refused.process.wait(30)
        assert "StoreInUse" in refused.stop(signal.SIGTERM)
        path.with_name(path.name + ".engine").unlink()  # as if the lock's host were gone
        second = Engine(tmp_path, 20)
        while b"open" not in second.said:
            second.read(0.1)
            if second.process.poll() is not None:  # it was stopped in the middle of a write: SQLite's own lock holds
                assert "locked by another process" in second.stop(signal.SIGTERM)
                first.process.send_signal(signal.SIGCONT)
                time.sleep(0.02)
                first.process.send_signal(signal.SIGSTOP)
                second = Engine(tmp_path, 20)
        second.until(b"started")
        first.process.send_signal(signal.SIGCONT)
        first.read(1.0)
        epochs = sqlite3.connect(path).execute("select epoch from engine").fetchone()
        assert epochs == (2,)
    finally:
        trouble = first.stop()
        if second is not None:
            second.stop()
    assert "StoreFenced" in trouble
    assert integrity.verify(path).ok
    starts = sqlite3.connect(path).execute("select max(seq) from events where type = 'EngineStarted'").fetchone()[0]
    late = [run for run, seq in first.runs().items() if seq > starts]
    assert late == []
