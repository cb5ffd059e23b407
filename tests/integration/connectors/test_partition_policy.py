"""The policy engine is cut off: no answer is a no for people and a wait for runs; both go on when it is back."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.connectors.fault_proxy import FaultProxy
from tests.integration.connectors.partition import Cut, cut_off, room_of, seen_through, started
from tests.services.fixtures import _instance, service

__all__ = ["room_of"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]
POLICY = """
package quarterdeck
import rego.v1
default allow := false
allow if input.verb == "run.start"
dispatch := {"allow": true} if input.robot == "robot-1"
"""
ASK = "policy: 1\nask: {system: opa, path: quarterdeck/allow, verbs: [run.start], within: 2s}\n"


@pytest.fixture(scope="module")
def opa() -> Iterator[dict[str, str]]:
    instance = _instance()
    found = service("opa.sh", "start", instance=instance)
    try:
        token = Path(found["token_file"]).read_text("utf-8").strip()
        headers = {"authorization": f"Bearer {token}"}
        url = f"{found['url']}/v1/policies/partition"
        httpx.put(url, content=POLICY, headers=headers, timeout=10, trust_env=False).raise_for_status()
        yield {"url": found["url"], "token": token}
    finally:
        service("opa.sh", "wipe", instance=instance)


async def test_a_policy_engine_that_is_cut_off(opa: dict[str, str], room_of: Any) -> None:
    word, cut = f"part-{uuid.uuid4().hex[:10]}", Cut(1, "drop", at="dispatch")
    async with FaultProxy(opa["url"], answered=cut.answered) as cut.proxy:
        system = {
            "kind": "opa",
            "url": cut.proxy.url,
            "secret": "opa",
            "options": {"path": "quarterdeck/allow", "timeout_s": 2.0},
        }
        room = await room_of({"opa": system}, {"opa": opa["token"]}, policy_file=ASK)
        ask = {"action": "policy.ask", "with": {"path": "quarterdeck/dispatch", "input": {"robot": "robot-1"}}}
        run = await started(room, word, {"ask": ask})
        await cut_off(room, run, cut)
        refused = await room.tried("run.start", word, inputs={})
        assert refused.status_code == 403, refused.text
        assert "opa decides about run.start too" in refused.text and (
            "answer" in refused.text or "asked" in refused.text
        )
        ended = await seen_through(room, run, cut, "OPA")
        assert [step["output"]["allow"] for step in ended["steps"] if step.get("output")] == [True]
        allowed = await room.command("run.start", word, inputs={})
        assert allowed["target"] != ended["run"]["id"]
    asked = [path for method, path in cut.proxy.acted if "dispatch" in path and method == "POST"]
    assert 2 <= len(asked) <= 3, "once for nobody, once after it was back; the second run's may be there too"
