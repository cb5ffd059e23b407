"""The real Alertmanager: what fires, silences that are made once, and its webhooks as it sends them."""

from __future__ import annotations

import asyncio
import datetime
import http.server
import threading
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from connectors.alertmanager import Alertmanager, connector
from connectors.http import HttpClient
from engine.capabilities.ports import ActionError, InDoubt
from engine.capabilities.systems import conformance
from engine.capabilities.systems.ports import BadSignature
from tests.integration.connectors.fault_proxy import Fault, FaultProxy
from tests.integration.connectors.ground import WallClock
from tests.services.fixtures import PrometheusServer

pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]


@pytest.fixture
async def alerts(prometheus: PrometheusServer) -> AsyncIterator[Alertmanager]:
    made = connector.build({"url": prometheus.alertmanager_url}, lambda name: "", WallClock(), {})["alerts"]
    yield made
    await made.close()


def fire(prometheus: PrometheusServer, robot: str, seconds: float = 300.0, **labels: str) -> None:
    """An alert as Prometheus would post it."""
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    one = {
        "labels": {"alertname": "RobotStuck", "severity": "critical", "robot": robot, **labels},
        "annotations": {"summary": f"{robot} stands in the aisle"},
        "endsAt": ends.isoformat(),
    }
    posted = httpx.post(f"{prometheus.alertmanager_url}/api/v2/alerts", json=[one], timeout=10, trust_env=False)
    posted.raise_for_status()


async def test_it_names_itself(alerts: Alertmanager) -> None:
    assert (await alerts.check()).startswith("Alertmanager 0.")


async def test_it_keeps_the_promises_of_the_port(alerts: Alertmanager) -> None:
    conformance.connector(connector)
    report = await conformance.check({"alerts": alerts}, system="alerts", now=time.time, write=True)
    conformance.assert_kept(report)


async def test_what_fires_is_told_with_its_robot_and_once_more_when_it_is_silenced(
    prometheus: PrometheusServer, alerts: Alertmanager
) -> None:
    fire(prometheus, "AM-1", weird='a"} or {b="c')
    fire(prometheus, "AM-2")
    (one,) = await alerts.firing({"robot": "AM-1"})
    assert (one.name, one.state, one.data["robot"], one.data["severity"]) == (
        "RobotStuck", "active", "AM-1", "critical",
    )  # fmt: skip
    assert [a.data["robot"] for a in await alerts.firing({"weird": 'a"} or {b="c'})] == ["AM-1"], "quoted, not a query"
    until = time.time() + 600
    made = await alerts.silence({"robot": "AM-1"}, until=until, by="kay", comment="on the bench, M-7", key="run/1")
    assert (made.state, made.by, made.comment, made.matchers) == (
        "active",
        "kay",
        "on the bench, M-7",
        {"robot": "AM-1"},
    )
    assert abs(made.ends_at - until) < 1
    again = await alerts.silence({"robot": "AM-1"}, until=until, by="kay", comment="on the bench, M-7", key="run/1")
    assert again.id == made.id, "one key is one silence"
    mirrored = await alerts.pull("alert", "")
    seen = {o.data["robot"]: o for o in mirrored.objects}
    limit = time.monotonic() + 10
    while seen["AM-1"].state != "suppressed":  # it decides at its next look at the group
        assert time.monotonic() < limit
        await asyncio.sleep(0.2)
        seen = {o.data["robot"]: o for o in (await alerts.pull("alert", "")).objects}
    assert seen["AM-1"].data["silenced_by"] == [made.id] and seen["AM-2"].state == "active"
    assert mirrored.full and seen["AM-1"].id == one.id, "its identity stays"
    await alerts.unsilence(made.id)
    await alerts.unsilence(made.id)
    states = {s.id: s.state for s in await alerts.silences()}
    assert states[made.id] == "expired"
    listed = {o.id: o for o in (await alerts.pull("silence", "")).objects}
    assert listed[made.id].state == "expired" and listed[made.id].name == "robot=AM-1"


@pytest.mark.parametrize(
    ("matchers", "until", "comment", "error"),
    [
        ({}, 600, "why", "BadMatchers"),
        ({"robot": ""}, 600, "why", "BadMatchers"),
        ({'a="b",c': "d"}, 600, "why", "BadMatchers"),
        ({"robot": "AM-9"}, -1, "why", "BadEnd"),
        ({"robot": "AM-9"}, 600, "  ", "NoComment"),
    ],
)
async def test_a_silence_that_would_be_wrong_is_never_sent(
    alerts: Alertmanager, matchers: dict[str, str], until: float, comment: str, error: str
) -> None:
    before = len(await alerts.silences())
    with pytest.raises(ActionError) as caught:
        await alerts.silence(matchers, until=time.time() + until, by="kay", comment=comment, key="k")
    assert (caught.value.error, caught.value.retryable) == (error, False)
    assert len(await alerts.silences()) == before


