"""Where one installation lives: configuration, state and socket.

`QD_HOME` puts all three under one folder. Else the XDG folders hold configuration and state, and the socket stands in
`/tmp/quarterdeck-$UID/`: `/run/user/$UID` vanishes with the last logout, and the engine outlives it. A socket under
`/run/quarterdeck/` belongs to systemd: we attach to it and never start an engine there.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

SYSTEM_SOCKET = Path("/run/quarterdeck/engine.sock")
_SUN_PATH = 107
"""sun_path holds 108 bytes, with the zero at its end."""


class HomeError(Exception):
    """A folder can't be used as it stands; the message says what to do."""


class Home(Struct, frozen=True, kw_only=True):
    """One installation. `startable` is false where only somebody else (systemd, the far end of a tunnel) may start an engine."""

    name: str
    config: Path
    state: Path
    run: Path
    startable: bool = True
    given_socket: Path | None = None

    @property
    def socket(self) -> Path:
        return self.given_socket or self.run / "engine.sock"

    @property
    def start_lock(self) -> Path:
        return self.run / "engine.start"

    @property
    def life_lock(self) -> Path:
        return self.run / "engine.life"

    @property
    def database(self) -> Path:
        return self.state / "quarterdeck.db"

    @property
    def log(self) -> Path:
        return self.state / "engine.log"

    @property
    def settings(self) -> Path:
        return self.config / "quarterdeck.yaml"

    def engine_arguments(self) -> list[str]:
        """What `python -m engine` is told."""
        return ["--config", str(self.config), "--state", str(self.state), "--run", str(self.run)]


def one_folder(folder: Path, *, name: str) -> Home:
    """Everything under one folder, as `QD_HOME` does. A path too long for a socket gets a short one in /tmp."""
    folder = folder.expanduser().absolute()
    run = folder / "run"
    if len(os.fsencode(run / "engine.sock")) > _SUN_PATH:
        run = _short(hashlib.sha256(os.fsencode(folder)).hexdigest()[:12])
    return Home(name=name, config=folder / "config", state=folder / "state", run=run)


def default(env: Mapping[str, str] | None = None) -> Home:
    """The installation that `qd` means without another word."""
    env = os.environ if env is None else env
    if given := env.get("QD_HOME"):
        return one_folder(Path(given), name="home")
    config = Path(env.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "quarterdeck"
    return Home(name="default", config=config, state=_state(env), run=_short(""))


def demo(env: Mapping[str, str] | None = None) -> Home:
    """Where `qd demo` lives: `QD_HOME` itself when it is set, else a folder beside the default state."""
    env = os.environ if env is None else env
    if given := env.get("QD_HOME"):
        return one_folder(Path(given), name="demo")
    return one_folder(_state(env) / "demo", name="demo")


def at_socket(path: Path) -> Home:
    """An engine known by its socket alone: the far end of `ssh -L`, or systemd's."""
    path = path.expanduser().absolute()
    return Home(
        name=str(path), config=path.parent, state=path.parent, run=path.parent, startable=False, given_socket=path
    )


def candidates(env: Mapping[str, str] | None = None) -> list[Home]:
    """The installations `qd` looks for, best first. The first startable one is started when none answers."""
    env = os.environ if env is None else env
    if given := env.get("QD_SOCKET"):
        return [at_socket(Path(given))]
    if env.get("QD_HOME"):
        return [default(env)]
    system = [at_socket(SYSTEM_SOCKET)] if SYSTEM_SOCKET.exists() else []
    return system or [default(env), demo(env)]


def prepare(home: Home) -> None:
    """Makes the folders, for nobody else to look into, and refuses a run folder that another user could have laid out for us."""
    if not home.startable:
        raise HomeError(f"an engine for {home.socket} is not ours to start: is it running there?")
    if len(os.fsencode(home.socket)) > _SUN_PATH:
        raise HomeError(f"{home.socket} is too long for a socket ({_SUN_PATH} bytes): set QD_HOME to a shorter path")
    for folder in (home.config, home.state):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _private(home.run)


def _private(folder: Path) -> None:
    """Makes `folder` 0700. In /tmp anybody can lay out a folder of that name first, so owner and kind are looked at."""
    base = _short("")
    for part in (base, folder) if base in folder.parents else (folder,):
        part.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = part.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise HomeError(f"{part} is not a folder of ours (owner uid {found.st_uid}): remove it, or set QD_HOME")
        if found.st_mode & 0o022:
            part.chmod(0o700)


def _short(name: str) -> Path:
    base = Path(f"/tmp/quarterdeck-{os.getuid()}")
    return base / name if name else base


def _state(env: Mapping[str, str]) -> Path:
    return Path(env.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "quarterdeck"
