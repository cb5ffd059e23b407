"""idle: what the console costs when it is left alone on Watch with its clock running."""

from __future__ import annotations

import time
from typing import Any

from tests.benchmarks.harness_terminal import Terminal, option


def run(options: Any = None) -> dict[str, Any]:
    """CPU share of one core and bytes per second over `seconds`, after five seconds to settle."""
    seconds = float(option(options, "seconds", 20.0))
    columns, rows = int(option(options, "columns", 200)), int(option(options, "rows", 60))
    with Terminal.console({"runs": 200}, columns=columns, rows=rows) as terminal:
        terminal.read(10, until=b"live")
        terminal.read(5.0)
        cpu, began = terminal.cpu_s(), time.perf_counter()
        fresh, _ = terminal.read(seconds)
        took = time.perf_counter() - began
        used = terminal.cpu_s() - cpu
    return {
        "cpu_percent": round(100 * used / took, 2),
        "bytes_per_s": round(len(fresh) / took, 1),
        "seconds": round(took, 1),
        "columns": columns,
        "rows": rows,
    }
