"""Webhooks into a real engine over its real listener: as each sender really sends, and as strangers would like to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.installation import Installation

SECRETS = {"gh": "github-hook", "std": "whsec_" + base64.b64encode(b"standard-hook-key").decode(), "am": "am-hook"}
FLOW = """
quarterdeck: 1
workflow: told
version: 1
title: Told
inputs: {issue: {type: integer}}
triggers: [{webhook: forge, with: {issue: "${event.data.issue}"}}]
steps:
  say: {emit: shop.heard, subject: "${string(inputs.issue)}"}
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Site(Installation):
    port: int

    def post(self, source: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        return httpx.post(
            f"http://127.0.0.1:{self.port}/hooks/{source}", content=body, headers=headers, timeout=10, trust_env=False
        )

    def events(self, name: str) -> list[dict[str, Any]]:
        return list(self.json("events", "ls", "--event", name)["rows"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("hooks") / "home")
    made.port = free_port()
    folder = made.home / "config"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "quarterdeck.yaml").write_text(
        f"webhook_port: {made.port}\n"
        "webhooks:\n"
        "  forge: {secret: gh}\n"
        "  billing: {secret: std, proof: standard}\n"
        "connectors:\n"
        "  alertmanager: {kind: alertmanager, url: 'http://127.0.0.1:9', options: {webhook_secret: am}}\n"
    )
    for name, value in SECRETS.items():
        subprocess.run(
            [sys.executable, "-m", "engine.secret", "set", name, "--config", str(folder)],
            input=value, text=True, check=True, capture_output=True,
        )  # fmt: skip
    started = made.run("engine", "start")
    assert started.returncode == 0, started.stderr
    (made.home / "told.yaml").write_text(FLOW)
    assert made.run("workflows", "register", str(made.home / "told.yaml")).returncode == 0
    yield made
    made.stop()


def github(body: bytes, delivery: str) -> dict[str, str]:
    signature = hmac.new(SECRETS["gh"].encode(), body, hashlib.sha256).hexdigest()
    return {
        "x-hub-signature-256": f"sha256={signature}",
        "x-github-delivery": delivery,
        "x-github-event": "issues",
        "content-type": "application/json",
    }


def standard(body: bytes, id_: str, at: float) -> dict[str, str]:
    digest = hmac.new(b"standard-hook-key", f"{id_}.{at:.0f}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": id_,
        "webhook-timestamp": f"{at:.0f}",
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


def alerts(*names: str, start: str = "2026-11-23T02:00:00Z") -> bytes:
    said = [
        {"status": "firing", "labels": {"alertname": "RobotBatteryLow", "robot": name}, "annotations": {},
         "startsAt": start, "endsAt": "0001-01-01T00:00:00Z", "fingerprint": hashlib.sha256(name.encode()).hexdigest()[:16]}
        for name in names
    ]  # fmt: skip
    return json.dumps({"version": "4", "groupKey": "g", "status": "firing", "receiver": "qd", "alerts": said}).encode()


def test_a_delivery_starts_what_waits_for_it_once_however_often_it_comes(site: Site) -> None:
    body = b'{"issue": 7}'
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: site.post("forge", body, github(body, "d-1")), range(16)))
    assert {answer.status_code for answer in answers} == {202}
    assert sum(not answer.json()["repeated"] for answer in answers) == 1
    until = time.monotonic() + 15
    while not (heard := site.events("shop.heard")) and time.monotonic() < until:
        time.sleep(0.2)
    assert [event["subject"] for event in heard] == ["7"]
    assert len(site.events("webhook.forge")) == 1


def test_a_signature_is_good_for_its_time_alone(site: Site) -> None:
    body, now = b'{"paid": 1}', time.time()
    assert site.post("billing", body, standard(body, "m-1", now)).status_code == 202
    assert site.post("billing", body, standard(body, "m-2", now - 3600)).status_code == 401
    assert site.post("billing", body + b" ", standard(body, "m-3", now)).status_code == 401
    assert len(site.events("webhook.billing")) == 1


