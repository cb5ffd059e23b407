"""From an approval to something that works, and ends by itself: certificate, lease, signed statement. And back.

Every kind has its end inside: a certificate its `valid_before`, a lease and a statement their `expires_at`, signed. The engine
may be down when that time comes; the access is over all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from engine.capabilities.access import envelope, leases, package, people, ssh_ca, wording
from engine.capabilities.access.entities import LIVE
from engine.capabilities.access.facts import MOST, Found, Looks
from engine.capabilities.ports import ActionError
from engine.capabilities.records import Change, Emit
from engine.capabilities.vault import Vault
from engine.contract.access import AccessRequest, ControlLease, Grant, Used

Json = Any
ENFORCED = {
    "shell": "ssh-certificate", "observe": "teleop-lease", "assist": "teleop-lease", "direct": "teleop-lease",
    "copy": "export-manifest", "export": "export-manifest", "view": "view-ticket",
}  # fmt: skip
CERTIFICATE_MEDIA = "text/plain; ssh-certificate"
LEASE = "application/vnd.quarterdeck.control-lease+json"
USES = ("start", "command", "bytes", "link", "stop")


class Works(Looks, Protocol):
    """What granting works with: an action's context."""

    vault: Vault

    def heartbeat(self, progress: Json = None) -> None: ...


def ttl(policy: Mapping[str, Json], request: AccessRequest, *, now: float) -> float:
    """How long a grant may last (s): the shortest of what was asked, the action's limit, the cap, and the person's own end."""
    limits = policy["ttl"]
    longest = float(limits["breakglass"] if request.breakglass else limits[request.action])
    entry = people.entry_of(policy, request.requester)
    until = people.when(entry.get("until"))
    ends = [longest, float(policy["cap"])]
    if request.duration_s > 0:
        ends.append(float(request.duration_s))
    if until is not None:
        ends.append(max(0.0, until - now))
    return min(ends)


async def issue(context: Works, request: AccessRequest, seen: Found) -> Grant:
    """The grant with its credential, running. Asked again after a crash it ends at the same grant.

    Raises LeaseTaken, SourceChanged, ActionError `Over` and what the keyring says.
    """
    policy, now = context.policy("access"), context.now()
    known: Grant | None = None
    if request.grant:
        known = await context.records.get("grant", request.grant)
    if known is not None and known.state != "issued":
        return known
    if known is None:
        lasts = ttl(policy, request, now=now)
        if lasts <= 0:
            raise ActionError("Over", f"{request.requester} has left: nothing is granted any more", retryable=False)
        known = await context.records.create(
            "grant",
            {
                "title": wording.title(request), "request": request.id, "actor": request.requester,
                "on_behalf_of": request.on_behalf_of, "sort": request.sort, "actions": allowed(request.action),
                "robots": request.robots, "sessions": request.sessions, "files": request.files, "snapshot": request.snapshot,
                "site": request.site or _site(seen), "scope_bytes": request.classification.volume.bytes, "not_before": now,
                "expires_at": now + lasts, "enforced_by": ENFORCED[request.action], "breakglass": request.breakglass,
                "region": request.region, "rules": request.evaluation.pack,
            },
            key=f"grant/{request.id}",
        )  # fmt: skip
    if known.expires_at <= now:
        raise ActionError("Over", "its time was over before it began", retryable=False)
    set_ = await _credential(context, request, known, seen, policy)
    grant: Grant = await context.records.change("grant", known.id, set=set_)
    active: Grant = await context.records.change(
        "grant",
        grant.id,
        to="active",
        reason=f"{grant.enforced_by} until {wording.clock(grant.expires_at)}",
        emit=_started(grant, request),
    )
    return active


def allowed(action: str) -> tuple[str, ...]:
    """An action and those below it: who may drive may look on."""
    for ladder in (("observe", "assist", "direct"), ("view", "copy", "export")):
        if action in ladder:
            return ladder[: ladder.index(action) + 1]
    return (action,)


async def _credential(
    context: Works, request: AccessRequest, grant: Grant, seen: Found, policy: Mapping[str, Json]
) -> dict[str, Json]:
    if grant.enforced_by == "ssh-certificate":
        return await certificate(context, request, grant, seen, policy)
    if grant.enforced_by == "teleop-lease":
        return await _lease(context, request, grant, seen)
    if grant.enforced_by == "export-manifest":
        return await _export(context, request, grant)
    return await _statement(context, envelope.TICKET, statement(request, grant, ()), f"{grant.id}.ticket.json")


