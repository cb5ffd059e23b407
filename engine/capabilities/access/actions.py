"""The actions of the access review. Each looks at the records first and can be asked again: an engine that died in the
middle ends at the same grant. A step that can't tell closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.capabilities.access import facts, filing, granting, people, rules, wording
from engine.capabilities.access.entities import LIVE
from engine.capabilities.access.identities import drilled, identities
from engine.capabilities.access.signatures import signed
from engine.capabilities.access.standing import certified, standing
from engine.capabilities.access.watching import interrupted
from engine.capabilities.ports import Action, ActionError
from engine.capabilities.records import Emit
from engine.contract.access import AccessRequest, ControlLease, Evaluation, Grant

Json = Any
MANY = 200
"""Recordings of a grant that are looked at with every look; of more, `qd.consent.revoked` tells."""
Input = dict[str, Json]
MEDIA = "application/json"
_canonical = msgspec.json.Encoder(order="sorted")


async def open_(context: Any, given: Input) -> Json:
    """The request of this run: the one it was started for, or a new one from what an event or a form asked."""
    named = str(given.get("request") or "")
    foreign = given.get("foreign") or {}
    ask = given.get("ask") or {}
    if named:
        request = await _request(context, named)
    elif foreign:
        request = await filing.foreign(context.records, foreign, now=context.now())
    elif ask:
        person = str(ask.get("requester") or context.started_by)
        wanted = filing.wanted(ask, person=person)
        if person != context.started_by:  # asked for in somebody's name: they confirm it, and bring their own key
            wanted = {**wanted, "source_system": "event", "public_key": "", "key_fingerprint": ""}
        request = await filing.file(context, wanted, key="open")
    else:
        raise ActionError(
            "NothingAsked", "start it with a request: qd access request", kind="validation", retryable=False
        )
    if request.run != context.run:
        request = await context.records.change("access_request", request.id, set={"run": context.run})
    start = context.policy("access")["start"]
    return {
        "start_s": float(start["wait"]), "every_s": float(start["every"]),
        "request": request.id, "requester": request.requester, "sort": request.sort, "breakglass": request.breakglass,
        "foreign": bool(foreign), "grant": request.grant,
    }  # fmt: skip


async def classify(context: Any, given: Input) -> Json:
    request = await _request(context, given["request"])
    seen = await facts.found(context, request)
    policy = context.policy("access")
    classes = await asyncio.to_thread(facts.classified, request, seen, policy)
    actor = people.actor(policy, request.requester, now=context.now(), seen_at=request.observed_at)
    from_regions = classes.subject_regions
    set_ = {
        "classification": classes,
        "volume": classes.volume,
        "employer": actor["employer"] or request.employer,
        "actor_location": request.actor_location or actor["location"],
        "from_region": from_regions[0] if len(from_regions) == 1 else ", ".join(from_regions) or request.from_region,
        "to_region": request.to_region or actor["region"],
        "site": request.site or next(iter(classes.sites), ""),
        "region": next(iter(from_regions), ""),
        "grant": request.grant,
    }
    request = msgspec.structs.replace(request, **set_)
    set_["sentence"] = wording.sentence(request, robots=seen.robots)
    request = await context.records.change(
        "access_request", request.id, to="classified", set=set_, reason=wording.shown(classes)[:300],
        emit=(Emit("qd.access.requested", filing.told(request)),) if request.state == "submitted" else (),
    )  # fmt: skip
    return {"request": request.id, "classes": list(classes.classes), "bytes": classes.volume.bytes}


async def evaluate(context: Any, given: Input) -> Json:
    """The rules' answer on the facts as they are now; facts and answer are kept."""
    request = await _request(context, given["request"])
    found, seen, gathered = await _evaluated(context, request)
    kept = await _keep(context, gathered, f"{request.id}.facts.json")
    robots = seen.robots
    until = context.now() + found.ttl_s
    request = await context.records.change(
        "access_request", request.id, to="evaluated",
        set={"evaluation": found, "facts": kept, "sentence": wording.sentence(request, robots=robots, until=until)},
        reason=f"{found.verdict}: {'; '.join(found.reasons[:3])}"[:500],
    )  # fmt: skip
    policy = context.policy("access")
    history = await facts.past_grants(context.records, request.requester, context.now() - float(policy["history"]))
    told = {
        "verdict": found.verdict, "reasons": "; ".join(found.reasons[:5]), "sentence": request.sentence,
        "teleop": request.sort == "teleop", "excluded": list(found.excluded), "decide_s": found.decide_s,
        "info_s": float(policy["info"]),
        "owner": "data-owner" in found.seats, "privacy": "privacy-officer" in found.seats, "customer": "customer" in found.seats,
        "safety": "site-safety" in found.seats, "compliance": "compliance" in found.seats,
        "evidence": {
            "request": request.id, "shown": wording.shown(request.classification),
            "classification": request.classification, "rules": list(found.trace), "holds": list(found.holds),
            "less intrusive": [one.says for one in found.alternatives], "last 30 d": list(history),
            "denials_30d": int(gathered["history"]["denials_30d"]), "facts": kept, "rule pack": found.pack,
            "site now": {key: gathered["teleop"][key] for key in ("robot", "mode", "online", "recording")} if request.sort == "teleop" else gathered["site"],
        },
    }  # fmt: skip
    return msgspec.to_builtins(told)


