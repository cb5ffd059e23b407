"""People are told by a real engine through Apprise: once per gate and channel, also when the engine is killed in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.installation import Installation

FLOW = """
quarterdeck: 1
workflow: ask
version: 1
title: Ask
inputs: {what: {type: string}}
triggers: [{manual: {roles: [admin]}}]
steps:
  decide:
    gate: "${inputs.what}"
    kind: question
    seats: [{role: admin}]
    expires: 4h
    on_timeout: {raise: NobodySaid}
    on_reject: {raise: SaidNo}
    next: done
"""


class Receiver:
    """Where messages arrive; `hold` keeps those who send waiting, after the message has arrived."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 200
        self.hold = threading.Event()
        self.hold.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["content-length"])))
                receiver.got.append({"path": self.path, **said})
                receiver.hold.wait(20)
                try:
                    self.send_response(receiver.status)
                    self.send_header("content-length", "0")
                    self.end_headers()
                except OSError:
                    self.close_connection = True  # whoever sent it is gone

            def log_message(self, *args: Any) -> None:
                return None

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None  # type: ignore[method-assign]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def about(self, gate: str, path: str = "") -> list[dict[str, Any]]:
        return [one for one in self.got if f"qd gates show {gate}" in one["message"] and path in one["path"]]

    def close(self) -> None:
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(scope="module")
def site(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("notify") / "home")
    folder = made.home / "config"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "quarterdeck.yaml").write_text(
        "connectors:\n  people: {kind: apprise, options: {channels: {ops: ops-url, lead: lead-url}}}\n"
    )
    for name in ("ops", "lead"):
        url = f"json://127.0.0.1:{receiver.server.server_port}/{name}-T0KEN"
        subprocess.run(
            [sys.executable, "-m", "engine.secret", "set", f"{name}-url", "--config", str(folder)],
            input=url, text=True, check=True, capture_output=True,
        )  # fmt: skip
    started = made.run("engine", "start")
    assert started.returncode == 0, started.stderr
    (made.home / "ask.yaml").write_text(FLOW)
    assert made.run("workflows", "register", str(made.home / "ask.yaml")).returncode == 0
    yield made
    made.stop()


def until(true: Callable[[], Any], seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.1)
    return found


def asked(site: Installation, what: str) -> str:
    run = site.json("runs", "start", "ask", "--input", f"what={what}")["target"]
    rows = until(lambda: [row for row in site.json("gates", "ls")["rows"] if row["run"] == run])
    return str(rows[0]["id"])


def notices(site: Installation, gate: str) -> list[dict[str, Any]]:
    return list(site.json("records", "ls", "notice", "--where", f"gate:{gate}")["rows"])


def test_a_gate_is_told_once_to_each_channel(site: Installation, receiver: Receiver) -> None:
    gate = asked(site, "Restart the charger in hall 2?")
    until(lambda: len(receiver.about(gate)) == 2)
    said = receiver.about(gate, "/ops-T0KEN")[0]
    assert said["title"] == "A decision is asked: Restart the charger in hall 2?"
    assert "asked of" in said["message"] and "this message approves nothing" in said["message"]
    assert "http" not in said["message"]
    until(lambda: [one["state"] for one in notices(site, gate)] == ["told", "told"])
    time.sleep(1.5)
    assert len(receiver.about(gate)) == 2
    shown = site.run("notices", "ls").stdout
    assert "ops" in shown and "lead" in shown and "T0KEN" not in shown


def test_a_service_that_is_away_is_told_later(site: Installation, receiver: Receiver) -> None:
    receiver.status = 503
    gate = asked(site, "Open the gate?")
    until(lambda: len(receiver.about(gate)) >= 2)
    receiver.status = 200
    until(lambda: [one["state"] for one in notices(site, gate)] == ["told", "told"], 30)
    assert all(one["tries"] >= 2 for one in notices(site, gate))


def test_killed_between_the_message_and_its_record_nobody_is_told_twice(site: Installation, receiver: Receiver) -> None:
    receiver.hold.clear()
    before = len(receiver.got)
    gate = asked(site, "Drain hall 3?")
    until(lambda: len(receiver.about(gate)) == 2)
    pid = int(site.json("engine", "status")["pid"])
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])
    receiver.hold.set()
    assert site.run("engine", "start").returncode == 0
    until(lambda: {one["state"] for one in notices(site, gate)} == {"doubtful"}, 30)
    time.sleep(1.5)
    assert len(receiver.got) == before + 2
    told = site.json("events", "ls", "--event", "qd.notice.doubtful")["rows"]
    assert len(told) == 2


def test_no_address_is_anywhere_but_in_the_keyring(site: Installation) -> None:
    for path in (site.home / "state").rglob("*"):
        if path.is_file():
            assert b"T0KEN" not in path.read_bytes(), path
    assert "T0KEN" not in site.run("history", "export").stdout
    log = b"".join(path.read_bytes() for path in site.home.rglob("*.log"))
    assert b"T0KEN" not in log
