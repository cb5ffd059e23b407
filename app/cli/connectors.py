"""`qd connectors`: the remote systems of this installation; add one, test it, sync it, check it, take it away."""

from __future__ import annotations

import sys
import time
import uuid
from typing import Any

import click
import msgspec

from app import plain, wire
from app.cli import connectors_add as adding
from app.cli import connectors_view as view
from app.cli.session import DRY_RUN, REFUSED, Session, asks, end, options, part, phrase_for, risky
from engine.contract.client import Refused
from engine.contract.common import CommandAnswer, CommandRequest, Json
from engine.contract.conformance import CheckReport
from engine.contract.dry import CallForm, DryReport
from engine.contract.systems import (
    CallPage,
    CallView,
    KindPage,
    MirrorPage,
    SyncedFeed,
    SystemPage,
    SystemView,
    TestView,
)

CHECK_S = 1_800.0
"""A check of everything, by writing, on a slow system."""
_YES = click.option("--yes", is_flag=True, help="Take the phrase as typed.")
_PHRASE = click.option("--phrase", default="", help="The phrase the consequences ask for.")
_REASON = click.option("--reason", default="", help="Why; it is recorded.")
_SET = click.option(
    "--set", "pairs", multiple=True, metavar="NAME=VALUE", help="A setting of this kind; may be repeated."
)
_SERVES = click.option("--serves", default="", help="Serve these capabilities only, with commas between.")
_STDIN = click.option("--secret-stdin", is_flag=True, help="Read secrets from standard input, a line each.")
_FILES = click.option(
    "--secret-file", "files", multiple=True, metavar="FIELD=FILE", help="Read a secret of several lines, such as a key."
)


@click.group()
def connectors() -> None:
    """Remote systems: list, add, test, sync, check, remove."""


@connectors.command("ls")
@click.option("--available", is_flag=True, help="Every kind that can be added.")
@click.option("--capability", default="", help="Only what serves this.")
@options
def ls(session: Session, *, available: bool, capability: str) -> None:
    """Connected systems with their health; or the kinds that can be added."""
    if available:
        kinds = tuple(
            one for one in session.get(adding.KINDS, KindPage).kinds if not capability or capability in one.capabilities
        )
        session.show(kinds, lambda: view.available(kinds))
        return
    page = session.get(adding.SYSTEMS, SystemPage)
    rows = tuple(one for one in page.systems if not capability or capability in one.serves)
    page = SystemPage(systems=rows, as_of=page.as_of)
    session.show(page, lambda: view.listed(page))


@connectors.command()
@click.argument("name")
@options
def show(session: Session, name: str) -> None:
    """One system: health, what is mirrored, rights, what it can't do. Or a kind that is not added yet: what it asks for."""
    try:
        one = session.get(f"{adding.SYSTEMS}/{part(name)}", SystemView)
    except Refused as error:
        kinds = session.get(adding.KINDS, KindPage).kinds if error.status == 404 else ()
        kind = next((kind for kind in kinds if kind.kind == name), None)
        if kind is None:
            raise
        session.show(kind, lambda: view.kind(kind))
        return
    now = session.now()
    session.show(one, lambda: view.shown(one, now))


@connectors.command()
@click.argument("kind")
@click.argument("name", required=False)
@click.option("--url", default="", help="The system's address.")
@_SET
@_SERVES
@_STDIN
@_FILES
@click.option(
    "--secret", "entries", multiple=True, metavar="[FIELD=]ENTRY", help="Use an entry the keyring already has."
)
@click.option("--anyway", is_flag=True, help="Add it although it can't be reached now.")
@click.option(
    "--wait",
    "patience_s",
    type=click.FloatRange(0, 600),
    default=60.0,
    show_default=True,
    help="Seconds to wait for the first sync.",
)
@DRY_RUN
@options
def add(session: Session, *, kind: str, name: str | None, url: str, pairs: tuple[str, ...], serves: str, secret_stdin: bool, files: tuple[str, ...],
        entries: tuple[str, ...], anyway: bool, patience_s: float, dry_run: bool) -> None:  # fmt: skip
    """Add a system: it is asked for what it needs, tested, and read once. Secrets go to the keyring alone.

    On a terminal secrets are asked for without being shown; else they come with --secret-stdin.
    """
    known = adding.kind_named(session, kind)
    name = name or kind
    address, given = adding.settings(known, url, pairs)
    stored_under = {field or "secret": held for field, _, held in (_entry(pair) for pair in entries)}
    values = adding.secrets(
        known, name, given=given, from_stdin=secret_stdin, files=files, stored=[f"{field}=" for field in stored_under]
    )
    user = adding.taken(session, [adding.entry(name, field) for field in values])
    if user:
        end(
            f"refused: {user} is there already and uses that keyring entry; qd connectors secret {user} changes it",
            REFUSED,
        )
    stored = adding.Stored(session)
    try:
        held = {**stored.put(name, values), **stored_under}
        args: dict[str, Json] = {
            "name": name, "kind": kind, "url": address, "secret": held.pop("secret", ""), "options": {**given, **held},
            "serves": [one.strip() for one in serves.split(",") if one.strip()], **({"anyway": True} if anyway else {}),
        }  # fmt: skip
        preview = session.command("connector.add", "", args, preview=True)
        if dry_run:
            stored.take_back()
            session.done(preview, "")
            return
        if not session.json:
            for line in preview.consequences:
                click.echo(plain.clean(line))
        session.command("connector.add", "", args)
    except (Refused, KeyboardInterrupt):
        stored.take_back()
        raise
    one = adding.first_sync(session, name, patience_s)
    session.show(one, lambda: f"{one.id} is added: {', '.join(one.serves)}. qd connectors show {one.id}")
    adding.unsynced(one)


