"""The shipped Staged Rollout against real gooseBit and real Prometheus: to completion, and to rollback.

The engine is the installed one, in a process of its own, driven by the command line. Real time is short, so the robots
count hours in seconds and the policy's lengths of time are overridden; the rules are the shipped ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.keyring_file import FileKeyring, create_key
from engine.capabilities.secrets import SERVICE
from tests.e2e.installation import Installation
from tests.services.fixtures import (
    NEW,
    OLD,
    GooseBitServer,
    PrometheusServer,
    RobotFleet,
    goosebit,
    operator,
    prometheus,
    start_robots,
    stop_robots,
    wait_registered,
)

__all__ = ["goosebit", "prometheus"]

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(600)]

ROBOTS = 24
"""Two sites of three variants: four robots of each kind, so that three canaries leave nine matched controls. With fewer
than the policy's five a stage is measured against its own past, which is never enough to promote it.
"""

QUICK = {
    "stages": [
        {"name": "canary", "share": 0.1, "min": 3, "max": 4, "sites": 2, "every_variant": True, "ratio_limit": 3.0, "expected_events": 3, "auto_rollback": True},
        {"name": "rest", "share": 1.0, "ratio_limit": None, "expected_events": 0, "monitored": True},
    ],
    "soak": "10s", "min_tasks": 1, "settle": "2s", "extend": "10s", "poll": "1s", "health_every": "2s", "resolution": "2s",
    "heartbeat": "1s", "install_limit": "90s", "straggler_after": "20s", "stragglers": "20s", "robot_timeout": "60s",
    "revert_timeout": "120s", "site_concurrency": 1.0, "rate": {"base_per_min": 600, "factor": 1.5, "after": 5},
    "baseline_per_100h": 6.0, "decide": "300s", "signoff": "300s", "coverage": 0.7,
}  # fmt: skip
VOTERS = ("ana", "bo")
"""A release manager and a safety officer of the sandbox. The local account starts the rollouts, so it has no vote."""


class Site:
    """One installation wired to the real servers."""

    def __init__(self, home: Installation, fleet: RobotFleet, server: GooseBitServer) -> None:
        self.home, self.fleet, self._server = home, fleet, server

    def rollout(self, version: str) -> str:
        answer = self.home.json("rollouts", "start", "--input", f"version={version}", "--input", "selector=all")
        return str(answer["target"])

    def show(self, run: str) -> dict[str, Any]:
        return dict(self.home.json("rollouts", "show", run))

    def assigned(self, version: str) -> list[str]:
        """Robots the update server would give `version` to, by its own record."""
        with operator(self._server) as http:
            devices = http.get("/api/v1/devices").raise_for_status().json()["devices"]
        return sorted(d["id"] for d in devices if (d["assigned_software"] or {}).get("version") == version)

    def approve(self, people: tuple[str, ...]) -> None:
        for gate in self.home.json("gates", "ls")["rows"]:
            for person in people:
                self.home.run("gates", "approve", gate["id"], "--as", person, "--rationale", "test", "--yes", "--json")

    def until(self, run: str, done: Callable[[dict[str, Any]], bool], seconds: float, *people: str) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while True:
            shown = self.show(run)
            if done(shown):
                return shown
            assert time.monotonic() < end, msgspec.json.format(msgspec.json.encode(shown["rollout"]), indent=1).decode()
            if people:
                self.approve(people)
            time.sleep(1)


@pytest.fixture
def site(tmp_path: Path, goosebit: GooseBitServer, prometheus: PrometheusServer) -> Iterator[Site]:
    home = Installation(tmp_path / "home")
    config = tmp_path / "home" / "config"
    config.mkdir(parents=True, mode=0o700)
    create_key(config / "secrets.key")
    keyring = FileKeyring(str(config / "secrets.qdk"), f"file:{config / 'secrets.key'}")
    keyring.set_password(SERVICE, "goosebit", goosebit.password)
    settings = {
        "environment": "sandbox",  # several people on one account
        "connectors": {
            "updates": {"kind": "goosebit", "url": goosebit.url, "secret": "goosebit", "options": {"username": goosebit.username}},
            "signals": {"kind": "prometheus", "url": prometheus.url},
        },
        "policy": {"rollout": QUICK},
        "sync_s": 2.0,
    }  # fmt: skip
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
        with operator(goosebit) as http:  # the next test begins with robots the server has never seen
            known = [d["id"] for d in http.get("/api/v1/devices").json()["devices"]]
            http.request("DELETE", "/api/v1/devices", json={"devices": known})


def test_to_completion(site: Site) -> None:
    run = site.rollout(NEW)
    ended = site.until(run, lambda s: s["rollout"]["state"].startswith("completed"), 150, *VOTERS)
    assert ended["rollout"]["state"] == "completed"
    assert ended["rollout"]["counts"]["ok"] == ROBOTS
    truth = site.fleet.truth()
    assert set(truth["versions"].values()) == {NEW}
    installs = [i["robot"] for i in truth["installs"]]
    assert len(installs) == len(set(installs)) == ROBOTS, "each robot installed once"
    passed = [v for v in ended["verdicts"] if v["stage"] == "canary" and v["word"] == "PASS"]
    assert passed and "x3 ruled out" in passed[-1]["sentence"], "the canary passed on its data, not by a person's word"
    assert site.home.json("history", "verify")["ok"]


def test_to_rollback(site: Site) -> None:
    site.fleet.set(rate={NEW: 40.0})
    run = site.rollout(NEW)
    ended = site.until(run, lambda s: s["rollout"]["state"] in ("rolled_back", "rollback_incomplete"), 150, *VOTERS)
    assert ended["rollout"]["state"] == "rolled_back"
    truth = site.fleet.truth()
    assert set(truth["versions"].values()) == {OLD}, "no robot is left on the bad version"
    assert all(i["result"] == "success" for i in truth["installs"])
    touched = sorted(i["robot"] for i in truth["installs"])
    canary = sorted(r["robot"] for r in ended["robots"] if r["stage"] == "canary")
    assert len(canary) == 3 and touched == sorted(canary * 2), "the canary alone was touched: once there, once back"
    assert any(v["word"] == "FAIL" and "control" in v["sentence"] for v in ended["verdicts"])
    assert site.home.json("history", "verify")["ok"]


def test_a_pause_downgrades_nobody(site: Site) -> None:
    """The real server's own pause would send robots to an older release. The console's takes back what has not begun."""
    site.fleet.set(busy="*")
    run = site.rollout(NEW)
    site.until(run, lambda s: s["rollout"]["counts"]["in_progress"] == 3, 60, *VOTERS)
    assert len(site.assigned(NEW)) == 3, "the canary was told"
    site.home.json("rollouts", "pause", run)
    paused = site.until(run, lambda s: s["rollout"]["state"] == "paused", 60)
    assert paused["pause_ack"][0], "the update server has confirmed"
    assert site.assigned(NEW) == []
    site.fleet.set(busy=[])
    time.sleep(5)  # several polls: who would still install or go back does it now
    assert site.fleet.truth()["installs"] == []
    site.home.json("rollouts", "resume", run, "--yes")
    ended = site.until(run, lambda s: s["rollout"]["state"].startswith("completed"), 150, *VOTERS)
    assert ended["rollout"]["state"] == "completed"
    truth = site.fleet.truth()
    assert set(truth["versions"].values()) == {NEW} and len(truth["installs"]) == ROBOTS
