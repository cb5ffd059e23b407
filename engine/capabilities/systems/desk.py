"""What people do about remote systems: add one, change it, try it, sync it, suspend it, take it out.

A system is tried before it is taken: what it says of itself, what the credentials may do and what would be mirrored is
shown first, and one that doesn't answer is taken only when that is asked for. Secrets never pass through here: they are
put into the keyring by a door of their own, and settings name the entry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from engine.capabilities.connections import NAME, entries_of
from engine.capabilities.desk import Args, Desk, DeskVerb, Foreseen, Name, Short, Text
from engine.capabilities.ports import ActionError
from engine.capabilities.records import Emit
from engine.capabilities.systems.conformance.desk import VERBS as CHECKS
from engine.capabilities.systems.live import Systems, config_of, fields_of
from engine.capabilities.systems.rehearsing import VERBS as REHEARSED
from engine.contract.systems import SystemRecord, TestView

Json = Any
Url = Annotated[str, Meta(max_length=2000)]
Served = Annotated[tuple[Short, ...], Meta(max_length=20)]


class Add(Args, frozen=True, kw_only=True):
    """`secret` names an entry of the keyring; further secret-holding settings name theirs in `options`. `anyway`: take it
    although it doesn't answer."""

    name: Annotated[str, Meta(min_length=1, max_length=63)]
    kind: Name
    url: Url = ""
    secret: Short = ""
    options: dict[str, Json] = {}
    serves: Served = ()
    anyway: bool = False


class Set(Args, frozen=True, kw_only=True):
    """What is left out stays. `options` replaces single keys; null takes a key out."""

    url: Url | None = None
    secret: Short | None = None
    options: dict[str, Json] = {}
    serves: Served | None = None
    anyway: bool = False


class Look(Args, frozen=True, kw_only=True):
    pass


class Sync(Args, frozen=True, kw_only=True):
    """Without `feed` all of them; `full` lists everything again instead of what changed."""

    feed: Short = ""
    full: bool = False


class Suspend(Args, frozen=True, kw_only=True):
    reason: Text = ""


class Remove(Args, frozen=True, kw_only=True):
    forget_secret: bool = False
    reason: Text = ""
    phrase: Short = ""


def _systems(desk: Desk) -> Systems:
    found: Systems = desk.port("systems")
    return found


# -- adding and changing ----------------------------------------------------------------------------------------------


async def _add(desk: Desk, record: None, args: Add) -> Json:
    systems, config = _systems(desk), _config(args)
    known = await _free(desk, args.name)
    found = await _tried(desk, args.name, config, anyway=args.anyway)
    fields = {**fields_of(args.name, config), "origin": "added"}
    emit = [Emit("qd.system.added", {"system": args.name, "kind": args.kind, "url": args.url})]
    if known is None:
        made = await desk.records.create(
            "system", fields, key=f"system/{args.name}", id=args.name, reason=f"added by {desk.person}", emit=emit
        )
    else:
        made = await desk.records.change(
            "system", args.name, to="active", set=fields, reason=f"added again by {desk.person}", emit=emit
        )
    systems.take(made)
    await systems.look_at(args.name)
    return {"id": args.name, "test": msgspec.to_builtins(found)}


async def _add_foreseen(desk: Desk, record: None, args: Add) -> Foreseen:
    await _free(desk, args.name)
    found = await _tried(desk, args.name, _config(args), anyway=args.anyway)
    return Foreseen(_said(desk, args.name, _config(args), found))


async def _set(desk: Desk, record: SystemRecord, args: Set) -> Json:
    _ours(desk, record)
    config = _changed(record, args)
    found = await _tried(desk, record.id, config, anyway=args.anyway)
    changed = await desk.records.change(
        "system",
        record.id,
        set=fields_of(record.id, config),
        reason=f"changed by {desk.person}",
        emit=[Emit("qd.system.changed", {"system": record.id})],
    )
    _systems(desk).take(changed)
    await _systems(desk).look_at(record.id)
    return {"id": record.id, "test": msgspec.to_builtins(found)}


async def _set_foreseen(desk: Desk, record: SystemRecord, args: Set) -> Foreseen:
    _ours(desk, record)
    config = _changed(record, args)
    found = await _tried(desk, record.id, config, anyway=args.anyway)
    return Foreseen(_said(desk, record.id, config, found))


def _config(args: Add) -> dict[str, Json]:
    return {
        "kind": args.kind, "url": args.url, "secret": args.secret, "options": dict(args.options),
        "serves": list(args.serves),
    }  # fmt: skip


def _changed(record: SystemRecord, args: Set) -> dict[str, Json]:
    config = config_of(record)
    if args.url is not None:
        config["url"] = args.url
    if args.secret is not None:
        config["secret"] = args.secret
    if args.serves is not None:
        config["serves"] = list(args.serves)
    options = {**config["options"], **args.options}
    config["options"] = {name: value for name, value in options.items() if value is not None}
    return config