def _entry(pair: str) -> tuple[str, str, str]:
    """`FIELD=ENTRY`, or `ENTRY` for the field `secret`."""
    field, sign, held = pair.partition("=")
    return (field, sign, held) if sign else ("", "", field)


@connectors.command("set")
@click.argument("name")
@click.option("--url", default="", help="A new address.")
@_SET
@click.option("--unset", multiple=True, metavar="NAME", help="Leave a setting to its default.")
@_SERVES
@DRY_RUN
@options
def set_(
    session: Session, *, name: str, url: str, pairs: tuple[str, ...], unset: tuple[str, ...], serves: str, dry_run: bool
) -> None:
    """Change settings of a system. It is tested with them first."""
    one = session.get(f"{adding.SYSTEMS}/{part(name)}", SystemView)
    kind = adding.kind_named(session, one.system_kind)
    fields = {field.name: field for field in kind.fields}
    changed = adding.options(fields, kind.kind, pairs)
    url = str(changed.pop("url", "")) or url
    args: dict[str, Json] = {}
    if url:
        args["url"] = url
    if changed or unset:
        args["options"] = {**changed, **dict.fromkeys(unset)}
    if serves:
        args["serves"] = [each.strip() for each in serves.split(",") if each.strip()]
    if not args:
        raise click.UsageError("nothing to change: give --url, --set, --unset or --serves")
    answer = session.command("connector.set", name, args, preview=dry_run)
    session.done(answer, f"{name} is changed")


@connectors.command()
@click.argument("name")
@click.argument("field", default="secret")
@click.option("--secret-stdin", is_flag=True, help="Read it from standard input.")
@click.option("--secret-file", "file", type=click.File("rb"), help="Read it from a file, such as a key.")
@options
def secret(session: Session, *, name: str, field: str, secret_stdin: bool, file: Any) -> None:
    """Store a new secret for a system, and test the connection with it. It is never shown again."""
    one = session.get(f"{adding.SYSTEMS}/{part(name)}", SystemView)
    entry = next((each.entry for each in one.secrets if each.field == field), "")
    if not entry:
        known = ", ".join(each.field for each in one.secrets) or "none"
        raise click.UsageError(f"{name} has no secret {field!r}; it has: {known}")
    if file is not None:
        value = file.read(adding.LARGEST_SECRET)
    elif secret_stdin:
        value = sys.stdin.buffer.read(adding.LARGEST_SECRET).splitlines()[0:1]
        value = value[0] if value else b""
    elif asks():
        value = str(click.prompt(f"{name} {field}", hide_input=True, err=True)).encode()
    else:
        raise click.UsageError("run it on a terminal to be asked, or pipe the secret in with --secret-stdin")
    if not value:
        raise click.UsageError("an empty secret was given; nothing was stored")
    wire.put_secret(session.home, entry, value, session.headers)
    _test(session, name)


@connectors.command()
@click.argument("name")
@options
def test(session: Session, name: str) -> None:
    """Ask a system for a sign of life, and what the credentials may do."""
    _test(session, name)


def _test(session: Session, name: str) -> None:
    answer = session.command("connector.test", name)
    found = msgspec.convert(answer.result, TestView)
    session.show(found, lambda: view.tested(found))
    if not found.ok:
        sys.exit(REFUSED)


@connectors.command()
@click.argument("name")
@click.option("--feed", default="", help="Only this kind of object.")
@click.option("--full", is_flag=True, help="List everything again, not only what changed.")
@options
def sync(session: Session, *, name: str, feed: str, full: bool) -> None:
    """Read a system now instead of at its next turn."""
    answer = _long(session, "connector.sync", name, {"feed": feed, "full": full})
    found = msgspec.convert(answer.result["feeds"], tuple[SyncedFeed, ...])
    rows = [(one.kind, f"{one.objects:,}", f"{one.changed:,}", one.error) for one in found]
    session.show(
        answer, lambda: plain.table(rows, ("mirrors", "objects", "changed", "error"), empty="it has nothing to mirror")
    )
    if any(one.error for one in found):
        sys.exit(REFUSED)


