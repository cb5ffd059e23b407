"""Promises of ticket systems. Writes happen on one ticket that the check opens, and closes (or discards) at the end."""

from __future__ import annotations

from functools import partial
from typing import Any

from engine.capabilities.ports import ActionError
from engine.capabilities.systems.conformance.every import listing
from engine.capabilities.systems.conformance.promise import Bench, Broken, NotTried, clean, must, promise, refuses, sane
from engine.capabilities.systems.ports import NewTicket, Ticket
from engine.capabilities.tickets.marking import mark
from engine.contract.tickets import MEANINGS

BODY = "Opened by a check of the connection; it will be closed at once.\nÜmlaut, 日本, <b>no markup</b>, 'quotes' & {braces}."
HOSTILE = "A comment with \x1b[31mcolour\x1b[0m, a \u202ereversed\u202c word and a NUL\x00 in it."


@promise("tickets", "a key nobody used finds no ticket")
async def an_unused_key_finds_nothing(port: Any, bench: Bench) -> None:
    found = await port.find(bench.key("never-used"))
    must(found is None, f"a key that was never used finds {getattr(found, 'id', found)!r}")


@promise("tickets", "a ticket that is not there is NoSuchTicket")
async def a_missing_ticket_is_said(port: Any, bench: Bench) -> None:
    await refuses(port.read("999999999"), "NoSuchTicket")


@promise("tickets", "an id can't lead to another resource")
async def ids_stay_ids(port: Any, bench: Bench) -> None:
    for id in ("../users", "1/../../secrets?x=1#y", "1 OR 1=1"):
        await refuses(port.read(id), "NoSuchTicket")


@promise("tickets", "mirrored tickets have title, meaning, priority and assignee, and can be read")
async def mirrored_tickets_can_be_read(port: Any, bench: Bench) -> None:
    if "issue" not in {feed.kind for feed in getattr(port, "feeds", ())}:
        raise NotTried("no feed of issues")
    _, objects = await bench.once("listing of issue", lambda: listing(port, "issue"))
    if not objects:
        raise NotTried("there is no ticket")
    for one in objects[:500]:
        missing = [name for name in ("title", "meaning", "priority", "assignee") if name not in one.data]
        must(not missing, f"{one.id}: data has no {', '.join(missing)}")
        must(one.data["meaning"] in MEANINGS, f"{one.id}: meaning {one.data['meaning']!r}")
    newest = max(objects, key=lambda one: one.changed_at)
    _sound(await port.read(newest.id), bench)


async def _ticket(port: Any, bench: Bench) -> Ticket:
    """The ticket of this check."""

    async def make() -> Ticket:
        new = NewTicket(title=f"Quarterdeck check {bench.mark}", body=BODY, labels=("quarterdeck-check",))
        opened: Ticket = await port.open(new, key=bench.key("ticket"))
        bench.undo(f"ticket {opened.id}", lambda: _away(port, bench, opened.id))
        return opened

    return await bench.once("the ticket", make)


async def _away(port: Any, bench: Bench, id: str) -> None:
    """Discards it where the port can, else closes it and says that it stays."""
    discard = getattr(port, "discard", None)
    if discard is not None:
        await discard("ticket", id)
        return
    for meaning in ("cancelled", "closed", "resolved"):
        try:
            now = await port.read(id)
            if now.meaning in ("cancelled", "closed", "resolved"):
                break
            await port.update(id, {"meaning": meaning}, version="", key=bench.key(f"close-{meaning}"))
            break
        except ActionError as error:
            if error.error not in ("NoTransition", "Unsupported"):
                raise
    else:
        raise Broken("its owner's workflow leads to no closed state from here")


@promise("tickets", "opening again with the same key is the same ticket, in doubt or not", write=True)
async def opening_twice_is_one_ticket(port: Any, bench: Bench) -> None:
    opened = await _ticket(port, bench)
    _sound(opened, bench)
    new = NewTicket(title=f"Quarterdeck check {bench.mark}", body=BODY, labels=("quarterdeck-check",))
    for in_doubt in (True, False):
        again = await port.open(new, key=bench.key("ticket"), in_doubt=in_doubt)
        if again.id != opened.id:
            bench.undo(f"ticket {again.id}", partial(_away, port, bench, again.id))
        must(again.id == opened.id, f"a second ticket was opened ({again.id} beside {opened.id})")
    found = await port.find(bench.key("ticket"))
    must(found is not None and found.id == opened.id, "the ticket is not found by its key")


