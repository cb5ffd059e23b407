"""Who may open a session on a gateway, with what, until when; and the opening itself.

Order: the recording first, then the intent on record, then the gateway. Whatever fails leaves a record that says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from engine.capabilities.access import ssh_ca
from engine.capabilities.gateways import sessions
from engine.capabilities.gateways.sessions import Sessions
from engine.capabilities.ports import ActionError
from engine.capabilities.records import Emit, Records
from engine.capabilities.systems.ports import GatewayState
from engine.contract.access import Grant
from engine.contract.gateways import SESSION_LIVE, SshSession

Json = Any
PORT = "gateways"


class Finds(Protocol):
    """What looking for records needs: a desk's book (async) is wrapped, a read's look has it as it is."""

    def __call__(self, kind: str, **filters: Json) -> list[Any]: ...


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What a session would be opened with: the grant (None where none is needed), until when, or why it can't be."""

    grant: Grant | None = None
    until: float = 0.0
    code: str = ""
    why_not: str = ""
    fix: str = ""


def port_for(ports: Mapping[str, Any], gateway: str, system: str, systems: list[str]) -> tuple[str, Any] | None:
    """The system that knows this gateway (its name, its port): the one named, else the first that does."""
    keys = [f"{PORT}@{system}"] if system else [PORT, *(f"{PORT}@{one}" for one in systems)]
    for key in keys:
        port = ports.get(key)
        if port is None:
            continue
        try:
            port.seen(gateway)
        except ActionError:
            continue
        return key.partition("@")[2], port
    return None


def judged(
    person: str, gateway: GatewayState, grants: list[Grant], live: list[SshSession], policy: Mapping[str, Json],
    *, now: float, wanted: str = "", principals: tuple[str, ...] = (),
) -> Opening:  # fmt: skip
    """Whether this person may open a session there now. `grants` are their own; `wanted` names one of them."""
    longest = now + float(policy["session"]["longest"])
    mine = [one for one in live if one.person == person]
    if len(mine) >= int(policy["session"]["each"]):
        return Opening(
            code="too_many",
            why_not=f"{person} has {len(mine)} sessions open",
            fix="end one: qd access sessions, qd access cut SESSION",
        )
    fits = sorted(
        (one for one in grants if covers(one, person, gateway, principals, now) and (not wanted or one.id == wanted)),
        key=lambda one: -one.expires_at,
    )
    if fits:
        return Opening(grant=fits[0], until=min(longest, fits[0].expires_at))
    free = {str(one) for one in policy["grant"]["not_at"]}
    if not wanted and (not policy["grant"]["needed"] or free & {gateway.name, gateway.site} - {""}):
        return Opening(until=longest)
    ask = f"qd access request shell --site {gateway.site or 'SITE'} --because … --key ~/.ssh/id_ed25519.pub"
    says = f"{person} has no grant that runs for a shell at {gateway.site or gateway.name}"
    if wanted:
        says = f"{wanted} is no grant of {person} for a shell at {gateway.site or gateway.name} that runs now"
    return Opening(code="no_grant", why_not=says, fix=f"ask for one: {ask}")


def covers(grant: Grant, person: str, gateway: GatewayState, principals: tuple[str, ...], now: float) -> bool:
    """Whether a grant opens this gateway: a shell, this person's, running, and for the gateway's site."""
    return (
        grant.state == "active"
        and grant.actor == person
        and "shell" in grant.actions
        and grant.enforced_by == "ssh-certificate"
        and grant.not_before <= now < grant.expires_at
        and bool(set(grant.principals) & set(principals))
    )


