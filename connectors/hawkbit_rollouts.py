"""hawkBit's own rollouts: groups, thresholds, approval. For teams that let hawkBit hold the stages.

Creating one is asynchronous: it is `creating` until its groups are filled, then `ready`, or `waiting_for_approval` where
the tenant asks for approval. Starting is legal in `ready` alone, every other call has its own states; the server answers
400 to what is not. Names are unique, so the step's key in the name makes a second creation the same one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct

from connectors.hawkbit_rows import PAGE, DistributionSet, Group, Page, Rollout, Target, quoted, shown
from connectors.http import HttpClient, NoneType
from connectors.remote_text import clean
from engine.capabilities.ports import ActionError, Clock, Deferred, InDoubt, Json
from engine.capabilities.systems.ports import RemoteObject, Right

T = TypeVar("T")
SETTLES = 3
"""Times a list is read anew because rows came or went while it was read."""
LEGAL: Mapping[str, tuple[str, ...]] = {
    "start": ("ready",),
    "pause": ("running",),
    "resume": ("paused",),
    "stop": ("waiting_for_approval", "ready", "starting", "running", "paused"),
    "approve": ("waiting_for_approval", "approval_denied"),
    "deny": ("waiting_for_approval",),
    "triggerNextGroup": ("running",),
    "retry": ("finished",),
}
REACHED: Mapping[str, tuple[str, ...]] = {
    "start": ("starting", "running", "paused", "finished"),
    "pause": ("paused",),
    "resume": ("running", "finished"),
    "stop": ("stopping", "stopped", "finished"),
    "approve": ("ready", "starting", "running", "paused", "finished"),
    "deny": ("approval_denied",),
}
"""Where a call leads: asked again in one of these, it has been done."""


class Stage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group: a share of the robots that are left (percent), when it has succeeded, when it has failed (whole percent of
    all its robots), and whether the next one waits for a person."""

    name: str
    share: float = 100.0
    success: int = 100
    failure: int = 1
    pause_after: bool = True


