"""Adding a system: what it asks for, its secrets, its first sync. Secrets go to the keyring and nowhere else."""

from __future__ import annotations

import difflib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from app import plain, wire
from app.cli.session import REFUSED, Session, asks, end, part
from engine.contract.client import Refused
from engine.contract.common import Json
from engine.contract.systems import FieldView, KindPage, KindView, SystemPage, SystemView
from screens.secret_words import means, needed_first, partner_of

KINDS = "/v1/connectors/kinds"
SYSTEMS = "/v1/connectors"
LARGEST_SECRET = 64 * 1024
POLL_S = 0.25


def kind_named(session: Session, name: str) -> KindView:
    """Raises UsageError with what is near."""
    kinds = {one.kind: one for one in session.get(KINDS, KindPage).kinds}
    found = kinds.get(name)
    if found is None:
        near = difflib.get_close_matches(name, kinds, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise click.UsageError(f"no kind is called {name!r}. {hint}qd connectors ls --available lists them")
    if found.error:
        raise click.UsageError(f"{name} is installed and can't be loaded: {found.error}")
    return found


def settings(kind: KindView, url: str, pairs: Sequence[str]) -> tuple[str, dict[str, Json]]:
    """The address and the options, asked for where they are needed and somebody is there."""
    fields = {field.name: field for field in kind.fields}
    given = options(fields, kind.kind, pairs)
    url = str(given.pop("url", "")) or url
    if url and "url" not in fields:
        raise click.UsageError(f"{kind.kind} has no address: leave --url out")
    missing = [
        field
        for field in kind.fields
        if field.required and not field.secret and (not url if field.name == "url" else field.name not in given)
    ]
    if missing and not asks():
        wanted = " ".join("--url URL" if one.name == "url" else f"--set {one.name}=…" for one in missing)
        raise click.UsageError(
            f"{kind.kind} needs {wanted}\n" + "\n".join(f"  {one.name}: {one.description}" for one in missing)
        )
    for field in missing:
        value = click.prompt(f"{field.name} ({plain.clean(field.description)})", err=True)
        if field.name == "url":
            url = str(value)
        else:
            given[field.name] = typed(field, str(value))
    return url, given


def options(fields: Mapping[str, FieldView], kind: str, pairs: Sequence[str]) -> dict[str, Json]:
    """`--set name=value` by the fields' types. Raises UsageError that names the setting."""
    found: dict[str, Json] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign:
            raise click.UsageError(f"--set wants name=value, not {pair!r}")
        field = fields.get(name)
        if field is None:
            near = difflib.get_close_matches(name, fields, 1)
            known = ", ".join(one for one in fields if one != "url")
            raise click.UsageError(
                f"{kind} has no setting {name!r}" + (f"; did you mean {near[0]}?" if near else f": {known}")
            )
        if field.secret:
            raise click.UsageError(
                f"{name} is a secret: others can read arguments. It is asked for, or use --secret-stdin"
            )
        found[name] = typed(field, value)
    return found


def typed(field: FieldView, text: str) -> Json:
    if field.type in ("string",):
        return text
    if field.type == "boolean":
        known = {"true": True, "yes": True, "false": False, "no": False}
        if text.lower() not in known:
            raise click.UsageError(f"{field.name}: true or false, not {text!r}")
        return known[text.lower()]
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        if field.type == "array":
            return [one.strip() for one in text.split(",") if one.strip()]
        if field.type == "any":
            return text
        raise click.UsageError(f"{field.name}: a {field.type} is needed, not {text[:60]!r}") from error
    return value


def secrets(
    kind: KindView,
    name: str,
    *,
    given: Mapping[str, Json],
    from_stdin: bool,
    files: Sequence[str],
    stored: Sequence[str],
) -> dict[str, bytes]:
    """What is to be stored, by field. From files, from standard input (a line each), or typed without being shown."""
    asked = [field for field in needed_first(kind.fields) if field.secret and _wanted(field, kind, given)]
    found: dict[str, bytes] = {}
    kept = {pair.partition("=")[0] for pair in stored}
    for pair in files:
        named, sign, path = pair.partition("=")
        if not sign or named not in {one.name for one in asked}:
            raise click.UsageError(
                f"--secret-file wants FIELD=FILE with one of: {', '.join(one.name for one in asked) or 'none'}"
            )
        try:
            with Path(path).open("rb") as file:
                found[named] = file.read(LARGEST_SECRET)
        except OSError as error:
            raise click.UsageError(f"{path}: {error.strerror}") from error
    left = [one for one in asked if one.name not in found and one.name not in kept]
    if from_stdin:
        lines = sys.stdin.buffer.read(LARGEST_SECRET).splitlines()
        for field, line in zip(left, lines, strict=False):
            if line:
                found[field.name] = line
    elif left and asks():
        for field in left:
            more = "" if field.required else "; Enter for none"
            value = click.prompt(
                f"{name} {field.name} ({plain.clean(means(field))}{more})", hide_input=True, err=True,
                default=None if field.required else "", show_default=False,
            )  # fmt: skip
            if value:
                found[field.name] = str(value).encode()
    missing = [one.name for one in left if one.required and not found.get(one.name)]
    if missing:
        raise click.UsageError(
            f"{kind.kind} needs a secret for {', '.join(missing)}: run it on a terminal to be asked, or pipe it in with "
            "--secret-stdin (a line each)"
        )
    return found


def _wanted(field: FieldView, kind: KindView, given: Mapping[str, Json]) -> bool:
    """A secret that goes with another setting is asked for with it alone."""
    partner = partner_of(field, kind.fields)
    return not partner or bool(given.get(partner))


def entry(name: str, field: str) -> str:
    """The keyring entry of a system's secret."""
    return name if field == "secret" else f"{name}.{field}"


def taken(session: Session, entries: Sequence[str]) -> str:
    """The system that already uses one of these entries, which would lose its secret."""
    for one in session.get(SYSTEMS, SystemPage).systems:
        for secret in one.secrets:
            if secret.entry in entries:
                return one.id
    return ""


class Stored:
    """Secrets put into the keyring for a system that is being added; taken back when it is not."""

    def __init__(self, session: Session) -> None:
        self._session, self._entries = session, list[str]()

    def put(self, name: str, values: Mapping[str, bytes]) -> dict[str, str]:
        """Field -> entry."""
        found = {field: entry(name, field) for field in values}
        for field, value in values.items():
            wire.put_secret(self._session.home, found[field], value, self._session.headers)
            self._entries.append(found[field])
        return found

    def take_back(self) -> None:
        while self._entries:
            try:
                wire.delete_secret(self._session.home, self._entries.pop(), self._session.headers)
            except Refused as error:
                click.echo(f"the stored secret stays: {plain.clean(error.problem.reason)}", err=True)


def first_sync(session: Session, name: str, patience_s: float) -> SystemView:
    """Waits until every feed was listed once, or failed. Tells each feed as it comes."""
    until, told = time.monotonic() + patience_s, set[str]()
    while True:
        one = session.get(f"{SYSTEMS}/{part(name)}", SystemView)
        for feed in one.feeds:
            if feed.synced_at and feed.kind not in told:
                told.add(feed.kind)
                if not session.json:
                    click.echo(f"{feed.kind}: {feed.objects:,} mirrored in {feed.took_s:.1f} s")
        waiting = [feed for feed in one.feeds if not feed.synced_at and not feed.failures]
        if not waiting or time.monotonic() >= until:
            return one
        time.sleep(POLL_S)


def unsynced(one: SystemView) -> None:
    """Ends with the reason when the first listing failed: it is added, and tried again by itself."""
    failed = [feed for feed in one.feeds if not feed.synced_at and feed.failures]
    if failed:
        said = "; ".join(f"{feed.kind}: {plain.clean(feed.error, 300)}" for feed in failed)
        end(f"{one.id} is added and its first sync failed ({said}); it is tried again by itself", REFUSED)
