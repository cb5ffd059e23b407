"""One open rollout per robot: which robots other rollouts have frozen and not let go of yet.

Asked when targets are frozen (such robots are left out and named) and again before anybody is asked to sign (two that froze
at the same moment both stop). A rollout lets go when it has ended: until then a rollback of it would touch its robots, also
those that took the update long ago. What carries out an incident's decision is not held up by the rollout it puts right.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from engine.capabilities.ports import ActionError
from engine.capabilities.rollout.document import ENDINGS
from engine.store.reading import Reading

_CLAIMED = f"""select u.robot, r.id, r.version from rollouts r join robot_updates u on u.rollout = r.id
    where r.state not in ({",".join("?" * len(ENDINGS))}) and r.id != ? and u.robot in (select value from json_each(?))
    order by r.id desc"""


class Claims:
    """The port `rollouts`, over the journal's file."""

    def __init__(self, database: Path) -> None:
        self._reading = Reading(database)

    def claimed(self, robots: Iterable[str], *, but: str) -> dict[str, str]:
        """Robot -> which other open rollout it is in; `but` is the run that asks."""
        found = self._reading.all(_CLAIMED, (*sorted(ENDINGS), but, json.dumps(list(robots))))
        return {robot: f"in rollout {run} ({version}), which is open" for robot, run, version in found}


async def claimed(context: Any, robots: Iterable[str], given: Mapping[str, Any]) -> dict[str, str]:
    """As `Claims.claimed`; nothing where no history is kept, and for what an incident decided."""
    if given.get("incident"):
        return {}
    try:
        claims = context.port("rollouts")
    except ActionError:  # not configured: this engine runs no other rollout
        return {}
    found: dict[str, str] = await asyncio.to_thread(claims.claimed, list(robots), but=context.run)
    return found