async def certificate(
    context: Works, request: AccessRequest, grant: Grant, seen: Found, policy: Mapping[str, Json]
) -> dict[str, Json]:
    """Signs the person's own key for the gateways concerned. The private half never came here."""
    ssh = policy["ssh"]
    sites = dict.fromkeys(one for one in (grant.site, *(item.site for item in seen.items)) if one)
    principals = [str(ssh["principal"]).replace("{site}", site) for site in sites]
    serial = int(grant.id.rpartition("-")[2])
    who = f"{grant.id} {request.requester}" + (f" for {request.on_behalf_of}" if request.on_behalf_of else "")
    network = str(people.entry_of(policy, request.requester).get("network") or "")

    def sign() -> ssh_ca.Certificate:
        return ssh_ca.Authority.open(context.port("secrets")).sign(
            request.public_key, serial=serial, key_id=who, principals=principals, extensions=tuple(ssh["extensions"]),
            valid_after=grant.not_before - float(policy["clock_skew"]), valid_before=grant.expires_at, source_address=network,
        )  # fmt: skip

    signed = await asyncio.to_thread(sign)
    kept = await asyncio.to_thread(
        lambda: context.vault.put_bytes(
            signed.text.encode(), media=CERTIFICATE_MEDIA, source="access", name=f"{grant.id}-cert.pub"
        )
    )
    return {"token": kept.digest, "serial": serial, "principals": principals}


async def _lease(context: Works, request: AccessRequest, grant: Grant, seen: Found) -> dict[str, Json]:
    ready = request.readiness
    taken: ControlLease | None = None
    for robot in grant.robots if request.action == "observe" else grant.robots[:1]:
        one = await leases.acquire(
            context.records, robot=robot, holder=grant.actor, mode=request.action, grant=grant.id if taken is None else f"{grant.id}/{robot}",
            expires_at=grant.expires_at, now=context.now(), site_ack_by=ready.site_ack_by, zone_clear=ready.zone_clear is True,
            latency_p95_ms=ready.latency_p95_ms or 0.0, deadman=ready.deadman is True,
        )  # fmt: skip
        taken = taken or one
    if taken is None:
        raise ActionError("NoRobot", "a lease is for a robot, and none is named", retryable=False)
    body = statement(request, grant, ()) | {"lease": taken.id, "mode": taken.mode, "holder": taken.holder}
    return {"lease": taken.id} | await _statement(context, LEASE, body, f"{taken.id}.lease.json")


async def _export(context: Works, request: AccessRequest, grant: Grant) -> dict[str, Json]:
    """Builds the package from what was approved. It is fetched once, by the person it was made for."""
    if grant.package:
        return {"token": grant.token, "package": grant.package}
    sources: list[package.Source] = []
    names = list(request.sessions)
    if request.snapshot:
        snapshot = await context.records.get("snapshot", request.snapshot)
        names += [one for one in getattr(snapshot, "sessions", ()) if one not in request.sessions]
    for name in names[:MOST]:
        session = await context.records.get("session", name)
        if session is None:
            raise package.SourceChanged(f"{name} is gone")
        if session.state == "withdrawn":
            raise package.SourceChanged(f"{name} was withdrawn: consent or law took it back")
        sources.append(package.of_session(session, request.transform))
    for digest in request.files:
        kept = await context.records.get("evidence", digest)
        if kept is None:
            raise package.SourceChanged(f"{digest} is gone")
        sources.append(package.Source(name=f"files/{digest[7:23]}", digest=digest, size=kept.size_b))
    found = await _statement(context, envelope.EXPORT, statement(request, grant, sources), f"{grant.id}.manifest.json")
    signed = context.vault.read(str(found["token"]))
    count = len(sources)

    def build() -> str:
        return package.build(sources, signed, context.vault, name=grant.id).digest

    context.heartbeat({"done": 0, "of": count, "unit": "files", "what": "package"})
    built = await asyncio.to_thread(build)
    context.heartbeat({"done": count, "of": count, "unit": "files", "what": "package"})
    return found | {"package": built}


