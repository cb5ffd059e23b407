"""The engine is killed (SIGKILL) at 50 random instants of a running rollout: nothing lost, nothing doubled, chain intact."""

from __future__ import annotations

import os
import random
import signal
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.e2e.installation import Installation

KILLS = 50

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def approve_what_waits(home: Installation) -> None:
    """Two people of the sandbox answer each open sign-off; a vote already cast is refused and that is fine."""
    listed = home.run("gates", "ls", "--json")
    if listed.returncode != 0:
        return
    for gate in msgspec.json.decode(listed.stdout)["rows"]:
        for person in ("ana", "bo", "cy"):
            home.run("gates", "approve", gate["id"], "--as", person, "--rationale", "kill test", "--yes", "--json")


def world(home: Installation, document: dict[str, Any]) -> dict[str, Any]:
    with urllib.request.urlopen(document["world"]["control_url"], timeout=10) as answer:
        return msgspec.json.decode(answer.read())


def test_killed_at_fifty_instants(tmp_path: Path) -> None:
    home = Installation(tmp_path / "home")
    chance = random.Random(50)
    acknowledged: list[str] = []
    try:
        started = home.json("demo", "--scenario", "healthy", "--seed", "11", "--speed", "1500", "--detach")
        run = started["run"]
        for kill in range(KILLS):
            pid = home.json("engine", "status")["pid"]
            if kill % 5 == 0:
                approve_what_waits(home)
            text = f"before kill {kill}"
            if home.run("runs", "comment", run, text, "--as", "ana", "--json").returncode == 0:
                acknowledged.append(text)
            time.sleep(chance.uniform(0.0, 0.6))
            os.kill(pid, signal.SIGKILL)
            assert home.run("engine", "start", "--json").returncode == 0, "the engine comes back by itself"

        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            approve_what_waits(home)
            detail = home.json("runs", "show", run)
            if detail["run"]["status"] in ("completed", "failed", "cancelled", "terminated"):
                break
            time.sleep(1)
        assert detail["run"]["status"] == "completed", detail["run"]

        report = home.json("history", "verify")
        assert report["ok"], report

        exported = home.run("history", "export", "--json").stdout.splitlines()
        events = [msgspec.json.decode(line) for line in exported]
        numbers = [e["seq"] for e in events]
        assert numbers == list(range(1, len(numbers) + 1)), "the sequence has a gap or a double"
        comments = Counter(e["data"]["text"] for e in events if e["type"] == "CommentAdded" and e["run"] == run)
        assert comments == Counter(acknowledged), "an acknowledged fact is missing or doubled"

        mine = [e for e in events if e["run"] == run]
        completed = Counter(
            (e["data"]["scope"], e["data"]["step"], e["data"]["fence"]) for e in mine if e["type"] == "StepCompleted"
        )
        assert not [path for path, times in completed.items() if times > 1], "a step completed twice"
        passed = Counter(e["data"]["gate"] for e in mine if e["type"] == "GatePassed")
        assert not [gate for gate, times in passed.items() if times > 1]

        truth = world(home, started)
        target = started["world"]["release"]
        installs = Counter(i["robot"] for i in truth["installs"] if i["to"] == target and i["result"] == "success")
        assert installs, "the rollout reached robots"
        assert not [robot for robot, times in installs.items() if times > 1], "a robot was made to install twice"
    finally:
        home.stop()