def test_a_group_of_alerts_is_one_event_for_each(site: Site) -> None:
    headers = {"authorization": f"Bearer {SECRETS['am']}"}
    began = time.monotonic()
    many = alerts(*(f"robot-{n}" for n in range(200)))
    assert site.post("alertmanager", many, headers).json() == {"events": 200, "repeated": 0}
    assert time.monotonic() - began < 5
    again = alerts("robot-1", "robot-2", "robot-new")
    assert site.post("alertmanager", again, headers).json() == {"events": 3, "repeated": 2}
    told = site.json("events", "ls", "--event", "qd.alert.firing", "--limit", "1")["rows"][0]
    assert told["subject"].startswith("alertmanager/") and told["data"]["system"] == "alertmanager"


def test_strangers_learn_nothing_and_leave_nothing(site: Site) -> None:
    body = b'{"issue": 8}'
    before = len(site.events("webhook.forge"))
    said = {
        (site.post(source, body, headers).status_code, site.post(source, body, headers).text)
        for source, headers in (
            ("forge", {}),
            ("forge", {"authorization": "Bearer guess"}),
            ("forge", {"x-hub-signature-256": "sha256=" + "0" * 64}),
            ("nobody", {"authorization": f"Bearer {SECRETS['gh']}"}),
            ("alertmanager", {}),
            ("..%2fforge", {}),
        )
    }
    assert {status for status, _ in said} <= {401, 404}
    assert len({text for status, text in said if status == 401}) == 1
    assert len(site.events("webhook.forge")) == before
    large = b"x" * (2 << 20)
    assert site.post("forge", large, github(large, "big")).status_code == 413
    assert httpx.get(f"http://127.0.0.1:{site.port}/hooks/forge", trust_env=False).status_code == 405


def test_what_cannot_be_read_waits_for_somebody(site: Site) -> None:
    headers = {"authorization": f"Bearer {SECRETS['am']}"}
    old = alerts("robot-x").replace(b'"version": "4"', b'"version": "3"')
    answer = site.post("alertmanager", old, headers)
    assert answer.status_code == 202
    first = answer.json()["quarantined"]
    assert site.post("alertmanager", old, headers).json()["quarantined"] == first
    cut = b'{"issue": 9, "title": "\xff'
    second = site.post("forge", cut, github(cut, "d-cut")).json()["quarantined"]
    rows = site.json("hooks", "ls", "--deliveries")
    assert {(row["id"], row["source"], row["times"]) for row in rows} == {
        (first, "alertmanager", 2),
        (second, "forge", 1),
    }
    shown = site.run("hooks", "show", first).stdout
    assert "version" in shown and "robot-x" in shown and "Bearer {secret}" in shown
    assert SECRETS["am"] not in shown
    refused = site.run("hooks", "retry", first)
    assert refused.returncode == 1 and "still can't be read" in refused.stdout + refused.stderr
    assert site.run("hooks", "discard", second, "--reason", "cut off by the proxy").returncode == 0
    assert site.run("hooks", "discard", second, "--reason", "again").returncode == 1
    assert site.post("forge", cut, {"authorization": "Bearer guess"}).status_code == 401
    sources = {one["name"]: one for one in site.json("hooks", "ls")["sources"]}
    assert sources["alertmanager"]["waiting"] == 1 and sources["alertmanager"]["kind"] == "alertmanager"
    assert sources["forge"]["waiting"] == 0 and sources["forge"]["unproven"] >= 1
    state = b"".join(path.read_bytes() for path in (site.home / "state").glob("quarterdeck.db*"))
    assert not any(secret.encode() in state for secret in SECRETS.values())


def test_a_slow_sender_holds_up_nobody(site: Site) -> None:
    head = (
        b"POST /hooks/forge HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\nauthorization: Bearer "
        + SECRETS["gh"].encode()
        + b"\r\n\r\n{"
    )
    slow = [socket.create_connection(("127.0.0.1", site.port), 5) for _ in range(20)]
    try:
        for sock in slow:
            sock.sendall(head)
        body = b'{"issue": 10}'
        began = time.monotonic()
        assert site.post("forge", body, github(body, "d-fast")).status_code == 202
        assert time.monotonic() - began < 2
    finally:
        for sock in slow:
            sock.close()