def statement(request: AccessRequest, grant: Grant, sources: Sequence[package.Source]) -> dict[str, Json]:
    """What is signed: who may do what, with what, until when, and who agreed under which rules."""
    return {
        "grant": grant.id, "request": request.id, "actor": grant.actor, "on_behalf_of": grant.on_behalf_of,
        "employer": request.employer, "location": request.actor_location, "purpose": request.purpose, "ticket": request.ticket,
        "actions": list(grant.actions), "robots": list(grant.robots), "sessions": list(grant.sessions),
        "snapshot": grant.snapshot, "site": grant.site, "classes": list(request.classification.classes),
        "transform": request.transform, "from_region": request.from_region, "to_region": request.to_region,
        "not_before": grant.not_before, "expires_at": grant.expires_at, "one_shot": grant.enforced_by == "export-manifest",
        "rules": grant.rules, "approvals": [one.person for one in request.approvals], "breakglass": grant.breakglass,
        "files": package.listed(sources), "bytes": sum(one.size for one in sources),
    }  # fmt: skip


async def _statement(context: Works, type_: str, body: dict[str, Json], name: str) -> dict[str, Json]:
    def sign() -> str:
        signed = envelope.Signer.open(context.port("secrets")).sign(type_, body)
        return context.vault.put_bytes(signed, media=envelope.MEDIA, source="access", name=name).digest

    return {"token": await asyncio.to_thread(sign)}


def _started(grant: Grant, request: AccessRequest) -> tuple[Emit, ...]:
    data = {
        "grant": grant.id, "request": request.id, "person": grant.actor, "actions": list(grant.actions), "robots": list(grant.robots),
        "site": grant.site, "until": grant.expires_at, "enforced_by": grant.enforced_by, "breakglass": grant.breakglass,
    }  # fmt: skip
    told = [Emit("qd.grant.started", data)]
    if grant.breakglass:
        told.append(Emit("qd.access.breakglass", data))
    return tuple(told)


def _site(seen: Found) -> str:
    return next((item.site for item in seen.items if item.site), "")


async def end(look: Looks, grant: Grant, *, to: str, by: str, reason: str) -> Grant:
    """Ends a grant that still runs, and its leases with it, in one commit. `to`: expired, relinquished, revoked (also `lost`: a
    lost link). What has ended already stays as it ended, whoever comes second.
    """
    async with leases.taken():
        current: Grant | None = await look.records.get("grant", grant.id)
        if current is None or current.state not in LIVE:
            return current or grant
        now = look.now()
        over = now >= current.expires_at and to not in ("revoked", "lost")
        state = "expired" if over else "revoked" if to == "lost" else to
        data = {
            "grant": grant.id,
            "request": grant.request,
            "person": grant.actor,
            "how": state,
            "by": by,
            "reason": reason,
        }
        told = [Emit("qd.grant.ended", data)]
        if state in ("expired", "revoked"):
            told.append(Emit(f"qd.access.{state}", data))
        if current.package and current.used.bytes:
            told.append(Emit("qd.export.completed", data | {"package": current.package, "bytes": current.used.bytes}))
        held = await leases.of_grant(look.records, grant.id)
        set_ = {"ended_by": by, "ended_at": current.expires_at if state == "expired" else now, "reason": reason}
        changes = [
            Change(kind="grant", id=grant.id, to=state, set=set_, reason=reason, emit=tuple(told), facts={"now": now}),
            *(leases.ending(one, to="expired" if over else to, reason=reason) for one in held),
        ]
        ended: Grant = (await look.records.change_many(changes))[0]
        for one in held:
            await leases.off_robot(look.records, one)
    return ended


def excess(grant: Grant, *, robot: str, action: str, count: int, used: Used) -> str:
    """Why a use is outside of what was granted; empty when it is inside."""
    if robot and grant.robots and robot not in grant.robots:
        return f"robot {robot} is not one of {', '.join(grant.robots[:3])}"
    if action and action not in grant.actions:
        return f"{action} was not granted ({', '.join(grant.actions)})"
    if grant.scope_bytes and used.bytes + count > grant.scope_bytes:
        return f"{wording.size(used.bytes + count)} taken, {wording.size(grant.scope_bytes)} granted"
    return ""
