"""Attach or start: however many ask at once, one engine lives; it outlives whoever started it; nothing stale is in the way."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.installation import Installation


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "home")
    yield made
    made.run("engine", "stop", "--force")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def engines(home: Installation) -> set[int]:
    """Every live process that was told this home's folders."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"engine" in words and str(home.home / "state").encode() in words and alive(int(entry.name)):
                found.add(int(entry.name))
    return found


def together(home: Installation, count: int) -> list[subprocess.CompletedProcess[str]]:
    command = [sys.executable, "-m", "app", "engine", "start", "--json"]
    started = [
        subprocess.Popen(
            command,
            env=home.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    done = []
    for process in started:
        out, err = process.communicate(timeout=90)
        done.append(subprocess.CompletedProcess(command, process.returncode, out, err))
    return done


def test_twenty_at_once_start_exactly_one(home: Installation) -> None:
    done = together(home, 20)
    assert [each.returncode for each in done] == [0] * 20, [each.stderr for each in done if each.returncode]
    pids = {json.loads(each.stdout)["pid"] for each in done}
    assert len(pids) == 1
    assert engines(home) == pids


def test_a_stale_socket_is_no_obstacle(home: Installation) -> None:
    first = home.json("engine", "start")
    os.kill(first["pid"], signal.SIGKILL)
    while alive(first["pid"]):
        time.sleep(0.01)
    assert Path(first["socket"]).is_socket(), "a killed engine leaves its socket"
    done = together(home, 8)
    pids = {json.loads(each.stdout)["pid"] for each in done}
    assert len(pids) == 1 and first["pid"] not in pids
    assert home.json("engine", "status")["epoch"] == first["epoch"] + 1


def test_the_engine_outlives_the_terminal(home: Installation) -> None:
    """Started from a terminal of its own, which is then hung up, with everything that was on it."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(home.environment)
        os.execv(sys.executable, [sys.executable, "-m", "app", "engine", "start"])
    text = b""
    while b"\n" not in text:
        text += os.read(terminal, 1024)
    assert b"started" in text
    os.kill(pid, signal.SIGHUP)
    os.close(terminal)
    os.waitpid(pid, 0)
    status = home.json("engine", "status")
    time.sleep(0.3)
    assert home.json("engine", "status")["pid"] == status["pid"]
    stat = Path(f"/proc/{status['pid']}/stat").read_text().rpartition(")")[2].split()
    assert stat[4] == "0", "it has no controlling terminal"
    for number in (0, 1, 2):
        assert "pts" not in os.readlink(f"/proc/{status['pid']}/fd/{number}")


def test_whoever_starts_it_gets_the_terminal_back_at_once(home: Installation) -> None:
    """Nothing of the caller's is held open: `ssh gateway qd engine start` must return."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "app", "engine", "start"],
        env=home.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert time.monotonic() - started < 20


def test_sigterm_ends_it_cleanly_and_the_history_is_whole(home: Installation) -> None:
    status = home.json("engine", "start")
    os.kill(status["pid"], signal.SIGTERM)
    end = time.monotonic() + 10
    while alive(status["pid"]):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert not Path(status["socket"]).exists()
    assert home.run("engine", "status").returncode == 3
    home.json("engine", "start")
    assert home.json("history", "verify")["ok"]
    types = [event["type"] for event in home.json("events", "ls")["rows"]]
    assert types.count("EngineStopped") == 1


def test_stop_waits_until_it_is_gone(home: Installation) -> None:
    status = home.json("engine", "start")
    assert home.json("engine", "stop") == {"stopped": True, "running": False}
    assert not alive(status["pid"])
    assert home.json("engine", "stop")["stopped"] is False


def test_a_second_engine_on_the_same_home_refuses(home: Installation) -> None:
    home.json("engine", "start")
    words = [sys.executable, "-m", "engine", "--home", str(home.home)]
    done = subprocess.run(words, env=home.environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 75
    assert "another engine" in done.stderr
    assert home.run("engine", "status").returncode == 0


def test_an_engine_that_cannot_start_says_why(home: Installation) -> None:
    (home.home / "config").mkdir(parents=True)
    (home.home / "config" / "quarterdeck.yaml").write_text("environment: production\nconectors: {}\n")
    done = home.run("engine", "start")
    assert done.returncode == 3
    assert "conectors" in done.stderr
    assert home.run("engine", "status").returncode == 3


def test_a_damaged_database_is_noticed_at_start_and_left_as_it_is(home: Installation) -> None:
    home.json("engine", "start")
    home.json("engine", "stop")
    database = home.home / "state" / "quarterdeck.db"
    for side in database.parent.glob("quarterdeck.db-*"):
        side.unlink()
    raw = bytearray(database.read_bytes())
    raw[4096:8192] = os.urandom(4096)
    database.write_bytes(raw)
    done = home.run("engine", "start")
    assert done.returncode == 3
    assert "damaged" in done.stderr or "malformed" in done.stderr, done.stderr
    assert database.read_bytes() == raw
    assert home.json("doctor", code=1)["ok"] is False


def test_a_starter_waits_for_an_engine_that_is_just_ending(home: Installation) -> None:
    """The life lock is held and nobody answers: the start goes on when it is free, instead of failing."""
    home.json("engine", "start")
    home.json("engine", "stop")
    lock = os.open(home.home / "run" / "engine.life", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    waiting = subprocess.Popen(
        [sys.executable, "-m", "app", "engine", "start", "--json"],
        env=home.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(1.0)
    assert waiting.poll() is None
    os.close(lock)
    out, _ = waiting.communicate(timeout=60)
    assert json.loads(out)["state"] == "ok"


def test_a_path_too_long_for_a_socket_gets_a_short_one(tmp_path: Path) -> None:
    home = Installation(tmp_path / ("deep" * 20) / "home")
    try:
        status = home.json("engine", "start")
        assert len(status["socket"]) < 108
        assert home.json("engine", "status")["pid"] == status["pid"]
    finally:
        home.run("engine", "stop", "--force")


def test_systemds_socket_is_taken_over(home: Installation) -> None:
    """LISTEN_FDS: the socket was made by somebody else and stays after us."""
    path = home.home / "given.sock"
    home.home.mkdir()
    given = socket.socket(socket.AF_UNIX)
    given.bind(str(path))
    given.listen(16)
    child = os.fork()
    if child == 0:
        os.dup2(given.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update({**home.environment, "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
        log = os.open(home.home / "log", os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.execv(sys.executable, [sys.executable, "-m", "engine", "--home", str(home.home)])
    given.close()
    try:
        done = home.run("--socket", str(path), "engine", "status", "--json", timeout=60)
        assert done.returncode == 0, done.stderr + (home.home / "log").read_text()
        assert json.loads(done.stdout)["pid"] == child
    finally:
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert path.is_socket()
