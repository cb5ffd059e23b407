"""What every command of the command line shares: which engine, as whom, how answers and refusals are printed.

Exit codes: 0 done, 1 refused or failed, 2 usage, 3 engine unreachable. Nothing prompts when stdin is no terminal.
"""

from __future__ import annotations

import functools
import json
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, urlencode

import click
import msgspec

from app import attach, plain, wire
from app.attach import Unreachable
from app.home import Home, candidates
from engine.contract.client import Refused
from engine.contract.common import CommandAnswer, CommandRequest, Json
from engine.contract.records import RecordPage
from engine.contract.system import EngineStatus

T = TypeVar("T")
REFUSED, USAGE, UNREACHABLE = 1, 2, 3
ONCE = click.option("--id", "ident", default="", help="Idempotence: the same id is done once.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would happen.")


def records(
    get: Callable[..., Any],
    kind: str,
    shape: type[T],
    *,
    state: str = "",
    text: str = "",
    where: Mapping[str, str] | None = None,
    sort: str = "",
    limit: int = 200,
) -> tuple[T, ...]:
    """Records of a kind by `get(path, shape, **query)`, newest change first unless sorted."""
    conditions = ",".join(f"{column}:{value}" for column, value in (where or {}).items())
    page = get(
        f"/v1/records/{part(kind)}", RecordPage, state=state, text=text, where=conditions, sort=sort, limit=limit
    )
    return tuple(msgspec.convert(row, shape) for row in page.rows)


class Session:
    """One command's view of one engine."""

    def __init__(self, *, as_json: bool = False, person: str = "", home: Home | None = None) -> None:
        self.json, self.person = as_json, person
        self._home = home

    @property
    def home(self) -> Home:
        if self._home is None:
            self._home = find()
        return self._home

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Quarterdeck-As": self.person} if self.person else {}

    def get(self, path: str, kind: type[T], /, **query: object) -> T:
        return wire.get(self.home, address(path, **query), kind, self.headers, timeout=600.0)

    def records(
        self,
        kind: str,
        shape: type[T],
        *,
        state: str = "",
        text: str = "",
        where: Mapping[str, str] | None = None,
        sort: str = "",
        limit: int = 200,
    ) -> tuple[T, ...]:
        """Records of a kind, as `Client.records`."""
        return records(self.get, kind, shape, state=state, text=text, where=where, sort=sort, limit=limit)

    def record(self, kind: str, id: str, shape: type[T]) -> T:
        return self.get(f"/v1/records/{part(kind)}/{part(id)}", shape)

    def command(
        self, verb: str, target: str = "", args: dict[str, Json] | None = None, *, preview: bool = False, id: str = ""
    ) -> CommandAnswer:
        request = CommandRequest(id=id or str(uuid.uuid4()), target=target, args=args or {}, preview=preview)
        return wire.post(self.home, f"/v1/commands/{verb}", request, CommandAnswer, self.headers)

    def done(self, answer: CommandAnswer, said: str) -> None:
        """Prints what a command came to."""
        self.show(answer, lambda: said if not answer.preview else _preview(answer))

    def show(self, value: Any, text: Callable[[], str]) -> None:
        """The value as one JSON document, or as text for people."""
        click.echo(plain.as_json(value) if self.json else text())

    def now(self) -> float:
        """The engine's clock, which in the sandbox runs faster than ours."""
        return self.get("/v1/status", EngineStatus).now


def find() -> Home:
    """The best engine that answers. Raises `Unreachable` when none does."""
    looked: list[Home] = candidates()
    for home in looked:
        if attach.running(home):
            return home
    raise Unreachable(f"no engine runs at {looked[0].socket}: start one with `qd engine start`, or try `qd demo`")


def address(path: str, /, **query: object) -> str:
    """A path with its query; empty values are left out."""
    said = {name: value for name, value in query.items() if value not in ("", 0, None)}
    return f"{path}?{urlencode(said)}" if said else path


