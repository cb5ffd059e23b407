"""What is shown of access beside the plain records: everything open on one page, one request with all around it, the
credential of a grant, what gateways have to trust, and an evaluation done again.
"""

from __future__ import annotations

import base64
import time
from typing import Any

import msgspec

from engine.capabilities.access import envelope, rules, ssh_ca
from engine.capabilities.access.desk import BEFORE
from engine.capabilities.access.entities import LIVE
from engine.capabilities.access.facts import past
from engine.capabilities.ports import ActionError
from engine.capabilities.reads import Look, Read
from engine.capabilities.vault import VaultError
from engine.contract.access import (
    AccessPage,
    AccessRequest,
    AuthorityView,
    Classification,
    ControlLease,
    CredentialView,
    Evaluation,
    Grant,
    PackageChunk,
    ReplayView,
    RequestDetail,
)

Json = Any
CHUNK = 1 << 20
LATELY = ("granted", "recorded", "in_review", "denied", "withdrawn", "closed")
MOST = 200


def page(look: Look, at: dict[str, str], query: dict[str, str]) -> AccessPage:
    open_ = look.find("access_request", state=BEFORE, limit=MOST)
    rest = look.find("access_request", state=LATELY, limit=MOST // 2)
    gates = {
        str(run): float(expires)
        for run, expires in look.all("select run, min(expires_at) from gates where state = 'open' group by run")
    }
    requests = tuple(_row(one) for one in (*open_, *rest))
    return AccessPage(
        requests=requests, grants=tuple(look.find("grant", state=LIVE, limit=MOST)), leases=tuple(look.find("lease", state=LIVE, limit=MOST)),
        gates={one.id: gates[one.run] for one in requests if one.run in gates}, limits=dict(look.policy("access")["ttl"]), as_of=look.now(),
    )  # fmt: skip


def _row(request: AccessRequest) -> AccessRequest:
    """A request as a list needs it: without the trace, which is a hundred times as long and asked for by itself."""
    judged = Evaluation(verdict=request.evaluation.verdict, seats=request.evaluation.seats)
    return msgspec.structs.replace(
        request, evaluation=judged, classification=Classification(classes=request.classification.classes)
    )


def detail(look: Look, at: dict[str, str], query: dict[str, str]) -> RequestDetail | None:
    request: AccessRequest | None = look.get("access_request", at["request"])
    if request is None:
        return None
    now, policy = look.now(), look.policy("access")
    grant: Grant | None = look.get("grant", request.grant) if request.grant else None
    lease: ControlLease | None = look.get("lease", grant.lease) if grant and grant.lease else None
    since = now - float(policy["history"])
    grants = [
        one for one in look.find("grant", where={"actor": request.requester}, limit=50) if one.not_before >= since
    ]
    denied = [
        one
        for one in look.find("access_request", state="denied", where={"requester": request.requester}, limit=50)
        if one.updated_at >= since
    ]
    row = look.one(
        "select id, expires_at from gates where state = 'open' and run = ? order by opened_at desc",
        (request.run,),
    )
    return RequestDetail(
        request=request, grant=grant, lease=lease, gate=str(row[0]) if row else "",
        gate_expires_at=float(row[1]) if row else 0.0,
        history=tuple(past(one) for one in grants if grant is None or one.id != grant.id), denials=len(denied),
        verbs=_verbs(request, grant, look.person), now=now,
    )  # fmt: skip


def _verbs(request: AccessRequest, grant: Grant | None, person: str) -> dict[str, str]:
    """Why each verb can't be used now; empty when it can."""
    own = person in (request.requester, request.on_behalf_of)
    before = request.state in BEFORE
    state = request.state.replace("_", " ")
    runs = grant is not None and grant.state in LIVE
    not_running = "" if runs else f"{grant.id} is {grant.state}" if grant else "nothing is granted"
    return {
        "access.told": "" if before and own else f"it is {state}" if not before else f"it is {request.requester}'s request",
        "access.report": "" if before and request.sort == "teleop" else f"it is {state}" if not before else "only for teleoperation",
        "access.ack": "who drives can't acknowledge" if own else "" if before and request.sort == "teleop" else "nobody on site is needed",
        "access.offer": "it is your own request" if own else "" if request.state == "evaluated" and request.evaluation.alternatives
        else f"it is {state}" if request.state != "evaluated" else "there is nothing less intrusive",
        "access.answer": "" if own and request.offered else "nothing was offered" if own else f"it is {request.requester}'s to answer",
        "access.withdraw": "" if before and own else f"it is {state}" if not before else f"it is {request.requester}'s request",
        "access.revoke": not_running,
        "access.relinquish": not_running or ("" if own else f"it is {request.requester}'s to give back"),
        "access.extend": not_running or ("" if own else f"it is {request.requester}'s"),
    }  # fmt: skip


def credential(look: Look, at: dict[str, str], query: dict[str, str]) -> CredentialView | None:
    """A certificate or a signed statement. Neither is a secret: a certificate is worth nothing without its private key."""
    grant: Grant | None = look.get("grant", at["grant"])
    if grant is None or not grant.token:
        return None
    try:
        text, sound = (
            look.vault.read(grant.token, limit=1 << 20).decode("utf-8", "replace"),
            look.vault.verify(grant.token),
        )
    except VaultError as error:
        return CredentialView(
            grant=grant.id, enforced_by=grant.enforced_by, digest=grant.token, text="", sound=False, says=str(error)
        )
    return CredentialView(
        grant=grant.id, enforced_by=grant.enforced_by, digest=grant.token, text=text, sound=sound, expires_at=grant.expires_at,
        says=f"serial {grant.serial}, {', '.join(grant.principals)}" if grant.serial else "",
    )  # fmt: skip


def authority(look: Look, at: dict[str, str], query: dict[str, str]) -> AuthorityView:
    """The public half of the CA and the certificates taken back. Made with the first certificate; until then empty."""
    revoked = [
        one
        for one in look.find("grant", state=("revoked", "relinquished"), where={"sort": "support"}, limit=10_000)
        if one.serial
    ]
    still = [one.serial for one in revoked if one.expires_at > look.now()]
    secrets = look.ports.get("secrets")
    if secrets is None:
        return AuthorityView(revoked_serials=tuple(sorted(still)))
    try:
        ca = ssh_ca.Authority.open(secrets, make=False)
    except ActionError as error:
        return AuthorityView(
            advice=error.message if error.error != "SecretMissing" else "no certificate was signed yet"
        )
    krl = ca.revocations(still, version=len(revoked), at=look.now(), comment="quarterdeck")
    try:
        export_key = envelope.Signer.open(secrets, make=False).public
    except ActionError:
        export_key = ""
    return AuthorityView(
        public_key=ca.public, fingerprint=ca.fingerprint, revoked=base64.b64encode(krl).decode(), revoked_serials=tuple(sorted(still)),
        export_key=export_key,
        advice="sshd_config of a gateway: TrustedUserCAKeys, RevokedKeys, and AuthorizedPrincipalsFile with one line qd-<site>",
    )  # fmt: skip


def chunk(look: Look, at: dict[str, str], query: dict[str, str]) -> PackageChunk | None:
    """A part of what was exported, for the person who fetched it, while the grant runs."""
    grant: Grant | None = look.get("grant", at["grant"])
    if grant is None or not grant.package or grant.actor != look.person or not grant.used.bytes:
        return None
    if grant.state != "active" or look.now() >= grant.expires_at:
        return None
    try:
        path = look.vault.path(grant.package)
    except VaultError:
        return None
    offset = int(query.get("offset") or 0) if (query.get("offset") or "0").isdigit() else 0
    with path.open("rb") as stream:
        stream.seek(offset)
        data = stream.read(CHUNK)
    size = path.stat().st_size
    return PackageChunk(
        offset=offset,
        size=size,
        data=base64.b64encode(data).decode(),
        more=offset + len(data) < size,
        digest=grant.package,
    )


def replay(look: Look, at: dict[str, str], query: dict[str, str]) -> ReplayView | None:
    """The evaluation once more on the facts that were kept, with today's rules."""
    request: AccessRequest | None = look.get("access_request", at["request"])
    if request is None or not request.facts:
        return None
    try:
        facts = msgspec.json.decode(look.vault.read(request.facts))
    except VaultError as error:
        return ReplayView(request=request.id, same=False, differences=(str(error),))
    began = time.perf_counter()
    now = rules.evaluate(look.policy("access"), facts, at=look.now())
    took = (time.perf_counter() - began) * 1000
    then = request.evaluation
    before = {one.rule: one.result for one in then.trace}
    after = {one.rule: one.result for one in now.trace}
    differences = [
        f"{rule}: {before.get(rule, 'did not apply')} then, {after.get(rule, 'does not apply')} now"
        for rule in dict.fromkeys([*before, *after])
        if before.get(rule) != after.get(rule)
    ]
    return ReplayView(
        request=request.id, same=then.verdict == now.verdict and not differences, then=then.verdict, now=now.verdict,
        differences=tuple(differences), pack_then=then.pack, pack_now=now.pack, took_ms=round(took, 3),
    )  # fmt: skip


READS = (
    Read(path="/v1/access", shape=AccessPage, says="Requests, grants and leases that are open, and what ended lately", give=page),
    Read(path="/v1/access/requests/{request}", shape=RequestDetail, says="One request with its gate, grant and history", give=detail),
    Read(path="/v1/access/requests/{request}/replay", shape=ReplayView, says="Its evaluation once more, on the facts that were kept", give=replay),
    Read(path="/v1/access/grants/{grant}/credential", shape=CredentialView, says="The certificate or signed statement of a grant", give=credential),
    Read(path="/v1/access/grants/{grant}/package", shape=PackageChunk, says="A part of an export, for who fetched it", give=chunk, queries=("offset",)),
    Read(path="/v1/access/authority", shape=AuthorityView, says="What gateways trust, and which certificates were taken back", give=authority),
)  # fmt: skip
