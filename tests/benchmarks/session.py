"""session: eight hours of a night's feed in quick motion, with somebody at the keys: how long the event loop was ever kept by
one callback, and what a busy Watch sends over the wire.
"""

from __future__ import annotations

import json
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.harness_terminal import Terminal, option

LIMIT_S = 0.016
NIGHT = 8 * 3600 * 5
"""Events of eight hours, five a second."""
BUSY_PER_S = 1_000
WIRE_LIMIT = 8_000
KEYS = (
    "1",
    "2",
    "jjjj",
    "\x06",
    "k",
    "G",
    "g",
    "/status:waiting\r",
    "\x1b",
    "\x10",
    "fleet",
    "\x1b",
    "?",
    "\x1b",
    "3",
    "1",
)
"""Watch, Runs, moving and paging, a filter, the palette, the help, Gates."""


def run(options: Any = None) -> dict[str, Any]:
    """`runs` run, `events` changes of them at `events_per_s`. Blocks are CPU of the loop's thread; by the wall clock too, which
    on a shared machine counts what others took. Screens are opened once before it counts: their imports are `opening`'s."""
    runs = int(option(options, "runs", 25_000))
    events = int(option(options, "events", NIGHT))
    rate = int(option(options, "events_per_s", BUSY_PER_S))
    with tempfile.TemporaryDirectory() as scratch:
        told = Path(scratch) / "blocks.json"
        asked = {"runs": runs, "events_per_s": rate, "start": ":runs", "blocks": str(told), "limit_s": LIMIT_S}
        with Terminal.console(asked, columns=120, rows=36) as terminal:
            terminal.read(30, until=f"{runs:,} runs".encode())
            for keys in KEYS:
                terminal.type(keys)
                terminal.read(0.6)
            terminal.signal(signal.SIGUSR2)  # counts from here
            began, step, pause = time.perf_counter(), 0, 0.35
            while (time.perf_counter() - began) * rate < events:
                terminal.type(KEYS[step % len(KEYS)])
                terminal.read(pause)
                step += 1
            terminal.type("\x1b1")
            terminal.read(2.0)
            watched, _ = terminal.read(10.0)
            terminal.signal(signal.SIGUSR2)
            terminal.read(1.0)
            blocks = json.loads(told.read_text())
    worst = blocks["worst"][0] if blocks["worst"] else (0.0, 0.0, "")
    return {
        "longest_ms": round(worst[0] * 1e3, 1),
        "longest_in": worst[2],
        "over_16_ms": blocks["over"],
        "over_16_ms_wall": blocks["over_wall"],
        "callbacks": blocks["callbacks"],
        "within": blocks["over"] == 0,
        "worst": [[round(cpu * 1e3, 1), round(wall * 1e3, 1), where] for cpu, wall, where in blocks["worst"]],
        "watch_bytes_per_s": round(len(watched) / 10),
        "watch_within": len(watched) / 10 < WIRE_LIMIT,
        "events": events,
        "events_per_s": rate,
        "keys": step,
        "runs": runs,
    }
