"""Telling an event by hand, or on behalf of a system that has no way in of its own."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from engine.capabilities.desk import Args, Desk, DeskVerb, Foreseen, Short
from engine.capabilities.events.envelope import RESERVED, BadEvent, taken
from engine.capabilities.events.rules import Limits

Json = Any


class EmitArgs(Args, frozen=True, kw_only=True):
    """Either `event` with `data`, or a whole CloudEvent in `envelope`. `source` and `id` are those of the system it is
    told for: the same pair again is the same event."""

    event: Annotated[str, Meta(max_length=200, pattern=r"^([A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*)?$")] = ""
    data: dict[str, Json] = {}
    subject: Short = ""
    source: Short = ""
    id: Short = ""
    envelope: dict[str, Json] | None = None


async def _emit(desk: Desk, record: Any, args: EmitArgs) -> Json:
    if args.envelope is None:
        if not args.event:
            desk.refuse("missing_field", "which event? None is named", field="args.event")
        if args.source.startswith(RESERVED):
            desk.refuse("bad_input", f"{' and '.join(RESERVED)} are the engine's own", field="args.source")
        if not (args.source + args.id).isprintable():
            desk.refuse("bad_input", "source and id are printable text", field="args.source")
        await desk.publish(args.event, args.data, args.subject, source=args.source, id=args.id)
        return {"event": args.event, "subject": args.subject}
    if args.event or args.data or args.subject or args.source or args.id:
        desk.refuse("bad_input", "a whole CloudEvent says all itself", field="args.envelope")
    try:
        event = taken(args.envelope, Limits.of(desk.policy("events")))
    except BadEvent as error:
        desk.refuse("bad_input", f"not a CloudEvent that can be taken: {error}", field="args.envelope")
    await desk.publish(event.event, event.data, event.subject, source=event.source, id=event.id, cause=event.cause)
    return {"event": event.event, "subject": event.subject, "source": event.source, "id": event.id}


async def _foresee(desk: Desk, record: Any, args: EmitArgs) -> Foreseen:
    name = args.event or str((args.envelope or {}).get("type", ""))
    return Foreseen(sentences=(f"{name} is told to every run that waits for it and to every rule on it",))


VERBS = (DeskVerb(name="event.emit", args=EmitArgs, says="tell an event", do=_emit, foresee=_foresee),)
