"""The local launcher keeps the promises of its port with real processes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from engine.capabilities.data.launcher import LocalTraining
from engine.capabilities.data.training import Spec, Status
from engine.capabilities.ports import ActionError
from tests.unit.data.training_program import PROGRAM


@pytest.fixture
def make(tmp_path: Path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "episodes.jsonl").write_text("{}\n")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def spec(mode: str = "good", total: int = 6, **more: object) -> Spec:
        argv = (sys.executable, str(program), "{out}", mode, str(total))
        return Spec(training="T-1", argv=argv, resume=("--resume",), data=str(data), seed=7, **more)  # type: ignore[arg-type]

    return spec


async def until(launcher: LocalTraining, job: str, *states: str, limit_s: float = 20.0) -> Status:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        status = await launcher.status(job)
        if status.state in states:
            return status
        await asyncio.sleep(0.05)
    raise AssertionError(f"still {status}")


async def test_a_training_succeeds_with_a_checkpoint_hashed_from_its_bytes(tmp_path: Path, make) -> None:
    launcher = LocalTraining(tmp_path / "jobs")
    job = await launcher.submit(make(), key="run/train/1")
    status = await until(launcher, job, "succeeded")
    path = await launcher.fetch(job, status.result.name)
    assert status.result.digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert [c.step for c in status.checkpoints] == [2, 4, 6, 6] and (status.done, status.of) == (6, 6)
    assert status.metrics["val_loss"] == 0.5 and status.attempts == 1 and status.spent_s > 0
    log = await launcher.log(job, 0, 100_000)
    assert b"loading" in log and b'"completed"' in log and len(log) == status.log_bytes
    assert await launcher.log(job, status.log_bytes, 10) == b""


async def test_the_same_key_is_the_same_job(tmp_path: Path, make) -> None:
    launcher = LocalTraining(tmp_path / "jobs")
    first = await launcher.submit(make(), key="k")
    second = await LocalTraining(tmp_path / "jobs").submit(make(), key="k")
    status = await until(launcher, first, "succeeded")
    assert first == second and status.attempts == 1


async def test_preempted_it_saves_and_goes_on_from_there(tmp_path: Path, make) -> None:
    launcher = LocalTraining(tmp_path / "jobs")
    job = await launcher.submit(make(total=40), key="k")
    while (await launcher.status(job)).done < 3:  # noqa: ASYNC110  # a process says so in a file
        await asyncio.sleep(0.02)
    await launcher.preempt(job)
    stopped = await until(launcher, job, "preempted")
    assert 3 <= stopped.done < 40 and stopped.checkpoints
    await launcher.resume(job)
    status = await until(launcher, job, "succeeded")
    log = (await launcher.log(job, 0, 1_000_000)).decode()
    assert status.attempts == 2 and status.spent_s > stopped.spent_s
    assert log.count(f'"done": {stopped.done},') == 1  # no epoch twice: it went on, it did not begin again


async def test_a_supervisor_that_is_killed_takes_its_program_along_and_counts_as_preempted(
    tmp_path: Path, make
) -> None:
    launcher = LocalTraining(tmp_path / "jobs")
    job = await launcher.submit(make(total=200), key="k")
    while (await launcher.status(job)).done < 3:  # noqa: ASYNC110  # a process says so in a file
        await asyncio.sleep(0.02)
    pid = launcher._told(job).pid
    os.kill(pid, signal.SIGKILL)
    status = await until(launcher, job, "preempted")
    assert "machine" in status.message
    size = (tmp_path / "jobs" / job / "log").stat().st_size
    await asyncio.sleep(0.3)
    assert (tmp_path / "jobs" / job / "log").stat().st_size == size


async def test_an_engine_that_comes_back_finds_its_job_running(tmp_path: Path, make) -> None:
    job = await LocalTraining(tmp_path / "jobs").submit(make(total=20), key="k")
    assert (await until(LocalTraining(tmp_path / "jobs"), job, "succeeded")).attempts == 1


async def test_the_budget_ends_it_also_when_it_does_not_listen(tmp_path: Path, make) -> None:
    launcher = LocalTraining(tmp_path / "jobs")
    job = await launcher.submit(make("deaf", total=400, budget_s=0.5, grace_s=0.3), key="k")
    status = await until(launcher, job, "failed")
    assert status.error == "BudgetExceeded" and status.spent_s < 5


async def test_cancel_ends_it_and_nothing_resumes_it(tmp_path: Path, make) -> None:
    launcher = LocalTraining(tmp_path / "jobs")
    job = await launcher.submit(make(total=400), key="k")
    await launcher.cancel(job)
    assert (await until(launcher, job, "cancelled")).error == "Cancelled"
    await launcher.resume(job)
    assert (await launcher.status(job)).state == "cancelled"


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("raise", "NoEpisodes"),
        ("quiet", "NoCheckpoint"),
        ("killed", "Killed"),
        ("liar", "CheckpointMismatch"),
        ("outside", "BadCheckpoint"),
    ],
)
async def test_a_program_that_fails_says_why(tmp_path: Path, make, mode: str, error: str) -> None:
    launcher = LocalTraining(tmp_path / "jobs")
    job = await launcher.submit(make(mode), key="k")
    status = await until(launcher, job, "failed")
    assert status.error == error and status.message and status.result is None


async def test_a_job_is_named_by_its_launcher_alone(tmp_path: Path, make) -> None:
    launcher = LocalTraining(tmp_path / "jobs")
    for name in ("../../etc", "", "a" * 24):
        with pytest.raises(ActionError):
            await launcher.status(name)


async def test_a_command_line_with_an_unknown_placeholder_fails_and_says_so(tmp_path: Path, make) -> None:
    launcher = LocalTraining(tmp_path / "jobs")
    spec = make()
    broken = Spec(training="T-1", argv=(*spec.argv, "{secret}"), data=spec.data)
    status = await until(launcher, await launcher.submit(broken, key="k"), "failed")
    assert status.error == "NoProgram" and "secret" in status.message


async def test_a_job_that_is_over_is_forgotten_and_one_that_runs_is_not(tmp_path: Path, make) -> None:
    launcher = LocalTraining(tmp_path / "jobs")
    job = await launcher.submit(make(total=40), key="k")
    await launcher.forget(job)
    await launcher.cancel(job)
    await until(launcher, job, "cancelled")
    await launcher.forget(job)
    with pytest.raises(ActionError):
        await launcher.status(job)
