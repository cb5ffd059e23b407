"""What people do on call: take and give duty, hand a shift over and accept one, watch things, take an alert on.

Nothing goes over by waiting or by the giver's word: what is handed over, command of incidents included, goes with the
receiver's own key, in one change, with both names and the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from engine.capabilities.desk import Args, Desk, DeskVerb, Foreseen, Given, Name, Refusal, Short, Text
from engine.capabilities.incidents.command import COMMANDERS, over
from engine.capabilities.oncall.things import Thing
from engine.capabilities.records import Change, Emit, RecordError
from engine.contract.incidents import IncidentView
from engine.contract.oncall import HANDOVER_OPEN, Acknowledgement, DutyRecord, HandoverRecord, ShiftReport, WatchRecord

Json = Any
TRIES = 5
INCIDENT_OVER = ("closed", "false_alarm")
LONGEST_S = 7 * 86_400.0


class Take(Args, frozen=True, kw_only=True):
    """`seconds`: how long it is planned to last (0: open). `scope`: what for, in your words."""

    scope: Short = ""
    seconds: Annotated[float, Meta(ge=0, le=LONGEST_S)] = 0.0


class Reason(Args, frozen=True, kw_only=True):
    reason: Text = ""


class Because(Args, frozen=True, kw_only=True):
    reason: Given


class Prepare(Args, frozen=True, kw_only=True):
    """`to` empty: whoever takes it. `since` (UTC epoch s) instead of the beginning of the shift."""

    to: Short = ""
    note: Text = ""
    since: Annotated[float, Meta(ge=0)] = 0.0


class Offer(Args, frozen=True, kw_only=True):
    """What is given replaces what was prepared."""

    to: Short = ""
    note: Text = ""


class Accept(Args, frozen=True, kw_only=True):
    """`digest` of the handover as it was read; one that was changed meanwhile is not accepted unread."""

    digest: Short = ""


class OfThing(Args, frozen=True, kw_only=True):
    """`kind` where the id alone does not tell."""

    thing: Name
    kind: Short = ""
    why: Text = ""


class Seen(Args, frozen=True, kw_only=True):
    """`thing` empty: all of them."""

    thing: Short = ""


class Acknowledge(Args, frozen=True, kw_only=True):
    system: Name
    alert: Name
    note: Text = ""


# -- duty ----------------------------------------------------------------------------------------------------------


async def take(desk: Desk, record: None, args: Take) -> Json:
    mine = await _duty(desk, desk.person)
    if mine is not None:
        desk.refuse("already", f"{desk.person} is on duty ({mine.id})", "qd oncall off ends it")
    made = await desk.records.create("duty", _shift(desk, args.scope, args.seconds), key="take", emit=_taken(desk))
    return {"id": made.id, "until": made.until}


def _shift(desk: Desk, scope: str, seconds: float) -> dict[str, Json]:
    now = desk.now()
    return {
        "title": f"{desk.person} on duty" + (f" for {scope}" if scope else ""), "person": desk.person, "scope": scope,
        "since": now, "until": now + seconds if seconds else 0.0,
    }  # fmt: skip


def _taken(desk: Desk) -> tuple[Emit, ...]:
    return (Emit("qd.duty.taken", {"person": desk.person}),)


async def give(desk: Desk, record: None, args: Reason) -> Json:
    mine = await _may_give(desk)
    await desk.records.change(
        "duty", mine.id, to="off", set={"ended_at": desk.now(), "ended_by": desk.person}, reason=args.reason,
        emit=(Emit("qd.duty.given", {"person": desk.person, "to": ""}),),
    )  # fmt: skip
    return {"id": mine.id}


async def foresee_give(desk: Desk, record: None, args: Reason) -> Foreseen:
    mine = await _may_give(desk)
    left = [one.person for one in await desk.records.find("duty", state="on", limit=50) if one.person != desk.person]
    said = [f"{mine.id} ends; nothing is handed to anybody"]
    said.append(f"on duty after that: {', '.join(left)}" if left else "after that nobody is on duty")
    return Foreseen(tuple(said))


async def _may_give(desk: Desk) -> DutyRecord:
    """One's own shift. Who commands an incident or has offered a handover does not leave by a key."""
    mine = await _duty(desk, desk.person)
    if mine is None:
        desk.refuse("not_on_duty", f"{desk.person} is not on duty")
    led = await _commanded(desk, desk.person)
    if led:
        desk.refuse(
            "commands", f"{desk.person} commands {', '.join(one.id for one in led)}",
            "hand it over (qd handover offer), or somebody takes command (qd incidents take)",
        )  # fmt: skip
    offered = await desk.records.find("handover", state="offered", where={"giver": desk.person}, limit=1)
    if offered:
        desk.refuse("offered", f"{offered[0].id} waits for its receiver", f"qd handover withdraw {offered[0].id}")
    return mine