def part(name: str) -> str:
    """A name as one segment of a path, whatever stands in it."""
    return quote(name, safe="")


def _name(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """It becomes a header: nothing that could end one."""
    if not value.isprintable():
        raise click.BadParameter("a name holds no control characters")
    return value


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--json` and `--as` for a command, which gets the `Session` first."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document with all fields.")
    @click.option(
        "--as",
        "person",
        default="",
        metavar="NAME",
        callback=_name,
        help="Act as one of the sandbox people (sandbox only).",
    )
    @functools.wraps(function)
    def run(*args: Any, as_json: bool, person: str, **kwargs: Any) -> Any:
        with refusals(as_json):
            return function(Session(as_json=as_json, person=person), *args, **kwargs)

    return run


class refusals:
    """Turns refusals and lost engines into a sentence and an exit code."""

    def __init__(self, as_json: bool = False) -> None:
        self._json = as_json

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Refused):
            problem = error.problem
            if self._json:
                click.echo(plain.as_json({"error": problem}))
            lines = [f"refused: {plain.clean(problem.reason, 2000)}"]
            lines += [f"  field: {plain.clean(problem.field)}"] if problem.field else []
            lines += [f"  {plain.clean(problem.fix)}"] if problem.fix else []
            lines += [f"  explained: qd manual {plain.clean(problem.code, 60)}"] if problem.code else []
            end("\n".join(lines), REFUSED)
        if isinstance(error, Unreachable):
            tail = getattr(error, "tail", "")
            if self._json:
                click.echo(plain.as_json({"error": {"code": "unreachable", "reason": str(error)}}))
            end(f"{plain.clean(error)}" + (f"\n{plain.clean_lines(tail)}" if tail else ""), UNREACHABLE)


def end(message: str, status: int) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(status)


def asks() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def phrase_for(preview: CommandAnswer, *, given: str, yes: bool) -> str:
    """The typed phrase of a risky command: given, taken with `--yes`, or typed now after the consequences were shown."""
    if not preview.phrase or given:
        return given
    if yes:
        return preview.phrase
    if not asks():
        end(
            f"{_preview(preview)}\nrefused: nobody is here to type it; give --phrase '{preview.phrase}' or --yes",
            REFUSED,
        )
    click.echo(_preview(preview), err=True)
    return str(click.prompt("type it", err=True, default="", show_default=False))


def risky(
    session: Session,
    verb: str,
    target: str,
    args: dict[str, Json],
    *,
    phrase: str,
    yes: bool,
    dry_run: bool,
    id: str = "",
) -> CommandAnswer:
    """A verb whose blast radius is shown before it is done."""
    preview = session.command(verb, target, args, preview=True)
    if dry_run:
        return preview
    typed = phrase_for(preview, given=phrase, yes=yes)
    return session.command(verb, target, {**args, **({"phrase": typed} if typed else {})}, id=id)


def inputs(pairs: Sequence[str], file: str | None) -> dict[str, Json]:
    """Inputs from `--inputs FILE` (JSON, `-` for stdin) and then `--input name=value` (value JSON, else text)."""
    found: dict[str, Json] = {}
    if file:
        try:
            loaded = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text("utf-8"))
        except OSError as error:
            raise click.UsageError(f"{file}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise click.UsageError(f"{file}: not JSON: {error}") from error
        if not isinstance(loaded, dict):
            raise click.UsageError(f"{file}: inputs are one JSON object")
        found.update(loaded)
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise click.UsageError(f"--input wants name=value, not {pair!r}")
        try:
            found[name] = json.loads(value)
        except (ValueError, RecursionError):
            found[name] = value
    return found


def _preview(answer: CommandAnswer) -> str:
    lines = [f"{answer.verb} {plain.clean(answer.target)} would:"]
    lines += [f"  - {plain.clean(line)}" for line in answer.consequences or answer.events or ("change nothing",)]
    if answer.phrase:
        lines.append(f"to do it, type: {plain.clean(answer.phrase)}")
    return "\n".join(lines)
