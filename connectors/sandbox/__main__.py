"""`python -m connectors.sandbox --dir DIR --scenario S --seed N --speed X`: the simulated world as a process of its own.

It binds two free loopback ports, puts the update server's password into the installation's keyring file (never on a
command line), writes DIR/world.json (mode 0600) when it is ready, and lives until it is told to stop. It does not care
whether an engine is there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
from pathlib import Path

import msgspec
import uvicorn

from connectors.keyring_file import FileKeyring, create_key
from connectors.sandbox.scenarios import PREVIOUS, RELEASE, SCENARIOS
from connectors.sandbox.signals_server import SignalsServer
from connectors.sandbox.updates_server import UpdatesServer
from connectors.sandbox.world import World

SERVICE = "quarterdeck"
SECRET = "sandbox-updates"
USERNAME = "quarterdeck@sandbox.invalid"
PEOPLE = (  # as the engine's policy of the sandbox has them, which decides; here for whoever reads world.json
    {"name": "ana", "roles": ["release-manager", "operator"]},
    {"name": "bo", "roles": ["safety-officer", "operator"]},
    {"name": "cy", "roles": ["fleet-operator", "operator"]},
    {"name": "dana", "roles": ["duty-director"]},
    {"name": "eve", "roles": ["viewer"]},
    {"name": "rene", "roles": ["release-manager"]},
)
MAX_HOURS = 24.0  # of wall time: a forgotten world ends by itself


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m connectors.sandbox", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dir", required=True, type=Path, help="where world.json is written")
    parser.add_argument("--config", type=Path, help="folder of the keyring file (default: DIR/config)")
    parser.add_argument("--scenario", required=True, choices=sorted(SCENARIOS))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--speed", type=float, default=600.0)
    parser.add_argument("--robots", type=int, default=200)
    parser.add_argument("--plays", default="", help="the demo's scenario, when it is more than the world's own")
    found = parser.parse_args()
    if not 1 <= found.speed <= 100_000:
        parser.error("--speed must be between 1 and 100000")
    if not 1 <= found.robots <= 5_000:
        parser.error("--robots must be between 1 and 5000")
    return found


def _listener() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    return listener


def _write(path: Path, value: object) -> None:
    """Whole or not at all, readable by its owner only: it holds the token that stops the world."""
    fresh = path.with_suffix(f".{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(fresh, path)


def _server(app: object) -> uvicorn.Server:
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none"))  # type: ignore[arg-type]


async def _serve(options: argparse.Namespace) -> None:
    folder: Path = options.dir
    config: Path = options.config or folder / "config"
    for each in (folder, config):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    password, control = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    create_key(config / "secrets.key")
    FileKeyring(str(config / "secrets.qdk"), f"file:{config / 'secrets.key'}").set_password(SERVICE, SECRET, password)

    stopped = asyncio.Event()
    world = World(SCENARIOS[options.scenario], options.seed, options.speed, options.robots)
    updates = UpdatesServer(world, USERNAME, password, control, stopped.set)
    signals = SignalsServer(world)
    listeners = [_listener(), _listener()]
    updates_url, signals_url = (f"http://127.0.0.1:{s.getsockname()[1]}" for s in listeners)
    servers = [_server(updates.app), _server(signals.app)]
    tasks = [asyncio.create_task(server._serve([s])) for server, s in zip(servers, listeners, strict=True)]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    while not all(server.started for server in servers):
        if any(task.done() for task in tasks):
            raise SystemExit("the simulated servers could not be started")
        await asyncio.sleep(0.01)
    world.start()
    _write(
        folder / "world.json",
        {
            "pid": os.getpid(),
            "scenario": options.scenario,
            "plays": options.plays,
            "title": world.scenario.title,
            "seed": options.seed,
            "robots": options.robots,
            "sim0": world.sim0,
            "wall0": world.wall0,
            "speed": world.speed,
            "updates_url": updates_url,
            "signals_url": signals_url,
            "control_url": f"{updates_url}/world",
            "control_token": control,
            "people": PEOPLE,
            "release": RELEASE,
            "previous": PREVIOUS,
            "selector": "all",
            "connectors": {
                "updates": {
                    "kind": "goosebit",
                    "url": updates_url,
                    "secret": SECRET,
                    "options": {"username": USERNAME},
                },
                "signals": {"kind": "prometheus", "url": signals_url},
            },
            "secrets": {"backend": "file", "file": "secrets.qdk", "key": "file:secrets.key"},
        },
    )
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(stopped.wait(), MAX_HOURS * 3600)
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*tasks)
    with contextlib.suppress(FileNotFoundError):
        (folder / "world.json").unlink()


def main() -> int:
    options = _arguments()
    asyncio.run(_serve(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
