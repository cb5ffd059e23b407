"""S3, Label Studio and Ray are cut off in the middle of a run, each in the moment after it has acted: the run waits, says
for whom, and goes on; what there is afterwards is counted on the servers.
"""

from __future__ import annotations

import hashlib
import sys
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.capabilities import subjects
from engine.capabilities.vault import Vault
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions
from tests.integration.connectors.engine_room import EngineRoom
from tests.integration.connectors.fault_proxy import FaultProxy
from tests.integration.connectors.partition import SECONDS, Cut, room_of, seen_through, started
from tests.services.heavy import LabelStudioServer, RayServer, S3Server
from tests.unit.data.conftest import Table
from tests.unit.data.training_program import PROGRAM

__all__ = ["room_of"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]


async def _table(home: Path) -> tuple[Host, Table]:
    """The book before its engine starts."""
    config = Config(
        database=home / "quarterdeck.db", actions={}, evaluator=Expressions(), catalogue=subjects.catalogue()
    )
    host = await Host.open(config)
    table = Table(host, home)
    table.run = "book"
    return host, table


async def _queued(home: Path, dataset: str) -> str:
    """A snapshot with open label tasks; its id."""
    host, table = await _table(home)
    for number in range(2):
        await table.session(f"S-{number}", dataset=dataset)
    snapshot = str((await table.act("data.open", dataset=dataset))["snapshot"])
    await table.act("data.queue", snapshot=snapshot)
    await host.keeper.settle()
    await host.close()
    return snapshot


async def _finalized(home: Path, recordings: Path) -> str:
    """A snapshot that may be trained on; its id."""
    host, table = await _table(home)
    recordings.mkdir()
    for number in range(1, 13):
        site, file = ("HAM2", "HAM5", "UTR1")[number % 3], recordings / f"S-{number}.mcap"
        file.write_bytes(b"recording %d" % number)
        digest = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
        await table.session(
            file.stem, site=site, group=f"{site}-d{number % 2}|r|o", uri=str(file), digest=digest, content=digest
        )
    snapshot = await table.finalized()
    await host.keeper.settle()
    await host.close()
    return str(snapshot.id)


async def test_a_store_that_is_cut_off(s3_server: S3Server, room_of: Any) -> None:
    cut, content = Cut(1, "drop"), uuid.uuid4().bytes
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        (await http.put(f"{s3_server.url}/cut-off")).raise_for_status()
        (await http.put(f"{s3_server.url}/cut-off?versioning", content=_VERSIONED)).raise_for_status()
    async with FaultProxy(s3_server.url, answered=cut.answered) as cut.proxy:
        options = {"access_key": s3_server.access_key, "timeout_s": 1.5}
        system = {
            "kind": "s3", "url": cut.proxy.url, "secret": "s3", "options": options, "serves": ["objects"],
        }  # fmt: skip
        room: EngineRoom = await room_of({"objects": system}, {"s3": s3_server.secret_key})
        digest = Vault(room.home.state / "vault").put_bytes(content, media="text/plain").digest
        put = {"action": "object.put", "with": {"uri": f"s3://cut-off/{digest[7:]}", "digest": digest}}
        run = await started(room, f"part-{uuid.uuid4().hex[:10]}", {"put": put})
        await seen_through(room, run, cut, "S3")
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        listed = (await http.get(f"{s3_server.url}/cut-off?versions&prefix={digest[7:]}")).text
    etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert (listed.count("<VersionId>"), etag in listed) == (1, True), listed


_VERSIONED = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
"""A store that keeps every version shows what was written twice."""


async def test_a_labelling_server_that_is_cut_off(label_studio: LabelStudioServer, room_of: Any) -> None:
    cut, dataset = Cut(1, "refuse", at="/import"), f"cut{uuid.uuid4().hex[:8]}"
    async with FaultProxy(label_studio.url, answered=cut.answered) as cut.proxy:
        system = {"kind": "labelstudio", "url": cut.proxy.url, "secret": "studio"}
        room: EngineRoom = await room_of(
            {"labels": system}, {"studio": label_studio.token}, begin=False,
            policy={"labels": {"media": "https://media.example/{session}.mp4", "poll": "2s"}},
        )  # fmt: skip
        snapshot = await _queued(room.home.state, dataset)
        await room.start()
        push = {"action": "labels.push", "with": {"snapshot": snapshot}}
        run = await started(room, f"part-{uuid.uuid4().hex[:10]}", {"push": push})
        await seen_through(room, run, cut, "Label Studio")
    headers = {"authorization": f"Token {label_studio.token}"}
    async with httpx.AsyncClient(base_url=label_studio.url, headers=headers, trust_env=False, timeout=20) as http:
        projects = (await http.get("/api/projects/", params={"page_size": 500})).json()["results"]
        mine = [one for one in projects if one["title"].startswith(dataset)]
        assert len(mine) == 1, [one["title"] for one in projects]
        query = {"project": mine[0]["id"], "page_size": 500, "fields": "all"}
        tasks = (await http.get("/api/tasks", params=query)).json()["tasks"]
    jobs = [one["data"]["quarterdeck_job"] for one in tasks]
    assert jobs and len(jobs) == len(set(jobs)), "every task is there, and once"


async def test_a_cluster_that_is_cut_off(ray: RayServer, room_of: Any, tmp_path: Path) -> None:
    """The job is handed over and nobody hears of it; it computes on meanwhile, and is followed to its end afterwards."""
    cut, program = Cut(1, "refuse", at="/api/jobs"), tmp_path / "program.py"
    program.write_text(PROGRAM)
    (tmp_path / "shared").mkdir()
    async with FaultProxy(ray.url, answered=cut.answered) as cut.proxy:
        system = {
            "kind": "ray",
            "url": cut.proxy.url,
            "options": {"workspace": str(tmp_path / "shared"), "python": sys.executable},
        }
        steps = int((SECONDS + 4) / 0.05)
        rules = {
            "programs": {"train": {"argv": [sys.executable, str(program), "{out}", "good", str(steps)]}},
            "program": "train", "recipe": {}, "poll": 0.3, "grace": 2.0, "budget": 300.0,
        }  # fmt: skip
        room: EngineRoom = await room_of({"trainer": system}, {}, begin=False, policy={"data": {"training": rules}})
        snapshot = await _finalized(room.home.state, tmp_path / "recordings")
        await room.start()
        run = await started(
            room, f"part-{uuid.uuid4().hex[:10]}",
            {
                "submit": {"action": "training.submit", "with": {"snapshot": snapshot, "seed": 7}},
                "follow": {"action": "training.follow", "with": {"training": "${steps.submit.output.training}"}},
            },
        )  # fmt: skip
        await seen_through(room, run, cut, "Ray")
        rows = (await room.get("/v1/records/training"))["rows"]
        assert [(one["state"], one.get("preemptions", 0)) for one in rows] == [("succeeded", 0)], rows
        handed_over = [path for method, path in cut.proxy.acted if method == "POST"]
    assert len(handed_over) == 1, "one job, handed over once"
