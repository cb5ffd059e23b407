"""`connector.check`: a person tries the promises of a system."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from engine.capabilities.desk import Args, Desk, DeskVerb, Foreseen, Json, Short
from engine.capabilities.ports import ActionError
from engine.capabilities.systems.conformance.running import check, promises

Names = Annotated[dict[str, Annotated[str, Meta(max_length=500)]], Meta(max_length=20)]


class CheckArgs(Args, frozen=True):
    """`on` names what may be touched (robot, uri, channel, gateway, page, signal); `only` names promises."""

    write: bool = False
    on: Names = {}
    only: Annotated[tuple[Short, ...], Meta(max_length=50)] = ()
    phrase: Short = ""


def served(desk: Desk, record: Any) -> tuple[str, ...]:
    """What a system serves here; refused when it is not connected."""
    system = desk.port("systems").connections.systems.get(record.id)
    if system is None:
        desk.refuse("not_connected", f"{record.id} is not connected", f"qd connectors show {record.id}")
    return tuple(system.serves)


async def _check(desk: Desk, record: Any, args: CheckArgs) -> Json:
    ports: dict[str, Any] = {}
    for capability in served(desk, record):
        try:
            ports[capability] = desk.port(f"{capability}@{record.id}")
        except ActionError as error:
            fix = f"qd connectors show {record.id}"
            desk.refuse("not_connected", f"{record.id} does not serve {capability} now: {error.message}", fix)
    report = await check(
        ports, system=record.id, kind=record.system_kind, now=desk.now, write=args.write, given=args.on, only=args.only
    )
    return msgspec.to_builtins(report)


async def _foresee(desk: Desk, record: Any, args: CheckArgs) -> Foreseen:
    known = [one for capability in served(desk, record) for one in promises(capability)]
    strange = [name for name in args.only if name not in {one.name for one in known}]
    if strange:
        desk.refuse(
            "bad_input", f"there is no promise {strange[0]!r}", "leave --only out to see their names", "args.only"
        )
    wanted = [one for one in known if not args.only or one.name in args.only]
    reads = f"{sum(not one.write for one in wanted)} promises of {record.id} are tried by reading"
    if not args.write:
        return Foreseen((f"{reads}; nothing is changed there",))
    writing = [one for one in wanted if one.write]
    ready = [one for one in writing if all(args.on.get(name) for name in one.needs)]
    said = [f"{reads}, {len(ready)} by writing to {record.url or record.id}"]
    said += [f"  {one.says}" for one in ready]
    said.append("what is made there carries a mark and is taken away after; the report says what could not be")
    if args.on.get("page"):
        said.append("whoever is on call there may be paged once")
    return Foreseen(tuple(said), f"write to {record.id}" if ready else "")


VERBS: tuple[DeskVerb, ...] = (
    DeskVerb(
        name="connector.check", args=CheckArgs, says="check a system against its promises", kind="system", do=_check,
        foresee=_foresee, risk=True,
    ),
)  # fmt: skip
