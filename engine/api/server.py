"""The socket and the server on it. We bind ourselves: uvicorn's own `uds` leaves the socket open to everybody (0666)
and lets a second engine take the path over silently.
"""

from __future__ import annotations

import contextlib
import grp
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from engine.api.door import Door
from engine.api.identity import PeerProtocol

_FIRST_LISTEN_FD = 3


class SocketError(Exception):
    """The socket can't be had; the message says what to do."""


def bind(path: Path, group: str = "") -> socket.socket:
    """A listening-to-be socket, 0660 from its first moment. The caller holds the life lock."""
    if len(os.fsencode(path)) > 107:
        raise SocketError(f"{path} is too long for a socket (107 bytes): choose a shorter folder")
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        sock.bind(str(path))
    except OSError as error:
        sock.close()
        raise SocketError(f"can't bind {path}: {error.strerror}") from error
    finally:
        os.umask(before)
    if group:
        try:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
        except (KeyError, OSError) as error:
            sock.close()
            path.unlink(missing_ok=True)
            raise SocketError(f"socket.group {group}: {error}") from error
    return sock


def inherited() -> socket.socket | None:
    """The socket that systemd made, if it made one for us. Its variables go, so that no child mistakes them for its own."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit() or int(count) < 1:
        return None
    if int(count) > 1:
        raise SocketError(f"one socket is enough, systemd gave {count}")
    sock = socket.socket(fileno=_FIRST_LISTEN_FD)
    if sock.family != socket.AF_UNIX:
        raise SocketError("the engine listens on a Unix socket only: identity comes from the kernel")
    sock.set_inheritable(False)
    return sock


class Server(uvicorn.Server):
    """uvicorn on our socket, with our signals: it ends when `door.stopping` is set, after the feeds have said `bye`."""

    def __init__(self, app: Any, door: Door, ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=PeerProtocol,
                ws="none",
                lifespan="off",
                proxy_headers=False,  # a forwarded-for header must never stand for a peer
                server_header=False,
                access_log=False,
                log_config=None,
                timeout_graceful_shutdown=3,
                timeout_keep_alive=120,
                backlog=512,
            )
        )
        self._door, self._ready = door, ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._door.stopping.is_set()
