"""Who is at the other end of the socket: the kernel's word, taken at connect and kept for the connection.

Three rules. The peer is read once, when the connection is made, and a peer that can't be read ends the connection.
Only uid and groups ever decide anything; process name and login uid are shown and recorded, because the process
behind a pid can change its name and be replaced. What would make the kernel's word somebody else's (an unmapped uid,
a tunnel that speaks for whoever is behind it, a root we can't see) holds no roles.
"""

from __future__ import annotations

import array
import asyncio
import grp
import os
import pwd
import socket
import struct
import time
from pathlib import Path
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

SO_PEERGROUPS = 59
"""asm-generic/socket.h, Linux 4.13 and later; not in Python's socket module."""
NOBODY = 65534
"""What the kernel says of every uid it can't map into our user namespace: everybody would be the same person."""
NO_LOGIN = 4294967295
_ANCESTORS = 12
_NAMES_KEPT_S = 60.0


class Peer(msgspec.Struct, frozen=True):
    """The process that connected, as the kernel and /proc saw it at that moment.

    `comm` is empty and `login` None where /proc does not tell. `through` is the nearest ancestor that changes users
    (sudo, su, doas), else empty.
    """

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...]
    comm: str = ""
    login: int | None = None
    through: str = ""


class Unacceptable(PermissionError):
    """The connection can't be tied to one person."""


def read_peer(sock: Any) -> Peer:
    """Reads uid, groups and pid of a connected Unix socket. Raises `Unacceptable` for anything else."""
    if sock is None or sock.family != socket.AF_UNIX:
        raise Unacceptable("not a Unix socket")  # on TCP the option answers, and says uid -1
    pid, uid, gid = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if NOBODY in (uid, gid) or uid == NO_LOGIN:
        raise Unacceptable(f"uid {uid} gid {gid} is nobody in particular (is the engine in a user namespace?)")
    try:  # Python caps the buffer at 1024 bytes, which is 256 groups
        groups = tuple(array.array("I", sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 1024)))
    except OSError:  # more groups than that: the name service knows them
        groups = tuple(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
    return Peer(pid, uid, gid, groups, _comm(pid), _login(pid), _through(pid))


class PeerMixin:
    """Puts the peer into `scope["state"]` of every request of a connection.

    uvicorn copies `app_state` into each scope, and the transport is in no scope, so that no middleware could do this.
    The base class initialises itself even when the connection is being dropped, else it fails later and hangs.
    """

    app_state: dict[str, Any]

    def connection_made(self, transport: Any) -> None:
        try:
            self.app_state = {**self.app_state, "peer": read_peer(transport.get_extra_info("socket"))}
        except Exception:  # noqa: BLE001 - whatever went wrong, an unknown peer is no peer
            self.app_state = {key: value for key, value in self.app_state.items() if key != "peer"}
            transport.abort()
        super().connection_made(transport)  # type: ignore[misc]


class PeerProtocol(PeerMixin, HttpToolsProtocol):
    """uvicorn's httptools protocol that knows its peer."""


def via(peer: Peer) -> str:
    """How the peer came: `ssh` (a forwarded socket), `sudo`, `tunnel` (an ssh client speaks for others), `unknown`, `socket`."""
    if not peer.comm:
        return "unknown"
    if peer.comm.startswith("sshd"):
        return "ssh"
    if peer.comm == "ssh":
        return "tunnel"
    if peer.through or (peer.login is not None and peer.login != peer.uid):
        return "sudo"
    return "socket"


def warning(peer: Peer) -> str:
    """What everybody who looks at this peer's acts should know; empty when there is nothing."""
    way = via(peer)
    if way == "tunnel":
        return "through a remote forward (ssh -R): whoever holds the other end would act as you; nothing can be changed"
    if way == "unknown" and peer.uid == 0:
        return "root from a process this engine can't see; nothing can be changed"
    if way == "unknown":
        return "the engine can't see your process (a PID namespace, or ProtectProc): only your uid is known"
    if way == "sudo":
        origin = "" if peer.login in (None, peer.uid) else f", logged in as {_user_name(peer.login or 0)}"
        return f"acting as {_user_name(peer.uid)} through {peer.through or 'a changed user'}{origin}"
    return ""


def trusted(peer: Peer) -> bool:
    """False where the kernel's uid may stand for somebody else: such a peer can read and holds no role."""
    way = via(peer)
    return way != "tunnel" and not (way == "unknown" and peer.uid == 0)


def provenance(peer: Peer) -> str:
    """The audit's note on a peer: `socket uid=1001 pid=77 comm=qd login=1001`. Never used to decide."""
    login = "-" if peer.login is None else str(peer.login)
    return f"{via(peer)} uid={peer.uid} pid={peer.pid} comm={peer.comm or '-'} login={login}"


class Names:
    """Names of uids and gids. The name service may be slow (LDAP), so it is asked in a thread and answers are kept a minute."""

    def __init__(self) -> None:
        self._known: dict[Peer, tuple[float, str, tuple[str, ...]]] = {}

    async def of(self, peer: Peer) -> tuple[str, tuple[str, ...]]:
        """The account's name (`uid-1001` without one) and the names of its groups."""
        found = self._known.get(peer)
        if found and found[0] > time.monotonic():
            return found[1], found[2]
        name, groups = await asyncio.to_thread(_names, peer)
        if len(self._known) > 1024:
            self._known.clear()
        self._known[peer] = (time.monotonic() + _NAMES_KEPT_S, name, groups)
        return name, groups


def _names(peer: Peer) -> tuple[str, tuple[str, ...]]:
    found = []
    for gid in dict.fromkeys((peer.gid, *peer.groups)):
        try:
            found.append(grp.getgrgid(gid).gr_name)
        except KeyError:
            continue  # a group without a name can't stand in a policy file
    return _user_name(peer.uid), tuple(found)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"


def _comm(pid: int) -> str:
    if pid <= 0:
        return ""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()[:32]
    except OSError:
        return ""


def _login(pid: int) -> int | None:
    if pid <= 0:
        return None
    try:
        login = int(Path(f"/proc/{pid}/loginuid").read_text())
    except (OSError, ValueError):
        return None
    return None if login == NO_LOGIN else login


def _through(pid: int) -> str:
    """The nearest ancestor that changes users. A multiplexer in between hides it; the login uid then still tells."""
    for _ in range(_ANCESTORS):
        pid = _parent(pid)
        if pid <= 1:
            return ""
        comm = _comm(pid)
        if comm in ("sudo", "su", "doas", "runuser"):
            return comm
    return ""


def _parent(pid: int) -> int:
    try:
        # the name stands in parentheses and may hold spaces: count from the last one
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0
