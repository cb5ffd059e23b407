"""Alerts of the real Alertmanager into a real engine, and silences out of it: a case for an alert, a note for its end."""

from __future__ import annotations

import datetime
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.installation import Installation
from tests.services.fixtures import PrometheusServer, prometheus

__all__ = ["prometheus"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]
TOKEN = "alert-hook-token"


class Site(Installation):
    alertmanager: str

    def fire(self, robot: str, severity: str = "critical", seconds: float = 600.0, name: str = "RobotStuck") -> None:
        ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        one = {
            "labels": {"alertname": name, "severity": severity, "robot": robot},
            "annotations": {"summary": f"{robot} stands in the aisle"},
            "endsAt": ends.isoformat(),
        }
        httpx.post(f"{self.alertmanager}/api/v2/alerts", json=[one], timeout=10, trust_env=False).raise_for_status()

    def cases(self, robot: str) -> list[dict[str, Any]]:
        return list(self.json("records", "ls", "case", "--where", f"robot:{robot}")["rows"])

    def silenced(self) -> list[dict[str, Any]]:
        found = httpx.get(f"{self.alertmanager}/api/v2/silences", timeout=10, trust_env=False).raise_for_status().json()
        return [one for one in found if one["status"]["state"] == "active"]


def until(done: Callable[[], Any], seconds: float = 40.0) -> Any:
    limit = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < limit, "it did not come to that in time"
        time.sleep(0.4)
    return found


@pytest.fixture(scope="module")
def site(prometheus: PrometheusServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("alerts") / "home")
    made.alertmanager = prometheus.alertmanager_url
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    folder = made.home / "config"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "quarterdeck.yaml").write_text(
        f"webhook_port: {port}\n"
        "connectors:\n"
        f"  pager: {{kind: alertmanager, url: '{prometheus.alertmanager_url}', options: {{webhook_secret: hook}}}}\n"
    )
    subprocess.run(
        [sys.executable, "-m", "engine.secret", "set", "hook", "--config", str(folder)],
        input=TOKEN, text=True, check=True, capture_output=True,
    )  # fmt: skip
    started = made.run("engine", "start")
    assert started.returncode == 0, started.stderr
    prometheus.tell(f"http://127.0.0.1:{port}/hooks/pager", TOKEN)
    yield made
    made.stop()


def test_an_alert_of_weight_opens_a_case_once_and_its_end_is_noted(site: Site) -> None:
    site.fire("HAM2-AMR-01", seconds=6)
    (case,) = until(lambda: site.cases("HAM2-AMR-01"))
    assert case["detector"] == "alert:RobotStuck" and "stands in the aisle" in case["symptom"]
    until(lambda: [n for n in site.cases("HAM2-AMR-01")[0].get("notes", []) if n["text"] == "RobotStuck is over"])
    assert len(site.cases("HAM2-AMR-01")) == 1
    told = site.json("events", "ls", "--event", "qd.alert.resolved")["rows"]
    assert told and told[0]["subject"].startswith("pager/")


def test_a_person_silences_alerts_until_an_end_and_ends_it_before(site: Site) -> None:
    site.fire("HAM2-AMR-07", severity="warning")
    words = ("alerts", "silence", "robot=HAM2-AMR-07", "--for", "2h", "--comment", "on the bench")
    refused = site.run(*words)
    assert refused.returncode == 1 and "silence HAM2-AMR-07" in refused.stderr
    assert "1 firing now: RobotStuck HAM2-AMR-07" in refused.stderr
    site.json(*words, "--yes")
    (at_owner,) = until(site.silenced)
    (ours,) = until(lambda: site.json("records", "ls", "silence", "--state", "active")["rows"])
    assert ours["remote"] == at_owner["id"] and ours["owner"] == at_owner["createdBy"]
    assert at_owner["comment"].startswith(f"on the bench {ours['id']} [qd:")
    listed = site.run("alerts", "silences").stdout
    assert ours["id"] in listed and "robot=HAM2-AMR-07" in listed and "on the bench" in listed
    assert site.run("alerts", "end", ours["id"], "--reason", "repaired").returncode == 0
    until(lambda: not site.silenced())
    (over,) = until(lambda: site.json("records", "ls", "silence", "--state", "ended")["rows"])
    assert over["id"] == ours["id"] and over["ended_by"] == over["owner"]


def test_what_fires_is_listed_from_the_mirror(site: Site) -> None:
    site.fire("HAM2-AMR-09", severity="warning", name="RobotSlow")
    assert site.run("connectors", "sync", "pager").returncode == 0
    listed = until(lambda: out if "HAM2-AMR-09" in (out := site.run("alerts", "ls").stdout) else "")
    assert "RobotSlow" in listed and "warning" in listed
    assert "HAM2-AMR-09" not in site.run("alerts", "ls", "--robot", "HAM2-AMR-01").stdout
