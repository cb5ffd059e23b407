"""Asking a policy engine from a workflow. No answer is no answer: the step waits, is tried again and goes to people; it
never reads as a yes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.capabilities.ports import Action, ActionError, Context, Param, optional, required
from engine.capabilities.systems.ports import Decision, Decisions

Json = Any


async def ask(context: Context, given: dict[str, Json]) -> dict[str, Json]:
    """The decision, with its reason and id. `must`: a no ends the step as `Denied` instead."""
    system = str(given.get("system") or "")
    port: Decisions = context.port(f"decisions@{system}" if system else "decisions")
    question = {
        "run": context.run,
        "step": context.path,
        "started_by": context.started_by,
        **(given.get("input") or {}),
    }
    decision = await port.decide(str(given["path"]), question)
    if not isinstance(decision, Decision) or decision.allow is not True:
        reason = decision.reason if isinstance(decision, Decision) else "no decision"
        if given.get("must"):
            raise ActionError("Denied", reason or "denied", kind="authorization", retryable=False)
        return {"allow": False, "reason": reason or "denied", "decision": getattr(decision, "id", ""), "result": None}
    return {"allow": True, "reason": decision.reason, "decision": decision.id, "result": decision.result}


def actions() -> Mapping[str, Action]:
    return {
        "policy.ask": Action(
            name="policy.ask",
            run=ask,
            inputs=required(path="string")
            | optional(system="string", input="object", must="boolean")
            | {"path": Param(type="string", description="the rule, such as quarterdeck/dispatch/allow")},
            outputs=required(allow="boolean", reason="string", decision="string")
            | {"result": Param(type="any", required=False)},
            effect="read",
            description="Asks the policy engine; undefined is no.",
        )
    }
