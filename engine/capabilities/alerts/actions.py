"""The actions about alerts. Each can be asked again: a silence is found by its mark, a report by its alert."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.capabilities.alerts import intake, silencing
from engine.capabilities.ports import Action, ActionError, Context, Param, optional, required
from engine.capabilities.records import Emit
from engine.contract.alerts import SilenceRecord

Json = Any
Input = dict[str, Json]


async def silence(context: Context, given: Input) -> Json:
    """A silence that was asked for (by its record), or one for a workflow of its own: then this makes the record."""
    if given.get("silence"):
        record = await _known(context, str(given["silence"]))
    else:
        matchers = {str(k): str(v) for k, v in (given.get("matchers") or {}).items()}
        seconds, comment = float(given.get("seconds") or 0), str(given.get("comment") or "")
        field, reason = silencing.why_not(matchers, seconds, comment, context.policy(silencing.PACK))
        if reason:
            raise ActionError("NotAllowed", f"{field}: {reason}", kind="validation", retryable=False)
        owner = str(given.get("owner") or context.started_by)
        record = await context.records.create(
            "silence",
            silencing.fields(
                matchers,
                seconds,
                comment,
                owner=owner,
                case=str(given.get("case") or ""),
                system=str(given.get("system") or ""),
                now=context.now(),
            ),
            key=context.key,
            reason=comment[:200],
        )
    made = await silencing.make(context, record)
    return {
        "silence": made.id,
        "remote": made.remote,
        "ends_at": made.ends_at,
        "left_s": max(1.0, made.ends_at - context.now()),
        "state": made.state,
    }


async def unsilence(context: Context, given: Input) -> Json:
    record = await _known(context, str(given["silence"]))
    by = str(given.get("by") or context.started_by)
    ended = await silencing.end(context, record, by=by, reason=str(given.get("reason") or f"ended by {by}"))
    return {"silence": ended.id, "state": ended.state}


async def over(context: Context, given: Input) -> Json:
    """Its time is over, or it was ended at the alert manager itself, or never begun."""
    record, refused = await _known(context, str(given["silence"])), str(given.get("refused") or "")
    if record.state in ("expired", "ended", "refused"):
        return {"silence": record.id, "state": record.state}
    elsewhere = bool(given.get("elsewhere"))
    state = "refused" if refused else "ended" if elsewhere else "expired"
    reason = refused or ("ended at the alert manager itself" if elsewhere else "its time is over")
    changed = await context.records.change(
        "silence",
        record.id,
        to=state,
        set={"ended_at": context.now(), **({"ended_by": "the alert manager"} if elsewhere else {})},
        reason=reason[:500],
        emit=(Emit(f"qd.silence.{state}", silencing.facts(record)),),
    )
    return {"silence": changed.id, "state": changed.state}


async def firing(context: Context, given: Input) -> Json:
    """What fires now with these labels, silenced or not."""
    labels = {str(k): str(v) for k, v in (given.get("labels") or {}).items()}
    found = await silencing.port(context, str(given.get("system") or "")).firing(labels or None)
    active = [one for one in found if one.state != "suppressed"]
    return {
        "count": len(active),
        "silenced": len(found) - len(active),
        "alerts": [{"id": one.id, "name": one.name, "state": one.state, **one.data} for one in found[:100]],
        "at": context.now(),
    }


async def _known(context: Context, id_: str) -> SilenceRecord:
    found: SilenceRecord | None = await context.records.get("silence", id_)
    if found is None:
        raise ActionError("NoSuchRecord", f"there is no silence {id_[:60]}", kind="validation", retryable=False)
    return found


_SYSTEM = {"system": Param(type="string", required=False, description="Which alert manager; the first that is there")}


def actions() -> Mapping[str, Action]:
    """By name."""
    listed = (
        Action(
            name="alert.silence", run=silence, reads_back=True, description="Silences alerts until an end, under somebody's name.",
            inputs=optional(silence="string", matchers="object", seconds="number", comment="string", owner="string", case="string") | _SYSTEM,
            outputs=optional(silence="string", remote="string", ends_at="number", left_s="number", state="string"),
        ),
        Action(
            name="alert.unsilence", run=unsilence, reads_back=True, description="Ends a silence before its time.",
            inputs=required(silence="string") | optional(by="string", reason="string"), outputs=optional(silence="string", state="string"),
        ),
        Action(
            name="alert.over", run=over, reads_back=True, description="Records that a silence is over.",
            inputs=required(silence="string") | optional(elsewhere="boolean", refused="string"), outputs=optional(silence="string", state="string"),
        ),
        Action(
            name="alert.firing", run=firing, effect="read", description="What fires now.",
            inputs=optional(labels="object") | _SYSTEM, outputs=optional(count="integer", silenced="integer", alerts="array", at="number"),
        ),
        Action(
            name="alert.intake", run=intake.sort_out, reads_back=True, description="What becomes of an alert: a case, a note on one, or nothing.",
            inputs=required(event="object"), outputs=optional(reports="array", noted="array", robot="string", why="string"),
        ),
    )  # fmt: skip
    return {action.name: action for action in listed}
