"""The engine process: `python -m engine`. Started by the console on demand, by systemd, or by hand.

It takes the life lock before it loads anything heavy, so that a second one ends at once (75); it opens the journal,
connects what the settings name, serves, and writes one byte to `--ready-fd` when it does. SIGTERM ends it cleanly:
feeds say `bye`, actions are let go (they are run again at the next start), the journal is closed.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gc
import logging
import os
import sys
import time
from pathlib import Path

ANOTHER_LIVES = 75
"""EX_TEMPFAIL: somebody else has the work."""
log = logging.getLogger("quarterdeck.engine")


class AlreadyRunning(Exception):
    """Another engine holds this home."""


class Ready:
    """Tells whoever started us how it went: `R` serving, `B` another engine lives; systemd likewise."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        if fd is not None:
            os.set_inheritable(fd, False)

    def say(self, word: bytes) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):  # who asked may have gone
                os.write(self._fd, word)
                os.close(self._fd)
            self._fd = None
        if word == b"R":
            _notify("READY=1")
            gc.freeze()
            gc.enable()


def main(arguments: list[str] | None = None) -> int:
    gc.disable()  # what is imported stays: looking through it again and again costs a tenth of the start
    options = _options(arguments)
    os.umask(0o077)
    if options.verify:
        return verify(options.state / "quarterdeck.db")
    _log(options.foreground)
    ready = Ready(options.ready_fd)
    for folder in (options.config, options.state, options.run):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        take_life(options.run / "engine.life")  # never closed: the kernel lets go of it when this process is gone
    except AlreadyRunning:
        log.error("another engine holds %s", options.run / "engine.life")
        ready.say(b"B")
        return ANOTHER_LIVES
    from engine.composition import CannotStart, serve

    try:
        serve(options.config, options.state, options.run, ready)
    except CannotStart as error:
        log.critical("%s", error)
        return error.status
    return 0


def verify(database: Path) -> int:
    """Prints what the verification of the whole history found, as one JSON document. Reads alone, and gives way."""
    import msgspec

    from engine.store import integrity

    os.nice(10)
    report = integrity.verify(database)
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    return 0 if report.ok else 1


def take_life(path: Path) -> int:
    """The life lock, held until the process ends. Only its holder may unlink a stale socket. Raises `AlreadyRunning`."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise AlreadyRunning(str(path)) from error
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine", description="The Quarterdeck engine.")
    parser.add_argument("--home", type=Path, help="one folder for config/, state/ and run/")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--run", type=Path, help="where the socket and the locks stand")
    parser.add_argument("--verify", action="store_true", help="verify the recorded history, print what was found, end")
    parser.add_argument("--foreground", action="store_true", help="log for a person at a terminal")
    parser.add_argument("--ready-fd", type=int, help="a descriptor that gets one byte when the engine serves")
    found = parser.parse_args(arguments)
    for name in ("config", "state", "run"):
        given = getattr(found, name) or (found.home / name if found.home else None)
        if given is None:
            parser.error(f"--home, or --{name}")
        setattr(found, name, given.absolute())
    return found


def _log(foreground: bool) -> None:
    """To standard error: the terminal, the log file the console gave us, or systemd's journal."""
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # these name every URL at INFO, with whatever stands in its query
    for chatty in ("httpx", "httpcore", "apscheduler", "uvicorn", "asyncio", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if foreground:
        log.info("in the foreground; Ctrl+C ends it")


def _notify(message: str) -> None:
    """sd_notify, when systemd listens."""
    address = os.environ.pop("NOTIFY_SOCKET", "")
    if not address:
        return
    import socket

    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
        sock.sendall(message.encode())


if __name__ == "__main__":
    sys.exit(main())
