"""Consent is withdrawn: the sessions it concerns, the snapshots that hold them, and everything made from those."""

from __future__ import annotations

from typing import Any

from engine.capabilities.data import splitting
from engine.capabilities.data.campaign import ALL, Input, in_batches, limits_of
from engine.capabilities.ports import ActionError, Context
from engine.capabilities.records import Change, Emit, RecordError, Records
from engine.contract.sessions import SessionView

Json = Any


async def withdraw(context: Context, given: Input) -> Json:
    """Sessions of these subjects (or named here) are withdrawn, then every snapshot that holds one; dependants are listed.

    Asked twice it finds nothing more to do. A withdrawal that names nobody we know changes nothing, and says so.
    """
    subjects = {str(one) for one in given.get("subjects") or []}
    named = {str(one) for one in given.get("sessions") or []}
    if not subjects and not named:
        raise ActionError(
            "NobodyNamed",
            "whose consent? the event names no subject and no session",
            kind="validation",
            retryable=False,
        )
    reason = str(given.get("reason") or "consent was withdrawn")[:500]
    every: list[SessionView] = await context.records.find("session", limit=ALL)
    hit = [one for one in every if one.id in named or subjects & {*one.consent_subjects, one.operator} - {""}]
    fresh = [one for one in hit if one.state != "withdrawn"]
    await in_batches(
        context,
        [
            Change(
                kind="session", id=one.id, to="withdrawn", reason=reason,
                emit=(Emit("qd.session.withdrawn", {"session": one.id, "dataset": one.dataset, "digest": one.digest}),),
            )
            for one in fresh
        ],
        "withdrawing sessions",
    )  # fmt: skip
    await _labels(context, {one.id for one in hit}, reason)
    gone = {one.id for one in hit}
    snapshots: list[Json] = []
    dependants: list[str] = []
    for snapshot in await context.records.find("snapshot", limit=ALL):
        held = sorted(gone & set(snapshot.sessions))
        if not held:
            continue
        made = await dependants_of(context.records, snapshot.id)
        dependants += made
        if snapshot.state in ("finalized", "superseded"):
            why = f"{len(held)} of its sessions were withdrawn: {reason}"
            data = {
                "snapshot": snapshot.id,
                "root_digest": snapshot.root_digest,
                "dataset": snapshot.dataset,
                "reason": why,
                "dependants": made,
            }
            await context.records.change(
                "snapshot", snapshot.id, to="withdrawn", set={"withdrawn_for": why, "dependants": made}, reason=why,
                emit=(Emit("qd.dataset.withdrawn", data),),
            )  # fmt: skip
        snapshots.append(
            {
                "snapshot": snapshot.id,
                "title": snapshot.title,
                "was": snapshot.state,
                "sessions": len(held),
                "dependants": len(made),
            }
        )
    return {
        "sessions": [one.id for one in hit][:500], "session_count": len(hit), "snapshots": snapshots, "snapshot_count": len(snapshots),
        "dependants": sorted(set(dependants))[:200], "dependant_count": len(set(dependants)), "reason": reason,
    }  # fmt: skip


async def recheck(context: Context, given: Input) -> Json:
    """The rules changed: which sessions of signed snapshots they no longer allow (consent, region, licence), and what was
    made from those. Nothing is changed here; people decide.
    """
    policy = context.policy("data")
    found: dict[str, str] = {}
    snapshots: list[Json] = []
    dependants: list[str] = []
    for snapshot in await context.records.find("snapshot", state=("finalized", "superseded"), limit=ALL):
        sessions = [await context.records.get("session", name) for name in snapshot.sessions]
        out = splitting.left_out(
            [one for one in sessions if one is not None], reserved=splitting.Reserved(),
            limits=limits_of(policy, snapshot.region), licence=snapshot.licence, basis=snapshot.consent_basis,
        )  # fmt: skip
        wrong = {name: why for name, (code, why) in out.items() if code in ("consent", "residency", "licence")}
        if wrong:
            found |= wrong
            dependants += (made := await dependants_of(context.records, snapshot.id))
            first = next(iter(wrong.items()))
            snapshots.append(
                {
                    "snapshot": snapshot.id,
                    "state": snapshot.state,
                    "sessions": len(wrong),
                    "first": f"{first[0]}: {first[1]}",
                    "dependants": len(made),
                }
            )
    return {
        "sessions": sorted(found), "session_count": len(found), "snapshots": snapshots, "snapshot_count": len(snapshots),
        "dependants": sorted(set(dependants))[:200], "dependant_count": len(set(dependants)),
    }  # fmt: skip


async def dependants_of(records: Records, snapshot: str) -> list[str]:
    """What was made from a snapshot: trainings, then candidates and artifacts where this installation keeps them."""
    found = [
        f"training {one.id} ({one.state})"
        for one in await records.find("training", where={"snapshot": snapshot}, limit=ALL)
    ]
    for kind in ("candidate", "artifact"):
        try:
            made = await records.find(kind, limit=ALL)
        except (ValueError, RecordError):
            continue
        found += [f"{kind} {one.id} ({one.state})" for one in made if getattr(one, "snapshot", "") == snapshot]
    return found


async def _labels(context: Context, sessions: set[str], reason: str) -> None:
    changes: list[Change] = []
    for name in sorted(sessions):
        for task in await context.records.find(
            "label_task", state=("open", "claimed", "submitted", "accepted"), where={"session": name}, limit=ALL
        ):
            changes.append(Change(kind="label_task", id=task.id, to="dropped", reason=reason))
        for note in await context.records.find(
            "annotation", state=("current", "superseded"), where={"session": name}, limit=ALL
        ):
            changes.append(Change(kind="annotation", id=note.id, to="withdrawn", reason=reason))
    await in_batches(context, changes, "withdrawing labels")
