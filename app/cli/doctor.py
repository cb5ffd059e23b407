"""`qd doctor`: looks at this installation and says what is wrong and what to do. Changes nothing, needs no engine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from msgspec import Struct

from app import attach, plain, soundness, terminal, wire
from app.attach import Unreachable
from app.cli.engine import ours
from app.cli.session import REFUSED, Session, options
from app.home import SYSTEM_SOCKET, Home, candidates
from engine.contract.client import Refused
from engine.contract.system import EngineStatus, Me

_LOW_DISK = 500 * 1024 * 1024


class Check(Struct, frozen=True, kw_only=True):
    """`level`: ok, note, problem. `fix` is empty when there is nothing to do."""

    name: str
    level: str
    found: str
    fix: str = ""


@click.command()
@options
def doctor(session: Session) -> None:
    """Look at this installation and say what to do."""
    home = next((h for h in candidates() if _answers(h)), ours())
    checks = [check for look in _LOOKS for check in look(home)]
    session.show({"home": home.name, "checks": checks, "ok": _well(checks)}, lambda: _text(checks))
    if not _well(checks):
        sys.exit(REFUSED)


def _well(checks: list[Check]) -> bool:
    return all(check.level != "problem" for check in checks)


def _text(checks: list[Check]) -> str:
    lines = []
    for check in checks:
        mark = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}[check.level]
        lines.append(f"{mark} {check.name:<12} {plain.clean(check.found, 300)}")
        if check.fix:
            lines.append(f"{'':<20} -> {plain.clean(check.fix, 300)}")
    return "\n".join(lines)


def _answers(home: Home) -> bool:
    try:
        return attach.running(home)
    except Unreachable:
        return True  # something is there and not for us: that is the home to look at


def _engine(home: Home) -> Iterator[Check]:
    try:
        status = wire.get(home, "/v1/status", EngineStatus, timeout=5.0)
        me = wire.get(home, "/v1/me", Me, timeout=5.0)
    except Refused as refused:
        yield Check(name="engine", level="problem", found=refused.problem.reason, fix=refused.problem.fix)
        return
    except Unreachable as error:
        held = home.startable and attach.alive(home)
        if held:
            fix = f"it holds {home.life_lock} (pid {attach.holder(home)}): see qd engine logs, then qd engine stop --force"
            yield Check(name="engine", level="problem", found=str(error), fix=fix)
        else:
            fix = "qd engine start" if home.startable else "it is started by systemd or at the far end of the tunnel"
            yield Check(name="engine", level="note", found=str(error), fix=fix)
        yield from _last_words(home)
        return
    level = "ok" if status.state == "ok" else "problem"
    yield Check(
        name="engine",
        level=level,
        found=f"pid {status.pid}, {status.state}, up {plain.span(status.uptime_s)}",
        fix=status.message,
    )
    found = f"{me.person} (uid {me.uid}) through {me.via}, roles: {', '.join(me.roles) or 'none'}"
    fix = me.warning or ("" if me.roles else "name your account or one of your groups in config/policy.yaml")
    yield Check(name="identity", level="ok" if me.roles and not me.warning else "note", found=found, fix=fix)
    for each in status.connectors:
        found = f"{each.kind} at {each.url} {each.message}"
        if each.suspended:
            yield Check(
                name=each.name, level="note", found=found, fix=f"qd connectors resume {each.name} asks it again"
            )
        else:
            fix = "" if each.ok else f"qd connectors show {each.name}; its address, its secret, the network"
            yield Check(name=each.name, level="ok" if each.ok else "problem", found=found, fix=fix)


def _last_words(home: Home) -> Iterator[Check]:
    lines = [line for line in attach.tail(home.log, 40).splitlines() if line.strip()]
    bad = [line for line in lines if any(word in line for word in ("ERROR", "CRITICAL", "Error:"))]
    if bad:
        yield Check(name="log", level="note", found=bad[-1], fix=f"the whole of it: {home.log}")


def _socket(home: Home) -> Iterator[Check]:
    path = home.socket
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        yield Check(
            name="socket",
            level="problem",
            found=f"{path}: {error.strerror}",
            fix="ask its owner for access to the folder",
        )
        return
    mode = stat.S_IMODE(found.st_mode)
    text = f"{path} {mode:04o} uid {found.st_uid} gid {found.st_gid}"
    if not stat.S_ISSOCK(found.st_mode):
        yield Check(
            name="socket", level="problem", found=f"{path} is no socket", fix="remove it; something else put it there"
        )
    elif mode & 0o007:
        yield Check(
            name="socket", level="problem", found=text, fix="others could connect: stop the engine and start it again"
        )
    elif not os.access(path, os.W_OK):
        yield Check(
            name="socket", level="problem", found=text, fix="you are not in its group (a new group needs a new login)"
        )
    else:
        yield Check(name="socket", level="ok", found=text)
    if path == SYSTEM_SOCKET:
        yield Check(
            name="systemd",
            level="note",
            found="this engine belongs to systemd",
            fix="systemctl status quarterdeck-engine",
        )


def _folders(home: Home) -> Iterator[Check]:
    if not home.startable:
        return
    for name, folder in (("config", home.config), ("state", home.state), ("run", home.run)):
        if not folder.exists():
            continue
        found = folder.stat()
        text = f"{folder} {stat.S_IMODE(found.st_mode):04o}"
        if found.st_uid != os.getuid():
            yield Check(
                name=name,
                level="problem",
                found=f"{text} belongs to uid {found.st_uid}",
                fix="set QD_HOME, or chown it",
            )
        elif found.st_mode & 0o022:
            yield Check(
                name=name, level="problem", found=f"{text} can be written by others", fix=f"chmod go-w {folder}"
            )
        elif not os.access(folder, os.W_OK):
            yield Check(
                name=name,
                level="problem",
                found=f"{text} can't be written",
                fix="restore write permission; is its disk mounted read-only?",
            )
        else:
            yield Check(name=name, level="ok", found=text)
    if home.state.exists():
        free = shutil.disk_usage(home.state).free
        level, fix = (
            ("ok", "") if free > _LOW_DISK else ("problem", "make room: without it the engine takes no commands")
        )
        yield Check(name="disk", level=level, found=f"{free / 1e9:.1f} GB free for the journal", fix=fix)


def _database(home: Home) -> Iterator[Check]:
    if not home.startable or not home.database.exists():
        return
    mode = stat.S_IMODE(home.database.stat().st_mode)
    if mode & 0o077:
        yield Check(
            name="database", level="problem", found=f"{home.database} {mode:04o}", fix=f"chmod 600 {home.database}"
        )
    damaged = f"qd engine stop, keep {home.database} aside as evidence, restore the last good copy in its place, then qd doctor again"
    if not os.access(home.database, os.W_OK):
        yield Check(
            name="database",
            level="problem",
            found=f"{home.database} can't be written",
            fix="restore write permission; is its disk mounted read-only?",
        )
    try:
        reader = sqlite3.connect(f"{home.database.as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            rows = [row[0] for row in reader.execute("PRAGMA quick_check(5)")]
            events = reader.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
        finally:
            reader.close()
    except sqlite3.Error as error:
        yield Check(name="database", level="problem", found=f"{home.database}: {error}", fix=damaged)
        return
    if rows != ["ok"]:
        yield Check(name="database", level="problem", found="; ".join(map(str, rows)).replace("\n", ": "), fix=damaged)
    else:
        yield Check(name="database", level="ok", found=f"{home.database}, {events} events, pages are whole")
        report = soundness.verify(home)
        where = f" at event {report.first_bad}" if report.first_bad else ""
        found = f"{report.events} events verified" if report.ok else f"does not hold{where}: {report.problem}"
        yield Check(
            name="history", level="ok" if report.ok else "problem", found=found, fix="" if report.ok else damaged
        )


def _compiled(home: Home) -> Iterator[Check]:
    """Without .pyc every start costs half a second or more; a root-owned environment never gets them by itself."""
    missing = []
    for name in ("app.attach", "engine.contract.client", "textual.app", "msgspec"):
        spec = importlib.util.find_spec(name)
        if (
            spec
            and spec.origin
            and spec.origin.endswith(".py")
            and not Path(importlib.util.cache_from_source(spec.origin)).exists()
        ):
            missing.append(name)
    if missing:
        folder = Path(__file__).resolve().parent.parent.parent
        fix = f"{sys.executable} -m compileall -q {sys.prefix} {folder}"
        yield Check(
            name="compiled", level="note", found=f"no .pyc for {', '.join(missing)}: each start is slower", fix=fix
        )
    else:
        yield Check(name="compiled", level="ok", found="byte-compiled")


def _terminal(home: Home) -> Iterator[Check]:
    if why := terminal.unfit():
        yield Check(name="terminal", level="note", found=why)
    else:
        size = shutil.get_terminal_size()
        level, fix = (
            ("ok", "")
            if size.columns >= 80 and size.lines >= 24
            else ("note", "80x24 is the smallest that works fully")
        )
        yield Check(
            name="terminal", level=level, found=f"TERM={os.environ.get('TERM')} {size.columns}x{size.lines}", fix=fix
        )
    if not plain.says_utf8():
        yield Check(name="encoding", level="note", found=f"output is {sys.stdout.encoding}", fix="set LANG=C.UTF-8")


def _keyring(home: Home) -> Iterator[Check]:
    """Only the file back-end can be looked at from outside; who holds its key can read it."""
    sealed, key = home.config / "secrets.qdk", home.config / "secrets.key"
    if not home.startable or not sealed.exists():
        return
    for path in (sealed, key):
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Check(name="keyring", level="problem", found=f"{path} can be read by others", fix=f"chmod 600 {path}")
            return
    yield Check(name="keyring", level="ok", found=f"{sealed}")


_LOOKS: tuple[Callable[[Home], Iterator[Check]], ...] = (
    _engine,
    _socket,
    _folders,
    _database,
    _keyring,
    _compiled,
    _terminal,
)
