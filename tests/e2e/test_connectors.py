"""`qd connectors` as an operator uses it: one command to the first synced devices, against the real gooseBit; a kind that
a third party brings; secrets in the keyring alone."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.installation import Installation
from tests.services.fixtures import NEW, OLD, GooseBitServer, RobotFleet, goosebit, prometheus, robot_fleet

__all__ = ["goosebit", "prometheus", "robot_fleet"]
ACME = Path(__file__).parent.parent / "services" / "acme"
SHIPPED = ["alertmanager", "apprise", "cloudevents", "github", "goosebit", "hawkbit", "http", "jira", "joined", "labelstudio", "mender", "mlflow", "opa", "pagerduty", "prometheus", "ray", "roundup", "s3", "servicenow", "ssh", "sshjobs"]  # fmt: skip


class Piping(Installation):
    """An installation whose commands may get something on standard input, and whose engine knows a third party's package."""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "PYTHONPATH": str(ACME)}

    def pipe(self, said: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "app", *words]
        return subprocess.run(
            command, env=self.environment, input=said, capture_output=True, text=True, timeout=90, check=False
        )

    def files(self) -> Iterator[tuple[Path, bytes]]:
        for path in self.home.rglob("*"):
            if path.is_file():
                yield path, path.read_bytes()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Piping]:
    found = Piping(tmp_path_factory.mktemp("connectors") / "home")
    found.home.mkdir()
    begun = found.run("engine", "start")
    assert begun.returncode == 0, begun.stderr
    yield found
    found.stop()


def named(home: Piping, name: str) -> dict[str, Any]:
    found: dict[str, Any] = home.json("connectors", "show", name)
    return found


def test_every_kind_that_is_shipped_can_be_added(home: Piping) -> None:
    kinds = {one["kind"]: one for one in home.json("connectors", "ls", "--available")}
    assert set(SHIPPED) <= set(kinds)
    assert not {name: one["error"] for name, one in kinds.items() if one["error"]}
    for name in SHIPPED:
        one = kinds[name]
        assert one["capabilities"] and one["title"] and one["package"] == "quarterdeck", one
        assert all(field["description"] for field in one["fields"]), one
    assert kinds["depot"]["package"] == "acme-depot"
    assert [one["kind"] for one in home.json("connectors", "ls", "--available", "--capability", "alerts")]


@pytest.mark.service
def test_one_command_to_the_first_synced_devices(
    home: Piping, goosebit: GooseBitServer, robot_fleet: RobotFleet
) -> None:
    began = time.monotonic()
    done = home.pipe(
        f"{goosebit.password}\n", "connectors", "add", "goosebit", "updates", "--url", goosebit.url, "--set",
        f"username={goosebit.username}", "--secret-stdin",
    )  # fmt: skip
    took = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    assert "connected: gooseBit 0.2.12" in done.stdout and "right goosebit.device.read: yes" in done.stdout
    assert f"device: {len(robot_fleet.ids)} mirrored" in done.stdout
    assert took < 60, f"{took:.0f} s"

    page = home.json("connectors", "objects", "updates", "--kind", "device")
    assert {one["id"] for one in page["objects"]} == set(robot_fleet.ids)
    software = home.json("connectors", "objects", "updates", "--kind", "software")["objects"]
    assert {OLD, NEW} <= {word for one in software for word in (one["name"], one["data"].get("version"))}

    one = named(home, "updates")
    assert (one["health"], one["stale"], one["origin"]) == ("ok", False, "added")
    assert one["secrets"] == [{"field": "secret", "entry": "updates", "stored": True}]
    assert goosebit.password not in done.stdout + done.stderr + json.dumps(one)
    assert {path.name for path, content in home.files() if goosebit.password.encode() in content} == set()
    calls = home.json("connectors", "logs", "updates")["calls"]
    assert any(one["path"].startswith("/api/v1/devices") and one["status"] == 200 for one in calls)


@pytest.mark.service
def test_its_promises_hold_also_by_writing(home: Piping, goosebit: GooseBitServer, robot_fleet: RobotFleet) -> None:
    report = home.json("connectors", "check", "updates")
    assert (report["broken"], report["write"], report["left"]) == (0, False, []) and report["kept"] >= 10, report
    robot = robot_fleet.ids[-1]
    refused = home.run("connectors", "check", "updates", "--write", "--on", f"robot={robot}")
    assert refused.returncode == 1 and "write to updates" in refused.stderr
    report = home.json("connectors", "check", "updates", "--write", "--on", f"robot={robot}", "--yes")
    assert (report["broken"], report["skipped"], report["left"]) == (0, 0, []), report
    assert robot_fleet.truth()["versions"][robot] == OLD, "a check installed something"


@pytest.mark.service
def test_what_would_be_sent_can_be_seen_without_sending_it(home: Piping, robot_fleet: RobotFleet) -> None:
    robot = robot_fleet.ids[0]
    told = home.json("connectors", "dry", "updates", "updates.assign", f'robots=["{robot}"]', f"version={NEW}")
    assert [(one["method"], one["body"]["devices"]) for one in told["would"]] == [("PATCH", [robot])], told
    assert "authorization" not in {
        name.lower() for one in told["would"] for name in one["headers"]
    } or "Bearer ey" not in json.dumps(told)
    after = home.json("connectors", "dry", "updates", "updates.reports", f'robots=["{robot}"]')["result"]
    assert after[0]["desired"] != NEW, "it was sent"


