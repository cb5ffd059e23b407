"""Access: a vendor in another region wants to drive a robot, a technician needs a shell, and one is taken back at once.

Who asks never decides; what is approved still waits until everything it needs is there; what is granted ends by itself, and
what was done is compared with what was granted.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import time
from collections.abc import Mapping
from typing import Any

from app import wire
from app.client import headers
from app.scenarios import Scenario
from app.scenarios.stage import Stage
from engine.contract.access import (
    AccessRequest,
    AuthorityView,
    ControlLease,
    CredentialView,
    Grant,
    PackageChunk,
    ReplayView,
    RequestDetail,
)
from engine.contract.client import Refused
from engine.contract.fleet import RobotPage

SITE = "HAM2"


def begin(stage: Stage) -> None:
    """A direct drive waits for its signatures, a shell for its owner, and the vendor has a robot stuck on a lip."""
    robot = _robot(stage, SITE)
    _teleop(stage, robot)
    stage.do(
        "tom",
        "access.open",
        args={
            "action": "shell",
            "site": SITE,
            "purpose": "update agent hangs",
            "ticket": "M-311",
            "public_key": _key(),
        },
    )


def play(stage: Stage) -> Mapping[str, Any]:
    facts: dict[str, Any] = {}
    facts |= _direct(stage)
    facts |= _shell(stage)
    facts |= _less(stage)
    facts |= _denied(stage)
    facts |= _break_glass(stage)
    facts |= _export(stage, facts["record"])
    facts |= _by_itself(stage)
    _reviewed(stage)
    return facts


def _robot(stage: Stage, site: str, *, skip: int = 0) -> str:
    """A robot of a site that answers and that nobody works on."""

    def look() -> str | None:
        rows = [one for one in stage.get("/v1/robots", RobotPage, limit=500).rows if one.site == site]
        fit = [one.id for one in rows if one.online and one.mode in ("AUTOMATIC", "SEMIAUTOMATIC")]
        return fit[skip] if len(fit) > skip else None

    return stage.until(look, f"a robot of {site} that answers")


def _teleop(stage: Stage, robot: str, action: str = "direct") -> str:
    asked = {"action": action, "robots": [robot], "purpose": "free from tote lip", "ticket": "M-311"}
    return stage.do("olga", "access.open", args=asked).target


def _direct(stage: Stage) -> dict[str, Any]:
    """Three signatures, held until the site is ready, driven, given back, looked at."""
    request = stage.records("access_request", AccessRequest, where={"requester": "olga"})[-1].id
    found = stage.state_is("access_request", request, "evaluated", AccessRequest)
    robot = found.robots[0]
    run = _open_gate(stage, request)
    own = _refused(stage, "olga", "teleop_authority", run)
    for person in ("dirk", "sia", "pia"):
        stage.answer("teleop_authority", person, run=run, rationale="one tote, ten minutes")
    held = stage.state_is("access_request", request, "held", AccessRequest)
    driver_ack = _code(stage, "olga", "access.ack", request)
    stage.do("sia", "access.ack", request, {"note": "zone taped off"})
    stage.do(
        "olga",
        "access.report",
        request,
        {"latency_p95_ms": 142, "recording": True, "deadman": True, "stop_tested": True},
    )
    granted = stage.state_is("access_request", request, "granted", AccessRequest)
    lease = stage.records("lease", ControlLease, where={"robot": robot})[0]
    second = _teleop(stage, robot, "assist")
    sign(stage, second, ("dirk", "pia"))
    stage.do("olga", "access.report", second, {"recording": True})
    taken = stage.state_is("access_request", second, "held", AccessRequest)
    stage.do("olga", "access.withdraw", second)
    grant = granted.grant
    stage.do("olga", "access.use", grant, {"what": "start", "robot": robot, "action": "direct", "recording": "rec-1"})
    stage.do("olga", "access.use", grant, {"what": "command", "count": 212, "robot": robot, "action": "direct"})
    stage.do("olga", "access.use", grant, {"what": "stop"})
    stage.do("olga", "access.relinquish", grant)
    after = _code(stage, "olga", "access.use", grant, {"what": "command", "count": 1})
    stage.answer("post_review", "carl", run=run, form={"finding": "ok"}, rationale="as granted")
    closed = stage.state_is("access_request", request, "closed", AccessRequest)
    replay = stage.get(f"/v1/access/requests/{request}/replay", ReplayView)
    return {
        "direct": request, "robot": robot, "verdict": found.evaluation.verdict, "seats": sorted(found.evaluation.seats),
        "own_vote": own, "held_for": held.reason, "driver_ack": driver_ack, "lease_mode": lease.mode, "second_held_for": taken.reason,
        "use_after_end": after, "finding": closed.finding, "record": closed.record, "ended": closed.ended,
        "replay_same": replay.same, "evaluated_ms": replay.took_ms,
    }  # fmt: skip


def _shell(stage: Stage) -> dict[str, Any]:
    """A certificate that ends by itself, taken back before."""
    request = stage.records("access_request", AccessRequest, where={"requester": "tom"})[-1].id
    sign(stage, request, ("dirk",))
    granted = stage.state_is("access_request", request, "granted", AccessRequest)
    grant = stage.state_is("grant", granted.grant, "active", Grant)
    certificate = stage.get(f"/v1/access/grants/{grant.id}/credential", CredentialView)
    began = time.monotonic()
    stage.do("carl", "access.revoke", grant.id, {"reason": "the ticket was closed"})
    ended = stage.state_is("grant", grant.id, "revoked", Grant)
    took = time.monotonic() - began
    authority = stage.get("/v1/access/authority", AuthorityView)
    stage.state_is("access_request", request, ("recorded", "in_review", "closed"), AccessRequest)
    return {
        "shell": request, "certificate": certificate.text.split()[0], "certificate_sound": certificate.sound, "serial": grant.serial,
        "revoked_in_s": round(took, 3), "revoked_by": ended.ended_by, "serial_revoked": grant.serial in authority.revoked_serials,
        "krl": base64.b64decode(authority.revoked)[:6].decode() if authority.revoked else "",
    }  # fmt: skip


def _less(stage: Stage) -> dict[str, Any]:
    """The less intrusive option is offered at the gate, taken, and decided on."""
    robot = _robot(stage, SITE, skip=1)
    request = _teleop(stage, robot)
    stage.state_is("access_request", request, "evaluated", AccessRequest)
    _open_gate(stage, request)
    stage.do("dirk", "access.offer", request, {"alternative": "observe"})
    stage.until(lambda: stage.record("access_request", request, AccessRequest).offered, "the offer")
    stage.do("olga", "access.answer", request, {"accept": True})

    def adopted() -> AccessRequest | None:
        found = stage.record("access_request", request, AccessRequest)
        return found if found.action == "observe" and found.state == "evaluated" else None

    now = stage.until(adopted, f"{request} to become the lesser one")
    run = _open_gate(stage, request)
    stage.answer("teleop_authority", "dirk", "reject", run=run, rationale="somebody on site can look")
    denied = stage.state_is("access_request", request, "denied", AccessRequest)
    return {
        "less": request,
        "less_action": now.action,
        "less_seats": sorted(now.evaluation.seats),
        "rejected_because": denied.reason,
    }


def _denied(stage: Stage) -> dict[str, Any]:
    """Nothing covers the transfer: denied by rule, with the rules named and what could be asked instead."""
    robot = _robot(stage, "OSA1")
    request = stage.do(
        "olga", "access.open", args={"action": "observe", "robots": [robot], "purpose": "look", "ticket": "M-9"}
    ).target
    denied = stage.state_is("access_request", request, "denied", AccessRequest)
    return {
        "denied": request,
        "denied_reasons": list(denied.evaluation.reasons),
        "denied_verdict": denied.evaluation.verdict,
    }


def _break_glass(stage: Stage) -> dict[str, Any]:
    """At once, without anybody; and looked at afterwards by somebody else, whatever happens."""
    robot = _robot(stage, SITE, skip=2)
    asked = {"action": "assist", "robots": [robot], "reason": "robot blocks the fire door"}
    preview = stage.operator.command("dana", "breakglass.take", "", asked, preview=True)
    request = stage.do("dana", "breakglass.take", args=asked).target
    granted = stage.state_is("access_request", request, "granted", AccessRequest)
    stage.do("dana", "access.use", granted.grant, {"what": "start", "robot": robot, "action": "assist"})
    stage.do("dana", "access.relinquish", granted.grant)
    run = stage.get(f"/v1/access/requests/{request}", RequestDetail).request.run
    stage.answer(
        "post_review", "carl", run=run, form={"finding": "ok", "follow_up": ""}, rationale="the door was blocked"
    )
    closed = stage.state_is("access_request", request, "closed", AccessRequest)
    return {
        "breakglass": request,
        "phrase": preview.phrase,
        "breakglass_review": closed.review,
        "breakglass_finding": closed.finding,
    }


def _export(stage: Stage, record: str) -> dict[str, Any]:
    """The customer takes the record of what was done on its site: once, signed, whole."""
    asked = {
        "sort": "export",
        "action": "export",
        "files": [record],
        "purpose": "what was done on our site",
        "ticket": "DA-17",
    }
    request = stage.do("kim", "access.open", args=asked).target
    sign(stage, request, ("dirk",))
    granted = stage.state_is("access_request", request, "granted", AccessRequest)
    grant = stage.state_is("grant", granted.grant, "active", Grant)
    other = _code(stage, "eve", "access.fetch", grant.id)
    stage.do("kim", "access.fetch", grant.id)
    again = _code(stage, "kim", "access.fetch", grant.id)
    part = wire.get(stage.home, f"/v1/access/grants/{grant.id}/package", PackageChunk, headers("kim"))
    data = base64.b64decode(part.data)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
        found = archive.extractfile(names[-1])
        taken = "sha256:" + hashlib.sha256(found.read() if found else b"").hexdigest()
    stage.do("kim", "access.relinquish", grant.id)
    return {
        "export": request, "export_files": names, "export_whole": not part.more and taken == record,
        "package_sound": part.digest == "sha256:" + hashlib.sha256(data).hexdigest(), "fetched_by_other": other, "fetched_again": again,
    }  # fmt: skip


def _by_itself(stage: Stage) -> dict[str, Any]:
    """Nobody ends it: it is over when its time is."""
    robot = _robot(stage, SITE, skip=3)
    asked = {"action": "observe", "robots": [robot], "purpose": "second pair of eyes", "duration_s": 1200}
    request = stage.do("cy", "access.open", args=asked).target
    sign(stage, request, ("dirk",))
    stage.do("cy", "access.report", request, {"recording": True})
    over = stage.state_is("access_request", request, ("recorded", "in_review", "closed"), AccessRequest)
    grant = stage.record("grant", over.grant, Grant)
    return {"observed": request, "observed_ended": grant.state, "observed_s": grant.ended_at - grant.not_before}


def _reviewed(stage: Stage) -> None:
    """Of what is neither driven nor broken into a share is looked at by lot: whatever came up here."""

    def over() -> bool:
        found = stage.records("access_request", AccessRequest, state="granted,recorded")
        return not found

    stage.until(over, "everything to be recorded")
    for request in stage.records("access_request", AccessRequest, state="in_review"):
        stage.answer(
            "post_review", "carl", run=request.run, form={"finding": "ok"}, rationale="in the sample; as granted"
        )
        stage.state_is("access_request", request.id, "closed", AccessRequest)


def sign(stage: Stage, request: str, people: tuple[str, ...]) -> None:
    run = _open_gate(stage, request)
    kind = (
        "teleop_authority" if stage.record("access_request", request, AccessRequest).sort == "teleop" else "data_export"
    )
    for person in people:
        stage.answer(kind, person, run=run, rationale="needed for the ticket")


def _open_gate(stage: Stage, request: str) -> str:
    """The run of a request, once its gate is open."""

    def look() -> str | None:
        found = stage.get(f"/v1/access/requests/{request}", RequestDetail)
        return found.request.run if found.gate else None

    return stage.until(look, f"the gate of {request}")


def _refused(stage: Stage, person: str, gate: str, run: str) -> str:
    try:
        stage.answer(gate, person, run=run)
    except Refused as refused:
        return refused.problem.code
    return ""


def _code(stage: Stage, person: str, verb: str, target: str, args: Mapping[str, Any] | None = None) -> str:
    try:
        stage.do(person, verb, target, args or {})
    except Refused as refused:
        return refused.problem.code
    return ""


def _key() -> str:
    """The public half of a key pair that a person made on their own machine; the private one is nowhere here."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return (
        Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " tom"
    )


SCENARIO = Scenario(
    name="access-review",
    title="a vendor abroad wants to drive a robot; three sign, the site is asked, the lease ends, somebody looks at it",
    begin=begin,
    play=play,
)
