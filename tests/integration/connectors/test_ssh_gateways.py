"""The gateways connector against a real sshd."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors import ssh_link
from connectors.ssh_commands import mark, once
from connectors.ssh_gateways import SshConnector
from engine.capabilities import dry
from engine.capabilities.ports import ActionError
from engine.capabilities.systems import conformance
from tests.services.ssh import Keys, Sshd, Wall, running

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with running() as found:
        yield found


async def test_a_gateway_is_looked_at_and_named_with_its_version(sshd: Sshd) -> None:
    gateways = sshd.gateways()
    assert gateways.seen("ham2").looked_at == 0
    state = await gateways.look("ham2")
    assert (state.reachable, state.host_key, state.error) == (True, "trusted", "")
    assert (state.engine_version, state.fingerprint, state.site) == ("0.1.0", sshd.fingerprint, "HAM2")
    assert gateways.seen("ham2") == state
    pulled = await gateways.pull("gateway", "")
    assert pulled.full and [(one.id, one.state) for one in pulled.objects] == [("ham2", "up")]
    assert (await gateways.check()) == "1 of 1 gateways answer"
    assert [one.has for one in await gateways.rights()] == [True]
    with pytest.raises(ActionError, match="no gateway utr1"):
        await gateways.look("utr1")


async def test_a_host_that_is_not_the_one_gets_nothing(sshd: Sshd) -> None:
    _, other = ssh_link.made_key()
    before = sshd.connections()
    for more, error, word in (
        ({"host_keys": []}, "HostKeyUnknown", "unknown"),
        ({"host_keys": [other]}, "HostKeyChanged", "changed"),
        ({"revoked": [sshd.host_key]}, "HostKeyRevoked", "revoked"),
    ):
        gateways = sshd.gateways(**more)
        with pytest.raises(ActionError) as refused:
            await gateways.run("ham2", "true", timeout_s=5)
        assert (refused.value.error, refused.value.kind) == (error, "authentication"), refused.value.message
        assert sshd.fingerprint in refused.value.message
        state = await gateways.look("ham2")
        assert (state.host_key, state.fingerprint, state.reachable) == (word, sshd.fingerprint, False)
    assert sshd.connections() == before


async def test_a_host_certificate_is_believed_for_its_host_and_its_time(sshd: Sshd, tmp_path: Path) -> None:
    """A host CA instead of host keys; `ssh-keygen` is the judge of what is valid."""
    keygen = ["ssh-keygen", "-q"]
    words = [*keygen, "-t", "ed25519", "-N", "", "-f", str(tmp_path / "hostca")]
    await asyncio.to_thread(subprocess.run, words, check=True)
    authority = (tmp_path / "hostca.pub").read_text("utf-8").strip()

    async def presented(principal: str, validity: str) -> str:
        host = tmp_path / f"host-{principal}-{validity[:2]}"
        await asyncio.to_thread(subprocess.run, [*keygen, "-t", "ed25519", "-N", "", "-f", str(host)], check=True)
        words = ["-s", str(tmp_path / "hostca"), "-I", "gw", "-h", "-n", principal, "-V", validity, f"{host}.pub"]
        await asyncio.to_thread(subprocess.run, [*keygen, *words], check=True, capture_output=True)
        import asyncssh

        server = await asyncssh.listen("127.0.0.1", 0, server_host_keys=[(str(host), f"{host}-cert.pub")])
        try:
            place = {"host": "127.0.0.1", "port": server.get_port(), "user": "gateway", "host_cas": [authority]}
            gateways = SshConnector().build(
                {"gateways": {"gw": place}, "secret": "gateway-key"}, sshd.keys.get, Wall(), {}
            )["gateways"]
            return str((await gateways.look("gw")).host_key)
        finally:
            server.close()

    assert await presented("127.0.0.1", "-1h:+1h") == "trusted"  # known, though it lets nobody in
    assert await presented("127.0.0.1", "-2h:-1h") == "expired"
    assert await presented("10.9.9.9", "-1h:+1h") == "changed"


async def test_nothing_of_the_account_is_used(sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A key in ~/.ssh that would be let in, a configuration and an agent: none of them opens anything."""
    (tmp_path / ".ssh").mkdir()
    key = tmp_path / ".ssh" / "id_ed25519"
    key.write_text(sshd.private, "utf-8")
    key.chmod(0o600)
    (tmp_path / ".ssh" / "config").write_text("Host *\n  StrictHostKeyChecking no\n  User root\n", "utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    keys = Keys()
    keys.set("gateway-key", ssh_link.made_key()[0])
    gateways = SshConnector().build(sshd.settings(), keys.get, Wall(), {})["gateways"]
    with pytest.raises(ActionError) as refused:
        await gateways.run("ham2", "true", timeout_s=5)
    assert refused.value.error == "AccessDenied"
    assert (await gateways.look("ham2")).host_key == "trusted"


async def test_without_a_key_the_engine_signs_itself_a_short_certificate(sshd: Sshd) -> None:
    gateways = SshConnector().build(
        {name: value for name, value in sshd.settings().items() if name != "secret"}, sshd.keys.get, Wall(), {}
    )["gateways"]
    assert (await gateways.run("ham2", "echo in", timeout_s=10)).stdout == "in\n"
    assert "ID quarterdeck engine" in sshd.log.read_text("utf-8")


async def test_a_command_says_what_it_said_and_how_it_ended(sshd: Sshd) -> None:
    gateways = sshd.gateways()
    done = await gateways.run("ham2", "echo out; echo err >&2; printf '\\033]0;owned\\007x'; exit 9", timeout_s=10)
    assert (done.exit, done.stderr) == (9, "err\n")
    assert done.stdout.startswith("out\n") and "\x1b" not in done.stdout and done.stdout.endswith("x")
    big = await gateways.run("ham2", "head -c 3000000 /dev/zero | tr '\\0' a", timeout_s=20, limit_b=1000)
    assert (big.exit, len(big.stdout)) == (0, 1000)
    began = time.monotonic()
    with pytest.raises(ActionError) as late:
        await gateways.run("ham2", "sleep 30", timeout_s=0.7)
    assert late.value.error == "Timeout" and time.monotonic() - began < 5
    killed = await gateways.run("ham2", "kill -9 $PPID; sleep 5", timeout_s=10)
    assert killed.exit is None  # the connection ended before the command


async def test_a_command_with_a_key_runs_once(sshd: Sshd, tmp_path: Path) -> None:
    gateways, file = sshd.gateways(), tmp_path / "count"
    command = f"echo x >>{file}; echo made $(wc -l <{file}); echo odd >&2; exit 3"
    first = await gateways.run("ham2", command, timeout_s=20, key="run-1/step/1")
    again = await gateways.run("ham2", command, timeout_s=20, key="run-1/step/1")
    assert (
        (first.exit, first.stdout, first.stderr) == (again.exit, again.stdout, again.stderr) == (3, "made 1\n", "odd\n")
    )
    other = await gateways.run("ham2", command, timeout_s=20, key="run-1/step/2")
    assert other.stdout == "made 2\n"
    both = await asyncio.gather(*(gateways.run("ham2", command, timeout_s=20, key="run-9/x") for _ in range(4)))
    assert {one.stdout for one in both} == {"made 3\n"} and file.read_text().count("x") == 3


async def test_a_command_whose_connection_broke_goes_on_and_is_not_repeated(sshd: Sshd, tmp_path: Path) -> None:
    gateways, file = sshd.gateways(), tmp_path / "count"
    command = f"echo x >>{file}; sleep 1.5; echo done"
    with pytest.raises(ActionError) as late:
        await gateways.run("ham2", command, timeout_s=0.6, key="run-2/step/1")
    assert late.value.error == "Timeout"
    found = await gateways.run("ham2", command, timeout_s=20, key="run-2/step/1")
    assert (found.exit, found.stdout, file.read_text()) == (0, "done\n", "x\n")


async def test_what_a_dead_machine_left_is_not_taken_for_done(sshd: Sshd) -> None:
    gateways = sshd.gateways()
    folder = sshd.data / "quarterdeck" / "runs" / mark("run-3-step")
    folder.mkdir(parents=True)
    (folder / "pid").write_text("4194000\n")
    with pytest.raises(ActionError) as unfinished:
        await gateways.run("ham2", "echo never", timeout_s=20, key="run-3-step")
    assert (unfinished.value.error, unfinished.value.kind, unfinished.value.retryable) == (
        "Unfinished",
        "unknown",
        False,
    )


async def test_lines_arrive_as_they_are_written(sshd: Sshd) -> None:
    gateways, times, said = sshd.gateways(), [], b""
    async for data in gateways.stream("ham2", "for i in 1 2 3; do echo $i; sleep 0.3; done"):
        said += data
        times.append(time.monotonic())
    assert said == b"1\n2\n3\n" and times[-1] - times[0] > 0.4


async def test_files_come_and_go_whole(sshd: Sshd, tmp_path: Path) -> None:
    gateways, source = sshd.gateways(), tmp_path / "source"
    source.write_bytes(os.urandom(700_000))
    there, back = sshd.data / "there", tmp_path / "back"
    assert await gateways.send("ham2", source, str(there)) == 700_000
    assert await gateways.fetch("ham2", str(there), back, limit_b=1 << 20) == 700_000
    assert back.read_bytes() == source.read_bytes() == there.read_bytes()
    assert [one.name for one in sshd.data.glob("there*")] == ["there"]
    with pytest.raises(ActionError) as large:
        await gateways.fetch("ham2", str(there), tmp_path / "cut", limit_b=1000)
    assert large.value.error == "TooLarge" and not list(tmp_path.glob("cut*"))
    with pytest.raises(ActionError) as missing:
        await gateways.fetch("ham2", "/nowhere/at/all", tmp_path / "none", limit_b=1000)
    assert missing.value.error == "NoSuchFile"


async def test_a_socket_of_the_gateway_stands_here(sshd: Sshd, tmp_path: Path) -> None:
    remote = sshd.data / "robotd.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(remote))
    listener.listen()

    def serve() -> None:
        peer, _ = listener.accept()
        peer.sendall(b"standing " + peer.recv(100))
        peer.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    async with sshd.gateways().forward("ham2", str(remote), tmp_path / "l.sock") as local:
        assert local.stat().st_mode & 0o077 == 0
        reader, writer = await asyncio.open_unix_connection(str(local))
        writer.write(b"robot-01")
        assert await reader.read(100) == b"standing robot-01"
        writer.close()
    assert not (tmp_path / "l.sock").exists()
    listener.close()


async def test_one_gateway_is_reached_through_another(sshd: Sshd) -> None:
    settings = sshd.settings()
    settings["gateways"]["inner"] = {**sshd.place, "via": "ham2"}
    gateways = SshConnector().build(settings, sshd.keys.get, Wall(), {})["gateways"]
    assert (await gateways.run("inner", "echo deep", timeout_s=10)).stdout == "deep\n"


async def test_a_gateway_that_is_away_says_so_and_comes_back(sshd: Sshd) -> None:
    gateways = sshd.gateways()
    await gateways.look("ham2")
    sshd.stop()
    try:
        state = await gateways.look("ham2")
        assert (state.reachable, state.host_key) == (False, "trusted") and "can't be reached" in state.error
        with pytest.raises(ActionError) as away:
            await gateways.run("ham2", "true", timeout_s=5)
        assert (away.value.error, away.value.kind, away.value.retryable) == ("Unreachable", "communication", True)
        with pytest.raises(ActionError):
            await gateways.check()
    finally:
        sshd.start()
    assert (await gateways.look("ham2")).reachable


async def test_the_promises_of_the_port_are_kept(sshd: Sshd) -> None:
    conformance.connector(SshConnector(), sshd.settings())
    report = await conformance.check(
        {"gateways": sshd.gateways()}, system="gateways", now=time.time, write=True, given={"gateway": "ham2"}
    )
    conformance.assert_kept(report)


async def test_a_dry_run_says_what_it_would_do_and_does_nothing(sshd: Sshd, tmp_path: Path) -> None:
    gateways, file = sshd.gateways(), tmp_path / "made"
    (tmp_path / "source").write_text("x")
    with dry.recording() as would:
        with pytest.raises(dry.NotSent):
            await gateways.run("ham2", f"touch {file}", timeout_s=5)
        with pytest.raises(dry.NotSent):
            await gateways.send("ham2", tmp_path / "source", str(file))
    assert [one.method for one in would] == ["RUN", "PUT"] and f"touch {file}" in would[0].body and not file.exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"gateways": {"a": {"host": "x", "prot": 1}}}, "prot: unknown"),
        ({"gateways": {"a": {"host": ""}}, "user": "g"}, "no address"),
        ({"gateways": {"a": {"host": "x"}}}, "user: missing"),
        ({"gateways": {"a": {"host": "x", "via": "b"}}, "user": "g"}, "via"),
        ({"gateways": {"a": "x"}, "user": "g"}, "an object"),
    ],
)
def test_settings_that_make_no_sense_name_their_field(more: dict[str, Any], says: str) -> None:
    with pytest.raises(ActionError, match=says):
        SshConnector().build(more, lambda name: "", Wall(), {})


def test_known_hosts_lines_are_taken(sshd: Sshd) -> None:
    settings = sshd.settings(host_keys=[])
    settings["known_hosts"] = [f"[127.0.0.1]:{sshd.port} {sshd.host_key}"]
    gateways = SshConnector().build(settings, sshd.keys.get, Wall(), {})["gateways"]
    assert asyncio.run(gateways.look("ham2")).host_key == "trusted"


def test_the_mark_is_plain_shell() -> None:
    done = subprocess.run(["sh", "-n", "-c", once("echo a; echo b", "/tmp/x y", "k/1'2", limit_b=10)], check=False)
    assert done.returncode == 0
