"""A contract server in a process of its own: prints one JSON object when it listens, lives until SIGTERM."""

from __future__ import annotations

import asyncio
import json
import signal
import socket

import uvicorn
from starlette.applications import Starlette


async def serve(app: Starlette, **shown: str) -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none"))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
    print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}", **shown}), flush=True)
    await server._serve([listener])
