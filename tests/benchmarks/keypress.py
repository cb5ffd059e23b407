"""keypress: from a key to the changed screen, on Runs with 100,000 runs while events arrive."""

from __future__ import annotations

import itertools
import re
import time
from typing import Any

from tests.benchmarks.harness_terminal import Terminal, option, percentile
from themes.palettes import BY_NAME

KEYS = "jjjjjkkk\x06\x06jjk\x02jjkk"
"""Down, up, page down (^F), page up (^B); no key here leaves the row it starts on."""
_ROW = re.compile(rb"row ([\d,]+)")


def run(options: Any = None) -> dict[str, Any]:
    """Each key moves the cursor; the screen has changed when the frame that holds the new row has arrived whole."""
    runs = int(option(options, "runs", 100_000))
    rate = int(option(options, "events_per_s", 1_000))
    count = int(option(options, "count", 300))
    with Terminal.console({"runs": runs, "events_per_s": rate, "start": ":runs"}, columns=120, rows=40) as terminal:
        terminal.read(30, until=f"{runs:,} runs".encode())
        terminal.read(2.0)
        times = []
        for key in itertools.islice(itertools.cycle(KEYS), count):
            terminal.read(0.03)
            times.append(_press(terminal, key))
        fresh, _ = terminal.read(2.0)
    answered = [one for one in times if one is not None]
    return {
        "p50_ms": round(percentile(answered, 0.5) * 1000, 1),
        "p99_ms": round(percentile(answered, 0.99) * 1000, 1),
        "max_ms": round(max(answered) * 1000, 1),
        "keys": count,
        "unanswered": count - len(answered),
        "runs": runs,
        "events_per_s": rate,
        "update_bytes_per_s": round(len(fresh) / 2),
    }


def _press(terminal: Terminal, key: str) -> float | None:
    """Seconds from the key to the end of the frame in which the cursor line is painted (its bold style is in it)."""
    began = terminal.type(key)
    seen = b""
    while time.perf_counter() - began < 2.0:
        fresh, last = terminal.read(0.5, until=b"H")
        seen += fresh
        if CURSOR in seen:
            return last - began
    return None


def _background(colour: str) -> bytes:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"48;2;{red};{green};{blue}".encode()


CURSOR = _background(BY_NAME["night"].colours["cursor"])
"""The cursor line's background in the night theme: painted only when the cursor moves or its row changes."""
