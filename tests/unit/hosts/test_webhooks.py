"""Webhooks: proven by a secret, taken once, said in words when they are not."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import httpx
import pytest

from engine.api.config import SettingsError, WebhookSettings, load
from engine.api.webhooks import LARGEST, Webhooks
from engine.capabilities.events.rules import Limits
from engine.core.definition import Trigger
from engine.store.errors import StoreReadOnly
from tests.unit.hosts.conftest import World, action_step, workflow

SECRET = "quite secret"


class Post:
    """What another system would do."""

    def __init__(self, hooks: Webhooks) -> None:
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(hooks.application()), base_url="http://127.0.0.1")

    async def __call__(self, body: Any, source: str = "shop", **headers: str) -> httpx.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if "authorization" not in sent and "x-hub-signature-256" not in sent:
            sent["authorization"] = f"Bearer {SECRET}"
        return await self.client.post(f"/hooks/{source}", content=raw, headers=sent)


def hooks(teller: Any) -> Webhooks:
    return Webhooks(teller, {"shop": WebhookSettings(secret="shop-hook")}, lambda name: SECRET, Limits.of({}))


async def test_a_webhook_starts_the_run_that_waits_for_its_source_once(world: World) -> None:
    world.act("one")
    host = await world.open()
    await world.register(host, workflow(action_step("one"), triggers=(Trigger(webhook="shop"),)))
    post = Post(hooks(host))
    for _ in range(2):
        answer = await post({"job": 7}, webhook_id="d-1")
        assert answer.status_code == 202
    assert answer.json() == {"event": "webhook.shop", "repeated": True}
    same = [(await post({"job": 8})).json()["repeated"] for _ in range(2)]  # without an id the body is its own
    assert same == [False, True]
    await world.when(lambda: len(world.query("select 1 from runs")) == 2)
    actors = world.query("select actor from events where type = 'EventPublished'")
    assert {json.loads(row[0])["id"] for row in actors} == {"webhook:shop"}


async def test_cloudevents_come_in_structured_and_binary(world: World) -> None:
    host = await world.open()
    post = Post(hooks(host))
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "https://x",
        "type": "dev.quarterdeck.qd.a.b.v1",
        "data": {"n": 1},
    }
    media = "application/cloudevents+json; charset=utf-8"
    assert (await post(event, content_type=media)).json()["event"] == "qd.a.b"
    binary = {"ce_specversion": "1.0", "ce_id": "2", "ce_source": "https://x", "ce_type": "c.d", "ce_subject": "a%20b"}
    assert (await post({"n": 2}, **binary)).json()["event"] == "c.d"
    rows = world.query("select key, event, subject from event_threads order by seq")
    assert rows == [("https://x/1", "qd.a.b", ""), ("https://x/2", "c.d", "a b")]


async def test_a_signature_of_the_body_proves_a_sender_too(world: World) -> None:
    host = await world.open()
    post = Post(hooks(host))
    body = b'{"job": 1}'
    good = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert (await post(body, x_hub_signature_256=good)).status_code == 202
    assert (await post(body + b" ", x_hub_signature_256=good)).status_code == 401


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Basic x"}, 401),
        ({"source": "nobody"}, 401),
        ({"body": b"x" * (LARGEST + 1)}, 413),
        ({"body": b"not json"}, 422),
        ({"body": b"[" * 100 + b"]" * 100}, 422),
        ({"ce_specversion": "0.3", "ce_id": "1", "ce_source": "s", "ce_type": "a.b"}, 422),
        ({"ce_specversion": "1.0", "ce_id": "1", "ce_source": "webhook/other", "ce_type": "a.b"}, 422),
        ({"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/quarterdeck/runs/run-1", "ce_type": "a.b"}, 422),
    ],
)
async def test_what_is_not_taken_says_why_and_leaves_nothing(world: World, more: dict[str, Any], status: int) -> None:
    host = await world.open()
    post = Post(hooks(host))
    body = more.pop("body", {"n": 1})
    answer = await post(body, **more)
    assert answer.status_code == status
    assert answer.json()["reason"]
    assert world.query("select count(*) from event_threads") == [(0,)]


async def test_what_cannot_be_recorded_is_asked_for_again() -> None:
    class Full:
        async def publish(self, *args: Any, **more: Any) -> Any:
            raise StoreReadOnly("the disk is full")

    answer = await Post(hooks(Full()))({"n": 1})
    assert answer.status_code == 503 and answer.headers["retry-after"]


async def test_a_source_that_floods_is_slowed_down(world: World) -> None:
    host = await world.open()
    made = hooks(host)
    made._left["shop"] = (0.0, 1e18)  # long empty
    assert (await Post(made)({"n": 1})).status_code == 429


def test_webhooks_need_a_port(tmp_path: Any) -> None:
    file = tmp_path / "quarterdeck.yaml"
    file.write_text("webhooks: {shop: {secret: shop-hook}}\n")
    with pytest.raises(SettingsError, match="webhook_port"):
        load(file)
    file.write_text("webhooks: {shop: {secret: shop-hook}}\nwebhook_port: 8790\n")
    assert load(file).webhooks["shop"].secret == "shop-hook"