def principals_of(gateway: GatewayState, access: Mapping[str, Json]) -> tuple[str, ...]:
    """What the gateway's sshd lists for people: made of its site, as grants are."""
    return (str(access["ssh"]["principal"]).replace("{site}", gateway.site),) if gateway.site else ()


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A session as it was asked for."""

    person: str
    gateway: GatewayState
    system: str = ""
    command: str = ""
    purpose: str = ""
    cols: int = 80
    rows: int = 24
    tty: bool = True


async def begun(
    records: Records, wanted: Wanted, opening: Opening, *, access: Mapping[str, Json], now: float
) -> SshSession:
    """The intent on record, before the gateway hears of it. Raises ActionError `NoPrincipal`, `SessionEnded`."""
    grant, gateway = opening.grant, wanted.gateway
    if not principals_for(opening, gateway, access):
        raise ActionError(
            "NoPrincipal",
            f"{gateway.name} has no site: no certificate would be for it",
            kind="configuration",
            retryable=False,
        )
    fields = {
        "title": f"{wanted.person} on {gateway.name}" + (f": {wanted.command[:80]}" if wanted.command else ""),
        "gateway": gateway.name, "system": wanted.system, "site": gateway.site, "region": gateway.region, "person": wanted.person,
        "grant": grant.id if grant else "", "purpose": wanted.purpose, "command": wanted.command, "account": gateway.user,
        "serial": grant.serial if grant else 0, "key_id": f"{grant.id if grant else 'no-grant'} {wanted.person}",
        "until": opening.until, "cols": wanted.cols, "rows": wanted.rows, "started_at": now,
    }  # fmt: skip
    record: SshSession = await records.create("ssh_session", fields, key="session")
    if record.state != "opening":
        said = f"{record.id} was opened by this request already"
        raise ActionError("SessionEnded", said, kind="conflict", retryable=False)
    return record


def principals_for(opening: Opening, gateway: GatewayState, access: Mapping[str, Json]) -> list[str]:
    """What the certificate names: of the grant's principals those of this gateway; without a grant, the gateway's."""
    there = principals_of(gateway, access)
    return [one for one in there if opening.grant is None or one in opening.grant.principals]


async def open_session(
    records: Records,
    record: SshSession,
    wanted: Wanted,
    opening: Opening,
    *,
    port: Any,
    terminals: Sessions,
    secrets: Any,
    policy: Mapping[str, Json],
    access: Mapping[str, Json],
    now: Callable[[], float],
) -> SshSession:
    """Opens what was begun. Raises ActionError `NoRecording` and what the gateway, the keyring and the book say."""
    grant, gateway, who = opening.grant, wanted.gateway, record.key_id
    cast = None
    try:
        cast = terminals.cast(record, policy)
        private, certificate = await asyncio.to_thread(
            _signed, secrets, who=f"{who} {record.id}", principals=principals_for(opening, gateway, access), serial=record.serial,
            seconds=opening.until - now(), skew=float(policy["certificate"]["clock_skew"]),
        )  # fmt: skip
        terminal = await port.open(
            gateway.name, key=private, certificate=certificate, command=wanted.command,
            term="xterm-256color" if wanted.tty else "", cols=wanted.cols, rows=wanted.rows,
        )  # fmt: skip
    except ActionError as error:
        if cast is not None:
            cast.close()
            cast.path.unlink(missing_ok=True)
        await records.change(
            "ssh_session",
            record.id,
            to="failed",
            set={"ended_at": now(), "ended_why": error.message[:500]},
            reason=error.message,
        )
        raise
    try:
        told = {"session": record.id, "gateway": gateway.name, "site": gateway.site, "person": wanted.person, "grant": record.grant,
                "command": wanted.command[:200], "until": opening.until}  # fmt: skip
        opened: SshSession = await records.change(
            "ssh_session", record.id, to="open", set={"fingerprint": terminal.fingerprint},
            reason=f"certificate {who} until the grant ends" if grant else "no grant is needed here",
            emit=(Emit("qd.gateway.session.opened", told),),
        )  # fmt: skip
        if grant is not None:
            await sessions.used(records, grant.id, started_at=now(), recording=record.id)
    except BaseException:
        await terminal.close()
        cast.close()
        raise
    terminals.opened(opened, terminal, cast, policy)
    return opened


def _signed(
    secrets: Any, *, who: str, principals: list[str], serial: int, seconds: float, skew: float
) -> tuple[str, str]:
    """A pair that lives as long as the session, and the certificate of it: the grant's serial, so that what revokes the grant
    on the gateways revokes this too. Its times are the gateway's, which are real, however fast the engine's clock runs."""
    private, public = ssh_ca.fresh_pair()
    wall = time.time()
    signed = ssh_ca.Authority.open(secrets).sign(
        public,
        serial=serial,
        key_id=who,
        principals=principals,
        valid_after=wall - skew,
        valid_before=wall + max(1.0, seconds),
    )
    return private, signed.text


async def live_of(records: Records) -> list[SshSession]:
    found: list[SshSession] = await records.find("ssh_session", state=SESSION_LIVE, limit=500)
    return found
