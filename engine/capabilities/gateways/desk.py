"""What people ask of gateways: look at one, open a session, watch one, end one."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from engine.capabilities.desk import Args, Desk, DeskVerb, Foreseen, Name, Short, Text
from engine.capabilities.gateways import opening
from engine.capabilities.gateways.opening import Opening, Wanted
from engine.capabilities.ports import ActionError
from engine.capabilities.records import Emit
from engine.capabilities.systems.ports import GatewayState
from engine.contract.access import Grant
from engine.contract.gateways import SESSION_LIVE, SshSession

Json = Any
PACK = "gateways"


class OpenArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`grant` names one, when there are several; `tty` false for a command without a terminal."""

    gateway: Name
    system: Short = ""
    grant: Short = ""
    purpose: Short = ""
    command: Text = ""
    cols: Annotated[int, Meta(ge=1, le=1000)] = 80
    rows: Annotated[int, Meta(ge=1, le=1000)] = 24
    tty: bool = True


class LookArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of them when none is named."""

    gateway: Short = ""
    system: Short = ""


class CutArgs(Args, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Text = ""


async def systems_of(desk: Desk) -> list[str]:
    """Names of systems that may serve gateways beside the first one."""
    return [one.id for one in await desk.records.find("system", limit=1_000)]


class _Ports:
    """The desk's ports as a mapping that answers None for what is not there."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def get(self, key: str) -> Any:
        try:
            return self._desk.port(key)
        except ActionError:
            return None


async def _gateway(desk: Desk, gateway: str, system: str) -> tuple[str, Any, GatewayState]:
    found = opening.port_for(_Ports(desk), gateway, system, await systems_of(desk))  # type: ignore[arg-type]
    if found is None:
        desk.port(opening.PORT if not system else f"{opening.PORT}@{system}")  # says when there is none at all
        desk.refuse("not_found", f"there is no gateway {gateway[:60]}", fix="qd fleet gateways", field="gateway")
    return *found, found[1].seen(gateway)


async def judged(desk: Desk, state: GatewayState, wanted: str) -> Opening:
    grants: list[Grant] = await desk.records.find("grant", state="active", where={"actor": desk.person}, limit=200)
    return opening.judged(
        desk.person, state, grants, await opening.live_of(desk.records), desk.policy(PACK), now=desk.now(), wanted=wanted,
        principals=opening.principals_of(state, desk.policy("access")),
    )  # fmt: skip


async def open_(desk: Desk, target: None, args: OpenArgs) -> Json:
    system, port, state = await _gateway(desk, args.gateway, args.system)
    terminals = desk.port("terminals")
    wanted = Wanted(
        person=desk.person, gateway=state, system=system, command=args.command, purpose=args.purpose, cols=args.cols,
        rows=args.rows, tty=args.tty,
    )  # fmt: skip
    async with terminals.judging:  # of two that ask at once, the second sees the first
        found = await judged(desk, state, args.grant)
        if not found.why_not:
            record = await opening.begun(desk.records, wanted, found, access=desk.policy("access"), now=desk.now())
    if found.why_not:
        await _refused(desk, state, system, args, found)
        desk.refuse(found.code, found.why_not, fix=found.fix)
    made = await opening.open_session(
        desk.records, record, wanted, found, port=port, terminals=terminals, secrets=desk.port("secrets"),
        policy=desk.policy(PACK), access=desk.policy("access"), now=desk.now,
    )  # fmt: skip
    return {
        "id": made.id, "gateway": made.gateway, "grant": made.grant, "until": made.until, "left_s": made.until - desk.now(),
        "fingerprint": made.fingerprint, "account": made.account,
    }  # fmt: skip


async def _refused(desk: Desk, state: GatewayState, system: str, args: OpenArgs, why: Opening) -> None:
    """That it was tried is kept."""
    fields = {
        "title": f"{desk.person} on {state.name}", "gateway": state.name, "system": system, "site": state.site,
        "region": state.region, "person": desk.person, "purpose": args.purpose, "command": args.command[:500],
        "ended_at": desk.now(), "ended_why": why.why_not,
    }  # fmt: skip
    told = {"gateway": state.name, "site": state.site, "person": desk.person, "code": why.code, "why": why.why_not}
    await desk.records.create(
        "ssh_session",
        fields,
        key="refused",
        state="refused",
        reason=why.why_not,
        emit=(Emit("qd.gateway.session.refused", told),),
    )


async def foresee_open(desk: Desk, record: None, args: OpenArgs) -> Foreseen:
    _, _, state = await _gateway(desk, args.gateway, args.system)
    found = await judged(desk, state, args.grant)
    if found.why_not:
        return Foreseen((f"would be refused: {found.why_not}", *([found.fix] if found.fix else [])))
    left = max(0, int(found.until - desk.now()) // 60)
    by = f"with {found.grant.id}" if found.grant else "without a grant: none is needed here"
    return Foreseen(
        (
            f"{desk.person} logs in to {state.name} ({state.host}) as {state.user} {by}, for at most {left} min",
            "everything shown is recorded; its digest is in the history",
        )
    )


async def look(desk: Desk, record: None, args: LookArgs) -> Json:
    if args.gateway:
        _, port, _ = await _gateway(desk, args.gateway, args.system)
        return {"gateways": [msgspec.to_builtins(await port.look(args.gateway))]}
    port = desk.port(opening.PORT if not args.system else f"{opening.PORT}@{args.system}")
    return {"gateways": [msgspec.to_builtins(await port.look(name)) for name in await port.names()]}


async def cut(desk: Desk, session: SshSession, args: CutArgs) -> Json:
    """At once, by whoever may: no phrase, no question."""
    if session.state not in SESSION_LIVE:
        desk.refuse("over", f"{session.id} is {session.state}")
    why = f"ended by {desk.person}" + (f": {args.reason}" if args.reason else "")
    end = await desk.port("terminals").end(session.id, why, records=desk.records)
    return {"id": session.id, "recording": end.recording}


async def watch(desk: Desk, session: SshSession, args: Args) -> Json:
    """Looks over the shoulder of somebody's session. That it was done is on the record before the first line is seen."""
    if session.state != "open":
        desk.refuse("over", f"{session.id} is {session.state}", fix=f"qd history play {session.id}")
    if desk.person != session.person and desk.person not in session.watchers:
        await desk.records.change(
            "ssh_session",
            session.id,
            set={"watchers": [*session.watchers, desk.person]},
            reason=f"{desk.person} watches",
        )
    return {"id": session.id}


VERBS = (
    DeskVerb(name="gateway.open", args=OpenArgs, says="open a session on a gateway", do=open_, foresee=foresee_open),
    DeskVerb(name="gateway.look", args=LookArgs, says="look at gateways now", do=look),
    DeskVerb(name="gateway.cut", args=CutArgs, says="end a session on a gateway", do=cut, kind="ssh_session"),
    DeskVerb(name="gateway.watch", args=Args, says="watch a session on a gateway", do=watch, kind="ssh_session"),
)
