"""How a request comes to be, and what is left of it: checked fields in, the record of acting identity and outcome out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.capabilities.access import people, ssh_ca, wording
from engine.capabilities.access.entities import AS_APPROVED
from engine.capabilities.access.facts import MOST, Looks
from engine.capabilities.access.rules import digest
from engine.capabilities.ports import ActionError
from engine.capabilities.records import Records
from engine.contract.access import ACTIONS, CLASSES, SORTS, AccessRequest, Grant

Json = Any
LISTS = ("robots", "sessions", "files", "classes")
TEXTS = (
    *(
        "sort",
        "action",
        "purpose",
        "ticket",
        "site",
        "snapshot",
        "on_behalf_of",
        "actor_location",
        "transform",
        "to_region",
    ),
    *("public_key", "extends", "requester"),
)
LONGEST_TEXT = 2_000


def bad(field: str, message: str) -> ActionError:
    return ActionError("BadRequest", f"{field}: {message}", kind="validation", retryable=False, detail={"field": field})


def wanted(ask: Mapping[str, Json], *, person: str) -> dict[str, Json]:
    """The fields of a request from what a form, a command or an event said. Raises ActionError `BadRequest` (`detail.field`)."""
    found: dict[str, Json] = {}
    for name, value in ask.items():
        if name in LISTS:
            items = [value] if isinstance(value, str) and value else list(value or ())
            if len(items) > MOST or not all(isinstance(one, str) and 0 < len(one) <= 200 for one in items):
                raise bad(name, f"a list of names, at most {MOST}")
            found[name] = list(dict.fromkeys(items))
        elif name in TEXTS:
            if not isinstance(value, str) or len(value) > LONGEST_TEXT:
                raise bad(name, f"a text of at most {LONGEST_TEXT} characters")
            found[name] = value.strip()
        elif name == "duration_s":
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 400 * 86_400:
                raise bad(name, "seconds")
            found[name] = float(value)
    sort = found.get("sort") or _sort_of(str(found.get("action") or ""))
    if sort not in SORTS:
        raise bad("sort", f"one of {', '.join(SORTS)}")
    action = found.get("action") or ACTIONS[sort][0]
    if action not in ACTIONS[sort]:
        raise bad("action", f"{sort} is one of {', '.join(ACTIONS[sort])}")
    unknown = [one for one in found.get("classes") or () if one not in CLASSES]
    if unknown:
        raise bad("classes", f"{unknown[0][:40]!r} is none of {', '.join(CLASSES)}")
    if sort in ("export", "cross_border") and not any(
        found.get(name) for name in ("sessions", "snapshot", "files", "robots")
    ):
        raise bad("sessions", "name the sessions, a snapshot, files or robots it is about")
    if sort == "teleop" and not found.get("robots"):
        raise bad("robots", "name the robot")
    if sort == "support" and not (found.get("robots") or found.get("site")):
        raise bad("site", "name the site or robot whose gateway it is")
    if found.get("public_key"):
        ssh_ca.public_key(found["public_key"])
        found["key_fingerprint"] = ssh_ca.fingerprint(found["public_key"])
    return found | {"sort": sort, "action": action, "requester": person}


def _sort_of(action: str) -> str:
    return next((sort for sort, actions in ACTIONS.items() if action in actions), "")


async def file(look: Looks, fields: Mapping[str, Json], *, key: str, breakglass: bool = False) -> AccessRequest:
    """A new request. The same key again is the same request."""
    now = look.now()
    actor = people.actor(look.policy("access"), str(fields["requester"]), now=now, seen_at=now)
    shape = msgspec.convert(dict(fields), AccessRequest)
    made: AccessRequest = await look.records.create(
        "access_request",
        {
            **fields, "title": wording.title(shape), "employer": actor["employer"],
            "actor_location": fields.get("actor_location") or actor["location"], "observed_at": now, "breakglass": breakglass,
        },
        key=key, reason=str(fields.get("purpose") or "")[:300],
    )  # fmt: skip
    return made


async def foreign(records: Records, said: Mapping[str, Json], *, now: float) -> AccessRequest:
    """A request for the review of access that was taken elsewhere (a break-glass of another workflow)."""
    person = str(said.get("person") or "unknown")[:200]
    grant = str(said.get("grant") or "")[:200]
    robots = [str(one)[:200] for one in said.get("robots") or ()][:MOST] if isinstance(said.get("robots"), list) else []
    why = str(said.get("reason") or said.get("why") or "")[:500]
    made: AccessRequest = await records.create(
        "access_request",
        {
            "title": f"{person}: break-glass {grant}", "sort": "support", "action": "shell", "requester": person, "grant": grant,
            "robots": robots, "purpose": why, "breakglass": True, "observed_at": now, "source_system": "event",
            "sentence": f"{person} broke glass ({grant})" + (f' because "{why}"' if why else ""),
        },
        key=f"foreign/{grant}",
    )  # fmt: skip
    return made


def record(request: AccessRequest, grant: Grant | None, *, person: Mapping[str, Json], at: float) -> dict[str, Json]:
    """What is kept of a request that was granted: acting identity, reasons, scope as granted and as used, outcome."""
    used = grant.used if grant else None
    return {
        "request": request.id, "sentence": request.sentence, "acting": request.requester, "on_behalf_of": request.on_behalf_of,
        "employer": request.employer, "location": request.actor_location, "location_source": person.get("location_source", ""),
        "authenticator": person.get("mfa", ""), "purpose": request.purpose, "ticket": request.ticket, "breakglass": request.breakglass,
        "classes": list(request.classification.classes), "rule_pack": request.evaluation.pack, "facts": request.facts,
        "rules": [[one.rule, one.rev, one.result] for one in request.evaluation.trace],
        "approvals": [[one.person, one.at] for one in request.approvals],
        "granted": {
            "grant": grant.id, "actions": list(grant.actions), "robots": list(grant.robots), "sessions": list(grant.sessions),
            "site": grant.site, "bytes": grant.scope_bytes, "not_before": grant.not_before, "expires_at": grant.expires_at,
            "enforced_by": grant.enforced_by, "credential": grant.token, "package": grant.package,
        } if grant else {"grant": request.grant},
        "used": {
            "started_at": used.started_at, "stopped_at": used.stopped_at, "sessions": used.sessions, "commands": used.commands,
            "bytes": used.bytes, "robots": list(used.robots), "actions": list(used.actions), "recordings": list(used.recordings),
            "refused": used.refused, "beyond": list(used.excess),
        } if used else {},
        "outcome": grant.state if grant else "elsewhere", "ended_by": grant.ended_by if grant else "",
        "ended_at": grant.ended_at if grant else 0.0, "reason": grant.reason if grant else "", "recorded_at": at,
    }  # fmt: skip


def scope(request: AccessRequest) -> str:
    """The digest of everything that is decided on."""
    return digest([msgspec.to_builtins(getattr(request, name)) for name in AS_APPROVED])


def told(request: AccessRequest) -> dict[str, Json]:
    """What events say of a request."""
    return {
        "request": request.id, "person": request.requester, "sort": request.sort, "action": request.action,
        "robots": list(request.robots), "site": request.site, "sentence": request.sentence, "breakglass": request.breakglass,
    }  # fmt: skip


def review_of(
    policy: Mapping[str, Json], request: AccessRequest, grant: Grant | None, foreign: bool
) -> tuple[str, float]:
    """Who is looked at afterwards: break-glass and direct always, what went beyond always, of the rest a share by lot."""
    due = policy["review"]
    if request.breakglass or foreign:
        return "breakglass", float(due["breakglass"])
    if request.action == "direct" or (grant is not None and grant.used.excess):
        return "always", float(due["sample"])
    lot = int.from_bytes(hashlib.sha256(f"{request.id}/{request.facts}".encode()).digest()[:8], "big") / 2**64
    return ("sample", float(due["sample"])) if lot < float(policy["sample_share"]) else ("none", 0.0)