# -- handovers -----------------------------------------------------------------------------------------------------


async def prepare(desk: Desk, record: None, args: Prepare) -> Json:
    """The report as it stands now, kept with the note. Nobody is asked yet."""
    _not_oneself(desk, args.to)
    mine = await _duty(desk, desk.person)
    report: ShiftReport = await asyncio.to_thread(desk.port("oncall").report, desk.person, desk.now(), args.since)
    led = [line.id for line in report.commands]
    title = f"handover of {desk.person}" + (f" to {args.to}" if args.to else "")
    made = await desk.records.create(
        "handover",
        {
            "title": title, "giver": desk.person, "to": args.to, "note": args.note, "duty": mine.id if mine else "",
            "scope": mine.scope if mine else "", "report": report, "digest": _digest(report, args.note), "incidents": led,
        },
        key="prepare",
        reason=args.note[:200],
    )  # fmt: skip
    return {"id": made.id, "digest": made.digest, "incidents": led}


async def offer(desk: Desk, handover: HandoverRecord, args: Offer) -> Json:
    _of_mine(desk, handover)
    if handover.state != "prepared":
        desk.refuse("already", f"{handover.id} is {handover.state}")
    to, note = args.to or handover.to, args.note or handover.note
    _not_oneself(desk, to)
    open_ones = await desk.records.find("handover", state="offered", where={"giver": desk.person}, limit=1)
    if open_ones:
        desk.refuse("offered", f"{open_ones[0].id} is offered already", f"qd handover withdraw {open_ones[0].id}")
    told = {"handover": handover.id, "giver": desk.person, "to": to, "incidents": list(handover.incidents)}
    changed: HandoverRecord = await desk.records.change(
        "handover", handover.id, to="offered",
        set={"to": to, "note": note, "digest": _digest(handover.report, note), "offered_at": desk.now()},
        reason=f"offered to {to or 'whoever takes it'}", expect=handover.rev, emit=(Emit("qd.handover.offered", told),),
    )  # fmt: skip
    return {"id": changed.id, "digest": changed.digest, "to": to}


async def withdraw(desk: Desk, handover: HandoverRecord, args: Reason) -> Json:
    _of_mine(desk, handover)
    if handover.state not in HANDOVER_OPEN:
        desk.refuse("over", f"{handover.id} is {handover.state}")
    await desk.records.change(
        "handover", handover.id, to="withdrawn", set={"answered_at": desk.now(), "answered_why": args.reason},
        reason=args.reason, emit=(Emit("qd.handover.withdrawn", {"handover": handover.id, "giver": desk.person}),),
    )  # fmt: skip
    return {"id": handover.id}


async def decline(desk: Desk, handover: HandoverRecord, args: Because) -> Json:
    """The giver stays on duty, and in command."""
    _offered_to_me(desk, handover)
    told = {"handover": handover.id, "giver": handover.giver, "by": desk.person, "reason": args.reason}
    await desk.records.change(
        "handover", handover.id, to="declined", set={"answered_at": desk.now(), "answered_why": args.reason},
        reason=f"{desk.person}: {args.reason}", emit=(Emit("qd.handover.declined", told),),
    )  # fmt: skip
    return {"id": handover.id}


