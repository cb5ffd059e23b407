"""Identity fails closed: what the kernel can't tie to one person holds no role, or no connection."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

import pytest

from app import wire
from app.attach import Unreachable
from engine.api import identity
from engine.api.identity import NOBODY, Peer, Unacceptable
from engine.contract.system import Me
from tests.contract.api.fake_engine import serving


def peer(**changed) -> Peer:
    facts = {"pid": 7, "uid": 1001, "gid": 1001, "groups": (1001,), "comm": "qd", "login": None, "through": ""}
    return Peer(**{**facts, **changed})


@pytest.mark.parametrize(
    ("who", "way", "trusted"),
    [
        (peer(), "socket", True),
        (peer(comm="sshd"), "ssh", True),
        (peer(comm="sshd-session"), "ssh", True),
        (peer(comm="ssh"), "tunnel", False),
        (peer(comm="ssh", uid=0), "tunnel", False),
        (peer(through="sudo", uid=0), "sudo", True),
        (peer(login=1002), "sudo", True),
        (peer(login=1001), "socket", True),
        (peer(pid=0, comm=""), "unknown", True),
        (peer(pid=0, comm="", uid=0), "unknown", False),
    ],
)
def test_how_a_peer_came(who, way, trusted):
    assert identity.via(who) == way
    assert identity.trusted(who) is trusted
    assert bool(identity.warning(who)) is (way in ("tunnel", "sudo", "unknown"))
    assert f"uid={who.uid}" in identity.provenance(who)


def test_a_peer_of_a_socket_pair_is_ourselves():
    one, two = socket.socketpair(socket.AF_UNIX)
    with one, two:
        found = identity.read_peer(one)
    assert (found.pid, found.uid, found.gid) == (os.getpid(), os.getuid(), os.getgid())
    assert set(found.groups) <= set(os.getgroups()) | {os.getgid()}


def test_tcp_has_no_peer():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        pytest.raises(Unacceptable),
    ):
        identity.read_peer(client)
    with pytest.raises(Unacceptable):
        identity.read_peer(None)


class Fake:
    family = socket.AF_UNIX

    def __init__(self, uid: int, gid: int) -> None:
        self._creds = struct.pack("iII", 1, uid, gid)

    def getsockopt(self, level, option, size):
        return self._creds if option == socket.SO_PEERCRED else b""


@pytest.mark.parametrize(("uid", "gid"), [(NOBODY, 1001), (1001, NOBODY), (4294967295, 4294967295)])
def test_nobody_is_refused(uid, gid):
    with pytest.raises(Unacceptable):
        identity.read_peer(Fake(uid, gid))


async def test_a_connection_without_a_readable_peer_is_dropped(tmp_path, monkeypatch):
    def broken(sock):
        raise OSError("no credentials")

    async with serving(tmp_path) as (home, _host, _door):
        monkeypatch.setattr(identity, "read_peer", broken)
        with pytest.raises(Unreachable):
            await asyncio.to_thread(wire.get, home, "/v1/me", Me)
        monkeypatch.undo()
        assert (await asyncio.to_thread(wire.get, home, "/v1/me", Me)).uid == os.getuid()


async def test_a_tunnel_can_look_and_holds_no_role(tmp_path, monkeypatch):
    real = identity.read_peer

    def tunnelled(sock):
        found = real(sock)
        return Peer(found.pid, found.uid, found.gid, found.groups, "ssh", found.login, "")

    monkeypatch.setattr(identity, "read_peer", tunnelled)
    async with serving(tmp_path, environment="sandbox") as (home, _host, _door):
        for head in ({}, {"X-Quarterdeck-As": "ada"}):
            me = await asyncio.to_thread(wire.get, home, "/v1/me", Me, head)
            assert me.roles == ()
            assert "ssh -R" in me.warning or me.person == "ada"
