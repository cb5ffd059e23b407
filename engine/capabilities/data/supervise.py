"""`python -m engine.capabilities.data.supervise JOB`: runs one training program and writes down what becomes of it.

It outlives the engine that started it, and the program does not outlive it: the kernel ends the program with its
supervisor. It keeps the budget, hashes each checkpoint itself, forwards SIGTERM (the machine is taken back: save and go),
and writes `status.json` whole or not at all. Nothing but the standard library is loaded.

The program says what it does in JSON Lines on standard output: {"event": "progress", "done", "of", "unit", …},
{"event": "checkpoint", "path", "epoch"}, {"event": "completed", "checkpoint": {…}, "metrics": {…}}, {"event": "error", …}.
Its exit status: 0 completed, 75 saved and left (it can go on), anything else failed.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import json
import math
import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

Json = Any
TICK_S = 0.2
LINE = 65_536
TEXT = 500
PREEMPTED = os.EX_TEMPFAIL
OVER = ("succeeded", "failed", "cancelled")
KEPT = 200
"""Checkpoints a status remembers; the newest ones."""


def main() -> int:
    folder = Path(sys.argv[1])
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0  # another supervisor has this job
    told = _status(folder)
    asked_after = int(sys.argv[2]) if len(sys.argv) > 2 else None
    if told.get("state") in OVER or asked_after not in (None, int(told.get("attempts", 0))):
        return 0  # asked for at a time when there was no other one; that one has come and gone
    Supervisor(folder).run()
    return 0


class Supervisor:
    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        self.spec: dict[str, Json] = json.loads((folder / "spec.json").read_bytes())
        self.status: dict[str, Json] = _status(folder)
        self.log = (folder / "log").open("ab", buffering=0)
        self.written = self.log.tell()
        self.asked = ""
        self.ask_at = 0.0
        self.said: dict[str, str] = {}
        self.result: dict[str, Json] | None = None

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._ask("preempt"))
        with contextlib.suppress(OSError):  # a supervisor that was killed left it; a cancel still holds
            if (self.folder / "ask").read_text().strip() != "cancel":
                (self.folder / "ask").unlink()
        spent = float(self.status.get("spent_s", 0.0))
        self.status |= {
            "state": "running", "pid": os.getpid(), "born": born(os.getpid()), "error": "", "message": "",
            "attempts": int(self.status.get("attempts", 0)) + 1,
        }  # fmt: skip
        self._save()
        began = time.monotonic()
        try:
            program = self._start()
        except OSError as error:
            self._end("failed", "NoProgram", f"the program can't be started: {error.strerror}", spent)
            return
        except (KeyError, ValueError, IndexError) as error:
            self._end("failed", "NoProgram", f"the program's command line has an unknown placeholder: {error}", spent)
            return
        code = self._follow(program, began, spent)
        self._judge(code, spent + time.monotonic() - began)

    def _start(self) -> subprocess.Popen[bytes]:
        names = {
            "python": sys.executable, "data": str(self.folder / "data"), "recipe": str(self.folder / "recipe.json"),
            "out": str(self.out), "seed": str(self.spec["seed"]), "root_digest": str(self.spec.get("root_digest", "")),
            "base": str(self.spec.get("base", "")),
        }  # fmt: skip
        again = self.spec.get("resume", []) if self.status["attempts"] > 1 else []
        argv = [part.format_map(names) for part in [*self.spec["argv"], *again]]
        keep = {
            name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV") if name in os.environ
        }
        return subprocess.Popen(
            argv, cwd=self.out, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**keep, "HOME": str(self.out), "PYTHONUNBUFFERED": "1"}, start_new_session=True,
            preexec_fn=_bound_to_us,  # noqa: PLW1509  # no other thread runs here
        )  # fmt: skip

    def _follow(self, program: subprocess.Popen[bytes], began: float, spent: float) -> int:
        """Reads what it says until it ended; keeps the budget, and passes on what is asked of it."""
        streams: dict[int, tuple[BinaryIO, bool]] = {}
        for stream, speaks in ((program.stdout, True), (program.stderr, False)):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                streams[stream.fileno()] = (stream, speaks)  # type: ignore[assignment]
        rest = dict.fromkeys(streams, b"")
        saved = 0.0
        while streams or program.poll() is None:
            ready, _, _ = select.select(list(streams), [], [], TICK_S)
            for number in ready:
                chunk = os.read(number, LINE)
                if not chunk:
                    del streams[number]
                    continue
                rest[number] = self._lines(rest[number] + chunk, speaks=streams[number][1])
            now = time.monotonic()
            self.status["spent_s"] = round(spent + now - began, 3)
            with contextlib.suppress(OSError):
                word = (self.folder / "ask").read_text().strip()
                if word and word != self.asked:
                    self._ask(word)
            if not self.asked and self.status["spent_s"] > float(self.spec["budget_s"]):
                self._ask("budget")
            self._press(program, now)
            if now - saved > TICK_S:
                self._save()
                saved = now
            if not streams and program.poll() is None:
                time.sleep(TICK_S)
        for number, text in rest.items():
            if text:
                self._lines(text + b"\n", speaks=number == (program.stdout.fileno() if program.stdout else -1))
        return program.wait()

    def _ask(self, word: str) -> None:
        """Someone wants it to stop: `preempt`, `cancel`, or `budget`. A cancel outranks the others."""
        if self.asked != "cancel":
            self.asked, self.ask_at = word, 0.0

    def _press(self, program: subprocess.Popen[bytes], now: float) -> None:
        if not self.asked or program.poll() is not None:
            return
        if not self.ask_at:
            self.ask_at = now
            _kill(program.pid, signal.SIGTERM)
        elif now - self.ask_at > float(self.spec.get("grace_s", 30.0)):
            _kill(program.pid, signal.SIGKILL)

    def _lines(self, data: bytes, *, speaks: bool) -> bytes:
        *whole, rest = data.split(b"\n")
        if len(rest) > LINE:
            whole, rest = [*whole, rest], b""
        for line in whole:
            self._keep(line[:LINE])
            if speaks:
                self._hear(line[:LINE])
        return rest

    def _keep(self, line: bytes) -> None:
        room = int(self.spec.get("max_log", 64_000_000)) - self.written
        if room > 0:
            self.written += self.log.write((line + b"\n")[:room])
            self.status["log_bytes"] = self.written

    def _hear(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(said, dict):
            return
        event = said.get("event")
        if event in ("progress", "started"):
            for name in ("done", "of"):
                self.status[name] = _whole(said.get(name), self.status.get(name, 0))
            for name in ("unit", "what"):
                self.status[name] = str(said.get(name) or self.status.get(name, ""))[:60]
            self._measure(said)
        elif event == "checkpoint":
            self._checkpoint(said)
        elif event == "preempted" and isinstance(said.get("checkpoint"), dict):
            self._checkpoint(said["checkpoint"])
        elif event == "completed":
            if isinstance(said.get("metrics"), dict):
                self._measure(said["metrics"])
            if isinstance(said.get("checkpoint"), dict):
                self.result = self._checkpoint(said["checkpoint"])
        elif event == "error":
            self.said = {"error": str(said.get("error", ""))[:60], "message": str(said.get("message", ""))[:TEXT]}

    def _measure(self, said: dict[str, Json]) -> None:
        numbers = {
            str(name)[:60]: value
            for name, value in list(said.items())[:40]
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        }
        kept = {name: value for name, value in numbers.items() if name not in ("done", "of")}
        self.status["metrics"] = {**self.status.get("metrics", {}), **kept}

    def _checkpoint(self, said: dict[str, Json]) -> dict[str, Json] | None:
        """Hashes the file it names, which has to lie in the job's own folder. What the program claims must be so."""
        name = Path(str(said.get("path", ""))).name
        path = self.out / name
        try:
            if path.is_symlink() or not path.is_file():
                raise OSError("is no file in the job's folder")
            digest, size = _hash(path, int(self.spec.get("max_checkpoint", 1 << 40)))
        except OSError as error:
            self.said = {"error": "BadCheckpoint", "message": f"{name[:80]}: {error}"}
            return None
        claimed = said.get("digest")
        if claimed and claimed != digest:
            self.said = {"error": "CheckpointMismatch", "message": f"{name[:80]} is not what the program says it wrote"}
            return None
        found = {"name": name, "digest": digest, "size": size, "step": _whole(said.get("epoch", said.get("step")), 0)}
        others = [one for one in self.status.get("checkpoints", []) if one["name"] != name]
        self.status["checkpoints"] = [*others, found][-KEPT:]
        return found

    def _judge(self, code: int, spent: float) -> None:
        """What the end means. A result counts only when its file was hashed."""
        error, message = self.said.get("error", ""), self.said.get("message", "")
        if self.asked == "cancel":
            self._end("cancelled", "Cancelled", "cancelled by a person", spent)
        elif self.asked == "budget":
            limit = float(self.spec["budget_s"])
            self._end("failed", "BudgetExceeded", f"its budget of {limit:g} s of computing is spent", spent)
        elif code == 0 and self.result is not None and not error:
            self.status["result"] = self.result
            self._end("succeeded", "", "", spent)
        elif code == 0:
            self._end("failed", error or "NoCheckpoint", message or "it ended well and left no checkpoint", spent)
        elif code == PREEMPTED or code in (-signal.SIGTERM, -signal.SIGINT) or self.asked == "preempt":
            self._end("preempted", "", "its machine was taken back", spent)
        elif code < 0:
            self._end("failed", error or "Killed", message or f"ended by signal {-code} (out of memory?)", spent)
        else:
            self._end("failed", error or "ProgramFailed", message or f"exit status {code}; the log says more", spent)

    def _end(self, state: str, error: str, message: str, spent: float) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "ask").unlink()
        self.status |= {"state": state, "error": error, "message": message, "spent_s": round(spent, 3), "pid": 0}
        self._save()

    def _save(self) -> None:
        fresh = self.folder / "status.json.new"
        with fresh.open("wb") as stream:
            stream.write(json.dumps(self.status).encode())
            if self.status["state"] != "running":
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(fresh, self.folder / "status.json")


def born(pid: int) -> str:
    """When a process began, in the kernel's ticks: a pid alone is given to others later. Empty when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    after = text.rpartition(")")[2].split()
    return "" if after[0] == "Z" else after[19]


def _status(folder: Path) -> dict[str, Json]:
    try:
        found = json.loads((folder / "status.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _bound_to_us() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(5)


def _kill(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _whole(value: Json, default: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return default
    return max(0, int(value))


def _hash(path: Path, most: int) -> tuple[str, int]:
    hashed, size = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as stream:
        while chunk := stream.read(1 << 20):
            size += len(chunk)
            if size > most:
                raise OSError(f"is larger than {most} bytes")
            hashed.update(chunk)
    return f"sha256:{hashed.hexdigest()}", size


if __name__ == "__main__":
    sys.exit(main())
