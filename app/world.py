"""The demo's world as a process beside the engine: start it, look at it, end it, and write the settings that join them."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shutil
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from app import attach
from app.attach import Unreachable
from app.home import Home, prepare

START_S = 20.0


class World(Struct, frozen=True, kw_only=True):
    """What `world.json` says: where the two servers are, how its clock runs, what is to be rolled out on whom."""

    pid: int
    scenario: str
    seed: int
    sim0: float
    wall0: float
    speed: float
    updates_url: str
    signals_url: str
    control_url: str
    control_token: str
    release: str
    previous: str
    selector: str
    connectors: dict[str, dict[str, Any]]
    secrets: dict[str, str]
    title: str = ""
    plays: str = ""
    """The demo's scenario, when it is more than what the world plays."""

    def told(self) -> dict[str, Any]:
        """What may be shown: all but the token that ends it."""
        kept = ("scenario", "seed", "speed", "updates_url", "signals_url", "control_url", "release", "previous", "pid")
        return {name: getattr(self, name) for name in kept}


class NotADemo(Exception):
    """The home holds a real installation, or another demo: nothing was touched."""


def running(home: Home) -> World | None:
    """The world of this home, if its process lives."""
    try:
        world = msgspec.json.decode((home.state / "world.json").read_bytes(), type=World)
    except (OSError, msgspec.DecodeError):
        return None
    return world if _lives(world.pid) else None


def start(home: Home, *, scenario: str, seed: int, speed: float, robots: int, plays: str = "") -> World:
    """A new world on a clean journal. Raises `NotADemo` where a production installation lives, `Unreachable` on failure."""
    refuse_production(home)
    end(home)
    prepare(home)
    _forget(home)
    log = home.state / "world.log"
    command = [sys.executable, "-m", "connectors.sandbox", "--dir", str(home.state), "--config", str(home.config)]
    command += ["--scenario", scenario, "--seed", str(seed), "--speed", f"{speed:g}", "--robots", str(robots)]
    command += ["--plays", plays] if plays else []
    pipe = attach.detach(command, log)
    try:
        deadline = time.monotonic() + START_S
        while (world := running(home)) is None:
            ended, _, _ = select.select([pipe], [], [], 0.02)
            if ended and (world := running(home)) is None:
                raise attach.EngineDied("the simulated world did not start", attach.tail(log))
            if time.monotonic() > deadline:
                raise attach.EngineDied(
                    f"the simulated world gave no sign of life in {START_S:.0f} s", attach.tail(log)
                )
    finally:
        os.close(pipe)
    assert world is not None
    settings = {
        "environment": "sandbox",
        "clock": {"sim0": world.sim0, "wall0": world.wall0, "speed": world.speed},
        "connectors": world.connectors,
        "secrets": world.secrets,
        "world": {"scenario": plays or world.scenario, "seed": world.seed},
    }
    # JSON is YAML; only this program reads it back
    home.settings.write_bytes(msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n")
    return world


def end(home: Home) -> bool:
    """Ends engine and world of a demo; True when there was something to end."""
    refuse_production(home)
    ended = False
    if attach.alive(home):
        ended = True
        if not attach.ask_to_end(home):
            raise Unreachable(f"the engine of {home.name} has not ended: see {home.log}")
    if world := running(home):
        ended = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(world.pid, signal.SIGTERM)
        deadline = time.monotonic() + 5
        while _lives(world.pid):
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(world.pid, signal.SIGKILL)
            time.sleep(0.02)
        (home.state / "world.json").unlink(missing_ok=True)
    return ended


def truth(world: World) -> dict[str, Any]:
    """What really happened on the robots, which is more than any server was told."""
    try:
        with urllib.request.urlopen(world.control_url, timeout=10) as answer:
            found: dict[str, Any] = msgspec.json.decode(answer.read())
    except (urllib.error.URLError, TimeoutError) as error:
        raise Unreachable(f"the simulated world at {world.control_url} does not answer: {error}") from error
    return found


def refuse_production(home: Home) -> None:
    """A demo forgets its journal when it starts anew; nobody else's may be taken for one."""
    try:
        settings = msgspec.json.decode(home.settings.read_bytes())
    except FileNotFoundError:
        if home.database.exists():
            raise NotADemo(f"{home.state} holds the journal of an installation that is no demo; set QD_HOME") from None
        return
    except msgspec.DecodeError:
        settings = None  # written by a person, not by us
    if not isinstance(settings, dict) or settings.get("environment") != "sandbox":
        raise NotADemo(f"{home.settings} belongs to an installation that is no demo: set QD_HOME to another folder")


def _forget(home: Home) -> None:
    """The journal of the demo before: its times belong to another clock."""
    for path in sorted(home.state.glob("quarterdeck.db*")):
        path.unlink()
    shutil.rmtree(home.state / "vault", ignore_errors=True)
    shutil.rmtree(home.state / "files", ignore_errors=True)
    for path in (home.log, home.state / "world.log", home.state / "world.json"):
        path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # one that has ended and waits to be reaped is gone
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    except OSError as error:
        return error.errno == errno.EPERM
