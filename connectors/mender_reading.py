"""What Mender is asked: devices, releases, and where each robot stands. See `connectors.mender` for what the server does."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from connectors.devices import Hardware, Polled
from connectors.http import HttpClient
from connectors.mender_rows import (
    ACTIVE,
    FAILED,
    PAGE,
    Deployed,
    Deployment,
    Device,
    Naming,
    Order,
    ReleaseRow,
    Standing,
    mirrored_deployment,
    mirrored_device,
    mirrored_release,
    release,
    report,
    seconds,
)
from connectors.remote_text import clean
from engine.capabilities.ports import ActionError, Clock, InstallReport, Json, Release
from engine.capabilities.systems.ports import Feed, Pulled, Right

DEPLOYMENTS, DEPLOYMENTS_2 = "/api/management/v1/deployments", "/api/management/v2/deployments"
INVENTORY, INVENTORY_2 = "/api/management/v1/inventory", "/api/management/v2/inventory"
WINDOW = 200
"""Deployments looked at, newest first, for what robots were told last. Finished ones are read once."""
BATCH = 100
_CURSOR = re.compile(r"(\d{1,9}):(-?\d{1,9})")
WITHDRAWN = "quarterdeck_withdrawn"
"""Tag of a device: the deployment whose failure was laid to rest."""
ERROR_WORDS = ("error", "fail", "refus", "denied", "no space", "could not", "abort", "timeout", "mismatch")


class MenderReading:
    """A Source of `device`, `software` and `rollout` (its deployments), and the reading half of the port Updates."""

    feeds = (
        Feed(kind="device", title="robots", every_s=120.0, full_every_s=0.0, stale_s=600.0),
        Feed(kind="software", title="releases", every_s=300.0, full_every_s=0.0, stale_s=1800.0),
        Feed(kind="rollout", title="deployments", every_s=60.0, full_every_s=0.0, stale_s=300.0),
    )

    def __init__(self, http: HttpClient, clock: Clock, naming: Naming | None = None) -> None:
        self._http, self._clock, self._naming = http, clock, naming or Naming()
        self._few = asyncio.Semaphore(8)
        self._done: dict[str, dict[str, Deployed]] = {}

    async def close(self) -> None:
        await self._http.close()

    # -- reading ------------------------------------------------------------------------------------------------------

    async def devices(self) -> list[Polled]:
        """Every accepted device, for the fleet."""
        now = self._clock.now()
        found = []
        for one in await self._inventory():
            at, board = seconds(one.updated_ts), one.text("inventory", "device_type")
            polled = Polled(
                id=self._naming.robot(one),
                sw_version=self._naming.version(one.text("inventory", "artifact_name")) or None,
                hardware=Hardware(revision=clean(board, 60)) if board else None,
                last_seen=max(0.0, now - at) if at else None,
            )
            found.append(polled)
        return found

    async def releases(self) -> Sequence[Release]:
        rows = await self._listed(f"{DEPLOYMENTS_2}/deployments/releases", list[ReleaseRow])
        return [release(one, self._naming) for one in rows if self._naming.fits(one.name)]

    async def reports(self, robots: Sequence[str] | None = None) -> Sequence[InstallReport]:
        return [report(one, self._naming) for one in (await self._standings(robots)).values()]

    async def first_error(self, robot: str) -> str:
        """The first line of the log of its last failed deployment that reads like an error."""
        one = (await self._standings([robot])).get(robot)
        failed = next((o for o in reversed(one.orders) if o.status in FAILED), None) if one else None
        if one is None or failed is None:
            return ""
        if failed.status == "noartifact":
            return f"no artifact of this release is made for {clean(one.device_type, 60) or 'its device type'}"
        path = f"{DEPLOYMENTS}/deployments/{path_part(failed.deployment.id)}/devices/{path_part(one.device)}/log"
        try:
            log = await self._http.send("GET", path, str, accept="text/plain", safe=True)
        except ActionError as error:
            if error.error != "NotFound":
                raise
            return clean(failed.substate, 200)
        lines = [line for line in log[:200_000].splitlines() if line.strip()]
        for line in lines:
            if any(word in line.lower() for word in ERROR_WORDS):
                return clean(line, 200)
        return clean(lines[-1], 200) if lines else ""

    async def check(self) -> str:
        params = {"page": "1", "per_page": "1"}
        answer = await self._http.send_full(
            "GET", f"{DEPLOYMENTS_2}/deployments", list[Deployment], params=params, safe=True
        )
        await self._search(1, 1, [])
        count = clean(answer.headers.get("x-total-count", "?"), 12)
        return f"Mender, management API, {count} deployments"

    async def rights(self) -> Sequence[Right]:
        """403 says what may not be read; whether deployments may be made is only known by making one."""
        found = []
        for name, path, needed in (
            ("read devices", f"{INVENTORY}/devices", "robots in the fleet"),
            ("read releases", f"{DEPLOYMENTS_2}/deployments/releases", "releases"),
            ("read deployments", f"{DEPLOYMENTS_2}/deployments", "where each robot stands"),
        ):
            try:
                await self._http.get(path, list[Json], params={"per_page": "1"})
                found.append(Right(name=name, has=True, needed_for=needed))
            except ActionError as error:
                if error.error != "Forbidden":
                    raise
                found.append(Right(name=name, has=False, needed_for=needed))
        return (*found, Right(name="deploy and abort", has=None, needed_for="rollouts, pause, retry"))

    async def _search(self, page: int, size: int, filters: list[dict[str, Json]]) -> tuple[list[Device], bool, int]:
        body: dict[str, Json] = {
            "page": page,
            "per_page": size,
            "filters": [
                {"scope": "identity", "attribute": "status", "type": "$eq", "value": "accepted"},
                *filters,
            ],
            "sort": [{"scope": "system", "attribute": "created_ts", "order": "asc"}],
        }
        answer = await self._http.send_full(
            "POST", f"{INVENTORY_2}/filters/search", list[Device], json=body, safe=True, reads=True
        )
        total = answer.headers.get("x-total-count", "")
        return answer.value, bool(answer.link("next")), int(total) if total.isdigit() else -1

    async def _inventory(self, robots: Sequence[str] | None = None) -> list[Device]:
        """Accepted devices, all or those of these robots."""
        if robots is None or len(robots) > 4 * BATCH:
            found = await self._every([])
            chosen = None if robots is None else set(robots)
            return [one for one in found if chosen is None or self._naming.robot(one) in chosen]
        if self._naming.attribute:
            rows: list[Device] = []
            for at in range(0, len(robots), BATCH):
                values = list(robots[at : at + BATCH])
                test = {
                    "scope": self._naming.scope,
                    "attribute": self._naming.attribute,
                    "type": "$in",
                    "value": values,
                }
                rows += await self._every([test])
            return rows
        single = await asyncio.gather(*(self._device(one) for one in robots))
        return [one for one in single if one is not None]

    async def _every(self, filters: list[dict[str, Json]]) -> list[Device]:
        rows, page, more = [], 1, True
        while more:
            found, more, _ = await self._search(page, PAGE, filters)
            rows += found
            page += 1
        return rows

    async def _device(self, id_: str) -> Device | None:
        try:
            async with self._few:
                return await self._http.get(f"{INVENTORY}/devices/{path_part(id_)}", Device)
        except ActionError as error:
            if error.error in ("NotFound", "Refused"):
                return None
            raise

    async def _standings(self, robots: Sequence[str] | None) -> dict[str, Standing]:
        """Robots with what they run and what they were told, oldest order first."""
        wanted = None if robots is None else list(dict.fromkeys(robots))
        found: dict[str, Standing] = {}
        by_device: dict[str, Standing] = {}
        for one in await self._inventory(wanted):
            standing = Standing(
                robot=self._naming.robot(one),
                device=one.id,
                artifact=one.text("inventory", "artifact_name"),
                device_type=one.text("inventory", "device_type"),
                seen_at=seconds(one.updated_ts),
                withdrawn=one.text("tags", WITHDRAWN),
            )
            found[standing.robot] = by_device[one.id] = standing
        deployments = await self._recent()
        members = await asyncio.gather(*(self._members(one) for one in deployments))
        for deployment, inside in sorted(zip(deployments, members, strict=True), key=lambda pair: pair[0].created):
            for device, where in inside.items():
                if device in by_device:
                    order = Order(
                        deployment=deployment,
                        status=where.status,
                        substate=where.substate or "",
                        ended_at=seconds(where.finished or ""),
                    )
                    by_device[device].orders.append(order)
        return found

    async def _recent(self) -> list[Deployment]:
        rows = await self._listed(
            f"{DEPLOYMENTS_2}/deployments", list[Deployment], most=WINDOW, sort="desc", type="software"
        )
        return rows[:WINDOW]

    async def _members(self, one: Deployment) -> dict[str, Deployed]:
        """Where every robot of a deployment stands. What is finished never changes, so it is read once."""
        if one.id in self._done:
            return self._done[one.id]
        base = f"{DEPLOYMENTS}/deployments/{path_part(one.id)}"
        async with self._few:
            every = await self._http.get(f"{base}/device_list", list[str])
            asked = await self._listed(f"{base}/devices/list", list[Deployed])
        known = {each.id: each for each in asked}
        found = {id_: known.get(id_) or Deployed(id=id_, status="pending") for id_ in {*every, *known}}
        if one.status == "finished":
            # who never asked before it ended never will for this one
            found = {id_: each for id_, each in found.items() if each.status not in ACTIVE}
            self._done[one.id] = found
            while len(self._done) > 2 * WINDOW:
                del self._done[next(iter(self._done))]
        return found

    async def _listed(self, path: str, shape: type[Any], *, most: int = 0, **params: str) -> list[Any]:
        """A list by its `next` links; the number of a page's rows says nothing, servers may give fewer than asked for."""
        rows: list[Any] = []
        page = 1
        while True:
            given = {"page": str(page), "per_page": str(PAGE), **params}
            answer = await self._http.send_full("GET", path, shape, params=given, safe=True)
            rows += answer.value
            page += 1
            if not answer.value or not answer.link("next") or (most and len(rows) >= most):
                return rows

    # -- mirror -------------------------------------------------------------------------------------------------------

    async def pull(self, feed: str, cursor: str) -> Pulled:
        """A page of everything: the API has no way to ask for what changed. The cursor is `page:total`."""
        known = _CURSOR.fullmatch(cursor or "1:-1")
        if known is None:
            raise ActionError("CursorLost", "not a cursor of this list", kind="conflict")
        page, before = int(known[1]), int(known[2])
        objects: tuple[Any, ...]
        if feed == "device":
            devices, more, total = await self._search(page, PAGE, [])
            objects = tuple(mirrored_device(one, self._naming) for one in devices)
        else:
            path = f"{DEPLOYMENTS_2}/deployments" + ("/releases" if feed == "software" else "")
            params = {"page": str(page), "per_page": str(PAGE), "sort": "name:asc" if feed == "software" else "asc"}
            if feed == "software":
                releases = await self._http.send_full("GET", path, list[ReleaseRow], params=params, safe=True)
                objects = tuple(mirrored_release(one, self._naming) for one in releases.value)
                headers, more = releases.headers, bool(releases.link("next"))
            else:
                deployments = await self._http.send_full("GET", path, list[Deployment], params=params, safe=True)
                objects = tuple(mirrored_deployment(one) for one in deployments.value)
                headers, more = deployments.headers, bool(deployments.link("next"))
            total = int(headers.get("x-total-count", "-1")) if headers.get("x-total-count", "").isdigit() else -1
        if 0 <= total < before:
            raise ActionError("CursorLost", "rows went while the list was read", kind="conflict")
        return Pulled(objects=objects, cursor=f"{page + 1}:{total}" if more else "", more=more, full=True)


def path_part(text: str) -> str:
    """A name inside a path: one with a slash or a query must not reach another resource."""
    return quote(text, safe="")
