"""The two servers answer in the shape of the real ones, quirks included, and give nothing to strangers."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from connectors.prometheus import selector
from connectors.sandbox.scenarios import SCENARIOS
from connectors.sandbox.selector import BadQuery, parse
from connectors.sandbox.signals_server import SignalsServer
from connectors.sandbox.updates_server import UpdatesServer
from connectors.sandbox.world import World


@pytest.fixture
def world() -> World:
    made = World(SCENARIOS["healthy"], 7, 600, 24)
    made.start()
    return made


@pytest.fixture
def updates(world: World) -> TestClient:
    client = TestClient(UpdatesServer(world, "kay", "pw", "control", lambda: None).app)
    token = client.post("/login", data={"username": "kay", "password": "pw"}).json()["access_token"]
    client.headers["authorization"] = f"Bearer {token}"
    return client


@pytest.fixture
def signals(world: World) -> TestClient:
    return TestClient(SignalsServer(world).app)


def devices(client: TestClient) -> dict[str, Any]:
    return {d["id"]: d for d in client.get("/api/v1/devices").json()["devices"]}


@pytest.mark.parametrize("path", ["devices", "devices/x", "devices/x/log", "software", "rollouts"])
def test_strangers_get_401(updates: TestClient, path: str) -> None:
    for headers in ({"authorization": ""}, {"authorization": "Bearer x"}, {"authorization": "Basic eA=="}):
        answer = updates.get(f"/api/v1/{path}", headers=headers)
        assert (answer.status_code, answer.json()) == (401, {"detail": "Not authenticated"})
    assert updates.patch("/api/v1/devices", json={"devices": []}, headers={"authorization": ""}).status_code == 401
    assert updates.post("/login", data={"username": "kay", "password": "no"}).status_code == 401


def test_an_unknown_id_answers_500_after_those_before_it_were_changed(updates: TestClient) -> None:
    one, two = list(devices(updates))[:2]
    answer = updates.patch("/api/v1/devices", json={"devices": [one, "nobody", two], "software": "3"})
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    found = devices(updates)
    assert found[one]["assigned_software"]["version"] == "4.8.1" and found[two]["assigned_software"] is None


def test_an_unknown_software_answers_success_and_assigns_nothing(updates: TestClient) -> None:
    (one,) = list(devices(updates))[:1]
    for software in ("99", "nonsense"):
        answer = updates.patch("/api/v1/devices", json={"devices": [one], "software": software})
        assert answer.json() == {"success": True}
        assert devices(updates)[one]["assigned_software"] is None and devices(updates)[one]["update_mode"] == "Assigned"


def test_setting_software_or_pinned_clears_the_feed(updates: TestClient) -> None:
    one, two = list(devices(updates))[:2]
    updates.patch("/api/v1/devices", json={"devices": [one], "software": "2"})
    updates.patch("/api/v1/devices", json={"devices": [two], "pinned": True})
    found = devices(updates)
    assert found[one]["feed"] is None and found[two]["feed"] is None and found[two]["update_mode"] == "Pinned"
    updates.patch("/api/v1/devices", json={"devices": [one], "software": "rollout", "feed": "canary"})
    assert (devices(updates)[one]["feed"], devices(updates)[one]["update_mode"]) == ("canary", "Rollout")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"devices": "x"}', b'{"devices": [1]}', b'{"software": "3"}', b"\xff"]
)
def test_a_malformed_change_is_422(updates: TestClient, body: bytes) -> None:
    assert updates.patch("/api/v1/devices", content=body).status_code == 422


def test_the_control_wants_its_own_token(world: World) -> None:
    stopped: list[int] = []
    client = TestClient(UpdatesServer(world, "kay", "pw", "control", lambda: stopped.append(1)).app)
    for body in ({"stop": True}, {"token": "pw", "stop": True}, {"token": 7, "stop": True}, []):
        assert client.post("/world", json=body).status_code == 401
    assert client.post("/world", content=b"{").status_code == 401 and stopped == []
    assert client.post("/world", json={"token": "control", "stop": True}).status_code == 200 and stopped == [1]


def test_the_truth_says_what_happened(world: World, updates: TestClient) -> None:
    found = updates.get("/world").json()
    assert (
        len(found["versions"]) == 24
        and found["installs"] == []
        and found["touched"] == []
        and found["counts"] == {"4.7.3": 24}
    )


def query(client: TestClient, text: str, **more: Any) -> Any:
    return client.post("/api/v1/query", data={"query": text, **more}).json()


def test_queries_answer_as_prometheus_does(world: World, signals: TestClient) -> None:
    found = query(signals, "robot_info")["data"]
    assert found["resultType"] == "vector" and len(found["result"]) == 24
    metric, value = found["result"][0]["metric"], found["result"][0]["value"]
    assert metric["__name__"] == "robot_info" and isinstance(value[0], float) and value[1] == "1"
    site = metric["site"]
    assert 0 < len(query(signals, f'robot_info{{site="{site}"}}')["data"]["result"]) < 24
    assert len(query(signals, f'robot_info{{site!="{site}"}}')["data"]["result"]) == 24 - len(
        query(signals, f'robot_info{{site="{site}"}}')["data"]["result"]
    )
    assert query(signals, "nothing_like_it")["data"]["result"] == []
    several = query(signals, '{__name__=~"robot_info|robot_poll_interval_seconds|up"}')["data"]["result"]
    assert sorted({r["metric"]["__name__"] for r in several}) == ["robot_info", "robot_poll_interval_seconds"]
    end = world.now()
    answer = signals.get(
        "/api/v1/query_range", params={"query": "robot_heartbeats_total", "start": end - 3000, "end": end, "step": 300}
    ).json()["data"]
    assert answer["resultType"] == "matrix" and max(len(r["values"]) for r in answer["result"]) == 11
    assert all(isinstance(v, str) for r in answer["result"] for _, v in r["values"])


@pytest.mark.parametrize(
    "text", ["sum(", "up{", 'up{a="b"', "up{a=b}", "rate(up[5m])", 'up{a=~"("}', "", "{}", "up up", 'up{a="b" c="d"}']
)
def test_what_it_cannot_answer_is_bad_data(signals: TestClient, text: str) -> None:
    answer = signals.post("/api/v1/query", data={"query": text})
    assert answer.status_code == 400 and answer.json()["errorType"] == "bad_data"


@pytest.mark.parametrize(
    "more",
    [{"step": "0"}, {"step": "-1"}, {"step": "x"}, {"start": "NaN"}, {"start": "0", "step": "1"}, {"end": "inf"}],
)
def test_impossible_ranges_are_bad_data(world: World, signals: TestClient, more: dict[str, str]) -> None:
    now = world.now()
    asked = {"query": "robot_info", "start": str(now - 100), "end": str(now), "step": "10"} | more
    answer = signals.post("/api/v1/query_range", data=asked)
    assert answer.status_code == 400 and answer.json()["status"] == "error"


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(st.lists(NAMES, min_size=1, max_size=5), NAMES)
def test_what_the_connector_writes_selects_exactly_those_robots(robots: list[str], other: str) -> None:
    """The connector's quoting and this parser, against each other: no name can say more than itself."""
    query = parse(selector("robot_info", {}, "robot", robots))
    assert query.names(["up"]) == ["robot_info"]
    assert all(query.matches({"robot": r}) for r in robots)
    assert query.matches({"robot": other}) == (other in robots)


@given(NAMES, NAMES)
def test_an_exact_label_matches_itself_alone(value: str, other: str) -> None:
    query = parse(selector("m", {"robot": value}))
    assert query.matches({"robot": value}) and query.matches({"robot": other}) == (other == value)


@given(st.text(max_size=60))
def test_the_parser_survives_anything(text: str) -> None:
    with contextlib.suppress(BadQuery):
        parse(text)