@pytest.mark.service
def test_a_wrong_secret_adds_nothing_and_stays_nowhere(home: Piping, goosebit: GooseBitServer) -> None:
    before = {one["id"] for one in home.json("connectors", "ls")["systems"]}
    done = home.pipe(
        "not-the-password\n", "connectors", "add", "goosebit", "other", "--url", goosebit.url, "--set",
        f"username={goosebit.username}", "--secret-stdin",
    )  # fmt: skip
    assert done.returncode == 1 and "401" in done.stderr, (done.stdout, done.stderr)
    assert "not-the-password" not in done.stdout + done.stderr
    assert {one["id"] for one in home.json("connectors", "ls")["systems"]} == before
    again = home.run("connectors", "add", "goosebit", "other", "--url", goosebit.url, "--secret", "other")
    assert again.returncode == 1 and "no entry" in again.stderr, (
        "the secret of a system that was refused stayed in the keyring"
    )


@pytest.mark.service
def test_on_a_terminal_the_secret_is_asked_for_and_not_shown(home: Piping, goosebit: GooseBitServer) -> None:
    command = [
        sys.executable,
        "-m",
        "app",
        "connectors",
        "add",
        "goosebit",
        "second",
        "--set",
        f"username={goosebit.username}",
    ]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, env=home.environment, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    )
    os.close(theirs)
    try:
        seen = _until(ours, "url (")
        os.write(ours, f"{goosebit.url}\n".encode())
        seen += _until(ours, "second secret (")
        os.write(ours, f"{goosebit.password}\n".encode())
        seen += _until(ours, "second is added")
        assert process.wait(20) == 0
        assert goosebit.password not in seen
        assert f"/proc/{process.pid}" and goosebit.password not in " ".join(command)
    finally:
        process.kill()
        process.wait(5)
        os.close(ours)
    removed = home.run("connectors", "remove", "second", "--forget-secret", "--phrase", "remove second")
    assert removed.returncode == 0, removed.stderr
    assert "second" not in {one["id"] for one in home.json("connectors", "ls")["systems"] if one["state"] != "removed"}


def _until(terminal: int, words: str, seconds: float = 30) -> str:
    seen, limit = "", time.monotonic() + seconds
    while words not in seen:
        assert time.monotonic() < limit, f"never saw {words!r} in {seen!r}"
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                seen += os.read(terminal, 4096).decode("utf-8", "replace")
            except OSError:
                break
    assert words in seen, seen
    return seen


@pytest.mark.service
def test_a_system_can_rest_and_be_changed_and_a_mistake_is_explained(home: Piping, goosebit: GooseBitServer) -> None:
    assert home.run("connectors", "suspend", "updates", "--reason", "maintenance there").returncode == 0
    assert named(home, "updates")["state"] == "suspended"
    busy = home.run("connectors", "sync", "updates")
    assert busy.returncode == 1 and "suspended" in busy.stderr
    assert home.run("connectors", "resume", "updates").returncode == 0
    synced = home.json("connectors", "sync", "updates", "--full")
    assert {one["kind"] for one in synced["result"]["feeds"]} >= {"device", "software"}
    assert home.run("connectors", "set", "updates", "--set", "timeout_s=15").returncode == 0
    assert named(home, "updates")["options"]["timeout_s"] == 15
    assert home.run("engine", "stop").returncode == 0 and home.run("engine", "start").returncode == 0
    again = named(home, "updates")
    assert (again["origin"], again["state"], again["options"]["timeout_s"]) == ("added", "active", 15), again
    assert again["objects"] >= len(synced["result"]["feeds"]), "what was mirrored is not there after a restart"
    for words, said in (
        (("add", "goosbit"), "did you mean goosebit"),
        (("add", "goosebit", "x"), "--url URL"),
        (("add", "goosebit", "x", "--url", goosebit.url), "--secret-stdin"),
        (("add", "goosebit", "x", "--url", goosebit.url, "--set", "secret=hunter2"), "others can read arguments"),
        (("set", "updates", "--set", "timeut_s=3"), "did you mean timeout_s"),
        (("secret", "updates", "pin"), "it has: secret"),
    ):
        wrong = home.run("connectors", *words)
        assert wrong.returncode == 2 and said in wrong.stderr, (words, wrong.stderr)


def test_a_third_partys_kind_is_found_added_mirrored_and_keeps_its_promises(home: Piping, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("counter-token-77", "utf-8")
    done = home.pipe(
        "counter-token-77\n", "connectors", "add", "depot", "--set", f"folder={tmp_path}", "--secret-stdin", "--json"
    )
    assert done.returncode == 0, done.stderr
    added = json.loads(done.stdout)
    assert (added["id"], added["says"], added["first"]) == ("depot", "Acme Depot 1.0", ["tickets"]), added
    report = home.json("connectors", "check", "depot", "--write", "--yes")
    assert (report["broken"], report["left"]) == (0, []), report
    assert not list(tmp_path.glob("*.json")), "what the check made is there still"
    declared = next(one for one in report["results"] if one["name"] == "attaching-twice-is-no-error")
    assert declared["outcome"] == "skipped" and "no files" in declared["reason"]
    (tmp_path / "7.json").write_text(
        json.dumps(
            {
                "id": "7",
                "title": "gate 3 \x1b[31mstuck",
                "body": "",
                "priority": "P2",
                "state": "doing",
                "keys": [],
                "comments": [],
                "rev": 1,
                "changed_at": 1.7e9,
            }
        )
    )
    assert home.run("connectors", "sync", "depot").returncode == 0
    (one,) = home.json("connectors", "objects", "depot")["objects"]
    assert (one["id"], one["state"]) == ("7", "doing") and "\x1b" not in one["name"]
    assert home.run("connectors", "remove", "depot", "--yes").returncode == 0
