"""Whether a rollout could be frozen as it is asked for: said at the door, before there is a run that can only end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from engine.capabilities.ports import ActionError, Fleet, Updates
from engine.capabilities.rollout import planning
from engine.capabilities.rollout.selector import Selector

Json = Any

PATIENCE_S = 10.0
"""Real seconds the remote systems get. Later than that the run itself asks, and goes on asking."""
FIELDS = {"BadSelector": "selector", "EmptyCohort": "selector", "NoSuchRelease": "version", "BadPlan": "plan"}


class Impossible(Struct, frozen=True):
    """The input that makes it impossible (empty: none of them), and why."""

    field: str
    reason: str


class Foresight:
    """Bound to the ports and the policy of one engine."""

    def __init__(
        self, ports: Mapping[str, Any], policy: Callable[[str], dict[str, Json]], now: Callable[[], float]
    ) -> None:
        self._ports, self._policy, self._now = ports, policy, now

    async def __call__(self, inputs: Mapping[str, Json]) -> Impossible | None:
        """None when it can be frozen, or when that can't be known now. Missing and mistyped inputs are the definition's to refuse."""
        version, selector, plan = inputs.get("version"), inputs.get("selector"), inputs.get("plan") or {}
        exclude = inputs.get("exclude") or []
        if not isinstance(version, str) or not isinstance(selector, str):
            return None
        if not isinstance(plan, dict) or not isinstance(exclude, list):
            return None
        try:
            policy = planning.plan_policy(self._policy("rollout"), plan)
            Selector(selector)
            missing = [name for name in ("updates", "fleet") if name not in self._ports]
            if missing:
                absent = getattr(self._ports, "absent", None)
                if absent is not None and (why := absent(missing[0])).error == "Suspended":
                    return Impossible("", why.message)
                needed = " and ".join(missing)
                return Impossible(
                    "", f"no {needed} is configured here: add a system that serves it (qd connectors add)"
                )
            updates: Updates = self._ports["updates"]
            fleet: Fleet = self._ports["fleet"]
            async with asyncio.timeout(PATIENCE_S):
                robots, releases = await asyncio.gather(fleet.robots(), updates.releases())
            planning.freeze(
                selector=selector,
                exclude=exclude,
                version=version,
                robots=robots,
                releases=releases,
                policy=policy,
                now=self._now(),
            )
        except ActionError as error:
            return Impossible(FIELDS[error.error], error.message) if error.error in FIELDS else None
        except TimeoutError:
            return None
        return None
