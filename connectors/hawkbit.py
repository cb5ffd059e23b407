"""Eclipse hawkBit (update server), driven robot by robot. Written against the Management API of 1.x.

What the server does, and what follows:

- An assignment is an action of its own; the newest takes the place of an older one. Assigning what is already assigned
  changes nothing, except where multi-assignment is switched on: there it makes a second action. So what stands is read
  first, and only what is missing is sent.
- After a failed install a robot is assigned to nothing. What it was told is read from its last action; the same order
  again would be a retry nobody asked for, so it is only sent by `retry`.
- Cancelling is a request: the action is `canceling` until the robot agrees at its next poll. A robot that has begun may
  refuse, so only what has not begun is cancelled. While it is `canceling` the set still counts as assigned, and a new
  order for it would be lost: the old one is force-quit first.
- `running` is what every open action is called from its first moment. Whether the robot has begun is in its history.
- 429 means a quota as often as a rate limit. A list has at most 500 rows, and rows that come and go while one pages
  through it shift the pages: each page begins with the last row of the one before, and a list that does not fit
  together is read anew.
- Two marks are left in the metadata of a robot: which failure was withdrawn, and which retry was given.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from connectors.devices import Polled
from connectors.hawkbit_rollouts import HawkBitRollouts, Stage
from connectors.hawkbit_rows import (
    BEGUN,
    PAGE,
    Action,
    Assigned,
    DistributionSet,
    Metadata,
    Rollout,
    Status,
    Target,
    by_the_robot,
    listed,
    quoted,
)
from connectors.hawkbit_standing import Standing, device, digest, mirrored_device, mirrored_set, report
from connectors.http import Basic, Bearer, HttpClient, NoneType
from connectors.remote_text import clean
from connectors.settings import FIELDS, SECRETS, client
from engine.capabilities.ports import ActionError, Clock, InDoubt, InstallReport, Json, Param, Release
from engine.capabilities.systems.ports import Feed, Pulled

T = TypeVar("T")
BATCH = 100
"""Robots of one call: in a filter, because addresses have a length, and in an assignment, because quotas have one too."""
LISTED_FROM = 400  # more robots than this are read by listing all
AT_ONCE = 8
_CURSOR = re.compile(r"(all|since):(\d{1,15}):(\d{1,9})(?::(.*))?", re.S)
WITHDRAWN, RETRIED = "quarterdeck.withdrawn", "quarterdeck.retried"
ERROR_WORDS = ("fail", "error", "refus", "denied", "no space", "could not", "abort", "timeout", "mismatch")


class HawkBit(HawkBitRollouts):
    """Implements the port Updates; its own rollouts are in the base. A Source of `device`, `software` and `rollout`."""

    server = "Eclipse hawkBit"
    traits: dict[str, str] = {
        "pause": "pausing one of its rollouts only keeps further groups from starting; here orders are cancelled robot by robot",
        "stop": "cancelling is a request: a robot that has begun may refuse, finishes, and stays on the new version",
        "targets": "its rollouts split a filter into groups once, at creation; dynamic groups and auto-assignment of a filter go on by themselves",
        "failure rule": "its threshold divides errors by all robots of a group, offline ones too, in whole percent; it can only pause",
        "gate": "its approval keeps who decided and a remark, nothing else; it has to be switched on for the tenant",
        "health": "it does not look at robots after the install: that is done here",
        "retry": "a robot whose install failed is assigned to nothing until it is told again",
        "reported": "the installed version is what the server believes after a success; the robot's own report outranks it",
        "roll back": "a rollout that has begun is not undone by pausing or stopping it: going back is an order of its own",
    }
    feeds = (
        Feed(kind="device", title="robots", every_s=60.0, full_every_s=3600.0, stale_s=300.0),
        Feed(kind="software", title="distribution sets", every_s=300.0, full_every_s=3600.0, stale_s=1800.0),
        Feed(kind="rollout", title="its own rollouts", every_s=60.0, full_every_s=3600.0, stale_s=300.0),
    )

    def __init__(self, http: HttpClient, clock: Clock, *, set_name: str = "", force: str = "forced") -> None:
        super().__init__(http, clock)
        self._set_name, self._force = set_name, force
        self._writing = asyncio.Lock()
        self._few = asyncio.Semaphore(AT_ONCE)
        self._installed: dict[str, tuple[int, int, str]] = {}

    # -- reading ------------------------------------------------------------------------------------------------------

    async def devices(self) -> list[Polled]:
        """Every robot, for the fleet."""
        found = await self._standings(None)
        now = self._clock.now()
        return [device(one, now) for one in found.values()]

    async def releases(self) -> Sequence[Release]:
        return [
            Release(
                id=str(one.id),
                version=clean(one.version, 64),
                digest=digest(one),
                size_b=0,
                name=clean(one.name, 120),
            )
            for one in await self._sets()
            if one.usable
        ]

    async def reports(self, robots: Sequence[str] | None = None) -> Sequence[InstallReport]:
        found = await self._standings(robots)
        sets = {one.id: one for one in await self._sets(any_name=True)}
        return [report(one, sets) for one in found.values()]

    async def first_error(self, robot: str) -> str:
        """The first message of the robot's last action that reads like an error, else what it said last."""
        found = await self._all("/actions", Action, q=f"target.controllerId=={quoted(robot)}", sort="id:desc", most=1)
        if not found:
            return ""
        history = await self._history(robot, found[0].id, "id:asc")
        said = [m for line in history for m in line.messages if not m.startswith("Update Server: ")]
        errors = [m for line in history if line.type.lower() == "error" for m in line.messages]
        for message in [*errors, *said]:
            if any(word in message.lower() for word in ERROR_WORDS):
                return clean(message, 200)
        return clean((errors or said or [""])[-1], 200)

    async def _sets(self, *, any_name: bool = False) -> list[DistributionSet]:
        named = f"name=={quoted(self._set_name)}" if self._set_name and not any_name else ""
        return await self._all("/distributionsets", DistributionSet, q=named, sort="id:asc")

    async def _standings(self, robots: Sequence[str] | None) -> dict[str, Standing]:
        """Robots with what is installed and what they were told, in a bounded number of calls."""
        wanted = None if robots is None else list(dict.fromkeys(robots))
        if wanted is not None and len(wanted) <= LISTED_FROM:
            targets = [
                target
                for at in range(0, len(wanted), BATCH)
                for target in await self._all("/targets", Target, q=listed("controllerId", wanted[at : at + BATCH]))
            ]
        else:
            every = await self._all("/targets", Target)
            chosen = None if wanted is None else set(wanted)
            targets = [target for target in every if chosen is None or target.controllerId in chosen]
        found = {target.controllerId: Standing(target=target) for target in targets}
        await self._add_installed(found)
        await self._add_orders(found)
        return found

    async def _add_installed(self, found: Mapping[str, Standing]) -> None:
        """What each robot has installed: kept until the server says that it installed something else."""
        unknown = []
        for name, one in found.items():
            at = one.target.installedAt
            kept = self._installed.get(name)
            if at is None:
                continue
            if kept is not None and kept[0] == at:
                one.installed_id, one.installed = kept[1], kept[2]
            else:
                unknown.append(one)
        if len(unknown) > LISTED_FROM:
            await self._installed_by_set(unknown)
            unknown = [one for one in unknown if not one.installed_id]
        await asyncio.gather(*(self._installed_of(one) for one in unknown))

    async def _installed_by_set(self, unknown: Sequence[Standing]) -> None:
        """For many robots: which of them have each set, instead of one call per robot."""
        missing = {one.target.controllerId: one for one in unknown}
        for each in await self._sets(any_name=True):
            if not missing:
                return
            for target in await self._all(f"/distributionsets/{each.id}/installedTargets", Target):
                one = missing.pop(target.controllerId, None)
                if one is not None:
                    self._keep_installed(one, each)

    async def _installed_of(self, one: Standing) -> None:
        async with self._few:
            path = f"/rest/v1/targets/{_path(one.target.controllerId)}/installedDS"
            answer = await self._http.get(path, str)
        if answer.strip():  # 204: nothing was ever installed through the server
            self._keep_installed(one, msgspec.json.decode(answer, type=DistributionSet, strict=False))

    def _keep_installed(self, one: Standing, each: DistributionSet) -> None:
        one.installed_id, one.installed = each.id, each.version
        self._installed[one.target.controllerId] = (one.target.installedAt or 0, each.id, each.version)

    async def _add_orders(self, found: Mapping[str, Standing]) -> None:
        open_for = [n for n, one in found.items() if one.target.updateStatus == "pending"]
        failed = [n for n, one in found.items() if one.target.updateStatus == "error"]
        for test, names in (("active==true", open_for), ("active==false", failed)):
            for at in range(0, len(names), BATCH):
                chunk = names[at : at + BATCH]
                query = f"{test};{listed('target.controllerId', chunk)}"
                for action in await self._all("/actions", Action, q=query, sort="id:desc", enough=len(chunk)):
                    one = found.get(action.robot)
                    if one is not None and (one.order is None or action.id > one.order.id):
                        one.order = action
        await asyncio.gather(*(self._look_closer(one) for one in found.values() if one.order is not None))

    async def _look_closer(self, one: Standing) -> None:
        """Whether the robot has begun; whether a failure was withdrawn. Asked only where it can make a difference."""
        order, name = one.order, one.target.controllerId
        assert order is not None
        if one.failed:
            one.withdrawn = await self._mark(name, WITHDRAWN) == str(order.id)
        elif order.state in BEGUN or order.state == "cancel_rejected":
            one.begun = True
        elif one.target.polled_at * 1000 >= order.createdAt:
            one.begun = by_the_robot(await self._history(name, order.id, "id:desc"))

    async def _history(self, robot: str, action: int, sort: str) -> list[Status]:
        async with self._few:
            return await self._all(f"/targets/{_path(robot)}/actions/{action}/status", Status, sort=sort, most=PAGE)

    # -- writing ------------------------------------------------------------------------------------------------------

    async def assign(self, robots: Sequence[str], version: str, *, key: str) -> Sequence[str]:
        async with self._writing:
            chosen = await self._release(version)
            found = await self._known(robots)
            send = []
            for name, one in found.items():
                order = one.order
                same = order is not None and order.set_id == chosen.id
                if same and order is not None and order.state == "canceling":
                    await self._quit(name, order.id)
                elif same and order is not None and not one.withdrawn:
                    continue  # it has been told, or it failed and waits for a retry
                elif order is None and one.installed_id == chosen.id:
                    continue
                send.append(name)
            doubt = await self._send(chosen.id, send)
            after = await self._standings(robots)
            have = [n for n in dict.fromkeys(robots) if n in after and after[n].wanted == chosen.id]
            if doubt is not None and len(have) < len(found):
                raise doubt
            return have

    async def withdraw(self, robots: Sequence[str], *, key: str) -> Sequence[str]:
        async with self._writing:
            found = await self._known(robots)
            doubt: InDoubt | None = None
            for name, one in found.items():
                order = one.order
                if order is None or one.withdrawn:
                    continue
                try:
                    if one.failed:
                        await self._set_mark(name, WITHDRAWN, str(order.id))
                    elif not one.begun and order.state != "canceling":
                        await self._cancel(name, order.id)
                except InDoubt as error:
                    doubt = error
            after = await self._standings(robots)
            still = [n for n in dict.fromkeys(robots) if n in after and after[n].still]
            if doubt is not None and len(still) < len(found):
                raise doubt
            return still

    async def retry(self, robots: Sequence[str], *, key: str) -> None:
        """Once for each robot that failed. The mark says which failure this call answered, so that the same call again,
        after the robot failed once more, is not another retry."""
        async with self._writing:
            found = await self._known(robots)
            mark = hashlib.sha256(key.encode()).hexdigest()[:20]
            groups: dict[int, list[str]] = {}
            for name, one in found.items():
                if not one.failed or one.withdrawn or one.order is None:
                    continue
                given, _, action = (await self._mark(name, RETRIED)).partition(":")
                if given == mark and action != str(one.order.id):
                    continue
                if given != mark:
                    await self._set_mark(name, RETRIED, f"{mark}:{one.order.id}")
                groups.setdefault(one.order.set_id, []).append(name)
            doubt = None
            for set_id, names in groups.items():
                doubt = await self._send(set_id, names) or doubt
            if doubt is not None:
                after = await self._standings([n for names in groups.values() for n in names])
                if any(one.failed and not one.withdrawn for one in after.values()):
                    raise doubt

    async def make_rollout(
        self, version: str, query: str, groups: Sequence[Mapping[str, Json]], *, key: str, in_doubt: bool = False
    ) -> Rollout:
        """A rollout of hawkBit's own for a version; groups as mappings of `Stage`'s fields. Raises `BadPlan`."""
        try:
            stages = msgspec.convert(list(groups), list[Stage])
        except msgspec.ValidationError as error:
            raise _refusal("BadPlan", f"groups: {clean(error, 200)}") from error
        chosen = await self._release(version)
        return await self.create_rollout(version, chosen.id, query, stages, key=key, in_doubt=in_doubt)

    async def _release(self, version: str) -> DistributionSet:
        found = [one for one in await self._sets() if one.version == version and not one.deleted]
        usable = [one for one in found if one.usable]
        if len(usable) == 1:
            return usable[0]
        if len(usable) > 1:
            names = ", ".join(sorted({clean(one.name, 40) for one in usable})[:4])
            raise _refusal(
                "NoSuchRelease", f"version {version!r} is in several sets ({names}): name one by option `set`"
            )
        why = "is not complete or was invalidated" if found else "is not there"
        raise _refusal("NoSuchRelease", f"hawkBit: distribution set {clean(version, 60)!r} {why}")

    async def _known(self, robots: Sequence[str]) -> dict[str, Standing]:
        """Raises NoSuchRobot before anything is sent."""
        found = await self._standings(robots)
        missing = [name for name in dict.fromkeys(robots) if name not in found]
        if missing:
            more = f" and {len(missing) - 5} more" if missing[5:] else ""
            names = ", ".join(clean(name, 40) for name in missing[:5])
            raise _refusal("NoSuchRobot", f"hawkBit does not know {names}{more}", {"robots": missing[:100]})
        return {name: found[name] for name in dict.fromkeys(robots)}

    async def _send(self, set_id: int, names: Sequence[str]) -> InDoubt | None:
        """Assigns batch by batch; a batch in doubt is kept for after the read-back, the rest is still sent."""
        doubt: InDoubt | None = None
        path = f"/rest/v1/distributionsets/{set_id}/assignedTargets"
        for at in range(0, len(names), BATCH):
            body = [{"id": name, "type": self._force} for name in names[at : at + BATCH]]
            try:
                await self._http.send("POST", path, Assigned, json=body, safe=False)
            except InDoubt as error:
                doubt = error
        return doubt

    async def _cancel(self, robot: str, action: int) -> None:
        """Asks the robot to leave it. 405: it is over or being cancelled already."""
        await self._delete(f"/rest/v1/targets/{_path(robot)}/actions/{action}")

    async def _quit(self, robot: str, action: int) -> None:
        await self._delete(f"/rest/v1/targets/{_path(robot)}/actions/{action}?force=true")

    async def _delete(self, path: str) -> None:
        try:
            await self._http.send("DELETE", path, NoneType, safe=True)
        except ActionError as error:
            if _status(error) not in (404, 405):
                raise

    # -- marks --------------------------------------------------------------------------------------------------------

    async def _mark(self, robot: str, key: str) -> str:
        try:
            async with self._few:
                return (await self._http.get(f"/rest/v1/targets/{_path(robot)}/metadata/{key}", Metadata)).value
        except ActionError as error:
            if error.error != "NotFound":
                raise
            return ""

    async def _set_mark(self, robot: str, key: str, value: str) -> None:
        path = f"/rest/v1/targets/{_path(robot)}/metadata"
        try:
            await self._http.send("PUT", f"{path}/{key}", NoneType, json={"value": value}, safe=True)
        except ActionError as error:
            if error.error != "NotFound":
                raise
            await self._http.send("POST", path, NoneType, json=[{"key": key, "value": value}], safe=False)

    # -- mirror -------------------------------------------------------------------------------------------------------

    async def pull(self, feed: str, cursor: str) -> Pulled:
        """With a cursor what the server changed since (by its own clock), else page by page everything."""
        if feed == "device":
            page, pulled = await self._pull("/targets", Target, cursor, "createdat:asc")
            sets = {one.id: one for one in await self._sets(any_name=True)} if page else {}
            found = {t.controllerId: Standing(target=t) for t in page}
            await self._add_installed(found)
            await self._add_orders(found)
            return msgspec.structs.replace(pulled, objects=tuple(mirrored_device(one, sets) for one in found.values()))
        if feed == "software":
            rows, pulled = await self._pull("/distributionsets", DistributionSet, cursor, "id:asc")
            return msgspec.structs.replace(pulled, objects=tuple(mirrored_set(one) for one in rows))
        rollouts, pulled = await self._pull("/rollouts", Rollout, cursor, "id:asc")
        return msgspec.structs.replace(pulled, objects=tuple(self.mirrored_rollout(one) for one in rollouts))

    async def _pull(self, path: str, type: type[T], cursor: str, sort: str) -> tuple[list[T], Pulled]:
        """`since:MS:OFFSET` or `all:NEWEST:OFFSET:LAST`: how far the listing is, and where changes are read from after it."""
        known = _CURSOR.fullmatch(cursor or "all:0:0:")
        if known is None:
            raise ActionError("CursorLost", "not a cursor of this list", kind="conflict")
        newest, offset, last = int(known[2]), int(known[3]), known[4] or ""
        if known[1] == "since":
            return await self._changed(path, type, newest, offset)
        params = {"limit": str(PAGE), "offset": str(max(0, offset - 1)), "sort": sort}
        page = await self._page(path, type, params)
        rows: list[Any] = page.content
        if offset:
            if not rows or _id(rows[0]) != last:
                raise ActionError("CursorLost", "rows came or went while the list was read", kind="conflict")
            rows = rows[1:]
        newest = max([newest, *(one.lastModifiedAt for one in rows)])
        seen = offset + len(rows)
        more = bool(rows) and seen < page.total
        after = f"all:{newest}:{seen}:{_id(rows[-1])}" if more else f"since:{newest}:0"
        return rows, Pulled(cursor=after, more=more, full=True)

    async def _changed(self, path: str, type: type[T], newest: int, offset: int) -> tuple[list[T], Pulled]:
        params = {
            "limit": str(PAGE),
            "offset": str(offset),
            "q": f"lastmodifiedat=ge={newest}",
            "sort": "lastmodifiedat:asc",
        }
        page = await self._page(path, type, params)
        rows: list[Any] = page.content
        seen = offset + len(rows)
        more = bool(rows) and seen < page.total
        reached = max([newest, *(one.lastModifiedAt for one in rows)])
        return rows, Pulled(cursor=f"since:{newest}:{seen}" if more else f"since:{reached}:0", more=more)