async def accept(desk: Desk, handover: HandoverRecord, args: Accept) -> Json:
    """All at once or nothing: the handover is accepted, the giver's shift ends, mine begins, command goes over."""
    for attempt in range(TRIES):
        held, led, kept = await _acceptable(desk, handover.id, args.digest)
        try:
            done = await _accepted(desk, held, led, kept)
        except RecordError as error:
            if error.error != "Conflict" or attempt + 1 == TRIES:
                raise
            continue
        for one in led:
            with contextlib.suppress(Refusal):  # its run does not listen now: the record says who commands
                await desk.signal(one.run, "incident.taken", {})
        return done
    raise AssertionError("unreachable")


async def _acceptable(
    desk: Desk, id_: str, digest: str
) -> tuple[HandoverRecord, list[IncidentView], list[tuple[str, str]]]:
    """The handover as it stands, the incidents whose command goes over, and those whose does not, with the reason."""
    held: HandoverRecord | None = await desk.records.get("handover", id_)
    if held is None:
        desk.refuse("not_found", f"there is no handover {id_[:80]}")
    _offered_to_me(desk, held)
    if digest and digest != held.digest:
        desk.refuse("stale", f"{held.id} was changed since you read it", "read it again", "args.digest")
    led, kept = [], []
    for name in held.incidents:
        one: IncidentView | None = await desk.records.get("incident", name)
        if one is None or one.state in INCIDENT_OVER:
            kept.append((name, f"it is {one.state.replace('_', ' ') if one else 'gone'}"))
        elif one.ic != held.giver:
            kept.append((name, f"{one.ic or 'nobody'} commands it"))
        else:
            led.append(one)
    if led and not set(COMMANDERS) & set(desk.roles):
        desk.refuse(
            "not_commander", f"{', '.join(one.id for one in led)} would be yours to command, and {desk.person} holds no role for it",
            f"one of {', '.join(COMMANDERS[:3])} takes command first (qd incidents take), then this can be accepted",
        )  # fmt: skip
    return held, led, kept


async def _accepted(desk: Desk, held: HandoverRecord, led: list[IncidentView], kept: list[tuple[str, str]]) -> Json:
    now, giver = desk.now(), held.giver
    told = {
        "handover": held.id, "giver": giver, "receiver": desk.person, "incidents": [one.id for one in led],
    }  # fmt: skip
    changes = [
        Change(
            kind="handover", id=held.id, to="accepted", expect=held.rev, facts={"person": desk.person},
            set={"receiver": desk.person, "answered_at": now, "transferred": [one.id for one in led], "kept": [list(one) for one in kept]},
            reason=f"{desk.person} takes over from {giver}", emit=(Emit("qd.handover.accepted", told),),
        )
    ]  # fmt: skip
    changes += [over(one, desk.person, now, f"took command from {giver} with {held.id}") for one in led]
    theirs, mine = await _duty(desk, giver), await _duty(desk, desk.person)
    if theirs is not None:
        changes.append(
            Change(
                kind="duty", id=theirs.id, to="off", expect=theirs.rev,
                set={"ended_at": now, "ended_by": desk.person, "handed_to": desk.person, "handover": held.id},
                reason=f"handed to {desk.person} with {held.id}", emit=(Emit("qd.duty.given", {"person": giver, "to": desk.person}),),
            )
        )  # fmt: skip
    if mine is None:
        shift = {**_shift(desk, held.scope, 0.0), "handover": held.id}
        changes.append(Change(kind="duty", set=shift, key=f"accept/{held.id}", emit=_taken(desk)))
    await desk.records.change_many(changes)
    return {
        "id": held.id, "giver": giver, "receiver": desk.person, "at": now, "transferred": [one.id for one in led],
        "kept": [list(one) for one in kept],
    }  # fmt: skip


