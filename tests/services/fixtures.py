"""Real servers for tests, started once per session and ended with it.

A server that cannot be had (no network, no Debian package tools) skips its tests with the reason printed; with
QD_REQUIRE_SERVICES=1, as in CI, it fails them instead.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.services.make_swu import swu
from tests.services.robots import BOARD, VARIANTS

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
OLD, NEW = "1.0.0", "1.1.0"


class GooseBitServer(msgspec.Struct, frozen=True):
    """A running gooseBit that holds software OLD and NEW for every simulated hardware."""

    url: str
    ddi_url: str
    username: str
    password: str
    log: str


class PrometheusServer(msgspec.Struct, frozen=True):
    """A running Prometheus, with the Alertmanager it tells."""

    url: str
    targets_file: str
    alertmanager_url: str = ""
    alertmanager_file: str = ""

    def tell(self, webhook: str, bearer: str) -> None:
        """From now on Alertmanager posts alerts there, with this token."""
        hook = {"url": webhook, "send_resolved": True, "http_config": {"authorization": {"credentials": bearer}}}
        route = {
            "receiver": "console",
            "group_by": ["alertname"],
            "group_wait": "1s",
            "group_interval": "1s",
            "repeat_interval": "1h",
        }
        settings = {"route": route, "receivers": [{"name": "console", "webhook_configs": [hook]}]}
        Path(self.alertmanager_file).write_text(json.dumps(settings), "utf-8")  # JSON is YAML
        httpx.post(f"{self.alertmanager_url}/-/reload", timeout=10, trust_env=False).raise_for_status()

    def scrape(self, *urls: str) -> None:
        """Replaces the scrape targets; they are read again within a second."""
        targets = [url.removeprefix("http://") for url in urls]
        fresh = Path(self.targets_file + ".new")
        fresh.write_text(json.dumps([{"targets": targets, "labels": {}}]), "utf-8")
        fresh.replace(self.targets_file)

    def wait_scraped(self, url: str, robots: int, seconds: float = 20) -> None:
        """Until so many robots of this exporter have counters twice: an increase can be told from then on."""
        query = f'count(count_over_time(robot_heartbeats_total{{instance="{url.removeprefix("http://")}"}}[10s]) >= 2)'
        until = time.monotonic() + seconds
        while True:
            answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=10, trust_env=False)
            found = answer.raise_for_status().json()["data"]["result"]
            if found and int(found[0]["value"][1]) == robots:
                return
            if time.monotonic() > until:
                raise TimeoutError(f"not scraped: {found}")
            time.sleep(0.3)


class RobotFleet:
    """Robots in a process of their own, against real servers."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url

    def set(self, **what: Any) -> None:
        httpx.post(f"{self.url}/set", json=what, timeout=10, trust_env=False).raise_for_status()

    def truth(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.url}/truth", timeout=10, trust_env=False).raise_for_status().json()
        return found

    @property
    def ids(self) -> list[str]:
        return sorted(self.truth()["versions"])


def unavailable(reason: str) -> None:
    """Skips, or fails where servers are required."""
    print(f"service unavailable: {reason}", file=sys.stderr)
    if os.environ.get("QD_REQUIRE_SERVICES"):
        pytest.fail(f"a required service is unavailable: {reason}")
    pytest.skip(f"service unavailable: {reason}")


