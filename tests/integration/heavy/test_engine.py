"""A real engine over real MLflow, Label Studio and S3: killed between an effect and its record, cut off for a while, and the
shipped workflows from start to end. What happened is counted on the servers.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from msgspec import Struct

from engine.capabilities import subjects
from engine.capabilities.vault import Vault
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions
from tests.integration.connectors.engine_room import EngineRoom
from tests.integration.connectors.fault_proxy import FaultProxy
from tests.services.heavy import LabelStudioServer, MlflowServer, S3Server
from tests.unit.data.conftest import Table
from tests.unit.model_registry.ground import Ground, digest_of
from tests.unit.models.conftest import NAMES, trained

pytestmark = [pytest.mark.service, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]
WRITES = ("POST", "PUT", "PATCH", "DELETE")
ASKING = ("/search", "/token/refresh")
"""POSTs that change nothing."""
AWAY = ("cannot be reached", "times in a row")
"""How a run says that its system is away; the second when others found out before it."""
ARTIFACTS = 8
SPEED = 1.0  # the breaker of a client counts real seconds: waits of runs must not be shorter than those


class World:
    """The engine, the servers behind their proxies, and after which write it dies."""

    def __init__(self, mlflow: MlflowServer, studio: LabelStudioServer, s3: S3Server) -> None:
        self.mlflow, self.studio, self.s3 = mlflow, studio, s3
        self.room: EngineRoom
        self.proxies: dict[str, FaultProxy] = {}
        self.artifacts: list[str] = []
        self.snapshots: list[str] = []
        self.at, self.armed, self.died_after = "", 0, ""

    def acted(self, system: str, method: str, path: str, status: int) -> bool:
        if not self.room.alive:
            return True
        if not self.armed or system != self.at or method not in WRITES or status >= 400 or path.endswith(ASKING):
            return False
        self.armed -= 1
        if self.armed:
            return False
        self.room.kill()
        self.died_after = f"{method} {path}"
        return True

    async def behind(self, stack: AsyncExitStack, name: str, upstream: str) -> str:
        self.proxies[name] = await stack.enter_async_context(FaultProxy(upstream, answered=partial(self.acted, name)))
        return self.proxies[name].url

    async def asked(self, method: str, path: str, **more: Any) -> Any:
        """MLflow, as anybody else would ask it."""
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            answer = await http.request(method, f"{self.mlflow.api}{path}", **more)
            answer.raise_for_status()
            return answer.json()

    async def labelling(self, method: str, path: str, **more: Any) -> Any:
        headers = {"authorization": f"Token {self.studio.token}"}
        async with httpx.AsyncClient(base_url=self.studio.url, headers=headers, trust_env=False, timeout=20) as http:
            answer = await http.request(method, path, **more)
            answer.raise_for_status()
            return answer.json()

    async def tasks(self, project: str) -> list[dict[str, Any]]:
        found = await self.labelling(
            "GET", "/api/tasks", params={"project": project, "page_size": 500, "fields": "all"}
        )
        return list(found["tasks"])


async def _book(world: World, home: Path) -> None:
    """What there is before the engine: artifacts that may be rolled out, and snapshots with open label tasks."""
    config = Config(
        database=home / "quarterdeck.db", actions={}, evaluator=Expressions(), catalogue=subjects.catalogue()
    )
    host = await Host.open(config)
    ground, table = Ground(host), Table(host, home)
    world.artifacts = [await ground.artifact(b"archive %d" % n, version=f"4.8.{n}") for n in range(ARTIFACTS)]
    for number in range(3):
        dataset = f"bins{number}"
        for session in range(2):
            await table.session(f"S-{number}{session}", dataset=dataset)
        table.run = f"run-{number}"
        snapshot = (await table.act("data.open", dataset=dataset))["snapshot"]
        await table.act("data.queue", snapshot=snapshot)
        world.snapshots.append(snapshot)
    await host.keeper.settle()
    await host.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    mlflow: MlflowServer, label_studio: LabelStudioServer, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    found = World(mlflow, label_studio, s3_server)
    async with httpx.AsyncClient(trust_env=False) as http:
        (await http.put(f"{s3_server.url}/depot")).raise_for_status()
    async with AsyncExitStack() as stack:
        systems: dict[str, Any] = {
            "registry": {"kind": "mlflow", "url": await found.behind(stack, "registry", mlflow.url)},
            "labels": {
                "kind": "labelstudio", "url": await found.behind(stack, "labels", label_studio.url), "secret": "studio",
            },
            "objects": {
                "kind": "s3", "url": await found.behind(stack, "objects", s3_server.url), "secret": "s3",
                "options": {"access_key": s3_server.access_key}, "serves": ["objects"],
            },
        }  # fmt: skip
        found.room = EngineRoom(
            tmp_path_factory.mktemp("heavy"), systems, {"studio": label_studio.token, "s3": s3_server.secret_key},
            clock={"sim0": time.time(), "wall0": time.time(), "speed": SPEED},
            policy={"labels": {"media": "https://media.example/{session}.mp4", "poll": "2s"}},
        )  # fmt: skip
        await _book(found, found.room.home.state)
        await found.room.start()
        try:
            yield found
        finally:
            await found.room.close()


async def _versions(world: World, digest: str) -> int:
    found = await world.asked(
        "GET", "/model-versions/search", params={"filter": f"tags.`quarterdeck.digest` = '{digest}'"}
    )
    return len(found.get("model_versions", []))


async def _runs(world: World, digest: str) -> int:
    experiment = await world.asked("GET", "/experiments/get-by-name", params={"experiment_name": "quarterdeck"})
    body = {
        "experiment_ids": [experiment["experiment"]["experiment_id"]],
        "filter": f"tags.`quarterdeck.digest` = '{digest}'",
    }
    return len((await world.asked("POST", "/runs/search", json=body)).get("runs", []))


async def _done(world: World, action: str, **given: Any) -> Any:
    return await world.room.output(await world.room.run_of(action, given))


class Case(Struct, frozen=True, kw_only=True):
    """`given` prepares what the action works on and gives its input and how its effect is counted on the server."""

    action: str
    system: str
    given: Callable[[World, int], Awaitable[tuple[dict[str, Any], Callable[[], Awaitable[int]]]]]
    writes: int = 1


async def _registering(world: World, n: int) -> tuple[dict[str, Any], Callable[[], Awaitable[int]]]:
    digest = digest_of(b"archive %d" % n)

    async def count() -> int:
        try:
            assert await _runs(world, digest) <= 1
        except httpx.HTTPStatusError:
            return 0  # not even the experiment is there
        return await _versions(world, digest)

    return {"artifact": world.artifacts[n]}, count


async def _version(world: World) -> tuple[str, str]:
    """A version of a model nobody knows, made by hand."""
    name = f"by-hand-{uuid.uuid4().hex[:8]}"
    await world.asked("POST", "/registered-models/create", json={"name": name})
    made = await world.asked("POST", "/model-versions/create", json={"name": name, "source": "s3://depot/x"})
    return name, str(made["model_version"]["version"])


async def _pointing(world: World, n: int) -> tuple[dict[str, Any], Callable[[], Awaitable[int]]]:
    name, version = await _version(world)

    async def count() -> int:
        found = await world.asked("GET", "/registered-models/get", params={"name": name})
        return len(found["registered_model"].get("aliases", []))

    return {"model": name, "alias": "eligible", "version": version, "expect": ""}, count


async def _tagging(world: World, n: int) -> tuple[dict[str, Any], Callable[[], Awaitable[int]]]:
    name, version = await _version(world)

    async def count() -> int:
        found = await world.asked("GET", "/model-versions/get", params={"name": name, "version": version})
        return len(found["model_version"].get("tags", []))

    return {"model": name, "version": version, "tags": {"sim": "passed"}}, count


async def _putting(world: World, n: int) -> tuple[dict[str, Any], Callable[[], Awaitable[int]]]:
    content = uuid.uuid4().bytes
    digest = Vault(world.room.home.state / "vault").put_bytes(content, media="text/plain").digest

    async def count() -> int:
        async with httpx.AsyncClient(trust_env=False) as http:
            listed = await http.get(f"{world.s3.url}/depot?versions&prefix={digest[7:]}")
        return listed.text.count("<VersionId>")

    return {"uri": f"s3://depot/{digest[7:]}", "digest": digest}, count


async def _removing(world: World, n: int) -> tuple[dict[str, Any], Callable[[], Awaitable[int]]]:
    name = uuid.uuid4().hex
    async with httpx.AsyncClient(trust_env=False) as http:
        (await http.put(f"{world.s3.url}/depot/{name}", content=b"x")).raise_for_status()

    async def count() -> int:
        async with httpx.AsyncClient(trust_env=False) as http:
            listed = await http.get(f"{world.s3.url}/depot?list-type=2&prefix={name}")
        return int(f"<Key>{name}</Key>" not in listed.text)

    return {"uri": f"s3://depot/{name}"}, count


async def _handing(world: World, n: int) -> tuple[dict[str, Any], Callable[[], Awaitable[int]]]:
    snapshot = world.snapshots[n - 1]

    async def count() -> int:
        """1 when there is one project with every task once; more when anything is there twice."""
        projects = (await world.labelling("GET", "/api/projects/", params={"page_size": 500}))["results"]
        mine = [one for one in projects if one["title"].startswith(f"{_title(snapshot)}:")]
        jobs = [one["data"]["quarterdeck_job"] for each in mine for one in await world.tasks(str(each["id"]))]
        return len(mine) + len(jobs) - len(set(jobs))

    return {"snapshot": snapshot}, count


def _title(snapshot: str) -> str:
    return snapshot.replace("-v", " v")


CASES = [
    Case(action="registry.register", system="registry", given=_registering, writes=4),
    Case(action="registry.alias", system="registry", given=_pointing),
    Case(action="registry.tag", system="registry", given=_tagging),
    Case(action="object.put", system="objects", given=_putting),
    Case(action="object.remove", system="objects", given=_removing),
    Case(action="labels.push", system="labels", given=_handing, writes=2),
]


@pytest.mark.parametrize(
    ("case", "last"), [pytest.param(c, n, id=f"{c.action}-{n}") for c in CASES for n in range(1, c.writes + 1)]
)
async def test_an_effect_whose_answer_nobody_heard_is_not_repeated(world: World, case: Case, last: int) -> None:
    world.armed = 0
    if not world.room.alive:  # an earlier case failed half-way
        await world.room.start()
    given, count = await case.given(world, last)
    kills = world.room.kills
    world.at, world.armed = case.system, last
    run = await world.room.run_of(case.action, given)
    await world.room.died(kills)
    assert await count() <= 1
    await world.room.start()
    ended = await world.room.ended(run)
    assert ended["run"]["status"] == "completed", f"after {world.died_after}: {ended['run']}"
    assert await count() == 1, f"after {world.died_after}"


async def test_an_eligible_artifact_is_registered_though_the_registry_was_cut_off_meanwhile(world: World) -> None:
    """The shipped workflow: it waits, says why, and goes on; the version is there once, and the alias points at it."""
    world.armed = 0
    _, count = await _registering(world, 6)
    async with world.proxies["registry"].partition("refuse"):
        await world.room.command("run.start", "model-registration", inputs={"artifact": world.artifacts[6]})
        said = ""
        for _ in range(200):
            seen = await world.room.show("model-registration")
            said = str(seen.get("steps"))
            if any(one in said for one in AWAY):
                break
            await asyncio.sleep(0.1)
        assert "MLflow" in said and any(one in said for one in AWAY), said
    ended = await world.room.ended("model-registration", seconds=90)
    assert ended["run"]["status"] == "completed" and await count() == 1, ended
    found = await world.asked("GET", "/registered-models/alias", params={"name": "pick", "alias": "eligible"})
    tags = {one["key"]: one["value"] for one in found["model_version"]["tags"]}
    assert tags["quarterdeck.artifact"] == world.artifacts[6] and tags["quarterdeck.release"] == "4.8.6"


async def test_a_version_somebody_points_at_becomes_a_candidate(world: World) -> None:
    world.armed = 0
    name = f"grasp-{uuid.uuid4().hex[:8]}"
    content = trained(NAMES[:1], epochs=2, line=name)
    run = await _uploaded(world, content)
    await world.asked("POST", "/registered-models/create", json={"name": name})
    await world.asked("POST", "/model-versions/create", json={"name": name, **run})
    await _synced(world)
    await world.asked("POST", "/registered-models/alias", json={"name": name, "alias": "candidate", "version": "1"})
    digest = digest_of(content)
    for _ in range(60):
        await world.room.command("connector.sync", "registry")
        found = await world.room.get("/v1/records/candidate", where=f"model_digest:{digest}")
        if found.get("rows"):
            break
        await asyncio.sleep(0.3)
    assert found.get("rows") and found["rows"][0]["line"] == name, world.room.log[-2000:]
    assert (await world.room.show("candidate-to-release"))["run"]["workflow"] == "candidate-to-release"


async def test_what_is_no_model_is_said_on_its_version(world: World) -> None:
    world.armed = 0
    name = f"noise-{uuid.uuid4().hex[:8]}"
    await world.asked("POST", "/registered-models/create", json={"name": name})
    await world.asked("POST", "/model-versions/create", json={"name": name, **await _uploaded(world, b"noise" * 100)})
    await world.asked("POST", "/registered-models/alias", json={"name": name, "alias": "candidate", "version": "1"})
    given = {"model": name, "alias": "candidate"}
    await world.room.command("run.start", "model-candidate", inputs=given)
    tags: dict[str, str] = {}
    for _ in range(100):
        found = await world.asked("GET", "/model-versions/get", params={"name": name, "version": "1"})
        tags = {one["key"]: one["value"] for one in found["model_version"].get("tags", [])}
        if "quarterdeck.state" in tags:
            break
        await asyncio.sleep(0.3)
    assert tags["quarterdeck.state"] == "not tried" and tags["quarterdeck.reason"], tags


async def _uploaded(world: World, content: bytes) -> dict[str, str]:
    """A run of somebody's training with one file."""
    run = (await world.asked("POST", "/runs/create", json={"experiment_id": "0"}))["run"]["info"]
    place = run["artifact_uri"].removeprefix("mlflow-artifacts:/").strip("/")
    async with httpx.AsyncClient(trust_env=False) as http:
        url = f"{world.mlflow.url}/api/2.0/mlflow-artifacts/artifacts/{place}/model/policy.bin"
        (await http.put(url, content=content)).raise_for_status()
    return {"source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}


async def _synced(world: World) -> None:
    """Until every feed of the registry was listed once: what comes after that is news."""
    for n in range(600):
        if n % 20 == 0:
            await world.room.command("connector.sync", "registry")
        shown = await world.room.get("/v1/connectors/registry")
        feeds = {one["kind"]: one for one in shown["feeds"]}
        if feeds and all(one.get("full_at") for one in feeds.values()):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(shown)


async def test_label_tasks_are_answered_over_there(world: World) -> None:
    world.armed = 0
    snapshot = world.snapshots[2]
    await world.room.command("run.start", "label-handover", inputs={"snapshot": snapshot})
    project = ""
    for _ in range(200):
        projects = (await world.labelling("GET", "/api/projects/", params={"page_size": 500}))["results"]
        project = next((str(one["id"]) for one in projects if one["title"].startswith(f"{_title(snapshot)}:")), "")
        if project and await world.tasks(project):
            break
        await asyncio.sleep(0.1)
    (task, *_) = [one for one in await world.tasks(project) if one["data"]["purpose"] == "label"]
    names = ("approach", "grasp", "transfer", "place")
    spans = [
        {"from_name": "phase", "to_name": "media", "type": "timelinelabels", "id": name,
         "value": {"ranges": [{"start": 1 + round(n * 62.5), "end": round((n + 1) * 62.5)}], "timelinelabels": [name]}}
        for n, name in enumerate(names)
    ]  # fmt: skip
    outcome = {"from_name": "outcome", "to_name": "media", "type": "choices", "value": {"choices": ["success"]}}
    await world.labelling("POST", f"/api/tasks/{task['id']}/annotations/", json={"result": [*spans, outcome]})
    job, found = task["data"]["quarterdeck_job"], {}
    for _ in range(300):
        found = await world.room.get(f"/v1/records/label_task/{job}")
        if found["state"] == "submitted":
            break
        await asyncio.sleep(0.1)
    assert (found["state"], found["assignee"]) == ("submitted", world.studio.username), found
    note = await world.room.get(f"/v1/records/annotation/{found['annotation']}")
    assert note["author"].startswith("annotator-") and len(note["labels"]) == 5
