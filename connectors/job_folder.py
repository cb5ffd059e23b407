"""A training job as a folder that the engine and the cluster both see: what the program reads, what it writes, where it
stands. The supervisor (`engine.capabilities.data.supervise`) is put into it and runs there; this side prepares and reads.

`jobs/JOB/` holds `spec.json`, `recipe.json`, `supervise.py`, `data/`, `out/`, `log`, `status.json`, `ask` and `attempt`;
`files/` holds recordings and bases once for all jobs, linked into each.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from connectors.remote_text import clean
from engine.capabilities.data import supervise
from engine.capabilities.data.training import Spec, Status
from engine.capabilities.ports import ActionError

JOB = re.compile(r"[0-9a-f]{24}")
EPISODES = "episodes.jsonl"


class Told(Status, frozen=True, kw_only=True):
    """A status as the supervisor writes it, with who it is."""

    pid: int = 0
    born: str = ""


class JobFolders:
    """`ours` is the shared folder as this machine sees it, `theirs` as the cluster does."""

    def __init__(self, ours: Path, theirs: str = "") -> None:
        self.ours, self.theirs = ours, theirs.rstrip("/") or str(ours)

    def check(self) -> str:
        """Free space. Raises ActionError `NoWorkspace`."""
        if not self.ours.is_dir() or not os.access(self.ours, os.W_OK):
            raise ActionError(
                "NoWorkspace",
                f"the shared folder {clean(self.ours, 200)} is not there or can't be written: is it mounted?",
                kind="configuration",
            )
        return f"{shutil.disk_usage(self.ours).free / 1e9:.0f} GB free"

    def place(self, job: str) -> Path:
        if not JOB.fullmatch(job):
            raise ActionError("NoSuchJob", f"{clean(job, 40)!r} is no job of ours", kind="validation", retryable=False)
        return self.ours / "jobs" / job

    def at(self, job: str) -> str:
        """Where the cluster sees a job."""
        return f"{self.theirs}/jobs/{job}"

    def exists(self, job: str) -> bool:
        return (self.place(job) / "spec.json").is_file()

    def prepare(self, job: str, spec: Spec, told: Callable[[int, int], None] | None = None) -> None:
        """The job's folder, whole or not at all: a crash in the middle leaves one under another name, and files that were
        copied already are not copied again."""
        self.check()
        place = self.place(job)
        if self.exists(job):
            return
        fresh = place.parent / f".{job}.{os.getpid()}"
        shutil.rmtree(fresh, ignore_errors=True)
        for folder in (fresh, fresh / "out", fresh / "data", fresh / "data" / "files"):
            folder.mkdir(mode=0o700, parents=True)
        for path in sorted(Path(spec.data).iterdir()):
            if path.name == EPISODES:
                self._episodes(path, fresh, self.at(job), told)
            elif path.is_dir():
                shutil.copytree(path, fresh / "data" / path.name, symlinks=True)
            else:
                shutil.copyfile(path, fresh / "data" / path.name)
        base = spec.base
        if base and Path(base).is_file():
            base = f"{self.at(job)}/data/files/{self._staged(Path(base), fresh / 'data' / 'files')}"
        theirs = msgspec.structs.replace(spec, data=f"{self.at(job)}/data", base=base)
        shutil.copyfile(supervise.__file__, fresh / "supervise.py")
        (fresh / "recipe.json").write_bytes(msgspec.json.encode(spec.recipe))
        (fresh / "spec.json").write_bytes(msgspec.json.encode(theirs))
        os.replace(fresh, place)

    def _episodes(self, path: Path, fresh: Path, at: str, told: Callable[[int, int], None] | None) -> None:
        """The list of episodes with their files as the cluster finds them."""
        lines = path.read_bytes().splitlines()
        out: list[bytes] = []
        for number, line in enumerate(lines, 1):
            said: dict[str, Any] = msgspec.json.decode(line)
            if said.get("file"):
                said["file"] = f"{at}/data/files/{self._staged(Path(said['file']), fresh / 'data' / 'files')}"
            out.append(msgspec.json.encode(said))
            if told is not None:
                told(number, len(lines))
        (fresh / "data" / EPISODES).write_bytes(b"\n".join(out) + b"\n")

    def _staged(self, source: Path, into: Path) -> str:
        """A file, copied into the shared folder once and linked into the job; its name there. What we keep is never linked
        itself: a program that writes into its data writes into a copy."""
        about = source.stat()
        mark = hashlib.sha256(f"{source}/{about.st_size}/{about.st_mtime_ns}".encode()).hexdigest()[:32]
        name = f"{mark}{source.suffix[:12]}"
        pool = self.ours / "files"
        pool.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (pool / name).exists():
            fresh = pool / f".{name}.{os.getpid()}"
            shutil.copyfile(source, fresh)
            os.chmod(fresh, 0o444)
            os.replace(fresh, pool / name)
        if not (into / name).exists():
            os.link(pool / name, into / name)
        return name

    # -- while it runs ------------------------------------------------------------------------------------------------

    def told(self, job: str) -> Told:
        try:
            return msgspec.json.decode((self.place(job) / "status.json").read_bytes(), type=Told)
        except FileNotFoundError:
            return Told()
        except msgspec.DecodeError as error:
            raise ActionError("BadStatus", f"the status of job {job} can't be read", kind="unknown") from error

    def moment(self, job: str) -> int:
        """When the status was last written, by the shared folder's clock; 0 when never."""
        try:
            return (self.place(job) / "status.json").stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def attempt(self, job: str) -> int:
        """The number of the last attempt that was handed over, or was about to be."""
        try:
            return int((self.place(job) / "attempt").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def begin(self, job: str, attempt: int) -> None:
        """Written before the attempt is handed over, so that a crash in between asks for the same one again."""
        self._write(job, "attempt", str(attempt).encode())

    def ask(self, job: str, word: str) -> None:
        """`cancel` or `preempt`: the supervisor looks several times a second."""
        self._write(job, "ask", word.encode())

    def end(self, job: str, state: str, error: str, message: str) -> None:
        """The status of a job that nobody runs."""
        ended = msgspec.structs.replace(self.told(job), state=state, error=error, message=message, pid=0)
        self._write(job, "status.json", msgspec.json.encode(ended))

    def log(self, job: str, offset: int, limit: int) -> bytes:
        try:
            with (self.place(job) / "log").open("rb") as stream:
                stream.seek(max(0, offset))
                return stream.read(max(0, limit))
        except FileNotFoundError:
            return b""

    def checkpoint(self, job: str, name: str) -> Path:
        path = self.place(job) / "out" / Path(name).name
        if path.is_symlink() or not path.is_file():
            raise ActionError(
                "NoCheckpoint", f"job {job} has no checkpoint {clean(name, 80)}", kind="validation", retryable=False
            )
        return path

    def forget(self, job: str) -> None:
        """The job's folder, and files no other job has a link to."""
        shutil.rmtree(self.place(job), ignore_errors=True)
        pool = self.ours / "files"
        for path in pool.iterdir() if pool.is_dir() else ():
            if path.stat().st_nlink == 1 and not path.name.startswith("."):
                path.unlink(missing_ok=True)

    def _write(self, job: str, name: str, content: bytes) -> None:
        place = self.place(job)
        fresh = place / f"{name}.{os.getpid()}.new"
        fresh.write_bytes(content)
        os.replace(fresh, place / name)