def service(script: str, *args: str, instance: str, timeout: float = 300) -> dict[str, str]:
    """Runs a service script of this folder and returns what it printed."""
    if args == ("start",):
        _wipe_orphans(script)
    env = os.environ | {"QD_INSTANCE": instance, "QD_PYTHON": sys.executable}
    try:
        done = subprocess.run(
            [str(HERE / script), *args], capture_output=True, text=True, env=env, timeout=timeout, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        unavailable(f"{script}: {error}")
    if done.returncode != 0:
        unavailable(f"{script}: {done.stderr.strip()[-600:]}")
    return dict(json.loads(done.stdout)) if done.stdout.strip() else {}


_COPIES = itertools.count(1)


def _instance() -> str:
    """A name of its own for each copy of a server: two test modules of one session never share (or wipe) one."""
    return f"test-{next(_COPIES)}-{os.getpid()}"


def _wipe_orphans(script: str) -> None:
    """Ends servers of test sessions that were killed before they could: their instance names the session's process."""
    home = Path(os.environ.get("QD_SERVICES_HOME") or Path.home() / ".cache" / "quarterdeck-services")
    for folder in (home / "run").glob(f"{Path(script).stem}-test-*"):
        session = folder.name.rpartition("-")[2]
        if session.isdigit() and not Path(f"/proc/{session}").exists():
            service(script, "wipe", instance=folder.name.removeprefix(f"{Path(script).stem}-"))


def start_robots(goosebit: GooseBitServer, *args: str) -> RobotFleet:
    """Starts `tests.services.robots`; the caller ends it with `stop_robots`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.services.robots", "--ddi", goosebit.ddi_url, *args],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the robots did not start: exit code {process.wait(5)}")
    return RobotFleet(process, json.loads(line)["url"])


def stop_robots(fleet: RobotFleet) -> None:
    fleet.process.terminate()
    try:
        fleet.process.wait(10)
    except subprocess.TimeoutExpired:
        fleet.process.kill()
        fleet.process.wait(5)
    if fleet.process.stdout:
        fleet.process.stdout.close()


def wait_registered(goosebit: GooseBitServer, ids: list[str], seconds: float = 40) -> None:
    """Until the update server knows every robot with its hardware and version."""
    until = time.monotonic() + seconds
    with operator(goosebit) as http:
        while True:
            devices = {d["id"]: d for d in http.get("/api/v1/devices").raise_for_status().json()["devices"]}
            if all(i in devices and devices[i]["sw_version"] for i in ids):
                return
            if time.monotonic() > until:
                raise TimeoutError(f"not registered: {[i for i in ids if i not in devices][:5]}")
            time.sleep(0.3)


@contextlib.contextmanager
def operator(goosebit: GooseBitServer) -> Iterator[httpx.Client]:
    """A client with the administrator's token, for setting things up (tests of the product use its connector)."""
    with httpx.Client(base_url=goosebit.url, timeout=30, trust_env=False) as http:
        form = {"username": goosebit.username, "password": goosebit.password}
        token = http.post("/login", data=form).raise_for_status().json()["access_token"]
        http.headers["authorization"] = f"Bearer {token}"
        yield http


@pytest.fixture(scope="session")
def goosebit() -> Iterator[GooseBitServer]:
    """Real gooseBit, empty but for two software images."""
    instance = _instance()
    found = service("goosebit.sh", "start", instance=instance)
    password = Path(found["password_file"]).read_text("utf-8").strip()
    server = GooseBitServer(found["url"], found["ddi_url"], found["username"], password, found["log"])
    try:
        with operator(server) as http:
            for version in (OLD, NEW):
                image = swu(version, BOARD, VARIANTS)
                http.put("/api/v1/software", files={"file": (f"{BOARD}-{version}.swu", image)}).raise_for_status()
        yield server
    finally:
        service("goosebit.sh", "wipe", instance=instance)


@pytest.fixture(scope="session")
def prometheus() -> Iterator[PrometheusServer]:
    """Real Prometheus that scrapes what `scrape` names, every second."""
    instance = _instance()
    found = service("prometheus.sh", "start", instance=instance)
    try:
        yield PrometheusServer(
            found["url"], found["targets_file"], found["alertmanager_url"], found["alertmanager_file"]
        )
    finally:
        service("prometheus.sh", "wipe", instance=instance)


@pytest.fixture(scope="session")
def robot_fleet(goosebit: GooseBitServer, prometheus: PrometheusServer) -> Iterator[RobotFleet]:
    """24 robots, registered with gooseBit and scraped by Prometheus."""
    fleet = start_robots(goosebit, "--count", "24", "--poll", "1")
    try:
        wait_registered(goosebit, fleet.ids)
        prometheus.scrape(fleet.url)
        yield fleet
    finally:
        stop_robots(fleet)