def _id(row: Any) -> str:
    return str(row.controllerId if isinstance(row, Target) else row.id)


def _refusal(error: str, message: str, detail: Json = None) -> ActionError:
    return ActionError(error, message, kind="validation", retryable=False, detail=detail)


def _status(error: ActionError) -> int:
    return int(error.detail.get("status", 0)) if isinstance(error.detail, dict) else 0


def _path(robot: str) -> str:
    return quote(robot, safe="")


class HawkBitConnector:
    """Settings: `url`, `secret` (keyring entry: the password of `username`, or a bearer token when no user is set)."""

    kind = "hawkbit"
    title = "Eclipse hawkBit"
    docs = (
        "Management API v1 of Eclipse hawkBit 1.x (OpenAPI and sources); the server can't be had here, so it is tested "
        "against a contract server built from those documents, not against hawkBit itself"
    )
    capabilities = ("updates",)
    needs: tuple[str, ...] = ()
    fields: dict[str, Param] = {
        **FIELDS,
        "url": Param(type="string", description="base URL without /rest/v1, e.g. https://hawkbit.example.com"),
        "secret": Param(type="string", description="name of the keyring entry"),
        "username": Param(
            type="string", required=False, description="user, as tenant\\user where tenants are used; absent: a token"
        ),
        "set": Param(
            type="string", required=False, description="name of the distribution sets that are releases (any)"
        ),
        "force": Param(type="string", required=False, description="soft, forced or downloadonly (forced)"),
    }
    secrets = SECRETS

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        force = str(config.get("force", "forced"))
        if force not in ("soft", "forced", "downloadonly"):
            raise ActionError(
                "NotConfigured",
                "hawkbit: force is soft, forced or downloadonly",
                kind="configuration",
                retryable=False,
            )
        name, username = str(config["secret"]), str(config.get("username", ""))
        auth = Basic(username, lambda: secret(name)) if username else Bearer(lambda: secret(name))
        http = client(config, secret, name="hawkBit", auth=auth)
        return {"updates": HawkBit(http, clock, set_name=str(config.get("set", "")), force=force)}


connector = HawkBitConnector()
__all__ = ["HawkBit", "HawkBitConnector", "connector"]