async def ask(context: Any, given: Input) -> Json:
    """The request waits for what the rules could not tell."""
    request = await _request(context, given["request"])
    reasons = "; ".join(request.evaluation.reasons)
    await context.records.change("access_request", request.id, to="needs_info", set={"reason": reasons}, reason=reasons)
    return {"reasons": reasons}


async def adopt(context: Any, given: Input) -> Json:
    """The less intrusive option the requester took: the request becomes that, and is looked at anew."""
    request = await _request(context, given["request"])
    choice = next((one for one in request.evaluation.alternatives if one.name == request.offered), None)
    if choice is None or not choice.changes:
        return {"adopted": ""}
    await context.records.change(
        "access_request", request.id, to="classified" if request.state in ("evaluated", "needs_info") else "",
        set={**choice.changes, "offered": "", "offered_by": ""}, reason=f"{request.requester} took the less intrusive option: {choice.says}",
    )  # fmt: skip
    return {"adopted": choice.name}


async def approve(context: Any, given: Input) -> Json:
    """Binds the decision to the request: who agreed, at which gate, or that the rules asked for nobody."""
    request = await _request(context, given["request"])
    who = tuple(dict.fromkeys(str(one) for one in given.get("people") or ()))
    if request.state != "evaluated":
        return {"request": request.id, "people": [one.person for one in request.approvals]}
    if filing.scope(request) != request.evaluation.scope:
        raise ActionError(
            "Changed", "it was changed while it was decided on: it is looked at anew", kind="conflict", retryable=False
        )
    gate = str(given.get("gate") or "")
    approvals = [{"person": one, "gate": gate, "at": context.now()} for one in who]
    reason = f"approved by {', '.join(who)}" if who else "allowed by the rules, which ask for nobody here"
    await context.records.change(
        "access_request", request.id, to="approved", set={"approvals": approvals, "reason": str(given.get("why") or "")}, reason=reason,
        emit=(Emit("qd.access.approved", filing.told(request) | {"people": list(who)}),), facts={"gate": gate, "people": list(who)},
    )  # fmt: skip
    return {"request": request.id, "people": list(who)}


async def ready(context: Any, given: Input) -> Json:
    """Whether a session may start now: everything is evaluated again. Anything missing: HELD; no longer allowed: denied."""
    request = await _request(context, given["request"])
    if request.state not in ("approved", "held"):
        return {
            "ready": request.state == "granted",
            "denied": request.state in ("denied", "withdrawn"),
            "why": request.state,
            "missing": [],
        }
    found, _, gathered = await _evaluated(context, request)
    agreed = set(request.evaluation.seats)
    if found.verdict == "deny":
        return {"ready": False, "denied": True, "why": "; ".join(found.reasons[:3]), "missing": list(found.reasons)}
    missing = [f"{one.rule} {one.says}" for one in found.trace if one.result in ("hold", "ask")]
    missing += [f"{seat} has to agree since the rules changed" for seat in found.seats if seat not in agreed]
    reason = "; ".join(missing)[:500]
    if missing and (request.state != "held" or request.reason != reason):
        set_ = await _looked_at(context, request, found, gathered)
        await context.records.change(
            "access_request", request.id, to="held", set=set_ | {"reason": reason}, reason=reason
        )
    elif not missing:
        set_ = await _looked_at(context, request, found, gathered)
        word = "everything is there now" if request.state == "held" else "everything it needs is there"
        await context.records.change(
            "access_request", request.id, to="approved", set=set_ | {"reason": ""}, reason=word
        )
    return {"ready": not missing, "denied": False, "why": "; ".join(missing), "missing": missing}


