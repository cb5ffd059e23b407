"""Webhooks: proven by a secret, taken once, kept aside when they can't be understood, said in words when they are not
taken."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from engine.api import listening
from engine.api.config import Settings, SettingsError, TlsSettings, WebhookSettings, load
from engine.api.listening import hook_server
from engine.api.server import SocketError
from engine.api.webhooks import Webhooks
from engine.capabilities import subjects
from engine.capabilities.events.rules import Limits
from engine.capabilities.hooks import proofs
from engine.capabilities.hooks.sources import HookLimits, Sources, marked, unmarked
from engine.capabilities.ports import ActionError
from engine.capabilities.systems.ports import BadDelivery, BadSignature, Incoming
from engine.core.definition import Trigger
from engine.store.errors import StoreReadOnly
from tests.integration.connectors.certificates import Authority
from tests.unit.hosts.conftest import World, action_step, workflow

SECRET = "quite secret"
LIMITS = HookLimits.of({})
LARGEST = LIMITS.largest


class Post:
    """What another system would do."""

    def __init__(self, hooks: Webhooks) -> None:
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(hooks.application()), base_url="http://127.0.0.1")

    async def __call__(self, body: Any, source: str = "shop", **headers: str) -> httpx.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if not {"authorization", "x-hub-signature-256", "x-shop"} & set(sent) and "signature" not in " ".join(sent):
            sent["authorization"] = f"Bearer {SECRET}"
        return await self.client.post(f"/hooks/{source}", content=raw, headers=sent)


class Shop:
    """A connector whose system sends webhooks: each says several things."""

    kind = "shop"

    def receive(self, headers: Mapping[str, str], body: bytes, secret: str, now: float) -> Sequence[Incoming]:
        proofs.bearer(headers, secret)
        try:
            said = msgspec.json.decode(body, type=list[dict[str, Any]])
        except msgspec.DecodeError as error:
            raise BadDelivery(f"not a list of orders: {error}") from error
        if any("crash" in one for one in said):
            raise KeyError("a mistake of the connector")
        return [
            Incoming(event="qd.shop.order", id=f"order-{one['n']}", subject=str(one["n"]), at=12.5, data=one)
            for one in said
        ]


def sources(**more: Any) -> Sources:
    settings = {
        "told": {"shop": WebhookSettings(secret="shop-hook")},
        "limits": Limits.of({}),
        "hook_limits": LIMITS,
        **more,
    }
    return Sources(lambda name: SECRET, time.time, **settings)


def hooks(host: Any, **more: Any) -> Webhooks:
    asker = host.keeper.for_asker if hasattr(host, "keeper") else None
    return Webhooks(host, sources(**more), asker)


async def opened(world: World) -> Any:
    return await world.open(catalogue=subjects.catalogue())


def received(secret: str = "shop-hook", *, suspended: bool = False) -> dict[str, Any]:
    config = {"webhook_secret": secret} if secret else {}
    return {"told": {}, "receivers": lambda: {"store": (Shop(), config, suspended)}}


async def test_a_webhook_starts_the_run_that_waits_for_its_source_once(world: World) -> None:
    world.act("one")
    host = await opened(world)
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
    host = await opened(world)
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


# -- who it is -------------------------------------------------------------------------------------------------------


def signed(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def stamped(body: bytes, at: float, secret: bytes = SECRET.encode()) -> str:
    return base64.b64encode(hmac.new(secret, f"d-1.{at:.0f}.".encode() + body, hashlib.sha256).digest()).decode()


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


BODY = b'{"job": 1}'
NOW = 1_800_000_000.0
PROOFS: list[tuple[str, dict[str, str], bool]] = [
    ("", {"authorization": f"Bearer {SECRET}"}, True),
    ("", {"authorization": "Bearer wrong"}, False),
    ("", {"x-hub-signature-256": f"sha256={signed(BODY)}"}, True),
    ("", {"x-hub-signature-256": f"sha256={signed(BODY + b' ')}"}, False),
    ("", {"x-hub-signature": f"sha256={signed(BODY)}"}, True),
    ("", {}, False),
    ("hmac", {"authorization": f"Bearer {SECRET}"}, False),
    ("basic", {"authorization": basic(f"am:{SECRET}")}, True),
    ("basic", {"authorization": basic("am:wrong")}, False),
    ("basic", {"authorization": "Basic ???"}, False),
    ("header", {"x-webhook-secret": SECRET}, True),
    ("header", {"x-webhook-secret": ""}, False),
    ("gitlab", {"x-gitlab-token": SECRET}, True),
    ("pagerduty", {"x-pagerduty-signature": f"v1={signed(BODY, 'older')},v1={signed(BODY)}"}, True),
    ("pagerduty", {"x-pagerduty-signature": f"v1={signed(BODY, 'older')}"}, False),
    *(
        (way, {f"{head}{id_}": "d-1", f"{head}timestamp": f"{at:.0f}", f"{head}signature": f"v1,{stamped(body, at)}"}, good)
        for way, head, id_ in (("standard", "webhook-", "id"), ("mlflow", "x-mlflow-", "delivery-id"))
        for at, body, good in ((NOW, BODY, True), (NOW - 299, BODY, True), (NOW - 301, BODY, False),
                               (NOW + 301, BODY, False), (NOW, b"else", False))
    ),
    ("standard", {"webhook-timestamp": f"{NOW:.0f}", "webhook-signature": f"v1,{stamped(BODY, NOW)}"}, False),
    ("standard", {"webhook-id": "d-1", "webhook-timestamp": "soon", "webhook-signature": "v1,x"}, False),
]  # fmt: skip


@pytest.mark.parametrize(("way", "headers", "good"), PROOFS)
def test_each_sender_proves_itself_its_own_way(way: str, headers: dict[str, str], good: bool) -> None:
    prove = proofs.WAYS[way]
    if good:
        prove(headers, BODY, SECRET, NOW, "", 300.0)
    else:
        with pytest.raises(BadSignature):
            prove(headers, BODY, SECRET, NOW, "", 300.0)


def test_an_empty_secret_proves_nothing() -> None:
    for prove in proofs.WAYS.values():
        for header in ("authorization", "x-webhook-secret", "x-gitlab-token", "x-hub-signature-256"):
            with pytest.raises(BadSignature):
                prove({header: ""}, b"", "", NOW, "", 300.0)


async def test_a_recorded_delivery_is_worth_nothing_later(world: World) -> None:
    host = await opened(world)
    told = {"shop": WebhookSettings(secret="shop-hook", proof="standard")}
    clock = [NOW]
    post = Post(hooks(host, told=told, wall=lambda: clock[0]))
    sent = {"webhook_id": "d-1", "webhook_timestamp": f"{NOW:.0f}", "webhook_signature": f"v1,{stamped(BODY, NOW)}"}
    assert (await post(BODY, **sent)).json() == {"event": "webhook.shop", "repeated": False}
    assert (await post(BODY, **sent)).json() == {"event": "webhook.shop", "repeated": True}
    clock[0] += 400
    assert (await post(BODY, **sent)).status_code == 401


async def test_with_a_signature_of_the_body_alone_nothing_else_is_believed(world: World) -> None:
    host = await opened(world)
    post = Post(hooks(host, told={"shop": WebhookSettings(secret="shop-hook", proof="hmac")}))
    sent = {"x_hub_signature_256": f"sha256={signed(BODY)}"}
    told = [(await post(BODY, x_github_delivery=id_, **sent)).json()["repeated"] for id_ in ("d-1", "d-2")]
    assert told == [False, True], "a recorded delivery under another id is still the same"
    binary = {"ce_specversion": "1.0", "ce_id": "2", "ce_source": "https://x", "ce_type": "c.d"}
    assert "not signed" in (await post(BODY, **binary, **sent)).json()["reason"]


async def test_while_a_secret_is_exchanged_both_are_good(world: World) -> None:
    host = await opened(world)
    found = sources(told={"shop": WebhookSettings(secret="new", old_secret="old")})
    found._secret = {"new": "n3w", "old": SECRET}.__getitem__
    post = Post(Webhooks(host, found, host.keeper.for_asker))
    assert (await post({"n": 1})).status_code == 202
    assert (await post({"n": 2}, authorization="Bearer n3w")).status_code == 202
    assert (await post({"n": 3}, authorization="Bearer 0lder")).status_code == 401


async def test_the_keyring_is_not_asked_for_every_stranger(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    host = await opened(world)
    found, asked = sources(), []
    found._secret = lambda name: (asked.append(name), SECRET)[1]
    post = Post(Webhooks(host, found, host.keeper.for_asker))
    for _ in range(5):
        assert (await post({"n": 0}, authorization="Bearer wrong")).status_code == 401
    assert (await post({"n": 0})).status_code == 202
    assert asked == ["shop-hook"]
    monkeypatch.setattr("engine.capabilities.hooks.sources.REMEMBERED_S", 0.0)
    found._secret = lambda name: "new"
    assert (await post({"n": 1})).status_code == 401


async def test_a_secret_that_cannot_be_read_lets_nobody_in(world: World) -> None:
    host = await opened(world)

    def locked(name: str) -> str:
        raise ActionError("NoSecret", "the keyring is locked", kind="configuration")

    found = sources()
    found._secret = locked
    assert (await Post(Webhooks(host, found, host.keeper.for_asker))({"n": 1})).status_code == 401
    assert "keyring" in found.view(found.all()[0], 0).trouble


# -- what is not taken -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Basic x"}, 401),
        ({"source": "nobody"}, 401),
        ({"body": b"x" * (LARGEST + 1)}, 413),
        ({"content_encoding": "gzip"}, 415),
    ],
)
async def test_what_is_not_taken_says_why_and_leaves_nothing(world: World, more: dict[str, Any], status: int) -> None:
    host = await opened(world)
    post = Post(hooks(host))
    body = more.pop("body", {"n": 1})
    answer = await post(body, **more)
    assert answer.status_code == status
    assert answer.json()["reason"]
    assert world.query("select count(*) from event_threads") == [(0,)]
    assert world.query("select count(*) from deliveries") == [(0,)]


async def test_a_sender_that_drips_its_body_is_not_waited_for(world: World) -> None:
    host = await opened(world)
    made = hooks(host, hook_limits=msgspec.structs.replace(LIMITS, within=0.05))

    async def drip() -> Any:
        yield b"{"
        await asyncio.sleep(1)
        yield b"}"

    answer = await Post(made).client.post("/hooks/shop", content=drip(), headers={"authorization": f"Bearer {SECRET}"})
    assert answer.status_code == 408


async def test_what_cannot_be_recorded_is_asked_for_again() -> None:
    class Full:
        async def publish(self, *args: Any, **more: Any) -> Any:
            raise StoreReadOnly("the disk is full")

    answer = await Post(hooks(Full()))({"n": 1})
    assert answer.status_code == 503 and answer.headers["retry-after"]


async def test_a_source_that_floods_is_slowed_down_and_a_stranger_takes_nothing_from_it(world: World) -> None:
    host = await opened(world)
    made = hooks(host, hook_limits=msgspec.structs.replace(LIMITS, burst=2.0, per_s=0.001))
    post = Post(made)
    for _ in range(5):
        assert (await post({"n": 0}, authorization="Bearer wrong")).status_code == 401
    assert [(await post({"n": n})).status_code for n in range(4)] == [202, 202, 429, 429]


# -- systems that send -----------------------------------------------------------------------------------------------


async def test_a_systems_deliveries_are_read_by_its_connector(world: World) -> None:
    host = await opened(world)
    made = hooks(host, **received())
    post = Post(made)
    orders = [{"n": 1}, {"n": 2}]
    assert (await post(orders, "store")).json() == {"events": 2, "repeated": 0}
    assert (await post([*orders, {"n": 3}], "store")).json() == {"events": 3, "repeated": 2}
    rows = world.query("select key, event, subject from event_threads order by seq")
    assert rows == [(f"webhook/store/order-{n}", "qd.shop.order", f"store/{n}") for n in (1, 2, 3)]
    data = json.loads(world.query("select data from events where type = 'EventPublished' order by seq limit 1")[0][0])
    assert data["data"] == {"system": "store", "n": 1, "at": 12.5}
    actors = world.query("select distinct actor from events where type = 'EventPublished'")
    assert [json.loads(row[0])["id"] for row in actors] == ["store"]
    view = made._sources.view(made._sources.all()[0], 0)
    assert (view.taken, view.repeated, view.kind) == (3, 2, "shop")
    hints: list[str] = []
    made._hint = hints.append
    await post([{"n": 4}], "store")
    assert hints == ["store"], "what is mirrored of it is looked at soon"


async def test_a_suspended_system_is_told_to_come_again(world: World) -> None:
    host = await opened(world)
    made = hooks(host, **received(suspended=True))
    answer = await Post(made)([{"n": 1}], "store")
    assert answer.status_code == 503 and answer.headers["retry-after"]
    assert (await Post(made)([{"n": 1}], "store", authorization="Bearer wrong")).status_code == 401
    assert world.query("select count(*) from event_threads") == [(0,)]


async def test_a_system_without_a_secret_can_prove_nothing(world: World) -> None:
    host = await opened(world)
    made = hooks(host, **received(secret=""))
    assert (await Post(made)([{"n": 1}], "store")).status_code == 401
    assert "webhook_secret" in made._sources.view(made._sources.all()[0], 0).trouble


# -- quarantine ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {"body": b"not json"},
        {"body": b"[" * 100 + b"]" * 100},
        {"ce_specversion": "0.3", "ce_id": "1", "ce_source": "s", "ce_type": "a.b"},
        {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "webhook/other", "ce_type": "a.b"},
        {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/quarterdeck/runs/run-1", "ce_type": "a.b"},
    ],
)
async def test_what_is_proven_and_not_understood_is_kept_with_its_bytes(world: World, more: dict[str, Any]) -> None:
    host = await opened(world)
    post = Post(hooks(host))
    body = more.pop("body", b'{"n": 1}')
    answer = await post(body, **more)
    assert answer.status_code == 202
    assert answer.json()["quarantined"] == "DL-1" and answer.json()["reason"]
    assert (await post(body, **more)).json()["quarantined"] == "DL-1"
    kept = host.book.reads.get("delivery", "DL-1")
    assert (kept.state, kept.times, kept.source) == ("quarantined", 2, "shop")
    assert host.vault.read(kept.digest) == body
    assert world.query("select event, subject from event_threads") == [("qd.hook.quarantined", "DL-1")]
    everything = b"".join(bytes(row[0]) for row in world.query("select data from deliveries"))
    everything += b"".join(str(row[0]).encode() for row in world.query("select data from events"))
    assert SECRET.encode() not in everything


async def test_a_mistake_of_the_connector_keeps_the_delivery_too(world: World) -> None:
    host = await opened(world)
    made = hooks(host, **received())
    answer = await Post(made)([{"crash": True}], "store")
    assert answer.status_code == 202 and "KeyError" in answer.json()["reason"]
    assert SECRET not in json.dumps(host.book.reads.get("delivery", "DL-1").headers)


async def test_no_more_is_kept_of_a_source_than_people_can_look_at(world: World) -> None:
    host = await opened(world)
    post = Post(hooks(host, hook_limits=msgspec.structs.replace(LIMITS, quarantine_most=2)))
    assert [(await post(f"no {n}".encode())).status_code for n in range(4)] == [202, 202, 422, 422]
    assert world.query("select count(*) from deliveries") == [(2,)]


async def test_a_kept_delivery_can_be_read_again_by_a_mended_connector(world: World) -> None:
    host = await opened(world)
    made = hooks(host, **received())
    await Post(made)(b'{"n": 1}', "store")
    kept = host.book.reads.get("delivery", "DL-1")
    assert kept.headers["authorization"] == "Bearer {secret}"
    found = made._sources.get("store")
    assert found is not None
    with pytest.raises(BadDelivery):
        made._sources.again(found, kept.headers, b'{"n": 1}', kept.wall_at)
    assert len(made._sources.again(found, kept.headers, b'[{"n": 1}]', kept.wall_at)) == 1


def test_headers_are_kept_without_the_secret() -> None:
    given = {
        "authorization": basic(f"am:{SECRET}"),
        "x-qd": SECRET,
        "cookie": "x",
        "x-path": f"/a/{SECRET}/b",
        "x-plain": "as it is",
    }
    kept = marked(given, SECRET)
    assert SECRET not in json.dumps(kept) and basic(f"am:{SECRET}") not in json.dumps(kept)
    assert unmarked(kept, SECRET) == {name: value for name, value in given.items() if name != "cookie"}
    assert "authorization" not in marked({"authorization": "Bearer of another"}, SECRET)


# -- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("webhooks: {shop: {secret: s}}", "webhook_port"),
        ("webhook_port: 8790\nwebhook_address: everywhere", "webhook_address"),
        ("webhook_port: 8790\nwebhook_address: 0.0.0.0", "webhook_tls"),
        ("webhook_port: 99999", "below 65536"),
        ("webhooks: {shop: {secret: s, proof: guess}}\nwebhook_port: 8790", "proof"),
    ],
)
def test_settings_that_would_let_strangers_in_are_refused(tmp_path: Path, text: str, wrong: str) -> None:
    file = tmp_path / "quarterdeck.yaml"
    file.write_text(text + "\n")
    with pytest.raises(SettingsError, match=wrong):
        load(file)


def test_another_address_is_served_when_the_settings_say_how(tmp_path: Path) -> None:
    file = tmp_path / "quarterdeck.yaml"
    file.write_text(
        "webhooks: {shop: {secret: s}}\nwebhook_port: 8790\nwebhook_address: 0.0.0.0\nwebhook_plaintext: true\n"
    )
    assert load(file).webhook_address == "0.0.0.0"
    file.write_text("webhook_port: 8790\nwebhook_address: '::'\nwebhook_tls: {certificate: hook.pem, key: hook.key}\n")
    assert load(file).webhook_tls is not None


async def test_the_listener_speaks_tls_and_hangs_up_on_who_says_nothing_whole(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "HEAD_S", 0.3)
    host = await opened(world)
    authority = Authority(tmp_path)
    authority.server()
    (chain,) = (each for each in tmp_path.glob("*.pem") if each.name != "authority.pem")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = Settings(
        webhooks={"shop": WebhookSettings(secret="shop-hook")},
        webhook_port=port,
        webhook_tls=TlsSettings(certificate=chain.name, key="server.key"),
    )
    found, ending = sources(), asyncio.Event()
    made = hook_server(
        settings, tmp_path, found, host, host.keeper.for_asker,
        events=Limits.of({}), pack={}, receivers=dict, stopping=ending.is_set,
    )  # fmt: skip
    assert made is not None and found.address == f"https://127.0.0.1:{port}"
    server, sock = made
    task = asyncio.create_task(server.serve(sockets=[sock]))
    await world.when(lambda: server.started)
    async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=authority.file), trust_env=False) as client:
        answer = await client.post(
            f"https://127.0.0.1:{port}/hooks/shop", json={"n": 1}, headers={"authorization": f"Bearer {SECRET}"}
        )
    assert answer.status_code == 202
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=ssl.create_default_context(cafile=authority.file)
    )
    began = time.monotonic()
    writer.write(b"POST /hooks/shop HTTP/1.1\r\n")  # and no more of it
    assert await asyncio.wait_for(reader.read(), 5) == b"" and time.monotonic() - began < 3
    writer.close()
    ending.set()
    await asyncio.wait_for(task, 10)
    absent = msgspec.structs.replace(settings, webhook_tls=TlsSettings(certificate="gone.pem", key="server.key"))
    with pytest.raises(SocketError, match="is not there"):
        hook_server(
            absent, tmp_path, found, host, host.keeper.for_asker,
            events=Limits.of({}), pack={}, receivers=dict, stopping=ending.is_set,
        )  # fmt: skip
