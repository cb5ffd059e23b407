"""The registry's promises against a real MLflow: one content is one version, aliases are moved only from where they were
seen, bytes come back as they were hashed, and its webhooks are proven.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.http import HttpClient
from connectors.mlflow import MLflow, connector
from engine.capabilities.ports import ActionError, InDoubt
from engine.capabilities.systems.ports import BadDelivery, BadSignature
from tests.integration.connectors.fault_proxy import Fault, FaultProxy
from tests.integration.connectors.ground import WallClock
from tests.integration.heavy.listener import Listener
from tests.services.heavy import MlflowServer

pytestmark = pytest.mark.service
_names = itertools.count(1)


async def soon(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 0.05))


def client(url: str) -> MLflow:
    return MLflow(HttpClient(url, name="MLflow", sleep=soon), WallClock(), sleep=soon)


@pytest.fixture
async def registry(mlflow: MlflowServer) -> AsyncIterator[MLflow]:
    found = client(mlflow.url)
    yield found
    await found.close()


@pytest.fixture
def name() -> str:
    return f"pick it's {next(_names)}"


def digest_of(text: bytes) -> str:
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


async def test_one_content_is_one_version_whoever_asks_and_however_often(registry: MLflow, name: str) -> None:
    digest = digest_of(b"one")
    first = await registry.register(
        name, digest=digest, source="s3://b/one", tags={"line": "pick"}, key="run-1/register"
    )
    again = await registry.register(name, digest=digest, source="s3://b/one", tags={}, key="run-1/register")
    other = await registry.register(name, digest=digest, source="s3://b/one", tags={}, key="run-2/register")
    assert (first.version, again.version, other.version) == ("1", "1", "1")
    assert first.digest == digest and first.tags["line"] == "pick" and first.state == "READY"
    second = await registry.register(name, digest=digest_of(b"two"), source="s3://b/two", tags={}, key="run-3/register")
    assert [one.version for one in await registry.versions(name)] == ["2", "1"] and second.version == "2"
    for bad in ("a/b", "a:b", " "):
        with pytest.raises(ActionError) as refused:
            await registry.register(bad, digest=digest, source="s3://b/x", tags={}, key="k")
        assert refused.value.error == "BadModel" and not refused.value.retryable


async def test_a_lost_answer_makes_no_second_version(registry: MLflow, mlflow: MlflowServer, name: str) -> None:
    lost = {"create": 1}

    def rule(method: str, path: str) -> Fault | None:
        if path.endswith("/model-versions/create") and lost["create"]:
            lost["create"] -= 1
            return Fault(forward=True, reset=True)
        return None

    async with FaultProxy(mlflow.url, rule) as proxy:
        through = client(proxy.url)
        given: dict[str, Any] = {"digest": digest_of(b"lost"), "source": "s3://b/lost", "tags": {}, "key": "k"}
        with pytest.raises(InDoubt):
            await through.register(name, **given)
        found = await through.register(name, **given, in_doubt=True)
        await through.close()
    assert found.version == "1" and len(await registry.versions(name)) == 1


async def test_an_alias_moves_only_from_where_it_was_seen(registry: MLflow, name: str) -> None:
    for number in range(3):
        await registry.register(
            name, digest=digest_of(b"%d" % number), source=f"s3://b/{number}", tags={}, key=str(number)
        )
    await registry.alias(name, "candidate", "1", expect="")
    await registry.alias(name, "candidate", "1", expect="2")  # it stands there already: nothing to do
    with pytest.raises(ActionError) as moved:
        await registry.alias(name, "candidate", "3", expect="2")
    assert moved.value.error == "Conflict" and moved.value.detail == {"stands": "1", "expected": "2"}
    await registry.alias(name, "candidate", "3", expect="1")
    assert (await registry.version(name, "3")).aliases == ("candidate",)
    assert {one.version: one.aliases for one in await registry.versions(name)} == {
        "3": ("candidate",),
        "2": (),
        "1": (),
    }
    for alias, version, error in (("candidate", "99", "NoSuchVersion"), ("latest", "1", "Refused")):
        with pytest.raises(ActionError) as refused:
            await registry.alias(name, alias, version)
        assert refused.value.error == error, refused.value.message


async def test_a_lost_alias_is_read_back(registry: MLflow, mlflow: MlflowServer, name: str) -> None:
    await registry.register(name, digest=digest_of(b"a"), source="s3://b/a", tags={}, key="a")

    def rule(method: str, path: str) -> Fault | None:
        return Fault(forward=True, reset=True) if method == "POST" and path.endswith("/alias") else None

    async with FaultProxy(mlflow.url, rule) as proxy:
        through = client(proxy.url)
        await through.alias(name, "champion", "1")
        await through.close()
    assert (await registry.version(name, "1")).aliases == ("champion",)


async def test_bytes_are_kept_once_and_come_back_as_they_were(registry: MLflow, name: str, tmp_path: Path) -> None:
    content = b"weights" * 100_000
    file = tmp_path / "policy.bin"
    file.write_bytes(content)
    digest, measured = digest_of(content), {"success_rate": 0.91, "takeovers": float("nan")}
    source = await registry.keep(name, file, digest=digest, metrics=measured, key="k")
    assert await registry.keep(name, file, digest=digest, metrics=measured, key="k", in_doubt=True) == source
    version = await registry.register(name, digest=digest, source=source, tags={}, key="k")
    assert version.metrics == {"success_rate": 0.91} and version.run
    assert [value for _, value in await registry.metrics(version.run, "success_rate")] == [0.91]
    assert await registry.fetch(version, tmp_path / "back") == digest
    assert (tmp_path / "back").read_bytes() == content
    file.write_bytes(content[:-1] + b"!")  # as long, and something else: what is kept is what was hashed
    liar = await registry.register(name, digest=digest_of(b"x"), source=source, tags={}, key="liar")
    with pytest.raises(ActionError) as wrong:
        await registry.fetch(liar, tmp_path / "lie")
    assert wrong.value.error == "DigestMismatch" and not (tmp_path / "lie").exists()
    elsewhere = await registry.register(name, digest=digest_of(b"y"), source="s3://b/y", tags={}, key="y")
    with pytest.raises(ActionError) as away:
        await registry.fetch(elsewhere, tmp_path / "y")
    assert away.value.error == "NotHere" and away.value.detail == {"source": "s3://b/y"}


async def test_the_mirror_has_models_versions_and_where_aliases_point(registry: MLflow, name: str) -> None:
    await registry.register(name, digest=digest_of(b"m"), source="s3://b/m", tags={}, key="m")
    await registry.alias(name, "candidate", "1")
    found: dict[str, dict[str, Any]] = {}
    for feed in registry.feeds:
        cursor, found[feed.kind] = "", {}
        while True:
            page = await registry.pull(feed.kind, cursor)
            assert page.full and abs(page.owner_now - time.time()) < 10
            found[feed.kind] |= {one.id: one for one in page.objects}
            cursor = page.cursor
            if not page.more:
                break
    assert found["model"][name].data["aliases"] == {"candidate": "1"}
    before = found["model_version"][f"{name}/1"]
    assert before.state == "READY" and before.data["digest"] == digest_of(b"m")
    assert found["model_alias"][f"{name}@candidate"].state == "1"
    await registry.tag(name, "1", {"sim": "passed", "quarterdeck.digest": digest_of(b"m")})
    after = {one.id: one for one in (await registry.pull("model_version", "")).objects}[f"{name}/1"]
    assert after.etag != before.etag and after.data["tags"]["sim"] == "passed"
    assert "MLflow 3.17.2" in await registry.check() and [one.has for one in await registry.rights()] == [True, None]


async def test_its_webhooks_are_proven_and_read(registry: MLflow, mlflow: MlflowServer, name: str) -> None:
    events = [{"entity": "MODEL_VERSION", "action": "CREATED"}, {"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"}]
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        with Listener() as listener:
            hook = {"name": "qd", "url": listener.url, "secret": "s3cret", "events": events}
            made = (await http.post(f"{mlflow.api}/webhooks", json=hook)).raise_for_status().json()["webhook"]
            await asyncio.sleep(1.2)  # the server's cache of webhooks, as short as it can be
            await registry.register(name, digest=digest_of(b"hook"), source="s3://b/h", tags={"a": "b"}, key="h")
            await registry.alias(name, "candidate", "1")
            seen = await listener.until(2)
            await http.delete(f"{mlflow.api}/webhooks/{made['webhook_id']}")
    read = [one for headers, body in seen for one in connector.receive(headers, body, "s3cret", time.time())]
    by_event = {one.event: one for one in read}
    assert by_event["qd.registry.model_version.created"].subject == f"{name}/1"
    assert by_event["qd.registry.model_version_alias.created"].data == {
        "model": name,
        "version": "1",
        "alias": "candidate",
    }
    assert len({one.id for one in read}) == len(read) and all(abs(one.at - time.time()) < 60 for one in read)
    headers, body = seen[0]
    for secret, at, changed in (("other", 0, body), ("", 0, body), ("s3cret", 400, body), ("s3cret", 0, body + b" ")):
        with pytest.raises(BadSignature):
            connector.receive(headers, changed, secret, time.time() + at)
    with pytest.raises(BadSignature):
        connector.receive({}, body, "s3cret", time.time())


def test_a_delivery_that_is_proven_and_not_understood_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.capabilities.hooks.proofs.mlflow", lambda *_, **__: None)
    for body in (
        b"[",
        b"{}",
        b'{"entity":"prompt","action":"created"}',
        b'{"entity":"model_version","action":"created"}',
    ):
        with pytest.raises(BadDelivery):
            connector.receive({"x-mlflow-delivery-id": "1"}, body, "s", 0.0)
