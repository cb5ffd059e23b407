"""Access requests, grants and control leases: their states, and what each move needs (domain sections 10 and 11).

A grant that has ended never comes back; more time is a new decision. A direct lease needs somebody on site, or a zone that
was found clear.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.capabilities.entities import Entity, Guard
from engine.contract.access import AccessRequest, ControlLease, Grant

Json = Any
FINAL_REQUEST = ("denied", "withdrawn", "closed")
LIVE = ("issued", "active")
AS_APPROVED = (
    *(
        "sort",
        "action",
        "requester",
        "on_behalf_of",
        "robots",
        "sessions",
        "snapshot",
        "files",
        "site",
        "classes",
        "transform",
    ),
    *("to_region", "duration_s", "public_key", "purpose", "ticket"),
)
"""What was decided on does not change afterwards: something else is something else to decide."""
AS_GRANTED = (
    "actor",
    "actions",
    "robots",
    "sessions",
    "files",
    "expires_at",
    "not_before",
    "token",
    "serial",
    "request",
)
"""What of a grant no longer changes once it runs: more is a new decision."""
ENDED = ("expired", "relinquished", "revoked", "lost")


def _decided(record: AccessRequest, facts: Mapping[str, Json]) -> str | None:
    """Approved by people at a gate, or by rules that ask for nobody."""
    people = tuple(str(one) for one in facts.get("people") or ())
    if record.evaluation.verdict == "allow_auto":
        return None
    if record.evaluation.verdict != "needs_approval":
        return f"the rules say {record.evaluation.verdict or 'nothing yet'}"
    if not facts.get("gate") or not people:
        return "an approval names the gate and who agreed there"
    own = {record.requester, record.on_behalf_of, *record.evaluation.excluded} & set(people)
    return f"{min(own)} can't approve this: who asks, and who answers to them, never does" if own else None


def _granted(record: AccessRequest, facts: Mapping[str, Json]) -> str | None:
    return None if record.grant else "a request is granted with its grant"


def _broken(record: AccessRequest, facts: Mapping[str, Json]) -> str | None:
    if not record.breakglass:
        return "only break-glass goes without evaluation and approval"
    return _granted(record, facts)


def _found(record: AccessRequest, facts: Mapping[str, Json]) -> str | None:
    if not record.finding or not record.reviewer:
        return "a review ends with a finding and who made it"
    if record.reviewer in (record.requester, record.on_behalf_of):
        return f"{record.reviewer} used it and can't review it"
    if record.finding != "ok" and not record.follow_up:
        return "excess and violation need a follow-up"
    return None


def _unreviewed(record: AccessRequest, facts: Mapping[str, Json]) -> str | None:
    return None if record.review == "none" else "this one has to be reviewed before it is closed"


def _recorded(record: AccessRequest, facts: Mapping[str, Json]) -> str | None:
    return None if record.record else "what was done is kept first"


def _ended(record: Grant, facts: Mapping[str, Json]) -> str | None:
    now = facts.get("now")
    if isinstance(now, int | float) and now >= record.expires_at:
        return None
    return "it has not expired yet: return it or revoke it"


def _whole(record: Grant, facts: Mapping[str, Json]) -> str | None:
    if not record.token and record.enforced_by != "teleop-lease":
        return "a grant that nothing enforces would never end"
    return None if record.expires_at > record.not_before else "it ends before it begins"


def _acknowledged(record: ControlLease, facts: Mapping[str, Json]) -> str | None:
    if record.mode != "direct" or record.site_ack_by or facts.get("zone_clear"):
        return None
    return "direct drive needs an acknowledgement on site, or a zone found clear"


ENTITIES = (
    Entity(
        kind="access_request",
        title="access request",
        table="access_requests",
        prefix="Q",
        shape=AccessRequest,
        start=("submitted",),
        moves={
            "submitted": ("classified", "granted", "withdrawn"),
            "classified": ("evaluated", "withdrawn"),
            "evaluated": ("needs_info", "classified", "approved", "denied", "withdrawn"),
            "needs_info": ("classified", "denied", "withdrawn"),
            "approved": ("held", "granted", "denied", "withdrawn", "classified"),
            "held": ("granted", "approved", "denied", "withdrawn", "classified"),
            "granted": ("recorded",),
            "recorded": ("in_review", "closed"),
            "in_review": ("closed",),
        },
        guards=(
            Guard("evaluated", "approved", _decided, needs="votes at a gate by others, or rules that ask for nobody"),
            Guard("approved", "granted", _granted, needs="the grant"),
            Guard("held", "granted", _granted, needs="the grant"),
            Guard("submitted", "granted", _broken, needs="break-glass, with its grant"),
            Guard("granted", "recorded", _recorded, needs="the record of what was done, kept under its digest"),
            Guard("recorded", "closed", _unreviewed, needs="nothing to review"),
            Guard("in_review", "closed", _found, needs="a finding by somebody else"),
        ),
        immutable_in={
            **dict.fromkeys(("approved", "held"), AS_APPROVED),
            "granted": (
                "requester",
                "action",
                "sort",
                "robots",
                "sessions",
                "files",
                "snapshot",
                "grant",
                "duration_s",
            ),
            "recorded": ("requester", "action", "sort", "grant", "record"),
            "closed": ("finding", "reviewer", "record"),
        },
    ),
    Entity(
        kind="grant",
        title="grant",
        table="grants",
        prefix="GR",
        shape=Grant,
        start=("issued",),
        moves={
            "issued": ("active", "expired", "relinquished", "revoked"),
            "active": ("expired", "relinquished", "revoked"),
        },
        guards=(
            Guard("issued", "active", _whole, needs="a credential with its end inside"),
            Guard("*", "expired", _ended, needs="its time is over"),
        ),
        immutable_in=dict.fromkeys(("active", "expired", "relinquished", "revoked"), AS_GRANTED),
    ),
    Entity(
        kind="lease",
        title="control lease",
        table="control_leases",
        prefix="L",
        shape=ControlLease,
        start=("issued",),
        moves={
            "issued": ("active", "expired", "relinquished", "revoked"),
            "active": ("expired", "relinquished", "revoked", "lost"),
        },
        guards=(Guard("issued", "active", _acknowledged, needs="for direct: somebody on site, or a clear zone"),),
        immutable_in={"active": ("robot", "holder", "mode", "grant", "expires_at")},
    ),
)
