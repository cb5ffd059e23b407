"""attach: from starting `qd` to the first frame with data in a terminal, with the engine running and without."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.harness_terminal import ROOT, Terminal, option

DATA = "\u25cf live".encode()
"""Stands in the header once the engine's first answer is on the screen."""


def run(options: Any = None) -> dict[str, Any]:
    """Medians over `rounds` starts at 80x24. Cold: no engine runs, `qd` starts it; the database exists after the first."""
    rounds = int(option(options, "rounds", 7))
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", "app", "screens", "themes", "engine"], cwd=ROOT, check=False
    )
    folder = Path(tempfile.mkdtemp(prefix="qdb-", dir="/tmp"))  # short: a socket's path holds 108 bytes
    environ = {"QD_HOME": str(folder), "PYTHONDONTWRITEBYTECODE": ""}
    try:
        first = _start(environ)
        _stop_engine(environ)
        cold = []
        for _ in range(rounds):
            cold.append(_start(environ))
            _stop_engine(environ)
        _start(environ)
        warm = [_start(environ) for _ in range(rounds)]
        _stop_engine(environ)
    finally:
        _stop_engine(environ)
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "warm_s": round(statistics.median(warm), 3),
        "cold_s": round(statistics.median(cold), 3),
        "warm_min_s": round(min(warm), 3),
        "cold_min_s": round(min(cold), 3),
        "first_ever_s": round(first, 3),
        "rounds": rounds,
        "load": round(os.getloadavg()[0], 2),
    }


def _start(environ: dict[str, str]) -> float:
    with Terminal([sys.executable, "-m", "app"], environ=environ) as terminal:
        _, at = terminal.read(20, until=DATA)
        if DATA not in terminal.written:
            raise RuntimeError(f"no frame with data: {terminal.written[-2000:].decode(errors='replace')!r}")
        took = at - terminal.began
        terminal.read(0.3)
        terminal.type("q")
        end = time.perf_counter() + 3
        while terminal.process.poll() is None and time.perf_counter() < end:
            terminal.read(0.05)
    return took


def _stop_engine(environ: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-m", "app", "engine", "stop"],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        check=False,
        timeout=20,
    )
    time.sleep(0.1)