@connectors.command()
@click.argument("name")
@click.option(
    "--write", is_flag=True, help="Also what can only be told by writing: test objects are made and taken away."
)
@click.option(
    "--on",
    "touch",
    multiple=True,
    metavar="NAME=VALUE",
    help="What may be touched: robot, uri, channel, gateway, signal, page.",
)
@click.option("--only", multiple=True, metavar="PROMISE", help="Only this promise.")
@_PHRASE
@_YES
@DRY_RUN
@options
def check(
    session: Session,
    *,
    name: str,
    write: bool,
    touch: tuple[str, ...],
    only: tuple[str, ...],
    phrase: str,
    yes: bool,
    dry_run: bool,
) -> None:
    """Try every promise of the system's ports against it. By default nothing is changed there."""
    named = dict(pair.partition("=")[::2] for pair in touch)
    args: dict[str, Json] = {"write": write, "on": named, "only": list(only)}
    preview = session.command("connector.check", name, args, preview=True)
    if dry_run:
        session.done(preview, "")
        return
    typed = phrase_for(preview, given=phrase, yes=yes)
    if sys.stderr.isatty():
        click.echo(f"trying the promises of {plain.clean(name)} \u2026", err=True)
    answer = _long(session, "connector.check", name, {**args, **({"phrase": typed} if typed else {})})
    report = msgspec.convert(answer.result, CheckReport)
    session.show(report, lambda: view.checked(report))
    if report.broken:
        sys.exit(REFUSED)


@connectors.command()
@click.argument("name")
@click.argument("call", default="")
@click.argument("values", nargs=-1, metavar="[ARG=VALUE]...")
@options
def dry(session: Session, *, name: str, call: str, values: tuple[str, ...]) -> None:
    """Say what a call to a system would send, without sending it. Without CALL: which calls there are.

    Values are JSON, else text; a field of an object is written with a dot: tickets.open new.title="Left arm" new.body="...".
    """
    args: dict[str, Json] = {"call": call, "args": view.nested(values)}
    answer = session.command("connector.dry", name, args)
    if not call:
        calls = msgspec.convert((answer.result or {}).get("calls", []), tuple[CallForm, ...])
        session.show(calls, lambda: view.callable_(calls))
        return
    report = msgspec.convert(answer.result, DryReport)
    session.show(report, lambda: view.rehearsed(report))
    if report.error:
        sys.exit(REFUSED)


@connectors.command()
@click.argument("name")
@click.option("--forget-secret", is_flag=True, help="Delete its secrets from the keyring, too.")
@_PHRASE
@_YES
@DRY_RUN
@options
def remove(session: Session, *, name: str, forget_secret: bool, phrase: str, yes: bool, dry_run: bool) -> None:
    """Take a system away. What is mirrored of it goes; nothing changes at the system."""
    args: dict[str, Json] = {"forget_secret": forget_secret}
    session.done(
        risky(session, "connector.remove", name, args, phrase=phrase, yes=yes, dry_run=dry_run), f"{name} is removed"
    )


@connectors.command()
@click.argument("name")
@_REASON
@options
def suspend(session: Session, *, name: str, reason: str) -> None:
    """Ask nothing of a system for now; what is mirrored stays and grows old."""
    session.done(session.command("connector.suspend", name, {"reason": reason}), f"{name} is suspended")


@connectors.command()
@click.argument("name")
@_REASON
@options
def resume(session: Session, *, name: str, reason: str) -> None:
    """Ask a suspended system again; it catches up."""
    session.done(session.command("connector.resume", name, {"reason": reason}), f"{name} is asked again")


@connectors.command()
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("-f", "--follow", is_flag=True, help="Go on as calls are made.")
@options
def logs(session: Session, *, name: str, limit: int, follow: bool) -> None:
    """What was asked of a system, newest last, without headers, bodies and secrets."""
    path = f"{adding.SYSTEMS}/{part(name)}/log"
    page = session.get(path, CallPage, limit=limit)
    if not follow:
        session.show(page, lambda: view.calls(page))
        return
    seen: list[CallView] = []
    while True:
        fresh = sorted((one for one in page.calls if one not in seen), key=lambda one: one.at)
        for one in fresh:
            row = f"{plain.moment(one.at)[11:]}  {one.status or '-':>3}  {one.ms:>6.0f} ms  {one.method} {one.path}  {one.error}"
            click.echo(plain.as_json(one, indent=False) if session.json else plain.clean(row, 600))
        sys.stdout.flush()
        seen = list(page.calls)
        time.sleep(1.0)
        page = session.get(path, CallPage, limit=1000)


@connectors.command()
@click.argument("name")
@click.option("--kind", default="", help="Only this kind: device, issue …")
@click.option("--state", default="", help="Only in this state of its owner's.")
@click.option("--text", default="", help="Words that occur in it.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@options
def objects(session: Session, *, name: str, kind: str, state: str, text: str, limit: int) -> None:
    """What is mirrored of a system."""
    page = session.get("/v1/mirror", MirrorPage, system=name, kind=kind, state=state, text=text, limit=limit)
    session.show(page, lambda: view.objects(page))


def _long(session: Session, verb: str, target: str, args: dict[str, Json]) -> CommandAnswer:
    """A command that takes as long as the remote system does."""
    request = CommandRequest(id=str(uuid.uuid4()), target=target, args=args)
    return wire.post(session.home, f"/v1/commands/{verb}", request, CommandAnswer, session.headers, timeout=CHECK_S)
