"""The local launcher: trainings as processes of this machine, each under a supervisor of its own.

A job is a folder: `spec.json`, `data/`, `recipe.json`, `out/` (checkpoints), `log`, `status.json`. The supervisor writes
the status; this module starts supervisors and reads. An engine that was restarted finds its jobs as they are.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from engine.capabilities.data.supervise import born
from engine.capabilities.data.training import Spec, Status
from engine.capabilities.ports import ActionError

_JOB = re.compile(r"[0-9a-f]{24}")
START_S = 10.0
"""How long a supervisor may take to say its first word."""


class _Told(Status, frozen=True, kw_only=True):
    """A status as the supervisor writes it, with who it is."""

    pid: int = 0
    born: str = ""


class LocalTraining:
    """`folder` holds the jobs; it belongs to the engine alone."""

    traits = {"pool": "this machine", "preemption": "a checkpoint is saved, then it goes on", "isolation": "a process"}

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._supervisors: dict[str, subprocess.Popen[bytes]] = {}

    async def submit(self, spec: Spec, *, key: str) -> str:
        job = self.job_of(key)
        await asyncio.to_thread(self._prepare, job, spec)
        await self._supervised(job)
        return job

    def job_of(self, key: str) -> str:
        return hashlib.sha256(key.encode()).hexdigest()[:24]

    async def status(self, job: str) -> Status:
        return await asyncio.to_thread(self._status, job)

    async def log(self, job: str, offset: int, limit: int) -> bytes:
        def read() -> bytes:
            try:
                with (self._place(job) / "log").open("rb") as stream:
                    stream.seek(max(0, offset))
                    return stream.read(max(0, limit))
            except FileNotFoundError:
                return b""

        return await asyncio.to_thread(read)

    async def cancel(self, job: str) -> None:
        """A job that runs is ended by its supervisor; one that stands still is cancelled where it stands."""
        await asyncio.to_thread(self._ask, job, "cancel")

    async def preempt(self, job: str) -> None:
        await asyncio.to_thread(self._ask, job, "preempt")

    async def resume(self, job: str) -> None:
        status = await self.status(job)
        if status.state in ("preempted", "queued"):
            await self._supervised(job)

    async def fetch(self, job: str, name: str) -> Path:
        path = self._place(job) / "out" / Path(name).name
        if path.is_symlink() or not path.is_file():
            raise ActionError("NoCheckpoint", f"job {job} has no checkpoint {name[:80]}", retryable=False)
        return path

    async def check(self) -> str:
        free = shutil.disk_usage(self._folder.parent).free
        return f"local processes, {os.cpu_count() or 1} cores, {free / 1e9:.0f} GB free"

    async def forget(self, job: str) -> None:
        """Removes a job that has ended, with everything it wrote."""
        if (await self.status(job)).state in ("succeeded", "failed", "cancelled"):
            await asyncio.to_thread(shutil.rmtree, self._place(job), ignore_errors=True)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _place(self, job: str) -> Path:
        if not _JOB.fullmatch(job):
            raise ActionError(
                "NoSuchJob", f"{job[:40]!r} is no job of this launcher", kind="validation", retryable=False
            )
        return self._folder / job

    def _prepare(self, job: str, spec: Spec) -> None:
        """The job's folder, whole or not at all: a crash in the middle leaves one under another name."""
        place = self._place(job)
        if (place / "spec.json").exists():
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._folder / f".{job}.{os.getpid()}"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        (fresh / "out").mkdir(mode=0o700)
        shutil.copytree(spec.data, fresh / "data", symlinks=True)
        (fresh / "recipe.json").write_bytes(msgspec.json.encode(spec.recipe))
        (fresh / "spec.json").write_bytes(msgspec.json.encode(spec))
        os.replace(fresh, place)

    async def _supervised(self, job: str) -> None:
        """A supervisor, unless one is there or the job is over. Waits for its first word."""
        if (await self.status(job)).state not in ("queued", "preempted"):
            return
        before = (await self.status(job)).attempts
        self._supervisors[job] = await asyncio.to_thread(self._spawn, job)
        for _ in range(int(START_S / 0.05)):
            if (await self.status(job)).attempts > before:
                return
            await asyncio.sleep(0.05)
        raise ActionError("NoSupervisor", f"the supervisor of job {job} did not start", kind="communication")

    def _spawn(self, job: str) -> subprocess.Popen[bytes]:
        place = self._place(job)
        with (place / "supervisor.log").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "engine.capabilities.data.supervise", str(place)],
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True, close_fds=True,
            )  # fmt: skip

    def _told(self, job: str) -> _Told:
        try:
            return msgspec.json.decode((self._place(job) / "status.json").read_bytes(), type=_Told)
        except FileNotFoundError:
            return _Told()
        except msgspec.DecodeError as error:
            raise ActionError("BadStatus", f"the status of job {job} can't be read", kind="unknown") from error

    def _status(self, job: str) -> Status:
        if not (self._place(job) / "spec.json").is_file():
            raise ActionError("NoSuchJob", f"there is no job {job}", kind="validation", retryable=False)
        child = self._supervisors.get(job)
        gone = child is not None and child.poll() is not None
        told = self._told(job)
        if told.state == "running" and (not born(told.pid) or born(told.pid) != told.born):
            told = self._told(job)  # it may have ended well between the two looks
            if told.state == "running":
                told = msgspec.structs.replace(
                    told, state="preempted", message="its supervisor is gone: the machine went down"
                )
        if gone:
            del self._supervisors[job]
        plain = {name: getattr(told, name) for name in Status.__struct_fields__}
        return Status(**plain)

    def _ask(self, job: str, word: str) -> None:
        place, told = self._place(job), self._status(job)
        if told.state == "running":
            fresh = place / "ask.new"
            fresh.write_text(word)
            os.replace(fresh, place / "ask")
        elif word == "cancel" and told.state in ("queued", "preempted"):
            ended = msgspec.structs.replace(told, state="cancelled", error="Cancelled", message="cancelled by a person")
            fresh = place / "status.json.new"
            fresh.write_bytes(msgspec.json.encode(ended))
            os.replace(fresh, place / "status.json")
