"""What connectors do when the network or the server misbehaves: never twice, never unbounded, never silent."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from connectors.http import BREAK_AFTER, TRIES, HttpClient
from engine.capabilities.connections import Connections
from engine.capabilities.ports import ActionError, Fleet, InDoubt, Signals
from tests.integration.connectors.conftest import SandboxGround
from tests.integration.connectors.fault_proxy import Fault, FaultProxy, Rule, bomb, huge
from tests.integration.connectors.ground import connected

pytestmark = pytest.mark.timeout(120)
DEVICES, PATCH = ("GET", "/api/v1/devices"), ("PATCH", "/api/v1/devices")


@asynccontextmanager
async def behind(
    ground: SandboxGround, rule: Rule, timeout_s: float = 2.0
) -> AsyncIterator[tuple[FaultProxy, Connections]]:
    """The update server behind a proxy that misbehaves."""
    updates = ground.settings["updates"]
    async with FaultProxy(updates["url"], rule) as proxy:
        options = {**updates["options"], "timeout_s": timeout_s}
        links = connected(ground, updates={"url": proxy.url, "options": options})
        try:
            yield proxy, links
        finally:
            await links.close()


def times(count: int, method: str, path: str, fault: Fault) -> Rule:
    """The first `count` matching requests go wrong."""
    left = [count]

    def rule(m: str, p: str) -> Fault | None:
        if m == method and p.startswith(path) and left[0] > 0:
            left[0] -= 1
            return fault
        return None

    return rule


def asked(proxy: FaultProxy, method: str, path: str) -> int:
    return sum(1 for m, p, _ in proxy.seen if m == method and p.startswith(path))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(forward=False, status=500, body=b"Internal Server Error"),
        Fault(forward=False, status=503, body=b"busy"),
        Fault(forward=False, status=429, headers=(("retry-after", "0"),), body=b"slow down"),
        Fault(reset=True),
        Fault(reset=True, send=40),
        Fault(send=100),
        Fault(forward=False, status=200, body=b'{"devices": [{"id": "HAM2'),
        Fault(forward=False, status=200, body=b"<html>maintenance</html>"),
        Fault(delay=3.0),
    ],
    ids=["500", "503", "429", "reset", "reset-mid-body", "cut-short", "truncated-json", "html", "latency"],
)
async def test_a_read_is_tried_again_and_succeeds(sandbox: SandboxGround, fault: Fault) -> None:
    count = 1 if fault.delay else 2  # time-outs use up the call's own deadline
    async with behind(sandbox, times(count, *DEVICES, fault)) as (proxy, links):
        assert len(await links.port("updates").reports()) == 200
        assert asked(proxy, *DEVICES) == count + 1


@pytest.mark.parametrize(
    ("fault", "error", "kind"),
    [
        (Fault(forward=False, status=500, body=b"Internal Server Error"), "DeviceListBroken", "unavailable"),
        (Fault(forward=False, status=403, body=b'{"detail":"Not enough permissions"}'), "Forbidden", "authorization"),
        (Fault(forward=False, status=404, body=b"{}"), "NotFound", "validation"),
        (Fault(forward=False, status=429, headers=(("retry-after", "120"),), body=b""), "RateLimited", "unavailable"),
        (Fault(reset=True, send=40), "Disconnected", "communication"),
        (Fault(forward=False, status=200, body=b'{"devices": [{"id": 7'), "Disconnected", "communication"),
        (huge(40 << 20), "AnswerTooLarge", "validation"),
        (bomb(200 << 20), "AnswerTooLarge", "validation"),
    ],
    ids=["500", "403", "404", "429", "reset", "truncated", "huge", "bomb"],
)
async def test_what_stays_broken_is_named(sandbox: SandboxGround, fault: Fault, error: str, kind: str) -> None:
    async with behind(sandbox, times(99, *DEVICES, fault)) as (proxy, links):
        with pytest.raises(ActionError) as caught:
            await links.port("updates").reports()
        assert (caught.value.error, caught.value.kind) == (error, kind)
        assert "127.0.0.1" in caught.value.message
        assert asked(proxy, *DEVICES) <= TRIES
        if error == "RateLimited":
            assert caught.value.retry_after == 120 and asked(proxy, *DEVICES) == 1, "the wait is handed on, not sat out"
        if kind in ("authorization", "validation"):
            assert not caught.value.retryable and asked(proxy, *DEVICES) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(reset=True),
        Fault(send=5),
        Fault(delay=3.0),
        Fault(status=500, body=b"Internal Server Error"),
        Fault(status=200, body=b"ok"),
    ],
    ids=["reset", "cut-short", "latency", "500", "not-json"],
)
async def test_a_write_that_acted_but_was_not_answered_is_read_back_not_sent_again(
    sandbox: SandboxGround, fault: Fault
) -> None:
    (robot,) = sandbox.take(1)
    async with behind(sandbox, times(99, *PATCH, fault)) as (proxy, links):
        assert await links.port("updates").assign([robot], sandbox.new, key="k") == [robot]
        assert asked(proxy, *PATCH) == 1


async def test_a_write_that_may_not_have_arrived_is_in_doubt_and_not_sent_again(sandbox: SandboxGround) -> None:
    (robot,) = sandbox.take(1)
    async with behind(sandbox, times(99, *PATCH, Fault(forward=False, reset=True))) as (proxy, links):
        with pytest.raises(InDoubt) as caught:
            await links.port("updates").assign([robot], sandbox.new, key="k")
        assert asked(proxy, *PATCH) == 1 and caught.value.kind == "unknown"
        (report,) = await links.port("updates").reports([robot])
        assert report.desired in ("", sandbox.old)


async def test_a_write_the_server_refused_to_take_is_sent_again(sandbox: SandboxGround) -> None:
    """429 and 503 say that nothing was done."""
    (robot,) = sandbox.take(1)
    fault = Fault(forward=False, status=503, headers=(("retry-after", "0"),), body=b"")
    async with behind(sandbox, times(2, *PATCH, fault)) as (proxy, links):
        assert await links.port("updates").assign([robot], sandbox.new, key="k") == [robot]
        assert asked(proxy, *PATCH) == 3


async def test_an_expired_token_is_renewed_once(sandbox: SandboxGround) -> None:
    fault = Fault(forward=False, status=401, body=b'{"detail":"Not authenticated"}')
    async with behind(sandbox, times(1, *DEVICES, fault)) as (proxy, links):
        assert len(await links.port("updates").reports()) == 200
        assert asked(proxy, "POST", "/login") == 2
    async with behind(sandbox, times(99, *DEVICES, fault)) as (proxy, links):
        with pytest.raises(ActionError) as caught:
            await links.port("updates").reports()
        assert caught.value.error == "Unauthenticated" and asked(proxy, *DEVICES) == 2


async def test_credentials_do_not_follow_a_redirect(sandbox: SandboxGround) -> None:
    async with FaultProxy(sandbox.settings["updates"]["url"], lambda m, p: None) as elsewhere:
        fault = Fault(forward=False, status=302, headers=(("location", f"{elsewhere.url}/api/v1/devices"),), body=b"")
        async with behind(sandbox, times(99, *DEVICES, fault)) as (_, links):
            with pytest.raises(ActionError) as caught:
                await links.port("updates").reports()
            assert caught.value.error == "Redirected"
        assert elsewhere.seen == []


async def test_a_dead_server_is_not_hammered_and_is_found_again(sandbox: SandboxGround) -> None:
    wall = [0.0]

    async def sleep(seconds: float) -> None:
        wall[0] += seconds

    down = [True]

    def rule(method: str, path: str) -> Fault:
        return Fault(forward=False, reset=True) if down[0] else Fault(forward=False, status=200, body=b"[1]")

    async with FaultProxy("http://127.0.0.1:9", rule) as proxy:
        http = HttpClient(proxy.url, name="test", sleep=sleep, monotonic=lambda: wall[0])
        for _ in range(10):
            with pytest.raises(ActionError):
                await http.get("/x", list)
        assert len(proxy.seen) <= BREAK_AFTER + TRIES
        before = len(proxy.seen)
        with pytest.raises(ActionError) as caught:
            await http.get("/x", list)
        assert caught.value.error == "CircuitOpen" and caught.value.retry_after and len(proxy.seen) == before
        down[0], wall[0] = False, wall[0] + 120
        assert await http.get("/x", list) == [1] and await http.get("/x", list) == [1]
        await http.close()


async def test_the_pace_is_kept(sandbox: SandboxGround) -> None:
    async with FaultProxy("http://127.0.0.1:9", lambda m, p: Fault(forward=False, status=200, body=b"[]")) as proxy:
        http = HttpClient(proxy.url, name="test", rate_per_s=20)
        began = time.monotonic()
        await asyncio.gather(*(http.get("/x", list) for _ in range(40)))
        assert time.monotonic() - began >= 0.9
        await http.close()


async def test_the_request_log_shows_no_secret(sandbox: SandboxGround, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with behind(sandbox, lambda m, p: None) as (proxy, links):
        await links.port("updates").reports()
        http = links.port("updates")._http
        await http.get("/openapi.json", dict, params={"api_token": "hunter2", "page": "3"})
        sent = [h["authorization"] for _, _, h in proxy.seen if "authorization" in h]
        assert sent and all(s.startswith("Bearer ") for s in sent)
        password = sandbox.secret(sandbox.settings["updates"]["secret"])
        shown = repr(list(http.log)) + caplog.text
        assert "page=3" in shown and "/login" in shown
        for secret in (password, "hunter2", sent[0].removeprefix("Bearer ")):
            assert secret not in shown


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://updates.example.com", "plain http"),
        ("https://kay:pw@updates.example.com", "credentials"),
        ("ftp://updates.example.com", "not an http"),
        ("https://updates.example.com/?a=b", "query"),
    ],
)
def test_unsafe_addresses_are_refused_before_anything_is_sent(sandbox: SandboxGround, url: str, why: str) -> None:
    with pytest.raises(ActionError) as caught:
        connected(sandbox, updates={"url": url})
    assert caught.value.error == "NotConfigured" and why in caught.value.message and "pw" not in caught.value.message


PROMETHEUS_HEAD = b'{"status":"success","data":{"resultType":"vector","result":['


async def test_values_that_are_no_numbers_are_no_values(sandbox: SandboxGround) -> None:
    rows = b",".join(
        b'{"metric":{"__name__":"m","robot":"r%d"},"value":[1.5,"%s"]}' % (i, v)
        for i, v in enumerate((b"1.25", b"NaN", b"+Inf", b"-Inf", b"12e3", b"rubbish"))
    )
    fault = Fault(forward=False, status=200, body=PROMETHEUS_HEAD + rows + b"]}}")
    async with FaultProxy("http://127.0.0.1:9", lambda m, p: fault) as proxy:
        links = connected(sandbox, signals={"url": proxy.url})
        signals: Signals = links.port("signals")
        assert {labels["robot"]: s.value for labels, s in await signals.instant("m")} == {"r0": 1.25, "r4": 12000.0}
        await links.close()


async def test_hostile_labels_arrive_inert_and_short(sandbox: SandboxGround) -> None:
    name = sandbox.take(1)[0]
    customer = "\x1b]52;c;AAAA\x07[@click=app.quit]\u202eevil" + "x" * 5000
    metric = {"__name__": "robot_info", "robot": name, "customer": customer}
    answer = {"status": "success", "data": {"resultType": "vector", "result": [{"metric": metric, "value": [1, "1"]}]}}

    def rule(method: str, path: str) -> Fault:
        return Fault(forward=False, status=200, body=json.dumps(answer).encode())

    async with FaultProxy("http://127.0.0.1:9", rule) as proxy:
        links = connected(sandbox, signals={"url": proxy.url})
        fleet: Fleet = links.port("fleet")
        robot = next(r for r in await fleet.robots() if r.id == name)
        assert "evil" in robot.customer and len(robot.customer) <= 201
        assert not any(ord(c) < 32 or c in "\x7f\u202e" for c in robot.customer)
        await links.close()


async def test_metrics_lost_robots_are_shown_without_not_left_out(sandbox: SandboxGround) -> None:
    """Prometheus answers with nothing at all: the fleet is what the update server says, its mode UNKNOWN."""
    fault = Fault(forward=False, status=200, body=PROMETHEUS_HEAD + b"]}}")
    async with FaultProxy("http://127.0.0.1:9", lambda m, p: fault) as proxy:
        links = connected(sandbox, signals={"url": proxy.url})
        robots = await links.port("fleet").robots()
        assert len(robots) == 200 and {r.mode for r in robots} <= {"UNKNOWN", "OFFLINE"}
        assert all(r.version for r in robots)
        await links.close()