async def _free(desk: Desk, name: str) -> SystemRecord | None:
    """The record of a system of that name that was removed, if there is one. Refuses when the name is taken."""
    if not NAME.fullmatch(name):
        desk.refuse(
            "bad_input", f"{name!r} is no name for a system", "small letters, digits, dots, dashes", "args.name"
        )
    known: SystemRecord | None = await desk.records.get("system", name)
    if known is not None and known.state != "removed":
        fix = "take another name, or change it with connector.set"
        desk.refuse("exists", f"there is a system {name} already ({known.system_kind} {known.url})", fix, "args.name")
    return known


async def _tried(desk: Desk, name: str, config: Mapping[str, Json], *, anyway: bool) -> TestView:
    """What it says with these settings. Refuses when they make no sense, or when it doesn't answer."""
    systems = _systems(desk)
    await systems.loaded(str(config.get("kind", "")))
    try:
        planned = systems.connections.plan(name, config)
        for setting, entry in planned.entries.items():
            # named before it is kept: a secret that was given in place of an entry's name must not be recorded
            if not await asyncio.to_thread(systems.stored, entry):
                field = "args.secret" if setting == "secret" else f"args.options.{setting}"
                fix = "store it first: it is asked for by qd connectors add, or put to /v1/secrets/ENTRY"
                desk.refuse("no_secret", f"the keyring has no entry of the name that {setting} gives", fix, field)
        found = await systems.test(name, config)
    except ActionError as error:
        said = error.message.removeprefix(f"connectors.{name}.")
        field = said.partition(":")[0] if said != error.message else ""
        known = {"kind", "url", "secret", "serves"}
        where = f"args.{field}" if field in known else f"args.options.{field}" if field.isidentifier() else ""
        desk.refuse("bad_input", said, "qd connectors ls --available shows what each kind asks for", where)
    if found.ok or anyway:
        return found
    words = found.error.lower()
    about_secret = any(
        word in words for word in ("keyring", "401", "403", "password", "credential", "permission", "log in")
    )
    field = "args.secret" if about_secret and (config.get("secret") or "secret" in words) else "args.url"
    fix = "check the secret" if field == "args.secret" else "check the address; to take it all the same: anyway"
    desk.refuse("not_connected", f"{name}: {found.error}", fix, field)


def _said(desk: Desk, name: str, config: Mapping[str, Json], found: TestView) -> tuple[str, ...]:
    systems = _systems(desk)
    planned = systems.connections.plan(name, config)
    said = [f"connected: {found.says or config['kind']}" if found.ok else f"does not answer: {found.error}"]
    for capability in planned.serves:
        other = systems.connections.first(capability)
        asked = (
            f", though {other} is asked when no system is named" if other and name not in (other, capability) else ""
        )
        said.append(f"serves {capability}{asked}")
    said += [f"will read {each}" for each in found.reads]
    for right in found.rights:
        word = {True: "yes", False: "NO", None: "not known without doing it"}[right.has]
        said.append(f"right {right.name}: {word}{f' (needed for {right.needed_for})' if right.needed_for else ''}")
    said += [f"can't {what}: {why}" for traits in found.traits.values() for what, why in traits.items()]
    return tuple(each[:300] for each in said[:60])


# -- looking and reading ----------------------------------------------------------------------------------------------


async def _test(desk: Desk, record: SystemRecord, args: Look) -> Json:
    _there(desk, record)
    try:
        found = await _systems(desk).test(record.id, config_of(record), fresh=True)
    except ActionError as error:
        found = TestView(error=error.message)
    await _systems(desk).look_at(record.id)
    return msgspec.to_builtins(found)


async def _sync(desk: Desk, record: SystemRecord, args: Sync) -> Json:
    _there(desk, record)
    if record.state == "suspended":
        desk.refuse("suspended", f"{record.id} is suspended", f"resume it first: qd connectors resume {record.id}")
    found = await _systems(desk).sync(record.id, args.feed, full=args.full)
    return {"id": record.id, "feeds": [msgspec.to_builtins(each) for each in found]}


# -- suspending and removing ------------------------------------------------------------------------------------------


async def _suspend(desk: Desk, record: SystemRecord, args: Suspend) -> Json:
    _there(desk, record)
    because = f": {args.reason}" if args.reason else ""
    await desk.records.change(
        "system",
        record.id,
        to="suspended",
        reason=f"{desk.person}{because}",
        emit=[Emit("qd.system.suspended", {"system": record.id, "by": desk.person, "reason": args.reason})],
    )
    _systems(desk).suspend(record.id, f"suspended by {desk.person}{because}"[:300])
    return {"id": record.id, "state": "suspended"}


