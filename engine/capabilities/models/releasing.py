"""Decisions on a candidate carried out: approved, rejected, eligible, expired, revoked."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.capabilities.models import evaluating, packing, trials
from engine.capabilities.models.building import artifact_of
from engine.capabilities.models.registering import candidate_of
from engine.capabilities.ports import ActionError, Context
from engine.capabilities.records import Change, Emit
from engine.contract.models import ArtifactView, CandidateView, DecisionView

Json = Any
Input = dict[str, Json]


OPEN = ("detected", "triaged", "contained", "mitigating", "monitoring")
"""States of an incident in which it is not over."""


async def holding(context: Context, line: str) -> str:
    """The open incident that holds approvals of a line: declared, not a draft; the newest. Empty when none does."""
    found = await context.records.find("incident", state=OPEN, where={}, limit=500)
    return next((one.id for one in found if one.line == line and not one.draft), "")


async def approve(context: Context, given: Input) -> Json:
    """Writes the decision down, if the evidence still is what was signed and young enough. Raises `EvidenceStale`."""
    policy = context.policy("release")
    candidate = await candidate_of(context, given["candidate"])
    evidence, people = str(given.get("evidence") or ""), [str(one) for one in given.get("people") or ()]
    if candidate.state == "approved" and candidate.evidence == evidence:
        return _told(candidate)
    if incident := await holding(context, candidate.line):
        raise ActionError(
            "LineFrozen", f"{incident} holds approvals of {candidate.line}", kind="conflict", retryable=False
        )
    had = [one for one in await trials.had(context, candidate.id, candidate.pack) if one.pack == candidate.pack]
    if candidate.evidence != evidence or not await trials.same_as_compared(context, candidate, had):
        raise ActionError(
            "EvidenceStale", "the evidence changed since it was decided on", kind="conflict", retryable=False
        )
    oldest = min((one.created_at for one in had), default=context.now())
    if context.now() - oldest > float(policy["evidence_age"]):
        days = float(policy["evidence_age"]) / 86_400
        raise ActionError(
            "EvidenceOld", f"its oldest trial is over {days:.0f} days old: it has to be tried again", retryable=False
        )
    decision = DecisionView(
        gate=str(given.get("gate") or ""), answer="approve", people=tuple(people), evidence=evidence, at=context.now(),
        reason=str(given.get("reason") or "")[:2000], course=str(given.get("course") or ""),
    )  # fmt: skip
    told = {
        "candidate": candidate.id,
        "line": candidate.line,
        "model_digest": candidate.model_digest,
        "evidence": evidence,
    }
    facts = {"gate": decision.gate, "people": people, "evidence": evidence, "policy": bool(given.get("policy"))}
    candidate = await context.records.change(
        "candidate", candidate.id, to="approved",
        set={"decisions": [*msgspec.to_builtins(candidate.decisions), msgspec.to_builtins(decision)]},
        facts=facts, reason=decision.reason or f"approved by {', '.join(people) or 'policy'}",
        emit=(Emit("qd.candidate.promoted", told),),
    )  # fmt: skip
    return _told(candidate)


def _told(candidate: CandidateView) -> Json:
    return {"candidate": candidate.id, "state": candidate.state, "evidence": candidate.evidence, "line": candidate.line}


async def reject(context: Context, given: Input) -> Json:
    """Ends a candidate with its reason; one that ended already keeps its own."""
    candidate = await candidate_of(context, given["candidate"])
    if candidate.state not in ("registered", "evaluating", "compared", "approved", "built"):
        return {"candidate": candidate.id, "state": candidate.state, "why": candidate.why}
    why = str(given.get("reason") or "no reason was given")[:2000]
    told = {
        "candidate": candidate.id,
        "line": candidate.line,
        "model_digest": candidate.model_digest,
        "verdict": candidate.verdict,
    }
    candidate = await context.records.change(
        "candidate", candidate.id, to="rejected", set={"why": why}, reason=why,
        emit=(Emit("qd.candidate.rejected", told | {"reason": why}),),
    )  # fmt: skip
    return {"candidate": candidate.id, "state": candidate.state, "why": why}


async def freeze(context: Context, given: Input) -> Json:
    """That approvals of the line wait for an incident, on the candidate's own record; empty lifts it.

    With `look` it is what the records of incidents say now.
    """
    candidate = await candidate_of(context, given["candidate"])
    incident = str(given.get("incident") or "")
    if given.get("look"):
        incident = await holding(context, candidate.line)
    await context.records.change(
        "candidate", candidate.id, set={"frozen_by": incident},
        reason=f"approvals of {candidate.line} wait for {incident}" if incident else "approvals are open again",
    )  # fmt: skip
    return {"candidate": candidate.id, "frozen_by": incident}


async def eligible(context: Context, given: Input) -> Json:
    """From here on it may be rolled out, until it expires."""
    artifact = await artifact_of(context, given["artifact"])
    candidate = await candidate_of(context, artifact.candidate)
    now = context.now()
    expires = artifact.expires_at or now + float(context.policy("release")["eligible_for"])
    told = {
        "artifact": artifact.id, "digest": artifact.digest, "version": artifact.version, "line": artifact.line,
        "targets": list(artifact.targets), "candidate": candidate.id, "expires_at": expires,
    }  # fmt: skip
    if artifact.state != "eligible":
        await context.records.change_many(
            (
                Change(
                    kind="artifact", id=artifact.id, to="eligible", set={"eligible_at": now, "expires_at": expires},
                    emit=(Emit("qd.artifact.eligible", told),),
                ),
                Change(kind="candidate", id=candidate.id, to="eligible"),
            )
        )  # fmt: skip
    return told


async def expire(context: Context, given: Input) -> Json:
    """Its time is over, or its platform changed; nothing happens to one that was revoked meanwhile."""
    artifact = await artifact_of(context, given["artifact"])
    why = str(given.get("reason") or "its time is over")
    if artifact.state == "eligible":
        await _ended(context, artifact, "expired", why, "qd.artifact.expired")
    return {"artifact": artifact.id, "state": (await artifact_of(context, artifact.id)).state}


async def _ended(context: Context, artifact: ArtifactView, state: str, why: str, event: str) -> None:
    candidate = await candidate_of(context, artifact.candidate)
    told = {
        "artifact": artifact.id, "digest": artifact.digest, "version": artifact.version, "line": artifact.line, "reason": why,
        "candidate": artifact.candidate,
    }  # fmt: skip
    changes = [
        Change(kind="artifact", id=artifact.id, to=state, set={"why": why}, reason=why, emit=(Emit(event, told),))
    ]
    if candidate.state == "eligible":
        changes.append(Change(kind="candidate", id=candidate.id, to=state, set={"why": why}, reason=why))
    await context.records.change_many(changes)


async def recheck(context: Context, given: Input) -> Json:
    """A line's champion on a newer pack: its trials again, beside what they were. Changes no verdict; says what was found."""
    candidate = await candidate_of(context, given["candidate"])
    pack = await context.records.get("pack", str(given["pack"]))
    if pack is None or pack.line != candidate.line:
        raise ActionError("NoPack", f"there is no pack {given['pack']} for line {candidate.line}", retryable=False)
    policy = context.policy("release")
    if pack.state == "draft":
        fill = packing.locked(pack, policy)
        pack = await context.records.change(
            "pack", pack.id, to="locked", set=fill | {"locked_at": context.now()},
            reason=f"first used for {candidate.id}", emit=(packing.told_locked(pack, fill["digest"]),),
        )  # fmt: skip
    as_if = msgspec.structs.replace(
        candidate, pack=pack.id, pack_digest=pack.digest, n_max=pack.plan.n_max, left_out=()
    )
    trying = trials.Trying(context, as_if, pack, policy)
    while True:
        had = [one for one in await trials.had(context, candidate.id, pack.id) if one.pack == pack.id]
        found = trials.judged(pack, had, pack.plan.n_max)
        asked = trials.wanted(pack, had, found, pack.plan.n_max) if found.verdict == "more" else []
        if not asked:
            break
        await trying.run(asked, len(had), 2 * pack.plan.n_max * len(pack.tasks), found.sentence)
    verdict = "inconclusive" if found.verdict == "more" else found.verdict
    fields = {
        "title": f"{candidate.title} again on {pack.id}", "candidate": candidate.id, "pack": pack.id, "pack_digest": pack.digest,
        "baseline": msgspec.to_builtins(candidate.baseline), "plan": msgspec.to_builtins(pack.plan), "purpose": "recheck",
        "verdict": verdict, "sentence": found.sentence, "tasks": msgspec.to_builtins(found.tasks),
        "overall": msgspec.to_builtins(found.overall), "safety_events": found.safety_events, "hours": round(found.hours, 6),
        "excluded": found.excluded, "unpaired": found.unpaired,
    }  # fmt: skip
    made = await context.records.create("comparison", fields, key=f"recheck/{candidate.id}/{pack.digest}")
    return {
        "candidate": candidate.id, "pack": pack.id, "comparison": made.id, "verdict": verdict, "sentence": found.sentence,
        "holds": verdict in (*evaluating.PASSING, "inconclusive"),
    }  # fmt: skip
