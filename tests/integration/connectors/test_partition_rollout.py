"""gooseBit and Prometheus are cut off in the middle of a rollout, and the engine dies with an order on its way.

The rollout waits and goes on; robots install once, nothing is promoted on signals nobody could read. The partition lasts
some seconds here; `QD_PARTITION_S=60` makes it the full minute.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from connectors.keyring_file import FileKeyring, create_key
from engine.capabilities.secrets import SERVICE
from tests.e2e.installation import Installation
from tests.integration.connectors.fault_proxy import FaultProxy
from tests.integration.test_real_rollout import NEW, OLD, QUICK, ROBOTS, VOTERS, Site
from tests.services.fixtures import (
    GooseBitServer,
    PrometheusServer,
    goosebit,
    operator,
    prometheus,
    start_robots,
    stop_robots,
    wait_registered,
)

__all__ = ["goosebit", "prometheus"]
SECONDS = float(os.environ.get("QD_PARTITION_S", "6"))
pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(600)]
T = TypeVar("T")


class Between:
    """Proxies before both servers, in a loop of their own."""

    def __init__(self, updates: str, signals: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.updates, self.signals = FaultProxy(updates, answered=self._acted), FaultProxy(signals)
        for proxy in (self.updates, self.signals):
            self.do(proxy.__aenter__())
        self.orders = 0
        self.pid = 0
        """The engine that dies with the next order; 0: none."""

    def _acted(self, method: str, path: str, status: int) -> bool:
        if method != "PATCH" or status >= 400:
            return False
        self.orders += 1
        pid, self.pid = self.pid, 0
        if pid:
            os.kill(pid, 9)
        return bool(pid)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def close(self) -> None:
        for proxy in (self.updates, self.signals):
            self.do(proxy.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@pytest.fixture
def between(goosebit: GooseBitServer, prometheus: PrometheusServer) -> Iterator[Between]:
    found = Between(goosebit.url, prometheus.url)
    yield found
    found.close()


@pytest.fixture
def site(tmp_path: Path, goosebit: GooseBitServer, prometheus: PrometheusServer, between: Between) -> Iterator[Site]:
    home = Installation(tmp_path / "home")
    config = tmp_path / "home" / "config"
    config.mkdir(parents=True, mode=0o700)
    create_key(config / "secrets.key")
    keyring = FileKeyring(str(config / "secrets.qdk"), f"file:{config / 'secrets.key'}")
    keyring.set_password(SERVICE, "goosebit", goosebit.password)
    updates = {"username": goosebit.username, "timeout_s": 4.0}
    settings = {
        "environment": "sandbox",
        "connectors": {
            "updates": {"kind": "goosebit", "url": between.updates.url, "secret": "goosebit", "options": updates},
            "signals": {"kind": "prometheus", "url": between.signals.url, "options": {"timeout_s": 4.0}},
        },
        "policy": {"rollout": QUICK},
        "sync_s": 2.0,
    }
    (config / "quarterdeck.yaml").write_bytes(msgspec.yaml.encode(settings))
    fleet = start_robots(
        goosebit, "--count", str(ROBOTS), "--sites", "2", "--poll", "1", "--install", "0.5", "--speed", "14400", "--version", OLD
    )  # fmt: skip
    try:
        wait_registered(goosebit, fleet.ids)
        prometheus.scrape(fleet.url)
        prometheus.wait_scraped(fleet.url, ROBOTS)
        started = home.run("engine", "start", "--json")
        assert started.returncode == 0, started.stderr
        yield Site(home, fleet, goosebit)
    finally:
        home.stop()
        stop_robots(fleet)
        with operator(goosebit) as http:
            known = [d["id"] for d in http.get("/api/v1/devices").json()["devices"]]
            http.request("DELETE", "/api/v1/devices", json={"devices": known})


def _named(words: set[str]) -> bool:
    return any("gooseBit" in one or "Prometheus" in one for one in words)


def test_a_rollout_survives_it(site: Site, between: Between) -> None:
    between.pid = int(site.home.json("engine", "status")["pid"])
    run = site.rollout(NEW)
    until = time.monotonic() + 90
    while between.pid:  # signed off, then the canary's order kills the engine: it may die while it is asked something
        try:
            site.approve(VOTERS)
        except AssertionError:
            assert not between.pid
        assert time.monotonic() < until, "no robot was ever told"
        time.sleep(0.5)
    assert site.home.run("engine", "start", "--json").returncode == 0
    site.until(run, lambda s: s["rollout"]["counts"]["ok"] + s["rollout"]["counts"]["in_progress"] >= 3, 60, *VOTERS)

    passed = sum(v["word"] == "PASS" for v in site.show(run)["verdicts"])
    for proxy in (between.updates, between.signals):
        between.do(proxy.cut("drop"))
    end = time.monotonic() + SECONDS
    orders = between.orders
    listed, explained = set[str](), set[str]()
    while time.monotonic() < end or not (_named(listed) and _named(explained)):  # a wait of some seconds may come first
        assert time.monotonic() < end + 30, f"nobody was told who is away: {listed} {explained}"
        shown = site.show(run)
        listed.add(shown["rollout"].get("waiting_on", ""))
        explained |= {one["what"] for one in site.home.json("runs", "show", run)["waiting"]}
        assert not shown["rollout"]["state"].startswith(("completed", "failed", "aborted")), shown["rollout"]["state"]
        time.sleep(1)
    assert between.orders == orders and sum(v["word"] == "PASS" for v in shown["verdicts"]) <= passed + 1
    for proxy in (between.updates, between.signals):
        between.do(proxy.heal())

    ended = site.until(run, lambda s: s["rollout"]["state"].startswith("completed"), 200, *VOTERS)
    assert ended["rollout"]["state"] == "completed" and ended["rollout"]["counts"]["ok"] == ROBOTS
    truth = site.fleet.truth()
    assert set(truth["versions"].values()) == {NEW}
    installs = [i["robot"] for i in truth["installs"]]
    assert len(installs) == len(set(installs)) == ROBOTS, "each robot installed once"
    assert site.home.json("history", "verify")["ok"]