async def _suspend_foreseen(desk: Desk, record: SystemRecord, args: Suspend) -> Foreseen:
    _there(desk, record)
    return Foreseen(
        (
            f"nothing is read from {record.id} or written to it until it is resumed",
            *_left_alone(desk, record),
            "steps of runs that need it wait meanwhile",
        )
    )


async def _resume(desk: Desk, record: SystemRecord, args: Suspend) -> Json:
    _there(desk, record)
    if record.state == "suspended":
        await desk.records.change(
            "system",
            record.id,
            to="active",
            reason=f"{desk.person}{f': {args.reason}' if args.reason else ''}",
            emit=[Emit("qd.system.resumed", {"system": record.id, "by": desk.person})],
        )
        _systems(desk).suspend(record.id, "")
        await _systems(desk).look_at(record.id)
    return {"id": record.id, "state": "active"}


async def _remove(desk: Desk, record: SystemRecord, args: Remove) -> Json:
    _ours(desk, record)
    systems = _systems(desk)
    entries = _entries(systems, record)
    await desk.records.change(
        "system",
        record.id,
        to="removed",
        reason=f"{desk.person}{f': {args.reason}' if args.reason else ''}",
        emit=[Emit("qd.system.removed", {"system": record.id, "by": desk.person})],
    )
    await systems.gone(record.id)
    forgotten = []
    if args.forget_secret:
        for entry in entries:
            if not systems.users(entry) and systems.stored(entry):
                systems.secrets.delete(entry)
                forgotten.append(entry)
    return {"id": record.id, "state": "removed", "secrets_forgotten": forgotten}


async def _remove_foreseen(desk: Desk, record: SystemRecord, args: Remove) -> Foreseen:
    _ours(desk, record)
    systems = _systems(desk)
    live = systems.view(record)
    said = [f"{record.id} ({record.system_kind} {record.url}) is no longer read or written", *_left_alone(desk, record)]
    if live.objects:
        said.append(f"its {live.objects} mirrored objects are forgotten here; nothing changes there")
    for entry in _entries(systems, record):
        others = [name for name in systems.users(entry) if name != record.id]
        if not args.forget_secret:
            said.append(f"its secret {entry} stays in the keyring")
        elif others:
            said.append(f"its secret {entry} stays: {', '.join(others)} use it")
        else:
            said.append(f"its secret {entry} is deleted from the keyring")
    return Foreseen(tuple(said), f"remove {record.id}")


def _left_alone(desk: Desk, record: SystemRecord) -> list[str]:
    """What nobody serves once this system doesn't."""
    systems = _systems(desk).connections
    system = systems.systems.get(record.id)
    said = []
    for capability in system.serves if system is not None else ():
        others = [
            s.name
            for s in systems.systems.values()
            if capability in s.built and s.name != record.id and not s.suspended
        ]
        if systems.first(capability) == record.id:
            said.append(
                f"{capability} is then asked of {others[0]}" if others else f"no system serves {capability} then"
            )
    return said


def _entries(systems: Systems, record: SystemRecord) -> tuple[str, ...]:
    system = systems.connections.systems.get(record.id)
    if system is not None:
        return tuple(entries_of(config_of(record), system.connector).values())
    return (record.secret,) if record.secret else ()


def _there(desk: Desk, record: SystemRecord) -> None:
    if record.state == "removed":
        desk.refuse("removed", f"{record.id} was removed", "add it again: qd connectors add")


def _ours(desk: Desk, record: SystemRecord) -> None:
    """Not one that stands in the settings: they would bring it back as it was."""
    _there(desk, record)
    if record.origin == "settings":
        desk.refuse(
            "in_settings",
            f"{record.id} stands in quarterdeck.yaml",
            "change it there and start the engine again (connector.suspend works at once)",
        )


VERBS = (
    DeskVerb(name="connector.add", args=Add, says="add a remote system", do=_add, foresee=_add_foreseen),
    DeskVerb(name="connector.set", args=Set, says="change a remote system", do=_set, kind="system", foresee=_set_foreseen),
    DeskVerb(name="connector.test", args=Look, says="try a remote system", do=_test, kind="system"),
    DeskVerb(name="connector.sync", args=Sync, says="read a remote system now", do=_sync, kind="system"),
    DeskVerb(
        name="connector.suspend", args=Suspend, says="suspend a remote system", do=_suspend, kind="system",
        foresee=_suspend_foreseen,
    ),
    DeskVerb(name="connector.resume", args=Suspend, says="resume a remote system", do=_resume, kind="system"),
    DeskVerb(
        name="connector.remove", args=Remove, says="remove a remote system", do=_remove, kind="system",
        foresee=_remove_foreseen, risk=True,
    ),
    *CHECKS,
    *REHEARSED,
)  # fmt: skip
