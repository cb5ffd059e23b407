"""Benches as programs: a job goes in as a file, JSON Lines come out.

The program gets a folder of its own, few of our variables, nothing secret and no standard input. What it says is believed
as far as its shape goes and no further: lines are bounded, text is cut, an end without `done` is trouble. It is ended, with
whatever it started, when its time is up or nobody wants the answer any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from engine.capabilities.ports import ActionError

Json = Any

LINE_B = 256 * 1024
LINES = 500_000
TEXT = 500
LOG_B = 16_384
GRACE_S = 3.0
LOOK_S = 0.5
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")


class Bench(Protocol):
    """The port `evaluation`: runs one job of a program and gives what it says, line by line."""

    def lines(
        self, argv: Sequence[str], job: Mapping[str, Json], *, wanted: Callable[[], bool], limit_s: float
    ) -> AsyncIterator[dict[str, Json]]:
        """Raises ActionError `BenchTrouble` (worth another try), `BadModel` or `BadJob` (not)."""
        ...


def cut(text: object, limit: int = TEXT) -> str:
    """What a program said, as one bounded line of printable text."""
    shown = "".join(c if c.isprintable() else " " for c in str(text)[: limit * 2])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def program(policy: Mapping[str, Json], name: str) -> list[str]:
    """The argv of a runner by the name a pack uses. Raises ActionError `NoRunner`."""
    found = (policy.get("runners") or {}).get(name)
    if not isinstance(found, Mapping) or not found.get("argv"):
        known = ", ".join(sorted(policy.get("runners") or {})) or "none"
        raise ActionError(
            "NoRunner", f"no runner {name!r} is set up here (policy release, runners: {known})",
            kind="configuration", retryable=False,
        )  # fmt: skip
    return filled(found["argv"])


def filled(argv: Sequence[str]) -> list[str]:
    return [sys.executable if part == "{python}" else str(part) for part in argv]


class Programs:
    """The embedded bench: programs on this machine. `folder` holds one folder per job, gone when it ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def lines(
        self, argv: Sequence[str], job: Mapping[str, Json], *, wanted: Callable[[], bool], limit_s: float
    ) -> AsyncIterator[dict[str, Json]]:
        import shutil
        import tempfile

        await asyncio.to_thread(self.folder.mkdir, parents=True, exist_ok=True, mode=0o700)
        home = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="job-", dir=self.folder))
        process: asyncio.subprocess.Process | None = None
        try:
            await asyncio.to_thread((home / "job.json").write_bytes, msgspec.json.encode(dict(job)))
            log = await asyncio.to_thread((home / "log").open, "wb")
            with log:
                try:
                    process = await asyncio.create_subprocess_exec(
                        *argv, "--job", str(home / "job.json"), cwd=home, stdin=asyncio.subprocess.DEVNULL,
                        stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True, limit=LINE_B,
                        env={name: os.environ[name] for name in _KEPT if name in os.environ}
                        | {"HOME": str(home), "PYTHONUNBUFFERED": "1"},
                    )  # fmt: skip
                except OSError as error:
                    raise ActionError(
                        "NoRunner",
                        f"{argv[0]} can't be started: {error.strerror}",
                        kind="configuration",
                        retryable=False,
                    ) from error
            async for line in self._said(process, wanted, limit_s):
                yield line
            status = await process.wait()
            if status != 0:
                told = await asyncio.to_thread(_tail, home / "log")
                raise ActionError("BenchTrouble", f"the bench ended with status {status}: {told}", kind="unavailable")
        finally:
            if process is not None:
                await _end(process)
            await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)

    async def _said(
        self, process: asyncio.subprocess.Process, wanted: Callable[[], bool], limit_s: float
    ) -> AsyncIterator[dict[str, Json]]:
        stream = process.stdout
        assert stream is not None
        deadline = asyncio.get_running_loop().time() + limit_s
        number, waiting = 0, asyncio.ensure_future(stream.readline())
        try:
            while True:
                done, _ = await asyncio.wait({waiting}, timeout=LOOK_S)
                if not wanted():
                    raise ActionError("Cancelled", "the trials are no longer wanted", retryable=False)
                if asyncio.get_running_loop().time() > deadline:
                    raise ActionError("BenchTrouble", f"no end after {limit_s:.0f} s", kind="timeout")
                if not done:
                    continue
                raw = _line(waiting)
                if not raw:
                    return
                number += 1
                if number > LINES:
                    raise ActionError("BenchTrouble", f"the bench said more than {LINES} lines", kind="unavailable")
                found = _decoded(raw)
                if found is not None:
                    if found.get("event") == "error":
                        _refused(found)
                    yield found
                waiting = asyncio.ensure_future(stream.readline())
        finally:
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError, ValueError):
                await waiting


def _line(waiting: asyncio.Future[bytes]) -> bytes:
    try:
        return waiting.result()
    except ValueError as error:
        raise ActionError("BenchTrouble", f"a line of more than {LINE_B} bytes", kind="unavailable") from error


def _decoded(raw: bytes) -> dict[str, Json] | None:
    """A line that is no JSON object is talk, not an answer."""
    try:
        found = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, dict) else None


def _refused(found: Mapping[str, Json]) -> None:
    name = found.get("error")
    message = cut(found.get("message", ""))
    if name in ("BadModel", "BadJob"):
        raise ActionError(str(name), message, kind="validation", retryable=False)
    raise ActionError("BenchTrouble", message, kind="unavailable")


def _tail(path: Path) -> str:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - LOG_B))
        lines = stream.read().decode("utf-8", "replace").strip().splitlines()
    return cut(lines[-1]) if lines else "it said nothing"


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends it and what it started: asked first, then made to."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE_S)
