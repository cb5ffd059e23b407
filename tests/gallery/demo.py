"""`python -m tests.gallery.demo`: takes the pictures in this folder anew, from the real console on a real demo.

Nothing is posed: a demo plays `stage-regression`, its gates are answered through the command line, another begins `hotfix`
and its engine weighs what can be done; each picture is what the console shows at that moment, connected to that engine.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import terminal

terminal.prepare()

from app.client import Client  # noqa: E402  Textual reads its settings when it is imported
from app.console import Console  # noqa: E402
from app.home import Home, one_folder  # noqa: E402
from tests.e2e.installation import Installation  # noqa: E402

HERE = Path(__file__).parent
SIZE = (100, 30)
SPEED = 3000
CALM = 300
"""Slow enough that the incident is young in its picture."""
PATIENCE_S = 120.0


async def _picture(home: Home, line: str, person: str, wanted: str, target: Path) -> None:
    """The screen that `line` opens, once `wanted` stands on it."""
    console = Console(Client(home, person=person), start=line)
    console.theme = "night"
    async with console.run_test(size=SIZE) as pilot:
        until = time.monotonic() + PATIENCE_S
        while True:
            await pilot.pause(0.3)
            svg = console.export_screenshot(title="qd")
            if wanted in svg.replace("&#160;", " "):
                break
            if time.monotonic() > until:
                raise SystemExit(f"{target.name}: {wanted!r} never stood there")
        target.write_text(svg, encoding="utf-8")
    print(target)


def _until(ready: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = ready()
        if found:
            return found
        time.sleep(0.2)
    raise SystemExit("the demo did not come as far as the picture")


def take(folder: Path) -> None:
    """All pictures. The demo lives in a scratch folder and ends with it."""
    with tempfile.TemporaryDirectory() as scratch:
        made = Installation(Path(scratch) / "home")
        home = one_folder(made.home, name="demo")
        try:
            run = made.json("demo", "--scenario", "stage-regression", "--detach", "--speed", str(SPEED))["run"]
            gate = _until(lambda: made.json("gates", "ls")["rows"])[0]["id"]
            asyncio.run(_picture(home, f"gate {gate}", "bo", "who can", folder / "gate.svg"))
            for person in ("ana", "bo"):
                made.json("gates", "approve", gate, "--yes", "--as", person)
            _until(lambda: made.json("rollouts", "show", run)["rollout"]["state"] == "paused")
            asyncio.run(_picture(home, f"rollout {run}", "ana", "roll back:", folder / "rollout.svg"))
            asyncio.run(_picture(home, "", "ana", "WHAT NEEDS ME", folder / "watch.svg"))
            made.json("demo", "--scenario", "hotfix", "--detach", "--speed", str(CALM))
            incident = _until(lambda: made.json("incidents", "ls"))[0]["id"]
            asyncio.run(_picture(home, f"incident {incident}", "ivo", "nothing is done yet", folder / "incident.svg"))
        finally:
            made.stop()


if __name__ == "__main__":
    take(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
