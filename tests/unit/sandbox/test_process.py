"""The world as a process: ready when its file is there, private, and gone when it is told."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.sandbox.scenarios import SCENARIOS
from engine.capabilities.secrets import Secrets

ROOT = Path(__file__).parent.parent.parent.parent


def start(folder: Path, *more: str) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    arguments = ["--dir", str(folder), "--scenario", "healthy", "--robots", "24", *more]
    process = subprocess.Popen([sys.executable, "-m", "connectors.sandbox", *arguments], cwd=ROOT)
    until = time.monotonic() + 30
    while not (folder / "world.json").exists():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    return process, json.loads((folder / "world.json").read_text("utf-8"))


def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    process, world = start(tmp_path / "w", "--config", str(tmp_path / "config"), "--seed", "5", "--speed", "6000")
    try:
        assert (world["pid"], world["seed"], world["speed"], world["scenario"]) == (process.pid, 5, 6000.0, "healthy")
        assert stat.S_IMODE((tmp_path / "w" / "world.json").stat().st_mode) == 0o600
        assert Secrets(world["secrets"], tmp_path / "config").get(world["connectors"]["updates"]["secret"])
        now = httpx.get(world["control_url"], trust_env=False).json()["now"]
        expected = world["sim0"] + (time.time() - world["wall0"]) * world["speed"]
        assert abs(now - expected) < 6000 * 2, "anybody can compute the world's time"
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes() + Path(f"/proc/{process.pid}/environ").read_bytes()
        secret = Secrets(world["secrets"], tmp_path / "config").get("sandbox-updates")
        assert secret.encode() not in command and world["control_token"].encode() not in command
        httpx.post(world["control_url"], json={"token": world["control_token"], "stop": True}, trust_env=False)
        assert process.wait(10) == 0
        assert not (tmp_path / "w" / "world.json").exists()
    finally:
        process.kill()
        process.wait(5)


def test_sigterm_ends_it_cleanly(tmp_path: Path) -> None:
    process, _ = start(tmp_path)
    process.terminate()
    assert process.wait(10) == 0 and not (tmp_path / "world.json").exists()


@pytest.mark.parametrize("wrong", [["--scenario", "nonsense"], ["--speed", "0"], ["--speed", "1e9"], ["--robots", "0"]])
def test_wrong_arguments_are_usage_errors(tmp_path: Path, wrong: list[str]) -> None:
    arguments = ["--dir", str(tmp_path), "--scenario", next(iter(SCENARIOS)), *wrong]
    done = subprocess.run(
        [sys.executable, "-m", "connectors.sandbox", *arguments], cwd=ROOT, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 2 and not (tmp_path / "world.json").exists()
