"""A real engine process over remote systems behind proxies: started, killed without a word, started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
import uvicorn

from app.home import one_folder
from connectors.keyring_file import FileKeyring, create_key
from engine.capabilities.secrets import SERVICE

ROOT = Path(__file__).parent.parent.parent.parent
OVER = ("completed", "failed", "cancelled", "terminated")


class EngineRoom:
    """One installation under a folder of its own, spoken to over its socket."""

    def __init__(self, folder: Path, systems: Mapping[str, Any], secrets: Mapping[str, str], **settings: Any) -> None:
        self.home = one_folder(folder, name="test")
        for each in (self.home.config, self.home.state, self.home.run):
            each.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_key(self.home.config / "secrets.key")
        keyring = FileKeyring(str(self.home.config / "secrets.qdk"), f"file:{self.home.config / 'secrets.key'}")
        for name, value in secrets.items():
            keyring.set_password(SERVICE, name, value)
        whole = {"environment": "sandbox", "connectors": dict(systems), **settings}
        (self.home.config / "quarterdeck.yaml").write_bytes(msgspec.yaml.encode(whole))
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(self.home.socket)), base_url="http://engine", timeout=20
        )
        self.kills = 0

    @property
    def log(self) -> str:
        file = self.home.state / "test-engine.log"
        return file.read_text("utf-8", "replace") if file.exists() else ""

    async def start(self) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("QD_", "XDG_"))}
        with (self.home.state / "test-engine.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - it outlives this loop
                [sys.executable, "-m", "engine", *self.home.engine_arguments()],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await self._http.get("/v1/runs")).status_code == 200:
                    return
            assert self._process.poll() is None and time.monotonic() < until, self.log[-3000:]
            await asyncio.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is written."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self.kills += 1

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def close(self) -> None:
        await self._http.aclose()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                await asyncio.to_thread(self._process.wait, 15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    async def get(self, path: str, **query: str) -> Any:
        answer = await self._http.get(path, params=query)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    async def command(self, verb: str, target: str = "", **args: Any) -> Any:
        answer = await self.tried(verb, target, **args)
        assert answer.status_code == 200, f"{verb}: {answer.status_code} {answer.text[:1000]}"
        return answer.json()

    async def tried(self, verb: str, target: str = "", **args: Any) -> httpx.Response:
        """The engine's answer to a command, whatever it is."""
        sent = {"id": uuid.uuid4().hex, "target": target, "args": args}
        return await self._http.post(f"/v1/commands/{verb}", json=sent)

    async def run_of(self, action: str, given: Mapping[str, Any], *, timeout: str = "120s") -> str:
        """Starts a workflow of this one action. The workflow's name: the engine may die before it can tell the run's."""
        name = await self.workflow_of(action, given, timeout=timeout)
        await self.begin(name)
        return name

    async def begin(self, name: str) -> None:
        with contextlib.suppress(httpx.TransportError):
            await self.command("run.start", name, inputs={})

    async def workflow_of(self, action: str, given: Mapping[str, Any], *, timeout: str = "120s") -> str:
        """Registers a workflow of this one action, as anybody could write it; its name."""
        name = f"only-{action.replace('.', '-').replace('_', '-')}-{uuid.uuid4().hex[:10]}"
        step = {
            "action": action,
            "with": dict(given),
            "key": f"'{name}'",  # run ids begin anew in each installation, servers are shared
            "timeout": timeout,
            "retry": {"attempts": 6, "first": "1s", "factor": 1.5, "cap": "5s"},
        }
        text = {
            "quarterdeck": 1, "workflow": name, "version": 1, "title": f"Only {action}",
            "triggers": [{"manual": {"roles": ["operator"]}}],
            "defaults": {"escalate": {"role": "operator", "expires": "1h"}},
            "steps": {"act": step},
        }  # fmt: skip
        await self.command("workflow.register", text=msgspec.yaml.encode(text).decode())
        return name

    async def show(self, name: str) -> dict[str, Any]:
        """The run of a workflow as it is now; empty while nobody can tell."""
        with contextlib.suppress(httpx.HTTPError):
            found = await self.get("/v1/runs", workflow=name)
            for row in found.get("rows", ()):  # an empty list is left out
                if row["workflow"] == name:
                    return dict(await self.get(f"/v1/runs/{row['id']}"))
        return {}

    async def ended(self, name: str, seconds: float = 60) -> dict[str, Any]:
        """The run as it ended; the engine may die and come back meanwhile."""
        until, seen = time.monotonic() + seconds, dict[str, Any]()
        while time.monotonic() < until:
            seen = await self.show(name)
            if seen and seen["run"]["status"] in OVER:
                return seen
            await asyncio.sleep(0.1)
        raise AssertionError(f"{name} has not ended: {seen}\n{self.log[-2000:]}")

    async def output(self, name: str) -> Any:
        """What the run's only step gave."""
        ended = await self.ended(name)
        assert ended["run"]["status"] == "completed", ended["run"]
        return ended["steps"][0]["output"]

    async def died(self, kills: int, seconds: float = 30) -> None:
        """Until the engine was killed once more than `kills` times."""
        until = time.monotonic() + seconds
        while self.kills == kills:
            assert time.monotonic() < until, f"nobody wrote anything\n{self.log[-2000:]}"
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """An ASGI application on loopback, in this loop."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", ws="none"))
    task = asyncio.create_task(server._serve([listener]))
    try:
        while not server.started:  # noqa: ASYNC110 - it has no event for it
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
