"""Connect to the engine of a home, or start it and connect.

The protocol, so that any number of rivals start exactly one engine:

1. Connect. No answer: take the start lock, then connect again, for a rival may have finished meanwhile.
2. Fork twice with a session of its own in between, so that the engine belongs to no terminal; its output goes to the
   log; it is told the write end of a pipe.
3. The engine takes its life lock for as long as it lives and alone may unlink a stale socket. When it serves it
   writes `R`; when another engine lives it writes `B`; the end of the pipe without either means it died.
4. The start lock is released after that, never before.

`begin` returns while the engine still loads, so that the console can import its own half meanwhile.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from app.home import Home, HomeError, prepare

_NOBODY_THERE = (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR)
START_S = 30.0
"""How long an engine may take to its ready byte: a cold disk and a long journal, not a hang."""
LOG_B = 8 * 1024 * 1024
"""Size at which the log is turned over at the next start."""


class Unreachable(Exception):
    """No engine answers there, and the message says why and what to do."""


class EngineDied(Unreachable):
    """The engine ended before it served. `tail` is what it last wrote to its log."""

    def __init__(self, message: str, tail: str) -> None:
        super().__init__(message)
        self.tail = tail


def connect(home: Home, timeout: float = 10.0) -> socket.socket:
    """A connected socket. Raises `Unreachable` when nobody listens or we may not."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        sock.connect(str(home.socket))
    except OSError as error:
        sock.close()
        if error.errno in _NOBODY_THERE:
            raise Unreachable(f"no engine runs at {home.socket}") from error
        if error.errno == errno.EACCES:
            raise Unreachable(
                f"no permission on {home.socket}: are you in its group on this machine? (a new group needs a new login)"
            ) from error
        raise Unreachable(f"can't connect to {home.socket}: {error.strerror or error}") from error
    return sock


def running(home: Home) -> bool:
    """Whether an engine answers there now. Raises `Unreachable` where one may, but not to us."""
    try:
        connect(home).close()
    except Unreachable as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _NOBODY_THERE:
            return False
        raise
    return True


class Starting:
    """An engine on its way. Holds the start lock until `wait` returns or raises."""

    def __init__(self, home: Home, lock: int, pipe: int) -> None:
        self._home, self._lock, self._pipe = home, lock, pipe

    def wait(self, timeout: float = START_S) -> None:
        """Returns when an engine serves. Raises `EngineDied` with the end of the log when ours didn't come to that."""
        try:
            ready, _, _ = select.select([self._pipe], [], [], timeout)
            word = os.read(self._pipe, 1) if ready else b""
        finally:
            os.close(self._pipe)
            os.close(self._lock)
        if word == b"R":
            return
        if word == b"B":  # another engine lives: one just ending, or one that somebody else is starting
            _until_running(self._home, timeout)
            return
        said = "did not start" if ready else f"gave no sign of life in {timeout:.0f} s"
        raise EngineDied(f"the engine {said}; its log is {self._home.log}", tail(self._home.log))


def begin(home: Home, *, arguments: Sequence[str] = ()) -> Starting | None:
    """Starts an engine when none answers; None when one does. Call before anything that makes threads."""
    if running(home):
        return None
    try:
        return _begin(home, arguments)
    except HomeError as error:
        raise Unreachable(str(error)) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise Unreachable(f"no engine can be started here: {where}{error.strerror}; qd doctor looks closer") from error


def _begin(home: Home, arguments: Sequence[str]) -> Starting | None:
    prepare(home)
    lock = os.open(home.start_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if running(home):  # a rival was faster
            os.close(lock)
            return None
        _turn_over(home.log)
        command = [sys.executable, "-m", "engine", *home.engine_arguments(), *arguments, "--ready-fd", "3"]
        pipe = detach(command, home.log)
    except BaseException:
        os.close(lock)
        raise
    return Starting(home, lock, pipe)


def ensure(home: Home, *, arguments: Sequence[str] = (), timeout: float = START_S) -> bool:
    """An engine serves at `home` when this returns; True when it was started for it."""
    starting = begin(home, arguments=arguments)
    if starting is None:
        return False
    starting.wait(timeout)
    return True


def alive(home: Home) -> bool:
    """Whether an engine process holds this home, serving or not (it may be starting, or closing its journal)."""
    try:
        lock = os.open(home.life_lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(lock)


def holder(home: Home) -> int | None:
    """The pid that the living engine wrote into its life lock."""
    try:
        text = home.life_lock.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and alive(home) else None


def ask_to_end(home: Home, timeout: float = 15.0) -> bool:
    """SIGTERM to the engine of this home (the same user's, or root's act); True when it is gone within `timeout` seconds."""
    pid = holder(home)
    if pid is not None:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            return True
        except PermissionError as error:
            raise Unreachable(f"the engine (pid {pid}) is another user's") from error
    return gone(home, timeout)


def gone(home: Home, timeout: float) -> bool:
    """Waits until no engine holds this home."""
    end = time.monotonic() + timeout
    while alive(home):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log, read from its end."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 256 * lines))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def engine_environment() -> dict[str, str]:
    """What the engine inherits: nothing that was meant for the console or for another service."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TEXTUAL", "LISTEN_", "NOTIFY_"))}
    ours = str(Path(__file__).resolve().parent.parent)
    if "site-packages" not in ours:  # run from a checkout: the engine stands beside us, not in the environment
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (ours, kept.get("PYTHONPATH"))))
    return kept


def _turn_over(log: Path) -> None:
    """A log that has grown large makes room for a new one; the one before is kept."""
    try:
        if log.stat().st_size > LOG_B:
            os.replace(log, log.with_suffix(".log.1"))
    except OSError:
        return  # there is none yet


def _until_running(home: Home, timeout: float) -> None:
    end = time.monotonic() + timeout
    while not running(home):
        if not alive(home):  # the one that was ending has ended: the next try starts anew
            ensure(home, timeout=max(1.0, end - time.monotonic()))
            return
        if time.monotonic() > end:
            raise Unreachable(f"an engine holds {home.life_lock} and does not serve: see {home.log}")
        time.sleep(0.02)


def detach(command: Sequence[str], log: Path) -> int:
    """Runs `command` in a session of its own, with no terminal, output to `log`, the write end of a pipe as fd 3.

    Returns the read end: a byte when it says so, the end of the pipe when it has died (or closed fd 3).
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    sys.stdout.flush()
    sys.stderr.flush()
    middle = os.fork()
    if middle == 0:
        status = 1
        try:
            os.setsid()
            if os.fork() == 0:
                _become(command, output, writing)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    os.close(output)
    os.waitpid(middle, 0)  # the middle one ends at once; its child belongs to init from then on
    return reading


def _become(command: Sequence[str], log: int, ready: int) -> None:
    """In the grandchild: exec with nothing of ours but the log and the pipe. Never returns."""
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        # above the numbers that are about to be given away
        log, ready, null = (fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (log, ready, null))
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.dup2(ready, 3)
        os.closerange(4, 4096)
        os.chdir("/")
        os.umask(0o077)
        # what a shell would have left behind: the engine has its own handlers
        for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.execve(command[0], list(command), engine_environment())
    finally:
        os._exit(127)
