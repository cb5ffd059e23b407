"""Trainings over a real sshd keep the promises that trainings on this machine keep."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.ssh_jobs import SshJobsConnector, SshTraining
from engine.capabilities.data.training import Spec, Status
from engine.capabilities.ports import ActionError
from engine.capabilities.systems import conformance
from tests.services.ssh import Sshd, Wall, running
from tests.unit.data.test_launcher import PROGRAM

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with running() as found:
        yield found


def host(sshd: Sshd, folder: Path) -> SshTraining:
    settings = {
        "url": f"ssh://{sshd.user}@127.0.0.1:{sshd.port}", "host_keys": [sshd.host_key], "secret": "gateway-key",
        "folder": str(folder / "jobs"), "cache": str(folder / "cache"), "connect_s": 5.0,
    }  # fmt: skip
    found: SshTraining = SshJobsConnector().build(settings, sshd.keys.get, Wall(), {})["training"]
    return found


def spec(folder: Path, mode: str = "good", total: int = 6, **more: Any) -> Spec:
    data = folder / "data"
    (data / "sub").mkdir(parents=True, exist_ok=True)
    (data / "episodes.jsonl").write_text("{}\n")
    (data / "sub" / "more.bin").write_bytes(b"x" * 100_000)
    program = folder / "program.py"
    program.write_text(PROGRAM)
    argv = ("{python}", str(program), "{out}", mode, str(total))
    return Spec(training="T-1", argv=argv, resume=("--resume",), data=str(data), seed=7, **more)


async def until(training: SshTraining, job: str, *states: str, limit_s: float = 25.0) -> Status:
    end = time.monotonic() + limit_s
    while (status := await training.status(job)).state not in states:
        assert time.monotonic() < end, status
        await asyncio.sleep(0.3)
    return status


async def further(training: SshTraining, job: str, done: int) -> None:
    while (await training.status(job)).done < done:  # noqa: ASYNC110  # a process says so in a file
        await asyncio.sleep(0.2)


async def test_a_training_succeeds_with_a_checkpoint_hashed_there_and_again_here(sshd: Sshd, tmp_path: Path) -> None:
    training = host(sshd, tmp_path)
    assert "cores" in await training.check() and "127.0.0.1" in await training.check()
    job = await training.submit(spec(tmp_path), key="run/train/1")
    assert await training.submit(spec(tmp_path), key="run/train/1") == job
    status = await until(training, job, "succeeded")
    assert status.result is not None and (status.done, status.of, status.attempts) == (6, 6, 1)
    path = await training.fetch(job, status.result.name)
    assert status.result.digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert (tmp_path / "jobs" / job / "data" / "sub" / "more.bin").stat().st_size == 100_000
    log = await training.log(job, 0, 100_000)
    assert b"loading" in log and len(log) == status.log_bytes
    assert await training.log(job, status.log_bytes, 10) == b"" and await training.log(job, 3, 5) == log[3:8]
    (tmp_path / "jobs" / job / "out" / status.result.name).write_text("something else")
    path.unlink()
    with pytest.raises(ActionError) as other:
        await training.fetch(job, status.result.name)
    assert other.value.error == "CheckpointMismatch" and not list(path.parent.iterdir())
    with pytest.raises(ActionError):
        await training.fetch(job, "../spec.json")
    await training.forget(job)
    assert not (tmp_path / "jobs" / job).exists()
    with pytest.raises(ActionError) as gone:
        await training.status(job)
    assert gone.value.error == "NoSuchJob"


async def test_many_that_ask_at_once_start_one(sshd: Sshd, tmp_path: Path) -> None:
    jobs = await asyncio.gather(*(host(sshd, tmp_path).submit(spec(tmp_path), key="k") for _ in range(4)))
    assert len(set(jobs)) == 1
    status = await until(host(sshd, tmp_path), jobs[0], "succeeded")
    assert status.attempts == 1
    assert {one.name for one in (tmp_path / "jobs").iterdir()} == {jobs[0], ".files"}


async def test_recordings_are_on_the_host_once_and_named_as_it_finds_them(sshd: Sshd, tmp_path: Path) -> None:
    training, recording, base = host(sshd, tmp_path), tmp_path / "a recording.mcap", tmp_path / "base.bin"
    recording.write_bytes(os.urandom(100_000))
    base.write_bytes(b"weights")
    told = spec(tmp_path, base=str(base))
    rows = [{"session": f"S-{n}", "file": str(recording)} for n in (1, 2)]
    (tmp_path / "data" / "episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    jobs = [await training.submit(told, key=key) for key in ("one", "two")]
    for job in jobs:
        place = tmp_path / "jobs" / job
        listed = [json.loads(line) for line in (place / "data" / "episodes.jsonl").read_text().splitlines()]
        assert [row["session"] for row in listed] == ["S-1", "S-2"] and len({row["file"] for row in listed}) == 1
        for path in (listed[0]["file"], json.loads((place / "spec.json").read_text())["base"]):
            assert Path(path).is_relative_to(place)
        assert Path(listed[0]["file"]).read_bytes() == recording.read_bytes()
    pool = sorted((tmp_path / "jobs" / ".files").iterdir())
    assert len(pool) == 2 and all(one.stat().st_nlink == 3 for one in pool), "two files, in the pool and in both jobs"
    for job in jobs:
        await until(training, job, "succeeded")
    recording.unlink()
    with pytest.raises(ActionError) as gone:
        await training.submit(told, key="three")
    assert gone.value.error == "NoRecording" and len(list((tmp_path / "jobs").iterdir())) == 3


async def test_preempted_it_goes_on_and_killed_it_counts_as_preempted(sshd: Sshd, tmp_path: Path) -> None:
    training = host(sshd, tmp_path)
    job = await training.submit(spec(tmp_path, total=60), key="k")
    await further(training, job, 3)
    await training.preempt(job)
    stopped = await until(training, job, "preempted")
    assert stopped.checkpoints
    await training.resume(job)
    await further(training, job, stopped.done + 2)
    pid = json.loads((tmp_path / "jobs" / job / "status.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    dead = await until(training, job, "preempted")
    assert "host went down" in dead.message
    await training.resume(job)
    await training.cancel(job)
    assert (await until(training, job, "cancelled")).error == "Cancelled"
    await training.resume(job)
    assert (await training.status(job)).state == "cancelled"


async def test_the_budget_is_kept_there_while_nobody_looks(sshd: Sshd, tmp_path: Path) -> None:
    training = host(sshd, tmp_path)
    job = await training.submit(spec(tmp_path, "deaf", total=400, budget_s=0.5, grace_s=0.3), key="k")
    sshd.stop()
    try:
        with pytest.raises(ActionError) as away:
            await training.status(job)
        assert (away.value.error, away.value.kind) == ("Unreachable", "communication")
    finally:
        sshd.start()
    status = await until(training, job, "failed")
    assert status.error == "BudgetExceeded" and status.spent_s < 5


@pytest.mark.parametrize(("mode", "error"), [("raise", "NoEpisodes"), ("liar", "CheckpointMismatch")])
async def test_a_program_that_fails_says_why(sshd: Sshd, tmp_path: Path, mode: str, error: str) -> None:
    training = host(sshd, tmp_path)
    job = await training.submit(spec(tmp_path, mode), key="k")
    status = await until(training, job, "failed")
    assert status.error == error and status.message and status.result is None


async def test_the_promises_of_the_port_are_kept(sshd: Sshd, tmp_path: Path) -> None:
    report = await conformance.check({"training": host(sshd, tmp_path)}, system="trainer", now=time.time)
    conformance.assert_kept(report)


async def test_names_and_addresses_are_checked(sshd: Sshd, tmp_path: Path) -> None:
    for name in ("../../etc", "", "a" * 24):
        with pytest.raises(ActionError):
            await host(sshd, tmp_path).status(name)
    for url in ("http://x", "ssh://u:p@x", "ssh://x/path", "ssh://"):
        with pytest.raises(ActionError):
            SshJobsConnector().build({"url": url}, sshd.keys.get, Wall(), {})
