"""One installation under a folder of its own, driven through the command line alone, as a person would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


class Installation:
    def __init__(self, home: Path) -> None:
        self.home = home

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("QD_", "TEXTUAL", "XDG_"))}
        return {**kept, "QD_HOME": str(self.home), "COLUMNS": "80", "LINES": "24"}

    def run(self, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app", *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def json(self, *words: str, code: int = 0, timeout: float = 120) -> Any:
        done = self.run(*words, "--json", timeout=timeout)
        assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return json.loads(done.stdout)

    def stop(self) -> None:
        self.run("demo", "--stop")
        self.run("engine", "stop")
