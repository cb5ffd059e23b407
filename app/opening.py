"""Opening the console: find an engine or start one, fetch the first snapshot while Textual is being imported, show it.

The order is what makes it quick. The engine is forked before anything heavy is imported here, so that both load side
by side; the snapshot comes over the plain socket in a thread; httpx waits until the first frame is out.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from app import attach, plain, terminal, wire
from app.attach import Starting, Unreachable
from app.home import Home, candidates
from engine.contract.client import Refused
from engine.contract.system import WatchSnapshot

UNREACHABLE, REFUSED = 3, 1


def open_console(*, person: str = "", home: Home | None = None, start: str = "", only_looks: bool = False) -> int:
    """The exit code of the process. Without a usable terminal: a plain listing, and why."""
    try:
        if why := terminal.unfit():
            return _plainly(home or _running(), why)
        chosen, starting = (home, None) if home else _choose()
        return _show(chosen, starting, person, start, only_looks)
    except Unreachable as error:
        print(plain.clean(error), file=sys.stderr)  # noqa: T201
        if tail := getattr(error, "tail", ""):
            print(plain.clean_lines(tail), file=sys.stderr)  # noqa: T201
        return UNREACHABLE
    except Refused as refused:
        problem = refused.problem
        print(plain.clean(f"refused: {problem.reason} {problem.fix}", 2000), file=sys.stderr)  # noqa: T201
        return REFUSED


def _choose() -> tuple[Home, Starting | None]:
    """The first engine that answers; else the first that may be started, on its way."""
    looked = candidates()
    for home in looked:
        if attach.running(home):
            return home, None
    for home in looked:
        if home.startable:
            return home, attach.begin(home)
    raise Unreachable(f"no engine answers at {looked[0].socket}, and it is not ours to start")


def _running() -> Home:
    looked = candidates()
    return next((home for home in looked if attach.running(home)), looked[0])


class _First(threading.Thread):
    """Waits for the engine and takes the first snapshot, while the main thread imports the console."""

    def __init__(self, home: Home, starting: Starting | None, headers: dict[str, str]) -> None:
        super().__init__(daemon=True, name="first-snapshot")
        self._home, self._starting, self._headers = home, starting, headers
        self.snapshot: WatchSnapshot | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            if self._starting is not None:
                self._starting.wait()
            self.snapshot = wire.get(self._home, "/v1/watch", WatchSnapshot, self._headers)
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self.error = error


def _show(home: Home, starting: Starting | None, person: str, start: str, only_looks: bool = False) -> int:
    from app.client import Client, headers

    first = _First(home, starting, headers(person))
    first.start()
    terminal.quick_start()
    terminal.prepare()
    import app.console  # noqa: F401 - the costly import, beside the engine's start and the snapshot

    first.join()
    if first.error is not None:
        raise first.error
    return terminal.launch(
        Client(home, person=person, only_looks=only_looks),
        first=first.snapshot,
        settings=_kept(home.config / "console.json", home),
        crashes=_kept(home.state / "crashes", home),
        start=start,
    )


def _kept(path: Path, home: Home) -> Path | None:
    """Only in an installation of our own: beside a forwarded socket there is no place of ours to write to."""
    return path if home.startable else None


def _plainly(home: Home, why: str) -> int:
    """What the console would show first, for a pipe or a dumb terminal."""
    print(why, file=sys.stderr)  # noqa: T201
    for line in _standing(home, ""):
        print(plain.clean(line, 300))  # noqa: T201
    return 0


def in_lines(*, person: str = "") -> int:
    """`qd --plain`: what stands, then one command after the other, as lines."""
    from app import lines

    try:
        home, starting = _choose()
        if starting is not None:
            starting.wait()
        return lines.converse(lambda: _standing(home, person), person=person)
    except Unreachable as error:
        print(plain.clean(error), file=sys.stderr)  # noqa: T201
        return UNREACHABLE
    except Refused as refused:
        print(plain.clean(f"refused: {refused.problem.reason} {refused.problem.fix}", 2000), file=sys.stderr)  # noqa: T201
        return REFUSED


def _standing(home: Home, person: str) -> list[str]:
    """What the console would show first."""
    from app.client import headers

    found = wire.get(home, "/v1/watch", WatchSnapshot, headers(person))
    said = [f"{plain.moment(found.status.now)} {found.status.environment} {found.status.state} {found.me.person}"]
    said += [f"waits for {'others' if gate.mine else 'you'}: {gate.id} {gate.question}" for gate in found.needs]
    said += [f"rollout {r.id} {r.artifact} {r.version}: {r.state} {r.sentence}" for r in found.rollouts]
    said += [f"run {run.id} {run.workflow}: {run.status} {run.attention or run.waiting_on}" for run in found.runs]
    said += [f"{plain.moment(line.at)} {line.run} {line.text}" for line in found.feed[-20:]]
    return said


__all__ = ["open_console"]
