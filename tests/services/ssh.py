"""A running sshd for tests, with what is needed to be let in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors import ssh_link
from connectors.ssh_gateways import SshConnector, SshGateways
from engine.capabilities.access.ssh_ca import Authority
from engine.capabilities.ports import ActionError
from tests.services.fixtures import service

_COPIES = iter(range(1, 1_000_000))


class Keys:
    """A keyring in memory."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}

    def get(self, name: str) -> str:
        if name not in self.held:
            raise ActionError("SecretMissing", f"no entry {name}", kind="configuration", retryable=False)
        return self.held[name]

    def set(self, name: str, value: str) -> None:
        self.held[name] = value

    def prepare(self) -> None: ...


class Wall:
    def now(self) -> float:
        import time

        return time.time()


class Sshd:
    """One sshd: a service key is let in, and certificates of `ca` for the principals of the file."""

    def __init__(self, info: dict[str, str], instance: str) -> None:
        self.port, self.user = int(info["port"]), info["user"]
        self.data, self.log = Path(info["data"]), Path(info["log"])
        self.host_key, self.fingerprint = info["host_key"], info["fingerprint"]
        self.instance, self.keys = instance, Keys()
        self.private, public = ssh_link.made_key()
        self.keys.set("gateway-key", self.private)
        (self.data / "authorized_keys").write_text(public + "\n", "utf-8")
        self.ca = Authority.open(self.keys)
        (self.data / "ca.pub").write_text(self.ca.public + "\n", "utf-8")
        (self.data / "principals").write_text("qd-HAM2\nqd-engine\n", "utf-8")
        self.place: dict[str, Any] = {
            "host": "127.0.0.1", "port": self.port, "user": self.user, "site": "HAM2", "region": "eu",
            "host_keys": [self.host_key], "principal": "qd-engine",
        }  # fmt: skip

    def settings(self, **more: Any) -> dict[str, Any]:
        """As a site's settings name it: one gateway, `ham2`."""
        return {
            "gateways": {"ham2": self.place | more}, "secret": "gateway-key", "folder": str(self.data / "quarterdeck"),
            "version_command": "echo quarterdeck, version 0.1.0", "connect_s": 5.0,
        }  # fmt: skip

    def gateways(self, **more: Any) -> SshGateways:
        found: SshGateways = SshConnector().build(self.settings(**more), self.keys.get, Wall(), {})["gateways"]
        return found

    def stop(self) -> None:
        service("sshd.sh", "stop", instance=self.instance)

    def start(self) -> None:
        """Again on the same port."""
        service("sshd.sh", "start", str(self.port), instance=self.instance)

    def connections(self) -> int:
        """How many logins it has taken so far."""
        return self.log.read_text("utf-8", errors="replace").count("Accepted publickey")


@contextmanager
def running() -> Iterator[Sshd]:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no OpenSSH client is installed here")
    instance = f"test-gw{next(_COPIES)}-{os.getpid()}"
    try:
        yield Sshd(service("sshd.sh", "start", instance=instance), instance)
    finally:
        service("sshd.sh", "wipe", instance=instance)
