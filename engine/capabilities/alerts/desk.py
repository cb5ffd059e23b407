"""What people do about alerts: silence some until an end, and end a silence. Silencing asks for a typed phrase, because
what is silenced is not heard; ending one acts at once.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from engine.capabilities.alerts import silencing
from engine.capabilities.desk import Args, Desk, DeskVerb, Foreseen, Given, Name, Short, Text
from engine.capabilities.ports import ActionError
from engine.contract.alerts import SilenceRecord

Json = Any
Matchers = Annotated[dict[Name, Short], Meta(min_length=1, max_length=10)]
WORKFLOW = "alert-silence"
SHOWN = 5


class Start(Args, frozen=True, kw_only=True):
    """`matchers`: labels and their exact values. `seconds`: how long."""

    matchers: Matchers
    seconds: Annotated[float, Meta(gt=0, le=30 * 86400)]
    comment: Given
    case: Short = ""
    system: Short = ""
    phrase: Short = ""


class End(Args, frozen=True, kw_only=True):
    reason: Text = ""


def _allowed(desk: Desk, args: Start) -> None:
    field, reason = silencing.why_not(args.matchers, args.seconds, args.comment, desk.policy(silencing.PACK))
    if reason:
        desk.refuse("not_allowed", reason, field=field)


async def _start(desk: Desk, record: None, args: Start) -> Json:
    _allowed(desk, args)
    try:
        silencing.port(desk, args.system)
    except ActionError as error:
        desk.refuse("no_alerts", error.message, "qd connectors add alertmanager NAME --url …", "system")
    if args.case and await desk.records.get("case", args.case) is None:
        desk.refuse("no_case", f"there is no case {args.case}", field="case")
    made = await desk.records.create(
        "silence",
        silencing.fields(
            args.matchers,
            args.seconds,
            args.comment,
            owner=desk.person,
            case=args.case,
            system=args.system,
            now=desk.now(),
        ),
        key="silence",
        reason=args.comment[:200],
    )
    run = await desk.start(WORKFLOW, {"silence": made.id, "ends_at": made.ends_at}, {"robot": made.robot})
    return {"id": made.id, "run": run, "ends_at": made.ends_at}


async def _start_foreseen(desk: Desk, record: None, args: Start) -> Foreseen:
    """What fires now and would not be heard, by name."""
    _allowed(desk, args)
    named = [
        value for name in desk.policy(silencing.PACK)["silence"]["narrow"] if (value := args.matchers.get(name, ""))
    ]
    hours = args.seconds / 3600
    said = [
        f"nothing that carries {', '.join(f'{k}={v}' for k, v in sorted(args.matchers.items()))} is told for {hours:.1f} h"
    ]
    try:
        found = await silencing.port(desk, args.system).firing(args.matchers)
    except ActionError as error:
        said.append(f"what fires now is not known: {error.message[:200]}")
    else:
        active = [one for one in found if one.state != "suppressed"]
        shown = ", ".join(f"{one.name} {one.data.get('robot', '')}".strip() for one in active[:SHOWN])
        more = f" and {len(active) - SHOWN} more" if active[SHOWN:] else ""
        said.append(f"{len(active)} firing now: {shown}{more}" if active else "nothing of it fires now")
    said.append(f"{desk.person} answers for it; it ends by itself")
    return Foreseen(tuple(said), f"silence {named[0]}" if named else "silence")


async def _end(desk: Desk, record: SilenceRecord, args: End) -> Json:
    if record.state in ("expired", "ended", "refused"):
        desk.refuse("over", f"{record.id} is {record.state} already")
    reason = args.reason or f"ended by {desk.person}"
    await desk.publish(
        "qd.silence.ending", {"silence": record.id, "by": desk.person, "reason": reason}, subject=record.id
    )
    return {"id": record.id}


VERBS = (
    DeskVerb(
        name="silence.start", args=Start, says="silence alerts", do=_start, foresee=_start_foreseen, risk=True,
    ),
    DeskVerb(name="silence.end", args=End, says="end a silence", do=_end, kind="silence"),
)  # fmt: skip