async def issue(context: Any, given: Input) -> Json:
    request = await _request(context, given["request"])
    if request.state in ("denied", "withdrawn"):
        raise ActionError("NotReady", f"the request is {request.state}", retryable=False)
    seen = await facts.found(context, request)
    if request.breakglass and not request.classification.counts:
        classes = facts.classified(request, seen, context.policy("access"))
        request = await context.records.change(
            "access_request",
            request.id,
            set={
                "classification": classes,
                "volume": classes.volume,
                "site": request.site or next(iter(classes.sites), ""),
            },
        )
    try:
        grant = await granting.issue(context, request, seen)
    except ActionError as error:
        if error.error == "LeaseTaken":
            raise ActionError("NotReady", error.message, kind="conflict", retryable=False) from error
        raise
    if request.state != "granted":
        request = await context.records.change(
            "access_request",
            request.id,
            set={"grant": grant.id, "sentence": wording.sentence(request, robots=seen.robots, until=grant.expires_at)},
        )
        await context.records.change(
            "access_request", request.id, to="granted", reason=f"{grant.id} until {wording.clock(grant.expires_at)}"
        )
    policy = context.policy("access")
    return {
        "grant": grant.id, "expires_at": grant.expires_at, "left_s": max(1.0, grant.expires_at - context.now()),
        "every_s": float(policy["watch"]), "enforced_by": grant.enforced_by, "token": grant.token,
    }  # fmt: skip


async def watch(context: Any, given: Input) -> Json:
    """Whether a running grant has to end before its time: gone, moved, lost, ended by somebody."""
    grant = await _grant(context, given["grant"])
    now, policy = context.now(), context.policy("access")
    if grant.state not in LIVE:
        return {"over": True, "how": grant.state, "why": grant.reason}
    if now >= grant.expires_at:
        return {"over": True, "how": "expired", "why": "its time is over"}
    person = people.actor(policy, grant.actor, now=now, seen_at=now)
    if not grant.breakglass and not (person["known"] and person["active"]):
        return {"over": True, "how": "revoked", "why": f"{grant.actor} is no longer active"}
    for name in grant.sessions[:MANY]:
        if await _withdrawn(context, name):
            return {"over": True, "how": "revoked", "why": f"{name} was withdrawn"}
    if grant.rules and (rules.compiled(policy).digest != grant.rules or await _moved(context, grant, person)):
        judged = await reevaluate(context, {"request": grant.request})
        if not judged["allowed"]:
            return {"over": True, "how": "revoked", "why": judged["why"]}
    lease: ControlLease | None = await context.records.get("lease", grant.lease) if grant.lease else None
    if lease is not None:
        if lease.state not in LIVE:
            return {
                "over": True,
                "how": "revoked" if lease.state != "relinquished" else "relinquished",
                "why": lease.reason,
            }
        if lease.mode == "direct" and now - lease.link_at > float(policy["link_timeout"]):
            return {
                "over": True,
                "how": "lost",
                "why": "the link to the operator is lost: the robot goes to its minimal-risk state",
            }
        if lease.mode == "direct" and lease.latency_p95_ms > float(policy["latency_p95_ms"]):
            return {
                "over": True,
                "how": "lost",
                "why": f"latency p95 {lease.latency_p95_ms:.0f} ms is too long to drive with",
            }
    if ended := await interrupted(context, await _request(context, grant.request), grant, lease):
        return {"over": True, "how": ended[0], "why": ended[1]}
    return {"over": False, "how": "", "why": ""}


async def _moved(context: Any, grant: Grant, person: dict[str, Json]) -> bool:
    """Whether the directory has the person in another region than those the grant was decided on."""
    request = await _request(context, grant.request)
    known = (request.to_region, people.region_of(context.policy("access"), request.actor_location))
    return bool(person["region"]) and person["location_source"] != "vpn" and person["region"] not in known


