"""Systems in a real engine: added, tried, suspended and removed live; back after a restart; and no secret anywhere."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.e2e.installation import Installation

SECRET = "s3cr3t-Xq7-pa55word-never-to-be-seen"
TOKEN = "t0ken-Kj2-that-the-server-gave-out"
SOFTWARE = [{"id": 1, "version": "1.0.0", "size": 10, "hash": "aa", "name": "robot-1.0.0.swu", "compatibility": []}]


class Updates(BaseHTTPRequestHandler):
    """As much of gooseBit as adding one asks for. `server.password`: what it takes; `server.log`: what it was asked."""

    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        if self.path == "/events":
            self.server.events.append(json.loads(body)["type"])
            return self._say(202, {})
        ok = f"password={self.server.password}" in body
        return self._say(
            200 if ok else 401, {"access_token": TOKEN, "token_type": "bearer"} if ok else {"detail": "no"}
        )

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.log.append(path)
        if path != "/openapi.json" and self.headers.get("authorization") != f"Bearer {TOKEN}":
            return self._say(401, {"detail": "Not authenticated"})
        answers = {
            "/openapi.json": {"info": {"title": "gooseBit", "version": "0.2.12"}},
            "/api/v1/software": {"software": SOFTWARE},
            "/api/v1/devices": {"devices": [{"id": f"robot-{n}", "last_state": "Registered"} for n in range(3)]},
            "/api/v1/rollouts": {"rollouts": []},
        }
        return self._say(200, answers[path]) if path in answers else self._say(404, {"detail": f"no {path}"})

    def _say(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words: Any) -> None:
        pass


@pytest.fixture(scope="module")
def updates() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Updates)
    server.password, server.log, server.events = SECRET, [], []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()


class Site(Installation):
    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.HTTPTransport(uds=str(self.home / "run" / "engine.sock"))
        with httpx.Client(transport=transport, base_url="http://engine", timeout=60) as client:
            return client.request(method, path, **more)

    def get(self, path: str) -> Any:
        return self.ask("GET", path).raise_for_status().json()

    def command(self, verb: str, target: str = "", *, preview: bool = False, **args: Any) -> Any:
        body = {"id": f"test-{verb}-{time.monotonic_ns()}", "target": target, "args": args, "preview": preview}
        return self.ask("POST", f"/v1/commands/{verb}", json=body).json()

    def start(self) -> int:
        started = self.run("engine", "start", "--json")
        assert started.returncode == 0, started.stderr
        return int(self.get("/v1/status")["pid"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("systems") / "home")
    folder = made.home / "config"
    folder.mkdir(parents=True, mode=0o700)
    settings = {"connectors": {"metrics": {"kind": "prometheus", "url": "http://127.0.0.1:9"}}}
    (folder / "quarterdeck.yaml").write_bytes(msgspec.yaml.encode(settings))
    made.start()
    try:
        yield made
    finally:
        made.stop()


def until(found: Any, what: str, seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, what
        time.sleep(0.1)
    return value


def test_a_system_of_the_settings_is_shown_and_not_changed_by_verbs(site: Site) -> None:
    (metrics,) = [s for s in site.get("/v1/connectors")["systems"] if s["id"] == "metrics"]
    assert metrics["origin"] == "settings" and metrics["serves"] == ["signals"] and metrics["first"] == ["signals"]
    refused = site.command("connector.remove", "metrics", phrase="remove metrics")
    assert refused["code"] == "in_settings" and "quarterdeck.yaml" in refused["reason"]


def test_what_makes_no_sense_is_refused_with_its_field(site: Site) -> None:
    def field(**args: Any) -> tuple[str, str]:
        refused = site.command(
            "connector.add", **{"name": "x", "kind": "goosebit", "url": "http://127.0.0.1:9", **args}
        )
        return refused["code"], refused.get("field", "")

    assert field(kind="gosebit") == ("bad_input", "args.kind")
    assert field(name="No Name") == ("bad_input", "args.name")
    assert field(name="metrics") == ("exists", "args.name")
    assert field(secret=SECRET) == field(secret=SECRET, anyway=True) == ("no_secret", "args.secret")
    assert field(secret="x", options={"usrname": "a"}) == ("bad_input", "args.options.usrname")
    assert field(secret="x", serves=["tickets"]) == ("bad_input", "args.serves")
    kinds = {each["kind"]: each for each in site.get("/v1/connectors/kinds")["kinds"]}
    assert {f["name"]: f.get("secret", False) for f in kinds["goosebit"]["fields"]}["secret"] is True
    assert kinds["goosebit"]["package"] == "quarterdeck" and not kinds["goosebit"].get("error")


def test_added_in_one_command_mirrored_at_once_and_there_again_after_a_restart(site: Site, updates: Any) -> None:
    stored = site.ask("PUT", "/v1/secrets/bit", content=SECRET + "\n")
    assert stored.status_code == 200 and SECRET not in stored.text
    add = {"name": "bit", "kind": "goosebit", "url": updates.url, "secret": "bit", "options": {"username": "ana@x"}}
    foreseen = site.command("connector.add", preview=True, **add)
    said = "\n".join(foreseen["consequences"])
    for words in (
        "connected: gooseBit 0.2.12",
        "serves updates",
        "will read devices: every 60 s",
        "right goosebit.device.read: yes",
    ):
        assert words in said, said
    assert [s["id"] for s in site.get("/v1/connectors")["systems"]] == ["metrics"]

    added = site.command("connector.add", **add)
    assert added["target"] == "bit" and added["result"]["test"]["ok"], added
    seen = until(lambda: _mirrored(site), "the devices are mirrored")
    assert set(seen) == {"robot-0", "robot-1", "robot-2"}
    view = site.get("/v1/connectors/bit")
    assert (view["health"], view["origin"], view["first"]) == ("ok", "added", ["updates"])
    assert view["secrets"] == [{"field": "secret", "entry": "bit", "stored": True}]
    assert any(call["path"] == "/api/v1/devices" for call in site.get("/v1/connectors/bit/log")["calls"])

    assert site.run("engine", "stop").returncode == 0
    site.start()
    again = site.get("/v1/connectors/bit")
    assert (again["origin"], again["state"], again["first"]) == ("added", "active", ["updates"])
    assert set(_mirrored(site)) == set(seen)
    assert site.command("connector.sync", "bit", feed="device")["result"]["feeds"][0]["objects"] == 3


def _mirrored(site: Site) -> dict[str, Any]:
    found = site.get("/v1/mirror?system=bit&kind=device").get("objects", ())
    return {one["id"]: one for one in found}


def test_suspended_it_is_left_alone_and_resumed_it_goes_on(site: Site, updates: Any) -> None:
    site.command("connector.suspend", "bit", reason="they move the server")
    assert site.get("/v1/connectors/bit")["state"] == "suspended"
    assert site.command("connector.sync", "bit")["code"] == "suspended"
    time.sleep(0.5)
    before = len(updates.log)
    time.sleep(1.0)
    assert len(updates.log) == before
    health = next(c for c in site.get("/v1/status")["connectors"] if c["name"] == "bit")
    assert not health["ok"] and "suspended by" in health["message"] and "they move the server" in health["message"]
    site.command("connector.resume", "bit")
    until(lambda: site.get("/v1/connectors/bit")["health"] == "ok", "it is asked again")


def test_changed_settings_are_tried_before_they_are_taken(site: Site, updates: Any) -> None:
    refused = site.command("connector.set", "bit", url="http://127.0.0.1:9")
    assert (refused["code"], refused["field"]) == ("not_connected", "args.url")
    assert site.get("/v1/connectors/bit")["url"] == updates.url
    changed = site.command("connector.set", "bit", options={"timeout_s": 5.0})
    assert changed["result"]["id"] == "bit"
    assert site.get("/v1/connectors/bit")["options"] == {"username": "ana@x", "timeout_s": 5.0}


def test_a_sink_that_is_added_is_told_what_comes_from_then_on(site: Site, updates: Any) -> None:
    added = site.command("connector.add", name="bus", kind="cloudevents", url=f"{updates.url}/events")
    assert added["target"] == "bus", added
    until(lambda: "bus" in _cursors(site), "the sink has its place in the history")
    site.command("connector.sync", "bit", feed="device")
    until(lambda: "dev.quarterdeck.qd.sync.completed.v1" in updates.events, "the event was told")
    assert not any("qd.system.suspended" in each for each in updates.events), "what was before it is not told again"
    site.command("connector.remove", "bus", phrase="remove bus")
    site.command("connector.sync", "bit", feed="device")


def _cursors(site: Site) -> set[str]:
    connection = sqlite3.connect(f"file:{site.home / 'state' / 'quarterdeck.db'}?mode=ro", uri=True)
    found = {row[0] for row in connection.execute("select id from mirror where system = 'sink' and kind = 'cursor'")}
    connection.close()
    return found


def test_only_who_may_can_touch_secrets(site: Site) -> None:
    assert site.ask("PUT", "/v1/secrets/..%2Fx", content="v").status_code in (404, 422)
    assert site.ask("PUT", "/v1/secrets/empty", content="\n").json()["code"] == "bad_input"
    assert site.ask("PUT", "/v1/secrets/large", content="x" * 70_000).status_code == 413
    assert site.ask("DELETE", "/v1/secrets/bit").json()["code"] == "in_use"
    assert site.get("/v1/secrets")["names"] == ["bit"]


def test_the_secret_is_nowhere_but_in_the_keyring(site: Site, updates: Any) -> None:
    """Also after it was wrong, after errors that quote requests, and in everything a process shows of itself."""
    updates.password = "changed-there-meanwhile"
    site.command("connector.test", "bit")
    site.command("connector.sync", "bit", full=True)
    updates.password = SECRET
    site.command("connector.test", "bit")
    site.run("connectors", "ls", "--json")
    site.run("doctor", "--json")
    pid = int(site.get("/v1/status")["pid"])
    for process in (pid, *_children(pid)):
        for name in ("cmdline", "environ"):
            _clean(Path(f"/proc/{process}/{name}").read_bytes(), f"{name} of {process}")
    for path in (
        "/v1/connectors",
        "/v1/connectors/bit",
        "/v1/connectors/bit/log",
        "/v1/events?limit=1000",
        "/v1/status",
    ):
        _clean(site.ask("GET", path).content, path)
    _clean(site.ask("GET", "/v1/history/export").content, "the export of the history")
    assert site.run("engine", "stop").returncode == 0
    keyring = site.home / "config" / "secrets.qdk"
    files = [path for path in site.home.rglob("*") if path.is_file()]
    assert keyring in files and len(files) > 4
    for path in files:
        _clean(path.read_bytes(), str(path))
    connection = sqlite3.connect(site.home / "state" / "quarterdeck.db")
    kinds = {row[0] for row in connection.execute("select type from events")}
    connection.close()
    assert "SecretStored" in kinds
    assert os.stat(keyring).st_mode & 0o077 == 0
    stored = subprocess.run(
        [sys.executable, "-m", "engine.secret", "check", "bit", "--config", str(keyring.parent)], check=False
    )
    assert stored.returncode == 0
    site.start()


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


def _clean(data: bytes, where: str) -> None:
    for word in (SECRET, TOKEN):
        assert word.encode() not in data, f"a secret stands in {where}"


def test_removed_it_is_gone_with_what_was_mirrored_and_its_history_stays(site: Site) -> None:
    assert site.command("connector.remove", "bit")["code"] == "phrase_required"
    said = "\n".join(site.command("connector.remove", "bit", preview=True, forget_secret=True)["consequences"])
    assert "no system serves updates then" in said and "its secret bit is deleted" in said, said
    removed = site.command("connector.remove", "bit", phrase="remove bit", forget_secret=True)
    assert removed["result"] == {"id": "bit", "state": "removed", "secrets_forgotten": ["bit"]}
    assert [s["id"] for s in site.get("/v1/connectors")["systems"]] == ["metrics"]
    assert _mirrored(site) == {} and site.get("/v1/secrets").get("names", []) == []
    moves = [(change.get("from_", ""), change.get("to", "")) for change in site.get("/v1/records/system/bit/history")]
    assert moves[0] == ("", "active") and moves[-1] == ("active", "removed") and ("active", "suspended") in moves
