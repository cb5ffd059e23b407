"""The promises of trainings against a real Ray: one key is one job, machines that go away cost no work twice, and a result
counts by its bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.http import HttpClient
from connectors.job_folder import JobFolders
from connectors.ray_jobs import RayTraining, connector
from engine.capabilities.data.training import Spec, Status
from engine.capabilities.ports import ActionError
from engine.capabilities.systems import conformance
from tests.integration.connectors.fault_proxy import Fault, FaultProxy
from tests.integration.connectors.ground import WallClock
from tests.services.heavy import RayServer
from tests.unit.data.training_program import PROGRAM

pytestmark = pytest.mark.service


def client(server: RayServer, folder: Path, url: str = "") -> RayTraining:
    http = HttpClient(url or server.url, name="Ray")
    return RayTraining(http, JobFolders(folder), python=sys.executable)


@pytest.fixture
async def launcher(ray: RayServer, tmp_path: Path) -> AsyncIterator[RayTraining]:
    (tmp_path / "shared").mkdir()
    found = client(ray, tmp_path / "shared")
    yield found
    await found.close()


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Spec]:
    data = tmp_path / "data"
    data.mkdir()
    recording = tmp_path / "vault" / "ab"
    recording.parent.mkdir()
    recording.write_bytes(b"recorded")
    (data / "episodes.jsonl").write_text(json.dumps({"episode": "S-1", "file": str(recording)}) + "\n")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def spec(mode: str = "good", total: int = 6, **more: Any) -> Spec:
        argv = (sys.executable, str(program), "{out}", mode, str(total))
        return Spec(training="T-1", argv=argv, resume=("--resume",), data=str(data), seed=7, **more)

    return spec


async def until(launcher: RayTraining, job: str, *states: str, limit_s: float = 60.0) -> Status:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        status = await launcher.status(job)
        if status.state in states:
            return status
        await asyncio.sleep(0.2)
    raise AssertionError(f"still {status}")


async def handed_over(ray: RayServer) -> list[str]:
    async with httpx.AsyncClient(trust_env=False) as http:
        return sorted(one["submission_id"] for one in (await http.get(ray.jobs_url)).json())


async def test_a_training_succeeds_and_its_files_pass_through_the_shared_folder(
    launcher: RayTraining, ray: RayServer, make: Callable[..., Spec], tmp_path: Path
) -> None:
    lost = {"POST": 1}

    def rule(method: str, path: str) -> Fault | None:
        if lost.get(method):
            lost[method] -= 1
            return Fault(forward=True, reset=True)
        return None

    async with FaultProxy(ray.url, rule) as proxy:
        through = client(ray, tmp_path / "shared", proxy.url)
        job = await through.submit(make(), key="run/train/1")  # the answer is lost; the job is there
        await through.close()
    assert await launcher.submit(make(), key="run/train/1") == job
    status = await until(launcher, job, "succeeded", "failed")
    assert status.state == "succeeded" and status.attempts == 1, status
    path = await launcher.fetch(job, status.result.name if status.result else "")
    assert status.result and status.result.digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert [one.step for one in status.checkpoints] == [2, 4, 6, 6] and status.metrics["val_loss"] == 0.5
    assert b'"completed"' in await launcher.log(job, 0, 100_000)
    assert [one for one in await handed_over(ray) if job in one] == [f"qd-{job}-1"]
    (line,) = (tmp_path / "shared" / "jobs" / job / "data" / "episodes.jsonl").read_text().splitlines()
    staged = Path(json.loads(line)["file"])
    assert staged.is_relative_to(tmp_path / "shared") and staged.read_bytes() == b"recorded"
    found = {one.id: one for one in (await launcher.pull("job", "")).objects}
    assert found[f"qd-{job}-1"].data["training"] == "T-1" and found[f"qd-{job}-1"].state in ("RUNNING", "SUCCEEDED")
    await launcher.forget(job)
    assert not any(
        (tmp_path / "shared" / place).exists() and list((tmp_path / "shared" / place).iterdir())
        for place in ("jobs", "files")
    )
    with pytest.raises(ActionError) as gone:
        await launcher.status(job)
    assert gone.value.error == "NoSuchJob"


async def test_a_machine_that_goes_away_preempts_and_it_goes_on_from_its_checkpoint(
    launcher: RayTraining, ray: RayServer, make: Callable[..., Spec]
) -> None:
    job = await launcher.submit(make(total=60), key="k2")
    while (await launcher.status(job)).done < 4:  # noqa: ASYNC110  # a process says so in a file
        await asyncio.sleep(0.1)
    async with httpx.AsyncClient(trust_env=False) as http:  # not by us: Ray takes the job's machine back
        (await http.post(f"{ray.jobs_url}qd-{job}-1/stop")).raise_for_status()
    stopped = await until(launcher, job, "preempted")
    assert stopped.checkpoints and 4 <= stopped.done < 60
    await launcher.resume(job)
    await launcher.resume(job)
    status = await until(launcher, job, "succeeded", "failed")
    assert status.state == "succeeded" and status.attempts == 2, status
    assert [one for one in await handed_over(ray) if job in one] == [f"qd-{job}-1", f"qd-{job}-2"]
    log = (await launcher.log(job, 0, 1_000_000)).decode()
    begun = max(one.step for one in stopped.checkpoints)
    assert log.count(f'"done": {begun},') == 1, "it went on, it did not begin again"


async def test_cancelled_and_overdrawn_jobs_end(launcher: RayTraining, make: Callable[..., Spec]) -> None:
    running = await launcher.submit(make(total=4000), key="k3")
    over = await launcher.submit(make(total=4000, budget_s=1.0), key="k4")
    while (await launcher.status(running)).done < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    await launcher.cancel(running)
    assert (await until(launcher, running, "cancelled", "failed")).error == "Cancelled"
    spent = await until(launcher, over, "failed")
    assert spent.error == "BudgetExceeded" and "1 s" in spent.message


async def test_what_can_not_begin_says_so(ray: RayServer, make: Callable[..., Spec], tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    broken = RayTraining(HttpClient(ray.url, name="Ray"), JobFolders(tmp_path / "shared"), python="/no/such/python")
    job = await broken.submit(make(), key="k5")
    status = await until(broken, job, "failed")
    assert (
        status.error == "JOB_ENTRYPOINT_COMMAND_ERROR"
        and "/no/such/python" in (await broken.log(job, 0, 10_000)).decode()
    )
    await broken.close()
    nowhere = RayTraining(HttpClient(ray.url, name="Ray"), JobFolders(tmp_path / "unmounted"))
    with pytest.raises(ActionError) as unmounted:
        await nowhere.submit(make(), key="k6")
    assert unmounted.value.error == "NoWorkspace"
    await nowhere.close()


async def test_it_keeps_the_public_promises(ray: RayServer, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    settings = {"url": ray.url, "workspace": str(tmp_path / "shared"), "pools": {"gpu": {"entrypoint_num_gpus": 1}}}
    conformance.connector(connector, settings)
    ports = connector.build(settings, lambda name: "", WallClock(), {})
    report = await conformance.check(ports, system="x", now=time.time, write=True, given={})
    conformance.assert_kept(report)
    assert "Ray 2.60.0" in await ports["training"].check()
    await ports["training"].close()
    for bad in ({"workspace": "relative"}, {"pools": {"gpu": {"gpus": 1}}}, {"pools": {"gpu": 1}}):
        with pytest.raises(ActionError) as wrong:
            connector.build(settings | bad, lambda name: "", WallClock(), {})
        assert wrong.value.error == "NotConfigured"