async def test_a_silence_nobody_knows_cannot_be_ended(alerts: Alertmanager) -> None:
    for id_ in ("1ca32e13-0000-4000-8000-000000000000", "../alerts", "no-uuid"):
        with pytest.raises(ActionError) as caught:
            await alerts.unsilence(id_)
        assert caught.value.error == "NoSuchSilence"


@pytest.mark.parametrize(
    "fault",
    [Fault(reset=True), Fault(send=5), Fault(status=500, body=b"oh"), Fault(delay=3.0), Fault(status=200, body=b"{}")],
    ids=["reset", "cut-short", "500", "latency", "not-what-was-promised"],
)
async def test_a_silence_that_was_made_and_not_answered_is_found_not_made_again(
    prometheus: PrometheusServer, fault: Fault
) -> None:
    left = [1]

    def rule(method: str, path: str) -> Fault | None:
        if method == "POST" and path.startswith("/api/v2/silences") and left[0]:
            left[0] -= 1
            return fault
        return None

    key, robot = f"run/{time.time()}", f"AM-{time.time_ns()}"
    async with FaultProxy(prometheus.alertmanager_url, rule) as proxy:
        alerts = Alertmanager(HttpClient(proxy.url, name="Alertmanager", timeout_s=1.0), WallClock())
        asked = {"until": time.time() + 600, "by": "kay", "comment": "parts are here", "key": key}
        with pytest.raises(InDoubt):
            await alerts.silence({"robot": robot}, **asked)  # type: ignore[arg-type]
        found = await alerts.silence({"robot": robot}, **asked, in_doubt=True)  # type: ignore[arg-type]
        assert [s.id for s in await alerts.silences() if s.matchers == {"robot": robot}] == [found.id]
        await alerts.close()


class Caught:
    """What was posted to us, as it came: headers with lower-case names, and the body."""

    def __init__(self) -> None:
        self.deliveries: list[tuple[dict[str, str], bytes]] = []

    def wait(self, event: str, robot: str, seconds: float = 20.0) -> tuple[dict[str, str], bytes]:
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            for headers, body in list(self.deliveries):
                told = connector.receive(headers, body, "hook token", time.time())
                if any(t.event == event and t.data["robot"] == robot for t in told):
                    return headers, body
            time.sleep(0.1)
        raise TimeoutError(f"{event} of {robot} was not told: {len(self.deliveries)} deliveries")


@pytest.fixture
def caught() -> Iterator[tuple[Caught, str]]:
    found = Caught()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.deliveries.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found, f"http://127.0.0.1:{server.server_port}/hooks/alerts"
    server.shutdown()
    server.server_close()


def test_its_webhooks_are_understood_as_it_sends_them(prometheus: PrometheusServer, caught: tuple[Caught, str]) -> None:
    hook, url = caught
    prometheus.tell(url, "hook token")
    fire(prometheus, "AM-21")
    fire(prometheus, "AM-22", seconds=3)
    headers, body = hook.wait("qd.alert.firing", "AM-21")
    first = {t.data["robot"]: t for t in connector.receive(headers, body, "hook token", time.time())}
    assert first["AM-21"].data["summary"] == "AM-21 stands in the aisle" and first["AM-21"].data["ends_at"] == 0
    headers, body = hook.wait("qd.alert.resolved", "AM-22")
    both = {t.data["robot"]: t for t in connector.receive(headers, body, "hook token", time.time())}
    assert both["AM-22"].event == "qd.alert.resolved" and both["AM-22"].data["ends_at"] > 0
    assert both["AM-21"].event == "qd.alert.firing" and both["AM-21"].id == first["AM-21"].id, "told again: one event"
    assert both["AM-22"].id != first.get("AM-22", both["AM-21"]).id
    for wrong in ({}, {"authorization": "Bearer other"}, {"authorization": "hook token"}):
        with pytest.raises(BadSignature):
            connector.receive(wrong, body, "hook token", time.time())
    with pytest.raises(BadSignature):
        connector.receive({"authorization": "Bearer "}, body, "", time.time())
