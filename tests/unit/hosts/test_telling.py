"""Told events reach a sink in order, each at least once; a sink that fails holds up nothing but itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from connectors.cloudevents import CloudEventsSink, connector
from connectors.http import HttpClient
from engine.capabilities.ports import ActionError
from engine.hosts.telling import Telling
from tests.unit.hosts.conftest import ANA, World


class Heard:
    """A sink that remembers, and refuses when it is told to."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.trouble: ActionError | None = None

    def wants(self, event: str) -> bool:
        return event.startswith("qd.")

    async def send(self, envelope: Mapping[str, Any]) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.events.append(envelope)


async def tell(host: Any, event: str, id: str) -> None:
    await host.publish(event, {"n": id}, id=id, actor=ANA, source="site", subject="r1")


async def test_events_are_sent_in_order_from_where_it_stopped(world: World) -> None:
    host = await world.open()
    sink = Heard()
    for id in ("1", "2"):
        await tell(host, "qd.a.b", id)
    await tell(host, "other", "3")
    telling = Telling(host, sink)
    after = await telling.once(0)
    assert [event["id"] for event in sink.events] == ["1", "2"]
    assert sink.events[0]["type"] == "dev.quarterdeck.qd.a.b.v1"
    assert [event["qdseq"] for event in sink.events] == [1, 2]
    assert {event["authid"] for event in sink.events} == {"ana"}
    sink.trouble = ActionError("Unreachable", "no route", kind="unavailable")
    await tell(host, "qd.a.b", "4")
    with pytest.raises(ActionError):
        await telling.once(after)
    sink.trouble = None
    again = Telling(host, sink)
    task = asyncio.create_task(again.run())
    await world.when(lambda: len(sink.events) == 3)
    task.cancel()
    assert sink.events[-1]["id"] == "4"


async def test_an_event_the_sink_will_never_take_is_left_out_and_that_is_recorded(world: World) -> None:
    host = await world.open()
    sink = Heard()
    sink.trouble = ActionError("BadRequest", "too large", kind="validation", retryable=False)
    await tell(host, "qd.a.b", "1")
    await Telling(host, sink).once(0)
    await world.when(lambda: world.query("select 1 from events where type = 'EventNotTaken'"))


async def test_the_connector_posts_structured_cloudevents() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202)

    http = HttpClient("https://bus.example", name="the sink", transport=httpx.MockTransport(answer))
    sink = CloudEventsSink(http, "/in?x=1", ["qd.*"])
    await sink.send({"specversion": "1.0", "id": "1"})
    await sink.close()
    assert str(seen[0].url) == "https://bus.example/in?x=1"
    assert seen[0].headers["content-type"] == "application/cloudevents+json"
    assert json.loads(seen[0].content) == {"specversion": "1.0", "id": "1"}
    assert sink.wants("qd.case.opened") and not sink.wants("other")


def test_settings_of_the_sink() -> None:
    made = connector.build({"url": "http://127.0.0.1:9/e"}, lambda name: "", None, {})  # type: ignore[arg-type]
    assert made["sink"].wants("qd.x.y")
    with pytest.raises(ActionError):
        connector.build({"url": "http://127.0.0.1:9/e", "events": [1]}, lambda name: "", None, {})  # type: ignore[arg-type]
