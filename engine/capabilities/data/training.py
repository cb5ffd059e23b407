"""The port `training`: whoever runs a training program for us, on this machine or on a cluster.

Promises of every implementation:
- `submit` with the same key is the same job, also after a crash in between; it never starts a second one.
- A job that stops on its own account is `preempted` (it can go on from its newest checkpoint), `failed` or `succeeded`;
  `succeeded` is said only with a checkpoint whose digest was computed from the bytes, not taken from the program.
- The budget is kept by whoever runs the job, so that it ends in time while no engine lives.
- `cancel` is asked for once and is `cancelled` in the status when the program has really ended.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol

from msgspec import Struct, field

Json = Any
JobState = Literal["queued", "running", "preempted", "succeeded", "failed", "cancelled"]
ENDED = ("preempted", "succeeded", "failed", "cancelled")


class Spec(Struct, frozen=True, kw_only=True):
    """A job. `data` is a local folder with what the program reads (`episodes.jsonl`); `argv` and `resume` are templates of
    the allow-list, with {python} {data} {recipe} {out} {seed} {root_digest} {base}. Times in s, sizes in bytes.
    """

    training: str
    argv: tuple[str, ...]
    resume: tuple[str, ...] = ()
    data: str
    recipe: dict[str, Json] = field(default_factory=dict)
    seed: int = 0
    root_digest: str = ""
    base: str = ""
    pool: str = "local"
    budget_s: float = 3600.0
    grace_s: float = 30.0
    max_log: int = 64_000_000
    max_checkpoint: int = 20_000_000_000


class Written(Struct, frozen=True, kw_only=True):
    """A checkpoint: its name in the job, the digest of its bytes, how far the training was."""

    name: str
    digest: str
    size: int = 0
    step: int = 0


class Status(Struct, frozen=True, kw_only=True):
    """Where a job stands. `spent_s` is computing time over all attempts; `log_bytes` how long its log is."""

    state: JobState = "queued"
    done: int = 0
    of: int = 0
    unit: str = ""
    what: str = ""
    metrics: dict[str, Json] = field(default_factory=dict)
    checkpoints: tuple[Written, ...] = ()
    result: Written | None = None
    spent_s: float = 0.0
    attempts: int = 0
    error: str = ""
    message: str = ""
    log_bytes: int = 0


class Training(Protocol):
    """Every method raises ActionError; `communication` when it may be tried again."""

    traits: dict[str, str]

    async def submit(self, spec: Spec, *, key: str) -> str:
        """Starts a job; its reference."""
        ...

    def job_of(self, key: str) -> str:
        """The reference that `submit` gives for this key. Nothing is asked of anybody: there may be no such job."""
        ...

    async def status(self, job: str) -> Status: ...
    async def log(self, job: str, offset: int, limit: int) -> bytes:
        """A piece of what the program said, from a byte on; empty at the end."""
        ...

    async def cancel(self, job: str) -> None: ...
    async def preempt(self, job: str) -> None:
        """Asks the program to save and give its machine back."""
        ...

    async def resume(self, job: str) -> None:
        """Goes on from the newest checkpoint. Nothing happens when the job runs already."""
        ...

    async def fetch(self, job: str, name: str) -> Path:
        """A checkpoint as a local file, as it was hashed."""
        ...

    async def forget(self, job: str) -> None:
        """Everything of an ended job that is worth keeping is kept: its files may go."""
        ...

    async def check(self) -> str: ...