async def foresee_accept(desk: Desk, handover: HandoverRecord, args: Accept) -> Foreseen:
    held, led, kept = await _acceptable(desk, handover.id, args.digest)
    said = [f"{desk.person} is on duty from now on, {held.giver} no longer"]
    said += [f"{desk.person} commands {one.id} (SEV-{one.sev or '?'}) from now on" for one in led]
    said += [f"command of {name} does not go over: {why}" for name, why in kept]
    return Foreseen(tuple(said))


def _offered_to_me(desk: Desk, held: HandoverRecord) -> None:
    if held.state != "offered":
        by = f" by {held.receiver}" if held.receiver else ""
        desk.refuse("not_offered", f"{held.id} is {held.state}{by}")
    if held.giver == desk.person:
        desk.refuse("own", f"{held.id} is your own: somebody else accepts it", "qd handover withdraw takes it back")
    if held.to and held.to != desk.person:
        desk.refuse("not_yours", f"{held.id} is offered to {held.to}", f"{held.giver} can offer it to you")


def _of_mine(desk: Desk, handover: HandoverRecord) -> None:
    if handover.giver != desk.person:
        desk.refuse("not_yours", f"{handover.id} is {handover.giver}'s")


def _not_oneself(desk: Desk, to: str) -> None:
    if to == desk.person:
        desk.refuse("own", "a shift is handed to somebody else", field="args.to")


async def _duty(desk: Desk, person: str) -> DutyRecord | None:
    found = await desk.records.find("duty", state="on", where={"person": person}, limit=1)
    return found[0] if found else None


async def _commanded(desk: Desk, person: str) -> list[IncidentView]:
    found = await desk.records.find("incident", where={"ic": person}, limit=100)
    return [one for one in found if one.state not in INCIDENT_OVER]


def _digest(report: ShiftReport, note: str) -> str:
    return hashlib.sha256(msgspec.json.encode((report, note))).hexdigest()[:32]


# -- watching ------------------------------------------------------------------------------------------------------


async def watch(desk: Desk, record: None, args: OfThing) -> Json:
    thing = await _thing(desk, args.thing, args.kind)
    known = await _watch_of(desk, thing.id)
    if known is not None:
        desk.refuse("already", f"you watch {thing.id} already", f"qd oncall unwatch {thing.id}")
    seq = await asyncio.to_thread(desk.port("oncall").head)
    made = await desk.records.create(
        "watch",
        {"title": thing.title, "person": desk.person, "of_kind": thing.kind, "of": thing.id, "why": args.why, "seen_seq": seq},
        key="watch",
        reason=args.why[:200],
    )  # fmt: skip
    return {"id": made.id, "thing": thing.id, "kind": thing.kind}


async def unwatch(desk: Desk, record: None, args: OfThing) -> Json:
    known = await _watch_of(desk, args.thing)
    if known is None:
        desk.refuse("not_watched", f"you don't watch {args.thing[:80]}", field="args.thing")
    await desk.records.change("watch", known.id, to="off", reason=args.why[:200])
    return {"id": known.id, "thing": known.of}


async def seen(desk: Desk, record: None, args: Seen) -> Json:
    """What stands there was looked at: only what changes from now on is news."""
    seq = await asyncio.to_thread(desk.port("oncall").head)
    mine: list[WatchRecord] = await desk.records.find("watch", state="on", where={"person": desk.person}, limit=500)
    chosen = [one for one in mine if not args.thing or args.thing in (one.of, one.id)]
    if args.thing and not chosen:
        desk.refuse("not_watched", f"you don't watch {args.thing[:80]}", field="args.thing")
    await desk.records.change_many([Change(kind="watch", id=one.id, set={"seen_seq": seq}) for one in chosen])
    return {"seen": [one.of for one in chosen]}


