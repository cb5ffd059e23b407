"""What OPA answers, and what it means: only a plain yes is a yes."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from connectors.http import HttpClient
from connectors.opa import Opa, connector
from engine.capabilities.ports import ActionError
from engine.capabilities.systems import conformance


def opa(answer: Any, status: int = 200, **more: Any) -> Opa:
    def say(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path, json.loads(request.content or b"null")))
        return httpx.Response(status, content=answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    asked: list[Any] = []
    made = Opa(HttpClient("http://127.0.0.1:1", name="OPA", transport=httpx.MockTransport(say)), **more)
    made.asked = asked  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize(
    ("answer", "allow", "reason"),
    [
        ({"result": True}, True, ""),
        ({"result": False}, False, "a/b says no"),
        ({}, False, "a/b is not defined for this question"),
        ({"decision_id": "d-1"}, False, "a/b is not defined for this question"),
        ({"result": None}, False, "a/b is neither true nor false nor an object with `allow`: null"),
        ({"result": "true"}, False, 'a/b is neither true nor false nor an object with `allow`: "true"'),
        ({"result": 1}, False, "a/b is neither true nor false nor an object with `allow`: 1"),
        ({"result": ["yes"]}, False, 'a/b is neither true nor false nor an object with `allow`: ["yes"]'),
        ({"result": {"allow": True}}, True, ""),
        ({"result": {"allow": True, "reason": "night shift"}}, True, "night shift"),
        ({"result": {"allow": "true"}}, False, "a/b has no rule `allow` that is true"),
        ({"result": {}}, False, "a/b has no rule `allow` that is true"),
        ({"result": {"allow": False, "deny_reason": "in maintenance"}}, False, "in maintenance"),
        ({"result": {"allow": True, "deny": ["frozen", "unsigned"]}}, False, "frozen; unsigned"),
        ({"result": {"allow": True, "deny": [{"msg": "frozen"}]}}, False, "frozen"),
        ({"result": {"allow": True, "deny": {"frozen": True}}}, False, "frozen"),
        ({"result": {"allow": True, "deny": True}}, False, "denied"),
        ({"result": {"allow": True, "deny": []}}, True, ""),
        ({"result": {"allow": False, "reason": "\x1b[31mred\u202e"}}, False, "␛[31mred�"),
    ],
)
async def test_only_a_plain_yes_is_a_yes(answer: Any, allow: bool, reason: str) -> None:
    found = await opa(answer).decide("a/b", {"verb": "x"})
    assert (found.allow, found.reason) == (allow, reason)


@pytest.mark.parametrize(
    ("status", "answer"), [(500, {}), (401, {}), (400, {}), (200, b'{"result": tru'), (200, b"[]")]
)
async def test_no_answer_is_an_error(status: int, answer: Any) -> None:
    port = opa(answer, status)
    port._http._sleep = _at_once  # type: ignore[method-assign]
    with pytest.raises(ActionError):
        await port.decide("a/b", {})


async def _at_once(seconds: float) -> None:
    return None


@pytest.mark.parametrize("path", ["", "/a", "a//b", "a/../b", "a?b", "a b", "a/%2e"])
async def test_a_path_is_the_path_of_a_rule(path: str) -> None:
    port = opa({"result": True})
    with pytest.raises(ActionError, match="no path of a rule"):
        await port.decide(path, {})
    assert port.asked == []  # type: ignore[attr-defined]


async def test_the_question_is_the_input() -> None:
    port = opa({"result": True, "decision_id": "d-7"})
    assert (await port.decide("quarterdeck/allow", {"verb": "run.start"})).id == "d-7"
    assert port.asked == [("/v1/data/quarterdeck/allow", {"input": {"verb": "run.start"}})]  # type: ignore[attr-defined]


async def test_rights_say_whether_it_may_be_asked_and_whether_the_rule_is_there() -> None:
    assert [one.has for one in await opa({}, usual="a/b").rights()] == [True, None]
    assert [one.has for one in await opa({"result": False}, usual="a/b").rights()] == [True, True]
    assert [one.has for one in await opa({}, 401, usual="a/b").rights()] == [False]


def test_the_connector_keeps_its_promises() -> None:
    conformance.connector(connector, {"url": "http://127.0.0.1:8181", "path": "quarterdeck/allow"})
    with pytest.raises(ActionError, match="no path of a rule"):
        connector.build({"url": "http://127.0.0.1:8181", "path": "/allow"}, lambda name: "", None, {})  # type: ignore[arg-type]
