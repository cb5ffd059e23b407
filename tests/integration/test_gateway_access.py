"""A real sshd believes the certificates of the engine's CA, for as long as the grant runs and no longer."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.capabilities.access.ssh_ca import Authority, Certificate
from tests.services.fixtures import service
from tests.unit.access.site import Keyring

pytestmark = pytest.mark.service


class Gateway:
    """A running sshd, and one person with a key pair of their own."""

    def __init__(self, info: dict[str, str], folder: Path) -> None:
        self.port, self.user, self.log = info["port"], info["user"], Path(info["log"])
        self.data, self.folder = Path(info["data"]), folder
        self.ca = Authority.open(Keyring())
        (self.data / "ca.pub").write_text(self.ca.public + "\n", "utf-8")
        (self.data / "principals").write_text("qd-HAM2\n", "utf-8")
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "id")], check=True, timeout=20
        )
        self.public = (folder / "id.pub").read_text("utf-8")

    def grant(
        self,
        serial: int,
        seconds: float,
        *,
        principal: str = "qd-HAM2",
        after: float = -60.0,
        ca: Authority | None = None,
    ) -> Certificate:
        now = time.time()
        made = (ca or self.ca).sign(
            self.public,
            serial=serial,
            key_id=f"GR-{serial} tom",
            principals=[principal],
            valid_after=now + after,
            valid_before=now + seconds,
        )
        (self.folder / "id-cert.pub").write_text(made.text + "\n", "utf-8")
        return made

    def ssh(
        self, *command: str, timeout: float = 30, options: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        words = [
            "ssh",
            "-F",
            "none",
            "-p",
            self.port,
            "-i",
            str(self.folder / "id"),
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "BatchMode=yes",
        ]
        words += [
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            f"UserKnownHostsFile={self.folder / 'known'}",
            "-o",
            "LogLevel=ERROR",
            *options,
        ]
        env = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
        return subprocess.run(
            [*words, f"{self.user}@127.0.0.1", *command], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, env=env, check=False
        )  # fmt: skip


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    if shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        pytest.skip("no OpenSSH client is installed here")
    instance = f"test-{os.getpid()}"
    info = service("sshd.sh", "start", instance=instance)
    try:
        yield Gateway(info, tmp_path)
    finally:
        service("sshd.sh", "wipe", instance=instance)


def test_a_grant_opens_the_gateway_and_its_end_closes_it(gateway: Gateway) -> None:
    gateway.grant(12, 3600)
    done = gateway.ssh("echo in && id -un")
    assert (done.stdout.split(), done.returncode) == (["in", gateway.user], 0), done.stderr
    said = gateway.log.read_text("utf-8")
    assert "ID GR-12 tom (serial 12) CA ED25519" in said  # the gateway's own log names the grant

    gateway.grant(13, -1, after=-3600)  # over
    assert gateway.ssh("true").returncode == 255 and "expired" in gateway.log.read_text("utf-8")
    gateway.grant(14, 3600, after=1800)  # not yet
    assert gateway.ssh("true").returncode == 255
    gateway.grant(15, 3600, principal="qd-UTR1")  # another site's
    assert gateway.ssh("true").returncode == 255
    gateway.grant(16, 3600, ca=Authority.open(Keyring()))  # another CA's
    assert gateway.ssh("true").returncode == 255

    gateway.grant(17, 3600)
    (gateway.data / "revoked").write_bytes(gateway.ca.revocations([17], version=1, at=time.time()))
    assert gateway.ssh("true").returncode == 255 and "revoked" in gateway.log.read_text("utf-8").lower()
    gateway.grant(18, 3600)
    assert gateway.ssh("true").returncode == 0


def test_a_session_that_is_open_when_the_grant_ends_is_ended_by_the_gateway(gateway: Gateway) -> None:
    """No engine is near: the end is in the certificate alone."""
    gateway.grant(21, 4)
    began = time.monotonic()
    cut = gateway.ssh("echo in; sleep 25; echo never")
    assert cut.stdout == "in\n" and cut.returncode != 0
    assert time.monotonic() - began < 10
    gateway.grant(22, 4)
    began = time.monotonic()
    terminal = gateway.ssh("trap '' HUP; echo in; while :; do sleep 1; done", options=("-tt",))
    assert terminal.stdout.startswith("in") and time.monotonic() - began < 12


def test_nothing_is_tunnelled_through_a_support_shell(gateway: Gateway) -> None:
    gateway.grant(31, 60)
    tunnel = gateway.ssh("true", options=("-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"))
    assert tunnel.returncode == 255