async def _thing(desk: Desk, id_: str, kind: str) -> Thing:
    found: Thing | None = await asyncio.to_thread(desk.port("oncall").thing, id_, kind)
    if found is None:
        desk.refuse("not_found", f"there is no {kind or 'thing'} {id_[:80]}", field="args.thing")
    return found


async def _watch_of(desk: Desk, thing: str) -> WatchRecord | None:
    found = await desk.records.find("watch", state="on", where={"person": desk.person, "of": thing}, limit=1)
    return found[0] if found else None


# -- alerts --------------------------------------------------------------------------------------------------------


async def acknowledge(desk: Desk, record: None, args: Acknowledge) -> Json:
    """Somebody has it from now on. The alert goes on firing, and one that fires anew is nobody's again."""
    port = desk.port("oncall")
    found: tuple[str, str, float] | None = await asyncio.to_thread(port.alert, args.system, args.alert)
    if found is None:
        desk.refuse("not_found", f"{args.system[:60]} has no alert {args.alert[:80]} that fires", field="args.alert")
    name, robot, fired = found
    held = await desk.records.find("acknowledgement", state="held", where={"alert": args.alert}, limit=20)
    theirs = next((one for one in held if one.system == args.system and one.fired_at >= fired), None)
    if theirs is not None:
        desk.refuse("already", f"{theirs.person} has it ({theirs.id})")
    old = [
        Change(kind="acknowledgement", id=one.id, to="over", set={"ended_at": desk.now(), "ended_by": "it fired anew"})
        for one in held
        if one.system == args.system
    ]
    told = {"alert": name, "robot": robot, "system": args.system, "by": desk.person}
    made = Change(
        kind="acknowledgement",
        set={
            "title": f"{name} {robot}".strip(), "person": desk.person, "system": args.system, "alert": args.alert, "name": name,
            "robot": robot, "note": args.note, "fired_at": fired,
        },
        key="acknowledge", reason=args.note[:200], emit=(Emit("qd.alert.acknowledged", told),),
    )  # fmt: skip
    found_ = await desk.records.change_many([*old, made])
    return {"id": found_[-1].id, "alert": args.alert}


async def let_go(desk: Desk, record: Acknowledgement, args: Reason) -> Json:
    if record.state != "held":
        desk.refuse("over", f"{record.id} is over")
    await desk.records.change(
        "acknowledgement", record.id, to="over", set={"ended_at": desk.now(), "ended_by": desk.person}, reason=args.reason,
        emit=(Emit("qd.alert.released", {"alert": record.name, "robot": record.robot, "by": desk.person}),),
    )  # fmt: skip
    return {"id": record.id}


VERBS: tuple[DeskVerb, ...] = (
    DeskVerb(name="duty.take", args=Take, says="take duty", do=take),
    DeskVerb(name="duty.give", args=Reason, says="give duty up", do=give, foresee=foresee_give),
    DeskVerb(name="handover.prepare", args=Prepare, says="prepare a handover", do=prepare),
    DeskVerb(name="handover.offer", args=Offer, says="offer a handover", do=offer, kind="handover"),
    DeskVerb(name="handover.accept", args=Accept, says="accept a handover", do=accept, foresee=foresee_accept, kind="handover"),
    DeskVerb(name="handover.decline", args=Because, says="decline a handover", do=decline, kind="handover"),
    DeskVerb(name="handover.withdraw", args=Reason, says="withdraw a handover", do=withdraw, kind="handover"),
    DeskVerb(name="watch.add", args=OfThing, says="watch something", do=watch),
    DeskVerb(name="watch.remove", args=OfThing, says="watch something no longer", do=unwatch),
    DeskVerb(name="watch.seen", args=Seen, says="say that you looked", do=seen),
    DeskVerb(name="alert.acknowledge", args=Acknowledge, says="take an alert on", do=acknowledge),
    DeskVerb(name="alert.release", args=Reason, says="let an alert go", do=let_go, kind="acknowledgement"),
)  # fmt: skip
