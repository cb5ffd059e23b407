"""A real engine that asks a real Rego evaluator beside its own roles: what it allows is done, everything else is not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.http import Bearer, HttpClient
from connectors.opa import Opa
from engine.capabilities.ports import ActionError
from engine.capabilities.systems import conformance
from tests.e2e.installation import Installation
from tests.services.fixtures import _instance, service

pytestmark = pytest.mark.service

POLICY = """
package quarterdeck
import rego.v1

default allow := false
allow if {
    input.verb == "workflow.register"
}
allow if {
    input.verb == "run.start"
    input.target != "frozen"
}
dispatch := {"allow": false, "deny_reason": sprintf("%s is in maintenance", [input.robot])} if {
    data.robots[input.robot].mode == "maintenance"
} else := {"allow": true}
"""
FLOW = """
quarterdeck: 1
workflow: {name}
version: 1
title: {name}
inputs: {{robot: {{type: string, default: robot-1}}}}
triggers: [{{manual: {{roles: [admin]}}}}]
steps:
  ask:
    action: policy.ask
    timeout: 1m
    retry: {{attempts: 30, first: 1s, factor: 1, cap: 1s, jitter: none}}
    with: {{path: quarterdeck/dispatch, input: {{robot: "${{inputs.robot}}"}}}}
  say:
    emit: shop.decided
    subject: "${{inputs.robot}}"
    with: {{allow: "${{steps.ask.output.allow}}", reason: "${{steps.ask.output.reason}}"}}
"""


class Server:
    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token
        self.http = httpx.Client(
            base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=10, trust_env=False
        )

    def fault(self, mode: str, *, only: str = "") -> None:
        """`only` at paths that hold this word."""
        self.http.put("/faults", json={"mode": mode, "only": only}).raise_for_status()

    def client(self) -> Opa:
        return Opa(HttpClient(self.url, name="OPA", auth=Bearer(lambda: self.token)), "quarterdeck/allow")


@pytest.fixture(scope="module")
def opa() -> Iterator[Server]:
    instance = _instance()
    found = service("opa.sh", "start", instance=instance)
    server = Server(found["url"], Path(found["token_file"]).read_text("utf-8").strip())
    try:
        server.http.put("/v1/policies/quarterdeck", content=POLICY).raise_for_status()
        server.http.put("/v1/data/robots", json={"robot-2": {"mode": "maintenance"}}).raise_for_status()
        yield server
    finally:
        server.http.close()
        service("opa.sh", "wipe", instance=instance)


@pytest.fixture(scope="module")
def home(opa: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("opa") / "home")
    folder = made.home / "config"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "quarterdeck.yaml").write_text(
        f"connectors: {{opa: {{kind: opa, url: {opa.url!r}, secret: opa, options: {{path: quarterdeck/allow}}}}}}\n"
    )
    policy = folder / "policy.yaml"
    policy.write_text(
        "policy: 1\nask: {system: opa, path: quarterdeck/allow, verbs: [run.*, workflow.*], within: 2s}\n"
    )
    policy.chmod(0o600)
    subprocess.run(
        [sys.executable, "-m", "engine.secret", "set", "opa", "--config", str(folder)],
        input=opa.token, text=True, check=True, capture_output=True,
    )  # fmt: skip
    for name in ("shown", "frozen"):
        (made.home / f"{name}.yaml").write_text(FLOW.format(name=name))
    started = made.run("engine", "start")
    assert started.returncode == 0, started.stderr
    for name in ("shown", "frozen"):
        registered = made.run("workflows", "register", str(made.home / f"{name}.yaml"))
        assert registered.returncode == 0, registered.stderr
    yield made
    made.stop()


async def test_the_port_against_a_real_evaluator(opa: Server) -> None:
    port = opa.client()
    assert await port.check() == "Open Policy Agent"
    yes = await port.decide("quarterdeck/dispatch", {"robot": "robot-1"})
    no = await port.decide("quarterdeck/dispatch", {"robot": "robot-2"})
    nothing = await port.decide("quarterdeck/nope", {})
    assert (yes.allow, no.allow, nothing.allow) == (True, False, False)
    assert no.reason == "robot-2 is in maintenance" and no.id
    assert "not defined" in nothing.reason
    assert [one.has for one in await port.rights()] == [True, True]
    report = await conformance.check({"decisions": port}, system="opa", now=time.time, write=False)
    conformance.assert_kept(report)
    await port.close()
    stranger = Opa(HttpClient(opa.url, name="OPA", auth=Bearer(lambda: "wrong")))
    with pytest.raises(ActionError) as refused:
        await stranger.decide("quarterdeck/allow", {})
    assert refused.value.error == "Unauthenticated"
    await stranger.close()


def decided(home: Installation, run: str) -> list[dict[str, Any]]:
    return [row for row in home.json("events", "ls", "--event", "shop.decided")["rows"] if row["run"] == run]


def test_what_it_allows_is_done_and_the_rest_is_not(home: Installation, opa: Server) -> None:
    run = home.json("runs", "start", "shown", "--input", "robot=robot-2")["target"]
    refused = home.run("runs", "start", "frozen")
    assert refused.returncode == 1
    assert "opa decides about run.start too" in refused.stderr + refused.stdout
    until = time.monotonic() + 15
    while not (told := decided(home, run)) and time.monotonic() < until:
        time.sleep(0.2)
    assert told[0]["data"] == {"allow": False, "reason": "robot-2 is in maintenance"}
    lines = [json.loads(line) for line in home.run("history", "export").stdout.splitlines() if line.strip()]
    asked = [line for line in lines if line["type"] == "PolicyAsked"]
    assert {line["data"]["verb"] for line in asked} == {"workflow.register", "run.start"}
    assert all(line["data"]["decision"] for line in asked)
    assert "frozen" in [line["data"]["target"] for line in lines if line["type"] == "CommandRefused"]
    assert opa.token not in json.dumps(lines)


def test_a_run_waits_for_an_answer_and_goes_on(home: Installation, opa: Server) -> None:
    """No answer is no answer: the step neither passes nor fails, says why, and asks again."""
    opa.fault("error", only="dispatch")
    try:
        run = home.json("runs", "start", "shown", "--input", "robot=robot-1")["target"]
        time.sleep(3)
        assert decided(home, run) == []
        said = home.run("runs", "explain", run).stdout
        assert "waits for the next attempt after" in said, said
    finally:
        opa.fault("")
    until = time.monotonic() + 40
    while not (rows := decided(home, run)):
        assert time.monotonic() < until
        time.sleep(0.3)
    assert rows[0]["data"] == {"allow": True, "reason": ""}


@pytest.mark.parametrize(
    ("mode", "says"), [("slow", "within 2 s"), ("error", "could not be asked"), ("garbage", "could not be asked")]
)
def test_when_it_fails_nothing_is_allowed(home: Installation, opa: Server, mode: str, says: str) -> None:
    opa.fault(mode)
    try:
        began = time.monotonic()
        refused = home.run("runs", "start", "shown")
        assert refused.returncode == 1
        assert says in refused.stderr + refused.stdout
        assert time.monotonic() - began < 8
    finally:
        opa.fault("")
