"""Faults between us and the real gooseBit, Prometheus and Roundup: named, bounded, never twice, never silent."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

import connectors.goosebit
import connectors.prometheus
import connectors.roundup
from connectors.http import TRIES
from engine.capabilities.ports import ActionError, InDoubt
from engine.capabilities.systems.ports import NewTicket
from tests.integration.connectors.certificates import Authority
from tests.integration.connectors.fault_proxy import Fault, FaultProxy, Rule, bomb, huge
from tests.integration.connectors.ground import WallClock
from tests.services.fixtures import GooseBitServer, PrometheusServer, goosebit, prometheus
from tests.services.roundup import RoundupServer, roundup

__all__ = ["goosebit", "prometheus", "roundup"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]
SYSTEMS = ("goosebit", "prometheus", "tracker")


class Real(Struct, frozen=True, kw_only=True):
    """A real server, the connector that speaks to it, and one question both have an answer to at `path`."""

    url: str
    path: str
    options: dict[str, Any]
    connector: Any
    secret: str
    ask: Callable[[Any], Awaitable[Any]]

    @asynccontextmanager
    async def behind(self, rule: Rule, **more: Any) -> AsyncIterator[tuple[FaultProxy, Any]]:
        tls, options = more.pop("tls", None), {**self.options, "timeout_s": 1.5, **more}
        async with FaultProxy(self.url, rule, tls=tls) as proxy:
            config = {"url": proxy.url, **({"secret": "s"} if self.secret else {}), **options}
            (port,) = {
                id(p): p for p in self.connector.build(config, lambda _: self.secret, WallClock(), {}).values()
            }.values()
            try:
                yield proxy, port
            finally:
                await port.close()

    def asked(self, proxy: FaultProxy) -> int:
        return sum(self.path in path for _, path, _ in proxy.seen)

    def first(self, count: int, fault: Fault) -> Rule:
        """The first `count` askings go wrong."""
        left = [count]

        def rule(method: str, path: str) -> Fault | None:
            if self.path not in path or left[0] < 1:
                return None
            left[0] -= 1
            return fault

        return rule


@pytest.fixture(params=SYSTEMS)
def real(request: pytest.FixtureRequest) -> Real:
    if request.param == "goosebit":
        updates: GooseBitServer = request.getfixturevalue("goosebit")
        return Real(
            url=updates.url, path="/api/v1/software", options={"username": updates.username}, secret=updates.password,
            connector=connectors.goosebit.connector, ask=lambda port: port.releases(),
        )  # fmt: skip
    if request.param == "prometheus":
        metrics: PrometheusServer = request.getfixturevalue("prometheus")
        return Real(
            url=metrics.url, path="/api/v1/query", options={}, secret="", connector=connectors.prometheus.connector,
            ask=lambda port: port.instant("up"),
        )  # fmt: skip
    tracker: RoundupServer = request.getfixturevalue("roundup")
    return Real(
        url=tracker.url, path="/rest/data/msg", options={"username": tracker.username}, secret=tracker.password,
        connector=connectors.roundup.connector, ask=lambda port: port.find("no such key"),
    )  # fmt: skip


PASSING = {
    "500": Fault(forward=False, status=500, body=b"Internal Server Error"),
    "502": Fault(status=502, body=b"<html>bad gateway</html>"),
    "503": Fault(forward=False, status=503, headers=(("retry-after", "0"),), body=b"busy"),
    "429": Fault(forward=False, status=429, headers=(("retry-after", "0"),), body=b"slow down"),
    "reset": Fault(reset=True),
    "reset-mid-body": Fault(reset=True, send=9),
    "cut-short": Fault(send=7),
    "truncated-json": Fault(forward=False, status=200, body=b'{"data": {"id'),
    "wrong-content-type": Fault(
        forward=False, status=200, headers=(("content-type", "text/html"),), body=b"<html>maintenance</html>"
    ),
    "latency": Fault(delay=1.8),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
async def test_what_passes_is_waited_out(real: Real, fault: Fault) -> None:
    async with real.behind(real.first(1, fault)) as (proxy, port):
        await real.ask(port)
        assert real.asked(proxy) == 2


LASTING = {
    "500": (Fault(forward=False, status=500, body=b"x"), "ServerError", "unavailable"),
    "429": (Fault(forward=False, status=429, headers=(("retry-after", "77"),), body=b""), "RateLimited", "unavailable"),
    "reset-mid-body": (Fault(reset=True, send=9), "Disconnected", "communication"),
    "truncated-json": (Fault(forward=False, status=200, body=b'{"data": {"id'), "Disconnected", "communication"),
    "wrong-content-type": (
        Fault(forward=False, status=200, headers=(("content-type", "text/html"),), body=b"<html>\x1b[2J</html>"),
        "Disconnected",
        "communication",
    ),
    "huge": (huge(40 << 20), "AnswerTooLarge", "validation"),
    "bomb": (bomb(200 << 20), "AnswerTooLarge", "validation"),
    "slow-loris": (Fault(forward=False, status=200, body=b'{"data": "' + b"x" * 4000, drip=0.02), "Timeout", "timeout"),
    "403": (Fault(forward=False, status=403, body=b"no"), "Forbidden", "authorization"),
}


@pytest.mark.parametrize(("fault", "error", "kind"), LASTING.values(), ids=LASTING.keys())
async def test_what_lasts_is_named_and_not_hammered(real: Real, fault: Fault, error: str, kind: str) -> None:
    async with real.behind(real.first(99, fault)) as (proxy, port):
        began = time.monotonic()
        with pytest.raises(ActionError) as caught:
            await real.ask(port)
        assert (caught.value.error, caught.value.kind) == (error, kind), caught.value.message
        assert not isinstance(caught.value, InDoubt) and "\x1b" not in caught.value.message
        assert real.asked(proxy) <= TRIES and time.monotonic() - began < 10
        assert caught.value.retryable == (kind not in ("validation", "authorization"))
        if error == "RateLimited":
            assert caught.value.retry_after == 77 and real.asked(proxy) == 1, "the wait is handed on, not sat out"


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        ({"self_signed": True}, "self-signed"),
        ({"expired": True}, "expired"),
        ({"host": "elsewhere.example"}, "IP address mismatch"),
    ],
    ids=["self-signed", "expired", "wrong-host"],
)
async def test_a_certificate_that_is_wrong_ends_it_before_anything_is_sent(
    real: Real, tmp_path: Path, shown: dict[str, Any], why: str
) -> None:
    authority = Authority(tmp_path)
    async with real.behind(lambda m, p: None, tls=authority.server(**shown), ca=authority.file) as (proxy, port):
        with pytest.raises(ActionError) as caught:
            await real.ask(port)
        assert (caught.value.error, caught.value.kind) == ("CertificateRefused", "configuration")
        assert why in caught.value.message and not caught.value.retryable and proxy.seen == []


async def test_a_certificate_of_the_named_authority_is_taken_and_of_no_other(real: Real, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with real.behind(lambda m, p: None, tls=authority.server(), ca=authority.file) as (_, port):
        if real.connector.kind != "roundup":  # it knows its own address and refuses callers that came by another
            await real.ask(port)
    async with real.behind(lambda m, p: None, tls=authority.server()) as (proxy, port):
        with pytest.raises(ActionError) as caught:
            await real.ask(port)
        assert caught.value.error == "CertificateRefused" and proxy.seen == []
    with pytest.raises(ActionError) as caught:
        async with real.behind(lambda m, p: None, ca=str(tmp_path / "none.pem")) as (_, port):
            await real.ask(port)
    assert caught.value.error == "NotConfigured"


# -- writes -----------------------------------------------------------------------------------------------------------


LOST = {
    "reset": Fault(reset=True),
    "500": Fault(status=500, body=b"Internal Server Error"),
    "huge": Fault(status=200, body=b"x" * (33 << 20)),
    "slow-loris": Fault(drip=0.2),
}


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST.keys())
async def test_a_write_whose_answer_was_lost_is_one_write(roundup: RoundupServer, fault: Fault) -> None:
    """Roundup opens the ticket, we don't hear of it: in doubt, then found by its mark."""
    left = [1]

    def rule(method: str, path: str) -> Fault | None:
        if method == "POST" and "/issue" in path and not path.endswith("@poe") and left[0]:
            left[0] -= 1
            return fault
        return None

    real = Real(
        url=roundup.url, path="", options={"username": roundup.username}, secret=roundup.password,
        connector=connectors.roundup.connector, ask=lambda port: port.check(),
    )  # fmt: skip
    word = f"fault-{uuid.uuid4().hex[:10]}"
    async with real.behind(rule) as (_, port):
        try:  # the connector may look for itself, or leave that to who asked
            ticket = await port.open(NewTicket(title=word, body="b"), key=word)
        except InDoubt:
            ticket = await port.open(NewTicket(title=word, body="b"), key=word, in_doubt=True)
        assert left == [0]
        assert ticket.title == word
    assert roundup.count("issue", title=word) == 1
