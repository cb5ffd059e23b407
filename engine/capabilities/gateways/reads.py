"""Gateways as they were last looked at, their sessions, and recordings in parts."""

from __future__ import annotations

from typing import Any

from engine.capabilities.gateways import casts, opening
from engine.capabilities.reads import Look, Read
from engine.capabilities.systems.ports import GatewayState
from engine.capabilities.vault import VaultError
from engine.contract.access import Grant
from engine.contract.gateways import SESSION_LIVE, CastPage, GatewayPage, GatewayRow, SshSession

Json = Any
PART = 256 * 1024
ENDED = 50


def page(look: Look, at: dict[str, str], query: dict[str, str]) -> GatewayPage:
    policy, access, now = look.policy("gateways"), look.policy("access"), look.now()
    live: list[SshSession] = look.find("ssh_session", state=SESSION_LIVE, limit=500)
    grants: list[Grant] = look.find("grant", state="active", where={"actor": look.person}, limit=200)
    rows: dict[tuple[str, str], GatewayRow] = {}
    seen: set[int] = set()
    for system, port in _ports(look):
        if id(port) in seen:
            continue
        seen.add(id(port))
        for state in port.all_seen():
            found = opening.judged(
                look.person, state, grants, live, policy, now=now, principals=opening.principals_of(state, access)
            )
            rows[system, state.name] = _row(state, system, live, found)
    ended = look.find(
        "ssh_session", state=("ended", "cut", "lost", "failed", "refused"), limit=ENDED, order="-updated_at"
    )
    return GatewayPage(
        gateways=tuple(rows.values()), ended=tuple(ended), stale_s=float(policy["looks"]["stale"]), as_of=now
    )


def _ports(look: Look) -> list[tuple[str, Any]]:
    """Every system that serves gateways, by name; the first one may have none."""
    named = [(one.id, look.ports.get(f"{opening.PORT}@{one.id}")) for one in look.find("system", limit=1_000)]
    return [(name, port) for name, port in (*named, ("", look.ports.get(opening.PORT))) if port is not None]


def _row(state: GatewayState, system: str, live: list[SshSession], found: opening.Opening) -> GatewayRow:
    return GatewayRow(
        name=state.name, system=system, host=state.host, port=state.port, account=state.user, site=state.site, region=state.region,
        reachable=state.reachable, host_key=state.host_key, fingerprint=state.fingerprint, engine_version=state.engine_version,
        clock_off_s=state.clock_off_s, looked_at=state.looked_at, error=state.error,
        sessions=tuple(one for one in live if one.gateway == state.name and one.system in ("", system)),
        grant=found.grant.id if found.grant else "", until=found.until, why_not=found.why_not,
    )  # fmt: skip


def cast(look: Look, at: dict[str, str], query: dict[str, str]) -> CastPage | None:
    """A part of a recording, by digest or by session. Of a session that is open: as far as it is."""
    name, text = at["recording"], query.get("from") or "0"
    offset = int(text) if text.isdigit() and len(text) < 16 else 0
    record: SshSession | None = None
    if not name.startswith("sha256:"):
        record = look.get("ssh_session", name)
        if record is None:
            return None
        if not record.recording:
            return _live(look, record, offset)
        name = record.recording
    else:
        record = next(iter(look.find("ssh_session", where={"recording": name}, limit=1)), None)
        kept = look.get("evidence", name)
        if kept is None or kept.media != casts.MEDIA:
            return None
    try:
        path, sound = look.vault.path(name), bool(offset) or look.vault.verify(name)
    except VaultError:
        return None
    part = casts.read(path, offset, PART)
    return CastPage(
        session=record.id if record else "", digest=name, header=part.header, events=part.events, next=part.next, more=part.more,
        sound=sound, size=path.stat().st_size, title=record.title if record else "",
    )  # fmt: skip


def _live(look: Look, record: SshSession, offset: int) -> CastPage | None:
    """Only for who opened it or watches it on the record."""
    terminals = look.ports.get("terminals")
    if terminals is None or look.person not in (record.person, *record.watchers):
        return None
    try:
        path = terminals.path(record.id)
        part = casts.read(path, offset, PART)
    except OSError:
        return None
    return CastPage(
        session=record.id, header=part.header, events=part.events, next=part.next, more=part.more,
        live=terminals.find(record.id) is not None, size=path.stat().st_size, title=record.title,
    )  # fmt: skip


READS = (
    Read(path="/v1/gateways", shape=GatewayPage, says="Gateways as last looked at, and the sessions on them", give=page),
    Read(path="/v1/casts/{recording}", shape=CastPage, says="A part of a recording (asciicast v2), by digest or session", give=cast, queries=("from",)),
)  # fmt: skip
