"""Recordings on the command line: a folder of good and broken files goes through a real engine, and each can be asked about."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.installation import Installation

pytestmark = pytest.mark.slow
SEED = 7
FAULTS = ("truncated", "wrong_robot", "duplicate", "not_mcap", "gap")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    home = Installation(tmp_path_factory.mktemp("recordings") / "home")
    begun = home.run("demo", "--detach", "--scenario", "healthy", "--seed", str(SEED), "--speed", "60")
    assert begun.returncode == 0, begun.stderr
    yield home
    home.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("files") / "rec"
    command = [
        sys.executable,
        "-m",
        "connectors.sandbox.recordings",
        "make",
        str(place),
        "--seed",
        str(SEED),
        "--count",
        "3",
    ]
    made = subprocess.run(
        [*command, "--broken", ",".join(FAULTS), "--lerobot", "2"], check=True, capture_output=True, timeout=60
    )
    assert len(json.loads(made.stdout)["recordings"]) == 3 + len(FAULTS) + 1
    return place


def ended(home: Installation, run: str, seconds: float = 40) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (found := home.json("runs", "show", run))["run"]["status"] not in ("completed", "failed", "cancelled"):
        assert time.monotonic() < deadline, found["run"]
        time.sleep(0.3)
    return dict(found)


def test_a_folder_is_taken_in_and_every_file_is_accounted_for(home: Installation, folder: Path) -> None:
    dry = home.run("data", "sessions", "add", str(folder), "--dry-run", "--as", "lea")
    assert dry.returncode == 0 and not home.json("data", "sessions", "ls")
    answer = home.json("data", "sessions", "add", str(folder), "--dataset", "bins", "--as", "lea")
    assert ended(home, answer["result"]["run"])["run"]["status"] == "completed"
    funnel = home.json("data", "sessions", "funnel", "--dataset", "bins")
    assert funnel["states"] == {"valid": 5, "repaired": 1, "quarantined": 4}
    assert set(funnel["reasons"]) == {"wrong_robot", "duplicate", "not_mcap", "gap"}
    repaired = home.json("data", "sessions", "ls", "--state", "repaired")[0]
    assert repaired["lost_bytes"] > 0 and repaired["content"] != repaired["digest"]
    shown = home.run("data", "sessions", "show", repaired["id"])
    assert "repaired:" in shown.stdout and "/camera/front" in shown.stdout and "\x1b" not in shown.stdout
    again = home.json("data", "sessions", "add", str(folder), "--as", "lea")
    ended(home, again["result"]["run"])
    assert home.json("data", "sessions", "funnel")["sessions"] == 10


def test_setting_aside_and_looking_again(home: Installation, folder: Path) -> None:
    name = home.json("data", "sessions", "ls", "--state", "valid")[0]["id"]
    assert home.run("data", "sessions", "quarantine", name, "--reason", "staff moved it", "--as", "eve").returncode == 1
    assert home.run("data", "sessions", "quarantine", name, "--reason", "staff moved it", "--as", "lea").returncode == 0
    assert home.json("data", "sessions", "ls", "--code", "by_hand")[0]["id"] == name
    answer = home.json("data", "sessions", "release", name, "--reason", "it was another one", "--as", "lea")
    ended(home, answer["result"]["run"])
    assert home.json("data", "sessions", "show", name)["session"]["state"] == "valid"
    unread = home.json("data", "sessions", "ls", "--code", "not_mcap")[0]["id"]
    refused = home.run("data", "sessions", "release", unread, "--reason", "please", "--as", "lea")
    assert refused.returncode == 1 and "never read" in refused.stderr


def test_a_folder_that_is_none_is_refused_at_once(home: Installation, tmp_path: Path) -> None:
    refused = home.run("data", "sessions", "add", str(tmp_path / "nothing here"), "--as", "lea")
    assert refused.returncode == 1 and "sees nothing at" in refused.stderr
    assert home.run("data", "sessions", "add", "https://example.org/x", "--as", "lea").returncode == 1
    assert home.run("data", "sessions", "show", "S-999999").returncode == 1