async def reevaluate(context: Any, given: Input) -> Json:
    """A rule, a consent or a contract changed while access runs: what would be denied now ends now."""
    request = await _request(context, given["request"])
    if request.breakglass or not request.grant:
        return {"allowed": True, "why": "break-glass is reviewed afterwards"}
    withdrawn = [name for name in request.sessions if await _withdrawn(context, name)]
    found, _, _ = await _evaluated(context, request)
    lapsed = [] if found.verdict != "deny" else list(found.reasons)
    lapsed += [f"{name} was withdrawn" for name in withdrawn]
    return {"allowed": not lapsed, "why": "; ".join(lapsed[:3])}


async def end(context: Any, given: Input) -> Json:
    """Ends what still runs. Also how a run that fails or is cancelled takes back what it gave."""
    request = await _request(context, given["request"])
    name = str(given.get("grant") or "") or request.grant
    if not name:
        found = await context.records.find("grant", where={"request": request.id}, limit=1)
        name = found[0].id if found else ""
    if not name:
        return {"state": "none", "grant": "", "why": "nothing was granted"}
    grant = await _grant(context, name)
    how, why = str(given.get("how") or ""), str(given.get("why") or "")
    to = (
        how
        if how in ("expired", "relinquished", "revoked", "lost")
        else "expired"
        if context.now() >= grant.expires_at
        else "revoked"
    )
    if to == "expired" and context.now() < grant.expires_at:
        to = "revoked"
    grant = await granting.end(
        context, grant, to=to, by=str(given.get("by") or "engine"), reason=why or "its time is over"
    )
    return {"state": grant.state, "grant": grant.id, "why": grant.reason}


async def record(context: Any, given: Input) -> Json:
    """The record of it all, kept under its digest: who, as whom, why, what was granted, what was used, how it ended."""
    request = await _request(context, given["request"])
    policy = context.policy("access")
    grant: Grant | None = (
        await context.records.get("grant", request.grant) if request.grant and not given.get("foreign") else None
    )
    review, due = filing.review_of(policy, request, grant, bool(given.get("foreign")))
    if request.state == "granted" or (given.get("foreign") and request.state == "submitted"):
        document = filing.record(request, grant, person=people.entry_of(policy, request.requester), at=context.now())
        kept = await _keep(context, document, f"{request.id}.record.json")
        set_ = {"record": kept, "review": review, "ended": grant.state if grant else "elsewhere"}
        if request.state == "submitted":
            await context.records.change(
                "access_request", request.id, to="granted", reason="taken elsewhere by break-glass"
            )
        request = await context.records.change(
            "access_request", request.id, to="recorded", set=set_, reason=f"kept as {kept[:19]}"
        )
    told = {
        "record": request.record, "review": review, "review_s": due, "excess": list(grant.used.excess) if grant else [],
        "question": f"{request.sentence or request.title}: was everything within what was granted?",
        "excluded": [one for one in (request.requester, request.on_behalf_of) if one],
        "evidence": {
            "record": request.record, "sentence": request.sentence, "used": grant.used if grant else {}, "ended": request.ended,
            "granted": {"actions": grant.actions, "robots": grant.robots, "until": grant.expires_at, "bytes": grant.scope_bytes} if grant else {},
            "beyond what was granted": list(grant.used.excess) if grant else [], "reason": request.reason or request.purpose,
        },
    }  # fmt: skip
    return msgspec.to_builtins(told)


async def review(context: Any, given: Input) -> Json:
    """Opens the review of what was done."""
    request = await _request(context, given["request"])
    if request.state == "recorded":
        await context.records.change(
            "access_request", request.id, to="in_review", reason="to be looked at by compliance"
        )
    return {"request": request.id}


async def close(context: Any, given: Input) -> Json:
    request = await _request(context, given["request"])
    by = [str(one) for one in given.get("people") or ()]
    finding = str(given.get("finding") or "")
    if request.state == "recorded":
        await context.records.change(
            "access_request", request.id, to="closed", reason="recorded; not in the sample for review"
        )
    elif request.state == "in_review":
        follow_up = str(given.get("follow_up") or "") or ("" if finding == "ok" else str(given.get("why") or ""))
        if finding != "ok" and not follow_up:
            follow_up = "to be agreed with the person's line"
        await context.records.change(
            "access_request", request.id, to="closed",
            set={"finding": finding, "follow_up": follow_up, "reviewer": by[0] if by else ""}, reason=f"review: {finding} {follow_up}"[:300],
            emit=(Emit("qd.access.reviewed", filing.told(request) | {"finding": finding, "follow_up": follow_up, "by": by}),),
        )  # fmt: skip
    return {"request": request.id, "finding": finding}


