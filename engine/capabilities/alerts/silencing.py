"""What a silence may be, by policy, and how it is made once at the alert manager."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.capabilities.ports import ActionError, Context
from engine.capabilities.records import Emit
from engine.capabilities.systems.ports import Alerts, Silence
from engine.contract.alerts import SilenceRecord

Json = Any
PACK = "alerts"
KEPT = ("matchers", "owner", "comment", "case", "starts_at", "ends_at")


def why_not(matchers: Mapping[str, str], seconds: float, comment: str, policy: Mapping[str, Json]) -> tuple[str, str]:
    """The argument that is wrong and why; empty when it may be. Alerts that speak of people's safety are never silenced."""
    rules = policy["silence"]
    if not comment.strip():
        return "comment", "a silence says why"
    if not any(matchers.get(name, "").strip() for name in rules["narrow"]):
        return (
            "matchers",
            f"a silence names at least one of {', '.join(rules['narrow'])}: else it is deaf to a whole fleet",
        )
    for name, values in rules["never"].items():
        if matchers.get(name, "") in values:
            return "matchers", f"alerts with {name}={matchers[name]} are never silenced"
    if seconds < rules["shortest"]:
        return "seconds", f"at least {rules['shortest']:.0f} s"
    if seconds > rules["longest"]:
        return "seconds", f"at most {rules['longest'] / 3600:.0f} h at a time; it may be asked for again"
    return "", ""


def fields(
    matchers: Mapping[str, str], seconds: float, comment: str, *, owner: str, case: str, system: str, now: float
) -> dict[str, Json]:
    """A silence's record as it begins."""
    shown = ", ".join(f"{name}={value}" for name, value in sorted(matchers.items()))
    return {
        "title": f"{shown}: {comment.strip()}"[:200],
        "matchers": dict(matchers),
        "robot": matchers.get("robot", ""),
        "owner": owner,
        "comment": comment.strip()[:500],
        "case": case,
        "system": system,
        "starts_at": now,
        "ends_at": now + seconds,
    }


def port(context: Any, system: str) -> Alerts:
    found: Alerts = context.port(f"alerts@{system}" if system else "alerts")
    return found


async def make(context: Context, record: SilenceRecord) -> SilenceRecord:
    """Puts an asked silence to the alert manager, once, whatever happens in between. Raises its refusals; InDoubt."""
    if record.state != "asked":
        return record
    made: Silence = await port(context, record.system).silence(
        record.matchers,
        until=record.ends_at,
        by=record.owner,
        comment=" ".join(part for part in (record.comment, record.case, record.id) if part),
        # an installation's ids are its own: with the time it was asked for it is no other's
        key=f"{record.id}@{record.created_at}",
        in_doubt=context.in_doubt,
    )
    changed: SilenceRecord = await context.records.change(
        "silence",
        record.id,
        to="active",
        set={"remote": made.id, "ends_at": made.ends_at},
        reason=f"silenced until its end, as {made.id}",
        emit=(Emit("qd.silence.started", facts(record)),),
    )
    return changed


async def end(context: Context, record: SilenceRecord, *, by: str, reason: str) -> SilenceRecord:
    """Ends it at the alert manager and here. One that is over already stays as it is."""
    if record.state in ("expired", "ended", "refused"):
        return record
    if record.remote:
        try:
            await port(context, record.system).unsilence(record.remote)
        except ActionError as error:
            if error.error != "NoSuchSilence":
                raise
    changed: SilenceRecord = await context.records.change(
        "silence",
        record.id,
        to="ended",
        set={"ended_by": by, "ended_at": context.now()},
        reason=reason,
        emit=(Emit("qd.silence.ended", {**facts(record), "by": by}),),
    )
    return changed


def facts(record: SilenceRecord) -> dict[str, Json]:
    return {
        "silence": record.id,
        "robot": record.robot,
        "matchers": record.matchers,
        "owner": record.owner,
        "case": record.case,
        "ends_at": record.ends_at,
    }