@promise("tickets", "what was written is read back as it was", write=True)
async def a_ticket_keeps_its_words(port: Any, bench: Bench) -> None:
    opened = await _ticket(port, bench)
    read = await port.read(opened.id)
    _sound(read, bench)
    must(bench.mark in read.title, f"the title became {read.title!r}")
    for word in ("Ümlaut", "日本", "<b>no markup</b>", "{braces}"):
        must(word in read.body, f"{word!r} is lost from the body: {read.body[:160]!r}")
    must(read.meaning == "open", f"a new ticket means {read.meaning!r}, not open")


@promise("tickets", "commenting twice with one key is one comment, and hostile text comes back clean", write=True)
async def commenting_twice_is_one_comment(port: Any, bench: Bench) -> None:
    opened = await _ticket(port, bench)
    key = bench.key("comment")
    for in_doubt in (False, True):
        clean(await port.comment(opened.id, HOSTILE, key=key, in_doubt=in_doubt), "the comment")
    read = await port.read(opened.id)
    ours = [one for one in read.comments if one.key in (key, mark(key))]
    must(len(ours) == 1, f"{len(ours)} comments carry the key after two calls with it")
    clean(read, "the ticket with its comments")


@promise("tickets", "a change with an old version is a Conflict and changes nothing", write=True)
async def an_old_version_conflicts(port: Any, bench: Bench) -> None:
    opened = await _ticket(port, bench)
    before = await port.read(opened.id)
    if not before.version:
        raise NotTried("the owner has no versions")
    changed = await port.update(
        opened.id,
        {"title": f"Quarterdeck check {bench.mark}, renamed"},
        version=before.version,
        key=bench.key("rename"),
    )
    must("renamed" in changed.title, f"the title is {changed.title!r}")
    again = {"title": f"Quarterdeck check {bench.mark}, lost update"}
    await refuses(port.update(opened.id, again, version=before.version, key=bench.key("late")), "Conflict")
    must("lost update" not in (await port.read(opened.id)).title, "the change was made although it was refused")


@promise("tickets", "a change made twice with one key is made once", write=True)
async def changing_twice_is_no_conflict(port: Any, bench: Bench) -> None:
    opened = await _ticket(port, bench)
    before = await port.read(opened.id)
    key, change = bench.key("twice"), {"title": f"Quarterdeck check {bench.mark}, twice"}
    await port.update(opened.id, change, version=before.version, key=key)
    again = await port.update(opened.id, change, version=before.version, key=key, in_doubt=True)
    must(again.title == change["title"], f"the title is {again.title!r}")


@promise("tickets", "attaching twice with one key is no error", write=True)
async def attaching_twice_is_no_error(port: Any, bench: Bench) -> None:
    opened = await _ticket(port, bench)
    for in_doubt in (False, True):
        await port.attach(
            opened.id, f"{bench.mark}.txt", b"made by a check\n", "text/plain", key=bench.key("file"), in_doubt=in_doubt
        )


@promise("tickets", "a ticket can be resolved, or the port says why not", write=True)
async def a_ticket_can_be_resolved(port: Any, bench: Bench) -> None:
    opened = await _ticket(port, bench)
    now = await port.read(opened.id)
    try:
        done = await port.update(opened.id, {"meaning": "resolved"}, version=now.version, key=bench.key("resolve"))
    except ActionError as error:
        must(
            error.error == "NoTransition", f"refused as {error.error}; NoTransition is promised: {error.message[:120]}"
        )
        raise NotTried(f"the owner's workflow does not lead there: {error.message}") from error
    must(done.meaning in ("resolved", "closed"), f"resolved, it means {done.meaning!r}")


def _sound(ticket: Any, bench: Bench) -> None:
    must(isinstance(ticket, Ticket), f"{type(ticket).__name__} is no Ticket")
    must(ticket.id, "a ticket has no id")
    must(ticket.meaning in MEANINGS, f"{ticket.id}: meaning {ticket.meaning!r}")
    must(ticket.state, f"{ticket.id} has no state of its owner's")
    must(not ticket.url or ticket.url.startswith(("https://", "http://")), f"{ticket.id}: url is no address")
    sane(ticket.changed_at, bench.now(), f"{ticket.id}: changed_at")
    clean(ticket, f"ticket {ticket.id}")