async def deny(context: Any, given: Input) -> Json:
    """A denial with its reasons, and what could be asked for instead."""
    request = await _request(context, given["request"])
    why = str(given.get("why") or "") or "; ".join(request.evaluation.reasons) or "denied"
    if request.state == "classified":
        request = await context.records.change("access_request", request.id, to="evaluated", reason=why[:300])
    if request.state in ("evaluated", "needs_info", "approved", "held"):
        instead = [one.says for one in request.evaluation.alternatives]
        notes = [
            f"{one.rule} {one.says}" for one in request.evaluation.trace if one.result == "note" and one.rule == "DAT-1"
        ]
        await context.records.change(
            "access_request", request.id, to="denied", set={"reason": "; ".join([why, *notes])[:1000]}, reason=why[:500],
            emit=(Emit("qd.access.denied", filing.told(request) | {"reason": why, "instead": instead}),),
        )  # fmt: skip
    return {"request": request.id, "why": why}


async def withdraw(context: Any, given: Input) -> Json:
    request = await _request(context, given["request"])
    why = str(given.get("why") or "withdrawn")
    if request.state in ("submitted", "classified", "evaluated", "needs_info", "approved", "held"):
        await context.records.change("access_request", request.id, to="withdrawn", set={"reason": why}, reason=why)
    return {"request": request.id}


async def _looked_at(
    context: Any, request: AccessRequest, found: Evaluation, gathered: dict[str, Json]
) -> dict[str, Json]:
    """A later evaluation with the facts it rests on; who had to agree stays what was decided on."""
    kept = await _keep(context, gathered, f"{request.id}.facts.json")
    return {
        "evaluation": msgspec.structs.replace(
            found, seats=request.evaluation.seats, verdict=request.evaluation.verdict
        ),
        "facts": kept,
    }


async def _keep(context: Any, document: Json, name: str) -> str:
    """Keeps a document as evidence; its digest."""
    kept = await asyncio.to_thread(
        lambda: context.vault.put_bytes(_canonical.encode(document), media=MEDIA, source="access", name=name)
    )
    return str(kept.digest)


async def _evaluated(context: Any, request: AccessRequest) -> tuple[Evaluation, facts.Found, dict[str, Json]]:
    policy = context.policy("access")
    seen = await facts.found(context, request)
    gathered = await facts.gather(context, request, seen, facts.classified(request, seen, policy))
    found = await asyncio.to_thread(rules.evaluate, policy, gathered, at=context.now())
    excluded = dict.fromkeys(
        one
        for one in (request.requester, request.on_behalf_of, *people.reporting_line(policy, request.requester))
        if one
    )
    decide = policy["decide"]
    found = msgspec.structs.replace(
        found, scope=filing.scope(request), ttl_s=granting.ttl(policy, request, now=context.now()), excluded=tuple(excluded),
        decide_s=float(decide["teleop" if request.sort == "teleop" else "data"]),
    )  # fmt: skip
    return found, seen, gathered


async def _withdrawn(context: Any, session: str) -> bool:
    found = await context.records.get("session", session)
    return found is None or found.state == "withdrawn"


async def _request(context: Any, name: str) -> AccessRequest:
    found: AccessRequest | None = await context.records.get("access_request", str(name))
    if found is None:
        raise ActionError(
            "NoSuchRequest", f"there is no access request {str(name)[:80]}", kind="validation", retryable=False
        )
    return found


async def _grant(context: Any, name: str) -> Grant:
    found: Grant | None = await context.records.get("grant", str(name))
    if found is None:
        raise ActionError("NoSuchGrant", f"there is no grant {str(name)[:80]}", kind="validation", retryable=False)
    return found


def actions() -> Mapping[str, Action]:
    """By name."""
    listed = (
        open_,
        classify,
        evaluate,
        ask,
        adopt,
        approve,
        ready,
        issue,
        watch,
        reevaluate,
        end,
        record,
        review,
        close,
        deny,
        withdraw,
    )
    return signed(
        {f"access.{one.__name__.rstrip('_')}": one for one in (*listed, standing, certified, identities, drilled)}
    )