class HawkBitRollouts:
    """The part of hawkBit's port that is its own, and what every part needs: a sign of life, rights, lists."""

    def __init__(self, http: HttpClient, clock: Clock) -> None:
        self._http, self._clock = http, clock

    async def close(self) -> None:
        await self._http.close()

    async def _page(self, path: str, type: type[T], params: Mapping[str, str]) -> Page[T]:
        return await self._http.get(f"/rest/v1{path}", Page[type], params=params)  # type: ignore[valid-type]

    async def check(self) -> str:
        await self._http.get("/rest/v1/targets", Page[Target], params={"limit": "1"})
        sets = await self._http.get("/rest/v1/distributionsets", Page[DistributionSet], params={"limit": "1"})
        return f"Eclipse hawkBit, Management API v1, {sets.total} distribution sets"

    async def rights(self) -> Sequence[Right]:
        """The server answers 403 to what the credentials may not read; what they may write it does not say."""
        found = []
        for name, path, needed in (
            ("read robots", "/rest/v1/targets", "robots in the fleet"),
            ("read distribution sets", "/rest/v1/distributionsets", "releases"),
            ("read rollouts", "/rest/v1/rollouts", "its own rollouts in the mirror"),
        ):
            try:
                await self._http.get(path, Page[Json], params={"limit": "1"})
                found.append(Right(name=name, has=True, needed_for=needed))
            except ActionError as error:
                if error.error != "Forbidden":
                    raise
                found.append(Right(name=name, has=False, needed_for=needed))
        found.append(Right(name="assign and cancel", has=None, needed_for="rollouts, pause, retry"))
        return found

    async def rollouts(self) -> Sequence[RemoteObject]:
        return [self.mirrored_rollout(one) for one in await self._all("/rollouts", Rollout, sort="id:asc")]

    async def create_rollout(
        self, name: str, set_id: int, query: str, stages: Sequence[Stage], *, key: str, in_doubt: bool = False
    ) -> Rollout:
        """One rollout per key. It is `creating` at first. Raises ActionError `BadPlan`; InDoubt."""
        if not query.strip() or not stages:
            raise _refusal("BadPlan", "a rollout of hawkBit names robots by a filter and has at least one group")
        marked = f"{name[:40]} qd:{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        found = await self._named(marked)
        if found is not None:
            return found
        body = {
            "name": marked,
            "distributionSetId": set_id,
            "targetFilterQuery": query,
            "type": "forced",
            "groups": [_group(one) for one in stages],
        }
        try:
            return await self._http.send("POST", "/rest/v1/rollouts", Rollout, json=body, safe=False)
        except ActionError as error:
            if error.error != "Conflict" or isinstance(error, InDoubt):
                raise
            made = await self._named(marked)  # 409: the name is taken, by the same call a moment ago
            if made is None:
                raise
            return made

    async def rollout(self, id: int) -> Rollout:
        return await self._http.get(f"/rest/v1/rollouts/{int(id)}", Rollout)

    async def groups(self, id: int) -> list[Group]:
        return await self._all(f"/rollouts/{int(id)}/deploygroups", Group, sort="id:asc", representation="full")

    async def group_robots(self, id: int, group: int) -> list[str]:
        found = await self._all(f"/rollouts/{int(id)}/deploygroups/{int(group)}/targets", Target)
        return [clean(one.controllerId, 200) for one in found]

    async def move_rollout(self, id: int, call: str, *, remark: str = "") -> Rollout:
        """start, pause, resume, stop, approve, deny or triggerNextGroup. What has been done already is not done again.

        Raises Deferred while it is still being created, ActionError `IllegalState` with the state it is in.
        """
        if call not in LEGAL or call == "retry":
            raise _refusal("BadPlan", f"hawkBit's rollouts have no call {clean(call, 40)!r}")
        before = await self.rollout(id)
        if before.status in REACHED.get(call, ()):
            return before
        if before.status not in LEGAL[call]:
            if before.status in ("creating", "starting"):
                raise Deferred(f"hawkBit's rollout {int(id)} is {before.status}", 2.0)
            legal = " or ".join(LEGAL[call])
            raise ActionError(
                "IllegalState",
                f"hawkBit's rollout {int(id)} is {shown(before.status)}; {call} goes from {legal}",
                kind="conflict",
                retryable=False,
                detail={"status": before.status},
            )
        params = {"remark": remark[:500]} if remark and call in ("approve", "deny") else None
        # asked again after doubt, the state tells; a group that was triggered leaves none, so that one is unsafe
        await self._http.send("POST", f"/rest/v1/rollouts/{int(id)}/{call}", NoneType, params=params, safe=False)
        return await self.rollout(id)

    async def _named(self, name: str) -> Rollout | None:
        found = await self._all("/rollouts", Rollout, q=f"name=={quoted(name)}")
        return next((one for one in found if one.name == name and not one.deleted), None)

    def mirrored_rollout(self, one: Rollout) -> RemoteObject:
        return RemoteObject(
            id=str(one.id),
            name=clean(one.name, 200),
            state=shown(one.status),
            changed_at=one.lastModifiedAt / 1000,
            data={
                "set": str(one.distributionSetId),
                "filter": clean(one.targetFilterQuery, 500),
                "robots": one.totalTargets,
                "groups": one.totalGroups,
                "counts": {clean(k, 40): v for k, v in sorted(one.totalTargetsPerStatus.items())[:20]},
                "decided_by": clean(one.approveDecidedBy, 80),
                "remark": clean(one.approvalRemark, 200),
            },
        )

    async def _all(
        self, path: str, type: type[T], *, q: str = "", sort: str = "", most: int = 0, enough: int = 0, **more: str
    ) -> list[T]:
        """Every row of a list (or the first `most`). `enough`: rows of so many different robots will do. Read anew when
        rows shifted between two pages."""
        for _ in range(SETTLES):
            rows = await self._paged(path, type, q=q, sort=sort, most=most, enough=enough, **more)
            if rows is not None:
                return rows
        raise ActionError(
            "ListUnsettled", f"hawkBit's {path} changes faster than it can be read", kind="unavailable", retry_after=5.0
        )

    async def _paged(
        self, path: str, type: type[T], *, q: str, sort: str, most: int, enough: int, **more: str
    ) -> list[T] | None:
        rows: list[Any] = []
        robots: set[str] = set()
        while True:
            params = {"limit": str(min(PAGE, most or PAGE)), "offset": str(max(0, len(rows) - 1)), **more}
            if q:
                params["q"] = q
            if sort:
                params["sort"] = sort
            if path == "/actions":
                params["representation"] = "full"
            page = await self._page(path, type, params)
            fresh: list[Any] = page.content
            if rows:
                if not fresh or fresh[0] != rows[-1]:
                    return None
                fresh = fresh[1:]
            rows += fresh
            robots |= {getattr(one, "robot", "") for one in fresh} if enough else set()
            if (
                not fresh
                or len(rows) >= page.total
                or (most and len(rows) >= most)
                or (enough and len(robots) >= enough)
            ):
                return rows[:most] if most else rows


def _group(one: Stage) -> dict[str, Json]:
    return {
        "name": one.name,
        "targetPercentage": one.share,
        "successCondition": {"condition": "THRESHOLD", "expression": str(one.success)},
        "successAction": {"action": "PAUSE" if one.pause_after else "NEXTGROUP"},
        "errorCondition": {"condition": "THRESHOLD", "expression": str(one.failure)},
        "errorAction": {"action": "PAUSE"},
    }


def _refusal(error: str, message: str) -> ActionError:
    return ActionError(error, message, kind="validation", retryable=False)
