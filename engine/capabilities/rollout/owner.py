"""Rollouts that the update server holds itself (hawkBit's, with groups, thresholds and approval): looked at, moved, made.

For teams that leave the stages to the server. What it decides by is its own (a share of errors, no robot's health); what is
asked of people is asked here, with roles, quorum and evidence, and handed over as its approval with the gate's id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.capabilities.ports import Action, ActionError, Context, Param, optional, required

Json = Any
Input = dict[str, Json]
MOVES = ("start", "pause", "resume", "stop", "approve", "deny")
"""Those whose success can be read back from the rollout's state. The next group is started by naming it."""


async def look(context: Context, given: Input) -> Json:
    """Where a rollout of the server stands, group by group."""
    server = _server(context, given)
    found = await server.rollout(int(given["rollout"]))
    groups = await server.groups(int(given["rollout"]))
    return {
        **_said(found),
        "groups": [
            {
                "id": str(one.id),
                "name": one.name[:100],
                "state": one.status,
                "robots": one.totalTargets,
                "passes_at": one.successCondition.expression if one.successCondition else "",
                "fails_above": one.errorCondition.expression if one.errorCondition else "",
            }
            for one in groups[:100]
        ],
        "at": context.now(),
    }


async def move(context: Context, given: Input) -> Json:
    """One of the server's own moves. Asked again it finds it done. Raises `IllegalState`; Deferred while it is being made."""
    call = str(given["call"])
    if call not in MOVES:
        raise ActionError("BadMove", f"a move is one of {', '.join(MOVES)}", kind="validation", retryable=False)
    server, by = _server(context, given), [str(one) for one in given.get("by") or ()]
    remark = ", by ".join(part for part in (str(given.get("remark") or ""), " and ".join(by)) if part)
    return _said(await server.move_rollout(int(given["rollout"]), call, remark=remark))


async def next_group(context: Context, given: Input) -> Json:
    """Starts a group that waits, past its predecessor's threshold. Done when that group no longer waits."""
    server, id_, wanted = _server(context, given), int(given["rollout"]), str(given["group"])
    groups = await server.groups(id_)
    group = next((one for one in groups if wanted in (str(one.id), one.name)), None)
    if group is None:
        raise ActionError(
            "NoSuchGroup", f"rollout {id_} has no group {wanted[:60]}", kind="validation", retryable=False
        )
    if group.status == "scheduled":
        first = next(one for one in groups if one.status == "scheduled")
        if first.id != group.id:
            raise ActionError(
                "IllegalState", f"{first.name[:60]} comes before {group.name[:60]}", kind="conflict", retryable=False
            )
        await server.move_rollout(id_, "triggerNextGroup")
    return _said(await server.rollout(id_))


async def create(context: Context, given: Input) -> Json:
    """A rollout of the server's own, once per step. It is being created at first, and waits for approval where that is on."""
    server = _server(context, given)
    made = await server.make_rollout(
        str(given["version"]), str(given["filter"]), given["groups"], key=context.key, in_doubt=context.in_doubt
    )
    return _said(made)


def _server(context: Context, given: Input) -> Any:
    name = str(given.get("system") or "")
    found = context.port(f"updates@{name}" if name else "updates")
    if not callable(getattr(found, "move_rollout", None)):
        called = str(getattr(found, "server", "") or "this update server")
        raise ActionError("Unsupported", f"{called} has no rollouts of its own", kind="validation", retryable=False)
    return found


def _said(one: Any) -> dict[str, Json]:
    return {
        "rollout": str(one.id),
        "name": one.name[:200],
        "state": one.status,
        "robots": one.totalTargets,
        "filter": one.targetFilterQuery[:500],
        "set": str(one.distributionSetId),
        "by": str(one.createdBy)[:80],
        "counts": dict(one.totalTargetsPerStatus),
    }


_WHERE = required(rollout="string") | {
    "system": Param(type="string", required=False, description="Which update server; the first that is there")
}
_SAID = optional(
    rollout="string",
    name="string",
    state="string",
    robots="integer",
    filter="string",
    set="string",
    by="string",
    counts="object",
)


def actions() -> Mapping[str, Action]:
    """By name."""
    listed = (
        Action(
            name="owner.look", run=look, effect="read", description="A rollout the update server holds itself, group by group.",
            inputs=_WHERE, outputs=_SAID | optional(groups="array", at="number"),
        ),
        Action(
            name="owner.move", run=move, reads_back=True, description="Starts, pauses, resumes, stops, approves or denies it there.",
            inputs=_WHERE | required(call="string") | optional(remark="string", by="array"), outputs=_SAID,
        ),
        Action(
            name="owner.next", run=next_group, reads_back=True, description="Starts a waiting group of it, past the threshold before it.",
            inputs=_WHERE | required(group="string"), outputs=_SAID,
        ),
        Action(
            name="owner.create", run=create, reads_back=True, description="Makes one there, with groups and thresholds.",
            inputs=required(version="string", filter="string", groups="array") | {"system": _WHERE["system"]}, outputs=_SAID,
        ),
    )  # fmt: skip
    return {action.name: action for action in listed}
